//! One call of a provider: in process, through its layers, and across the plugin boundary, beside a bare tonic call over
//! the same kind of socket with as many bytes; and cold starts, from nothing to the first answer.
//!
//! `ours plugin` measures both sides of the boundary in turns, for the ratios, and the plugin in Python.

use std::path::Path;
use std::sync::Arc;

use benches::plugin::{
    Answering, Answers, Asked, Bench, Question, at_once, in_turn, with_all_layers,
    with_default_layers,
};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn calls(criterion: &mut Criterion) {
    let runtime = sure(Runtime::new());
    let bench = sure(Bench::new());
    let question = || sure(Question::new());
    let plugin = sure(bench.spec(Path::new(ECHO), &[]));
    let (_plugin, across) = sure(runtime.block_on(bench.plugin(plugin)));
    let bare = sure(runtime.block_on(bench.bare(Path::new(ECHO))));
    let mut group = criterion.benchmark_group("call");
    for (name, provider) in [
        ("in process", Arc::new(Answers) as _),
        ("default layers", with_default_layers()),
        ("all layers", with_all_layers()),
    ] {
        let asked = Asked(provider, question());
        one_by_one(&mut group, &runtime, name, &asked);
    }
    one_by_one(&mut group, &runtime, "plugin", &across);
    one_by_one(&mut group, &runtime, "bare tonic", &bare);
    many(&mut group, &runtime, "plugin, 32 at once", &across);
    many(&mut group, &runtime, "bare tonic, 32 at once", &bare);
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn one_by_one(group: &mut Group<'_>, runtime: &Runtime, name: &str, to: &impl Answering) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| sure(runtime.block_on(in_turn(to, calls))));
    });
}

fn many(group: &mut Group<'_>, runtime: &Runtime, name: &str, to: &impl Answering) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| sure(runtime.block_on(at_once(to, calls))));
    });
}

fn cold(criterion: &mut Criterion) {
    let runtime = sure(Runtime::new());
    let bench = sure(Bench::new());
    let spec = sure(bench.spec(Path::new(ECHO), &[]));
    let mut group = criterion.benchmark_group("cold");
    group.sample_size(20);
    group.bench_function("plugin", |bencher| {
        bencher.iter_custom(|starts| {
            (0..starts).map(|_| sure(runtime.block_on(bench.cold_plugin(&spec)))).sum()
        });
    });
    group.bench_function("bare tonic", |bencher| {
        bencher.iter_custom(|starts| {
            (0..starts).map(|_| sure(runtime.block_on(bench.cold_bare(Path::new(ECHO))))).sum()
        });
    });
    group.finish();
}

criterion_group!(benches, calls, cold);
criterion_main!(benches);
