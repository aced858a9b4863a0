//! What the journal can witness of actions that were repeated.

use super::RunReport;
use crate::journal::{Damage, History, Sealer};
use crate::model::Principal;
use crate::plan::{Action, FrozenPlan, Plan, Step, Undo};
use crate::port::{EffectError, Evidence};
use crate::run::{Event, Mode, StepRef};
use crate::time::Timestamp;

fn plan() -> FrozenPlan {
    let action = Action::Custom { capability: "noop".into(), input: serde_json::Value::Null };
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    plan.step(Step::new("a".parse().unwrap(), action).undo(undo));
    plan.build().unwrap().freeze()
}

fn step() -> StepRef {
    StepRef { index: 0, id: "a".parse().unwrap() }
}

fn started(attempt: u32, mode: Mode) -> Event {
    Event::StepStarted { step: step(), attempt, mode, basis: None }
}

fn taken_over() -> Event {
    Event::TakenOver { engine: "heir".into() }
}

fn unknown() -> Event {
    let (error, at) = (EffectError::unknown("timeout", "no answer"), Timestamp::default());
    Event::OutcomeUnknown { step: step(), error, at }
}

fn retried() -> Event {
    let (error, at) = (EffectError::transient("busy", "later"), Timestamp::default());
    Event::StepRetried { step: step(), error, at }
}

fn succeeded() -> Event {
    Event::StepSucceeded {
        step: step(),
        evidence: Evidence::Done,
        because: None,
        basis: None,
        finding: None,
    }
}

/// The report of a sealed and verified run with these events after its creation.
fn report(events: &[Event]) -> Result<RunReport, Damage> {
    let (plan, run) = (plan(), "run".parse().unwrap());
    let requester = Principal::human("ada".parse().unwrap());
    let created = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        supersedes: None,
        policy: None,
        requester,
    };
    let mut sealer = Sealer::new(&run);
    let mut records = vec![sealer.seal(Timestamp::default(), &created)];
    records.extend(events.iter().map(|event| sealer.seal(Timestamp::default(), event)));
    RunReport::new(&History::verify(&run, &records).unwrap(), plan)
}

#[track_caller]
fn check(events: &[Event], repeats: u32) {
    let report = report(events).unwrap();
    let counts: Vec<_> = report.repeated().iter().map(|step| step.blind_repeats).collect();
    assert_eq!(counts.iter().sum::<u32>(), repeats, "{events:?}");
}

#[test]
fn acting_again_blindly_is_counted_and_acting_on_knowledge_is_not() {
    let (act, look) = (Mode::Perform, Mode::Look);
    // No engine of ours does this, but folding permits it, and the report says so.
    check(&[started(1, act), taken_over(), started(2, act)], 1);
    check(&[started(1, act), unknown(), started(2, act), succeeded()], 1);
    check(&[started(1, act), taken_over(), started(2, act), taken_over(), started(3, act)], 2);
    // A look that did not answer does not make it better.
    check(&[started(1, act), unknown(), started(2, look), unknown(), started(3, act)], 1);
    // What the engine does: a failure without effect, a look, a person's word.
    check(&[started(1, act), retried(), started(2, act), succeeded()], 0);
    check(&[started(1, act), taken_over(), started(2, look), retried(), started(3, act)], 0);
    check(&[started(1, act), unknown(), started(2, look), succeeded()], 0);
    let error = EffectError::unknown("timeout", "no answer");
    let by = Principal::human("ada".parse().unwrap());
    let said = Event::Reconciled { step: step(), applied: false, by, reason: "saw".into() };
    let asked = Event::NeedsReconcile { step: step(), error };
    check(&[started(1, act), asked, said, started(2, act)], 0);
}

#[test]
fn acting_after_a_success_cannot_even_be_folded() {
    let (act, done) = (started(1, Mode::Perform), succeeded());
    assert!(report(&[act.clone(), done.clone(), started(2, Mode::Perform)]).is_err());
    assert!(report(&[act, done.clone(), done]).is_err());
}
