//! Which steps start the new version's instances on other machines than the old one's.

use release_core::model::{AntiAffinity, BlueGreen, Canary, CanaryScale, CanaryStep, Strategy};
use release_core::plan::{Action, Plan, plan};

use super::strategies::{refused, step};
use super::support::samples::{deployment, one_service, set};

/// What the steps that scale anything ask for, in order: the version, how many, and where.
fn scales(plan: &Plan) -> Vec<(String, u32, Option<AntiAffinity>)> {
    let scales = plan.steps().iter().filter_map(|step| match &step.action {
        Action::Scale { deployment, replicas, apart, .. } => {
            Some((deployment.version.to_string(), *replicas, *apart))
        }
        _ => None,
    });
    scales.collect()
}

fn canary(anti_affinity: Option<AntiAffinity>) -> Canary {
    let first = CanaryStep { scale: Some(CanaryScale::Replicas(1)), ..step(10) };
    Canary { anti_affinity, ..Canary::new(vec![first]) }
}

fn expected(all: &[(&str, u32, Option<AntiAffinity>)]) -> Vec<(String, u32, Option<AntiAffinity>)> {
    all.iter().map(|(version, count, apart)| ((*version).to_owned(), *count, *apart)).collect()
}

#[test]
fn all_that_is_started_of_the_new_version_keeps_apart_from_the_old_one() {
    for apart in [Some(AntiAffinity::Required), Some(AntiAffinity::Preferred(50)), None] {
        let (old, new) = ("1.0.0", "2.0.0");
        let some = plan(&one_service(Strategy::Canary(canary(apart)))).unwrap();
        let want = expected(&[(new, 1, apart), (new, 4, apart), (old, 0, None)]);
        assert_eq!(scales(&some), want);
        let preview_replicas = Some(2);
        let spec = BlueGreen { preview_replicas, anti_affinity: apart, ..BlueGreen::default() };
        let some = plan(&one_service(Strategy::BlueGreen(spec))).unwrap();
        let want = expected(&[(new, 2, apart), (new, 4, apart), (old, 0, None)]);
        assert_eq!(scales(&some), want);
        // On the way back, nobody has to keep apart.
        let undone = some.steps().iter().flat_map(|step| step.undo.compensations());
        let mut undone = undone.filter_map(|undo| match &undo.action {
            Action::Scale { apart, .. } => Some(*apart),
            _ => None,
        });
        assert!(undone.all(|apart| apart.is_none()));
    }
}

#[test]
fn where_there_is_no_other_version_nobody_keeps_apart() {
    let mut first = one_service(Strategy::Canary(canary(Some(AntiAffinity::Required))));
    first.release.previous = set(&[]);
    assert_eq!(scales(&plan(&first).unwrap()), expected(&[("2.0.0", 4, None)]));
}

/// It comes back by other steps than the strategy's, and keeps to what the strategy says of its instances.
#[test]
fn a_recent_version_that_comes_back_keeps_apart_too() {
    let apart = Some(AntiAffinity::Preferred(1));
    let mut again = one_service(Strategy::Canary(canary(apart)));
    again.release.recent = vec![again.release.versions.clone()];
    again.stages[0].rollback_window = 1;
    let want = expected(&[("2.0.0", 4, apart), ("1.0.0", 0, None)]);
    assert_eq!(scales(&plan(&again).unwrap()), want);
}

#[test]
fn a_weight_of_nothing_or_of_more_than_all_is_refused() {
    for (weight, why) in [(0, "`anti_affinity.preferred` is 0; write"), (101, "is 101; write")] {
        let anti_affinity = Some(AntiAffinity::Preferred(weight));
        refused(Strategy::Canary(canary(anti_affinity)), why);
        refused(Strategy::BlueGreen(BlueGreen { anti_affinity, ..BlueGreen::default() }), why);
    }
}

/// Plans that ask for nothing of the kind are stored as before, and those of before can be read.
#[test]
fn what_is_not_asked_for_is_not_written_into_a_plan() {
    let scaled = |apart| {
        let deployment = deployment("api", "2.0.0");
        Action::Scale { deployment, replicas: 2, apart, metadata: None }
    };
    let plain = scaled(None);
    let text = serde_json::to_value(&plain).unwrap();
    assert_eq!(text.get("apart"), None);
    assert_eq!(serde_json::from_value::<Action>(text.clone()).unwrap(), plain);
    for (apart, value, words) in [
        (AntiAffinity::Required, serde_json::json!("required"), "apart from others"),
        (
            AntiAffinity::Preferred(7),
            serde_json::json!({ "preferred": 7 }),
            "apart from others if possible (7)",
        ),
    ] {
        let action = scaled(Some(apart));
        let mut with = text.clone();
        with["apart"] = value;
        assert_eq!(serde_json::from_value::<Action>(with.clone()).unwrap(), action);
        assert_eq!(serde_json::to_value(&action).unwrap(), with);
        assert_eq!(action.to_string(), format!("scale 2.0.0 to 2, {words}"));
    }
}
