//! The statistics that judge a canary, beside `statrs` here and beside SciPy in `peers/scipy`.
//!
//! - `rank_test` and `shift`: Mann and Whitney's test, and Hodges and Lehmann's shift with its interval, of
//!   unsorted response times that are rounded, so that there are ties. `statrs` compares all pairs for its
//!   ties, so that it is not asked at 100,000 a side.
//! - `update`: what one more sample costs a test, with whatever number of events before.
//! - `look`: what one look costs a judge of a run: reading what was measured, the test, its interval, the digest of the samples
//!   and the sentence for people. A look takes all requests since the one before in, however many.
//!
//! The numbers are written once, from a fixed seed, to a file among the build's temporary ones, which SciPy and these read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use release_core::analysis::Trial;
use release_core::model::{
    Analysis, ArtifactRef, Bound, Digest, Direction, Edition, Expected, Finite, Judge, Margin,
    Metric, Selector, Sequential, Span, Target, Threshold, Timestamp, Unit,
};
use release_core::plan::{Action, Beside, Deployment};
use release_core::port::{Evidence, Measurement};
use release_core::stats::counts::{CountTest, Side};
use release_core::stats::cusum::Cusum;
use release_core::stats::means::{Moments, TTest};
use release_core::stats::rank::{Alternative, RankTest};
use release_core::stats::shift::Shift;
use statrs::stats_tests::Alternative as StatrsAlternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};

const SIZES: [u32; 3] = [60, 1_000, 100_000];

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// Milliseconds with one place, of about 100: the canary's (`factor` 1.02) and the control's.
fn times(seed: u64, count: u32, factor: f64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0)) / 4_294_967_296.0
    };
    let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    (0..count).map(|_| (1000.0 * factor * (0.3 * normal()).exp()).round() / 10.0).collect()
}

/// The numbers that are measured, as they are read from the file that SciPy reads as well.
fn samples(count: u32) -> (Vec<f64>, Vec<f64>) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("analysis-{count}.json"));
    let (x, y) = (times(1, count, 1.02), times(2, count, 1.0));
    let test = sure(RankTest::new(&x, &y));
    let shift = sure(Shift::new(&x, &y, 0.98));
    let shift = vec![shift.estimate, shift.lower, shift.upper];
    let p = vec![test.p_value(Alternative::TwoSided)];
    let numbers = BTreeMap::from([("x", x), ("y", y), ("p", p), ("shift", shift)]);
    sure(std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")));
    sure(std::fs::write(&file, sure(serde_json::to_string(&numbers))));

    let written = sure(std::fs::read_to_string(&file));
    let mut read: BTreeMap<String, Vec<f64>> = sure(serde_json::from_str(&written));
    let mut take = |name: &str| read.remove(name).unwrap_or_default();
    (take("x"), take("y"))
}

fn tests(criterion: &mut Criterion) {
    for count in SIZES {
        let (x, y) = samples(count);
        let mut group = criterion.benchmark_group("rank_test");
        group.bench_function(BenchmarkId::new("release", count), |bencher| {
            bencher.iter(|| sure(RankTest::new(&x, &y)).p_value(Alternative::TwoSided));
        });
        if count <= 1_000 {
            group.bench_function(BenchmarkId::new("statrs", count), |bencher| {
                bencher.iter(|| {
                    let method = MannWhitneyUMethod::AsymptoticInclContinuityCorrection;
                    sure(mannwhitneyu(&x, &y, method, StatrsAlternative::TwoSided))
                });
            });
        }
        group.finish();
        let mut group = criterion.benchmark_group("shift");
        group.bench_function(BenchmarkId::new("release", count), |bencher| {
            bencher.iter(|| sure(Shift::new(&x, &y, 0.98)));
        });
        group.finish();
    }
}

fn updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update");
    for total in [100.0_f64, 10_000.0, 1e8] {
        for side in [Side::Both, Side::More] {
            let test = sure(CountTest::new(0.1, 1.0, 9.0, side));
            let mut events = total;
            group.bench_function(BenchmarkId::new(format!("counts {side:?}"), total), |bencher| {
                bencher.iter(|| {
                    events += 1.0;
                    sure(test.log_e((0.101 * events).round(), events))
                });
            });
        }
    }
    let (test, mut moments, mut value) = (sure(TTest::new(0.1)), Moments::default(), 0.0);
    group.bench_function("t", |bencher| {
        bencher.iter(|| {
            value = (value + 0.618) % 1.0;
            sure(moments.push(value - 0.45));
            sure(test.log_e(&moments))
        });
    });
    group.bench_function("t, one side", |bencher| {
        bencher.iter(|| {
            value = (value + 0.618) % 1.0;
            sure(moments.push(value - 0.45));
            sure(test.log_e_above(&moments))
        });
    });
    let mut sum = sure(Cusum::new(0.5, 1e9));
    group.bench_function("cusum", |bencher| {
        bencher.iter(|| {
            value = (value + 0.618) % 1.0;
            sure(sum.push(value))
        });
    });
    group.finish();
}

fn action(metric: Metric, judge: Judge) -> Action {
    let deployment = |version: &str| Deployment {
        target: Target::new(sure("prod".parse()), sure("eu".parse()), sure("api".parse())),
        artifact: ArtifactRef::new(sure("api".parse()), Digest::of(version.as_bytes())),
        version: sure(version.parse()),
    };
    let beside = match judge {
        Judge::Sequential(_) => Some(Box::new(Beside::new(deployment("1.0.0"), 50))),
        _ => None,
    };
    let id = sure("failures".parse());
    let analysis = Arc::new(Analysis { count: u32::MAX, ..Analysis::judged(id, metric, judge) });
    Action::Analyze {
        deployment: deployment("2.0.0").into(),
        analysis,
        from: None,
        beside,
        until: None,
    }
}

fn looks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look");
    let finite = |value: f64| sure(Finite::new(value));
    let part = |version: &str, numerator: f64, denominator: f64| {
        let digest = Digest::of(version.as_bytes());
        let (numerator, denominator) = (finite(numerator), finite(denominator));
        Measurement::Ratio { digest, numerator, denominator }
    };
    let of = |series: &str| Selector::series(series);
    let ratio = || Metric::Ratio { numerator: of("failed"), denominator: of("all") };
    let mean = || Metric::Mean { sum: of("seconds"), count: of("requests") };
    let rule = || Sequential {
        direction: Direction::LowerIsBetter,
        unit: Unit::Share,
        margin: Margin { relative: finite(0.5), absolute: Finite::ZERO },
        expected: Expected {
            per_second: finite(1_000.0),
            value: finite(0.01),
            spread: finite(1.0),
            detect: finite(3.0),
        },
        alpha: finite(0.05),
        critical: false,
        warm_up: 0,
        baseline: None,
        comparisons: 1,
        edition: Edition::default(),
    };
    let limit = || Judge::Threshold(Threshold::new(Bound::AtMost(finite(0.05))));
    for (name, metric, judge) in [
        ("sequential, errors", ratio(), Judge::Sequential(rule())),
        ("sequential, means", mean(), Judge::Sequential(rule())),
        ("threshold", ratio(), limit()),
    ] {
        let compares = matches!(judge, Judge::Sequential(_));
        let (mut at, mut look, mut wave) = (Timestamp::default(), 0.0_f64, 0.0_f64);
        let Some(mut trial) = Trial::new(action(metric, judge)) else { continue };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                (at, look, wave) = (at.plus(Span::secs(1)), look + 1.0, (wave + 0.618) % 1.0);
                let canary = part("2.0.0", (5.0 * look).round() + wave, 500.0 * look);
                let evidence = if compares {
                    let baseline = part("1.0.0", (5.0 * look).round(), 500.0 * look);
                    Evidence::Comparison { canary: Box::new(canary), baseline: Box::new(baseline) }
                } else {
                    Evidence::Measurement(canary)
                };
                trial.look(at, &evidence)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tests, updates, looks);
criterion_main!(benches);
