//! Random calendars to iCalendar, and back.

use proptest::prelude::*;
use release_core::model::{Span, Timestamp};
use release_core::plan::Place;
use release_policy::train::calendar::{
    Absence, Activity, Calendar, CalendarSpec, Crew, Phase, ReleaseTrain, Unsaid, read_calendar,
    write_calendar,
};
use release_policy::window::{Holiday, HolidayCalendar, When, WindowRules};

use super::calendar::{hour, hours, name};
use super::season::{autumn, days, weekly};
use super::support::id;

/// What people write, with all that iCalendar escapes, folds, or ends lines and components with.
fn text() -> impl Strategy<Value = String> {
    let special = [
        ",",
        ";",
        "\n",
        "\\",
        "\"",
        ":",
        "\\n",
        "\\,",
        "\\;",
        "\\\\",
        " ",
        "\t",
        "=",
        "%",
        "^n",
        "\nEND:VTODO\n",
        "BEGIN:VEVENT",
        "\n ",
        "\n\n",
    ];
    let other = ["ä", "Größe", "日本語", "🚆", "e\u{301}", "\u{200d}", "\u{a0}", "ſ"];
    let long = (60_usize..200, prop::sample::select(vec!["x", "ß", "🚆", ",", "\\", "\n"]));
    let piece = prop_oneof![
        4 => "[a-z]{1,9}",
        4 => prop::sample::select(special.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(other.to_vec()).prop_map(str::to_owned),
        1 => long.prop_map(|(count, piece)| piece.repeat(count)),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// A whole second of the first two weeks of the season.
fn instant() -> impl Strategy<Value = Timestamp> {
    (0_u64..14 * 86_400).prop_map(|second| autumn().from.plus(Span::secs(second)))
}

/// Work with a title, of any phase and with whatever else may be said of it.
fn activities() -> impl Strategy<Value = Vec<Activity>> {
    let phase = prop::sample::select(vec![Phase::Development, Phase::Qa, Phase::Operations]);
    let begins = proptest::option::of(instant());
    let one = (text(), phase, 0_u64..90_000, begins, any::<[u8; 2]>());
    proptest::collection::vec(one, 0..5).prop_map(|all| {
        let of = |(nth, (title, phase, secs, begins, [after, more])): (
            usize,
            (String, _, _, _, [u8; 2]),
        )| {
            let mut one = Activity::new(name(nth), phase, id("billing"), Span::secs(secs));
            one.title = title;
            one.after = (0..nth).filter(|before| after >> before & 1 == 1).map(name).collect();
            let has = |bit: u8| more >> bit & 1 == 1;
            // What is for users is due after the departure, and libraries before.
            let library = has(0) && phase != Phase::Operations;
            one.deliverable = library.then(|| id("library"));
            one.place = has(1).then(|| Place::new(id("production")));
            if has(2) {
                one.train = Some(id("weekly-20261020"));
            } else {
                one.not_before = begins;
                one.due = has(3).then(|| autumn().from.plus(days(20 + nth as u64)));
            }
            one
        };
        all.into_iter().enumerate().map(of).collect()
    })
}

fn absences() -> impl Strategy<Value = Vec<Absence>> {
    let one = (instant(), 1_u64..90_000, text()).prop_map(|(from, secs, reason)| Absence {
        from,
        until: from.plus(Span::secs(secs)),
        reason,
    });
    proptest::collection::vec(one, 0..4)
}

fn crews() -> impl Strategy<Value = Vec<Crew>> {
    let crew =
        |(nth, (absences, [works, holidays, abroad])): (usize, (Vec<Absence>, [bool; 3]))| {
            let zone = if abroad { "Europe/Berlin" } else { "UTC" };
            let mut crew = Crew::new(id(["billing", "web", "data"][nth]), zone);
            crew.works = works
                .then(|| When::rrule("2026-01-01T09:00", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "8h"));
            crew.holidays.extend(holidays.then(|| id("de")));
            crew.absences = absences;
            crew
        };
    let all = proptest::collection::vec((absences(), any::<[bool; 3]>()), 0..=3);
    all.prop_map(move |all| all.into_iter().enumerate().map(crew).collect())
}

fn trains() -> impl Strategy<Value = ReleaseTrain> {
    let zone = prop::sample::select(vec!["Europe/Berlin", "UTC", "America/New_York"]);
    let except = ["2026-11-03", "2026-10-27T10:00", "2026-10-27T10:00:30"];
    let except = prop::sample::subsequence(except.to_vec(), 0..=3);
    (zone, except, 0_u64..24, 0_u64..48, any::<[bool; 2]>()).prop_map(
        |(zone, except, cut_off, kept, [seconds, deadlines])| ReleaseTrain {
            zone: zone.into(),
            first: if seconds { "2026-10-13T10:00:30" } else { "2026-10-13T10:00" }.into(),
            except: except.into_iter().map(str::to_owned).collect(),
            cut_off: hours(cut_off),
            validation: hours(kept),
            hotfixes: hours(2 * kept),
            deadlines: deadlines.then(|| (id("library"), hours(30))).into_iter().collect(),
            ..weekly()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_read_again_but_for_windows(
        activities in activities(),
        crews in crews(),
        train in trains(),
        stamp in instant(),
    ) {
        let holiday = Holiday::new("Reformation Day", "2026-10-31".parse().unwrap());
        let calendars = vec![HolidayCalendar::new(id("de"), [holiday]).unwrap()];
        let windows = WindowRules { calendars, ..WindowRules::default() }.try_into().unwrap();
        let spec = CalendarSpec { activities, crews, windows, ..autumn().with_train(train) };
        let calendar = Calendar::new(spec.clone()).unwrap();
        let written = write_calendar(&calendar, stamp).unwrap();
        let (from, until) = (hour(0), hour(1));
        let unsaid = Unsaid { from, until, owner: id("nobody"), phase: Phase::Qa, work: hours(1) };
        let read = read_calendar(&written, &unsaid).unwrap();
        prop_assert_eq!(read.windows, release_policy::Windows::default());
        let read = CalendarSpec { windows: spec.windows.clone(), ..read };
        prop_assert_eq!(&read, &spec, "{}", written);
        // The second time it is written no otherwise.
        prop_assert_eq!(write_calendar(&Calendar::new(read).unwrap(), stamp).unwrap(), written);
    }
}
