//! Random calendars to iCalendar, and back.

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use proptest::prelude::*;
use release_core::model::{Span, Timestamp};
use release_core::plan::Place;
use release_policy::train::calendar::{
    Absence, Activity, Calendar, CalendarSpec, Crew, Phase, ReleaseTrain, Unsaid, read_calendar,
    write_calendar,
};
use release_policy::window::{
    ActionClass, Classes, Holiday, HolidayCalendar, Invokers, OnStart, Scope, Straddle, Waiver,
    WaiverSpec, When, WindowRules, WindowSpec,
};

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
        "\r",
        "\r\n",
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
            first: if seconds { "2026-10-13T10:00:30" } else { "2026-10-13 10:00" }.into(),
            rule: if deadlines { "rrule:freq=weekly;byday=tu" } else { "FREQ=WEEKLY;BYDAY=TU" }
                .into(),
            except: except.into_iter().map(str::to_owned).collect(),
            cut_off: hours(cut_off),
            validation: hours(kept),
            hotfixes: hours(2 * kept),
            deadlines: deadlines.then(|| (id("library"), hours(30))).into_iter().collect(),
            ..weekly()
        },
    )
}

/// Begins as people may write them, with all that iCalendar writes in one way.
fn when() -> impl Strategy<Value = When> {
    let start = prop::sample::select(vec![
        "2026-10-05T22:00",
        "2026-10-05 22:00",
        "2026-10-05T22:00:00",
        "2026-10-05",
        "2026-10-25T02:30:00",
        "2026-11-02T09:00:07",
    ]);
    let lasts = prop::sample::select(vec!["8h", "56h", "90m", "1day", "24h", "30s"]);
    let rule = prop::sample::select(vec![
        "FREQ=WEEKLY;BYDAY=FR",
        "RRULE:FREQ=DAILY;INTERVAL=2",
        "freq=weekly;byday=mo,tu",
        " FREQ=MONTHLY;BYMONTHDAY=-1 ",
        "FREQ=WEEKLY;UNTIL=20261101T000000Z;BYDAY=FR",
        "FREQ=DAILY;COUNT=3",
        "FREQ=DAILY;UNTIL=20261020",
    ]);
    let dates = |most| {
        let all = ["2026-10-16", "2026-10-17T22:00", "2026-10-18T22:00:00", "2026-10-19 09:00"];
        prop::sample::subsequence(all.to_vec(), 0..=most)
            .prop_map(|dates| dates.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let cron = prop::sample::select(vec![
        "0 22 * * MON-FRI",
        "*/30 9 1 * *",
        "0 0 29 2 *", // in no season of these
        "5 4 * * SUN",
    ]);
    prop_oneof![
        1 => (instant(), 1_u64..90_000)
            .prop_map(|(from, secs)| When::Between { from, until: from.plus(Span::secs(secs)) }),
        1 => (start.clone(), lasts.clone()).prop_map(|(start, lasts)| When::once(start, lasts)),
        4 => (start, rule, lasts.clone(), dates(3), dates(4)).prop_map(
            |(start, rule, lasts, also, except)| {
                let (start, rule, lasts) = (start.into(), rule.into(), lasts.into());
                When::Rrule { start, rule, lasts, also, except }
            }
        ),
        1 => (cron, lasts).prop_map(|(schedule, lasts)| When::cron(schedule, lasts)),
        1 => Just(When::holidays(id("de"))),
        1 => Just(When::holidays(id("none"))),
    ]
}

fn window() -> impl Strategy<Value = WindowSpec> {
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York"]);
    (when(), zone, text(), any::<[bool; 6]>())
        .prop_map(|(when, zone, reason, [deploys, within, actions, who, start, except])| {
            let of = if deploys { WindowSpec::deployment } else { WindowSpec::freeze };
            let mut spec = of(id("window"), when, id("sre"), reason).zone(zone);
            if within {
                spec = spec.in_environment(id("production")).in_region(id("eu"));
            }
            if actions {
                spec = spec.actions([ActionClass::Deploy, ActionClass::Rollback]);
            }
            if who {
                spec = spec.invokers(Invokers::automation());
            }
            if start {
                spec = spec.on_start(OnStart::Revert);
            }
            if except {
                spec = spec.except_holidays(id("de"));
            }
            spec
        })
        .prop_filter("a rule may be over before it begins", |spec| spec.clone().build().is_ok())
}

fn holiday() -> impl Strategy<Value = Holiday> {
    let day = || {
        (0_i64..40)
            .prop_map(|day| "2026-10-01".parse::<NaiveDate>().unwrap() + TimeDelta::days(day))
    };
    let days = move || proptest::collection::vec(day(), 0..3);
    let rules = ["FREQ=YEARLY", "RRULE:FREQ=YEARLY", "freq=monthly;count=2"];
    let rule = proptest::option::of(prop::sample::select(rules.to_vec()));
    let categories = proptest::collection::vec(text(), 0..3);
    (text(), day(), 1_u16..4, rule, days(), days(), categories).prop_map(
        |(name, on, days, rule, also, except, categories)| {
            // A rule of which no day is left is none.
            let except = if rule.is_some() { except } else { Vec::new() };
            let rule = rule.map(str::to_owned);
            Holiday { days, rule, also, except, categories, ..Holiday::new(name, on) }
        },
    )
}

/// Windows of all kinds, with the calendars that they and teams name, one of which is empty, and all that belongs to them.
fn windows() -> impl Strategy<Value = WindowRules> {
    let all = proptest::collection::vec(window(), 0..5);
    let holidays = proptest::collection::vec(holiday(), 0..4);
    (all, holidays, text(), any::<[bool; 3]>()).prop_map(
        |(all, holidays, reason, [waived, classes, never])| {
            let named = |(nth, spec): (usize, WindowSpec)| {
                let named = WindowSpec { id: id(&format!("window-{nth}")), ..spec };
                named.build().unwrap()
            };
            let windows: Vec<_> = all.into_iter().enumerate().map(named).collect();
            let calendars = [("none", Vec::new()), ("de", holidays)];
            let of = |(name, holidays)| HolidayCalendar::new(id(name), holidays).unwrap();
            let waiver = |window: &release_policy::window::Window| {
                let waiver = WaiverSpec {
                    id: id("hotfix"),
                    window: window.id().clone(),
                    principals: [id("ann")].into(),
                    scope: Scope::default(),
                    actions: BTreeSet::new(),
                    run: None,
                    from: hour(1),
                    until: hour(2),
                    granted_by: id("eve"),
                    reason: format!("INC-7{reason}"),
                };
                Waiver::try_from(waiver).unwrap()
            };
            WindowRules {
                waivers: windows.first().filter(|_| waived).map(waiver).into_iter().collect(),
                windows,
                calendars: calendars.map(of).into(),
                classes: if classes {
                    Classes::new().with("db/migrate", ActionClass::Migrate)
                } else {
                    Classes::new()
                },
                straddle: if never { Straddle::Never } else { Straddle::Allowed },
            }
        },
    )
}

fn unsaid() -> Unsaid {
    let (from, until) = (hour(0), hour(1));
    Unsaid { from, until, owner: id("nobody"), phase: Phase::Qa, work: hours(1) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn all_of_a_calendar_is_written_and_read_again(
        activities in activities(),
        crews in crews(),
        train in trains(),
        rules in windows(),
        stamp in instant(),
    ) {
        let windows = rules.try_into().unwrap();
        let spec = CalendarSpec { activities, crews, windows, ..autumn().with_train(train) };
        let calendar = Calendar::new(spec.clone()).unwrap();
        let written = write_calendar(&calendar, stamp).unwrap();
        let read = read_calendar(&written, &unsaid()).unwrap();
        prop_assert_eq!(&read, &spec, "{}", written);
        let again = Calendar::from_ical(&written, &unsaid()).unwrap();
        prop_assert_eq!(&again, &calendar);
        prop_assert_eq!(again.solve(), calendar.solve());
        // The second time it is written no otherwise, and line ends are all the same.
        prop_assert_eq!(&write_calendar(&again, stamp).unwrap(), &written);
        if !written.replace("\r\n", "").contains('\r') {
            let bare = written.replace("\r\n", "\n");
            prop_assert_eq!(&read_calendar(&bare, &unsaid()).unwrap(), &spec);
        }
    }
}
