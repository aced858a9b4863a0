//! What becomes of a rollout that is under way as a freeze begins.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{RollbackScope, Span, Target, Timestamp};
use release_core::plan::{Action, Weight};
use release_core::run::{Cause, Event, Outcome};
use release_policy::Windows;
use release_testkit::fixtures::{self, Shop};
use release_testkit::sim::{Course, RunCourse, START, Sim, days, invariants};

/// The begin of the freeze, in seconds: the first step of the canary bakes from 60 until 360.
const FROM: u64 = 200;
const HOURS: u64 = 2;

fn at(secs: u64) -> Timestamp {
    START.parse::<Timestamp>().unwrap().plus(Span::secs(secs))
}

fn until() -> Timestamp {
    at(FROM + HOURS * 3600)
}

fn frozen(on_start: &str) -> Windows {
    let window = serde_json::json!({ "windows": [{
        "id": "noon", "kind": "freeze", "owner": "sre", "reason": "guests", "on_start": on_start,
        "when": { "type": "between", "from": at(FROM), "until": until() },
    }]});
    serde_json::from_value(window).unwrap()
}

/// One region: canary by 10 % and 50 %, five minutes each.
fn course(on_start: &str) -> Course {
    let shop = Shop::new().without_staging().regions(["eu"]).bake(Span::secs(300));
    let sim = Sim::new(3).definition(&shop.definition()).unwrap().run_for(days(1));
    let sim = sim.freezes(frozen(on_start)).check(invariants::all());
    let report = sim.report();
    assert!(report.is_green(), "{report}");
    sim.course()
}

/// The shares of each target behind all routes that were done before an instant.
fn shares(run: &RunCourse, before: Timestamp) -> BTreeMap<Target, Vec<Weight>> {
    let mut all = BTreeMap::new();
    for fact in run.facts.iter().filter(|fact| fact.at < before) {
        let Event::StepSucceeded { step, .. } = &fact.event else { continue };
        if let Some(Action::Route { target, weights, .. }) = run.step(&step.id).map(|s| &s.action) {
            all.insert(target.clone(), weights.clone());
        }
    }
    all
}

fn is_split(weights: &[Weight]) -> bool {
    weights.iter().filter(|weight| weight.percent > 0).count() > 1
}

/// The steps that start within the freeze, with the leave that their starts name.
fn started(run: &RunCourse) -> Vec<(String, Vec<String>)> {
    let within = run.facts.iter().filter(|fact| at(FROM) <= fact.at && fact.at < until());
    let starts = within.filter_map(|fact| match &fact.event {
        Event::StepStarted { step, basis, .. } => Some((step.id.to_string(), basis)),
        _ => None,
    });
    let rules = |basis: &Option<Box<release_core::port::Basis>>| {
        let grants = basis.iter().flat_map(|basis| &basis.grants);
        grants.map(|grant| grant.rule.clone()).collect()
    };
    starts.map(|(step, basis)| (step, rules(basis))).collect()
}

fn ended(run: &RunCourse) -> (&Outcome, Timestamp) {
    let last = run.facts.last().unwrap();
    let Event::RunFinished { outcome } = &last.event else { panic!("{last:?}") };
    (outcome, last.at)
}

#[test]
fn f21_a_freeze_amid_a_shift_lets_it_reach_a_safe_point_and_holds_it_there() {
    let course = course("hold_at_safe_point");
    let run = &course.runs[0];
    let before = shares(run, at(FROM));
    assert!(before.values().any(|weights| is_split(weights)), "{before:?}");
    let held = shares(run, until());
    assert!(!held.is_empty() && !held.values().any(|weights| is_split(weights)), "{held:?}");
    let started = started(run);
    assert!(!started.is_empty());
    for (step, rules) in &started {
        let asks = !run.step(&step.parse().unwrap()).unwrap().action.is_pure();
        assert_eq!(!rules.is_empty(), asks, "{step}");
        assert!(rules.iter().all(|rule| rule == "mid-flight/freeze/noon"), "{step}: {rules:?}");
    }
    let (outcome, at) = ended(run);
    assert!(*outcome == Outcome::Succeeded && at >= until(), "{outcome:?} at {at}");
}

#[test]
fn f21_a_freeze_that_says_finish_lets_what_has_begun_come_to_its_end_and_nothing_begin() {
    let course = course("finish");
    let run = &course.runs[0];
    let services = |steps: &mut dyn Iterator<Item = String>| {
        let steps = steps.filter_map(|id| run.step(&id.parse().unwrap()));
        let services = steps.filter_map(|step| step.scope.place()?.service.clone());
        services.collect::<BTreeSet<_>>()
    };
    let before = run.facts.iter().filter(|fact| fact.at < at(FROM));
    let begun = services(&mut before.filter_map(|fact| match &fact.event {
        Event::StepStarted { step, .. } => Some(step.id.to_string()),
        _ => None,
    }));
    let within = services(&mut started(run).into_iter().map(|(step, _)| step));
    assert_eq!(within, begun);
    let done = shares(run, until());
    assert!(!done.is_empty() && !done.values().any(|weights| is_split(weights)), "{done:?}");
    assert_eq!(*ended(run).0, Outcome::Succeeded);
}

#[test]
fn f21_a_freeze_that_says_revert_takes_back_what_has_begun_at_once() {
    let course = course("revert");
    let run = &course.runs[0];
    let reverted = run.facts.iter().find_map(|fact| match &fact.event {
        Event::StepFailed { error, back, .. } => Some((fact.at, error, back)),
        _ => None,
    });
    let (when, error, back) = reverted.unwrap();
    assert!(at(FROM) <= when && when < until(), "{when}");
    assert_eq!(&*error.kind, "policy_reverts");
    assert!(error.message.contains("freeze/noon"), "{error}");
    assert!(back.is_some_and(|scope| scope != RollbackScope::Release), "{back:?}");
    let (outcome, ended) = ended(run);
    assert!(matches!(outcome, Outcome::RolledBack { cause: Cause::StepFailed { .. } }));
    assert!(ended < until(), "a freeze held a rollback until {ended}");
    let old = fixtures::digest("api", Shop::OLD);
    for (target, place) in &course.places {
        assert!(!is_split(&place.weights), "{target:?}: {place:?}");
        if target.service.as_str() == "api" {
            assert!(place.weights.iter().any(|w| w.digest == old && w.percent == 100));
        }
    }
}
