//! Compatible sets of a train, beside bare `pubgrub` over the same versions and needs.
//!
//! Services come in three versions; a version needs up to three services before it, in its own version or the one before. All are
//! deployed in their second version, and one in twenty is wished for in its third: whatever needs those has to go along.
//!
//! - «resolve»: the versions of one region, with as much as possible left as it is, beside `pubgrub`, which takes the newest of all;
//! - «order»: the changes of one region, so that all needs are met after each;
//! - «train»: both in twenty regions, of which no two have the same services.

use std::collections::BTreeMap;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pubgrub::{OfflineDependencyProvider, Ranges};
use release_core::model::ServiceId;
use release_policy::compat::{Catalogue, Offer, Versions};
use semver::{Version, VersionReq};

const REGIONS: usize = 20;

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn service(nth: usize) -> ServiceId {
    sure(format!("s-{nth}").parse())
}

const fn version(major: u64) -> Version {
    Version::new(major, 0, 0)
}

/// The services that one needs.
fn needs(nth: usize) -> impl Iterator<Item = usize> {
    let some = [nth / 2, nth.saturating_sub(7), nth / 3 + 1];
    let mut some: Vec<_> = some.into_iter().filter(|other| *other < nth).collect();
    some.sort_unstable();
    some.dedup();
    some.into_iter()
}

/// Which versions of what it needs a version gets along with.
const fn around(major: u64) -> (u64, u64) {
    (if major > 1 { major - 1 } else { 1 }, major)
}

fn catalogue(count: usize) -> Catalogue {
    let offers = (0..count).flat_map(|nth| {
        (1..=3).map(move |major| {
            let (least, most) = around(major);
            let requirement: VersionReq = sure(format!(">={least}, <={most}").parse());
            needs(nth).fold(Offer::new(service(nth), version(major)), |offer, other| {
                offer.needing(service(other), requirement.clone())
            })
        })
    });
    sure(Catalogue::new(offers))
}

fn deployed(count: usize) -> Versions {
    (0..count).map(|nth| (service(nth), version(2))).collect()
}

fn wish(count: usize) -> BTreeMap<ServiceId, VersionReq> {
    (0..count).filter(|nth| nth % 20 == 7).map(|nth| (service(nth), sure("^3".parse()))).collect()
}

type Bare = OfflineDependencyProvider<usize, Ranges<u64>>;

/// The same for `pubgrub` alone, with numbers for names; the root is one number beyond.
fn bare(count: usize) -> Bare {
    let mut provider = Bare::new();
    for nth in 0..count {
        for major in 1..=3 {
            let (least, most) = around(major);
            let range = Ranges::from_range_bounds(least..=most);
            provider.add_dependencies(nth, major, needs(nth).map(|on| (on, range.clone())));
        }
    }
    let root = (0..count)
        .map(|nth| (nth, if nth % 20 == 7 { Ranges::singleton(3_u64) } else { Ranges::full() }));
    provider.add_dependencies(count, 0_u64, root);
    provider
}

fn resolution(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resolve");
    group.sample_size(10);
    for count in [50, 500, 5_000] {
        let (catalogue, live, wish) = (catalogue(count), deployed(count), wish(count));
        let target = sure(catalogue.resolve(&live, &wish));
        assert_eq!(catalogue.broken(&target), []);
        assert!(target != live);
        group.bench_function(BenchmarkId::new("release", count), |bencher| {
            bencher.iter(|| sure(catalogue.resolve(&live, &wish)));
        });
        let provider = bare(count);
        let chosen = pubgrub::resolve(&provider, count, 0_u64).map_err(|error| error.to_string());
        assert_eq!(sure(chosen).into_iter().count(), count + 1);
        group.bench_function(BenchmarkId::new("pubgrub", count), |bencher| {
            bencher.iter(|| pubgrub::resolve(&provider, count, 0_u64).is_ok());
        });
        group.bench_function(BenchmarkId::new("order", count), |bencher| {
            bencher.iter(|| sure(catalogue.order(&live, &target)));
        });
    }
}

fn train(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train");
    group.sample_size(10);
    for count in [50, 500, 5_000] {
        let (catalogue, wish) = (catalogue(count), wish(count));
        // The last seven services are needed by none: no two regions lack the same of them.
        let region = |number: usize| {
            let mut live = deployed(count);
            for bit in (0..5).filter(|bit| number >> bit & 1 == 1) {
                live.remove(&service(count - 1 - bit));
            }
            live
        };
        let regions: Vec<_> = (0..REGIONS).map(region).collect();
        group.bench_function(BenchmarkId::new("resolve and order", count), |bencher| {
            bencher.iter(|| {
                let steps = regions.iter().map(|live| {
                    let target = sure(catalogue.resolve(live, &wish));
                    sure(catalogue.order(live, &target)).len()
                });
                steps.sum::<usize>()
            });
        });
    }
}

criterion_group!(benches, resolution, train);
criterion_main!(benches);
