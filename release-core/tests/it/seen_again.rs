//! Whoever gets more of the traffic is looked at behind all that takes time: on tracks, and the version from before, too.

use release_core::model::{
    Canary, CanaryScale, CanaryStep, Definition, Experiment, ExperimentTemplate, HeaderRule, Hook,
    HookPoint, Span, Strategy, TemplateVersion,
};
use release_core::plan::{PlanError, plan};

use super::expansion::table;
use super::strategies::{minute, step};
use super::support::samples::{id, one_service};

fn canary(steps: Vec<CanaryStep>) -> Definition {
    one_service(Strategy::Canary(Canary::new(steps)))
}

/// The same, with a hook before each increase that may take a day.
fn asked(steps: Vec<CanaryStep>) -> Definition {
    let mut definition = canary(steps);
    let hook = Hook::new(id("may-it"), HookPoint::BeforeIncrease, "webhook", serde_json::json!({}));
    definition.stages[0].hooks = vec![Hook { wait: Some(Span::secs(86_400)), ..hook }];
    definition
}

fn scaled(weight: u8, replicas: u32) -> CanaryStep {
    CanaryStep { scale: Some(CanaryScale::Replicas(replicas)), ..step(weight) }
}

fn fresh(share: u8) -> Experiment {
    let fresh = ExperimentTemplate::new(id("fresh"), TemplateVersion::New, 1);
    Experiment::of([fresh.share(share)], minute())
}

/// What stands between the last step that takes time and a change of shares.
#[track_caller]
fn looks_before(definition: &Definition, route: &str) -> Vec<String> {
    let all = table(&plan(definition).unwrap());
    let (place, mut found) = ("prod/eu/api/", Vec::new());
    let beginning = format!("{place}{route}: route");
    for step in all {
        if step.starts_with(&beginning) {
            return found;
        }
        if step.ends_with(": webhook") || step.contains(": errors of") {
            found.clear();
        } else {
            found.push(step.trim_start_matches(place).to_owned());
        }
    }
    panic!("{route} is no change of shares");
}

/// Found in review: only the new version's own instances were looked at again.
#[test]
fn f30_fresh_instances_of_the_old_version_are_looked_at_behind_a_hook() {
    let experiment = Some(Experiment::new(30, 2, minute()));
    let definition = asked(vec![CanaryStep { experiment, ..scaled(10, 2) }]);
    assert_eq!(
        looks_before(&definition, "weight-10/experiment"),
        [
            "weight-10/experiment/routed-again: routed 90%→1.0.0 10%→2.0.0",
            "weight-10/experiment/ready-again: 2 × 2.0.0 ready",
            "weight-10/experiment/baseline/ready-again: 2 × 1.0.0 ready",
        ]
    );
}

#[test]
fn f30_a_set_is_looked_at_behind_what_is_measured_before_traffic() {
    let mut definition = canary(vec![CanaryStep { experiment: Some(fresh(25)), ..step(0) }]);
    definition.stages[0].before_traffic = vec![id("errors")];
    assert_eq!(
        looks_before(&definition, "weight-0/experiment"),
        [
            "weight-0/experiment/routed-again: routed 100%→1.0.0",
            "weight-0/experiment/ready-again: 4 × 2.0.0 ready",
            "weight-0/experiment/fresh/ready-again: 1 × 2.0.0 ready",
        ]
    );
}

/// By its headers the step brings more to the new version, and its share falls.
#[test]
fn f30_the_old_version_that_gets_more_is_looked_at_behind_a_hook() {
    let headers = vec![HeaderRule::exact("x-canary", "yes")];
    let definition = asked(vec![step(50), CanaryStep { headers, ..step(20) }]);
    assert_eq!(
        looks_before(&definition, "weight-20"),
        [
            "weight-20/routed-again: routed 50%→1.0.0 50%→2.0.0",
            "weight-20/old-ready-again: 4 × 1.0.0 ready",
            "weight-20/ready-again: 4 × 2.0.0 ready",
        ]
    );
    // It has the name of a step then.
    let mut definition = definition;
    definition.analyses[0].id = id("old-ready-again");
    let trigger = release_core::model::RollbackTrigger::Analysis(id("old-ready-again"));
    definition.release.rollback.as_mut().unwrap().triggers = vec![trigger];
    let errors = plan(&definition).unwrap_err().0;
    assert!(matches!(&errors[..], [PlanError::ReservedAnalysis { .. }]), "{errors:?}");
}

#[test]
fn nobody_is_looked_at_twice_where_no_time_has_passed() {
    let experiment = Some(Experiment::new(30, 2, minute()));
    let definition = canary(vec![CanaryStep { experiment, ..scaled(10, 2) }, step(5)]);
    let all = table(&plan(&definition).unwrap());
    let again = |name: &str| all.iter().any(|step| step.contains(name));
    assert!(again("experiment/ready-again") && again("weight-5/old-ready"), "{all:?}");
    assert!(!again("baseline/ready-again") && !again("old-ready-again"), "{all:?}");
}

/// Four were looked at, since two were about to be stopped; no more than the other two can be ready later.
#[test]
fn no_more_instances_are_looked_for_than_run() {
    let experiment = Some(fresh(20));
    let definition = canary(vec![scaled(50, 4), CanaryStep { experiment, ..scaled(25, 2) }]);
    let looks = looks_before(&definition, "weight-25/experiment");
    let last = looks.last().map(String::as_str);
    assert_eq!(last, Some("weight-25/experiment/ready-again: 2 × 2.0.0 ready"), "{looks:?}");
}
