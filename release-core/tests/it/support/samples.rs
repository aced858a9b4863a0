//! Definitions and plans made by hand.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use release_core::model::{
    Analysis, Approval, ArtifactRef, Bound, Canary, CanaryStep, Definition, Dependency, Digest,
    Environment, Finite, Gate, Metric, Principal, Release, RollbackCriteria, RollbackScope,
    RollbackTrigger, Selector, Service, Span, Stage, Strategy, Target, Tier, VersionSet,
};
use release_core::plan::{
    Action, Compensation, Deployment, EdgeKind, FrozenPlan, Plan, PlanBuilder, Step, Undo,
    UndoPhase,
};

/// An id, a version, a digest: whatever the context asks for.
#[track_caller]
pub(crate) fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn artifact(service: &str, version: &str) -> ArtifactRef {
    ArtifactRef::new(id(service), Digest::of(format!("{service} {version}").as_bytes()))
}

pub(crate) fn set(members: &[(&str, &str)]) -> VersionSet {
    members.iter().fold(VersionSet::new(), |set, (service, version)| {
        set.with(id(service), id(version), artifact(service, version))
    })
}

pub(crate) fn person(name: &str) -> Principal {
    Principal::human(id(name))
}

pub(crate) fn error_rate() -> Analysis {
    let metric =
        Metric::Ratio { numerator: Selector::series("bad"), denominator: Selector::series("all") };
    Analysis::new(id("errors"), metric, Bound::AtMost(Finite::new(0.05).unwrap()))
}

pub(crate) fn environment(name: &str, tier: Tier, regions: &[&str]) -> Environment {
    let regions = regions.iter().map(|region| id(region)).collect();
    Environment { id: id(name), tier, owner: id("platform"), regions }
}

pub(crate) fn criteria(scope: RollbackScope) -> RollbackCriteria {
    let triggers = vec![RollbackTrigger::StepFailed, RollbackTrigger::Analysis(id("errors"))];
    RollbackCriteria { scope, triggers }
}

/// One service `api` in one region of `prod`, from 1.0.0 to 2.0.0 by `strategy`.
pub(crate) fn one_service(strategy: Strategy) -> Definition {
    let mut release = Release::new(id("r-1"), set(&[("api", "2.0.0")]));
    release.previous = set(&[("api", "1.0.0")]);
    release.rollback = Some(criteria(RollbackScope::Environment));
    Definition::builder(id("shop"), release)
        .service(Service::new(id("api"), id("team-a")).replicas(4))
        .environment(environment("prod", Tier::Production, &["eu"]))
        .analysis(error_rate())
        .stage(Stage::new(id("prod"), strategy))
        .build()
}

/// Three services that need each other, two environments, every kind of field in use.
pub(crate) fn shop() -> Definition {
    let versions = [("db", "1.1.0"), ("api", "2.1.0"), ("web", "3.0.0")];
    let mut release = Release::new(id("r-42"), set(&versions));
    release.previous = set(&[("db", "1.0.0"), ("api", "2.0.0"), ("web", "2.9.0")]);
    release.scope = vec!["faster checkout".into()];
    release.rollback = Some(criteria(RollbackScope::Environment));
    let cab = Approval { quorum: 2, roles: vec![id("cab")], ..Approval::new(id("cab")) };
    let canary = Canary {
        steps: vec![
            CanaryStep::new(10, Span::secs(60)),
            CanaryStep { analyses: vec![id("errors")], ..CanaryStep::new(50, Span::secs(120)) },
        ],
        keep_old: Span::secs(600),
        ..Canary::default()
    };
    let production = Stage {
        waves: vec![vec![id("eu")], vec![id("us"), id("ap")]],
        ..Stage::new(id("production"), Strategy::Canary(canary))
    };
    Definition::builder(id("shop"), release)
        .service(Service::new(id("db"), id("team-a")))
        .service(Service::new(id("api"), id("team-a")).needs(id("db"), id("^1")).replicas(3))
        .service(Service::new(id("web"), id("team-b")).needs(id("api"), id(">=2.0, <3")))
        .environment(environment("staging", Tier::Staging, &["eu"]))
        .environment(environment("production", Tier::Production, &["eu", "us", "ap"]))
        .analysis(error_rate())
        .stage(Stage::new(id("staging"), Strategy::Recreate))
        .stage(
            production
                .gate(Gate::Approval(cab))
                .gate(Gate::Soak(Span::secs(3600)))
                .gate(Gate::NotBefore(id("2026-11-23T14:00:00Z"))),
        )
        .notify(id("ops"))
        .build()
}

/// A dependency on `service` in any version.
pub(crate) fn any(service: &str) -> Dependency {
    Dependency::new(id(service), id("*"))
}

pub(crate) fn builder() -> PlanBuilder {
    Plan::builder(id("train"), id("r-1"))
}

pub(crate) fn deployment(service: &str, version: &str) -> Arc<Deployment> {
    Arc::new(Deployment {
        target: Target::new(id("prod"), id("eu"), id(service)),
        artifact: artifact(service, version),
        version: id(version),
    })
}

pub(crate) fn custom(capability: &str) -> Action {
    Action::Custom { capability: capability.into(), input: serde_json::Value::Null }
}

/// A step that changes something and is undone by `undo-<name>`.
pub(crate) fn change(name: &str) -> Step {
    let undo = Compensation { action: custom(&format!("undo-{name}")), phase: UndoPhase::Remove };
    Step::new(id(name), custom("change")).undo(Undo::Compensate(vec![undo]))
}

/// A change that cannot be undone.
pub(crate) fn one_way(name: &str) -> Step {
    Step::new(id(name), custom("migrate"))
        .undo(Undo::point_of_no_return("rows are dropped", "lead".parse().unwrap()))
}

/// The steps one after the other.
pub(crate) fn chain(steps: Vec<Step>) -> FrozenPlan {
    let mut plan = builder();
    let indices: Vec<_> = steps.into_iter().map(|step| plan.step(step)).collect();
    indices.windows(2).for_each(|pair| plan.edge(pair[0], pair[1], EdgeKind::Order));
    plan.build().unwrap().freeze()
}

/// The steps all at once.
pub(crate) fn side_by_side(steps: Vec<Step>) -> FrozenPlan {
    let mut plan = builder();
    for step in steps {
        plan.step(step);
    }
    plan.build().unwrap().freeze()
}

pub(crate) fn approval(gate: &str) -> Gate {
    Gate::Approval(Approval::new(id(gate)))
}
