//! What instances carry by the role of their version: from their start, once the roles change, and on the way back.

use release_core::model::{
    BlueGreen, Canary, CanaryScale, CanaryStep, Definition, KeepNew, Metadata, Span, Strategy,
};
use release_core::plan::{Action, Reach, Touched, plan, rollback};

use super::expansion::table;
use super::strategies::{refused, step};
use super::support::samples::{deployment, one_service, set};

fn role(role: &str) -> Metadata {
    Metadata::new().label("role", role)
}

fn canary(steps: Vec<CanaryStep>) -> Canary {
    Canary {
        canary_metadata: role("canary"),
        stable_metadata: role("stable"),
        ..Canary::new(steps)
    }
}

fn blue_green() -> BlueGreen {
    BlueGreen {
        preview_metadata: role("preview"),
        active_metadata: role("active"),
        ..BlueGreen::default()
    }
}

/// The steps of a rollout that change or look at instances, or change shares.
#[track_caller]
fn steps(definition: &Definition) -> Vec<String> {
    let plan = plan(definition).unwrap();
    let kinds = plan.steps().iter().filter(|step| {
        matches!(step.action, Action::Scale { .. } | Action::Probe { .. } | Action::Route { .. })
    });
    kinds
        .map(|step| {
            format!("{}: {}", step.id.as_str().trim_start_matches("prod/eu/api/"), step.action)
        })
        .collect()
}

/// What is done when all of a release is taken back.
fn back(strategy: Strategy) -> Vec<String> {
    let plan = plan(&one_service(strategy)).unwrap().freeze();
    let back = rollback(&plan, |_| Touched::Done, &Reach::Release).unwrap();
    back.steps.iter().map(|step| step.action.to_string()).collect()
}

#[test]
fn a_canary_is_stable_once_it_has_all_of_the_traffic() {
    let first = CanaryStep { scale: Some(CanaryScale::Replicas(1)), ..step(10) };
    let spec = Canary { shrink_old: true, ..canary(vec![first, step(25)]) };
    assert_eq!(
        steps(&one_service(Strategy::Canary(spec))),
        [
            "start: scale 2.0.0 to 1, carrying role=canary",
            "ready: 1 × 2.0.0 ready",
            "weight-10: route 90%→1.0.0 10%→2.0.0",
            "weight-10/shrink-old: scale 1.0.0 to 4, carrying role=stable",
            "weight-10/still-ready: 1 × 2.0.0 ready",
            "weight-25: route 75%→1.0.0 25%→2.0.0",
            "weight-25/shrink-old: scale 1.0.0 to 3, carrying role=stable",
            "weight-25/still-ready: 1 × 2.0.0 ready",
            "promote/scale: scale 2.0.0 to 4, carrying role=canary",
            "promote/ready: 4 × 2.0.0 ready",
            "promote: route 100%→2.0.0",
            // As many as before run of each: nobody is started or stopped.
            "relabel: scale 2.0.0 to 4, carrying role=stable",
            "relabel-old: scale 1.0.0 to 3, carrying nothing",
            "still-ready: 4 × 2.0.0 ready",
            "remove-old/still-ready: 4 × 2.0.0 ready",
            "remove-old: scale 1.0.0 to 0",
        ]
    );
}

/// After a last step with all of the traffic, too, it is looked at once more.
#[test]
fn after_a_last_step_with_all_of_the_traffic_it_is_looked_at_again() {
    let steps = steps(&one_service(Strategy::Canary(canary(vec![step(100)]))));
    let want = [
        "weight-100/still-ready: 4 × 2.0.0 ready",
        "relabel: scale 2.0.0 to 4, carrying role=stable",
        "relabel-old: scale 1.0.0 to 4, carrying nothing",
        "relabel/still-ready: 4 × 2.0.0 ready",
    ];
    assert_eq!(steps[3..7], want);
}

#[test]
fn a_preview_is_active_from_the_switch_on() {
    let spec = BlueGreen { preview_replicas: Some(1), ..blue_green() };
    assert_eq!(
        steps(&one_service(Strategy::BlueGreen(spec)))[..8],
        [
            "preview: scale 2.0.0 to 1, carrying role=preview",
            "ready: 1 × 2.0.0 ready",
            "grow: scale 2.0.0 to 4, carrying role=preview",
            "grow/ready: 4 × 2.0.0 ready",
            "switch: route 100%→2.0.0",
            "relabel: scale 2.0.0 to 4, carrying role=active",
            "relabel-old: scale 1.0.0 to 4, carrying nothing",
            "still-ready: 4 × 2.0.0 ready",
        ]
    );
}

#[test]
fn on_the_way_back_the_old_version_serves_again() {
    let want = [
        "scale 1.0.0 to 4, carrying role=stable",
        "4 × 1.0.0 ready",
        "route 100%→1.0.0",
        "scale 2.0.0 to 0",
    ];
    assert_eq!(back(Strategy::Canary(canary(vec![step(10)]))), want);
    // One that is kept is a preview as before.
    let keep_new_after_abort = KeepNew::For(Span::secs(60));
    let kept = BlueGreen { keep_new_after_abort, ..blue_green() };
    let want = [
        "scale 1.0.0 to 4, carrying role=active",
        "4 × 1.0.0 ready",
        "route 100%→1.0.0",
        "scale 2.0.0 to 4, carrying role=preview",
        "bake 1m",
        "routed 100%→1.0.0",
        "scale 2.0.0 to 0",
    ];
    assert_eq!(back(Strategy::BlueGreen(kept)), want);
    let kept = BlueGreen { keep_new_after_abort: KeepNew::Forever, ..blue_green() };
    assert_eq!(back(Strategy::BlueGreen(kept)), want[..4]);
}

#[test]
fn what_serves_alone_has_its_role_from_the_start() {
    for (strategy, word) in [
        (Strategy::Canary(canary(vec![step(10)])), "stable"),
        (Strategy::BlueGreen(blue_green()), "active"),
    ] {
        let mut first = one_service(strategy);
        first.release.previous = set(&[]);
        let steps = steps(&first);
        assert_eq!(steps[0], format!("start: scale 2.0.0 to 4, carrying role={word}"));
        assert!(!steps.iter().any(|step| step.contains("relabel")), "{steps:?}");
    }
}

/// It comes back by other steps than the strategy's, and carries what the strategy says.
#[test]
fn a_recent_version_that_comes_back_changes_its_role_too() {
    let mut again = one_service(Strategy::Canary(canary(vec![step(10)])));
    again.release.recent = vec![again.release.versions.clone()];
    again.stages[0].rollback_window = 1;
    let steps = steps(&again);
    assert_eq!(steps[0], "preview: scale 2.0.0 to 4, carrying role=canary");
    assert_eq!(steps[3], "relabel: scale 2.0.0 to 4, carrying role=stable");
}

/// One role alone is enough: of the other, nothing is carried.
#[test]
fn where_one_role_is_said_the_other_carries_nothing() {
    let spec = Canary { canary_metadata: role("canary"), ..Canary::new(vec![step(10)]) };
    let steps = steps(&one_service(Strategy::Canary(spec)));
    assert_eq!(steps[0], "start: scale 2.0.0 to 4, carrying role=canary");
    assert!(steps.contains(&"relabel: scale 2.0.0 to 4, carrying nothing".to_owned()), "{steps:?}");
}

#[test]
fn names_that_no_platform_takes_are_refused_with_the_field() {
    let odd = || Metadata::new().label("role of it", "x");
    let steps = || vec![step(10)];
    for (strategy, field) in [
        (
            Strategy::Canary(Canary { canary_metadata: odd(), ..Canary::new(steps()) }),
            "`canary.canary_metadata.labels`: `role of it` is no name",
        ),
        (
            Strategy::Canary(Canary { stable_metadata: odd(), ..Canary::new(steps()) }),
            "`canary.stable_metadata.labels`",
        ),
        (
            Strategy::BlueGreen(BlueGreen { preview_metadata: odd(), ..BlueGreen::default() }),
            "`blue_green.preview_metadata.labels`",
        ),
        (
            Strategy::BlueGreen(BlueGreen { active_metadata: odd(), ..BlueGreen::default() }),
            "`blue_green.active_metadata.labels`",
        ),
    ] {
        refused(strategy, field);
    }
}

/// Plans that say nothing of roles are stored as before, and those of before can be read.
#[test]
fn what_is_not_said_is_not_written_into_a_plan() {
    let scaled = |metadata: Option<Metadata>| Action::Scale {
        deployment: deployment("api", "2.0.0"),
        replicas: 2,
        apart: None,
        metadata: metadata.map(Into::into),
    };
    let plain = scaled(None);
    let text = serde_json::to_value(&plain).unwrap();
    assert_eq!(text.get("metadata"), None);
    assert_eq!(serde_json::from_value::<Action>(text.clone()).unwrap(), plain);
    let many = role("canary").annotation("a", "1").annotation("b", "2");
    for (metadata, value, words) in [
        (Metadata::new(), serde_json::json!({}), "carrying nothing"),
        (
            role("canary").label("on", "b").annotation("a", "1"),
            serde_json::json!({ "labels": { "on": "b", "role": "canary" }, "annotations": { "a": "1" } }),
            "carrying on=b role=canary and an annotation",
        ),
        (
            many,
            serde_json::json!({ "labels": { "role": "canary" }, "annotations": { "a": "1", "b": "2" } }),
            "carrying role=canary and 2 annotations",
        ),
    ] {
        let action = scaled(Some(metadata));
        let mut with = text.clone();
        with["metadata"] = value;
        assert_eq!(serde_json::from_value::<Action>(with.clone()).unwrap(), action);
        assert_eq!(serde_json::to_value(&action).unwrap(), with);
        assert_eq!(action.to_string(), format!("scale 2.0.0 to 2, {words}"));
    }
    let steps = table(&plan(&one_service(Strategy::Canary(Canary::new(vec![step(10)])))).unwrap());
    assert!(!steps.iter().any(|step| step.contains("relabel") || step.contains("carrying")));
}
