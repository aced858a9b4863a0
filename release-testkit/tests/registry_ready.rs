//! The real registry with the real engine over fakes: what was seen to be ready is looked at again right before it gets traffic.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::Arc;

use release_core::engine::{Engine, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{Gate, Span};
use release_core::plan::{Action, Deployment, EdgeKind, Plan, RetryPolicy, Step, Undo, Weight};
use release_core::port::{Clock, EffectCertainty};
use release_core::run::Event;
use release_providers::{ProviderSelector, Registry};
use release_testkit::fakes::{FakePlatform, TrafficRouterOp};
use release_testkit::{VirtualClock, fixtures};

fn deployment() -> Deployment {
    Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", "1.1.0"),
        version: fixtures::version("1.1.0"),
    }
}

fn step(id: &str, action: Action) -> Step {
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let mut step = Step::new(id.parse().unwrap(), action).undo(undo);
    (step.retry, step.timeout) = (RetryPolicy::attempts(2), Span::secs(10));
    step
}

/// Two instances are started and seen to be ready; what they get waits for two minutes.
fn plan() -> Plan {
    let Deployment { target, artifact, version } = deployment();
    let (replicas, apart, metadata) = (2, None, None);
    let scale = Action::Scale { deployment: deployment().into(), replicas, apart, metadata };
    let probe = Action::Probe { deployment: deployment().into(), min_ready: 2 };
    let weights = vec![Weight::new(artifact.digest(), version, 100)];
    let mut route = step("route", Action::Route { target, weights, rules: None });
    route.gates.push(Gate::Soak(Span::secs(120)));
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let steps = [step("scale", scale), step("ready", probe), route];
    let [scaled, seen, routed] = steps.map(|step| plan.step(step));
    plan.edge(scaled, seen, EdgeKind::Order);
    plan.edge(seen, routed, EdgeKind::Order);
    plan.build().unwrap()
}

/// Runs the plan while one instance is not ready from the first minute on, for as long as that.
fn run(unready: Option<Span>) -> (FakePlatform, History) {
    let clock = Arc::new(VirtualClock::new());
    let dynamic: Arc<dyn Clock> = clock.clone();
    let platform = FakePlatform::on(&dynamic);
    platform.world.store(&fixtures::content("api", "1.1.0"));
    let FakePlatform { deployer, router, health, .. } = platform.clone();
    let registry = Registry::builder(clock.clone())
        .deployer(ProviderSelector::everywhere(), deployer)
        .router(ProviderSelector::everywhere(), router)
        .health(ProviderSelector::everywhere(), health)
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
        .clock(clock.clone())
        .build();
    let work = async {
        let handle = engine.start("r-1".parse().unwrap(), plan(), fixtures::requester()).await;
        let handle = handle.unwrap();
        let (Settled::Finished(_) | Settled::NeedsPerson(_)) = handle.settled().await.unwrap();
        engine.load(handle.run()).await.unwrap().0
    };
    let breaks = clock.now().plus(Span::secs(60));
    let Deployment { target, artifact, .. } = deployment();
    let meanwhile = async {
        clock.sleep_until(breaks).await;
        platform.world.set_unready(&target, artifact.digest(), 1);
        if let Some(unready) = unready {
            clock.sleep_until(breaks.plus(unready)).await;
            platform.world.set_unready(&target, artifact.digest(), 0);
        }
    };
    let both = async { tokio::join!(work, meanwhile).0 };
    let history = clock.run(both).unwrap();
    (platform, history)
}

#[test]
fn f30_what_is_not_ready_any_more_gets_no_traffic() {
    let (platform, history) = run(None);
    assert_eq!(platform.router.count(TrafficRouterOp::SetWeights), 0);
    let faults = history.facts().iter().filter_map(|fact| match &fact.event {
        Event::StepRetried { error, .. } | Event::StepFailed { error, .. } => Some(error),
        _ => None,
    });
    let faults: Vec<_> = faults.collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    for error in faults {
        assert_eq!((&*error.kind, error.effect), ("unavailable", EffectCertainty::NotApplied));
        let why = "1 of the 2 instances that were ready are so now";
        assert!(error.message.contains(why), "{error:?}");
    }
}

#[test]
fn f30_what_is_ready_again_gets_traffic() {
    let (platform, _) = run(Some(Span::secs(30)));
    assert_eq!(platform.router.count(TrafficRouterOp::SetWeights), 1);
}
