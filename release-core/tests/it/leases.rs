//! A permit is a lease: it holds for what it was given for, while it holds, and what it stood on is in the
//! journal.

use std::sync::{Arc, Mutex};

use release_core::engine::Engine;
use release_core::explain::{explain, why};
use release_core::model::Digest;
use release_core::plan::RetryPolicy;
use release_core::port::{
    Admission, Binding, CommandRequest, Decision, Grant, Inputs, PermitAll, Policy, Reason,
    ReasonKind,
};
use release_core::run::{Command, Event, WakeUp};
use release_core::time::Span;

use super::support::drive::{End, Run};
use super::support::engines::run_id;
use super::support::samples::{chain, change, person};
use super::support::world::{Act, START, TokioClock, World, memory};

/// Says what it was told to say.
#[derive(Debug, Clone)]
struct Says(Arc<Mutex<Decision>>);

impl Says {
    fn new(decision: Decision) -> Self {
        Self(Arc::new(Mutex::new(decision)))
    }
    fn now(&self, decision: Decision) {
        *self.0.lock().unwrap() = decision;
    }
}

impl Policy for Says {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        self.0.lock().unwrap().clone()
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        self.0.lock().unwrap().clone()
    }
}

fn by_leave(grant: Grant) -> Decision {
    Decision::Permit { grants: vec![grant], inputs: None }
}

fn made_from(text: &str) -> Inputs {
    Inputs { policy: Some(Digest::of(text.as_bytes())), ..Inputs::default() }
}

#[test]
fn a_leave_that_has_ended_or_was_given_for_something_else_is_none() {
    let plan = chain(vec![change("a")]);
    let here = Binding { plan: Some(plan.digest()), policy: None };
    let elsewhere = Binding { plan: Some(Digest::of(b"another plan")), policy: None };
    let other_rules = Binding { plan: None, policy: Some(Digest::of(b"other rules")) };
    let leave = || Grant::of("allow/normal");
    let table = [
        (leave(), None),
        (leave().bound_to(here), None),
        (leave().until(START.plus(Span::secs(1))), None),
        (leave().until(START), Some("its leave ended at 2026-11-23T14:00:00.000000Z")),
        (leave().bound_to(elsewhere), Some("its leave was given for another plan")),
        (
            leave().bound_to(other_rules),
            Some("its leave was given under other rules than those that the run pins"),
        ),
    ];
    for (grant, want) in table {
        let says = Says::new(by_leave(grant.clone()));
        let run = Run::start_with(&plan, Box::new(says.clone()), 100);
        let last = &run.facts.last().unwrap().event;
        let found = explain(&run.state, 0, run.now, &says);
        match (want, last) {
            (None, Event::StepStarted { basis: Some(basis), .. }) => {
                assert_eq!(basis.grants, [grant]);
            }
            (Some(text), Event::StepBlocked { reasons, wake: WakeUp::Policy, .. }) => {
                let told = reasons.iter().map(|r| (&*r.text, r.kind)).collect::<Vec<_>>();
                assert_eq!(told, [(text, ReasonKind::Missing)]);
                // Whoever asks why is told the same.
                assert!(found.unwrap().to_string().contains(text));
            }
            (_, other) => panic!("{grant:?}: {other:?}"),
        }
    }
}

/// Each attempt is admitted anew.
#[test]
fn a_pass_does_not_latch() {
    let mut step = change("a");
    step.retry = RetryPolicy { max_attempts: 3, ..RetryPolicy::default() };
    let says = Says::new(Decision::permit());
    let mut run = Run::start_with(&chain(vec![step]), Box::new(says.clone()), 100);
    run.end("a", End::Transient);
    let no = Reason::new("freeze/now", "frozen", "time");
    says.now(Decision::deny(vec![no.clone()]).from_inputs(made_from("head")));
    run.pass_to_next();
    let Event::StepBlocked { reasons, inputs, .. } = &run.facts.last().unwrap().event else {
        panic!("{:?}", run.facts.last())
    };
    assert_eq!((&reasons[..], inputs.as_deref()), (&[no][..], Some(&made_from("head"))));
    assert!(run.effects.is_empty());
}

#[test]
fn why_tells_what_a_permit_stood_on() {
    let until = START.plus(Span::secs(60));
    let grants = vec![Grant::of("allow/normal").until(until)];
    let says = Decision::Permit { grants, inputs: Some(Box::new(made_from("rules"))) };
    let plan = chain(vec![change("a")]);
    let run = Run::start_with(&plan, Box::new(Says::new(says)), 100);
    let text =
        why(&super::time_travel::history(&run), plan, run.facts.len() as u64).unwrap().to_string();
    let digest = Digest::of(b"rules");
    let want = format!(
        "- gates and policy let it start, by leave of allow/normal until {until} (policy {digest})"
    );
    assert!(text.ends_with(&want), "{text}");
}

/// What a policy says nothing of costs nothing, and records are as they always were.
#[test]
fn a_permit_that_says_nothing_leaves_no_trace() {
    let run = Run::start_with(&chain(vec![change("a")]), Box::new(PermitAll), 100);
    let stored = serde_json::to_string(&run.facts.last().unwrap().event).unwrap();
    assert_eq!(stored, r#"{"type":"step_started","step":{"n":0,"id":"a"}}"#);
    let Decision::Permit { grants, inputs: None } = Decision::permit() else { panic!() };
    assert_eq!(grants.capacity(), 0, "no allocation");
}

/// Pins its rules, permits by them, and denies commands.
#[derive(Debug)]
struct Pinning(Arc<Mutex<Vec<Option<Digest>>>>);

impl Policy for Pinning {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.0.lock().unwrap().push(request.pinned);
        Decision::permit().from_inputs(made_from("head"))
    }
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        self.0.lock().unwrap().push(request.pinned);
        let no = Reason::new("rbac", "nobody may", "nobody");
        Decision::deny(vec![no]).from_inputs(made_from("head"))
    }
    fn digest(&self) -> Option<Digest> {
        Some(Digest::of(b"at the start"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_pins_the_rules_of_its_beginning_and_every_decision_says_what_it_was_made_from() {
    let (journal, asked) = (memory(), Arc::default());
    let world = World::new(&journal, |_| Act::Hang);
    let engine = Engine::builder(Arc::clone(&journal), world)
        .policy(Pinning(Arc::clone(&asked)))
        .clock(TokioClock::new())
        .build();
    let plan = chain(vec![change("a")]);
    let handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    handle.reconsider().await.unwrap();
    let by = release_core::run::Directive::new(Command::Pause, person("bob"), "lunch");
    handle.send(by).await.unwrap_err();
    let (history, _) = engine.load(&run_id()).await.unwrap();
    let pinned = Some(Digest::of(b"at the start"));
    let made = Some(Box::new(made_from("head")));
    let (mut begun, mut started, mut denied) = (0, 0, 0);
    for fact in history.facts() {
        match &fact.event {
            Event::RunCreated { policy, .. } => {
                assert_eq!(*policy, pinned);
                begun += 1;
            }
            Event::StepStarted { basis: Some(basis), .. } => {
                assert_eq!(basis.inputs, made);
                started += 1;
            }
            Event::CommandDenied { inputs, .. } => {
                assert_eq!(*inputs, made);
                denied += 1;
            }
            _ => {}
        }
    }
    assert_eq!((begun, started, denied), (1, 1, 1));
    let asked = asked.lock().unwrap().clone();
    assert!(asked.len() >= 2 && asked.iter().all(|given| *given == pinned), "{asked:?}");
    assert_eq!(handle.state().await.unwrap().policy(), pinned);
}
