//! One service in one region, from 1.0.0 to 2.0.0 by canary, and an engine to release it with.

use std::sync::Arc;

use release_core::engine::{Engine, EngineError, Settled};
use release_core::journal::{History, MemoryJournal};
use release_core::model::{
    Analysis, ArtifactRef, Bound, Canary, CanaryStep, Definition, Environment, Finite, Metric,
    Principal, Release, RollbackCriteria, RollbackScope, RollbackTrigger, Selector, Service, Span,
    Stage, Strategy, Tier, VersionSet,
};
use release_core::run::{Event, Outcome};
use release_providers::local::LocalPlatform;
use release_providers::{ProviderSelector, Registry};

use crate::support::{WallClock, api, version};

pub(crate) fn definition(new: &ArtifactRef, old: Option<&ArtifactRef>) -> Definition {
    let set = |text: &str, artifact: &ArtifactRef| {
        VersionSet::new().with(api(), version(text), artifact.clone())
    };
    let mut release = Release::new("r".parse().unwrap(), set("2.0.0", new));
    release.previous = old.map(|old| set("1.0.0", old)).unwrap_or_default();
    let triggers =
        vec![RollbackTrigger::StepFailed, RollbackTrigger::Analysis("errors".parse().unwrap())];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
    let all = Selector::series("http_requests_total");
    let metric = Metric::Ratio { numerator: all.clone().label("code", "500"), denominator: all };
    let limit = Bound::AtMost(Finite::new(0.05).unwrap());
    let mut errors = Analysis::new("errors".parse().unwrap(), metric, limit);
    (errors.interval, errors.inconclusive_limit) = (Span::millis(20), 3);
    let steps = vec![CanaryStep::new(20, Span::ZERO)];
    let mut stage = Stage::new(
        "prod".parse().unwrap(),
        Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) }),
    );
    (stage.step_timeout, stage.attempts) = (Span::secs(3), 1);
    Definition::builder("t".parse().unwrap(), release)
        .service(Service::new(api(), "web".parse().unwrap()))
        .environment(Environment {
            id: "prod".parse().unwrap(),
            tier: Tier::Production,
            owner: "platform".parse().unwrap(),
            regions: vec!["eu".parse().unwrap()],
        })
        .analysis(errors)
        .stage(stage)
        .build()
}

pub(crate) fn registry(platform: &LocalPlatform) -> Registry {
    let platform = Arc::new(platform.clone());
    Registry::builder(Arc::new(WallClock))
        .platform(ProviderSelector::everywhere(), Arc::clone(&platform))
        .artifacts(platform)
        .build()
        .unwrap()
}

/// Runs a release to its end and returns how it ended, with its verified history.
pub(crate) async fn release(
    platform: &LocalPlatform,
    definition: &Definition,
) -> Result<(Outcome, History), EngineError> {
    let engine =
        Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry(platform))).build();
    let plan = release_core::plan::plan(definition).unwrap();
    let ada = Principal::human("ada".parse().unwrap());
    let handle = engine.start("run".parse().unwrap(), plan, ada).await?;
    let outcome = match handle.settled().await? {
        Settled::Finished(outcome) => outcome,
        Settled::NeedsPerson(awaiting) => panic!("the run waits for {awaiting:?}"),
    };
    let (history, _) = engine.load(handle.run()).await?;
    engine.shutdown().await;
    Ok((outcome, history))
}

/// The kind and text of the failure of the step that ended the run.
pub(crate) fn failure(history: &History) -> (String, String, String) {
    let failed = history.facts().iter().find_map(|fact| match &fact.event {
        Event::StepFailed { step, error, .. } => {
            Some((step.id.to_string(), error.kind.clone(), error.message.clone()))
        }
        _ => None,
    });
    failed.unwrap()
}
