//! Sandboxes for the conformance suites, in the world of the fakes.

use std::future::ready;
use std::sync::Arc;

use release_core::model::Identity;
use release_providers::spi::{Deployer, IdentitySource, TrafficRouter};

use super::{FakeDeployer, FakeIdentities, FakePlatform, FakeRouter, credential};
use crate::conformance::deployer::DeployerSandbox;
use crate::conformance::identity::IdentitySandbox;
use crate::conformance::router::RouterSandbox;
use crate::conformance::{Subject, Trouble};
use crate::fixtures;

/// Most instances that the sandbox allows.
const LIMIT: u32 = 5;

impl FakePlatform {
    /// A sandbox for any deployer of this world, with all that the suite can make use of. The world
    /// is the suite's from then on. Opened again, the deployer is this one; a deployer of another kind says itself how,
    /// with [`DeployerSandbox::reopen`].
    pub fn deployer_sandbox(&self, deployer: Arc<dyn Deployer>) -> DeployerSandbox {
        let (world, target) = (self.world.clone(), fixtures::target("api"));
        world.only_targets([target.clone()]);
        world.limit_replicas(LIMIT);
        let (corrupt, again) = (fixtures::artifact("api", "0.9.0"), Arc::clone(&self.deployer));
        world.corrupt(corrupt.digest());
        DeployerSandbox::new(deployer, target, self.subjects())
            .canary(credential())
            .behind(
                self.world.access(),
                &[Trouble::OutOfReach, Trouble::Denied, Trouble::Throttled],
            )
            .reopen(move || ready(Ok(Arc::<FakeDeployer>::clone(&again) as Arc<dyn Deployer>)))
            .corrupt(corrupt)
            .unknown_target(fixtures::target("no-such-service"))
            .too_many(LIMIT + 1)
            .instances(move |target, digest| {
                let names = world.instances(&target, digest);
                async move { Ok(names) }
            })
    }

    /// A sandbox for any router of this world, with all that the suite can make use of. The world
    /// is the suite's from then on. Opened again, the router is this one; a router of another kind says itself how, with
    /// [`RouterSandbox::reopen`].
    pub fn router_sandbox(&self, router: Arc<dyn TrafficRouter>) -> RouterSandbox {
        let (world, target) = (self.world.clone(), fixtures::target("api"));
        let (to, again) = (target.clone(), Arc::clone(&self.router));
        let [asked, counted, hurt, begun, finished] =
            [(); 5].map(|()| (self.world.clone(), target.clone()));
        let subjects = self.subjects();
        let [_, second] = subjects.each_ref().map(|subject| subject.artifact.digest());
        RouterSandbox::new(router, target, subjects)
            .asking(move |ask| {
                let heard = asked.0.ask(&asked.1, &ask);
                ready(heard.ok_or_else(|| "nobody answered".into()))
            })
            .arrivals(move |digest, track| ready(Ok(counted.0.arrivals(&counted.1, digest, track))))
            .hurting(move |how| {
                hurt.0.hurt(second, how);
                ready(Ok(()))
            })
            .holding(
                move || {
                    let begun = begun.0.begin(&begun.1);
                    ready(begun.then_some(()).ok_or_else(|| "nobody has it".into()))
                },
                move || {
                    let heard = finished.0.finish(&finished.1);
                    ready(heard.ok_or_else(|| "nobody answered".into()))
                },
            )
            .canary(credential())
            .behind(
                self.world.access(),
                &[Trouble::OutOfReach, Trouble::Denied, Trouble::Throttled],
            )
            .reopen(move || ready(Ok(Arc::<FakeRouter>::clone(&again) as Arc<dyn TrafficRouter>)))
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

impl FakeIdentities {
    /// A sandbox for any source over this one's directory, with all that the suite can make use of. The directory,
    /// which has the accounts of [`fixtures::accounts`], is the suite's from then on.
    ///
    /// The fake needs a clock, by which the suite goes too. Opened again, the source is a fake; a source of another
    /// kind says itself how, with [`IdentitySandbox::reopen`].
    pub fn sandbox(&self, source: Arc<dyn IdentitySource>) -> IdentitySandbox {
        let [changed, closed, cut, again] = [(); 4].map(|()| self.another());
        let sandbox = IdentitySandbox::new(source)
            .canary(credential())
            .change(move |number| {
                changed.put(Identity::human(fixtures::literal(&format!("newcomer-{number}"))));
                async { Ok(()) }
            })
            .close_account(fixtures::approver().id, move |account| {
                closed.close(&account);
                async { Ok(()) }
            })
            .behind(self.access(), &[Trouble::Denied, Trouble::Throttled])
            .reach(move |reach| {
                cut.set_within_reach(reach);
                async { Ok(()) }
            })
            .reopen(move || {
                let again: Arc<dyn IdentitySource> = Arc::new(again.another());
                async { Ok(again) }
            });
        match self.clock() {
            Some(clock) => sandbox.clock(clock),
            None => sandbox,
        }
    }
}
