//! Windows against brute force: an oracle that walks the minutes of zones and knows no recurrence rules.
//!
//! Covered by `no_minute_differs_from_brute_force`: every minute of 2016 to 2025 in 44 zones, for 15
//! windows (nightly, weekends, monthly, yearly, leap days, every second week, every six hours, cron, with
//! `UNTIL` and `COUNT`, in and around hours that are skipped and repeated), each as a freeze and as a
//! deployment window. The oracle says by hand when a window begins, marks on the civil clock what it
//! covers, and then walks each zone minute by minute.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail as tests do"
)]

use chrono::{
    DateTime, Datelike as _, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _,
    Utc, Weekday,
};
use chrono_tz::Tz;
use release_core::model::Timestamp;
use release_policy::window::{Kind, When, WindowSpec, Windows};

const ZONES: [&str; 44] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Moscow",
    "Europe/Istanbul",
    "Europe/Volgograd",
    "Europe/Chisinau",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Phoenix",
    "America/St_Johns",
    "America/Halifax",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/Asuncion",
    "America/Havana",
    "America/Caracas",
    "America/Scoresbysund",
    "America/Nuuk",
    "America/Mexico_City",
    "America/Port-au-Prince",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Johannesburg",
    "Africa/Khartoum",
    "Africa/Juba",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Asia/Pyongyang",
    "Asia/Amman",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Antarctica/Troll",
];

/// A window and by what the oracle knows that it begins.
struct Rule {
    name: &'static str,
    when: When,
    begins: fn(NaiveDateTime) -> bool,
    minutes: usize,
}

fn rule(
    name: &'static str,
    start: &str,
    rule: &str,
    lasts: &str,
    minutes: usize,
    begins: fn(NaiveDateTime) -> bool,
) -> Rule {
    Rule { name, when: When::rrule(start, rule, lasts), begins, minutes }
}

fn cron(
    name: &'static str,
    schedule: &str,
    lasts: &str,
    minutes: usize,
    begins: fn(NaiveDateTime) -> bool,
) -> Rule {
    Rule { name, when: When::cron(schedule, lasts), begins, minutes }
}

fn is(at: NaiveDateTime, hour: u32, minute: u32) -> bool {
    at.minute() == minute && at.hour() == hour
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn rules() -> Vec<Rule> {
    vec![
        rule("night", "2015-01-01T22:00", "FREQ=DAILY", "8h", 480, |at| is(at, 22, 0)),
        rule("weekend", "2015-01-02T22:00", "FREQ=WEEKLY;BYDAY=FR", "56h", 3_360, |at| {
            is(at, 22, 0) && at.weekday() == Weekday::Fri
        }),
        rule("half", "2015-01-01T02:30", "FREQ=DAILY", "30m", 30, |at| is(at, 2, 30)),
        cron("skipped", "30 2 * * *", "1h", 60, |at| is(at, 2, 30)),
        cron("office", "0 9 * * MON-FRI", "8h", 480, |at| {
            is(at, 9, 0) && !matches!(at.weekday(), Weekday::Sat | Weekday::Sun)
        }),
        rule("last-friday", "2015-01-01T18:00", "FREQ=MONTHLY;BYDAY=-1FR", "20h", 1_200, |at| {
            let in_a_week = at + TimeDelta::days(7);
            is(at, 18, 0) && at.weekday() == Weekday::Fri && in_a_week.month() != at.month()
        }),
        rule("day-31", "2015-01-31T00:00", "FREQ=MONTHLY", "24h", 1_440, |at| {
            is(at, 0, 0) && at.day() == 31
        }),
        rule("year-end", "2014-12-24T00:00", "FREQ=YEARLY", "216h", 12_960, |at| {
            is(at, 0, 0) && at.month() == 12 && at.day() == 24
        }),
        rule("leap-day", "2012-02-29T00:00", "FREQ=YEARLY", "24h", 1_440, |at| {
            is(at, 0, 0) && at.month() == 2 && at.day() == 29
        }),
        rule("fortnight", "2015-01-06T10:15", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", "95m", 95, |at| {
            is(at, 10, 15) && (at.date() - date(2015, 1, 6)).num_days() % 14 == 0
        }),
        rule("six-hourly", "2015-01-01T01:45", "FREQ=HOURLY;INTERVAL=6", "45m", 45, |at| {
            at.minute() == 45 && at.hour() % 6 == 1
        }),
        cron("twice-a-month", "0 0 1,15 * *", "36h", 2_160, |at| {
            is(at, 0, 0) && matches!(at.day(), 1 | 15)
        }),
        rule(
            "until",
            "2015-01-01T23:30",
            "FREQ=DAILY;INTERVAL=3;UNTIL=20201231T235900",
            "2h",
            120,
            |at| {
                let days = (at.date() - date(2015, 1, 1)).num_days();
                is(at, 23, 30) && days % 3 == 0 && at.year() <= 2020
            },
        ),
        rule("count", "2016-01-03T01:15", "FREQ=WEEKLY;BYDAY=SU;COUNT=300", "3h", 180, |at| {
            let days = (at.date() - date(2016, 1, 3)).num_days();
            is(at, 1, 15) && days >= 0 && days % 7 == 0 && days / 7 < 300
        }),
        cron("midnight", "0 0 * * *", "1h", 60, |at| is(at, 0, 0)),
    ]
}

/// The civil clock, minute by minute, and what it means by the windows: a bit for each.
struct Clock {
    origin: NaiveDateTime,
    /// Which begin.
    begins: Vec<u16>,
    /// Which cover it.
    covered: Vec<u16>,
    minutes: Vec<usize>,
}

impl Clock {
    fn new(rules: &[Rule], origin: NaiveDateTime, minutes: usize) -> Self {
        let (mut begins, mut covered) = (Vec::new(), Vec::new());
        let mut left = vec![0_usize; rules.len()];
        let mut at = origin;
        for _ in 0..minutes {
            let (mut starts, mut covers) = (0, 0);
            // Windows begin on the quarter of an hour, if at all.
            let quarter = at.minute().is_multiple_of(15);
            for (bit, rule) in rules.iter().enumerate() {
                if quarter && (rule.begins)(at) {
                    starts |= 1 << bit;
                    left[bit] = rule.minutes;
                }
                if left[bit] > 0 {
                    covers |= 1 << bit;
                    left[bit] -= 1;
                }
            }
            begins.push(starts);
            covered.push(covers);
            at += TimeDelta::minutes(1);
        }
        let minutes = rules.iter().map(|rule| rule.minutes).collect();
        Self { origin, begins, covered, minutes }
    }

    /// Walks a zone from minute `from` of 1970 on. For each minute: which freezes hold, and which
    /// deployment windows are open.
    fn walk(&self, zone: Tz, from: i64, count: usize) -> (Vec<u16>, Vec<u16>) {
        let origin = self.origin.and_utc().timestamp() / 60;
        let (mut frozen, mut open) = (vec![0_u16; count], vec![0_u16; count]);
        let mut prolonged = vec![0_usize; self.minutes.len()];
        let mut longest = 0;
        let mut highest = None::<usize>;
        let mut again_until = None::<(usize, usize)>; // the fold under way: its end, and the mask's
        for (i, minute) in (from..).take(count).enumerate() {
            let utc = DateTime::<Utc>::from_timestamp(minute * 60, 0).unwrap();
            let ahead = zone.offset_from_utc_datetime(&utc.naive_utc());
            let ahead = i64::from(chrono::Offset::fix(&ahead).local_minus_utc());
            let civil = usize::try_from(minute + ahead / 60 - origin).unwrap();
            let covers = |civil: usize, prolonged: &[usize], longest: usize| {
                let mut mask = self.covered[civil];
                if civil < longest {
                    for (bit, until) in prolonged.iter().enumerate() {
                        mask |= u16::from(civil < *until) << bit;
                    }
                }
                mask
            };
            match highest {
                Some(high) if civil > high + 1 => {
                    // Skipped: what would have begun there begins now, and a freeze is as long as ever.
                    for skipped in high + 1..civil {
                        for (bit, until) in prolonged.iter_mut().enumerate() {
                            if self.begins[skipped] & 1 << bit != 0 {
                                *until = (*until).max(civil + self.minutes[bit]);
                                longest = longest.max(*until);
                            }
                        }
                    }
                }
                Some(high) if civil <= high && again_until.is_none() => {
                    // Set back: a freeze that holds at some minute of the hour that comes twice holds
                    // from the first of them until the last.
                    let mut mask = 0;
                    for (step, first) in (civil..=high).enumerate() {
                        mask |= covers(first, &prolonged, longest);
                        frozen[i - (high + 1 - civil) + step] |= mask;
                    }
                    again_until = Some((high, i));
                }
                _ => {}
            }
            let first_time = highest.is_none_or(|high| civil > high);
            frozen[i] = covers(civil, &prolonged, longest);
            if let Some((high, _)) = again_until.filter(|_| !first_time) {
                frozen[i] =
                    (civil..=high).fold(0, |mask, later| mask | covers(later, &prolonged, longest));
            } else {
                open[i] = self.covered[civil];
                again_until = None;
            }
            highest = highest.max(Some(civil));
        }
        (frozen, open)
    }
}

/// The runs of each bit from minute `skip` on.
fn runs(masks: &[u16], bits: usize, skip: usize) -> Vec<Vec<(usize, usize)>> {
    let mut all: Vec<Vec<(usize, usize)>> = vec![Vec::new(); bits];
    let mut before = 0;
    let mut at = skip;
    // Plain, since in a debug build it runs half a billion times.
    while at <= masks.len() {
        let mask = if at < masks.len() { masks[at] } else { 0 };
        if mask != before {
            for (bit, runs) in all.iter_mut().enumerate() {
                match (before >> bit & 1, mask >> bit & 1) {
                    (0, 1) => runs.push((at, at)),
                    (1, 0) => runs.last_mut().unwrap().1 = at,
                    _ => {}
                }
            }
            before = mask;
        }
        at += 1;
    }
    all
}

fn windows(zone: &str, kind: Kind) -> Windows {
    let made = rules().into_iter().map(|rule| {
        let spec =
            WindowSpec::freeze(rule.name.parse().unwrap(), rule.when, "sre".parse().unwrap(), "");
        WindowSpec { kind, ..spec.zone(zone) }.build().unwrap()
    });
    Windows::new(made).unwrap()
}

#[test]
fn no_minute_differs_from_brute_force() {
    let rules = rules();
    let (begin, end) = (date(2015, 12, 20), date(2026, 1, 1));
    let from = begin.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp() / 60;
    let count = usize::try_from((end - begin).num_minutes()).unwrap();
    let compared = usize::try_from((date(2016, 1, 1) - begin).num_minutes()).unwrap();
    let origin = date(2015, 12, 18).and_hms_opt(0, 0, 0).unwrap();
    let clock = Clock::new(&rules, origin, count + 6 * 1_440);
    let minute = |at: Timestamp| usize::try_from(at.as_micros() / 60_000_000 - from).unwrap();
    let instant = |minute: usize| {
        Timestamp::from_micros((from + i64::try_from(minute).unwrap()) * 60_000_000)
    };
    let (mut stretches, mut minutes) = (0, 0);
    for name in ZONES {
        let (frozen, open) = clock.walk(name.parse().unwrap(), from, count);
        for (kind, masks) in [(Kind::Freeze, &frozen), (Kind::Deployment, &open)] {
            let compiled = windows(name, kind);
            let wanted = runs(masks, rules.len(), compared);
            for (bit, rule) in rules.iter().enumerate() {
                let id = rule.name.parse().unwrap();
                let found = compiled.stretches(&id, instant(compared), instant(count)).unwrap();
                for (from, until) in &found {
                    assert_eq!(
                        (from.as_micros() % 60_000_000, until.as_micros() % 60_000_000),
                        (0, 0)
                    );
                }
                let found: Vec<_> = found
                    .into_iter()
                    .map(|(from, until)| (minute(from).max(compared), minute(until).min(count)))
                    .collect();
                let want = &wanted[bit];
                let wrong = found.iter().zip(want).find(|(found, want)| found != want);
                let shown =
                    wrong.map(|(found, want)| [found, want].map(|x| (instant(x.0), instant(x.1))));
                assert_eq!(shown, None, "{name}, {kind:?} {}: found, wanted", rule.name);
                assert_eq!(found.len(), want.len(), "{name}, {kind:?} {}", rule.name);
                stretches += found.len();
            }
            minutes += count - compared;
        }
    }
    assert_eq!(minutes, 2 * 44 * 5_260_320);
    assert!(stretches > 2_000_000, "{stretches}");
}

/// The instants at which the offset of a zone changes from 1970 to 2100, in seconds.
fn transitions(zone: Tz) -> Vec<i64> {
    let offset = |second: i64| {
        let at = DateTime::<Utc>::from_timestamp(second, 0).unwrap().naive_utc();
        chrono::Offset::fix(&zone.offset_from_utc_datetime(&at)).local_minus_utc()
    };
    let mut all = Vec::new();
    let end = date(2100, 1, 1).and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    let mut before = offset(172_800);
    for second in (172_800..end).step_by(43_200) {
        let next = second + 43_200;
        let after = offset(next);
        if after != before {
            let (mut low, mut high) = (second, next);
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                if offset(middle) == before { low = middle } else { high = middle }
            }
            all.push(high);
        }
        before = after;
    }
    all
}

/// One transition of one zone, with a window whose begin and end lie about it.
fn check_transition(zone: Tz, at: i64, start_by: i64, length: i64) {
    let local = |second: i64| {
        DateTime::<Utc>::from_timestamp(second, 0).unwrap().with_timezone(&zone).naive_local()
    };
    let start = local(at - 1) + TimeDelta::seconds(1 + start_by);
    let end = start + TimeDelta::seconds(length);
    let (text, lasts) = (start.format("%Y-%m-%dT%H:%M:%S").to_string(), format!("{length}s"));
    let make = |kind| {
        let when = When::once(text.clone(), lasts.clone());
        let spec = WindowSpec::freeze("w".parse().unwrap(), when, "sre".parse().unwrap(), "");
        let window = WindowSpec { kind, ..spec.zone(zone.name()) }.build().unwrap();
        let (from, until) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
        let all = Windows::new([window]).unwrap().stretches(&"w".parse().unwrap(), from, until);
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        all.unwrap().into_iter().map(|(a, b)| (seconds(a), seconds(b))).collect::<Vec<_>>()
    };
    let about = format!("{zone} at {at}, {start} for {length} s");
    // A freeze: one stretch, begun when the clock first shows its begin or has skipped it, never shorter
    // on the clock than it is long, and over all instants at which the clock shows a time within.
    let frozen = make(Kind::Freeze);
    let [(from, until)] = frozen[..] else { panic!("{about}: {frozen:?}") };
    assert!(local(until) - local(from) >= TimeDelta::seconds(length), "{about}: {frozen:?}");
    let shown = zone.from_local_datetime(&start);
    match shown.earliest() {
        Some(first) => assert_eq!(first.timestamp(), from, "{about}"),
        None => assert!(local(from - 1) < start && start < local(from), "{about}"),
    }
    let probes =
        (-40..40).map(|n| at + n * 1_777).chain([from - 1, from, until - 1, until, at - 1, at]);
    let opened = make(Kind::Deployment);
    let open = |second| opened.iter().any(|(from, until)| (*from..*until).contains(&second));
    for second in probes {
        let civil = local(second);
        let within = start <= civil && civil < end;
        let holds = (from..until).contains(&second);
        assert!(holds || !within, "{about}: {second} shows {civil} and is not frozen");
        // A deployment window: just the times within, and of those that come twice the first.
        let first = zone.from_local_datetime(&civil).earliest().unwrap().timestamp();
        assert_eq!(open(second), within && first == second, "{about}: {second} shows {civil}");
        assert!(
            holds || !open(second),
            "{about}: open at {second} and not frozen by the same rule"
        );
    }
    let elapsed: i64 = opened.iter().map(|(from, until)| until - from).sum();
    assert!(elapsed <= length, "{about}: open for {elapsed} s");
}

/// Every change of the clock of every zone of the IANA database from 1970 to 2100. Each with two windows
/// of the 25 that are made of five begins about it and five lengths, so that all are met in turn.
#[test]
fn f18_no_change_of_any_clock_shrinks_a_freeze_or_stretches_a_deployment_window() {
    let begins = [-5_400, -1_800, 0, 900, 3_600];
    let lengths = [900, 1_800, 3_600, 10_800, 86_400];
    let mut count = 0;
    for zone in chrono_tz::TZ_VARIANTS {
        for at in transitions(zone) {
            for _ in 0..2 {
                check_transition(zone, at, begins[count % 5], lengths[count / 5 % 5]);
                count += 1;
            }
        }
    }
    assert!(count > 50_000, "{count}");
}

#[test]
fn f18_known_changes_of_the_clock() {
    let check = |zone: &str, kind, start: &str, lasts: &str, want: &[(&str, &str)]| {
        let when = When::once(start, lasts);
        let spec = WindowSpec::freeze("w".parse().unwrap(), when, "sre".parse().unwrap(), "");
        let window = WindowSpec { kind, ..spec.zone(zone) }.build().unwrap();
        let (from, until) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
        let all = Windows::new([window]).unwrap().stretches(&"w".parse().unwrap(), from, until);
        let shown = |at: Timestamp| at.to_string().replace(":00.000000Z", "Z");
        let all: Vec<_> = all.unwrap().into_iter().map(|(a, b)| (shown(a), shown(b))).collect();
        let want: Vec<_> = want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(all, want, "{zone} {kind:?} {start} {lasts}");
    };
    let (freeze, deployment, berlin) = (Kind::Freeze, Kind::Deployment, "Europe/Berlin");
    // Berlin skips 02:00 to 03:00 on 29 March 2026.
    check(berlin, freeze, "2026-03-29T02:15", "30m", &[("2026-03-29T01:00Z", "2026-03-29T01:30Z")]);
    check(berlin, deployment, "2026-03-29T02:15", "30m", &[]);
    check(berlin, freeze, "2026-03-29T01:30", "1h", &[("2026-03-29T00:30Z", "2026-03-29T01:00Z")]);
    check(berlin, freeze, "2026-03-28T22:00", "8h", &[("2026-03-28T21:00Z", "2026-03-29T04:00Z")]);
    // It shows 02:00 to 03:00 twice on 25 October 2026.
    check(berlin, freeze, "2026-10-25T02:15", "30m", &[("2026-10-25T00:15Z", "2026-10-25T01:45Z")]);
    check(
        berlin,
        deployment,
        "2026-10-25T02:15",
        "30m",
        &[("2026-10-25T00:15Z", "2026-10-25T00:45Z")],
    );
    check(berlin, freeze, "2026-10-24T22:00", "8h", &[("2026-10-24T20:00Z", "2026-10-25T05:00Z")]);
    check(
        berlin,
        deployment,
        "2026-10-24T22:00",
        "8h",
        &[("2026-10-24T20:00Z", "2026-10-25T01:00Z"), ("2026-10-25T02:00Z", "2026-10-25T05:00Z")],
    );
    // Apia had no 30 December 2011.
    check(
        "Pacific/Apia",
        freeze,
        "2011-12-30",
        "24h",
        &[("2011-12-30T10:00Z", "2011-12-31T10:00Z")],
    );
    check("Pacific/Apia", deployment, "2011-12-30", "24h", &[]);
    // Lord Howe sets its clock by half an hour.
    check(
        "Australia/Lord_Howe",
        freeze,
        "2026-04-05T01:45",
        "15m",
        &[("2026-04-04T14:45Z", "2026-04-04T15:30Z")],
    );
    assert_eq!(Windows::tzdb(), chrono_tz::IANA_TZDB_VERSION);
}
