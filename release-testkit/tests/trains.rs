//! Compatible sets with the real engine: a host has an engine, the policy and an inventory that follows the run, and nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::sync::Arc;

use release_core::engine::{Engine, RunHandle};
use release_core::journal::MemoryJournal;
use release_core::model::{Definition, RunId, Span};
use release_core::plan::{FrozenPlan, plan};
use release_core::port::Clock;
use release_core::report::RunReport;
use release_core::run::{Event, Outcome, Status};
use release_policy::compat::{
    Catalogue, Compatible, Deployed, Fleet, NotVerified, Offer, VerifiedSet, VerifiedSets, Versions,
};
use release_providers::spi::{ApplyRequest, Deployer as _};
use release_testkit::VirtualClock;
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{self, Shop, literal, version};
use support::OverFakes;

const REGIONS: [&str; 2] = ["eu", "us"];

fn all(number: &str) -> Versions {
    Shop::SERVICES.map(|service| (literal(service), version(number))).into()
}

fn everywhere(number: &str) -> Fleet {
    REGIONS.map(|region| (literal(region), all(number))).into()
}

/// The new version of each needs the new one of what it needs, and the old one gets along with both.
fn catalogue() -> Catalogue {
    let offers = Shop::SERVICES.into_iter().enumerate().flat_map(|(nth, service)| {
        let needed = nth.checked_sub(1).and_then(|before| Shop::SERVICES.get(before));
        [(Shop::OLD, ">=1"), (Shop::NEW, ">=1.1")].map(|(number, least)| {
            let offer = Offer::new(literal(service), version(number));
            match needed {
                Some(needed) => offer.needing(literal(needed), literal(least)),
                None => offer,
            }
        })
    });
    Catalogue::new(offers).unwrap()
}

struct Host {
    clock: Arc<VirtualClock>,
    platform: FakePlatform,
    engine: Engine,
    deployed: Deployed,
    definition: Definition,
    plan: FrozenPlan,
}

impl Host {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let dynamic: Arc<dyn Clock> = clock.clone();
        let platform = FakePlatform::on(&dynamic);
        let shop = Shop::new().without_staging().regions(REGIONS);
        platform.world.store_all(shop.contents());
        for service in Shop::SERVICES {
            platform.metrics.set_errors(fixtures::digest(service, Shop::NEW), 1.0, 1_000.0);
        }
        let deployed = Deployed::new([(literal("production"), everywhere(Shop::OLD))]);
        let performer = Arc::new(OverFakes(platform.clone()));
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), performer)
            .clock(clock.clone())
            .policy(Compatible::new(catalogue(), deployed.clone()))
            .build();
        let definition = shop.definition();
        let plan = plan(&definition).unwrap().freeze();
        let host = Self { clock, platform, engine, deployed, definition, plan };
        host.clock.run(host.old_is_live()).unwrap();
        host
    }

    async fn old_is_live(&self) {
        for (region, service) in REGIONS.into_iter().flat_map(|r| Shop::SERVICES.map(|s| (r, s))) {
            let target = fixtures::target_in("production", region, service);
            let artifact = fixtures::artifact(service, Shop::OLD);
            let wish = ApplyRequest::new(target, artifact, version(Shop::OLD), 2);
            self.platform.deployer.apply(&fixtures::context("earlier"), wish).await.unwrap();
        }
    }

    fn run() -> RunId {
        literal("run-1")
    }

    async fn start(&self) -> RunHandle {
        let plan = self.plan.clone();
        self.engine.start_frozen(Self::run(), plan, fixtures::requester()).await.unwrap()
    }

    /// Hands the run's events in as they become durable; how many steps had to wait for the policy.
    async fn follow(&self, handle: &RunHandle, reconsiders: bool) -> usize {
        let mut following = self.deployed.follow(Self::run(), self.plan.clone());
        let (mut events, mut held) = (handle.events(0), 0);
        while let Some(recorded) = events.next().await.unwrap() {
            held += usize::from(matches!(recorded.event, Event::StepBlocked { .. }));
            if following.note(recorded.at, &recorded.event).unwrap() && reconsiders {
                // A run that is over has nothing to reconsider.
                let _ = handle.reconsider().await;
            }
        }
        held
    }

    async fn report(&self) -> RunReport {
        let (history, plan) = self.engine.load(&Self::run()).await.unwrap();
        RunReport::new(&history, plan).unwrap()
    }
}

#[test]
fn an_engine_with_the_policy_and_an_inventory_that_follows_needs_nothing_else() {
    let mut took = Vec::new();
    for reconsiders in [false, true] {
        let host = Host::new();
        let begin = host.clock.now();
        let life = async {
            let handle = host.start().await;
            let held = host.follow(&handle, reconsiders).await;
            (handle.wait().await.unwrap(), held, host.report().await)
        };
        let (outcome, held, report) = host.clock.run(life).unwrap();
        assert_eq!(outcome, Outcome::Succeeded);
        assert!(held > 0, "what needs the new version waits until it is there");
        assert_eq!(host.deployed.fleet(&literal("production")), everywhere(Shop::NEW));
        took.push(host.clock.now().since(begin));

        // What it verified is what the next one returns to.
        let release = &host.definition.release;
        let set = VerifiedSet::of_run(release, &host.plan, &report).unwrap();
        let mut verified = VerifiedSets::default();
        verified.record(set.clone()).unwrap();
        assert!(set.versions == all(Shop::NEW) && set.evidence == report.head);
        let mut next = release.clone();
        next.previous = Shop::set(Shop::NEW);
        assert_eq!(verified.returns(&next), Ok(&set));
        assert!(verified.returns(release).is_err());
    }
    // Whoever has it reconsidered does not wait for the engine to ask again.
    assert!(took[1] < took[0], "{took:?}");
}

#[test]
fn a_rollback_leaves_what_was_there() {
    let host = Host::new();
    host.platform.metrics.set_errors(fixtures::digest("web", Shop::NEW), 400.0, 1_000.0);
    let life = async {
        let handle = host.start().await;
        host.follow(&handle, true).await;
        (handle.wait().await.unwrap(), host.report().await)
    };
    let (outcome, report) = host.clock.run(life).unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(host.deployed.fleet(&literal("production")), everywhere(Shop::OLD));
    let refused = VerifiedSet::of_run(&host.definition.release, &host.plan, &report);
    assert_eq!(refused, Err(NotVerified::Ended { outcome: Box::new(outcome) }));
}

#[test]
fn without_following_the_run_waits() {
    let host = Host::new();
    let life = async {
        let handle = host.start().await;
        host.clock.sleep_until(host.clock.now().plus(Span::secs(24 * 3_600))).await;
        let state = handle.state().await.unwrap();
        let step = state.plan().find(&literal("production/eu/api/start"));
        step.and_then(|step| state.status(step))
    };
    assert_eq!(host.clock.run(life).unwrap(), Some(Status::Waiting));
}
