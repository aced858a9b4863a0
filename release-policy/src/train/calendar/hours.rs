//! When a team cannot work on something, and why.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{
    CalendarId, EnvironmentId, RegionId, ServiceId, TeamId, Timestamp, WindowId,
};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use super::away::{Away, Found};
use super::check::{MAX_FROZEN, MAX_STRETCHES, within};
use super::reckon::Blocked;
use super::{CalendarError, CalendarSpec, FrozenDeparture, ScheduledDeparture};
use crate::window::{ActionClass, Kind, Overlap, Window};

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

/// Stretches that go together: those of one team, or those of freezes that hold the same work.
#[derive(Default, PartialEq, Eq)]
struct Set {
    /// Sorted; they may overlap.
    stretches: Vec<Stretch>,
    /// Beside each: when the last of those up to it ends.
    ends: Vec<i64>,
    /// Merged.
    blocked: Vec<(i64, i64)>,
}

impl Set {
    fn of(mut stretches: Vec<Stretch>) -> Self {
        stretches.sort_unstable();
        let last = |end: &mut i64, stretch: &Stretch| {
            *end = stretch.until.max(*end);
            Some(*end)
        };
        let ends = stretches.iter().scan(i64::MIN, last).collect();
        let blocked = merged(&stretches, |_| true);
        Self { stretches, ends, blocked }
    }

    /// Those that may overlap `[from, until)`; all that do are among them.
    fn around(&self, from: i64, until: i64) -> &[Stretch] {
        let first = self.ends.partition_point(|end| *end <= from);
        let last = self.stretches.partition_point(|stretch| stretch.from < until);
        self.stretches.get(first..last).unwrap_or_default()
    }
}

/// What of a place scopes go by.
type Concerned<'a> =
    (&'a EnvironmentId, Option<&'a RegionId>, Option<&'a ServiceId>, Option<&'a TeamId>);

fn concerned(place: &Place) -> Concerned<'_> {
    let Place { environment, region, service, team, .. } = place;
    (environment, region.as_ref(), service.as_ref(), team.as_ref())
}

/// All that keeps teams from work in a season. The stretches of a team and those of freezes lie apart, each there once: put together for
/// each team, those of one freeze would be there as often as there are teams.
#[derive(PartialEq, Eq)]
pub(super) struct Hours {
    pub(super) blockers: Vec<Blocker>,
    /// The first is of nothing, then those of each crew in their order, then those of freezes.
    sets: Vec<Set>,
    /// Of each activity its owner's set, and that of the freezes that hold it.
    of: Vec<[usize; 2]>,
    /// How many stretches all sets have.
    count: usize,
}

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hours").finish_non_exhaustive() // it follows from the calendar
    }
}

impl Hours {
    /// What the teams have of their own.
    pub(super) fn of_crews<'a>(
        spec: &'a CalendarSpec,
        away: &mut Away<'a>,
    ) -> Result<Self, CalendarError> {
        let sets = vec![Set::default()];
        let mut hours = Self { blockers: Vec::new(), sets, of: Vec::new(), count: 0 };
        for crew in &spec.crews {
            let found = away.of(crew)?;
            let stretches = hours.cut(found, spec);
            hours.add(stretches)?;
        }
        Ok(hours)
    }

    /// Adds freezes, and what holds each activity. Gives the departures at which freezes hold, in their order, each with the freezes in
    /// theirs.
    pub(super) fn freeze(
        &mut self,
        spec: &CalendarSpec,
        departures: &[ScheduledDeparture],
    ) -> Result<Vec<FrozenDeparture>, CalendarError> {
        let freezes = self.freezes(spec)?;
        let crews = spec.crews.iter().map(|crew| &crew.team);
        let teams: BTreeMap<&TeamId, usize> = crews.zip(1..).collect();
        let mut places: BTreeMap<Concerned<'_>, usize> = BTreeMap::new();
        let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for activity in &spec.activities {
            let own = teams.get(&activity.owner).copied().unwrap_or(0);
            let mut held = 0;
            if let Some(place) = &activity.place {
                let concerned = concerned(place);
                held = if let Some(set) = places.get(&concerned) {
                    *set
                } else {
                    self.held_in(place, &freezes, &mut known)?
                };
                places.insert(concerned, held);
            }
            self.of.push([own, held]);
        }
        frozen(&freezes, departures)
    }

    /// The set of the freezes that hold work in a place; the same set where the same freezes do.
    fn held_in(
        &mut self,
        place: &Place,
        freezes: &[(&Window, Vec<Stretch>)],
        known: &mut BTreeMap<Vec<usize>, usize>,
    ) -> Result<usize, CalendarError> {
        let holds = |window: &Window| window.spec().scope.overlap(Some(place)) != Overlap::Apart;
        let all = freezes.iter().enumerate().filter(|(_, (window, _))| holds(window));
        let numbers: Vec<usize> = all.map(|(number, _)| number).collect();
        if numbers.is_empty() {
            return Ok(0);
        }
        if let Some(set) = known.get(&numbers) {
            return Ok(*set);
        }
        let held = numbers.iter().filter_map(|number| freezes.get(*number));
        let stretches = held.flat_map(|(_, stretches)| stretches).copied().collect();
        let set = self.add(stretches)?;
        known.insert(numbers, set);
        Ok(set)
    }

    /// What holds an activity, by its number.
    pub(super) fn blocked(&self, activity: usize) -> Blocked<'_> {
        let [own, frozen] = self.sets_of(activity);
        let of = |set: usize| self.sets.get(set).map_or(&[][..], |set| set.blocked.as_slice());
        Blocked { own: of(own), frozen: of(frozen) }
    }

    /// The sets of stretches that hold an activity: its owner's, and that of freezes.
    pub(super) fn sets_of(&self, activity: usize) -> [usize; 2] {
        self.of.get(activity).copied().unwrap_or_default()
    }

    /// The stretches of a set, sorted; they may overlap.
    pub(super) fn stretches(&self, set: usize) -> &[Stretch] {
        self.sets.get(set).map_or(&[], |set| set.stretches.as_slice())
    }

    /// Those that hold an activity and may overlap `[from, until)`, sorted; all that do are among them.
    pub(super) fn around(&self, activity: usize, from: i64, until: i64) -> Vec<Stretch> {
        let sets = self.sets_of(activity).into_iter().filter_map(|set| self.sets.get(set));
        let mut all: Vec<Stretch> = sets.flat_map(|set| set.around(from, until)).copied().collect();
        all.sort_unstable();
        all
    }

    /// Each freeze that holds work at any time of the season, with its stretches.
    fn freezes<'a>(
        &mut self,
        spec: &'a CalendarSpec,
    ) -> Result<Vec<(&'a Window, Vec<Stretch>)>, CalendarError> {
        let (mut all, mut count) = (Vec::new(), 0_usize);
        for (window, found) in spec.windows.stretches_of(holds_work, spec.from, spec.until) {
            count += found.len();
            within("stretches of freezes", count, MAX_STRETCHES)?;
            let each = |(from, until)| {
                let window = window.id().clone();
                (Blocker::Freeze { window, from, until }, vec![(from, until)])
            };
            let stretches = self.cut(found.into_iter().map(each).collect(), spec);
            if !stretches.is_empty() {
                all.push((window, stretches));
            }
        }
        Ok(all)
    }

    /// Numbers the blockers, and cuts stretches to the season.
    fn cut(&mut self, found: Found, spec: &CalendarSpec) -> Vec<Stretch> {
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

    /// Adds a set; gives its number.
    fn add(&mut self, stretches: Vec<Stretch>) -> Result<usize, CalendarError> {
        self.count += stretches.len();
        within("stretches that hold work", self.count, MAX_STRETCHES)?;
        self.sets.push(Set::of(stretches));
        Ok(self.sets.len() - 1)
    }
}

/// Whether it is a freeze of what brings something new: one of other actions holds no work.
fn holds_work(window: &Window) -> bool {
    let spec = window.spec();
    let concerns = |class| spec.actions.contains(&class);
    spec.kind == Kind::Freeze && (concerns(ActionClass::Deploy) || concerns(ActionClass::Advance))
}

/// The departures in freezes. They are searched in the order of time: each stretch finds its own.
fn frozen(
    freezes: &[(&Window, Vec<Stretch>)],
    departures: &[ScheduledDeparture],
) -> Result<Vec<FrozenDeparture>, CalendarError> {
    let all = departures.iter().enumerate();
    let mut sorted: Vec<(i64, usize)> =
        all.map(|(number, one)| (one.departs.as_micros(), number)).collect();
    sorted.sort_unstable();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (window, (_, stretches)) in freezes.iter().enumerate() {
        for stretch in stretches {
            let first = sorted.partition_point(|(at, _)| *at < stretch.from);
            let held = sorted.iter().skip(first).take_while(|(at, _)| *at < stretch.until);
            found.extend(held.map(|(_, departure)| (*departure, window)));
            within("departures in freezes", found.len(), MAX_FROZEN)?;
        }
    }
    found.sort_unstable();
    let named = found.into_iter().filter_map(|(departure, window)| {
        let (one, (window, _)) = (departures.get(departure)?, freezes.get(window)?);
        let (train, window) = (one.id.clone(), window.id().clone());
        Some(FrozenDeparture { train, departs: one.departs, window })
    });
    Ok(named.collect())
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
