//! What brute force says of small calendars, hour by hour.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{ActivityId, Span, Timestamp};
use release_core::plan::Place;
use release_policy::train::calendar::{
    Absence, Activity, Blocker, Calendar, CalendarError, CalendarSpec, Conflict, Constraint, Crew,
    Phase, Timing,
};
use release_policy::window::{Holiday, HolidayCalendar, When, WindowRules, WindowSpec};

use super::support::id;

const HOUR: u64 = 3_600;
/// So many hours have small seasons.
pub(super) const HOURS: u64 = 9;

pub(super) fn hour(hour: u64) -> Timestamp {
    id::<Timestamp>("2026-12-01T00:00:00Z").plus(Span::secs(hour * HOUR))
}

pub(super) fn hours(hours: u64) -> Span {
    Span::secs(hours * HOUR)
}

/// A small season in numbers of hours.
#[derive(Debug, Clone)]
pub(super) struct Small {
    pub(super) works: Vec<Work>,
    /// When each team is away.
    away: Vec<Vec<(u64, u64)>>,
    /// When each team works besides.
    there: Vec<There>,
    freezes: Vec<(u64, u64)>,
}

/// When a team is there.
#[derive(Debug, Clone, Copy)]
enum There {
    Always,
    /// At its hours alone: from and until.
    Hours(u64, u64),
    /// But for a holiday, four hours west of Greenwich: until that day is over, or from when it begins.
    Holiday {
        first: bool,
    },
}

/// The hour at which a day begins for teams with holidays.
const MIDNIGHT: u64 = 4;

impl There {
    fn is_there(self, hour: u64) -> bool {
        hour >= HOURS
            || match self {
                Self::Always => true,
                Self::Hours(from, until) => (from..until).contains(&hour),
                Self::Holiday { first } => (hour < MIDNIGHT) != first,
            }
    }

    fn crew(self, nth: usize) -> Crew {
        let zone = if matches!(self, Self::Holiday { .. }) { "Etc/GMT+4" } else { "UTC" };
        let mut crew = Crew::new(team(nth), zone);
        match self {
            Self::Always => {}
            Self::Hours(from, until) => {
                let start = format!("2026-12-01T{from:02}:00");
                crew.works = Some(When::rrule(&start, "FREQ=DAILY", format!("{}h", until - from)));
            }
            Self::Holiday { first } => {
                crew.holidays.insert(id(if first { "last-of-november" } else { "first" }));
            }
        }
        crew
    }
}

#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) hours: u64,
    team: usize,
    frozen: bool,
    pub(super) begins: u64,
    pub(super) due: Option<u64>,
    pub(super) after: BTreeSet<usize>,
}

fn stretch() -> impl Strategy<Value = (u64, u64)> {
    (0..HOURS, 1..4_u64).prop_map(|(from, lasts)| (from, (from + lasts).min(HOURS)))
}

/// Hours, team, whether freezes hold it, begin, deadline, and what it comes after, as bits.
type Drawn = (u64, usize, bool, u64, Option<u64>, u8);

fn small() -> impl Strategy<Value = Small> {
    seasons(1..=4, 4)
}

/// A season of up to so many activities, which take less each.
pub(super) fn small_of(most: usize) -> impl Strategy<Value = Small> {
    seasons(1..=most, 3)
}

fn seasons(count: std::ops::RangeInclusive<usize>, below: u64) -> impl Strategy<Value = Small> {
    let work = (
        0..below,
        0..2_usize,
        any::<bool>(),
        0..4_u64,
        proptest::option::weighted(0.3, 3..=HOURS),
        any::<u8>(),
    );
    let works = proptest::collection::vec(work, count).prop_map(|works| {
        let one = |(nth, (hours, team, frozen, begins, due, after)): (usize, Drawn)| {
            let after = (0..nth).filter(|before| after >> before & 1 == 1).collect();
            Work { hours, team, frozen, begins, due, after }
        };
        works.into_iter().enumerate().map(one).collect::<Vec<_>>()
    });
    // Up to three of each, so that those of one kind overlap.
    let some = || proptest::collection::vec(stretch(), 0..=3);
    let there = prop_oneof![
        2 => Just(There::Always),
        1 => stretch().prop_map(|(from, until)| There::Hours(from, (until + 4).min(HOURS))),
        1 => any::<bool>().prop_map(|first| There::Holiday { first }),
    ];
    let away = proptest::collection::vec(some(), 2..=2);
    let there = proptest::collection::vec(there, 2..=2);
    (works, away, there, some()).prop_map(|(works, away, there, freezes)| Small {
        works,
        away,
        there,
        freezes,
    })
}

pub(super) fn name(nth: usize) -> ActivityId {
    id(&format!("a-{nth}"))
}

fn team<T: std::str::FromStr<Err: std::fmt::Debug>>(nth: usize) -> T {
    id(&format!("team-{nth}"))
}

impl Small {
    /// With nothing that keeps anybody from work, and no deadline but the end.
    pub(super) fn always(&mut self) {
        (self.away, self.freezes) = (vec![Vec::new(); 2], Vec::new());
        self.there = vec![There::Always; 2];
        for work in &mut self.works {
            (work.begins, work.due) = (0, None);
        }
    }

    pub(super) fn spec(&self) -> CalendarSpec {
        let mut spec = CalendarSpec::new(hour(0), hour(HOURS));
        for (nth, work) in self.works.iter().enumerate() {
            let mut activity =
                Activity::new(name(nth), Phase::Qa, team(work.team), hours(work.hours));
            activity.after = work.after.iter().map(|before| name(*before)).collect();
            activity.not_before = (work.begins > 0).then(|| hour(work.begins));
            activity.due = work.due.map(hour);
            activity.place = work.frozen.then(|| Place::new(id("production")));
            spec.activities.push(activity);
        }
        for (nth, away) in self.away.iter().enumerate() {
            let mut crew = self.there[nth].crew(nth);
            crew.absences.extend(away.iter().map(|(from, until)| Absence {
                from: hour(*from),
                until: hour(*until),
                reason: "away".into(),
            }));
            spec.crews.push(crew);
        }
        let window = |(nth, (from, until)): (usize, &(u64, u64))| {
            let when = When::Between { from: hour(*from), until: hour(*until) };
            WindowSpec::freeze(id(&format!("freeze-{nth}")), when, id("sre"), "peak")
                .build()
                .unwrap()
        };
        let calendar = |(name, day): (&str, &str)| {
            HolidayCalendar::new(id(name), [Holiday::new(name, day.parse().unwrap())]).unwrap()
        };
        let days = [("last-of-november", "2026-11-30"), ("first", "2026-12-01")];
        let rules = WindowRules {
            windows: self.freezes.iter().enumerate().map(window).collect(),
            calendars: days.map(calendar).into(),
            ..WindowRules::default()
        };
        spec.windows = rules.try_into().unwrap();
        spec
    }

    pub(super) fn blocked(&self, work: &Work, hour: u64) -> bool {
        let within = |(from, until): &(u64, u64)| (*from..*until).contains(&hour);
        !self.there[work.team].is_there(hour)
            || self.away[work.team].iter().any(within)
            || (work.frozen && self.freezes.iter().any(within))
    }

    /// When work is done that begins at `start`, hour by hour; none where it cannot begin then.
    pub(super) fn done(&self, work: &Work, start: u64) -> Option<u64> {
        if work.hours == 0 {
            return Some(start);
        }
        if self.blocked(work, start) {
            return None;
        }
        let mut left = work.hours;
        let mut hour = start;
        while left > 0 {
            left -= u64::from(!self.blocked(work, hour));
            hour += 1;
        }
        Some(hour)
    }

    /// Every way to begin all of it that keeps everything: of each activity, when it begins and when it is done.
    fn ways(&self) -> Vec<Vec<(u64, u64)>> {
        let mut ways = vec![Vec::new()];
        for work in &self.works {
            let mut more = Vec::new();
            for way in &ways {
                let from = work.after.iter().map(|before| {
                    let done: (u64, u64) = way[*before];
                    done.1
                });
                let from = from.max().unwrap_or(0).max(work.begins);
                for start in from..=HOURS {
                    let Some(done) = self.done(work, start) else { continue };
                    if done <= work.due.unwrap_or(HOURS) {
                        let mut way = way.clone();
                        way.push((start, done));
                        more.push(way);
                    }
                }
            }
            ways = more;
        }
        ways
    }

    /// Whether all can be as soon as it can be, with these constraints alone, hour by hour.
    fn keeps(&self, constraints: &[&Constraint]) -> bool {
        let has = |wanted: &Constraint| constraints.contains(&wanted);
        let mut done = Vec::new();
        for (nth, work) in self.works.iter().enumerate() {
            let linked = |before: &&usize| {
                has(&Constraint::After { activity: name(nth), after: name(**before) })
            };
            let from = work.after.iter().filter(linked).map(|before| done[*before]).max();
            let mut start = from.unwrap_or(0);
            if has(&Constraint::NotBefore { activity: name(nth), at: hour(work.begins) }) {
                start = start.max(work.begins);
            }
            let away = |(from, until): &&(u64, u64)| {
                let (team, reason) = (team(work.team), "away".into());
                has(&Constraint::Blocked {
                    by: Blocker::Absence { team, reason, from: hour(*from), until: hour(*until) },
                })
            };
            let freeze = |(nth, (from, until)): &(usize, &(u64, u64))| {
                let window = id(&format!("freeze-{nth}"));
                has(&Constraint::Blocked {
                    by: Blocker::Freeze { window, from: hour(*from), until: hour(*until) },
                })
            };
            let hours = |constraint: &&&Constraint| matches!(constraint, Constraint::Blocked { by: Blocker::OffHours { team: of } | Blocker::Holiday { team: of, .. } } if *of == team(work.team));
            let mut less = self.clone();
            if !constraints.iter().any(|constraint| hours(&constraint)) {
                less.there[work.team] = There::Always;
            }
            less.away[work.team] = self.away[work.team].iter().filter(away).copied().collect();
            less.freezes =
                self.freezes.iter().enumerate().filter(freeze).map(|(_, one)| *one).collect();
            let ends = (start..).find_map(|start| less.done(work, start)).unwrap();
            let due = work.due.unwrap_or(HOURS);
            if ends > due
                && has(&Constraint::Due {
                    activity: name(nth),
                    owner: team(work.team),
                    at: hour(due),
                })
            {
                return false;
            }
            done.push(ends);
        }
        true
    }
}

fn check_timings(small: &Small, ways: &[Vec<(u64, u64)>], calendar: &Calendar) {
    let solution =
        calendar.solve().unwrap_or_else(|conflict| panic!("{conflict}, and {:?}", ways[0]));
    for nth in 0..small.works.len() {
        let of = |end: fn(&(u64, u64)) -> u64| ways.iter().map(move |way| end(&way[nth]));
        let Timing { earliest_start, earliest_finish, latest_start, latest_finish, slack, .. } =
            &solution.activities[&name(nth)];
        let starts = (of(|one| one.0).min().unwrap(), of(|one| one.0).max().unwrap());
        let ends = (of(|one| one.1).min().unwrap(), of(|one| one.1).max().unwrap());
        assert_eq!(
            (*earliest_start, *latest_start),
            (hour(starts.0), hour(starts.1)),
            "starts of {nth}"
        );
        assert_eq!(
            (*earliest_finish, *latest_finish),
            (hour(ends.0), hour(ends.1)),
            "ends of {nth}"
        );
        let free = (starts.0..starts.1).filter(|hour| !small.blocked(&small.works[nth], *hour));
        assert_eq!(*slack, hours(free.count() as u64));
    }
    let least = solution.activities.values().map(|timing| timing.slack).min().unwrap();
    assert!(!solution.critical_path.is_empty());
    for critical in &solution.critical_path {
        assert_eq!(solution.activities[critical].slack, least, "{critical}");
    }
    for pair in solution.critical_path.windows(2) {
        let (one, next) = (&solution.activities[&pair[0]], &solution.activities[&pair[1]]);
        assert!(one.earliest_finish <= next.earliest_start);
        assert!(
            calendar
                .spec()
                .activities
                .iter()
                .any(|a| a.id == pair[1] && a.after.contains(&pair[0]))
        );
    }
}

fn check_conflict(small: &Small, conflict: &Conflict) {
    let all: Vec<&Constraint> = conflict.constraints.iter().collect();
    assert!(conflict.minimal && !small.keeps(&all), "{conflict}");
    for nth in 0..all.len() {
        let mut fewer = all.clone();
        let without = fewer.remove(nth);
        assert!(small.keeps(&fewer), "without {without}: {conflict}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_solved_is_what_brute_force_finds(small in small()) {
        let ways = small.ways();
        match Calendar::new(small.spec()) {
            Ok(calendar) if ways.is_empty() => check_conflict(&small, &calendar.solve().unwrap_err()),
            Ok(calendar) => check_timings(&small, &ways, &calendar),
            Err(CalendarError::DueBeforeItBegins { .. }) => prop_assert!(ways.is_empty()),
            // It is refused for what it says, whether it could be kept or not.
            Err(CalendarError::DueBeforeWhatItWaitsFor { activity, due, after, its_due }) => {
                let spec = small.spec();
                let known = |name| spec.activities.iter().find(|one| one.id == name).unwrap().due;
                prop_assert!(due < its_due);
                prop_assert_eq!((known(activity), known(after)), (Some(due), Some(its_due)));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
