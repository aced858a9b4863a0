//! Sandboxes for the conformance suites, in the world of the fakes.

use std::sync::Arc;

use release_providers::spi::{Deployer, TrafficRouter};

use super::FakePlatform;
use crate::conformance::Subject;
use crate::conformance::deployer::DeployerSandbox;
use crate::conformance::router::RouterSandbox;
use crate::fixtures;

/// Most instances that the sandbox allows.
const LIMIT: u32 = 5;

impl FakePlatform {
    /// A sandbox for any deployer of this world, with all that the suite can make use of. The world
    /// is the suite's from then on.
    pub fn deployer_sandbox(&self, deployer: Arc<dyn Deployer>) -> DeployerSandbox {
        let (world, target) = (self.world.clone(), fixtures::target("api"));
        world.only_targets([target.clone()]);
        world.limit_replicas(LIMIT);
        let corrupt = fixtures::artifact("api", "0.9.0");
        world.corrupt(corrupt.digest());
        DeployerSandbox::new(deployer, target, self.subjects())
            .corrupt(corrupt)
            .unknown_target(fixtures::target("no-such-service"))
            .too_many(LIMIT + 1)
            .instances(move |target, digest| {
                let names = world.instances(&target, digest);
                async move { Ok(names) }
            })
    }

    /// A sandbox for any router of this world, with all that the suite can make use of. The world
    /// is the suite's from then on.
    pub fn router_sandbox(&self, router: Arc<dyn TrafficRouter>) -> RouterSandbox {
        let (world, target) = (self.world.clone(), fixtures::target("api"));
        let to = target.clone();
        RouterSandbox::new(router, target, self.subjects())
            .deployed_by(self.deployer.clone())
            .traffic(move |requests| {
                let served = world.send(&to, requests);
                async move {
                    if served == requests {
                        return Ok(());
                    }
                    Err(format!("only {served} of {requests} requests were served").into())
                }
            })
    }

    fn subjects(&self) -> [Subject; 2] {
        ["1.0.0", "1.1.0"].map(|version| {
            self.world.store(&fixtures::content("api", version));
            Subject::new(fixtures::artifact("api", version), fixtures::version(version))
        })
    }
}
