//! Windows that cannot be used are refused by name, and nothing panics.

use proptest::prelude::*;
use release_core::model::Timestamp;
use release_policy::window::{
    Holiday, HolidayCalendar, MAX_WINDOWS, When, WindowProblem, WindowRules, WindowSpec, Windows,
    WindowsError,
};

use super::support::{between, freeze, name};

#[test]
fn f44_every_error_names_the_window_and_how_to_mend_it() {
    let rule = |text: &str| When::rrule("2026-01-01", text, "1h");
    let cases = [
        (When::once("2026-13-01", "1h"), "is not a local date and time"),
        (When::once("2016-12-31T23:59:60", "1h"), "is not a local date and time"),
        (When::once("2026-01-01T10:00Z", "1h"), "without a zone"),
        (When::once("2026-01-01", "0s"), "no time at all"),
        (When::once("2026-01-01", "-5m"), "it is negative"),
        (When::once("2026-01-01", "18446744073709551616s"), "longer than can be counted"),
        (When::once("2026-01-01", "18446744073709551615s"), "at most 366 days"),
        (When::once("2026-01-01", "1500ms"), "whole seconds"),
        (When::once("1969-12-31", "1h"), "out of reach"),
        (When::once("2106-12-31", "1h"), "out of reach"),
        (between("2026-01-02T00:00", "2026-01-01T00:00"), "before its begin"),
        (between("2026-01-02T00:00", "2026-01-02T00:00"), "no time at all"),
        (rule("FREQ=SOMETIMES"), "not a recurrence rule"),
        (rule(""), "not a recurrence rule"),
        (rule("FREQ=DAILY\nRRULE:FREQ=DAILY"), "one rule stands on one line"),
        (rule("FREQ=MINUTELY"), "every hour at most"),
        (rule("FREQ=DAILY;UNTIL=tomorrow"), "is no date"),
        (rule("FREQ=DAILY;UNTIL=20270101;UNTIL=20280101"), "stands twice"),
        (rule("FREQ=DAILY;COUNT=3;UNTIL=20270101"), "cannot stand together"),
        (rule("FREQ=DAILY;COUNT=4294967295"), "more than 10000 dates"),
        (rule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "never begins"),
        (rule("FREQ=DAILY;UNTIL=20251231"), "never begins"),
        (
            rule("FREQ=DAILY;BYHOUR=0,6,12,18;BYMINUTE=0,10,20,30,40,50;BYSECOND=0,30"),
            "more than 10000 times",
        ),
        (When::cron("* * * *", "1h"), "five fields"),
        (When::cron("0 0 * * * *", "1h"), "five fields"),
        (When::cron("61 * * * *", "1h"), "not a cron expression"),
        (When::cron("0 0 30 2 *", "1h"), "never begins"),
        (When::cron("* * * * *", "1h"), "more than 10000 times"),
        (
            When::Holidays {
                calendar: name("de"),
                categories: vec![],
                start: "25:00".into(),
                lasts: "1h".into(),
            },
            "is not a local",
        ),
    ];
    for (when, want) in cases {
        let error = freeze("peak", when.clone()).build().expect_err(want).to_string();
        assert!(error.starts_with("window `peak`: ") && error.contains(want), "{when:?}: {error}");
    }
    let zone = freeze("peak", between("2026-01-01T00:00", "2026-01-02T00:00"))
        .zone("Mars/Olympus")
        .build();
    assert!(zone.unwrap_err().to_string().contains("`Mars/Olympus` is not a time zone"));
    let none = freeze("peak", between("2026-01-01T00:00", "2026-01-02T00:00")).actions([]).build();
    assert_eq!(none.unwrap_err().problem, WindowProblem::NoActions);
}

#[test]
fn windows_that_do_not_go_together_are_refused_by_name() {
    let window = |id: &str| freeze(id, between("2026-01-01T00:00", "2026-01-02T00:00"));
    let refused = |specs: Vec<WindowSpec>| {
        let made = specs.into_iter().map(|spec| spec.build().unwrap());
        match Windows::new(made).unwrap_err() {
            WindowsError::Window(error) => error,
            other => panic!("{other}"),
        }
    };
    let twice = refused(vec![window("a"), window("b"), window("a")]);
    assert_eq!((twice.window.as_str(), twice.problem), ("a", WindowProblem::Duplicate));
    let unknown = refused(vec![window("a").except_holidays(name("de"))]);
    assert_eq!(
        unknown.to_string(),
        "window `a`: there is no calendar `de`; add it, or mend the name"
    );
    let unknown = refused(vec![freeze("h", When::holidays(name("de")))]);
    assert_eq!(unknown.problem, WindowProblem::UnknownCalendar(name("de")));
    let many: Vec<_> = (0..100_000).map(|n| window(&format!("w{n}"))).collect();
    let many = refused(many);
    assert_eq!(many.problem, WindowProblem::TooMany { count: 100_000, max: MAX_WINDOWS });
    assert_eq!(many.window, "w10000", "the first too many");
    let calendar = HolidayCalendar::new(name("de"), []).unwrap();
    let rules =
        WindowRules { calendars: vec![calendar.clone(), calendar], ..WindowRules::default() };
    assert!(matches!(Windows::try_from(rules), Err(WindowsError::DuplicateCalendar(_))));
}

#[test]
fn holidays_that_cannot_be_are_refused_by_name() {
    let day = |text: &str| Holiday::new("Xmas", text.parse().unwrap());
    let bad = |holiday| HolidayCalendar::new(name("de"), [holiday]).unwrap_err().to_string();
    let rule = Holiday { rule: Some("FREQ=NEVER".into()), ..day("2026-12-25") };
    assert!(
        bad(rule).starts_with("calendar `de`, holiday `Xmas` of 2026-12-25: `FREQ=NEVER` is not")
    );
    assert!(bad(Holiday { days: 0, ..day("2026-12-25") }).contains("no time at all"));
    assert!(bad(day("1815-06-18")).contains("out of reach"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn f44_no_rule_and_no_cron_expression_panics(
        rule in "(RRULE:)?FREQ=(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY)(;(INTERVAL|COUNT|BYMONTH|BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYSETPOS|BYHOUR|BYMINUTE)=-?[0-9]{1,5}(,-?[0-9]{1,3})?|;BY(DAY|EASTER)=-?[0-9]{0,3}(MO|SU)|;WKST=[A-Z]{2}|;UNTIL=[0-9]{8}(T[0-9]{6}Z?)?){0,4}",
        cron in "([0-9*/,LW#?-]{1,4} ){4}[0-9*/,LW#?A-Z-]{1,4}",
        noise in ".{0,40}",
    ) {
        for when in [When::rrule("2020-02-29T01:30", rule, "1h"), When::cron(cron, "1h"), When::rrule("2020-02-29", noise.clone(), "1h"), When::cron(noise.clone(), noise.clone()), When::once(noise, "1h")] {
            if let Ok(window) = freeze("w", when).build() {
                let windows = Windows::new([window]).unwrap();
                let (from, until) = (Timestamp::from_micros(1 << 50), Timestamp::from_micros((1 << 50) + (1 << 44)));
                prop_assert!(windows.stretches(&name("w"), from, until).is_some());
            }
        }
    }
}
