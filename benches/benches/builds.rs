//! Graphs of builds, beside the traversal of `petgraph` over the same needs.
//!
//! 10,000 builds, each of which needs ten of the two hundred before it: 100,000 needs, less those that are drawn twice. One build
//! changes.
//!
//! - «affected»: which have to be looked at again, each after those that it needs, as references to them. Theirs is `Dfs` over a graph of
//!   numbers, which finds the same, in no order that anybody could build in; and `DfsPostOrder`, which gives one. The graphs of both are
//!   made before.
//! - «first»: the change that affects most of all; «middle»: one that affects half; «last»: one that affects hardly any.

use std::collections::BTreeSet;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, DfsPostOrder};
use release_core::build::{Build, BuildGraph};
use release_core::model::BuildId;

const BUILDS: u32 = 10_000;
const NEEDS: u32 = 10;
const WITHIN: u32 = 200;

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn id(nth: u32) -> BuildId {
    sure(format!("b-{nth:05}").parse())
}

/// What a build needs, drawn by a multiplicative hash: the same every time.
fn needs(nth: u32) -> BTreeSet<u32> {
    let within = nth.min(WITHIN);
    let drawn = (0..NEEDS).filter_map(|which| {
        let drawn = nth.wrapping_mul(NEEDS).wrapping_add(which).wrapping_mul(2_654_435_761) >> 8;
        Some(nth - 1 - drawn.checked_rem(within)?)
    });
    drawn.collect()
}

fn affected(criterion: &mut Criterion) {
    let build = |nth| {
        let build = Build::new(id(nth), format!("ssh://host/{nth}"), "release");
        needs(nth).into_iter().fold(build, |build, need| build.needing(id(need)))
    };
    let ours = sure(BuildGraph::new((0..BUILDS).map(build)));
    let edges = (0..BUILDS).flat_map(|nth| needs(nth).into_iter().map(move |need| (need, nth)));
    let theirs: DiGraph<(), (), u32> = DiGraph::from_edges(edges);
    let mut group = criterion.benchmark_group("affected");
    for (name, changed) in [("first", 0), ("middle", BUILDS / 2), ("last", BUILDS - 20)] {
        let (change, root) = (id(changed), NodeIndex::new(changed as usize));
        let count = sure(ours.affected([&change])).len();
        let walk = || {
            let (mut dfs, mut found) = (Dfs::new(&theirs, root), 0_usize);
            while dfs.next(&theirs).is_some() {
                found += 1;
            }
            found
        };
        let walk_in_order = || {
            let (mut dfs, mut found) = (DfsPostOrder::new(&theirs, root), Vec::new());
            while let Some(node) = dfs.next(&theirs) {
                found.push(node);
            }
            found.reverse();
            found
        };
        assert_eq!((count, count), (walk(), walk_in_order().len()), "the same question");
        group.bench_function(BenchmarkId::new("ours", name), |bencher| {
            bencher.iter(|| sure(ours.affected([&change])).len());
        });
        group.bench_function(BenchmarkId::new("petgraph, in no order", name), |bencher| {
            bencher.iter(walk);
        });
        group.bench_function(BenchmarkId::new("petgraph, in order", name), |bencher| {
            bencher.iter(walk_in_order);
        });
    }
    group.finish();
}

criterion_group!(benches, affected);
criterion_main!(benches);
