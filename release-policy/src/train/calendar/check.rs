//! What is wrong with a calendar before anything is reckoned.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ActivityId, CalendarId, Span, TeamId, Timestamp, TrainId};

use crate::order::in_order;

use super::away::Away;
use super::hours::Hours;
use super::{Activity, CalendarSpec, Crew, FrozenDeparture, Phase, ScheduledDeparture};
use crate::window::{WindowProblem, WindowsError};

/// The most activities of a season.
pub const MAX_ACTIVITIES: usize = 100_000;
/// The most that all of them together may come after.
pub const MAX_DEPENDENCIES: usize = 1_000_000;
/// The most trains of a season.
pub const MAX_TRAINS: usize = 1_000;
/// The most departures of all of them together.
pub const MAX_DEPARTURES: usize = 100_000;
/// The most deadlines that all departures together may have for kinds of deliverables.
pub const MAX_DEADLINES: usize = 1_000_000;
/// The most absences of all teams together, and the most calendars of holidays that these together may have.
pub const MAX_ABSENCES: usize = 100_000;
/// The most stretches of time that all freezes together may have in a season; and the most in which work is held: all of each team, for
/// its hours, holidays and absences, and those of the freezes of each place, once where several places have the same freezes.
pub const MAX_STRETCHES: usize = 4_000_000;
/// The most departures at which freezes may hold, each counted once for each freeze.
pub const MAX_FROZEN: usize = 1_000_000;

/// Why something is no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarError {
    /// The season is over before it begins.
    #[error("the season ends at {until}, and begins at {from}; mend the instants")]
    Season {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// The season lies where calendars do not reach.
    #[error("the season: {0}")]
    OutOfReach(WindowProblem),
    /// It is too much.
    #[error("there are {count} {what}, and at most {max} are reckoned with; divide the season")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// The rule, the first date or the zone of a train is none.
    #[error("train `{train}`: {problem}")]
    Train {
        /// Which.
        train: TrainId,
        /// What is wrong.
        problem: WindowProblem,
    },
    /// A train departs before the time of its departure before is over. Those of other trains do not count: a calendar does not say which
    /// services a train brings, so that two lines that bring the same one at overlapping times are not refused. Whoever has such lines
    /// keeps them apart by their rules, or sees it as their cars board ([`Train`](crate::train::departure::Train)).
    #[error(
        "train `{next}` departs at {departs}, before the time of `{one}` is over at {closes}; depart more rarely, or keep less time for validation and hotfixes"
    )]
    Overlapping {
        /// The train before.
        one: TrainId,
        /// When its time is over.
        closes: Timestamp,
        /// The train that departs.
        next: TrainId,
        /// When.
        departs: Timestamp,
    },
    /// No train departs.
    #[error(
        "train `{train}` does not depart from {from} until {until}; mend the rule, or leave it out"
    )]
    NoDepartures {
        /// Which.
        train: TrainId,
        /// From when on.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A date before all time.
    #[error(
        "train `{train}` departs at {departs}, and something is due {span} before, which is before 1970; shorten it"
    )]
    TooEarly {
        /// Which.
        train: TrainId,
        /// When it departs.
        departs: Timestamp,
        /// How long before.
        span: Span,
    },
    /// A freeze or a calendar of holidays is at fault.
    #[error(transparent)]
    Windows(#[from] WindowsError),
    /// Two of a kind have one name.
    #[error("there are two {what} `{name}`; rename one")]
    Duplicate {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A team's days, hours or absences are none.
    #[error("team `{team}`: {problem}")]
    Crew {
        /// Which.
        team: TeamId,
        /// What is wrong.
        problem: WindowProblem,
    },
    /// A team has the holidays of a calendar that is not there.
    #[error(
        "team `{team}` has the holidays of `{calendar}`, which is no calendar of `windows`; add it, or mend the name"
    )]
    UnknownHolidays {
        /// The team.
        team: TeamId,
        /// What it names.
        calendar: CalendarId,
    },
    /// An activity comes after one that is not there.
    #[error("activity `{activity}` comes after `{after}`, which is none; add it, or mend the name")]
    UnknownActivity {
        /// Which.
        activity: ActivityId,
        /// What it names.
        after: ActivityId,
    },
    /// An activity is for a train that does not depart.
    #[error(
        "activity `{activity}` is for train `{train}`, and none of that name departs; mend the name"
    )]
    UnknownTrain {
        /// Which.
        activity: ActivityId,
        /// What it names.
        train: TrainId,
    },
    /// Activities wait for each other.
    #[error("activities wait for each other: {}; let one of them begin sooner", circle(.0))]
    Cycle(Vec<(ActivityId, TeamId)>),
    /// A deadline is before one that has to be met first.
    #[error(
        "activity `{activity}` is due at {due}, and comes after `{after}`, which is due at {its_due}; set one of the deadlines otherwise"
    )]
    DueBeforeWhatItWaitsFor {
        /// Which.
        activity: ActivityId,
        /// Its own deadline.
        due: Timestamp,
        /// What it comes after, itself or by way of others: of all that have a deadline, the one that is due last.
        after: ActivityId,
        /// The deadline of that.
        its_due: Timestamp,
    },
    /// A deadline is before the activity may begin.
    #[error(
        "activity `{activity}` is due at {due}, and may not begin before {not_before}; mend the instants"
    )]
    DueBeforeItBegins {
        /// Which.
        activity: ActivityId,
        /// Its deadline.
        due: Timestamp,
        /// When it may begin.
        not_before: Timestamp,
    },
}

fn circle(activities: &[(ActivityId, TeamId)]) -> String {
    let first = activities.first().into_iter();
    let all = activities.iter().chain(first).map(|(id, team)| format!("`{id}` ({team})"));
    all.collect::<Vec<_>>().join(" after ")
}

/// What follows from a calendar that makes sense.
pub(super) struct Checked {
    pub(super) departures: Vec<ScheduledDeparture>,
    pub(super) order: Vec<usize>,
    pub(super) before: Vec<Vec<usize>>,
    pub(super) bounds: Vec<(Timestamp, Timestamp)>,
    pub(super) hours: Hours,
    pub(super) frozen: Vec<FrozenDeparture>,
}

pub(super) fn check(spec: &CalendarSpec) -> Result<Checked, CalendarError> {
    if spec.from >= spec.until {
        return Err(CalendarError::Season { from: spec.from, until: spec.until });
    }
    for end in [spec.from, spec.until] {
        crate::window::instant_within_reach(end).map_err(CalendarError::OutOfReach)?;
    }
    within("activities", spec.activities.len(), MAX_ACTIVITIES)?;
    let dependencies = spec.activities.iter().map(|activity| activity.after.len()).sum();
    within("dependencies", dependencies, MAX_DEPENDENCIES)?;
    within("teams", spec.crews.len(), MAX_ACTIVITIES)?;
    within("trains", spec.trains.len(), MAX_TRAINS)?;
    let absences = spec.crews.iter().map(|crew| crew.absences.len()).sum();
    within("absences", absences, MAX_ABSENCES)?;
    let holidays = spec.crews.iter().map(|crew| crew.holidays.len()).sum();
    within("calendars of teams", holidays, MAX_ABSENCES)?;
    unique("trains", spec.trains.iter().map(|train| &train.id))?;
    unique("teams", spec.crews.iter().map(|crew| &crew.team))?;
    let mut away = Away::new(spec);
    spec.crews.iter().try_for_each(|crew| known(&away, crew))?;
    let mut hours = Hours::of_crews(spec, &mut away)?;
    let departures = departures(spec)?;
    unique("departures", departures.iter().map(|one| &one.id))?;
    let before = numbered(&spec.activities)?;
    let order = in_order(&before).map_err(|circle| {
        let named = circle.into_iter().filter_map(|number| spec.activities.get(number));
        CalendarError::Cycle(named.map(|one| (one.id.clone(), one.owner.clone())).collect())
    })?;
    let bounds = bounds(spec, &departures)?;
    deadlines(spec, &before, &order)?;
    let frozen = hours.freeze(spec, &departures)?;
    Ok(Checked { departures, order, before, bounds, hours, frozen })
}

pub(super) const fn within(
    what: &'static str,
    count: usize,
    max: usize,
) -> Result<(), CalendarError> {
    if count > max { Err(CalendarError::TooMany { what, count, max }) } else { Ok(()) }
}

/// Those of all trains; of too many no more is reckoned than it takes to see that.
fn departures(spec: &CalendarSpec) -> Result<Vec<ScheduledDeparture>, CalendarError> {
    let (mut all, mut deadlines) = (Vec::new(), 0_usize);
    for train in &spec.trains {
        let departures = train.departures(spec.from, spec.until)?;
        deadlines += departures.len().saturating_mul(train.deadlines.len());
        all.extend(departures);
        within("departures", all.len(), MAX_DEPARTURES)?;
        within("deadlines of departures", deadlines, MAX_DEADLINES)?;
    }
    Ok(all)
}

fn unique<'a, T: Ord + std::fmt::Display + 'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a T>,
) -> Result<(), CalendarError> {
    let mut seen = BTreeSet::new();
    let mut names = names;
    match names.find(|name| !seen.insert(*name)) {
        Some(twice) => Err(CalendarError::Duplicate { what, name: twice.to_string() }),
        None => Ok(()),
    }
}

fn known(away: &Away<'_>, crew: &Crew) -> Result<(), CalendarError> {
    if let Some(calendar) = crew.holidays.iter().find(|id| !away.knows(id)) {
        let (team, calendar) = (crew.team.clone(), calendar.clone());
        return Err(CalendarError::UnknownHolidays { team, calendar });
    }
    let inverted = crew.absences.iter().find(|absence| absence.from >= absence.until);
    if let Some(absence) = inverted {
        let problem = WindowProblem::Inverted { from: absence.from, until: absence.until };
        return Err(CalendarError::Crew { team: crew.team.clone(), problem });
    }
    Ok(())
}

fn numbered(activities: &[Activity]) -> Result<Vec<Vec<usize>>, CalendarError> {
    let mut numbers = BTreeMap::new();
    for (number, activity) in activities.iter().enumerate() {
        if numbers.insert(&activity.id, number).is_some() {
            let name = activity.id.to_string();
            return Err(CalendarError::Duplicate { what: "activities", name });
        }
    }
    let of = |activity: &Activity| {
        let number = |after: &ActivityId| {
            numbers.get(after).copied().ok_or_else(|| CalendarError::UnknownActivity {
                activity: activity.id.clone(),
                after: after.clone(),
            })
        };
        activity.after.iter().map(number).collect()
    };
    activities.iter().map(of).collect()
}

/// When each may begin, and has to be done.
fn bounds(
    spec: &CalendarSpec,
    departures: &[ScheduledDeparture],
) -> Result<Vec<(Timestamp, Timestamp)>, CalendarError> {
    let departures: BTreeMap<_, _> = departures.iter().map(|one| (&one.id, one)).collect();
    let of = |activity: &Activity| {
        let (mut begins, mut due) = (spec.from, spec.until);
        if let Some(id) = &activity.train {
            let unknown =
                || CalendarError::UnknownTrain { activity: activity.id.clone(), train: id.clone() };
            let train = departures.get(id).ok_or_else(unknown)?;
            let own = activity.deliverable.as_ref().and_then(|kind| train.deadlines.get(kind));
            due = own.copied().unwrap_or(match activity.phase {
                Phase::Development => train.boards_until,
                Phase::Qa => train.departs,
                Phase::Operations => train.validated,
            });
            if activity.phase == Phase::Operations {
                begins = begins.max(train.departs);
            }
        }
        let due = activity.due.unwrap_or(due).min(spec.until);
        if let Some(not_before) = activity.not_before {
            begins = begins.max(not_before);
        }
        if due < begins {
            let (activity, not_before) = (activity.id.clone(), begins);
            return Err(CalendarError::DueBeforeItBegins { activity, due, not_before });
        }
        Ok((begins, due))
    };
    spec.activities.iter().map(of).collect()
}

/// No deadline that somebody wrote may lie before another that has to be met first, also where what lies between has none. Those that
/// follow from trains are moved forward.
fn deadlines(
    spec: &CalendarSpec,
    before: &[Vec<usize>],
    order: &[usize],
) -> Result<(), CalendarError> {
    let written = |number: usize| spec.activities.get(number).and_then(|one| one.due);
    // Of each activity the one that is due last of all that it comes after, and then of itself and these.
    let mut awaited: Vec<Option<usize>> = vec![None; before.len()];
    let mut latest: Vec<Option<usize>> = vec![None; before.len()];
    let later = |one: Option<usize>, other: Option<usize>| {
        let due = |number: Option<usize>| number.and_then(written);
        if due(one) < due(other) { other } else { one }
    };
    for number in order {
        let all = before.get(*number).into_iter().flatten();
        let all = all.map(|earlier| latest.get(*earlier).copied().flatten());
        let last = all.fold(None, later);
        if let (Some(before), Some(own)) = (awaited.get_mut(*number), latest.get_mut(*number)) {
            (*before, *own) = (last, later(last, Some(*number)));
        }
    }
    for (activity, after) in spec.activities.iter().zip(awaited) {
        let Some(due) = activity.due else { continue };
        let after = after.and_then(|number| spec.activities.get(number));
        let Some((after, its_due)) = after.and_then(|one| Some((one.id.clone(), one.due?))) else {
            continue;
        };
        if due < its_due {
            let activity = activity.id.clone();
            return Err(CalendarError::DueBeforeWhatItWaitsFor { activity, due, after, its_due });
        }
    }
    Ok(())
}
