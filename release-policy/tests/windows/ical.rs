//! iCalendar, read and written.

use release_core::model::Timestamp;
use release_policy::window::ical::{
    Defaults, EventProblem, IcalError, read_holidays, read_windows, write_holidays, write_windows,
};
use release_policy::window::{
    ActionClass, HolidayCalendar, Invokers, Kind, OnStart, When, Windows,
};

use super::support::{all, at, between, deployment, freeze, name};

const HOLIDAYS: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Somebody//EN\r\n\
BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20200101T000000Z\r\nDTSTART;VALUE=DATE:20201225\r\nDTEND;VALUE=DATE:20201227\r\n\
RRULE:FREQ=YEARLY\r\nEXDATE;VALUE=DATE:20221225\r\nSUMMARY:Christmas\\, and the day\r\n  after\r\nCATEGORIES:public,church\\, old\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:2\r\nDTSTAMP:20200101T000000Z\r\nDTSTART;TZID=Asia/Tokyo:20260501T090000\r\nDURATION:PT8H\r\nSUMMARY:Works outing\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:3\r\nDTSTAMP:20200101T000000Z\r\nDTSTART;VALUE=DATE:20260601\r\nSTATUS:CANCELLED\r\nSUMMARY:No more\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:4\r\nDTSTAMP:20200101T000000Z\r\nDTSTART;VALUE=DATE:20260105\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\nRDATE;VALUE=DATE:20260301,20260302\r\nSUMMARY:Cleaning\r\nEND:VEVENT\r\n\
END:VCALENDAR\r\n";

fn names(calendar: &HolidayCalendar, day: &str) -> Vec<String> {
    calendar.on(day.parse().unwrap()).map(|holiday| holiday.name.clone()).collect()
}

#[test]
fn holidays_of_a_public_calendar_are_read() {
    let calendar = read_holidays(name("de"), HOLIDAYS).unwrap();
    let christmas = "Christmas, and the day after";
    for (day, want) in [
        ("2020-12-25", vec![christmas]),
        ("2021-12-26", vec![christmas]),
        ("2022-12-25", vec![]),
        ("2022-12-26", vec![]), // the second day of one that does not take place
        ("2100-12-25", vec![christmas]),
        ("2026-05-01", vec!["Works outing"]),
        ("2026-06-01", vec![]),
        ("2026-01-19", vec!["Cleaning"]),
        ("2026-01-26", vec![]),
        ("2026-03-02", vec!["Cleaning"]),
    ] {
        assert_eq!(names(&calendar, day), want, "{day}");
    }
    assert_eq!(calendar.holidays()[0].categories, ["public", "church, old"]);
}

#[test]
fn holidays_come_back_as_they_were_written() {
    let calendar = read_holidays(name("de"), HOLIDAYS).unwrap();
    let written = write_holidays(&calendar, at("2026-01-01T00:00")).unwrap();
    assert_eq!(read_holidays(name("de"), &written).unwrap(), calendar);
    assert_eq!(
        write_holidays(&calendar, at("2026-01-01T00:00")).unwrap(),
        written,
        "no clock, no chance"
    );
}

fn defaults() -> Defaults {
    Defaults { kind: Kind::Freeze, zone: "Europe/Paris".into(), owner: name("ops") }
}

fn year() -> (Timestamp, Timestamp) {
    (at("2026-01-01T00:00"), at("2027-01-01T00:00"))
}

#[test]
fn windows_come_back_as_they_were_written() {
    let weekend = When::Rrule {
        start: "2024-01-05T22:00:00".into(),
        rule: "FREQ=WEEKLY;UNTIL=20300101T000000Z;BYDAY=FR".into(),
        lasts: "2days 8h".into(),
        also: vec!["2026-05-13T22:00:00".into()],
        except: vec!["2026-04-03".into(), "2026-04-10T22:00:00".into()],
    };
    let windows = all([
        freeze("weekend", weekend)
            .zone("Europe/Berlin")
            .in_environment(name("production"))
            .actions([ActionClass::Deploy, ActionClass::Rollback])
            .invokers(Invokers::automation())
            .on_start(OnStart::Revert),
        deployment("once", When::once("2026-03-29T01:30:00", "8h")).zone("America/New_York"),
        freeze("utc", When::once("2026-03-29T01:30:00", "8h")),
        freeze("instants", between("2026-11-23T14:00", "2026-11-30T08:00")).zone("Asia/Tokyo"),
    ]);
    let written = write_windows(&windows, year(), at("2026-01-01T00:00")).unwrap();
    let read = Windows::new(read_windows(&written, &defaults()).unwrap()).unwrap();
    assert_eq!(read, windows, "{written}");
    assert!(written.lines().all(|line| line.len() <= 76), "{written}");
}

#[test]
fn begins_of_cron_windows_are_listed() {
    let windows =
        all([deployment("office", When::cron("0 9 * * MON-FRI", "8h")).zone("Europe/Berlin")]);
    let written = write_windows(&windows, year(), at("2026-01-01T00:00")).unwrap();
    let read = Windows::new(read_windows(&written, &defaults()).unwrap()).unwrap();
    let (from, until) = year();
    let of = |windows: &Windows| windows.stretches(&name("office"), from, until).unwrap();
    assert_eq!(of(&read), of(&windows));
    assert_eq!(of(&read).len(), 261);
}

#[test]
fn windows_of_others_get_what_is_said_for_them() {
    let text = "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:Team Off-Site@example.com\nDTSTART:20260601T090000\n\
        DTEND:20260601T170000\nRRULE:FREQ=MONTHLY;COUNT=2\nSUMMARY:off\nEND:VEVENT\nEND:VCALENDAR\n";
    let windows = read_windows(text, &defaults()).unwrap();
    let spec = windows[0].spec();
    assert_eq!(
        (spec.id.as_str(), spec.kind, spec.zone.as_str()),
        ("team-off-site-example-com", Kind::Freeze, "Europe/Paris")
    );
    let stretches =
        Windows::new(windows.clone()).unwrap().stretches(windows[0].id(), year().0, year().1);
    let want = [("2026-06-01T07:00", "2026-06-01T15:00"), ("2026-07-01T07:00", "2026-07-01T15:00")];
    assert_eq!(stretches.unwrap(), want.map(|(from, until)| (at(from), at(until))));
}

#[test]
fn what_would_change_the_meaning_is_refused_with_the_event() {
    let event = |lines: &str| {
        format!(
            "BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nUID:e\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n"
        )
    };
    let problem = |lines: &str| match read_windows(&event(lines), &defaults()) {
        Err(IcalError::Event { line: Some(3..=7), event, problem }) => (event, problem),
        other => panic!("{lines}: {other:?}"),
    };
    let day = "DTSTART;VALUE=DATE:20260101";
    for (lines, want) in [
        ("SUMMARY:x", EventProblem::Missing("DTSTART")),
        ("DTSTART:20260101T000000Z", EventProblem::Missing("DTEND")),
        ("DTSTART;TZID=Mars/Base:20260101T000000", EventProblem::UnknownZone("Mars/Base".into())),
        (&format!("{day}\nEXRULE:FREQ=DAILY"), EventProblem::Unsupported("EXRULE".into())),
        (
            &format!("{day}\nRECURRENCE-ID:20260101"),
            EventProblem::Unsupported("RECURRENCE-ID".into()),
        ),
        (
            "DTSTART:20260101T000000Z\nDTEND;TZID=Asia/Tokyo:20260102T000000",
            EventProblem::AnotherZone("DTEND".into()),
        ),
        (
            "DTSTART:2026",
            EventProblem::BadValue { property: "DTSTART".into(), value: "2026".into() },
        ),
        (
            "DTSTART:20260101T000000Z\nDURATION:P100000000W",
            EventProblem::BadValue { property: "DURATION".into(), value: "P100000000W".into() },
        ),
        (
            &format!("{day}\nDURATION:-P1D"),
            EventProblem::BadValue { property: "DURATION".into(), value: "-P1D".into() },
        ),
    ] {
        assert_eq!(problem(lines), ("e".into(), want), "{lines}");
    }
    let rule = read_windows(&event(&format!("{day}\nRRULE:FREQ=NEVER")), &defaults()).unwrap_err();
    assert!(rule.to_string().starts_with("line 6: window `e`: `FREQ=NEVER` is not"), "{rule}");
    assert!(matches!(
        read_windows("hello", &defaults()),
        Err(IcalError::Syntax { line: Some(1), .. })
    ));
    let deep = format!("{}{}", "BEGIN:VEVENT\n".repeat(100_000), "END:VEVENT\n".repeat(100_000));
    assert!(matches!(
        read_windows(&deep, &defaults()),
        Err(IcalError::Syntax { line: Some(9), .. })
    ));
    assert!(matches!(read_windows(&"x".repeat(65 << 20), &defaults()), Err(IcalError::TooLong(_))));
}

/// Lengths that end behind all dates there are, or just before, and those of which nobody can tell how many seconds they are.
#[test]
fn events_that_end_behind_all_dates_are_refused_with_the_line() {
    let event = |start: &str, lasts: &str| {
        format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:e\nDTSTART{start}\nDURATION:{lasts}\nEND:VEVENT\nEND:VCALENDAR\n"
        )
    };
    for start in
        [":20260101T000000Z", ":20260101T000000", ";VALUE=DATE:20260101", ":99991231T235959Z"]
    {
        for lasts in ["P100000000W", "P15000000W", "PT9223372036854775S", "P9223372036854775807W"] {
            let text = event(start, lasts);
            let problem =
                EventProblem::BadValue { property: "DURATION".into(), value: lasts.into() };
            let refused = IcalError::Event { line: Some(5), event: "e".into(), problem };
            assert_eq!(read_windows(&text, &defaults()), Err(refused.clone()), "{text}");
            assert_eq!(read_holidays(name("de"), &text), Err(refused), "{text}");
        }
        // What there are dates for is refused by what windows and holidays reach.
        let text = event(start, "P10000000W");
        assert!(
            matches!(read_windows(&text, &defaults()), Err(IcalError::Window { .. })),
            "{text}"
        );
        assert!(matches!(read_holidays(name("de"), &text), Err(IcalError::Event { .. })), "{text}");
    }
}

#[test]
fn a_second_calendar_in_a_text_is_refused_with_its_line() {
    let event = |uid: &str| {
        format!(
            "BEGIN:VEVENT\nUID:{uid}\nDTSTART:20260601T000000Z\nDTEND:20260602T000000Z\nEND:VEVENT\n"
        )
    };
    let calendar = |inside: &str| format!("BEGIN:VCALENDAR\n{inside}END:VCALENDAR\n");
    let one = calendar(&event("one"));
    assert_eq!(read_windows(&one, &defaults()).unwrap().len(), 1);
    let inside = calendar(&(event("one") + &calendar(&event("two"))));
    let other_case = calendar(&event("two")).replace("VCALENDAR", "vcalendar");
    for (text, at) in [
        (format!("{one}{}", calendar(&event("two"))), 8),
        (format!("{one}\n\n{}", calendar(&event("two"))), 10),
        (format!("{}{one}", calendar("")), 3),
        (format!("{}{one}", event("two")), 6),
        (format!("{one}{other_case}"), 8),
        (inside, 7),
    ] {
        let error = read_windows(&text, &defaults()).unwrap_err();
        let IcalError::Syntax { line, problem } = &error else { panic!("{error:?}: {text}") };
        assert_eq!(*line, Some(at), "{text}");
        assert!(problem.starts_with("a second `VCALENDAR` begins"), "{problem}");
        assert!(matches!(
            read_holidays(name("de"), &text),
            Err(IcalError::Syntax { line, .. }) if line == Some(at)
        ));
    }
}
