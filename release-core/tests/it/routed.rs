//! Shares that a router took and went back on: found where time has passed, kept with both sides, and followed by what the
//! release's criteria say.

use std::collections::BTreeMap;

use proptest::prelude::*;
use release_core::journal::History;
use release_core::model::{
    Canary, CanaryStep, Definition, Digest, Mirror, RollbackTrigger, Span, Strategy as Rollout,
    Target, TrafficRules,
};
use release_core::plan::{Action, Plan, Weight, plan};
use release_core::port::{DRIFT, Evidence};
use release_core::run::{Awaiting, Cause, Event, Outcome, Phase, Status};

use super::journal::{run_id, seal_with_digests};
use super::support::drive::{End, Run, snapshot};
use super::support::random;
use super::support::samples::{artifact, id, one_service};
use super::support::words::{failures, retry, started};

const LOOK: &str = "prod/eu/api/weight-50/still-routed";
const LAST_LOOK: &str = "prod/eu/api/remove-old/still-routed";

/// Half of the traffic for ten minutes, then all of it.
fn definition(triggers: &[RollbackTrigger]) -> Definition {
    let steps = vec![CanaryStep::new(50, Span::secs(600))];
    let canary = Canary { keep_old: Span::ZERO, ..Canary::new(steps) };
    let mut definition = one_service(Rollout::Canary(canary));
    definition.release.rollback.as_mut().unwrap().triggers = triggers.to_vec();
    definition
}

/// A run for which all is well until the step called `name` is under way; with its index.
fn until(triggers: &[RollbackTrigger], name: &str) -> (Run, u32) {
    let mut run = Run::start(&plan(&definition(triggers)).unwrap().freeze());
    let wanted = run.state.plan().find(&id(name)).unwrap();
    while !run.effects.contains_key(&wanted) {
        run.next_effect();
        let step = *run.effects.keys().next().unwrap();
        if step != wanted {
            run.outcome(step, End::Good);
        }
    }
    (run, wanted)
}

fn old(percent: u8) -> Weight {
    Weight::new(artifact("api", "1.0.0").digest(), id("1.0.0"), percent)
}

fn new(percent: u8) -> Weight {
    Weight::new(artifact("api", "2.0.0").digest(), id("2.0.0"), percent)
}

fn seen(weights: Vec<Weight>, rules: Option<TrafficRules>) -> Evidence {
    let target = Target::new(id("prod"), id("eu"), id("api"));
    Evidence::Weights { target, weights, served: Vec::new(), rules: rules.map(Box::new) }
}

/// The failures of looks that found drift: what they say, and what was seen.
fn drifts(run: &Run) -> Vec<(String, Evidence)> {
    let all = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::StepFailed { error, evidence: Some(evidence), hold: false, .. }
            if error.kind == DRIFT =>
        {
            Some((error.message.clone(), evidence.clone()))
        }
        _ => None,
    });
    all.collect()
}

fn errors() -> RollbackTrigger {
    RollbackTrigger::Analysis(id("errors"))
}

#[test]
fn f11_shares_that_do_not_last_through_a_bake_are_kept_with_both_sides_and_go_back() {
    let mirror = Mirror::new(new(0).digest, 10);
    let copies = TrafficRules { mirror: Some(mirror), ..TrafficRules::default() };
    for triggers in [vec![RollbackTrigger::Drift], vec![RollbackTrigger::StepFailed]] {
        for (found, told) in [
            (seen(vec![old(100)], None), "100% 1.0.0 ("),
            (seen(vec![old(49), new(51)], None), "51% 2.0.0 ("),
            (seen(vec![old(50), new(50)], Some(copies.clone())), "10% mirrored"),
            (seen(Vec::new(), None), "is now nobody;"),
        ] {
            let (mut run, step) = until(&triggers, LOOK);
            run.answer(step, found.clone());
            let [(message, evidence)] = &drifts(&run)[..] else { panic!("{:?}", run.facts) };
            assert!(message.contains("was set to 50% 1.0.0 ("), "{message}");
            assert!(message.contains(told), "{message}");
            assert_eq!(*evidence, found);
            let outcome = run.heal(100);
            let Outcome::RolledBack { cause: Cause::StepFailed { step, message: why, .. } } =
                &outcome
            else {
                panic!("{outcome}")
            };
            assert_eq!((step.id.as_str(), why), (LOOK, message));
            assert_eq!(run.status("prod/eu/api/weight-50"), Status::Compensated);
            // One look is enough.
            let looks = started(&run).into_iter().filter(|step| step.starts_with(LOOK));
            assert_eq!(looks.collect::<Vec<_>>(), [format!("{LOOK} 1")]);
        }
    }
}

#[test]
fn f11_shares_that_are_as_they_were_set_pass_however_they_are_told() {
    let (mut run, step) = until(&[RollbackTrigger::Drift], LOOK);
    let nobody = Weight::new(Digest::of(b"of before"), id("0.9.0"), 0);
    run.answer(step, seen(vec![new(50), nobody, old(50)], None));
    assert_eq!(run.status(LOOK), Status::Succeeded);
    assert_eq!(run.heal(100), Outcome::Succeeded);
    assert_eq!(drifts(&run), []);
}

/// Without a trigger that says so, people decide. Nothing goes on until the traffic is as it was set.
#[test]
fn f11_drift_that_no_trigger_names_is_held_and_a_retry_looks_again() {
    for triggers in [vec![errors()], vec![RollbackTrigger::Unhealthy]] {
        let (mut run, step) = until(&triggers, LOOK);
        for looks in 1..=2 {
            run.answer(step, seen(vec![old(100)], None));
            assert_eq!(drifts(&run).len(), looks);
            assert_eq!(run.state.awaiting(), [Awaiting::Operator(id(LOOK))]);
            assert_eq!(*run.state.phase(), Phase::Forward);
            assert_eq!(run.status("prod/eu/api/promote"), Status::Pending);
            run.command(retry(LOOK), "bob").unwrap();
        }
        run.end(LOOK, End::Good);
        assert_eq!(run.heal(100), Outcome::Succeeded);
        assert_eq!(run.status("prod/eu/api/promote"), Status::Succeeded);
        assert_eq!(drifts(&run).len(), 2, "what was seen stays on record");
    }
}

/// Another failure of the look is no drift: it is tried again, and its trigger is that of any step.
#[test]
fn f11_a_router_that_cannot_be_asked_has_not_drifted() {
    let (mut run, _) = until(&[RollbackTrigger::StepFailed], LOOK);
    run.end(LOOK, End::Transient);
    assert_eq!(run.status(LOOK), Status::Waiting);
    run.next_effect();
    run.end(LOOK, End::Unknown);
    run.next_effect();
    run.end(LOOK, End::Absent);
    run.next_effect();
    run.end(LOOK, End::Permanent);
    assert_eq!(failures(&run), [format!("{LOOK} no")]);
    assert!(matches!(run.heal(100), Outcome::RolledBack { .. }));
    // What is observed of another target is a lie, and what is no observation of traffic is no answer.
    let elsewhere = Target::new(id("prod"), id("us"), id("api"));
    let (weights, served, rules) = (vec![old(50), new(50)], Vec::new(), None);
    let lie = Evidence::Weights { target: elsewhere, weights, served, rules };
    for (answer, kind) in [(lie, "identity_mismatch"), (Evidence::Done, "wrong_evidence")] {
        let (mut run, step) = until(&[RollbackTrigger::StepFailed], LOOK);
        run.answer(step, answer);
        assert_eq!(failures(&run), [format!("{LOOK} {kind}")]);
    }
}

#[test]
fn f11_what_was_seen_outlasts_a_crash() {
    let (mut run, step) = until(&[RollbackTrigger::Drift], LOOK);
    // While it is looked: whoever takes over looks again.
    run.take_over();
    run.next_effect();
    run.end(LOOK, End::Absent);
    run.next_effect();
    run.answer(step, seen(vec![old(100)], None));
    let known = drifts(&run);
    assert_eq!(known.len(), 1);
    // On the way back.
    run.take_over();
    let outcome = run.heal(100);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(drifts(&run), known);
    let plan = plan(&definition(&[RollbackTrigger::Drift])).unwrap().freeze();
    let history = History::verify(&run_id(), &seal_with_digests(&plan, &run)).unwrap();
    assert_eq!(history.facts(), run.facts);
    let state = history.state(plan, None).unwrap();
    assert_eq!(snapshot(&state), snapshot(&run.state));
}

/// The release is live then: whatever its triggers, nothing is taken back, and nobody is removed who may serve.
#[test]
fn f11_an_old_version_that_has_traffic_again_is_not_removed() {
    let (mut run, step) = until(&[RollbackTrigger::StepFailed, RollbackTrigger::Drift], LAST_LOOK);
    run.answer(step, seen(vec![old(20), new(80)], None));
    let [(message, _)] = &drifts(&run)[..] else { panic!("{:?}", run.facts) };
    assert!(message.contains("was set to 100% 2.0.0 (") && message.contains("20% 1.0.0 ("));
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id(LAST_LOOK))]);
    assert_eq!(run.status("prod/eu/api/remove-old"), Status::Pending);
    run.command(retry(LAST_LOOK), "bob").unwrap();
    run.end(LAST_LOOK, End::Good);
    assert_eq!(run.heal(20), Outcome::Succeeded);
    assert_eq!(run.status("prod/eu/api/remove-old"), Status::Succeeded);
}

/// What a rollout set last, and whether time has passed since that, or since it was last looked for.
#[derive(Debug, Default)]
struct Set {
    action: Option<Action>,
    passed: bool,
}

/// In the rollout of each group: after whatever takes time, it is looked for what was set, before that changes and before the
/// old version is removed.
fn looked_for(plan: &Plan) {
    let mut groups: BTreeMap<u32, Set> = BTreeMap::new();
    for index in plan.order().unwrap() {
        let step = &plan.steps()[index as usize];
        let Some(group) = step.group else { continue };
        let set = groups.entry(group).or_default();
        match &step.action {
            Action::Route { .. } => {
                assert!(!set.passed, "nobody looked before {}", step.id);
                set.action = Some(step.action.clone());
            }
            Action::Confirm { target, weights, rules } => {
                let (target, weights, rules) = (target.clone(), weights.clone(), rules.clone());
                let asked = Action::Route { target, weights, rules };
                assert_eq!(set.action.as_ref(), Some(&asked), "{}", step.id);
                set.passed = false;
            }
            Action::Scale { replicas: 0, .. } if step.finale => {
                assert!(!set.passed, "nobody looked before {}", step.id);
            }
            Action::Bake { .. } => set.passed |= set.action.is_some(),
            // What must be known before the first traffic comes when nobody is served by the new version yet.
            Action::Analyze { until: None, .. } if !step.id.as_str().contains("before-traffic") => {
                set.passed |= set.action.is_some();
            }
            _ => {}
        }
    }
    assert!(groups.values().all(|set| !set.passed), "nobody looked at the end: {groups:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn f11_it_is_looked_again_wherever_time_has_passed(definition in random::definition()) {
        looked_for(&plan(&definition).unwrap());
    }
}
