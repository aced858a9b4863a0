//! Courses of runs: how often a step is tried, what is looked for, and when a person is asked.

use release_core::model::{Gate, Span, Strategy};
use release_core::plan::{Action, FrozenPlan, OnFailure, RetryPolicy, Step, plan};
use release_core::port::{EffectError, Evidence};
use release_core::run::{
    Awaiting, Command, Directive, EffectOutcome, Event, Input, Outcome, Rejected, Status,
};

use super::support::drive::{End, Run};
use super::support::samples::{builder, chain, change, custom, id, one_service, person};
use super::support::words::{failures, reconcile, retry, started};

#[test]
fn steps_run_in_order_and_the_run_succeeds() {
    let mut run =
        Run::start(&chain(vec![change("a"), Step::new(id("b"), Action::Sync), change("c")]));
    run.end("a", End::Good);
    assert_eq!((run.status("b"), run.status("c")), (Status::Succeeded, Status::Running));
    run.end("c", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["a 1", "c 1"]);
}

#[test]
fn a_transient_failure_is_tried_again_up_to_the_limit() {
    let step = change("a").retry(RetryPolicy::attempts(3));
    let mut run = Run::start(&chain(vec![step]));
    for _ in 0..2 {
        run.end("a", End::Transient);
        assert!(matches!(run.state.awaiting()[..], [Awaiting::Instant(_)]));
        run.next_effect();
    }
    run.end("a", End::Transient);
    assert!(matches!(run.state.outcome(), Some(Outcome::Failed { .. })));
    assert_eq!(started(&run), ["a 1", "a 2", "a 3"]);
}

#[test]
fn an_unknown_outcome_is_looked_for_and_found() {
    let mut run = Run::start(&chain(vec![change("a")]));
    run.pass(Span::secs(60)); // the step's timeout
    assert!(
        run.last(|e| matches!(e, Event::OutcomeUnknown { error, .. } if error.kind == "timeout"))
            .is_some()
    );
    run.next_effect();
    run.end("a", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["a 1", "a 2 look"]);
}

/// «Known not to have happened: perform it, at once and without counting a failure.»
#[test]
fn a_look_that_finds_nothing_counts_as_no_failure() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let mut run = Run::start(&chain(vec![step]));
    run.end("a", End::Unknown); // the only failure so far
    run.next_effect();
    run.end("a", End::Absent);
    run.end("a", End::Transient);
    assert_eq!(failures(&run), ["a busy"], "two failures are the limit");

    let mut run = Run::start(&chain(vec![change("a")])); // one attempt
    run.take_over();
    run.end("a", End::Absent);
    run.end("a", End::Unknown);
    run.next_effect();
    run.end("a", End::Good); // also a step that is tried once is looked for once
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["a 1", "a 2 look", "a 3", "a 4 look"]);
}

/// Nobody performs again and again what never takes effect.
/// Nobody is asked about what can be seen: it did not take effect, however often it was tried.
#[test]
fn an_effect_that_is_seen_never_to_take_place_fails_after_the_last_attempt() {
    let step = change("a").retry(RetryPolicy::attempts(3)).on_failure(OnFailure::Hold);
    let mut run = Run::start(&chain(vec![step]));
    for _ in 0..2 {
        run.end("a", End::Unknown);
        run.next_effect();
        run.end("a", End::Absent);
    }
    run.end("a", End::Unknown);
    run.next_effect();
    let events = run.end("a", End::Absent);
    let Some(Event::StepFailed { error, .. }) = events.first() else { panic!("{events:?}") };
    assert_eq!(error.message, "3 attempts gave no answer, and it has not taken effect");
}

#[test]
fn what_cannot_be_found_out_waits_for_a_person() {
    let mut run = Run::start(&chain(vec![change("a"), change("b")]));
    run.end("a", End::Unknown);
    run.next_effect();
    run.end("a", End::Unknown);
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("a"))]);
    // Performing an unknown effect once more under a new key could double it (law 3).
    let refused = run.command(retry("a"), "bob");
    assert!(matches!(refused, Err(Rejected::WrongState { .. })), "{refused:?}");
    run.command(reconcile("a", true), "bob").unwrap();
    assert_eq!((run.status("a"), run.status("b")), (Status::Succeeded, Status::Running));
}

#[test]
fn what_a_person_says_did_not_happen_is_performed_again_with_the_same_key() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let mut run = Run::start(&chain(vec![step]));
    for _ in 0..3 {
        run.end("a", End::Unknown);
        run.next_effect();
    }
    run.command(reconcile("a", false), "bob").unwrap();
    assert_eq!((run.status("a"), run.state.generation(0)), (Status::Running, 0));
    // It begins anew: what was counted before was cleared up by the person.
    run.end("a", End::Transient);
    assert_eq!(failures(&run), [""; 0]);
    run.next_effect();
    run.end("a", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_held_step_is_retried_as_a_new_operation() {
    let mut run = Run::start(&chain(vec![change("a").on_failure(OnFailure::Hold)]));
    run.end("a", End::Permanent);
    assert_eq!(
        (run.status("a"), run.state.awaiting()),
        (Status::Failed, vec![Awaiting::Operator(id("a"))])
    );
    assert!(matches!(run.command(reconcile("a", true), "bob"), Err(Rejected::WrongState { .. })));
    run.command(retry("a"), "bob").unwrap();
    assert_eq!((run.status("a"), run.state.generation(0)), (Status::Running, 1));
    assert_eq!(run.heal(5), Outcome::Succeeded);
}

#[test]
fn no_more_effects_are_under_way_than_allowed() {
    let mut plan = builder();
    plan.max_parallel(2);
    for n in 0..5 {
        plan.step(change(&format!("s{n}")).gate(Gate::Soak(Span::secs(1))));
    }
    let mut run = Run::start(&plan.build().unwrap().freeze());
    run.pass(Span::secs(1)); // five gates open at once; the driver checks the limit
    assert_eq!(run.state.in_flight(), 2);
    run.take_over();
    assert_eq!(run.state.in_flight(), 2);
    assert_eq!(run.heal(20), Outcome::Succeeded);
}

#[test]
fn a_failure_may_be_ignored() {
    let plan = chain(vec![change("a").on_failure(OnFailure::Continue), change("b")]);
    let mut run = Run::start(&plan);
    run.end("a", End::Permanent);
    run.end("b", End::Good);
    assert_eq!((run.state.outcome(), run.status("a")), (Some(&Outcome::Succeeded), Status::Failed));
}

#[test]
fn evidence_that_does_not_fit_is_no_success() {
    let mut run = Run::start(&plan(&one_service(Strategy::Recreate)).unwrap().freeze());
    run.end("artifacts/api/new", End::Garbage);
    assert_eq!(failures(&run), ["artifacts/api/new identity_mismatch"]);
    let mut run = Run::start(&chain(vec![Step::new(id("a"), Action::Sync), change("b")]));
    run.end("b", End::Garbage);
    assert_eq!(failures(&run), ["b wrong_evidence"]);
}

#[test]
fn a_wide_plan_costs_each_step_the_same() {
    let fan = |width: usize| -> FrozenPlan {
        let mut plan = builder();
        plan.max_parallel(u32::MAX);
        for n in 0..width {
            plan.step(
                Step::new(id(&format!("s{n}")), custom("x"))
                    .undo(release_core::plan::Undo::Nothing),
            );
        }
        plan.build().unwrap().freeze()
    };
    // Not a measurement: 30,000 steps finish in the time of a test only if none walks the plan.
    let plan = fan(30_000);
    let fact = release_core::run::Fact {
        at: super::support::world::START,
        event: Event::RunCreated {
            supersedes: None,
            policy: None,
            plan: plan.digest(),
            definition: None,
            requester: person("ann"),
        },
    };
    let mut state = release_core::run::RunState::create(id("r"), plan, &fact).unwrap();
    let now = super::support::world::START;
    let turn = release_core::run::Turn::new(now, 0, &release_core::port::PermitAll);
    let events = release_core::run::turn(&mut state, None, &turn, usize::MAX).unwrap();
    assert_eq!(events.len(), 30_000);
    for index in 0..30_000 {
        let outcome = EffectOutcome::Performed(Ok(Evidence::Done));
        let input = Input::Outcome { step: index, attempt: 1, outcome };
        release_core::run::turn(&mut state, Some(&input), &turn, 1_000).unwrap();
    }
    assert_eq!(state.outcome(), Some(&Outcome::Succeeded));
}

/// Found in review: the run waited for a person because of a message that was slow.
#[test]
fn nobody_is_asked_about_a_step_that_may_fail() {
    let mut run =
        Run::start(&chain(vec![change("a").on_failure(OnFailure::Continue), change("b")]));
    run.end("a", End::Unknown);
    assert!(run.pass_to_next(), "it is looked for");
    run.end("a", End::Unknown);
    assert_eq!((run.status("a"), run.status("b")), (Status::Failed, Status::Running));
}

/// Found in review: a plan that was read without `Plan::decode` was not checked, and could wait for
/// itself.
#[test]
fn a_plan_that_waits_for_itself_cannot_be_read() {
    let plan = chain(vec![change("a"), change("b")]);
    let json = String::from_utf8(plan.bytes().to_vec()).unwrap();
    let cyclic = json.replace(r#"{"from":0,"to":1}"#, r#"{"from":0,"to":1},{"from":1,"to":0}"#);
    assert_ne!(cyclic, json);
    let refused = serde_json::from_str::<release_core::plan::Plan>(&cyclic).unwrap_err();
    assert!(refused.to_string().contains("a → b → a"), "{refused}");
    assert!(release_core::plan::Plan::decode(cyclic.as_bytes()).is_err());
}

/// Found in review: an answer deeper than a journal can be read made its run unreadable.
#[test]
fn an_answer_that_no_journal_could_give_back_fails_its_step() {
    let deep = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    let large = serde_json::Value::String("x".repeat(1 << 20));
    for (output, sign) in [(deep, "32 levels"), (large, "65536 bytes")] {
        let mut run = Run::start(&chain(vec![change("a")]));
        let outcome = EffectOutcome::Performed(Ok(Evidence::Custom { output }));
        run.input(&Input::Outcome { step: 0, attempt: 1, outcome }).unwrap();
        assert_eq!(failures(&run), ["a oversized_answer"]);
        let text = format!("{:?}", run.last(|event| matches!(event, Event::StepFailed { .. })));
        assert!(text.contains(sign) && text.len() < 1_000, "{text}");
    }
}

#[test]
fn texts_of_providers_and_people_have_a_limit() {
    let mut run = Run::start(&chain(vec![change("a")]));
    let long = "y".repeat(100_000);
    let command = Directive::new(Command::Pause, person("bob"), &long);
    let refused = run.input(&Input::Directive(command)).unwrap_err();
    assert_eq!(refused, Rejected::LongReason { bytes: 100_000, limit: 2048 });
    let outcome = EffectOutcome::Performed(Err(EffectError::permanent(&long, &long)));
    run.input(&Input::Outcome { step: 0, attempt: 1, outcome }).unwrap();
    let stored =
        serde_json::to_string(run.last(|e| matches!(e, Event::StepFailed { .. })).unwrap());
    assert!(stored.unwrap().len() < 3_000);
}
