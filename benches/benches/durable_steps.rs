//! A step that does nothing over SQLite with full durability: one linear run and 64 at once, and
//! beside it a bare loop of inserts with the same durability.

use std::time::Duration;

use benches::{Durable, Failure, Shape, plan, sqlite_inserts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const STEPS: usize = 100;

fn durable(criterion: &mut Criterion) {
    let folder = sure(tempfile::tempdir().map_err(Failure::from));
    let plan = sure(plan(Shape::Linear, STEPS));
    let mut engine = sure(Durable::open(folder.path()));
    for (runs, batch) in [(1_u64, 1), (64, 64)] {
        let rows = runs * STEPS as u64;
        let mut group = criterion.benchmark_group(format!("durable_steps/{runs}x{STEPS}"));
        group.sample_size(10).throughput(Throughput::Elements(rows));
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        group.bench_function(BenchmarkId::new("release", "sqlite"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| sure(engine.run(&plan, runs)).0).sum());
        });
        group.bench_function(BenchmarkId::new("sqlite_insert", batch), |bencher| {
            bencher.iter_custom(|times| {
                (0..times).map(|_| sure(sqlite_inserts(folder.path(), rows, batch, 512))).sum()
            });
        });
        group.finish();
    }
}

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T>(result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

criterion_group!(durable_steps, durable);
criterion_main!(durable_steps);
