//! What a deployer is asked to let instances carry: all of it, in the order of the roles, and only if it declares that it can do it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::engine::{Engine, Settled};
use release_core::journal::MemoryJournal;
use release_core::model::Metadata;
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
    heard: Mutex<Vec<(u32, Option<Metadata>)>>,
}

#[async_trait]
impl Deployer for Listening {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        self.heard.lock().unwrap().push((request.replicas, request.metadata.clone()));
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

/// A deployer whose instances carry labels, or do not, behind a registry.
fn bench(able: bool) -> (Arc<VirtualClock>, Arc<Listening>, Registry) {
    let clock = Arc::new(VirtualClock::new());
    let dynamic: Arc<dyn Clock> = clock.clone();
    let world = FakePlatform::on(&dynamic).world;
    world.store(&fixtures::content("api", "1.1.0"));
    let inner = FakeDeployer::of(&world).able(|can| can.metadata = able);
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

/// One step for each of these, one after the other.
fn plan(all: &[Option<Metadata>]) -> Plan {
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let mut before = None;
    for (metadata, number) in all.iter().cloned().zip(1..) {
        let (deployment, metadata) = (deployment().into(), metadata.map(Into::into));
        let action = Action::Scale { deployment, replicas: 2, apart: None, metadata };
        let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
        let step = Step::new(format!("scale-{number}").parse().unwrap(), action).undo(undo);
        let step = plan.step(step);
        if let Some(before) = before.replace(step) {
            plan.edge(before, step, release_core::plan::EdgeKind::Order);
        }
    }
    plan.build().unwrap()
}

fn roles() -> [Option<Metadata>; 4] {
    let role = |role: &str| Metadata::new().label("role", role).annotation("by", "a test");
    [Some(role("canary")), Some(role("stable")), Some(Metadata::new()), None]
}

#[test]
fn who_does_not_declare_it_is_refused_before_the_run_with_the_step() {
    let (_, _, registry) = bench(false);
    let wrong = |metadata| {
        let errors = registry.check(&plan(&[metadata])).err().unwrap_or_default();
        errors.iter().map(BindingError::to_string).collect::<Vec<_>>()
    };
    let (_, _, able) = bench(true);
    for metadata in roles().into_iter().flatten().map(Some) {
        assert!(able.check(&plan(std::slice::from_ref(&metadata))).is_ok());
        assert_eq!(
            wrong(metadata),
            [
                "step `scale-1` cannot be performed: the deployer `fake-deployer` does not declare that it can change \
                 what instances carry while they run; use another provider, or another step"
            ]
        );
    }
    assert_eq!(wrong(None), [""; 0]);
}

/// Also where nothing but what they carry is another: the same instances are asked for again.
#[test]
fn who_declares_it_is_told_by_the_engine_whenever_it_changes() {
    let (clock, deployer, registry) = bench(true);
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
        .clock(clock.clone())
        .build();
    let run = async {
        let handle = engine.start("r-1".parse().unwrap(), plan(&roles()), fixtures::requester());
        handle.await.unwrap().settled().await.unwrap()
    };
    let settled = clock.run(run).unwrap();
    assert!(matches!(settled, Settled::Finished(Outcome::Succeeded)), "{settled:?}");
    let heard = deployer.heard.lock().unwrap().clone();
    assert_eq!(heard, roles().map(|metadata| (2, metadata)));
}

#[test]
fn a_wish_that_is_not_declared_reaches_nobody_and_is_never_dropped() {
    let (clock, deployer, registry) = bench(false);
    let shielded = registry.find::<dyn Deployer>(&ProviderSelector::everywhere()).unwrap();
    let Deployment { target, artifact, version } = deployment();
    let [metadata, ..] = roles();
    let wish = ApplyRequest::new(target, artifact, version, 2).carrying(metadata);
    let cx = fixtures::context("k");
    let refused = clock.run(shielded.apply(&cx, wish.clone())).unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(deployer.heard.lock().unwrap().is_empty());
    // Nor does the deployer itself pass over it.
    let refused = clock.run(deployer.apply(&cx, wish)).unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
}
