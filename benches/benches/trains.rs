//! When release trains depart, over 10,000 seeded histories.
//!
//! A history has up to forty entries about eight items, within a hundred minutes: items join and leave, are complete and open again. Each
//! history is asked under one model («time-based», «feature-based», «hybrid»), and with a model that is changed on the way from each kind
//! to the next («changed»). The histories are made before.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use release_core::model::{Span, Timestamp};
use release_policy::train::{Became, Entry, ReleaseModel, TrainHistory, TrainModel};

const HISTORIES: u64 = 10_000;
/// After all of it.
const NOW: u64 = 120;

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn minute(minute: u64) -> Timestamp {
    Timestamp::default().plus(Span::secs(60 * minute))
}

/// A history, the same for a seed every time.
fn history(seed: u64) -> TrainHistory {
    let mut state = seed;
    let mut draw = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let count = draw(41);
    let mut minutes: Vec<u64> = (0..count).map(|_| draw(100)).collect();
    minutes.sort_unstable();
    let mut history = TrainHistory::default();
    for at in minutes {
        let became = match draw(9) {
            0..=2 => Became::Joined,
            3 => Became::Left,
            4..=7 => Became::Complete,
            _ => Became::Reopened,
        };
        let item = sure(format!("item-{}", draw(8)).parse());
        sure(history.push(Entry::new(minute(at), item, became)));
    }
    history
}

fn departures(criterion: &mut Criterion) {
    let histories: Vec<_> = (0..HISTORIES).map(history).collect();
    let mut group = criterion.benchmark_group("10,000 histories");
    group.sample_size(10);
    let models = [
        ("time-based", ReleaseModel::TimeBased { boards_until: minute(40), departs: minute(50) }),
        ("feature-based", ReleaseModel::FeatureBased),
        ("hybrid", ReleaseModel::Hybrid { deadline: minute(60) }),
    ];
    for (name, model) in &models {
        let depart = || {
            let departs = |history| sure(model.departure(history, minute(NOW))).at().is_some();
            histories.iter().filter(|history| departs(*history)).count()
        };
        let count = depart();
        assert!(count > 0, "some depart");
        assert_eq!(*name == "feature-based", count < histories.len(), "of {name} {count}");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| bencher.iter(depart));
    }
    let changed = || {
        let changed = |(number, history): (usize, &TrainHistory)| {
            let of = |nth: usize| models.iter().cycle().nth(nth).map(|(_, model)| model.clone());
            let (Some(from), Some(to)) = (of(number), of(number + 1)) else { return false };
            let mut train = sure(TrainModel::new(from));
            let because = (minute(30), sure("ann".parse()), "the season ends");
            // One that has departed by then cannot be changed any more.
            let switched = train.switch(to, history, because).is_ok();
            sure(train.departure(history, minute(NOW))).at().is_some() && switched
        };
        histories.iter().enumerate().filter(|one| changed(*one)).count()
    };
    assert!((1..histories.len()).contains(&changed()), "some are changed");
    group.bench_function(BenchmarkId::from_parameter("changed"), |bencher| bencher.iter(changed));
    group.finish();
}

criterion_group!(benches, departures);
criterion_main!(benches);
