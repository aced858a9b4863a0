//! Somebody edits the route in the middle of a release: it is found, and the release goes back.

use std::sync::Arc;

use release_core::engine::{Engine, RunHandle};
use release_core::journal::MemoryJournal;
use release_core::model::{Canary, CanaryStep, Definition, RollbackTrigger, Strategy, Tier};
use release_core::plan::plan;
use release_core::port::DRIFT;
use release_core::run::{Event, Outcome};
use release_core::time::Span;
use release_providers::spi::{ApplyRequest, Deployer as _};
use release_providers::{ProviderSelector, Registry};
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{self, Shop, literal, one_service};
use serde_json::{Value, json};

use super::Stage;

/// Long enough to be in the middle of.
const BAKE: Span = Span::secs(3);

/// A canary of 10 and 50 % that only its own steps judge.
fn definition() -> Definition {
    let steps = [10, 50].map(|weight| CanaryStep::new(weight, BAKE));
    // Behind a router that counts nothing, the old version is to be kept for a while.
    let canary = Canary { keep_old: Span::secs(1), ..Canary::new(steps.to_vec()) };
    let mut definition = one_service(Strategy::Canary(canary), 2);
    definition.environments[0].tier = Tier::Staging;
    definition.release.rollback.as_mut().unwrap().triggers = vec![RollbackTrigger::Drift];
    definition
}

/// A real engine over the router, and over fakes that run the old version.
async fn engine(stage: &Stage) -> Engine {
    let platform = FakePlatform::on(&stage.clock);
    for version in [Shop::OLD, Shop::NEW] {
        platform.world.store(&fixtures::content("api", version));
    }
    let (artifact, old) = (fixtures::artifact("api", Shop::OLD), fixtures::version(Shop::OLD));
    let wish = ApplyRequest::new(stage.target.clone(), artifact, old, 2);
    platform.deployer.apply(&stage.cx(), wish).await.unwrap();
    let everywhere = ProviderSelector::everywhere;
    let registry = Registry::builder(Arc::clone(&stage.clock))
        .artifacts(platform.artifacts)
        .deployer(everywhere(), platform.deployer)
        .health(everywhere(), platform.health)
        .metrics(everywhere(), platform.metrics)
        .router(everywhere(), Arc::clone(&stage.router) as _)
        .build()
        .unwrap();
    Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
        .clock(Arc::clone(&stage.clock))
        .build()
}

/// Waits until a step has begun, by the end of its name.
async fn begun(stage: &Stage, engine: &Engine, run: &RunHandle, step: &str) {
    let patience = stage.clock.now().plus(Span::secs(60));
    loop {
        let (history, _) = engine.load(run.run()).await.unwrap();
        let begun = history.facts().iter().any(|fact| match &fact.event {
            Event::StepStarted { step: begun, .. } => begun.id.as_str().ends_with(step),
            _ => false,
        });
        if begun {
            return;
        }
        assert!(stage.clock.now() < patience, "waited in vain for {step}");
        stage.clock.sleep_until(stage.clock.now().plus(Span::millis(5))).await;
    }
}

/// A release in whose first bake somebody edits the route comes to its end before anybody else gets the new version.
async fn is_found(at: &str, value: Value) {
    let stage = Stage::new().await;
    stage.set([100, 0]).await.unwrap();
    let engine = engine(&stage).await;
    let plan = plan(&definition()).unwrap();
    let run = engine.start(literal("edited"), plan, fixtures::requester()).await.unwrap();
    begun(&stage, &engine, &run, "weight-10/bake").await;
    assert_eq!(stage.percents().await, [90, 10]);
    stage.server.edit(at, value);
    let outcome = run.wait().await.unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{at}: {outcome}");
    assert_eq!(stage.percents().await, [100], "{at}");
    let (history, _) = engine.load(run.run()).await.unwrap();
    let failed: Vec<_> = history
        .facts()
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::StepFailed { step, error, .. } => Some((step.id.as_str(), error.kind.as_str())),
            _ => None,
        })
        .collect();
    let [(step, DRIFT)] = failed[..] else { panic!("{at}: {failed:?}") };
    assert!(step.ends_with("weight-10/still-routed"), "{at}: {step}");
    let shares = history.facts().iter().filter(|fact| match &fact.event {
        Event::StepStarted { step, .. } => step.id.as_str().ends_with("/weight-50"),
        _ => false,
    });
    assert_eq!(shares.count(), 0, "{at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_weight_that_somebody_edits_is_found() {
    is_found("/spec/rules/0/backendRefs/0/weight", json!(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_rules_that_somebody_replaces_are_found() {
    let by_hand = json!([{ "backendRefs": [{ "name": "by-hand", "port": 80 }] }]);
    is_found("/spec/rules", by_hand).await;
}
