//! The season as it is planned: trains, the work for them, the team that will be late, freezes; and the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use release_core::model::{
    ActivityId, Digest, EnvironmentId, ServiceId, Span, TeamId, Timestamp, TrainId, WindowId,
};
use release_policy::train::calendar::{
    Activity, Calendar, CalendarSpec, Crew, Phase, ReleaseTrain, Solution,
};
use release_policy::window::{Holiday, HolidayCalendar, When, WindowRules, WindowSpec, Windows};

use crate::play::Failure;
use crate::services::TEAMS;

/// Seconds.
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const WEEK: u64 = 7 * DAY;

/// How many weeks, each with a train on Thursday.
pub(crate) const WEEKS: u64 = 13;
/// The week in whose train a team is late.
pub(crate) const LATE_WEEK: u64 = 4;
/// The week of whose train a version fails in one region.
pub(crate) const FAILING_WEEK: u64 = 11;
/// The weeks after whose trains something is mended at once.
pub(crate) const HOTFIX_WEEKS: [u64; 2] = [2, 5];

pub(crate) const PRODUCTION: &str = "production";
const ZONE: &str = "Europe/Berlin";
const BEGINS: &str = "2026-11-02T00:00:00Z"; // a Monday
const HOLIDAYS: (&str, &str) = ("2026-12-19T00:00", "16d");
const FRIDAYS: (&str, &str) = ("2026-11-06T00:00", "FREQ=WEEKLY;BYDAY=FR");

/// The teams of which one is late, since others wait for what they have, each with a service whose writings [`READER`] reads.
const WRITERS: [(&str, &str); 4] = [
    ("catalogue", "stock"),
    ("identity", "sessions"),
    ("orders", "returns"),
    ("payments", "refunds"),
];
const READER: &str = "events"; // of another team

/// Draws that depend on the seed and their topic alone, never on what was drawn before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number from `from` to `to`, both included.
    pub(crate) fn draw(self, topic: &str, from: u64, to: u64) -> u64 {
        let digest = Digest::of(format!("{}/{topic}", self.0).as_bytes());
        let bytes = digest.as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        from + u64::from_be_bytes(bytes) % (to - from + 1)
    }

    /// One of these.
    pub(crate) fn one_of<'a, T>(self, topic: &str, all: &'a [T]) -> Option<&'a T> {
        let last = u64::try_from(all.len()).ok()?.checked_sub(1)?;
        all.get(usize::try_from(self.draw(topic, 0, last)).ok()?)
    }
}

/// A season as it is planned.
#[derive(Debug)]
pub(crate) struct Season {
    pub(crate) dice: Dice,
    pub(crate) calendar: Calendar,
    pub(crate) solution: Solution,
    /// The team that is late in [`LATE_WEEK`].
    pub(crate) late: &'static str,
    /// A service of that team and one of another that have one version in common: they go along in the same, or not at all.
    pub(crate) shared: BTreeSet<ServiceId>,
    /// What the calendar said of its work before that was moved to the next train.
    pub(crate) conflict: String,
    /// Departures that do not take place, with the freeze that holds then.
    pub(crate) frozen: BTreeMap<TrainId, WindowId>,
    /// When production may not be half changed, in order.
    pub(crate) closed: Vec<(Timestamp, Timestamp)>,
}

pub(crate) fn begins() -> Result<Timestamp, Failure> {
    Ok(BEGINS.parse()?)
}

/// The instant `weeks` weeks after the season begins.
fn monday(weeks: u64) -> Result<Timestamp, Failure> {
    Ok(begins()?.plus(Span::secs(weeks * WEEK)))
}

/// The instant so long before another.
pub(crate) fn before(at: Timestamp, span: Span) -> Timestamp {
    let micros = i64::try_from(span.as_duration().as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(at.as_micros().saturating_sub(micros))
}

impl Season {
    /// The season of this seed, with Fridays frozen or not.
    pub(crate) fn new(seed: u64, fridays: bool) -> Result<Self, Failure> {
        let dice = Dice(seed);
        let windows = freezes(fridays)?;
        let trains = trains(windows.clone())?;
        let bare = Calendar::new(trains.clone())?.solve().map_err(|conflict| *conflict)?;
        let frozen: BTreeMap<_, _> =
            bare.frozen.into_iter().map(|one| (one.train, one.window)).collect();
        let (late, writer) = *dice.one_of("late", &WRITERS).ok_or("nobody is late")?;
        let shared = [writer, READER].into_iter().map(str::parse::<ServiceId>);
        let shared = shared.collect::<Result<BTreeSet<_>, _>>()?;
        let planned = with_work(&trains, dice, (late, LATE_WEEK), &frozen)?;
        let Err(conflict) = Calendar::new(planned)?.solve() else {
            return Err(format!("{late} is in time, and should not be").into());
        };
        let moved = with_work(&trains, dice, (late, LATE_WEEK + 1), &frozen)?;
        let calendar = Calendar::new(moved)?;
        let solution = calendar.solve().map_err(|conflict| *conflict)?;
        let closed = closed(&windows)?;
        let conflict = conflict.to_string();
        Ok(Self { dice, calendar, solution, late, shared, conflict, frozen, closed })
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.calendar.spec().windows
    }

    /// When a team has done what it does in a week, if it does something.
    pub(crate) fn done(&self, team: &str, week: u64) -> Result<Option<Timestamp>, Failure> {
        let timing = self.solution.activities.get(&work_of(team, week)?);
        Ok(timing.map(|timing| timing.earliest_finish))
    }

    /// Time within `[from, until)` in which no freeze holds.
    pub(crate) fn free(&self, from: Timestamp, until: Timestamp) -> Span {
        let held = self
            .closed
            .iter()
            .map(|(begins, ends)| until.min(*ends).since(from.max(*begins)).as_duration());
        let held: Duration = held.sum();
        until.since(from).as_duration().saturating_sub(held).into()
    }
}

/// Production is frozen over the holidays, and on Fridays where somebody asks what if.
fn freezes(fridays: bool) -> Result<Windows, Failure> {
    let sre: TeamId = "sre".parse()?;
    let (from, lasts) = HOLIDAYS;
    let when = When::once(from, lasts);
    let mut all = vec![WindowSpec::freeze("holidays".parse()?, when, sre.clone(), "few are there")];
    if fridays {
        let (from, rule) = FRIDAYS;
        let when = When::rrule(from, rule, "24h");
        all.push(WindowSpec::freeze("fridays".parse()?, when, sre, "what if"));
    }
    let production: EnvironmentId = PRODUCTION.parse()?;
    let built =
        all.into_iter().map(|one| one.zone(ZONE).in_environment(production.clone()).build());
    let off = [("Christmas", "2026-12-24", 3), ("New Year", "2027-01-01", 1)];
    let off = off.into_iter().map(|(name, on, days)| {
        Ok(Holiday { days, ..Holiday::new(name, on.parse().map_err(Failure::from)?) })
    });
    let days = HolidayCalendar::new("de".parse()?, off.collect::<Result<Vec<_>, Failure>>()?)?;
    let windows = built.collect::<Result<_, _>>()?;
    let rules = WindowRules { windows, calendars: vec![days], ..WindowRules::default() };
    Ok(rules.try_into()?)
}

/// All freezes as stretches that neither touch nor overlap.
fn closed(windows: &Windows) -> Result<Vec<(Timestamp, Timestamp)>, Failure> {
    let (from, until) = (begins()?, monday(WEEKS + 4)?);
    let each = windows.iter().filter_map(|one| windows.stretches(one.id(), from, until));
    let mut all: Vec<_> = each.flatten().collect();
    all.sort_unstable();
    let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (from, until) in all {
        match merged.last_mut() {
            Some((_, last)) if from <= *last => *last = until.max(*last),
            _ => merged.push((from, until)),
        }
    }
    Ok(merged)
}

/// The trains, without work: on Thursdays at nine, boarding until a day before, then 32 hours to validate and 24 for hotfixes.
fn trains(windows: Windows) -> Result<CalendarSpec, Failure> {
    let rule = "FREQ=WEEKLY;BYDAY=TH";
    let weekly = ReleaseTrain {
        cut_off: Span::secs(DAY),
        validation: Span::secs(32 * HOUR),
        hotfixes: Span::secs(DAY),
        ..ReleaseTrain::new("weekly".parse()?, "release".parse()?, ZONE, "2026-11-05T09:00", rule)
    };
    let mut spec = CalendarSpec::new(begins()?, monday(WEEKS)?).with_train(weekly);
    spec.windows = windows;
    Ok(spec)
}

/// What a team does in a week.
fn work_of(team: &str, week: u64) -> Result<ActivityId, Failure> {
    Ok(format!("{team}-w{week:02}").parse()?)
}

/// Weeks in which people work: not the one between the years.
pub(crate) const fn works(week: u64) -> bool {
    week != 9
}

/// With the work of all teams, each week's for the next train that departs; of the late team, that of its week for the train of
/// another.
fn with_work(
    trains: &CalendarSpec,
    dice: Dice,
    (late, late_for): (&str, u64),
    frozen: &BTreeMap<TrainId, WindowId>,
) -> Result<CalendarSpec, Failure> {
    let departures = Calendar::new(trains.clone())?.departures().to_vec();
    let next = |week: u64| {
        let mut from = departures.iter().skip(usize::try_from(week - 1).unwrap_or(usize::MAX));
        from.find(|one| !frozen.contains_key(&one.id)).map(|one| one.id.clone())
    };
    let mut spec = trains.clone();
    let mut verified: BTreeMap<TrainId, BTreeSet<ActivityId>> = BTreeMap::new();
    for (team, _) in TEAMS {
        let mut crew = Crew::new(team.parse()?, ZONE).observing("de".parse()?);
        let office = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR";
        crew.works = Some(When::rrule("2026-11-02T09:00", office, "8h"));
        if team == late {
            let from = monday(LATE_WEEK - 1)?;
            crew = crew.away(from, from.plus(Span::secs(2 * DAY)), "all are ill");
        }
        spec.crews.push(crew);
        for week in (1..=WEEKS).filter(|week| works(*week)) {
            let is_late = team == late && week == LATE_WEEK;
            let (least, most) = match week {
                1 => (6, 14), // there were two days only
                _ if is_late => (20, 26),
                _ => (8, 28),
            };
            let id = work_of(team, week)?;
            let work = Span::secs(dice.draw(&format!("work/{id}"), least, most) * HOUR);
            let mut activity = Activity::new(id, Phase::Development, team.parse()?, work);
            activity.not_before = Some(match week {
                1 => begins()?,
                10 => monday(week - 2)?, // there are holidays between
                _ => monday(week - 2)?.plus(Span::secs(3 * DAY)),
            });
            activity.train = next(if is_late { late_for } else { week });
            if let Some(train) = &activity.train {
                verified.entry(train.clone()).or_default().insert(activity.id.clone());
            }
            spec.activities.push(activity);
        }
    }
    for (train, after) in verified {
        let id = format!("verify-{train}").parse()?;
        let work = Span::secs(4 * HOUR);
        let verify = Activity { after, ..Activity::new(id, Phase::Qa, "release".parse()?, work) };
        spec.activities.push(verify.of_train(train));
    }
    Ok(spec)
}
