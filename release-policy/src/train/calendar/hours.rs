//! When a team can work on something, and how long that takes.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{CalendarId, TeamId, Timestamp, WindowId};
use serde::{Deserialize, Serialize};

use super::{Activity, CalendarError, CalendarSpec, Crew};
use crate::window::{ActionClass, Kind, Overlap, When, WindowSpec, Windows};

/// What keeps a team from its work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Blocker {
    /// A freeze holds.
    Freeze {
        /// Which window.
        window: WindowId,
        /// From when on this time.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A team has a holiday.
    Holiday {
        /// The team.
        team: TeamId,
        /// Of which calendar.
        calendar: CalendarId,
        /// From when on.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A team is away.
    Absence {
        /// The team.
        team: TeamId,
        /// Why.
        reason: String,
        /// From when on.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A team works at certain hours alone: all other time.
    OffHours {
        /// The team.
        team: TeamId,
    },
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze { window, from, until } => {
                write!(f, "freeze `{window}` holds from {from} until {until}")
            }
            Self::Holiday { team, calendar, from, until } => {
                write!(f, "{team} has a holiday of `{calendar}` from {from} until {until}")
            }
            Self::Absence { team, reason, from, until } => {
                write!(f, "{team} is away from {from} until {until} ({reason})")
            }
            Self::OffHours { team } => write!(f, "{team} works at its hours alone"),
        }
    }
}

/// A stretch in which no work is done, in microseconds, and why: a number of [`Hours::blockers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stretch {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) by: usize,
}

/// All that keeps teams from work in a season.
#[derive(Debug)]
pub(super) struct Hours {
    pub(super) blockers: Vec<Blocker>,
    /// By what concerns an activity: sorted stretches, which may overlap.
    kinds: Vec<Vec<Stretch>>,
    /// Of each kind, beside each stretch: when the last of those up to it ends.
    ends: Vec<Vec<i64>>,
    /// Which kind each activity is.
    of: Vec<usize>,
}

/// Stretches with their blockers, of one source.
type Found = Vec<(Blocker, Vec<(Timestamp, Timestamp)>)>;

impl Hours {
    pub(super) fn of(spec: &CalendarSpec) -> Result<Self, CalendarError> {
        let (kinds, ends) = (Vec::new(), Vec::new());
        let mut hours = Self { blockers: Vec::new(), kinds, ends, of: Vec::new() };
        let mut teams: BTreeMap<&TeamId, Vec<Stretch>> = BTreeMap::new();
        for crew in &spec.crews {
            let found = away(spec, crew)?;
            teams.insert(&crew.team, hours.add(found, spec));
        }
        let freezes = hours.freezes(spec);
        let mut known: BTreeMap<(&TeamId, Vec<bool>), usize> = BTreeMap::new();
        for activity in &spec.activities {
            let concerns: Vec<bool> =
                freezes.iter().map(|(window, _)| holds(window, activity)).collect();
            let kind =
                *known.entry((&activity.owner, concerns)).or_insert_with_key(|(team, on)| {
                    let own = teams.get(team).into_iter().flatten();
                    let frozen = freezes.iter().zip(on).filter(|(_, on)| **on);
                    let frozen = frozen.flat_map(|((_, stretches), _)| stretches);
                    let mut all: Vec<Stretch> = own.chain(frozen).copied().collect();
                    all.sort_unstable();
                    hours.kinds.push(all);
                    hours.kinds.len() - 1
                });
            hours.of.push(kind);
        }
        let last = |end: &mut i64, stretch: &Stretch| {
            *end = stretch.until.max(*end);
            Some(*end)
        };
        let ends = |kind: &Vec<Stretch>| kind.iter().scan(i64::MIN, last).collect();
        hours.ends = hours.kinds.iter().map(ends).collect();
        Ok(hours)
    }

    /// Which kind an activity is, by its number.
    pub(super) fn kind(&self, activity: usize) -> usize {
        self.of.get(activity).copied().unwrap_or(0)
    }

    /// Of each kind the stretches that `counts`, merged.
    pub(super) fn merged(&self, counts: impl Fn(usize) -> bool) -> Vec<Vec<(i64, i64)>> {
        self.kinds.iter().map(|kind| merged(kind, &counts)).collect()
    }

    /// What holds an activity, by its number.
    pub(super) fn stretches(&self, activity: usize) -> &[Stretch] {
        let kind = self.of.get(activity).and_then(|kind| self.kinds.get(*kind));
        kind.map_or(&[], Vec::as_slice)
    }

    /// Those of them that may overlap `[from, until)`; all that do are among them.
    pub(super) fn around(&self, activity: usize, from: i64, until: i64) -> &[Stretch] {
        let all = self.stretches(activity);
        let ends = self.ends.get(self.kind(activity)).map_or(&[][..], Vec::as_slice);
        let first = ends.partition_point(|end| *end <= from);
        let last = all.partition_point(|stretch| stretch.from < until);
        all.get(first..last).unwrap_or_default()
    }

    fn freezes<'a>(
        &mut self,
        spec: &'a CalendarSpec,
    ) -> Vec<(&'a crate::window::Window, Vec<Stretch>)> {
        let windows = spec.windows.iter().filter(|window| holds_work(window));
        let each = |window: &'a crate::window::Window| {
            let found = spec.windows.stretches(window.id(), spec.from, spec.until);
            let each = |(from, until)| {
                let window = window.id().clone();
                (Blocker::Freeze { window, from, until }, vec![(from, until)])
            };
            let found: Found = found.unwrap_or_default().into_iter().map(each).collect();
            (window, self.add(found, spec))
        };
        windows.map(each).collect()
    }

    /// Cut to the season.
    fn add(&mut self, found: Found, spec: &CalendarSpec) -> Vec<Stretch> {
        let mut all = Vec::new();
        for (blocker, stretches) in found {
            let by = self.blockers.len();
            self.blockers.push(blocker);
            for (from, until) in stretches {
                let (from, until) = (from.max(spec.from), until.min(spec.until));
                if from < until {
                    all.push(Stretch { from: from.as_micros(), until: until.as_micros(), by });
                }
            }
        }
        all
    }
}

/// Whether it is a freeze of what brings something new: one of other actions holds no work.
pub(super) fn holds_work(window: &crate::window::Window) -> bool {
    let spec = window.spec();
    let concerns = |class| spec.actions.contains(&class);
    spec.kind == Kind::Freeze && (concerns(ActionClass::Deploy) || concerns(ActionClass::Advance))
}

fn holds(window: &crate::window::Window, activity: &Activity) -> bool {
    let place = activity.place.as_ref();
    place.is_some_and(|place| window.spec().scope.overlap(Some(place)) != Overlap::Apart)
}

/// When a team is not there.
pub(super) fn away(spec: &CalendarSpec, crew: &Crew) -> Result<Found, CalendarError> {
    let team = &crew.team;
    let bad = |problem| CalendarError::Crew { team: team.clone(), problem };
    let stretches = |when: When, kind: Kind| {
        let id = WindowId::new("team").map_err(|error| bad(error.into()))?;
        let spec_of = WindowSpec::freeze(id.clone(), when, team.clone(), "hours");
        let window = WindowSpec { kind, ..spec_of.zone(crew.zone.clone()) };
        let window = window.build().map_err(|error| bad(error.problem))?;
        let calendars = spec.windows.rules().calendars.clone();
        let rules =
            crate::window::WindowRules { windows: vec![window], calendars, ..Default::default() };
        let windows = Windows::try_from(rules)?;
        Ok::<_, CalendarError>(windows.stretches(&id, spec.from, spec.until).unwrap_or_default())
    };
    let mut found = Found::new();
    if let Some(works) = &crew.works {
        let works = stretches(works.clone(), Kind::Deployment)?;
        let (mut off, mut since) = (Vec::new(), spec.from);
        for (from, until) in works {
            if since < from {
                off.push((since, from));
            }
            since = since.max(until);
        }
        if since < spec.until {
            off.push((since, spec.until));
        }
        found.push((Blocker::OffHours { team: team.clone() }, off));
    }
    for calendar in &crew.holidays {
        for (from, until) in stretches(When::holidays(calendar.clone()), Kind::Freeze)? {
            let (team, calendar) = (team.clone(), calendar.clone());
            found.push((Blocker::Holiday { team, calendar, from, until }, vec![(from, until)]));
        }
    }
    for absence in &crew.absences {
        let (from, until, reason) = (absence.from, absence.until, absence.reason.clone());
        let blocker = Blocker::Absence { team: team.clone(), reason, from, until };
        found.push((blocker, vec![(from, until)]));
    }
    if crew.works.is_none() && crew.holidays.is_empty() {
        // The zone counts for nothing then, and is to be one all the same.
        stretches(When::Between { from: spec.from, until: spec.until }, Kind::Freeze)?;
    }
    Ok(found)
}

/// The stretches that `counts`, merged.
pub(super) fn merged(stretches: &[Stretch], counts: impl Fn(usize) -> bool) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = Vec::new();
    for stretch in stretches.iter().filter(|stretch| counts(stretch.by)) {
        match all.last_mut() {
            Some((_, until)) if stretch.from <= *until => *until = (*until).max(stretch.until),
            _ => all.push((stretch.from, stretch.until)),
        }
    }
    all
}

/// When work of so long begins and ends at the earliest that begins at `at` or later; nothing takes no time, at any time.
pub(super) fn forwards(blocked: &[(i64, i64)], at: i64, work: i64) -> (i64, i64) {
    if work == 0 {
        return (at, at);
    }
    let mut next = blocked.partition_point(|(_, until)| *until <= at);
    let (mut begins, mut now, mut left) = (None, at, work);
    loop {
        let Some((from, until)) = blocked.get(next).copied() else {
            return (begins.unwrap_or(now), now.saturating_add(left));
        };
        let free = from.saturating_sub(now);
        if free > 0 {
            begins.get_or_insert(now);
            if free >= left {
                return (begins.unwrap_or(now), now.saturating_add(left));
            }
            left -= free;
        }
        now = until;
        next += 1;
    }
}

/// When work of so long begins and ends at the latest that ends at `at` or sooner.
pub(super) fn backwards(blocked: &[(i64, i64)], at: i64, work: i64) -> (i64, i64) {
    if work == 0 {
        return (at, at);
    }
    let mut next = blocked.partition_point(|(from, _)| *from < at);
    let (mut ends, mut now, mut left) = (None, at, work);
    loop {
        let before = next.checked_sub(1).and_then(|before| blocked.get(before));
        let (from, until) = before.copied().unwrap_or((i64::MIN, i64::MIN));
        let free = now.saturating_sub(until);
        if free > 0 {
            ends.get_or_insert(now);
            if free >= left {
                return (now.saturating_sub(left), ends.unwrap_or(now));
            }
            left -= free;
        }
        now = now.min(from);
        next = next.saturating_sub(1);
    }
}

/// How much time is not blocked from one instant until another.
pub(super) fn between(blocked: &[(i64, i64)], from: i64, until: i64) -> i64 {
    let first = blocked.partition_point(|(_, end)| *end <= from);
    let within = blocked.iter().skip(first).take_while(|(begin, _)| *begin < until);
    let lost: i64 = within.map(|(begin, end)| (*end).min(until) - (*begin).max(from)).sum();
    until - from - lost
}
