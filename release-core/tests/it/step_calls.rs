//! What a canary's step calls by itself: at its place, with what follows when it fails, and when the rollout is taken back.

use release_core::model::{Canary, CanaryStep, Definition, Span, StepCall, Strategy};
use release_core::plan::{Action, OnFailure, Reach, Touched, plan, rollback};
use release_core::run::{Command, Outcome, Status};
use serde_json::{Value, json};

use super::expansion::{REMOVED, around, check, index, table};
use super::strategies::{minute, refused, step};
use super::support::drive::{End, Run};
use super::support::samples::{id, one_service, set};
use super::support::words::{failures, started};

const WARM: &str = "prod/eu/api/weight-10/calls/warm";
const BACK: &str = "rollback/prod/eu/api/weight-10/calls/warm/custom";

fn call(name: &str) -> StepCall {
    StepCall::new(id(name), "cache", json!({ "fill": name }))
}

fn undone(name: &str) -> StepCall {
    StepCall { undo: json!({ "empty": name }), ..call(name) }
}

fn canary(steps: Vec<CanaryStep>) -> Strategy {
    Strategy::Canary(Canary::new(steps))
}

/// A cache is warmed once the new version has a share, and checked before it gets all of the traffic.
fn definition(check: StepCall) -> Definition {
    one_service(canary(vec![
        CanaryStep { calls: vec![undone("warm")], bake: minute(), ..step(10) },
        CanaryStep { calls: vec![check], ..step(10) },
    ]))
}

#[test]
fn calls_stand_where_their_step_stands() {
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-10: route 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/calls/warm: cache",
        "prod/eu/api/weight-10/bake: bake 1m",
        "prod/eu/api/weight-10/errors: errors of 2.0.0",
        "prod/eu/api/weight-10/still-routed: routed 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-10-2/calls/check: cache",
        "prod/eu/api/weight-10-2/errors: errors of 2.0.0",
        "prod/eu/api/weight-10-2/still-routed: routed 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10-2/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    let definition = definition(StepCall { attempts: Some(7), ..call("check") });
    check(&definition, &around(&rollout, &REMOVED));
    let plan = plan(&definition).unwrap();
    let attempts = |name: &str| plan.steps()[index(&plan, name) as usize].retry.max_attempts;
    assert_eq!((attempts(WARM), attempts("prod/eu/api/weight-10-2/calls/check")), (3, 7));
    let Action::Custom { input, .. } = &plan.steps()[index(&plan, WARM) as usize].action else {
        panic!("no call");
    };
    assert_eq!(*input, json!({ "fill": "warm" }));
}

/// What the calls of a rollback are told, and what is done before and after them.
fn told(touched: impl Fn(u32) -> Touched, calls: Vec<StepCall>) -> Vec<String> {
    let definition = one_service(canary(vec![CanaryStep { calls, ..step(10) }]));
    let plan = plan(&definition).unwrap().freeze();
    let back = rollback(&plan, touched, &Reach::Release).unwrap();
    let line = |action: &Action| match action {
        Action::Custom { input, .. } => input.to_string(),
        other => other.to_string(),
    };
    back.steps.iter().map(|step| line(&step.action)).collect()
}

#[test]
fn what_was_begun_is_undone_last_first_once_the_old_version_has_all_of_the_traffic() {
    let calls = || vec![undone("one"), call("two"), undone("three")];
    let want = [
        "scale 1.0.0 to 4",
        "4 × 1.0.0 ready",
        "route 100%→1.0.0",
        r#"{"empty":"three"}"#,
        r#"{"empty":"one"}"#,
        "scale 2.0.0 to 0",
    ];
    assert_eq!(told(|_| Touched::Done, calls()), want);
    // Of what nobody called, nobody is told.
    let plan = plan(&one_service(canary(vec![CanaryStep { calls: calls(), ..step(10) }]))).unwrap();
    let first = index(&plan, "prod/eu/api/weight-10/calls/one");
    let begun = |index: u32| if index <= first { Touched::Yes } else { Touched::No };
    let want = ["4 × 1.0.0 ready", "route 100%→1.0.0", r#"{"empty":"one"}"#, "scale 2.0.0 to 0"];
    assert_eq!(told(begun, calls()), want);
}

/// Everything ends well until the call is under way.
fn called(definition: &Definition) -> Run {
    let mut run = Run::start(&plan(definition).unwrap().freeze());
    for _ in 0..100 {
        if run.status(WARM) == Status::Running {
            return run;
        }
        run.next_effect();
        let step = *run.effects.keys().next().unwrap();
        if run.status(WARM) != Status::Running {
            run.outcome(step, End::Good);
        }
    }
    panic!("nobody calls");
}

fn ends(run: &mut Run) -> Outcome {
    run.heal(300)
}

#[test]
fn a_call_that_fails_takes_the_rollout_back_and_is_undone_too() {
    let mut run = called(&definition(call("check")));
    run.end(WARM, End::Permanent);
    assert!(matches!(ends(&mut run), Outcome::RolledBack { .. }));
    assert_eq!(failures(&run).len(), 1, "{:?}", failures(&run));
    assert!(started(&run).contains(&format!("{BACK} 1")), "{:?}", started(&run));
    assert_eq!(run.status("prod/eu/api/weight-10/bake"), Status::Cancelled);
}

#[test]
fn a_cancel_while_it_is_called_undoes_it_once_it_has_answered() {
    let mut run = called(&definition(call("check")));
    run.command(Command::Cancel, "bob").unwrap();
    assert!(!started(&run).iter().any(|step| step.starts_with(BACK)), "not before it is known");
    run.end(WARM, End::Good);
    assert!(matches!(ends(&mut run), Outcome::Cancelled { .. } | Outcome::RolledBack { .. }));
    assert!(started(&run).contains(&format!("{BACK} 1")), "{:?}", started(&run));
}

#[test]
fn one_that_is_optional_holds_up_nothing() {
    let mut definition = definition(call("check"));
    let Strategy::Canary(canary) = &mut definition.stages[0].strategy else { panic!("no canary") };
    canary.steps[0].calls[0].optional = true;
    let made = plan(&definition).unwrap();
    let of = |name: &str| made.steps()[index(&made, name) as usize].on_failure;
    assert_eq!(of(WARM), OnFailure::Continue);
    assert_ne!(of("prod/eu/api/weight-10-2/calls/check"), OnFailure::Continue);
    let mut run = called(&definition);
    run.end(WARM, End::Permanent);
    assert_eq!(ends(&mut run), Outcome::Succeeded);
}

#[test]
fn nobody_is_called_where_nothing_goes_step_by_step() {
    let calls = |definition: &Definition| {
        let steps = table(&plan(definition).unwrap());
        steps.iter().filter(|step| step.contains("/calls/")).count()
    };
    let mut definition = definition(call("check"));
    assert_eq!(calls(&definition), 2);
    definition.release.recent = vec![definition.release.versions.clone()];
    definition.stages[0].rollback_window = 1;
    assert_eq!(calls(&definition), 0, "a version of a short while ago");
    definition.stages[0].rollback_window = 0;
    definition.release.previous = set(&[]);
    assert_eq!(calls(&definition), 0, "a first deployment");
}

#[test]
fn calls_that_make_no_sense_are_refused_with_what_would() {
    let long = Some(Span::secs(31 * 86_400));
    for (calls, why) in [
        (vec![call("a"), undone("a")], "canary step 1: `calls` has `a` twice; rename one"),
        (vec![StepCall { attempts: Some(0), ..call("a") }], "call `a` has 0 `attempts`"),
        (
            vec![StepCall { attempts: Some(1), wait: Some(minute()), ..call("a") }],
            "call `a` has `attempts` and `wait`; say one",
        ),
        (vec![StepCall { wait: long, ..call("a") }], "call `a` may take more than 30 days"),
        (
            vec![StepCall { capability: String::new(), ..call("a") }],
            "call `a` has no `capability`; name what calls it",
        ),
    ] {
        refused(canary(vec![CanaryStep { calls, ..step(10) }]), why);
    }
}

#[test]
fn a_call_writes_no_more_than_it_says() {
    let plain = StepCall { input: Value::Null, ..call("warm") };
    let text = r#"{"id":"warm","capability":"cache"}"#;
    assert_eq!(serde_json::to_string(&plain).unwrap(), text);
    assert_eq!(serde_json::from_str::<StepCall>(text).unwrap(), plain);
    let text =
        r#"{"id":"warm","capability":"cache","input":{"fill":"warm"},"undo":{"empty":"warm"}}"#;
    assert_eq!(serde_json::to_string(&undone("warm")).unwrap(), text);
    assert_eq!(serde_json::from_str::<StepCall>(text).unwrap(), undone("warm"));
    let hook: StepCall = serde_json::from_str(r#"{"id":"warm"}"#).unwrap();
    assert_eq!(hook.capability, "webhook");
    assert!(serde_json::from_str::<StepCall>(r#"{"id":"warm","at":"when_ready"}"#).is_err());
    let step = serde_json::to_value(step(10)).unwrap();
    assert_eq!(step.get("calls"), None);
}
