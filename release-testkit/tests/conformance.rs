//! The honest fakes keep every promise, also behind a smart pointer of another kind and with fewer
//! capabilities. This file is what a vendor writes.

use std::sync::Arc;

use release_providers::{Fencing, RouterAbilities, Splitting};
use release_testkit::conformance::deployer::DeployerSandbox;
use release_testkit::conformance::router::RouterSandbox;
use release_testkit::fakes::{FakeDeployer, FakeIdentities, FakePlatform, FakeRouter};
use release_testkit::{VirtualClock, fixtures};

fn router_able(declare: fn(&mut RouterAbilities)) -> RouterSandbox {
    let platform = FakePlatform::new();
    let router = FakeRouter::of(&platform.world).able(declare);
    platform.router_sandbox(Arc::new(router))
}

fn slow_deployer() -> DeployerSandbox {
    let platform = FakePlatform::new();
    let deployer = FakeDeployer::of(&platform.world).settling_after(3);
    platform.deployer_sandbox(Arc::new(deployer))
}

release_testkit::deployer_conformance! {
    level: V2,
    provider: async || {
        let platform = FakePlatform::new();
        platform.deployer_sandbox(platform.deployer.clone())
    },
}

release_testkit::deployer_conformance! {
    name: slow_deployer_suite,
    level: V2,
    provider: async || slow_deployer(),
}

release_testkit::deployer_conformance! {
    name: deployer_without_fencing,
    level: V2,
    provider: async || {
        let platform = FakePlatform::new();
        let deployer = FakeDeployer::of(&platform.world).able(|can| can.fencing = Fencing::None);
        platform.deployer_sandbox(Arc::new(deployer))
    },
}

release_testkit::deployer_conformance! {
    name: deployer_that_is_able_to_do_all,
    level: V2,
    provider: async || {
        let platform = FakePlatform::new();
        let deployer = FakeDeployer::of(&platform.world).able(|can| {
            can.anti_affinity = true;
            can.metadata = true;
        });
        platform.deployer_sandbox(Arc::new(deployer))
    },
}

release_testkit::router_conformance! {
    name: router_without_fencing,
    level: V2,
    provider: async || router_able(|can| can.fencing = Fencing::None),
}

release_testkit::router_conformance! {
    level: V2,
    provider: async || {
        let platform = FakePlatform::new();
        platform.router_sandbox(platform.router.clone())
    },
}

release_testkit::router_conformance! {
    name: router_without_weights,
    level: V2,
    provider: async || router_able(|can| can.splitting = Splitting::Whole),
}

release_testkit::router_conformance! {
    name: router_without_counts,
    level: V2,
    provider: async || router_able(|can| can.counts_served = false),
}

release_testkit::router_conformance! {
    name: router_without_rules,
    level: V2,
    provider: async || router_able(|can| {
        can.header_routes = false;
        can.mirroring = false;
        can.mirror_matching = false;
        can.affinity = false;
        can.affinity_to_one = false;
    }),
}

release_testkit::router_conformance! {
    name: router_that_copies_all_kinds_of_requests,
    level: V2,
    provider: async || router_able(|can| can.mirror_matching = false),
}

release_testkit::identity_conformance! {
    level: V1,
    provider: async || {
        let source = FakeIdentities::of(fixtures::accounts()).with_clock(Arc::new(VirtualClock::new()));
        source.sandbox(Arc::new(source.another()))
    },
}
