//! A step that does nothing, through the whole engine with the hash-chained journal in memory, and
//! beside it one bare task: the limit for whoever runs one task a step.

use std::time::Duration;

use benches::{Failure, Setup, Shape, engine_run, join_set, plan, pure_plan};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SETUPS: [Setup; 3] = [
    Setup::DEFAULT,
    Setup { journal: true, poll_first: true },
    Setup { journal: false, poll_first: true },
];

fn overhead(criterion: &mut Criterion) {
    for (n, samples) in [(1_000, 20), (10_000, 10), (100_000, 10), (1_000_000, 10)] {
        let mut group = criterion.benchmark_group(format!("engine_overhead/{n}"));
        group.sample_size(samples).throughput(Throughput::Elements(n as u64));
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        for shape in [Shape::Linear, Shape::Wide, Shape::Random] {
            let plan = sure(plan(shape, n));
            for setup in SETUPS {
                let id = BenchmarkId::new(format!("release ({})", setup.name()), shape.name());
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|times| {
                        (0..times).map(|_| sure(engine_run(&plan, setup))).sum()
                    });
                });
            }
            let pure = sure(pure_plan(shape, n));
            group.bench_function(
                BenchmarkId::new("release (no effect)", shape.name()),
                |bencher| {
                    let setup = Setup { journal: false, poll_first: false };
                    bencher.iter_custom(|times| {
                        (0..times).map(|_| sure(engine_run(&pure, setup))).sum()
                    });
                },
            );
        }
        group.bench_function(BenchmarkId::new("joinset", "bare"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| sure(join_set(n))).sum());
        });
        group.finish();
    }
}

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

criterion_group!(engine_overhead, overhead);
criterion_main!(engine_overhead);
