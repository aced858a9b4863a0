//! Gates are no latches: approvals that are taken back or have ended do not count at the next admission, nor do
//! they for effects behind a gate that was passed.

use release_core::explain::explain;
use release_core::model::{Approval, Gate, Span};
use release_core::plan::{Action, OnFailure, Plan, PlanError, Step};
use release_core::port::PermitAll;
use release_core::run::{Awaiting, Command, Event, Rejected, Status};

use super::support::drive::Run;
use super::support::samples::{approval, chain, change, id};
use super::support::words::{approve, failures};

fn withdraw(gate: &str) -> Command {
    Command::Withdraw { gate: id(gate) }
}

/// A step that no effect has, behind the gate, and then `a`, not before a minute has passed.
fn staged(gate: Gate) -> Run {
    let enter = Step::new(id("enter"), Action::Sync).gate(gate);
    let later = change("a").gate(Gate::Soak(Span::secs(60))).on_failure(OnFailure::Hold);
    Run::start(&chain(vec![enter, later]))
}

fn for_a_while(id: &str) -> Gate {
    let Gate::Approval(gate) = approval(id) else { panic!("an approval") };
    Gate::Approval(Approval { valid_for: Some(Span::secs(30)), ..gate })
}

fn told(run: &Run, index: u32) -> String {
    explain(&run.state, index, run.now, &PermitAll).unwrap().to_string()
}

#[test]
fn an_approval_that_is_taken_back_does_not_count_at_the_next_admission() {
    let step = change("a").gate(approval("go")).gate(Gate::Soak(Span::secs(60)));
    let mut run = Run::start(&chain(vec![step]));
    run.command(approve("go"), "bob").unwrap();
    let others = run.command(withdraw("go"), "eve").unwrap_err();
    assert!(matches!(others, Rejected::NothingToWithdraw { .. }), "{others}");
    let events = run.command(withdraw("go"), "bob").unwrap();
    assert!(matches!(&events[0], Event::ApprovalWithdrawn { .. }), "{events:?}");
    run.pass(Span::secs(60));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.status("a"), Status::Running);
    let unknown = run.command(withdraw("no-such-gate"), "bob").unwrap_err();
    assert!(matches!(unknown, Rejected::UnknownGate { .. }), "{unknown}");
}

#[test]
fn an_approval_ends_when_the_gate_says_so_and_can_be_given_anew() {
    let step = change("a").gate(for_a_while("go")).gate(Gate::Soak(Span::secs(60)));
    let mut run = Run::start(&chain(vec![step]));
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.command(approve("go"), "bob").unwrap(), [], "it holds");
    run.pass(Span::secs(60));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
    let reasons = &run.state.active(0).unwrap().reasons;
    assert!(reasons[0].text.contains("ended at 2026-11-23T14:00:30"), "{reasons:?}");
    assert!(told(&run, 0).contains("each of which holds for 30"), "{}", told(&run, 0));
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.status("a"), Status::Running);
}

#[test]
fn it_is_told_until_when_the_approvals_hold_that_there_are() {
    let Gate::Approval(gate) = for_a_while("go") else { panic!("an approval") };
    let gate = Gate::Approval(Approval { quorum: 2, ..gate });
    let mut run = Run::start(&chain(vec![change("a").gate(gate)]));
    run.command(approve("go"), "bob").unwrap();
    let told = told(&run, 0);
    assert!(told.contains("what is there holds until 2026-11-23T14:00:30"), "{told}");
}

#[test]
fn effects_behind_a_gate_that_was_passed_need_its_approvals_too() {
    let mut run = staged(approval("go"));
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.status("enter"), Status::Succeeded);
    run.command(withdraw("go"), "bob").unwrap();
    run.pass(Span::secs(60));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
    assert!(told(&run, 1).contains("`go`"), "{}", told(&run, 1));
    run.command(approve("go"), "eve").unwrap();
    assert_eq!(run.status("a"), Status::Running);

    let mut run = staged(for_a_while("go"));
    run.command(approve("go"), "bob").unwrap();
    run.pass(Span::secs(60));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);

    let mut run = staged(approval("go"));
    run.command(approve("go"), "bob").unwrap();
    run.command(Command::Reject { gate: id("go") }, "eve").unwrap();
    run.pass(Span::secs(60));
    assert_eq!(failures(&run), ["a rejected"]);
    // Who tries again asks again.
    run.command(Command::Retry { step: id("a") }, "bob").unwrap();
    run.pass(Span::secs(60));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
    run.command(approve("go"), "eve").unwrap();
    assert_eq!(run.status("a"), Status::Running);
}

#[test]
fn a_gate_whose_approvals_hold_for_no_time_is_refused() {
    let Gate::Approval(gate) = approval("go") else { panic!("an approval") };
    let gate = Gate::Approval(Approval { valid_for: Some(Span::ZERO), ..gate });
    let mut plan = Plan::builder(id("t"), id("r"));
    plan.step(change("a").gate(gate));
    let errors = plan.build().unwrap_err();
    assert!(errors.0.iter().any(|e| matches!(e, PlanError::NoValidity { .. })), "{errors}");
}
