//! Calendars that are refused, and trains that may overlap.

use release_core::model::{Span, Timestamp};
use release_policy::train::calendar::{
    Activity, Calendar, CalendarError as Error, CalendarSpec, Crew, MAX_ACTIVITIES, Phase,
    ReleaseTrain, ScheduledDeparture,
};

use super::calendar::{hour, hours, name};
use super::season::{at, autumn, days, weekly};
use super::support::id;

#[test]
fn a_circle_is_named_however_many_wait_for_it() {
    let mut spec = autumn();
    spec.activities = (0..5_000)
        .map(|nth| Activity::new(name(nth), Phase::Qa, id("a"), hours(1)).after(id("x")))
        .collect();
    let spec = spec
        .with_activity(Activity::new(id("x"), Phase::Qa, id("b"), hours(1)).after(id("y")))
        .with_activity(Activity::new(id("y"), Phase::Qa, id("c"), hours(1)).after(id("x")));
    refused(spec, cycle, "wait for each other: `x` (b) after `y` (c) after `x` (b)");
    let mut ring = autumn();
    ring.activities = (0..20_000)
        .map(|nth| {
            Activity::new(name(nth), Phase::Qa, id("a"), hours(1)).after(name((nth + 1) % 20_000))
        })
        .collect();
    refused(ring, cycle, "`a-19999` (a)");
}

fn cycle(error: &Error) -> bool {
    matches!(error, Error::Cycle(_))
}

/// That a calendar is refused by the error of this kind, which says this.
#[track_caller]
fn refused(spec: CalendarSpec, kind: impl Fn(&Error) -> bool, why: &str) {
    let error = Calendar::new(spec).unwrap_err();
    assert!(kind(&error), "{error:?}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let work = |name: &str, team: &str| Activity::new(id(name), Phase::Qa, id(team), hours(1));
    let circle = autumn()
        .with_activity(work("a", "one").after(id("b")))
        .with_activity(work("b", "two").after(id("c")))
        .with_activity(work("c", "three").after(id("a")))
        .with_activity(work("d", "four").after(id("e")))
        .with_activity(work("e", "five").after(id("d")));
    refused(circle, cycle, "wait for each other: `d` (four) after `e` (five) after `d` (four)");
    let sooner = autumn()
        .with_activity(work("a", "one").due(at("2026-10-20T00:00:00Z")))
        .with_activity(work("b", "two").after(id("a")).due(at("2026-10-19T00:00:00Z")));
    refused(
        sooner,
        |error| matches!(error, Error::DueBeforeWhatItWaitsFor { activity, after, .. } if (activity.as_str(), after.as_str()) == ("b", "a")),
        "activity `b` is due at 2026-10-19T00:00:00.000000Z, and comes after `a`, which is due at 2026-10-20",
    );
    refused(
        autumn().with_activity(work("a", "one").due(at("2026-10-01T00:00:00Z"))),
        |error| matches!(error, Error::DueBeforeItBegins { not_before, .. } if *not_before == autumn().from),
        "may not begin before",
    );
    refused(
        autumn().with_activity(work("a", "one").after(id("x"))),
        |error| matches!(error, Error::UnknownActivity { after, .. } if after.as_str() == "x"),
        "comes after `x`, which is none",
    );
    refused(
        autumn().with_activity(work("a", "one").of_train(id("weekly-1"))),
        |error| matches!(error, Error::UnknownTrain { train, .. } if train.as_str() == "weekly-1"),
        "none of that name departs",
    );
    let twice = autumn().with_activity(work("a", "one")).with_activity(work("a", "one"));
    let duplicate = |error: &Error| matches!(error, Error::Duplicate { .. });
    refused(twice, duplicate, "two activities `a`");
    refused(autumn().with_train(weekly()).with_train(weekly()), duplicate, "two trains `weekly`");
    refused(
        CalendarSpec::new(hour(1), hour(1)),
        |error| matches!(error, Error::Season { .. }),
        "the season ends at",
    );
    refused(
        CalendarSpec::new(at("2026-01-01T00:00:00Z"), Timestamp::from_micros(i64::MAX)),
        |error| matches!(error, Error::OutOfReach(_)),
        "the season: ",
    );
}

#[test]
fn trains_and_teams_that_make_no_sense_are_refused() {
    let train =
        |error: &Error| matches!(error, Error::Train { train, .. } if train.as_str() == "weekly");
    let crew = |error: &Error| matches!(error, Error::Crew { team, .. } if team.as_str() == "a");
    refused(
        autumn().with_train(ReleaseTrain { hotfixes: days(7), ..weekly() }),
        |error| matches!(error, Error::Overlapping { closes, departs, .. } if closes > departs),
        "train `weekly-20261020` departs at 2026-10-20T08:00:00.000000Z, before the time of `weekly-20261013` is over",
    );
    refused(
        autumn().with_train(ReleaseTrain { zone: "Mars/Olympus".into(), ..weekly() }),
        train,
        "`Mars/Olympus` is not a time zone",
    );
    refused(
        autumn().with_train(ReleaseTrain { rule: "FREQ=OFTEN".into(), ..weekly() }),
        train,
        "is not a recurrence rule",
    );
    refused(
        autumn().with_train(ReleaseTrain { first: "2030-01-01".into(), ..weekly() }),
        |error| matches!(error, Error::NoDepartures { .. }),
        "train `weekly` does not depart",
    );
    refused(
        autumn().with_train(ReleaseTrain { cut_off: days(40_000), ..weekly() }),
        |error| matches!(error, Error::TooEarly { .. }),
        "which is before 1970",
    );
    refused(
        autumn().with_crew(Crew::new(id("a"), "Mars/Olympus")),
        crew,
        "team `a`: `Mars/Olympus`",
    );
    refused(
        autumn().with_crew(Crew::new(id("a"), "Mars/Olympus").away(hour(0), hour(1), "x")),
        crew,
        "team `a`: `Mars/Olympus`",
    );
    refused(
        autumn().with_crew(Crew::new(id("a"), "UTC").observing(id("de"))),
        |error| matches!(error, Error::UnknownHolidays { calendar, .. } if calendar.as_str() == "de"),
        "no calendar of `windows`",
    );
}

/// A line keeps its own time free for itself; another has other teams, and a time of its own.
#[test]
fn trains_of_two_lines_may_overlap_and_those_of_one_may_not() {
    let other = ReleaseTrain {
        id: id("mobile"),
        first: "2026-10-14T10:00".into(),
        rule: "FREQ=WEEKLY;BYDAY=WE".into(),
        ..weekly()
    };
    let calendar = Calendar::new(autumn().with_train(weekly()).with_train(other.clone())).unwrap();
    let [one, two] =
        ["weekly-20261013", "mobile-20261014"].map(|name| calendar.departure(&id(name)).unwrap());
    assert!(one.departs < two.departs && two.departs < one.closes, "{one:?} {two:?}");
    // Each is as it would be alone.
    for train in [weekly(), other] {
        let alone = Calendar::new(autumn().with_train(train.clone())).unwrap();
        let of_line = |one: &&ScheduledDeparture| one.id.as_str().starts_with(train.id.as_str());
        let both: Vec<_> = calendar.departures().iter().filter(of_line).cloned().collect();
        assert_eq!(both, alone.departures());
    }
    let daily = ReleaseTrain { rule: "FREQ=DAILY".into(), ..weekly() };
    refused(
        autumn().with_train(daily),
        |error| matches!(error, Error::Overlapping { .. }),
        "depart more rarely",
    );
}

#[test]
fn a_million_activities_are_refused_and_the_most_are_solved() {
    let work = |nth: usize| Activity::new(name(nth), Phase::Qa, id("a"), Span::secs(1));
    let mut spec = autumn();
    spec.activities = (0..1_000_000).map(work).collect();
    let too_many = |error: &Error| {
        matches!(
            error,
            Error::TooMany { what: "activities", count: 1_000_000, max: MAX_ACTIVITIES }
        )
    };
    refused(spec.clone(), too_many, "1000000 activities, and at most 100000");
    spec.activities.truncate(MAX_ACTIVITIES);
    let linked = spec.activities.iter_mut().enumerate().skip(1);
    linked.for_each(|(nth, one)| {
        one.after.insert(name(nth - 1));
    });
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    assert_eq!(solution.critical_path.len(), MAX_ACTIVITIES);
}
