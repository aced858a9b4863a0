//! Calendars of others, and such as are meant to do harm: read as they are, or refused with the line.

use release_core::model::{Span, Timestamp};
use release_core::plan::Place;
use release_policy::train::calendar::{
    Activity, Calendar, CalendarError, CalendarSpec, ImportError, Phase, Unsaid, read_calendar,
    write_calendar,
};
use release_policy::window::ical::{EventProblem, IcalError};
use release_policy::window::{
    Holiday, HolidayCalendar, MAX_WINDOWS, When, WindowProblem, WindowRules, WindowSpec,
    WindowsError,
};

use super::calendar::{hour, hours};
use super::season::{at, autumn, days, weekly};
use super::support::id;

fn unsaid() -> Unsaid {
    let (from, until) = (hour(0), hour(24 * 30));
    Unsaid { from, until, owner: id("somebody"), phase: Phase::Qa, work: hours(1) }
}

/// A calendar with one of everything.
fn spec() -> CalendarSpec {
    let rule = When::rrule("2026-10-16T22:00", "FREQ=WEEKLY;BYDAY=FR", "56h");
    let freeze = |name: &str, when: When| {
        let spec = WindowSpec::freeze(id(name), when, id("sre"), "nobody is there");
        spec.zone("Europe/Berlin").in_environment(id("production"))
    };
    let nightly = freeze("nightly", When::cron("0 22 * * *", "8h")).except_holidays(id("de"));
    let day = Holiday::new("Reformation Day", "2026-10-31".parse().unwrap());
    let calendars = vec![HolidayCalendar::new(id("de"), [day]).unwrap()];
    let windows = vec![freeze("weekend", rule).build().unwrap(), nightly.build().unwrap()];
    let mut spec = autumn().with_train(weekly());
    spec.windows = WindowRules { windows, calendars, ..WindowRules::default() }.try_into().unwrap();
    let due = |day: u64| autumn().from.plus(days(day));
    let code = Activity::new(id("code"), Phase::Development, id("a"), hours(9)).due(due(9));
    let test = Activity::new(id("test"), Phase::Qa, id("a"), hours(5)).due(due(12));
    let crew = release_policy::train::calendar::Crew::new(id("a"), "Europe/Berlin")
        .observing(id("de"))
        .away(due(1), due(2), "offsite");
    spec.with_activity(code)
        .with_activity(test.after(id("code")).at(Place::new(id("production"))))
        .with_crew(crew)
}

fn folded() -> String {
    write_calendar(&Calendar::new(spec()).unwrap(), hour(0)).unwrap()
}

/// The same with each property on one line, however long that is.
fn text() -> String {
    folded().replace("\r\n ", "")
}

/// The number of the line that begins so.
fn line(text: &str, begins: &str) -> usize {
    1 + text.lines().position(|line| line.starts_with(begins)).unwrap()
}

/// What is said of a calendar in which this stands instead of that, and all of it.
#[track_caller]
fn refused(this: &str, instead: &str) -> (ImportError, String) {
    let written = text();
    let changed = written.replacen(this, instead, 1);
    assert_ne!(changed, written, "{this}");
    (Calendar::from_ical(&changed, &unsaid()).unwrap_err(), changed)
}

/// What is wrong with which line, and what it is of.
fn event(error: ImportError) -> (Option<usize>, String, EventProblem) {
    match error {
        ImportError::Read(IcalError::Event { line, event, problem }) => (line, event, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn zones_and_rules_that_are_none_are_refused_with_their_line() {
    let (error, text) = refused(
        "DTSTART;TZID=Europe/Berlin:20261016T220000",
        "DTSTART;TZID=Mars/Base:20261016T220000",
    );
    let (found, of, problem) = event(error);
    assert_eq!((found, &*of), (Some(line(&text, "DTSTART;TZID=Mars")), "window/weekend"));
    assert_eq!(problem, EventProblem::UnknownZone("Mars/Base".into()));

    let (error, text) = refused("RRULE:FREQ=WEEKLY;BYDAY=FR", "RRULE:FREQ=NEVER");
    let ImportError::Read(IcalError::Window { line: found, problem }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*found, Some(line(&text, "RRULE:FREQ=NEVER")));
    assert!(matches!(problem.problem, WindowProblem::BadRule { .. }), "{error}");
    assert!(error.to_string().starts_with("line "), "{error}");

    // Those of trains are looked at with the whole calendar.
    let (error, text) = refused("RRULE:FREQ=WEEKLY;BYDAY=TU", "RRULE:FREQ=NEVER");
    let ImportError::Calendar { line: Some(found), problem } = &error else { panic!("{error:?}") };
    let uid = line(&text, "UID:train/weekly");
    assert_eq!(text.lines().take(uid).filter(|line| *line == "BEGIN:VEVENT").count(), {
        text.lines().take(*found).filter(|line| *line == "BEGIN:VEVENT").count()
    });
    assert!(matches!(**problem, CalendarError::Train { .. }), "{error}");
}

#[test]
fn names_that_stand_twice_are_refused_with_both_lines() {
    let written = text();
    let whole = |uid: &str| {
        let uid = written.find(uid).unwrap();
        let begins = written[..uid].rfind("BEGIN:V").unwrap();
        let ends = uid + written[uid..].find("END:V").unwrap();
        let ends = ends + written[ends..].find('\n').unwrap() + 1;
        written[begins..ends].to_owned()
    };
    for (uid, name) in [
        ("UID:code", "code"),
        ("UID:train/weekly", "train/weekly"),
        ("UID:window/weekend", "window/weekend"),
        ("UID:holiday/de/1", "holiday/de/1"),
        ("UID:absence/a/0", "absence/a/0"),
    ] {
        let one = whole(uid);
        let (error, changed) = refused(&one, &format!("{one}{one}"));
        let (found, _, problem) = event(error);
        let first = changed.lines().position(|line| line == uid).unwrap();
        let begins = changed.lines().take(first).enumerate();
        let begins = begins.filter(|(_, line)| line.starts_with("BEGIN:")).last().unwrap().0 + 1;
        assert_eq!(problem, EventProblem::Twice { name: name.into(), line: begins }, "{uid}");
        let second = changed.lines().enumerate().filter(|(_, line)| *line == uid).nth(1).unwrap();
        assert_eq!(found, Some(second.0 + 1), "{uid}");
    }
    // Names that are the same only once they are made ours.
    let other = "BEGIN:VTODO\nUID:CODE\nEND:VTODO\n";
    let (error, _) = refused("BEGIN:VTODO", &format!("{other}BEGIN:VTODO"));
    let (_, _, problem) = event(error);
    assert!(matches!(&problem, EventProblem::Twice { name, .. } if name == "code"), "{problem}");
    for key in ["X-RELEASE-SEASON:", "X-RELEASE-CREW:", "X-RELEASE-HOLIDAYS:de"] {
        let from = written.find(key).unwrap();
        let mut ends = from;
        for part in written[from..].split_inclusive('\n') {
            if ends > from && !part.starts_with(' ') {
                break;
            }
            ends += part.len();
        }
        let one = &written[from..ends];
        let (error, changed) = refused(one, &format!("{one}{one}"));
        let (found, _, problem) = event(error);
        let EventProblem::Twice { line: first, .. } = problem else { panic!("{problem}") };
        assert_eq!(first, line(&changed, key));
        assert_eq!(found, Some(first + one.lines().count()), "{key}");
    }
}

#[test]
fn properties_of_others_are_left_out_and_unknown_ones_of_ours_refused() {
    let written = text();
    let foreign = written.replace("END:VEVENT", "X-APPLE-TRAVEL:PT5M\nEND:VEVENT").replace(
        "BEGIN:VTODO",
        "BEGIN:VEVENT\nUID:meeting\nRRULE:FREQ=NEVER\nEND:VEVENT\nBEGIN:VTODO\nBEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM",
    );
    assert_eq!(read_calendar(&foreign, &unsaid()).unwrap(), spec());
    for (this, instead) in [
        ("END:VTODO", "X-RELEASE-MOOD:blue\r\nEND:VTODO"),
        ("BEGIN:VEVENT", "X-RELEASE-MOOD:blue\r\nBEGIN:VEVENT"),
    ] {
        let (error, text) = refused(this, instead);
        let (found, _, problem) = event(error);
        assert_eq!(found, Some(line(&text, "X-RELEASE-MOOD")));
        assert_eq!(problem, EventProblem::Unsupported("X-RELEASE-MOOD".into()));
    }
    for key in
        ["X-RELEASE-ACTIVITY:", "X-RELEASE-WINDOW:", "X-RELEASE-AS-WRITTEN:", "X-RELEASE-CREW:"]
    {
        let (error, text) = refused(key, &format!("{key}???"));
        let (found, _, problem) = event(error);
        assert_eq!(found, Some(line(&text, key)), "{problem}");
        assert!(
            matches!(&problem, EventProblem::BadValue { property, .. } if *property == key[..key.len() - 1])
        );
    }
}

#[test]
fn folded_lines_of_any_kind_are_read_and_counted() {
    let written = folded();
    assert_eq!(read_calendar(&written, &unsaid()).unwrap(), spec());
    assert_eq!(read_calendar(&text(), &unsaid()).unwrap(), spec());
    // Each character on a line of its own, with line ends of either kind.
    let mut folded = String::new();
    for (nth, line) in written.lines().enumerate() {
        let more = line.strip_prefix(' ');
        let ends = if nth % 2 == 0 { "\r\n" } else { "\n" };
        for (place, c) in more.unwrap_or(line).chars().enumerate() {
            if place > 0 || more.is_some() {
                folded.push_str(ends);
                folded.push(if place % 2 == 0 { ' ' } else { '\t' });
            } else if nth > 0 {
                folded.push_str(ends);
            }
            folded.push(c);
        }
    }
    folded.push('\n');
    assert_eq!(read_calendar(&folded, &unsaid()).unwrap(), spec());
    let changed = folded.replacen("D\n\tU\n E\n\t:", "D\n\tU\n E\n\t:x", 1);
    let changed = if changed == folded {
        folded.replacen("D\r\n\tU\r\n E\r\n\t:", "D\r\n\tU\r\n E\r\n\t:x", 1)
    } else {
        changed
    };
    assert_ne!(changed, folded);
    let IcalError::Event { line: Some(line), problem, .. } =
        read_calendar(&changed, &unsaid()).unwrap_err()
    else {
        panic!("an event")
    };
    assert!(matches!(&problem, EventProblem::BadValue { property, .. } if property == "DUE"));
    assert!(changed.lines().nth(line - 1).unwrap() == "D");
}

#[test]
fn what_is_no_icalendar_is_refused_with_the_line() {
    for (this, instead, at, why) in [
        ("END:VTODO", "END:VEVENT", "END:VEVENT", "has to end"),
        ("BEGIN:VTODO", "what is this?\nBEGIN:VTODO", "what is", "is no property"),
        ("BEGIN:VTODO", "two words: x\nBEGIN:VTODO", "two words", "is no property"),
        ("END:VCALENDAR", "", "BEGIN:VCALENDAR", "has no `END`"),
        ("END:VCALENDAR", "END:VCALENDAR\nEND:VEVENT", "", "ends nothing"),
    ] {
        let (error, text) = refused(this, instead);
        let ImportError::Read(IcalError::Syntax { line: Some(found), problem }) = error else {
            panic!("{error:?}")
        };
        assert!(problem.contains(why), "{problem}");
        match (at, why) {
            ("END:VEVENT", _) => assert!(text.lines().nth(found - 1).unwrap() == at),
            ("", _) => assert_eq!(found, text.lines().count()),
            _ => assert_eq!(found, line(&text, at)),
        }
    }
    // Two calendars in one text: none of them is left out.
    let both = format!("{}{}", text(), text());
    let second = text().lines().count() + 1;
    let refused = |both: &str, at: usize| {
        let error = read_calendar(both, &unsaid()).unwrap_err();
        let IcalError::Syntax { line: Some(found), problem } = error else { panic!("{error:?}") };
        assert!(problem.contains("a second `VCALENDAR`") && found == at, "{found}: {problem}");
    };
    refused(&both, second);
    // Nor where one stands in the other.
    let inside = text().replacen("BEGIN:VTODO", &format!("{}BEGIN:VTODO", text()), 1);
    refused(&inside, line(&text(), "BEGIN:VTODO"));
}

#[test]
fn what_makes_no_sense_together_is_refused_with_the_line() {
    // A deadline before that of what has to be done first.
    let (error, text) = refused("DUE:20261024T000000Z", "DUE:20261015T000000Z");
    let ImportError::Calendar { line: Some(found), problem } = error else { panic!("{error:?}") };
    let CalendarError::DueBeforeWhatItWaitsFor { activity, due, after, .. } = *problem else {
        panic!("{problem}")
    };
    assert_eq!((activity.as_str(), after.as_str()), ("test", "code"));
    assert_eq!(due, at("2026-10-15T00:00:00Z"));
    assert_eq!(text.lines().nth(found - 1), Some("BEGIN:VTODO"));
    assert!(
        text.lines()
            .skip(found)
            .take_while(|line| *line != "END:VTODO")
            .any(|line| line == "UID:test")
    );

    let (error, _) = refused("DEPENDS-ON:code", "DEPENDS-ON:nothing");
    let ImportError::Calendar { line: Some(_), problem } = error else { panic!("{error:?}") };
    assert!(matches!(*problem, CalendarError::UnknownActivity { .. }));

    // A freeze that does not hold on holidays of a calendar that is gone.
    let (error, _) = refused("except_holidays\":[\"de\"", "except_holidays\":[\"fr\"");
    let ImportError::Read(IcalError::Windows { line: Some(_), problem }) = &error else {
        panic!("{error:?}")
    };
    let WindowsError::Window(problem) = &**problem else { panic!("{problem}") };
    assert_eq!(problem.problem, WindowProblem::UnknownCalendar(id("fr")));
}

/// What another program moves counts, also where something else was written: then it is a list of dates.
#[test]
fn a_freeze_by_cron_that_somebody_moved_is_where_it_was_moved_to() {
    let written = text();
    let nightly = |spec: &CalendarSpec, from: Timestamp| {
        let found = spec.windows.stretches(&id("nightly"), from, from.plus(hours(1))).unwrap();
        found.first().copied()
    };
    let evening = at("2026-10-14T20:00:00Z");
    let night = (evening, evening.plus(hours(8)));
    let read = read_calendar(&written, &unsaid()).unwrap();
    assert_eq!(nightly(&read, evening), Some(night));
    let when = |spec: &CalendarSpec| spec.windows.iter().nth(1).unwrap().spec().when.clone();
    assert!(matches!(when(&read), When::Cron { .. }));
    let moved = written.replacen(":20261014T220000", ":20261014T210000", 1);
    assert_ne!(moved, written);
    let read = read_calendar(&moved, &unsaid()).unwrap();
    let hour = Span::secs(3_600);
    assert!(matches!(when(&read), When::Rrule { .. }));
    let sooner = evening.as_micros() - i64::try_from(hour.as_duration().as_micros()).unwrap();
    let sooner = Timestamp::from_micros(sooner);
    assert_eq!(nightly(&read, sooner), Some((sooner, sooner.plus(hours(8)))));
    // The day after it is as it was.
    assert_eq!(
        nightly(&read, evening.plus(days(1))),
        Some((evening.plus(days(1)), night.1.plus(days(1))))
    );
}

#[test]
fn what_ends_behind_all_dates_is_refused_with_the_line() {
    let written = text();
    for (uid, length) in [("window/weekend", "DURATION"), ("holiday/de/1", "DTEND")] {
        let named = written.find(&format!("UID:{uid}\r\n")).unwrap();
        let begins = written[..named].rfind("BEGIN:VEVENT").unwrap();
        let from = begins + written[begins..].find(&format!("\r\n{length}")).unwrap() + 2;
        let until = from + written[from..].find("\r\n").unwrap();
        let changed = format!("{}DURATION:P100000000W{}", &written[..from], &written[until..]);
        let (found, of, problem) = event(Calendar::from_ical(&changed, &unsaid()).unwrap_err());
        assert_eq!((found, &*of), (Some(line(&changed, "DURATION:P100000000W")), uid));
        let (property, value) = ("DURATION".to_owned(), "P100000000W".to_owned());
        assert_eq!(problem, EventProblem::BadValue { property, value });
    }
}

/// Windows that no event shows all want to be the first.
#[test]
fn more_windows_than_there_may_be_are_refused_wherever_they_want_to_stand() {
    let freeze = |nth: usize| {
        let when = When::Between { from: hour(0), until: hour(1) };
        WindowSpec::freeze(id(&format!("w-{nth}")), when, id("sre"), "x").build().unwrap()
    };
    let calendar = |count: usize| {
        let one = |nth| {
            let window = serde_json::to_string(&freeze(nth)).unwrap();
            format!("X-RELEASE-UNSHOWN-WINDOW:{{\"nth\":0,\"window\":{window}}}\r\n")
        };
        let all: String = (0..count).map(one).collect();
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{all}END:VCALENDAR\r\n")
    };
    // As they are written, since none can come before all others.
    let read = read_calendar(&calendar(3), &unsaid()).unwrap();
    let ids: Vec<_> = read.windows.iter().map(|window| window.id().to_string()).collect();
    assert_eq!(ids, ["w-0", "w-1", "w-2"]);
    let count = MAX_WINDOWS + 2_000;
    let error = read_calendar(&calendar(count), &unsaid()).unwrap_err();
    // The first that is too much, on its line.
    let IcalError::Windows { line: Some(line), problem } = &error else { panic!("{error:?}") };
    let WindowsError::Window(problem) = &**problem else { panic!("{problem}") };
    assert_eq!(problem.problem, WindowProblem::TooMany { count, max: MAX_WINDOWS });
    assert_eq!(*line, 3 + MAX_WINDOWS);
}
