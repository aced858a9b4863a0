//! Compatible sets of a train, beside bare `pubgrub` over the same versions and needs.
//!
//! Services come in three versions; a version needs up to three services before it, in its own version or the one before. All are
//! deployed in their second version, and one in twenty is wished for in its third: whatever needs those has to go along.
//!
//! - «resolve»: the versions of one region, with as much as possible left as it is. What cannot be is taken out before anything is searched,
//!   and what is left needs no search: so ours does not come to `pubgrub` here;
//! - «search»: the same, but each third version that is wished for needs a service besides that is deployed nowhere yet, in some of its three
//!   versions. Nothing is taken out of what is not there, so ours searches with `pubgrub` here;
//! - each beside bare `pubgrub` over the same versions and needs with numbers for names: «newest» takes the newest of all, which is an
//!   easier question, and «kept» what is deployed first, as ours has to; of 5,000 that alone took 25 s and is left out. The provider of
//!   theirs is made before, ours makes it of names each time;
//! - «order»: the changes of one region, so that all needs are met after each;
//! - «train»: all services are wished for in their third version: versions and order in twenty regions, of which no two have the same services;
//!   and the plan of a rolling release of all services in all of these regions, to production, with all checks of it, by what the catalogue
//!   says of needs. «All» is one after the other: what is released is what was found.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pubgrub::{
    Dependencies, DependencyProvider, OfflineDependencyProvider, PackageResolutionStatistics,
    Ranges,
};
use release_core::model::{
    ArtifactRef, Definition, DefinitionBuilder, Digest, Environment, Release, RollbackCriteria,
    RollbackScope, RollbackTrigger, Rolling, Service, ServiceId, Stage, Strategy, Tier, VersionSet,
};
use release_core::plan::plan;
use release_policy::compat::{Catalogue, Offer, Versions};
use semver::{Version, VersionReq};

const REGIONS: usize = 20;

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn service(nth: usize) -> ServiceId {
    sure(format!("s-{nth:05}").parse())
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

const fn is_wished(nth: usize) -> bool {
    nth % 20 == 7
}

fn side(nth: usize) -> ServiceId {
    sure(format!("t-{nth:05}").parse())
}

/// With `sides`, what is wished for needs one more each.
fn catalogue(count: usize, sides: bool) -> Catalogue {
    let offers = (0..count).flat_map(|nth| {
        (1..=3).map(move |major| {
            let (least, most) = around(major);
            let requirement: VersionReq = sure(format!(">={least}, <={most}").parse());
            let offer = Offer::new(service(nth), version(major));
            let offer = needs(nth)
                .fold(offer, |offer, other| offer.needing(service(other), requirement.clone()));
            if sides && is_wished(nth) && major == 3 {
                offer.needing(side(nth), VersionReq::STAR)
            } else {
                offer
            }
        })
    });
    let beside = (0..count).filter(|nth| sides && is_wished(*nth));
    let beside =
        beside.flat_map(|nth| (1..=3).map(move |major| Offer::new(side(nth), version(major))));
    sure(Catalogue::new(offers.chain(beside)))
}

fn deployed(count: usize) -> Versions {
    (0..count).map(|nth| (service(nth), version(2))).collect()
}

fn wish(count: usize) -> BTreeMap<ServiceId, VersionReq> {
    (0..count).filter(|nth| is_wished(*nth)).map(|nth| (service(nth), sure("^3".parse()))).collect()
}

type Bare = OfflineDependencyProvider<usize, Ranges<u64>>;

/// The same for `pubgrub` alone, with numbers for names; those besides come after `count`, and the root after these.
fn bare(count: usize, sides: bool) -> Bare {
    let mut provider = Bare::new();
    for nth in 0..count {
        for major in 1..=3 {
            let (least, most) = around(major);
            let range = Ranges::from_range_bounds(least..=most);
            let beside =
                (sides && is_wished(nth) && major == 3).then(|| (count + nth, Ranges::full()));
            let all = needs(nth).map(|on| (on, range.clone())).chain(beside);
            provider.add_dependencies(nth, major, all);
            provider.add_dependencies(count + nth, major, []);
        }
    }
    let root = (0..count)
        .map(|nth| (nth, if is_wished(nth) { Ranges::singleton(3_u64) } else { Ranges::full() }));
    provider.add_dependencies(2 * count, 0_u64, root);
    provider
}

/// Bare, but what is deployed is taken first, and taken first of all.
struct Kept(Bare, usize);

impl DependencyProvider for Kept {
    type P = usize;
    type V = u64;
    type VS = Ranges<u64>;
    type Priority = (Reverse<usize>, u32, Reverse<usize>);
    type M = String;
    type Err = Infallible;

    fn prioritize(
        &self,
        package: &usize,
        range: &Ranges<u64>,
        conflicts: &PackageResolutionStatistics,
    ) -> Self::Priority {
        if *package < self.1 && range.contains(&2) {
            return (Reverse(*package), 0, Reverse(0));
        }
        let (conflicts, count) = self.0.prioritize(package, range, conflicts);
        (Reverse(usize::MAX), conflicts, count)
    }

    fn choose_version(
        &self,
        package: &usize,
        range: &Ranges<u64>,
    ) -> Result<Option<u64>, Infallible> {
        if *package < self.1 && range.contains(&2) {
            return Ok(Some(2));
        }
        self.0.choose_version(package, range)
    }

    fn get_dependencies(
        &self,
        package: &usize,
        version: &u64,
    ) -> Result<Dependencies<usize, Ranges<u64>, String>, Infallible> {
        self.0.get_dependencies(package, version)
    }
}

fn resolution(criterion: &mut Criterion) {
    for (name, sides) in [("resolve", false), ("search", true)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        for count in [50, 500, 5_000] {
            let (catalogue, live, wish) = (catalogue(count, sides), deployed(count), wish(count));
            let target = sure(catalogue.resolve(&live, &wish));
            assert_eq!(catalogue.faults(&target), []);
            let more = if sides { wish.len() } else { 0 };
            assert_eq!(target.len(), count + more);
            let kept = |target: &Versions| {
                live.iter().filter(|(id, at)| target.get(*id) == Some(at)).count()
            };
            let ours = kept(&target);
            group.bench_function(BenchmarkId::new("release", count), |bencher| {
                bencher.iter(|| sure(catalogue.resolve(&live, &wish)));
            });
            let newest = bare(count, sides);
            let root = 2 * count;
            let chosen =
                sure(pubgrub::resolve(&newest, root, 0_u64).map_err(|error| error.to_string()));
            assert_eq!(chosen.into_iter().count(), count + more + 1);
            group.bench_function(BenchmarkId::new("pubgrub, newest", count), |bencher| {
                bencher.iter(|| pubgrub::resolve(&newest, root, 0_u64).is_ok());
            });
            if count <= 500 {
                let first = Kept(newest, count);
                let chosen =
                    pubgrub::resolve(&first, root, 0_u64).map_err(|error| error.to_string());
                let theirs =
                    sure(chosen).into_iter().filter(|(nth, major)| *nth < count && *major == 2);
                assert_eq!(ours, theirs.count(), "the same question");
                group.bench_function(BenchmarkId::new("pubgrub, kept", count), |bencher| {
                    bencher.iter(|| pubgrub::resolve(&first, root, 0_u64).is_ok());
                });
            }
            group.bench_function(BenchmarkId::new("order", count), |bencher| {
                bencher.iter(|| sure(catalogue.order(&live, &target)));
            });
        }
    }
}

fn train(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("train");
    group.sample_size(10);
    for count in [50, 500, 5_000] {
        let catalogue = catalogue(count, false);
        let wish = (0..count).map(|nth| (service(nth), sure("^3".parse()))).collect();
        // The last seven services are needed by none: no two regions lack the same of them.
        let region = |number: usize| {
            let mut live = deployed(count);
            for bit in (0..5).filter(|bit| number >> bit & 1 == 1) {
                live.remove(&service(count - 1 - bit));
            }
            live
        };
        let regions: Vec<_> = (0..REGIONS).map(region).collect();
        let compatible = || {
            let mut found = None;
            for live in &regions {
                let target = sure(catalogue.resolve(live, &wish));
                assert_eq!(sure(catalogue.order(live, &target)).steps.len(), count);
                assert_eq!(found.get_or_insert_with(|| target.clone()), &target);
            }
            found.unwrap_or_default()
        };
        let planned = |target: &Versions| {
            let described = catalogue.describe(definition(target));
            let described = sure(described.map_err(|unknown| format!("{unknown:?}")));
            let plan = sure(plan(&described));
            assert!(plan.steps().len() > 5 * REGIONS * count, "each service in each region");
            plan
        };
        let target = compatible();
        let before = planned(&target).edges().len();
        assert!(before > REGIONS * count, "what is needed goes before");
        group.bench_function(BenchmarkId::new("resolve and order", count), |bencher| {
            bencher.iter(compatible);
        });
        group.bench_function(BenchmarkId::new("plan and validate", count), |bencher| {
            bencher.iter(|| planned(&target));
        });
        group.bench_function(BenchmarkId::new("all", count), |bencher| {
            bencher.iter(|| planned(&compatible()));
        });
    }
}

/// All services from their second version to what was found, one instance in all regions each; what they need is not said.
fn definition(target: &Versions) -> Definition {
    let mut release = Release::new(sure("train".parse()), VersionSet::new());
    let two = version(2);
    for (service, three) in target {
        for (set, version) in [(&mut release.versions, three), (&mut release.previous, &two)] {
            let digest = Digest::of(format!("{service} in {version}").as_bytes());
            let artifact = ArtifactRef::new(sure(service.as_str().parse()), digest);
            *set = std::mem::take(set).with(service.clone(), version.clone(), artifact);
        }
    }
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::default(), triggers });
    let regions = (0..REGIONS).map(|number| sure(format!("region-{number}").parse()));
    let environment = Environment {
        id: sure("production".parse()),
        tier: Tier::Production,
        owner: sure("platform".parse()),
        regions: regions.collect(),
    };
    let rolling = Stage::new(environment.id.clone(), Strategy::Rolling(Rolling::new(1)));
    let builder = Definition::builder(sure("train".parse()), release).environment(environment);
    let services = target.keys().map(|id| Service::new(id.clone(), sure("team".parse())));
    services.fold(builder.stage(rolling), DefinitionBuilder::service).build()
}

criterion_group!(benches, resolution, train);
criterion_main!(benches);
