//! A season as people write it: dates of trains, hours and holidays, sentences, iCalendar, and the picture.

use release_core::model::{Span, Timestamp};
use release_core::plan::Place;
use release_policy::train::calendar::{
    Activity, Calendar, CalendarSpec, Conflict, Crew, MAX_ACTIVITIES, Phase, ReleaseTrain, Unsaid,
    gantt, read_calendar, write_calendar,
};
use release_policy::window::{Holiday, HolidayCalendar, When, WindowRules, WindowSpec};

use super::calendar::{hour, hours, name};
use super::support::id;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn days(days: u64) -> Span {
    hours(24 * days)
}

pub(super) fn weekly() -> ReleaseTrain {
    ReleaseTrain {
        cut_off: days(1),
        validation: days(1),
        hotfixes: days(2),
        ..ReleaseTrain::new(
            id("weekly"),
            id("release"),
            "Europe/Berlin",
            "2026-10-13T10:00",
            "FREQ=WEEKLY;BYDAY=TU",
        )
    }
}

pub(super) fn autumn() -> CalendarSpec {
    CalendarSpec::new(at("2026-10-12T00:00:00Z"), at("2026-11-10T00:00:00Z"))
}

#[test]
fn trains_depart_by_the_clock_of_their_zone() {
    let deadlines = [(id("library"), days(7)), (id("service"), days(2))].into();
    let train = ReleaseTrain { deadlines, except: vec!["2026-11-03".into()], ..weekly() };
    let calendar = Calendar::new(autumn().with_train(train)).unwrap();
    let departures: Vec<_> =
        calendar.departures().iter().map(|train| (train.id.to_string(), train.departs)).collect();
    // The clock is put back on the 25th.
    let named = |name: &str, departs: &str| (name.to_owned(), at(departs));
    assert_eq!(
        departures,
        [
            named("weekly-20261013", "2026-10-13T08:00:00Z"),
            named("weekly-20261020", "2026-10-20T08:00:00Z"),
            named("weekly-20261027", "2026-10-27T09:00:00Z"),
        ]
    );
    let train = calendar.departure(&id("weekly-20261020")).unwrap();
    assert_eq!(train.boards_until, at("2026-10-19T08:00:00Z"));
    assert_eq!(
        (train.validated, train.closes),
        (at("2026-10-21T08:00:00Z"), at("2026-10-23T08:00:00Z"))
    );
    assert_eq!(train.deadlines[&id("library")], at("2026-10-13T08:00:00Z"));
}

#[test]
fn work_for_a_train_is_due_when_its_train_says() {
    let of = |name, phase| {
        Activity::new(id(name), phase, id("a"), hours(1)).of_train(id("weekly-20261020"))
    };
    let mut library = of("library", Phase::Development);
    library.deliverable = Some(id("library"));
    let mut train = weekly();
    train.deadlines.insert(id("library"), days(5));
    let spec = autumn()
        .with_train(train)
        .with_activity(library)
        .with_activity(of("code", Phase::Development))
        .with_activity(of("test", Phase::Qa).after(id("code")))
        .with_activity(of("roll-out", Phase::Operations).after(id("test")));
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    let latest = |name| solution.activities[&id(name)].latest_finish;
    assert_eq!(latest("library"), at("2026-10-15T08:00:00Z"));
    assert_eq!(latest("code"), at("2026-10-19T08:00:00Z"));
    assert_eq!(latest("test"), at("2026-10-20T08:00:00Z"));
    assert_eq!(latest("roll-out"), at("2026-10-21T08:00:00Z"));
    assert_eq!(solution.activities[&id("roll-out")].earliest_start, at("2026-10-20T08:00:00Z"));
}

/// A team in Berlin, with hours and holidays, that changes production.
fn office() -> CalendarSpec {
    let christmas = Holiday { days: 2, ..Holiday::new("Christmas", "2026-12-25".parse().unwrap()) };
    let holidays = HolidayCalendar::new(id("de"), [christmas]).unwrap();
    let when = When::once("2026-12-23T12:00", "12h");
    let freeze = WindowSpec::freeze(id("peak"), when, id("sre"), "peak").zone("Europe/Berlin");
    let freeze = freeze.in_environment(id("production")).build().unwrap();
    let rules =
        WindowRules { windows: vec![freeze], calendars: vec![holidays], ..WindowRules::default() };
    let mut crew = Crew::new(id("billing"), "Europe/Berlin").observing(id("de"));
    crew.works = Some(When::rrule("2026-01-01T09:00", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "8h"));
    let mut spec = CalendarSpec::new(at("2026-12-21T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    spec.windows = rules.try_into().unwrap();
    let production = Place::new(id("production"));
    spec.with_crew(crew)
        .with_activity(Activity::new(id("code"), Phase::Development, id("billing"), hours(20)))
        .with_activity(
            Activity::new(id("switch"), Phase::Operations, id("billing"), hours(14))
                .at(production)
                .after(id("code")),
        )
}

#[test]
fn work_goes_on_when_its_owner_is_there_and_nothing_is_frozen() {
    let solution = Calendar::new(office()).unwrap().solve().unwrap();
    // Monday and Tuesday, and half of Wednesday.
    let code = &solution.activities[&id("code")];
    assert_eq!(
        (code.earliest_start, code.earliest_finish),
        (at("2026-12-21T08:00:00Z"), at("2026-12-23T12:00:00Z"))
    );
    // Frozen on Wednesday; eight hours on Thursday; Friday is Christmas; on Monday the rest.
    let switch = &solution.activities[&id("switch")];
    assert_eq!(
        (switch.earliest_start, switch.earliest_finish),
        (at("2026-12-24T08:00:00Z"), at("2026-12-28T14:00:00Z"))
    );
    let held: Vec<_> = switch.held.iter().map(|held| held.by.to_string()).collect();
    assert!(
        held.iter().any(|by| by.starts_with("freeze `peak` holds from 2026-12-23T11:00:00")),
        "{held:?}"
    );
    assert!(held.iter().any(|by| by.contains("has a holiday of `de`")), "{held:?}");
    assert_eq!(solution.critical_path, [id("switch")], "code has four hours more");
}

#[test]
fn a_conflict_is_told_in_sentences() {
    let mut spec = office();
    spec.activities[1].due = Some(at("2026-12-28T08:00:00Z"));
    let conflict = Calendar::new(spec).unwrap().solve().unwrap_err();
    assert_eq!(
        conflict.to_string(),
        "`switch` would be done at 2026-12-28T14:00:00.000000Z, 6h too late. `code` takes 20h, `switch` takes 14h. This cannot all be: `switch` (billing) has to be done until 2026-12-28T08:00:00.000000Z; `switch` comes after `code`; billing works at its hours alone; billing has a holiday of `de` from 2026-12-24T23:00:00.000000Z until 2026-12-26T23:00:00.000000Z. Give up one of these, or shorten the work"
    );
    let text = serde_json::to_string(&conflict).unwrap();
    assert_eq!(serde_json::from_str::<Conflict>(&text).unwrap(), *conflict);
}

/// Names with everything that iCalendar would trip over.
fn told() -> CalendarSpec {
    let mut spec = office().with_train(ReleaseTrain {
        first: "2026-12-22T10:00".into(),
        except: vec!["2026-12-29".into(), "2027-01-05T10:00".into()],
        deadlines: [(id("library"), days(7))].into(),
        ..weekly()
    });
    spec.activities[0].title = "code, for; \"all\" of\nus \\ them".into();
    spec.activities[0].not_before = Some(at("2026-12-21T06:00:00Z"));
    spec.activities[0].deliverable = Some(id("library"));
    spec.activities[1].due = Some(at("2026-12-31T00:00:00Z"));
    spec.activities[1].train = Some(id("weekly-20261222"));
    spec.activities
        .push(Activity::new(id("a.b_c"), Phase::Qa, id("web"), hours(1)).after(id("switch")));
    let crew = spec.crews.remove(0);
    spec.crews.push(crew.away(
        at("2026-12-30T00:00:00Z"),
        at("2026-12-30T12:00:00Z"),
        "offsite, far away",
    ));
    spec
}

fn unsaid() -> Unsaid {
    let (from, until) = (hour(0), hour(24 * 30));
    Unsaid { from, until, owner: id("somebody"), phase: Phase::Qa, work: hours(1) }
}

#[test]
fn calendars_are_written_as_icalendar_and_read_again() {
    let spec = told();
    let calendar = Calendar::new(spec.clone()).unwrap();
    let text = write_calendar(&calendar, hour(0)).unwrap();
    assert!(text.contains("RRULE:FREQ=WEEKLY;BYDAY=TU\r\n"), "{text}");
    assert!(text.contains("RELATED-TO;RELTYPE=DEPENDS-ON:code\r\n"), "{text}");
    let read = read_calendar(&text, &unsaid()).unwrap();
    assert_eq!(read, spec);
    // What another program moves counts.
    let moved = text.replace("DUE:20261231T000000Z", "DUE;TZID=Europe/Berlin:20261231T120000");
    let read = read_calendar(&moved, &unsaid()).unwrap();
    assert_eq!(read.activities[1].due, Some(at("2026-12-31T11:00:00Z")));
    let broken = text.replace("DUE:20261231T000000Z", "DUE:soon");
    let error = read_calendar(&broken, &unsaid()).unwrap_err().to_string();
    let line = 1 + broken.lines().position(|line| line == "DUE:soon").unwrap();
    assert_eq!(error, format!("line {line}: event `switch`: `soon` is no value of `DUE`"));
}

#[test]
fn lists_of_other_programs_are_read_as_work() {
    let text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\nBEGIN:VTODO\r\nUID:Write It@x\r\nDTSTART:20261202T080000Z\r\nDURATION:P1DT2H\r\nEND:VTODO\r\nBEGIN:VTODO\r\nUID:Test It@x\r\nSUMMARY:Test it\r\nRELATED-TO;RELTYPE=DEPENDS-ON:Write It@x\r\nDUE;VALUE=DATE:20261210\r\nEND:VTODO\r\nBEGIN:VTODO\r\nUID:gone\r\nSTATUS:CANCELLED\r\nEND:VTODO\r\nEND:VCALENDAR\r\n";
    let spec = read_calendar(text, &unsaid()).unwrap();
    let [first, second] = &spec.activities[..] else { panic!("{spec:?}") };
    assert_eq!(
        (first.id.as_str(), first.work, first.not_before),
        ("write-it-x", hours(26), Some(hour(32)))
    );
    assert_eq!(
        (second.title.as_str(), second.work, second.due),
        ("Test it", hours(1), Some(hour(24 * 9)))
    );
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    assert_eq!(solution.activities[&id("test-it-x")].earliest_finish, hour(32 + 27));
}

#[test]
fn the_season_is_drawn_the_same_every_time() {
    let calendar = Calendar::new(told()).unwrap();
    let solution = calendar.solve().unwrap();
    let drawn = gantt(&calendar, &solution);
    assert_eq!(drawn, gantt(&calendar, &solution));
    assert!(drawn.starts_with("<svg xmlns=") && drawn.ends_with("</svg>"));
    assert_eq!(drawn.matches("class=\"departs\"").count(), 1);
    assert_eq!(drawn.matches("class=\"freeze\"").count(), 1);
    assert_eq!(drawn.matches("class=\"critical\"").count(), solution.critical_path.len());
    assert!(drawn.contains("code, for; &quot;all&quot; of") && !drawn.contains("NaN"), "{drawn}");
}

#[test]
fn titles_with_characters_that_no_xml_has_are_drawn_without_these() {
    let mut spec = told();
    let none: String = ('\0'..' ').filter(|c| !"\t\n\r".contains(*c)).collect();
    spec.activities[0].title =
        format!("a\u{1}b\t\u{1b}[31m\u{fffe}\u{ffff}\u{fffd}\u{7f}\u{1f680}{none}");
    let calendar = Calendar::new(spec).unwrap();
    let drawn = gantt(&calendar, &calendar.solve().unwrap());
    // `Char` of XML 1.0, section 2.2.
    let is_char = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(drawn.chars().all(is_char), "{drawn:?}");
    let title = "a\u{fffd}b\t\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{7f}\u{1f680}";
    assert!(drawn.contains(&format!("{title}{}", "\u{fffd}".repeat(29))), "{drawn}");
}

#[test]
fn what_another_program_says_and_has_no_place_here_is_refused() {
    let text = write_calendar(&Calendar::new(told()).unwrap(), hour(0)).unwrap();
    let train = "RRULE:FREQ=WEEKLY;BYDAY=TU\r\n";
    let todo = "DUE:20261231T000000Z\r\n";
    for (of, more, why) in [
        (train, "RDATE:20261224T090000Z", "event `train/weekly`: `RDATE` is not understood"),
        (train, "RECURRENCE-ID:20261222T090000Z", "`RECURRENCE-ID` is not understood"),
        (train, "RRULE:FREQ=DAILY", "`a second RRULE` is not understood"),
        (todo, "RRULE:FREQ=DAILY", "event `switch`: `RRULE` is not understood"),
        (
            todo,
            "RELATED-TO;RELTYPE=FINISHTOSTART:code",
            "`RELATED-TO;RELTYPE=FINISHTOSTART` is not understood",
        ),
        (todo, "RELATED-TO;RELTYPE=depends-on:???", "`???` is no value of `RELATED-TO`"),
    ] {
        let changed = text.replacen(of, &format!("{of}{more}\r\n"), 1);
        assert_ne!(changed, text);
        let error = read_calendar(&changed, &unsaid()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    // Line ends of any kind, and mixed ones, are the same.
    let read = read_calendar(&text, &unsaid());
    assert_eq!(read_calendar(&text.replace("\r\n", "\n"), &unsaid()), read);
    assert_eq!(
        read_calendar(
            &text.replace("\r\n", "\n").replacen("END:VTODO\n", "END:VTODO\r\n", 1),
            &unsaid()
        ),
        read
    );
}

#[test]
fn departures_in_a_freeze_are_told_and_none_is_lost_when_the_clock_is_put_forward() {
    let when = When::once("2026-10-20T00:00", "24h");
    let freeze = WindowSpec::freeze(id("peak"), when, id("sre"), "peak").build().unwrap();
    let mut spec = autumn().with_train(weekly());
    spec.windows = release_policy::window::Windows::new([freeze]).unwrap();
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    let [frozen] = &solution.frozen[..] else { panic!("{:?}", solution.frozen) };
    assert_eq!((frozen.train.as_str(), frozen.window.as_str()), ("weekly-20261020", "peak"));
    let nightly = ReleaseTrain::new(
        id("n"),
        id("release"),
        "Europe/Berlin",
        "2027-03-26T02:30",
        "FREQ=DAILY;COUNT=4",
    );
    let days: Vec<_> = nightly
        .departures(at("2027-03-26T00:00:00Z"), at("2027-04-01T00:00:00Z"))
        .unwrap()
        .iter()
        .map(|one| one.departs)
        .collect();
    assert_eq!(days[1..3], [at("2027-03-27T01:30:00Z"), at("2027-03-28T01:00:00Z")]);
    assert_eq!(days.len(), 4);
}

#[test]
fn what_follows_from_a_train_moves_forward_for_what_waits_for_it() {
    let of = |name, kind: &str| Activity {
        deliverable: Some(id(kind)),
        ..Activity::new(id(name), Phase::Development, id("a"), hours(1))
            .of_train(id("weekly-20261020"))
    };
    let train = ReleaseTrain { deadlines: [(id("library"), days(5))].into(), ..weekly() };
    let spec = autumn()
        .with_train(train)
        .with_activity(of("design", "paper"))
        .with_activity(of("lib", "library").after(id("design")));
    let solution = Calendar::new(spec).unwrap().solve().unwrap();
    assert_eq!(solution.activities[&id("design")].latest_finish, at("2026-10-15T07:00:00Z"));
    assert_eq!(solution.critical_path, [id("design"), id("lib")]);
}

#[test]
fn work_that_never_ends_and_chains_that_are_late_are_told_at_once() {
    let endless = Activity::new(id("a"), Phase::Qa, id("a"), Span::secs(u64::MAX));
    let conflict = Calendar::new(autumn().with_activity(endless)).unwrap().solve().unwrap_err();
    assert_eq!(conflict.constraints.len(), 1);
    // Beyond the end of the season nobody works.
    let late = Activity {
        not_before: Some(at("2026-11-09T23:00:00Z")),
        due: Some(at("2026-12-01T00:00:00Z")),
        ..Activity::new(id("a"), Phase::Qa, id("a"), hours(2))
    };
    Calendar::new(autumn().with_activity(late)).unwrap().solve().unwrap_err();
    let mut spec = autumn();
    spec.activities = (0..MAX_ACTIVITIES)
        .map(|nth| Activity::new(name(nth), Phase::Qa, id("a"), Span::secs(30)))
        .collect();
    let linked = spec.activities.iter_mut().enumerate().skip(1);
    linked.for_each(|(nth, one)| one.after.extend([name(nth - 1)]));
    let conflict = Calendar::new(spec).unwrap().solve().unwrap_err();
    // Twenty-nine days are 83,520 times 30 seconds.
    assert_eq!((conflict.late.clone(), conflict.constraints.len()), (name(83_520), 83_521));
}
