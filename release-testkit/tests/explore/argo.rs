//! Strategies as Argo Rollouts has them beside shares and instances.

use release_core::model::{
    BlueGreen, Canary, CanaryScale, CanaryStep, Experiment, ExperimentTemplate, KeepNew, Metadata,
    Portion, StepCall, Strategy, TemplateVersion,
};
use release_testkit::explore::Exploration;
use release_testkit::fixtures::literal;

use super::{Trial, canary, minute, step};

fn role(role: &str) -> Metadata {
    Metadata::new().label("role", role)
}

fn call(name: &str) -> StepCall {
    let undo = serde_json::json!({ "undo": name });
    StepCall { undo, ..StepCall::new(literal(name), "webhook", serde_json::json!({})) }
}

/// What Argo Rollouts has beside shares and instances: calls of a step, sets side by side, roles, what is kept for good.
pub(super) fn as_argo() -> Vec<Trial> {
    let set = |name: &str, of, replicas| ExperimentTemplate::new(literal(name), of, replicas);
    let (old, new) = (TemplateVersion::Old, TemplateVersion::New);
    let with = |experiment, weight| CanaryStep { experiment: Some(experiment), ..step(weight) };
    let idle = Experiment::of([set("stable", old, 1), set("fresh", new, 1)], minute());
    let served = [set("stable", old, 1).share(25), set("fresh", new, 2).share(30)];
    vec![
        (
            "canary with calls",
            Strategy::Canary(canary(vec![
                CanaryStep { calls: vec![call("warm"), call("test")], ..step(50) },
                CanaryStep { calls: vec![call("again")], ..step(50) },
            ])),
            Exploration::new(),
        ),
        (
            "canary with sets without traffic",
            Strategy::Canary(canary(vec![with(idle, 0), step(50)])),
            Exploration::new(),
        ),
        (
            "canary with sets that serve",
            Strategy::Canary(canary(vec![with(Experiment::of(served, minute()), 10)])),
            Exploration::new(),
        ),
        (
            "canary with roles",
            Strategy::Canary(Canary {
                shrink_old: true,
                keep_new_after_abort: minute().into(),
                canary_metadata: role("canary"),
                stable_metadata: role("stable"),
                ..canary(vec![step(50)])
            }),
            Exploration::new(),
        ),
        (
            "blue-green with roles",
            Strategy::BlueGreen(BlueGreen {
                preview_metadata: role("preview"),
                active_metadata: role("active"),
                bake: minute(),
                keep_old: minute(),
                ..BlueGreen::default()
            }),
            Exploration::new(),
        ),
        (
            "canary, kept for good",
            Strategy::Canary(Canary {
                keep_new_after_abort: KeepNew::Forever,
                ..canary(vec![step(50)])
            }),
            Exploration::new().leaving_new(),
        ),
        (
            "canary, never less than half",
            Strategy::Canary(Canary {
                shrink_old: true,
                min_replicas: Portion::Percent(50),
                ..canary(vec![
                    CanaryStep { scale: Some(CanaryScale::MatchTraffic), ..step(10) },
                    CanaryStep { scale: Some(CanaryScale::MatchTraffic), ..step(90) },
                ])
            }),
            Exploration::new(),
        ),
    ]
}
