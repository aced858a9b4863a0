//! F19: sets of windows, of both kinds, against a walk over the minutes.

use proptest::prelude::*;
use release_core::model::{Span, Timestamp};
use release_policy::window::{
    ActionClass, Kind, NeverOpens, Query, When, WindowProblem, WindowSpec, Windows,
};

use super::support::{ann, at, between, deployment, freeze, name};

const DAYS: i64 = 12;
const MINUTES: i64 = DAYS * 1_440;

/// A window that begins at a minute of the day on some days, and may go on past midnight.
#[derive(Debug, Clone)]
struct Daily {
    kind: Kind,
    start: i64,
    length: i64,
    /// Every so many days, from the first on.
    every: i64,
}

fn daily() -> impl Strategy<Value = Daily> {
    let kind = prop_oneof![Just(Kind::Freeze), Just(Kind::Deployment)];
    let fields = (kind, 0_i64..1_440, prop_oneof![1_i64..90, 300_i64..2_000], 1_i64..5);
    fields.prop_map(|(kind, start, length, every)| Daily { kind, start, length, every })
}

impl Daily {
    fn window(&self, id: usize) -> WindowSpec {
        let start = format!("2026-03-02T{:02}:{:02}", self.start / 60, self.start % 60);
        let rule = format!("FREQ=DAILY;INTERVAL={}", self.every);
        let when = When::rrule(start, rule, format!("{}m", self.length));
        let spec = WindowSpec::freeze(name(&format!("w{id}")), when, name("sre"), "");
        WindowSpec { kind: self.kind, ..spec }
    }

    fn holds(&self, minute: i64) -> bool {
        let first = (minute - self.start - self.length).max(0) / 1_440;
        (first..=minute / 1_440).filter(|day| day % self.every == 0).any(|day| {
            let begin = day * 1_440 + self.start;
            (begin..begin + self.length).contains(&minute)
        })
    }
}

fn instant(minute: i64) -> Timestamp {
    at("2026-03-02T00:00").plus(Span::secs(u64::try_from(minute * 60).unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn f19_overlapping_and_overnight_windows_are_what_a_walk_over_the_minutes_says(
        set in prop::collection::vec(daily(), 1..6),
        asked in prop::collection::vec(0..MINUTES / 2, 8),
        lasting in prop_oneof![Just(0_i64), 1_i64..200],
    ) {
        let windows = Windows::new(set.iter().enumerate().map(|(id, w)| w.window(id).build().unwrap())).unwrap();
        let allows = set.iter().any(|w| w.kind == Kind::Deployment);
        let open: Vec<bool> = (0..MINUTES).map(|minute| {
            let holds = |kind| set.iter().any(|w| w.kind == kind && w.holds(minute));
            !holds(Kind::Freeze) && (!allows || holds(Kind::Deployment))
        }).collect();
        let free = |from: i64, minutes: i64| {
            let (from, until) = (usize::try_from(from).unwrap(), usize::try_from(from + minutes.max(1)).unwrap());
            open.get(from..until).map(|all| all.iter().all(|open| *open))
        };
        let ann = ann();
        for minute in asked {
            let span = Span::secs(u64::try_from(lasting * 60).unwrap());
            let query = Query::new(ActionClass::Deploy, &ann, instant(minute)).lasting(span);
            let now = free(minute, lasting).unwrap();
            prop_assert_eq!(windows.is_open(&query), now, "at {}", minute);
            // Within the days that the walk knows, and with room for the longest that is asked for.
            let first = (minute..MINUTES - 400).find(|from| free(*from, lasting) == Some(true));
            match (windows.next_open(&query), first) {
                (Ok(next), Some(first)) => prop_assert_eq!(next, instant(first), "from {}", minute),
                (Ok(next), None) => prop_assert!(next >= instant(MINUTES - 400)),
                (Err(_), None) => {}
                (Err(why), Some(first)) => prop_assert!(false, "{why}, but open at {first}"),
            }
            let closed = (minute..MINUTES).find(|at| !open[usize::try_from(*at).unwrap()]);
            match (windows.next_close(&query), closed) {
                (Some(close), Some(closed)) => prop_assert_eq!(close, instant(closed)),
                (close, None) => prop_assert!(close.is_none_or(|close| close >= instant(MINUTES))),
                (None, Some(closed)) => prop_assert!(false, "closed at {closed}"),
            }
        }
    }

    #[test]
    fn one_more_freeze_never_opens_and_one_more_opening_never_closes(
        set in prop::collection::vec(daily(), 1..5),
        more in daily(),
        minute in 0..MINUTES,
    ) {
        let make = |set: &[Daily]| Windows::new(set.iter().enumerate().map(|(id, w)| w.window(id).build().unwrap())).unwrap();
        let with: Vec<_> = set.iter().cloned().chain([more.clone()]).collect();
        let ann = ann();
        let query = Query::new(ActionClass::Deploy, &ann, instant(minute));
        let (before, after) = (make(&set).is_open(&query), make(&with).is_open(&query));
        match more.kind {
            Kind::Freeze => prop_assert!(before || !after),
            Kind::Deployment if set.iter().any(|w| w.kind == Kind::Deployment) => prop_assert!(!before || after),
            Kind::Deployment => prop_assert!(before || !after), // the first one closes all other times
        }
    }
}

#[test]
fn f19_a_window_belongs_to_the_day_on_which_it_begins() {
    // Friday from 22:00 until Saturday 02:00: neither the early Friday nor the late Saturday.
    let when = When::cron("0 22 * * FRI", "4h");
    let windows = Windows::new([freeze("w", when).build().unwrap()]).unwrap();
    let ann = ann();
    let open = |text| windows.is_open(&Query::new(ActionClass::Deploy, &ann, at(text)));
    for (text, want) in [
        ("2026-03-06T01:00", true), // Friday
        ("2026-03-06T22:00", false),
        ("2026-03-07T01:59", false), // Saturday
        ("2026-03-07T02:00", true),
        ("2026-03-07T23:00", true),
    ] {
        assert_eq!(open(text), want, "{text}");
    }
}

#[test]
fn f19_zero_length_and_inverted_windows_are_refused() {
    let refused = |when: When| freeze("w", when).build().unwrap_err().problem;
    assert_eq!(refused(When::once("2026-03-06", "0s")), WindowProblem::ZeroLength);
    assert_eq!(refused(between("2026-03-06T01:00", "2026-03-06T01:00")), WindowProblem::ZeroLength);
    let inverted = refused(between("2026-03-06T01:00", "2026-03-06T00:00"));
    assert!(matches!(inverted, WindowProblem::Inverted { .. }), "{inverted}");
}

#[test]
fn what_never_opens_says_why() {
    let ann = ann();
    let query = Query::new(ActionClass::Deploy, &ann, at("2026-03-06T00:00"));
    let ask = |specs: Vec<WindowSpec>, query: &Query<'_>| {
        super::support::all(specs).next_open(query).unwrap_err()
    };
    let over = vec![deployment("past", between("2026-01-01T00:00", "2026-01-02T00:00"))];
    assert_eq!(ask(over, &query), NeverOpens::NoWindowLeft { after: query.at });
    let always = When::rrule("2026-01-01", "FREQ=DAILY", "24h");
    assert_eq!(ask(vec![freeze("f", always)], &query), NeverOpens::Frozen { since: query.at });
    let short = When::rrule("2026-01-01", "FREQ=DAILY;COUNT=100", "1h");
    let short = ask(vec![deployment("d", short)], &query.lasting(Span::secs(7_200)));
    assert_eq!(
        short,
        NeverOpens::TooShort { needed: Span::secs(7_200), longest: Span::secs(3_600) }
    );
    // Frozen whenever a window is open: the search goes to the end of the calendar,
    let (day, night) = (When::cron("0 8 * * *", "8h"), When::cron("0 7 * * *", "10h"));
    let never = ask(vec![deployment("d", day), freeze("f", night)], &query);
    assert!(
        matches!(never, NeverOpens::Frozen { since } if since > at("2105-12-30T00:00")),
        "{never}"
    );
    // or says how far it got.
    let hourly = |minutes| When::cron("0 * * * *", minutes);
    let never = ask(vec![deployment("d", hourly("20m")), freeze("f", hourly("30m"))], &query);
    assert!(
        matches!(never, NeverOpens::GivenUp { until } if until > at("2033-01-01T00:00")),
        "{never}"
    );
    let early = Query::new(ActionClass::Deploy, &ann, Timestamp::from_micros(-1));
    assert_eq!(ask(vec![], &early), NeverOpens::OutOfRange(early.at));
}
