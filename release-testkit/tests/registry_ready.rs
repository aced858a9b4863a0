//! The real registry with the real engine over fakes: what was seen to be ready is looked at again right before it gets traffic.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::Arc;

use release_core::engine::{Engine, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{Gate, Span};
use release_core::plan::{Action, Deployment, EdgeKind, Plan, RetryPolicy, Step, Undo, Weight};
use release_core::port::{Clock, EffectCertainty};
use release_core::run::{Event, Outcome};
use release_providers::spi::{ApplyRequest, Deployer as _};
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

/// So much for the new version, and the rest for the old one.
fn route(id: &str, share: u8) -> Step {
    let new = fixtures::artifact("api", "1.1.0").digest();
    let old = fixtures::artifact("api", "1.0.0").digest();
    let weights = vec![
        Weight::new(new, fixtures::version("1.1.0"), share),
        Weight::new(old, fixtures::version("1.0.0"), 100 - share),
    ];
    step(id, Action::Route { target: fixtures::target("api"), weights, rules: None })
}

/// Two instances are started and seen to be ready, may get a share at once, and are seen again; what they get then waits for
/// two minutes.
fn plan(at_once: Option<u8>, then: u8) -> Plan {
    let (replicas, apart, metadata) = (2, None, None);
    let scale = Action::Scale { deployment: deployment().into(), replicas, apart, metadata };
    let probe = || Action::Probe { deployment: deployment().into(), min_ready: 2 };
    let mut steps = vec![step("scale", scale), step("ready", probe())];
    if let Some(share) = at_once {
        steps.extend([route("at-once", share), step("ready-again", probe())]);
    }
    let mut last = route("route", then);
    last.gates.push(Gate::Soak(Span::secs(120)));
    steps.push(last);
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let steps: Vec<_> = steps.into_iter().map(|step| plan.step(step)).collect();
    for (before, after) in steps.iter().zip(steps.iter().skip(1)) {
        plan.edge(*before, *after, EdgeKind::Order);
    }
    plan.build().unwrap()
}

/// Runs a plan while one instance is not ready from the first minute on, for as long as that.
fn run(plan: Plan, unready: Option<Span>) -> (FakePlatform, History) {
    let clock = Arc::new(VirtualClock::new());
    let dynamic: Arc<dyn Clock> = clock.clone();
    let platform = FakePlatform::on(&dynamic);
    for version in ["1.0.0", "1.1.0"] {
        platform.world.store(&fixtures::content("api", version));
    }
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
        let (artifact, number) = (fixtures::artifact("api", "1.0.0"), fixtures::version("1.0.0"));
        let wish = ApplyRequest::new(fixtures::target("api"), artifact, number, 1);
        platform.deployer.apply(&fixtures::context("earlier"), wish).await.unwrap();
        let handle = engine.start("r-1".parse().unwrap(), plan, fixtures::requester()).await;
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

/// The run stops at its last step, which had no effect.
#[track_caller]
fn is_held(history: &History) {
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
fn f30_what_is_not_ready_any_more_gets_no_traffic() {
    for (at_once, shares) in [(None, 0), (Some(0), 1), (Some(50), 1), (Some(99), 1)] {
        let (platform, history) = run(plan(at_once, 100), None);
        assert_eq!(platform.router.count(TrafficRouterOp::SetWeights), shares, "{at_once:?}");
        is_held(&history);
    }
}

#[test]
fn f30_what_is_ready_again_gets_traffic() {
    let (platform, _) = run(plan(None, 100), Some(Span::secs(30)));
    assert_eq!(platform.router.count(TrafficRouterOp::SetWeights), 1);
}

/// Whoever is not well may always get less: nobody is kept from what takes traffic away from it.
#[test]
fn f30_what_is_not_ready_any_more_loses_its_share_or_keeps_it() {
    for then in [50, 49, 1, 0] {
        let (platform, history) = run(plan(Some(50), then), None);
        assert_eq!(platform.router.count(TrafficRouterOp::SetWeights), 2, "{then}");
        let last = history.facts().last().map(|fact| &fact.event);
        let Some(Event::RunFinished { outcome, .. }) = last else { panic!("{then}: {last:?}") };
        assert_eq!(*outcome, Outcome::Succeeded, "{then}");
    }
}
