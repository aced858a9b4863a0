//! Time windows, beside the crates that know recurrence: each answer also as those crates alone give it.
//!
//! - «open?»: whether a nightly freeze in a zone holds, beside croner's next occurrence of the same;
//! - «next opening»: when a window opens next whose rule began two (and twenty) years ago, beside the
//!   rrule crate walking from the begin of the rule;
//! - «ten years»: every opening of ten years, one after the other.

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use croner::Cron;
use release_core::model::{Principal, Timestamp};
use release_policy::window::{ActionClass, Query, When, WindowSpec, Windows};
use rrule::RRuleSet;

const ZONE: chrono_tz::Tz = chrono_tz::Europe::Berlin;
/// Thursday 5 March 2026, 12:00 UTC, in seconds.
const NOW: i64 = 1_772_712_000;

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn one(deploys: bool, when: When) -> Windows {
    let (id, owner) = (sure("w".parse()), sure("sre".parse()));
    let spec = if deploys {
        WindowSpec::deployment(id, when, owner, "bench")
    } else {
        WindowSpec::freeze(id, when, owner, "bench")
    };
    sure(Windows::new([sure(spec.zone("Europe/Berlin").build())]))
}

/// Instants of a day, spread, so that neither side is asked the same again and again.
fn instants() -> impl Iterator<Item = i64> {
    (0..).map(|n: i64| NOW + n * 7_919 % 31_536_000)
}

fn stamp(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn zoned(second: i64) -> DateTime<chrono_tz::Tz> {
    DateTime::<Utc>::from_timestamp(second, 0).unwrap_or_default().with_timezone(&ZONE)
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window/open?");
    let windows = one(false, When::cron("0 22 * * *", "8h"));
    let ann = Principal::human(sure("ann".parse()));
    let mut all = instants();
    group.bench_function("release", |bencher| {
        bencher.iter_batched(
            || all.next().unwrap_or(NOW),
            |at| windows.is_open(&Query::new(ActionClass::Deploy, &ann, stamp(at))),
            BatchSize::SmallInput,
        );
    });
    let cron: Cron = sure("0 22 * * *".parse());
    let mut all = instants();
    group.bench_function("croner next", |bencher| {
        bencher.iter_batched(
            || zoned(all.next().unwrap_or(NOW)),
            |at| sure(cron.find_next_occurrence(&at, false)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn next(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window/next opening");
    let ann = Principal::human(sure("ann".parse()));
    for (age, start) in [("2 years", "2024-03-05"), ("20 years", "2006-03-05")] {
        let windows = one(true, When::rrule(format!("{start}T22:00"), "FREQ=DAILY", "8h"));
        group.bench_function(format!("release/{age}"), |bencher| {
            let query = Query::new(ActionClass::Deploy, &ann, stamp(NOW));
            bencher.iter(|| sure(windows.next_open(std::hint::black_box(&query))));
        });
        // Compiling it, too: the first question of a calendar that was just read.
        group.bench_function(format!("release, first question/{age}"), |bencher| {
            bencher.iter_batched(
                || one(true, When::rrule(format!("{start}T22:00"), "FREQ=DAILY", "8h")),
                |windows| {
                    sure(windows.next_open(&Query::new(ActionClass::Deploy, &ann, stamp(NOW))))
                },
                BatchSize::SmallInput,
            );
        });
        let compact = start.replace('-', "");
        let rule: RRuleSet =
            sure(format!("DTSTART;TZID=Europe/Berlin:{compact}T220000\nRRULE:FREQ=DAILY").parse());
        let now = zoned(NOW).with_timezone(&rrule::Tz::Europe__Berlin);
        group.bench_function(format!("rrule/{age}"), |bencher| {
            bencher.iter(|| rule.into_iter().find(|at| *at >= std::hint::black_box(now)));
        });
    }
    group.finish();
}

fn ten_years(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window/openings of ten years");
    group.sample_size(20);
    let windows = one(true, When::rrule("2024-03-05T22:00", "FREQ=DAILY", "8h"));
    let ann = Principal::human(sure("ann".parse()));
    let end = NOW + TimeDelta::days(3_652).num_seconds();
    group.bench_function("release", |bencher| {
        bencher.iter(|| {
            let (mut at, mut count) = (stamp(NOW), 0_u32);
            while at < stamp(end) {
                at = sure(windows.next_open(&Query::new(ActionClass::Deploy, &ann, at)));
                let close = windows.next_close(&Query::new(ActionClass::Deploy, &ann, at));
                at = close.unwrap_or(stamp(end));
                count += 1;
            }
            count
        });
    });
    let rule: RRuleSet =
        sure("DTSTART;TZID=Europe/Berlin:20240305T220000\nRRULE:FREQ=DAILY".parse());
    let [from, until] = [NOW, end].map(|at| zoned(at).with_timezone(&rrule::Tz::Europe__Berlin));
    group.bench_function("rrule", |bencher| {
        bencher.iter(|| {
            rule.into_iter().skip_while(|at| *at < from).take_while(|at| *at < until).count()
        });
    });
    group.finish();
}

criterion_group!(windows, open, next, ten_years);
criterion_main!(windows);
