//! Rollbacks that fail: something else is tried, then people are called, and nothing is called a success.
//! And what a forced abandon, a second cancel and a point of no return do to them.

use release_core::model::Strategy;
use release_core::plan::{Action, OnFailure, Reach, plan};
use release_core::run::{
    Awaiting, Command, Directive, Event, Input, Outcome, Phase, Rejected, Status,
};

use super::support::drive::{End, Run};
use super::support::samples::{chain, change, id, one_service, one_way, person};
use super::support::words::{back, reconcile, retry, started};

const STOP_OLD: &str = "rollback/prod/eu/api/stop-old/scale";
const PROBE: &str = "rollback/prod/eu/api/stop-old/probe";
const PAGE: &str = "rollback/page/ops";

/// A rollout whose new version fails for good, with somebody to call; its rollback is under way.
fn rolling_back() -> Run {
    let mut definition = one_service(Strategy::Recreate);
    definition.notify = vec![id("ops")];
    definition.services[0].runbook = Some("https://runbooks.example/api".into());
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ["artifacts/api/new", "artifacts/api/previous", "prod/eu/api/stop-old"] {
        run.end(step, End::Good);
    }
    run.end("prod/eu/api/start", End::Permanent);
    run.end("rollback/prod/eu/api/start/scale", End::Good);
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)), "{:?}", run.state.phase());
    run
}

fn stuck(run: &Run) -> Vec<String> {
    let steps = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::RollbackStuck { steps } => Some(steps.iter().map(|step| step.id.to_string())),
        _ => None,
    });
    steps.flatten().collect()
}

/// Both ways to bring the old version back fail.
fn no_way_back() -> Run {
    let mut run = rolling_back();
    run.end(STOP_OLD, End::Permanent);
    run.next_effect();
    run.end(STOP_OLD, End::Permanent);
    run
}

#[test]
fn f27_a_rollback_step_that_fails_for_good_is_tried_another_way() {
    let mut run = rolling_back();
    run.end(STOP_OLD, End::Permanent);
    let chosen = run.last(|event| matches!(event, Event::AlternateChosen { .. }));
    let Some(Event::AlternateChosen { step, action, at, .. }) = chosen else {
        panic!("{chosen:?}")
    };
    assert_eq!((step.id.as_str(), *at > run.now), (STOP_OLD, true));
    assert!(matches!(action, Action::Scale { replicas: 4, .. }), "{action}");
    assert_eq!(stuck(&run), [""; 0], "one way is left");
    assert_eq!(run.state.generation(step.index), 1, "another operation than the one that failed");
    run.next_effect();
    run.end(STOP_OLD, End::Good);
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
    assert!(!started(&run).iter().any(|step| step.starts_with(PAGE)), "nobody is called");
}

#[test]
fn f27_fewer_healthy_instances_are_better_than_none() {
    let mut run = rolling_back();
    run.end(STOP_OLD, End::Good);
    for _ in 0..5 {
        run.end(PROBE, End::Transient);
        run.next_effect();
    }
    let index = run.state.plan().find(&id(PROBE)).unwrap();
    let action = &run.state.plan().get(index).unwrap().action;
    assert!(matches!(action, Action::Probe { min_ready: 1, .. }), "{action}");
    run.end(PROBE, End::Good);
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
}

#[test]
fn f27_without_a_way_back_the_run_says_that_it_is_stuck_and_calls_people() {
    let mut run = no_way_back();
    assert_eq!(stuck(&run), [STOP_OLD]);
    assert!(!run.state.stuck().is_empty() && run.state.outcome().is_none());
    assert!(started(&run).contains(&format!("{PAGE} 1")));
    assert!(run.state.awaiting().contains(&Awaiting::Operator(id(STOP_OLD))));
    let place = run.state.stuck()[0].scope.place().cloned().unwrap();
    assert_eq!(place.runbook.as_deref(), Some("https://runbooks.example/api"));
    // The call itself may fail, and changes nothing.
    run.end(PAGE, End::Permanent);
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id(STOP_OLD))]);
    assert_eq!(stuck(&run).len(), 1, "said once");
}

#[test]
fn f27_a_person_who_mends_it_gets_the_rollback_to_its_end() {
    let mut run = no_way_back();
    run.end(PAGE, End::Good);
    run.command(retry(STOP_OLD), "bob").unwrap();
    assert!(run.state.stuck().is_empty());
    run.end(STOP_OLD, End::Permanent);
    assert_eq!(stuck(&run).len(), 2, "stuck again, and said again");
    let called = started(&run).iter().filter(|step| step.starts_with(PAGE)).count();
    assert_eq!(called, 1, "they know already");
    run.command(retry(STOP_OLD), "bob").unwrap();
    run.end(STOP_OLD, End::Good);
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
}

/// What a person says of an unknown outcome is a decision with a name and a reason.
#[test]
fn f27_an_unknown_rollback_step_is_reconciled_by_name() {
    let mut run = rolling_back();
    for _ in 0..7 {
        if !stuck(&run).is_empty() {
            break;
        }
        run.end(STOP_OLD, End::Unknown);
        run.next_effect();
    }
    assert_eq!(stuck(&run), [STOP_OLD], "{:?}", started(&run));
    run.command(reconcile(STOP_OLD, true), "bob").unwrap();
    let said = run.last(|event| matches!(event, Event::Reconciled { .. })).unwrap();
    assert!(matches!(said, Event::Reconciled { by, reason, applied: true, .. }
        if *by == person("bob") && reason == "because"));
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
}

/// Whatever is tried in vain, a rollback is never reported as one that has been.
#[test]
fn f27_giving_up_a_stuck_rollback_is_never_rolled_back() {
    let mut run = no_way_back();
    run.end(PAGE, End::Good);
    run.command(Command::Abandon, "bob").unwrap();
    assert!(matches!(run.state.outcome(), Some(Outcome::Abandoned { .. })));
    assert_eq!(run.status("prod/eu/api/stop-old"), Status::Succeeded, "not compensated");
}

#[test]
fn f26_a_cancel_in_a_rollback_is_recorded_and_stops_nothing() {
    let mut run = rolling_back();
    run.command(Command::Cancel, "bob").unwrap();
    run.command(Command::Cancel, "bob").unwrap();
    let denied = run.facts.iter().filter(|fact| matches!(fact.event, Event::CommandDenied { .. }));
    assert_eq!(denied.count(), 2);
    run.command(Command::Pause, "bob").unwrap();
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
}

#[test]
fn f26_only_a_forced_abandon_stops_a_rollback_and_it_calls_people() {
    let mut run = rolling_back();
    let bare = Directive::new(Command::ForceAbandon, person("bob"), " ");
    let bare = run.input(&Input::Directive(bare));
    assert_eq!(bare, Err(Rejected::NoReason { command: "force_abandon" }));
    run.command(Command::ForceAbandon, "bob").unwrap();
    assert!(matches!(run.state.phase(), Phase::Abandoning { .. }));
    assert_eq!(run.effects.len(), 1, "nothing but the call: {:?}", run.effects);
    run.end(PAGE, End::Good);
    let outcome = run.state.outcome().unwrap();
    assert!(
        matches!(outcome, Outcome::Abandoned { reason, .. } if reason == "because"),
        "{outcome}"
    );
}

/// Those who were called already are not called again.
#[test]
fn f26_a_forced_abandon_of_a_stuck_rollback_calls_nobody_twice() {
    let mut run = no_way_back();
    run.end(PAGE, End::Good);
    run.command(Command::ForceAbandon, "bob").unwrap();
    assert!(matches!(run.state.outcome(), Some(Outcome::Abandoned { .. })));
}

/// Found by the oracle of explanations: a retry made it forget that people were being called already.
#[test]
fn f26_a_forced_abandon_after_a_retry_repeats_no_call_under_way() {
    let mut run = no_way_back();
    run.command(retry(STOP_OLD), "bob").unwrap();
    run.command(Command::ForceAbandon, "bob").unwrap();
    let called = started(&run).iter().filter(|step| step.starts_with(PAGE)).count();
    assert_eq!(called, 1, "{:?}", started(&run));
    assert!(matches!(run.state.outcome(), Some(Outcome::Abandoned { .. })));
}

#[test]
fn f25_a_cancel_lets_what_is_under_way_come_to_a_known_end() {
    for (end, undone) in [(End::Good, 2), (End::Permanent, 2), (End::Unknown, 2)] {
        let mut run = Run::start(&chain(vec![change("a"), change("b"), change("c")]));
        run.end("a", End::Good);
        run.command(Command::Cancel, "bob").unwrap();
        run.command(Command::Cancel, "bob").unwrap();
        assert!(matches!(run.state.phase(), Phase::Stopping(_)), "b is awaited");
        run.end("b", end);
        let outcome = run.heal(20);
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{end:?}: {outcome}");
        assert_eq!(run.state.plan().rollback().unwrap().1.undoes.len(), undone, "{end:?}");
        assert!(!started(&run).iter().any(|step| step.starts_with("c ")), "{end:?}");
    }
}

/// The way back can be read at any time, and is what a rollback then takes.
#[test]
fn the_way_back_is_shown_before_it_is_needed() {
    let mut run = Run::start(&chain(vec![change("a"), change("b"), back(change("c"))]));
    let shown = |run: &Run| {
        let extension = run.state.rollback_plan(&Reach::Release).unwrap();
        extension.steps.iter().map(|step| step.id.to_string()).collect::<Vec<_>>()
    };
    run.end("a", End::Good);
    assert_eq!(shown(&run), ["rollback/b/custom", "rollback/a/custom"], "b is under way");
    run.end("b", End::Good);
    let before = shown(&run);
    run.end("c", End::Permanent);
    let taken = run.state.plan().rollback().unwrap().1;
    let taken: Vec<_> = taken.steps.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(taken, before);
    assert_eq!(shown(&run), taken, "once it is under way, it is itself");
}

#[test]
fn a_point_of_no_return_is_told_before_it_is_needed() {
    let mut run = Run::start(&chain(vec![change("a"), one_way("migrate"), change("b")]));
    run.end("a", End::Good);
    let blocked = run.state.rollback_plan(&Reach::Release).unwrap_err();
    assert_eq!(blocked.step.as_str(), "migrate", "it is under way: {blocked}");
    run.end("migrate", End::Good);
    let text = run.state.rollback_plan(&Reach::Release).unwrap_err().to_string();
    assert!(
        text.contains("`migrate` is a point of no return") && text.contains("roll forward"),
        "{text}"
    );
}

/// A run in which nobody minds a failure of the rollback's notes ends all the same.
#[test]
fn notes_that_fail_hold_no_rollback() {
    let mut run = rolling_back();
    for _ in 0..20 {
        if run.state.outcome().is_some() {
            break;
        }
        let (step, _) = run.effects.first_key_value().map(|(s, a)| (*s, *a)).unwrap();
        let told = run.state.plan().get(step).unwrap().on_failure == OnFailure::Continue;
        run.outcome(step, if told { End::Permanent } else { End::Good });
    }
    assert!(matches!(run.state.outcome(), Some(Outcome::RolledBack { .. })));
}
