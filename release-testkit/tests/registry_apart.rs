//! What a deployer is asked of the machines that instances stand on: all of it, and only if it declares that it can do it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::engine::{Engine, Settled};
use release_core::journal::MemoryJournal;
use release_core::model::AntiAffinity;
use release_core::plan::{Action, Deployment, Plan, Step, Undo};
use release_core::port::{BindingError, Clock, Performer as _};
use release_core::run::Outcome;
use release_providers::spi::{ApplyRequest, Deployer, DeploymentStatus, ObserveDeployment};
use release_providers::{
    Context, Description, ErrorKind, ProviderError, ProviderSelector, Registry,
};
use release_testkit::fakes::{FakeDeployer, FakePlatform};
use release_testkit::{VirtualClock, fixtures};

/// Writes down what it is asked.
#[derive(Debug)]
struct Listening {
    inner: FakeDeployer,
    heard: Mutex<Vec<(u32, Option<AntiAffinity>)>>,
}

#[async_trait]
impl Deployer for Listening {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        self.heard.lock().unwrap().push((request.replicas, request.apart));
        self.inner.apply(cx, request).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        self.inner.observe(cx, request).await
    }
}

/// A deployer that keeps instances apart, or does not, behind a registry.
fn bench(able: bool) -> (Arc<VirtualClock>, Arc<Listening>, Registry) {
    let clock = Arc::new(VirtualClock::new());
    let dynamic: Arc<dyn Clock> = clock.clone();
    let world = FakePlatform::on(&dynamic).world;
    world.store(&fixtures::content("api", "1.1.0"));
    let inner = FakeDeployer::of(&world).able(|can| can.anti_affinity = able);
    let deployer = Arc::new(Listening { inner, heard: Mutex::default() });
    let registry = Registry::builder(clock.clone())
        .deployer(ProviderSelector::everywhere(), deployer.clone())
        .build()
        .unwrap();
    (clock, deployer, registry)
}

fn deployment() -> Deployment {
    Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", "1.1.0"),
        version: fixtures::version("1.1.0"),
    }
}

fn plan(apart: Option<AntiAffinity>) -> Plan {
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let action =
        Action::Scale { deployment: deployment().into(), replicas: 2, apart, metadata: None };
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    plan.step(Step::new("start".parse().unwrap(), action).undo(undo));
    plan.build().unwrap()
}

const KINDS: [AntiAffinity; 2] = [AntiAffinity::Required, AntiAffinity::Preferred(50)];

#[test]
fn who_does_not_declare_it_is_refused_before_the_run_with_the_step() {
    let (_, _, registry) = bench(false);
    let wrong = |apart| {
        let errors = registry.check(&plan(apart)).err().unwrap_or_default();
        errors.iter().map(BindingError::to_string).collect::<Vec<_>>()
    };
    for kind in KINDS {
        assert_eq!(
            wrong(Some(kind)),
            [
                "step `start` cannot be performed: the deployer `fake-deployer` does not declare that it can start \
                 instances on other machines than those of other versions; use another provider, or another step"
            ]
        );
    }
    assert_eq!(wrong(None), [""; 0]);
    let (_, _, able) = bench(true);
    for kind in KINDS {
        assert!(able.check(&plan(Some(kind))).is_ok());
    }
}

#[test]
fn who_declares_it_is_told_by_the_engine() {
    for apart in KINDS.map(Some).into_iter().chain([None]) {
        let (clock, deployer, registry) = bench(true);
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
            .clock(clock.clone())
            .build();
        let run = async {
            let handle = engine.start("r-1".parse().unwrap(), plan(apart), fixtures::requester());
            handle.await.unwrap().settled().await.unwrap()
        };
        let settled = clock.run(run).unwrap();
        assert!(matches!(settled, Settled::Finished(Outcome::Succeeded)), "{settled:?}");
        assert_eq!(*deployer.heard.lock().unwrap(), [(2, apart)]);
    }
}

#[test]
fn a_wish_that_is_not_declared_reaches_nobody_and_is_never_dropped() {
    let (clock, deployer, registry) = bench(false);
    let shielded = registry.find::<dyn Deployer>(&ProviderSelector::everywhere()).unwrap();
    let Deployment { target, artifact, version } = deployment();
    let wish = ApplyRequest::new(target, artifact, version, 2).keeping(Some(KINDS[0]));
    let cx = fixtures::context("k");
    let refused = clock.run(shielded.apply(&cx, wish.clone())).unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(deployer.heard.lock().unwrap().is_empty());
    // Nor does the deployer itself pass over it.
    let refused = clock.run(deployer.apply(&cx, wish)).unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
}
