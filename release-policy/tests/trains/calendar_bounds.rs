//! Several departures on a day, and calendars of more than anybody reckons with.

use std::collections::BTreeSet;

use release_core::model::{Span, Timestamp};
use release_policy::train::calendar::{
    Absence, Activity, Calendar, CalendarError as Error, CalendarSpec, Conflict, Crew,
    MAX_ABSENCES, MAX_DEADLINES, MAX_DEPARTURES, MAX_TRAINS, Phase, ReleaseTrain,
};

use super::calendar::{hours, name};
use super::season::{at, autumn, weekly};
use super::support::id;

/// A train with no time kept before or after.
fn train(first: &str, rule: &str) -> ReleaseTrain {
    ReleaseTrain::new(id("twice"), id("release"), "Europe/Berlin", first, rule)
}

fn names(spec: &CalendarSpec) -> Vec<String> {
    let calendar = Calendar::new(spec.clone()).unwrap();
    calendar.departures().iter().map(|one| one.id.to_string()).collect()
}

#[test]
fn departures_of_one_day_are_told_apart_by_their_time() {
    let mut spec = autumn().with_train(ReleaseTrain {
        cut_off: hours(1),
        validation: hours(2),
        hotfixes: hours(2),
        ..train("2026-10-12T09:00", "FREQ=DAILY;BYHOUR=9,15;COUNT=5")
    });
    let all = [
        "twice-20261012-0900",
        "twice-20261012-1500",
        "twice-20261013-0900",
        "twice-20261013-1500",
        "twice-20261014",
    ];
    assert_eq!(names(&spec), all, "there is one on the last day");
    // Work finds its train by that name.
    let code = Activity::new(id("code"), Phase::Development, id("a"), hours(1));
    let solution = Calendar::new(spec.clone().with_activity(code.of_train(id(all[1]))));
    let solution = solution.unwrap().solve().unwrap();
    assert_eq!(solution.activities[&id("code")].latest_finish, at("2026-10-12T12:00:00Z"));
    // The same names, wherever a season begins and ends.
    spec.from = at("2026-10-12T10:00:00Z");
    spec.until = at("2026-10-13T10:00:00Z");
    assert_eq!(names(&spec), all[1..3]);
    let seconds = train("2026-10-12T09:00:30", "FREQ=DAILY;BYHOUR=9,15;COUNT=2");
    let all = ["twice-20261012-090030", "twice-20261012-150030"];
    assert_eq!(names(&autumn().with_train(seconds)), all);
}

#[test]
fn every_hour_has_a_name_of_its_own_also_when_the_clock_is_set() {
    for (from, hours) in [("2026-10-24", 3 * 24), ("2027-03-27", 3 * 24 - 1)] {
        let from = at(&format!("{from}T10:00:00Z"));
        let mut spec = CalendarSpec::new(from, from.plus(Span::secs(3 * 86_400)));
        let first = "2026-10-01T00:00";
        spec.trains.push(train(first, "FREQ=HOURLY"));
        let names = names(&spec);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(names.len().abs_diff(hours) <= 1, "{names:?}");
    }
}

/// That a calendar of too much is refused, and says of what, and how much there may be.
#[track_caller]
fn too_many(spec: CalendarSpec, what: &'static str, count: usize, max: usize) {
    let error = Calendar::new(spec).unwrap_err();
    assert_eq!(error, Error::TooMany { what, count, max });
    let told =
        format!("there are {count} {what}, and at most {max} are reckoned with; divide the season");
    assert_eq!(error.to_string(), told);
}

#[test]
fn a_million_of_anything_is_refused() {
    let million = 1_000_000;
    let mut trains = autumn();
    trains.trains = vec![weekly(); million];
    too_many(trains, "trains", million, MAX_TRAINS);
    // Of two teams together.
    let away = |team: &str, count: usize| Crew {
        absences: vec![seconds(0, 1); count],
        ..Crew::new(id(team), "UTC")
    };
    let half = || away("a", million / 2);
    let absences = autumn().with_crew(half()).with_crew(away("b", million / 2));
    too_many(absences, "absences", million, MAX_ABSENCES);
    let holidays = (0..million).map(|nth| id(&format!("c-{nth}"))).collect();
    let crew = Crew { holidays, ..Crew::new(id("a"), "UTC") };
    too_many(autumn().with_crew(crew), "calendars of teams", million, MAX_ABSENCES);
    // Four departures, and for each a million deadlines.
    let deadlines = (0..million).map(|nth| (id(&format!("d-{nth}")), hours(1))).collect();
    let spec = autumn().with_train(ReleaseTrain { deadlines, ..weekly() });
    too_many(spec, "deadlines of departures", 4 * million, MAX_DEADLINES);
}

#[test]
fn too_many_departures_are_refused_of_one_train_and_of_all() {
    let mut spec = CalendarSpec::new(at("2026-01-01T00:00:00Z"), at("2038-01-01T00:00:00Z"));
    let hourly = |nth: usize, rule: &str| ReleaseTrain {
        id: id(&format!("hourly-{nth}")),
        zone: "UTC".into(),
        ..train("2026-01-01T00:00", rule)
    };
    spec.trains.push(hourly(0, "FREQ=HOURLY"));
    // Twelve years with three leap days.
    too_many(spec.clone(), "departures", (12 * 365 + 3) * 24, MAX_DEPARTURES);
    let (most, each) = (MAX_DEPARTURES, 10_000);
    spec.trains = (0..=most / each).map(|nth| hourly(nth, "FREQ=HOURLY;COUNT=10000")).collect();
    too_many(spec.clone(), "departures", most + each, most);
    spec.trains.pop();
    assert_eq!(Calendar::new(spec).unwrap().departures().len(), most);
}

/// Away for a second from so many seconds after the season begins, so many times.
fn seconds(from: u64, lasts: u64) -> Absence {
    let from = autumn().from.plus(Span::secs(from));
    Absence { from, until: from.plus(Span::secs(lasts)), reason: "away".into() }
}

/// Somebody who is away for one second of each twenty, and has so many seconds of work.
fn interrupted(work: u64, due: u64) -> Calendar {
    let each = (0..MAX_ABSENCES as u64).map(|nth| seconds(20 * nth + 10, 1));
    let crew = Crew { absences: each.collect(), ..Crew::new(id("a"), "UTC") };
    let due = autumn().from.plus(Span::secs(due));
    let activity = Activity::new(id("work"), Phase::Qa, id("a"), Span::secs(work)).due(due);
    Calendar::new(autumn().with_crew(crew).with_activity(activity)).unwrap()
}

#[test]
fn of_a_hundred_thousand_absences_just_those_are_told_that_are_needed() {
    // Some 1,900 of them meet ten hours of work, and 901 make it later than 900 seconds after that.
    let conflict = interrupted(36_000, 36_900).solve().unwrap_err();
    assert!(conflict.minimal);
    assert_eq!(conflict.constraints.len(), 1 + 901);
    let told = conflict.to_string();
    assert!(told.ends_with(". Give up one of these, or shorten the work"));
    let text = serde_json::to_string(&conflict).unwrap();
    assert!(!text.contains("minimal"), "as it was written before");
    assert_eq!(serde_json::from_str::<Conflict>(&text).unwrap(), *conflict);
}

#[test]
fn where_a_hundred_thousand_are_needed_it_is_said_that_not_each_was_tried() {
    let work = 19 * MAX_ABSENCES as u64;
    let done = work + MAX_ABSENCES as u64;
    let conflict = interrupted(work, done - 1).solve().unwrap_err();
    assert_eq!((conflict.by, conflict.minimal), (Span::secs(1), false));
    assert_eq!(conflict.constraints.len(), 1 + MAX_ABSENCES);
    assert!(
        conflict.to_string().ends_with("not each was tried alone, so that one may not be enough")
    );
    let text = serde_json::to_string(&conflict).unwrap();
    assert_eq!(serde_json::from_str::<Conflict>(&text).unwrap(), *conflict);
    interrupted(work, done).solve().unwrap();
}

/// Each of as many activities as absences meets one of these, or none.
#[test]
fn what_holds_work_is_found_among_a_hundred_thousand_absences() {
    let mut spec = interrupted(1, 1).spec().clone();
    let begins = |nth: usize| autumn().from.plus(Span::secs(20 * nth as u64 + 9));
    spec.activities = (0..MAX_ABSENCES)
        .map(|nth| Activity {
            not_before: Some(begins(nth)),
            ..Activity::new(name(nth), Phase::Qa, id("a"), Span::secs(2)).due(at_second(nth))
        })
        .collect();
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    assert!(solution.activities.values().all(|timing| timing.held.len() == 1));
    assert!(solution.activities.values().all(|timing| timing.slack == Span::secs(1)));
}

/// Three seconds of which one is lost, and one second more.
fn at_second(nth: usize) -> Timestamp {
    autumn().from.plus(Span::secs(20 * nth as u64 + 13))
}
