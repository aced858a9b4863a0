//! Courses of runs: what a step waits for before it starts, and who may let it.

use release_core::model::{Gate, Span};
use release_core::run::{Awaiting, Command, Event, Status, WakeUp};

use super::support::drive::{End, Run};
use super::support::samples::{approval, chain, change, id, side_by_side};
use super::support::words::{approve, failures};

#[test]
fn a_pause_starts_nothing_and_a_resume_goes_on() {
    let mut run = Run::start(&chain(vec![change("a"), change("b")]));
    run.command(Command::Pause, "bob").unwrap();
    run.end("a", End::Good);
    assert_eq!((run.status("b"), run.state.awaiting()), (Status::Ready, vec![Awaiting::Resume]));
    assert!(run.state.needs_a_person());
    run.command(Command::Resume, "bob").unwrap();
    assert_eq!(run.status("b"), Status::Running);
    assert_eq!(run.command(Command::Resume, "bob").unwrap(), [], "twice is once");
}

#[test]
fn approvals_need_a_quorum_of_others_than_the_requester() {
    let Gate::Approval(mut two) = approval("go") else { panic!("an approval") };
    two.quorum = 2;
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(two))]));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
    let denied = run.command(approve("go"), "ann").unwrap();
    assert!(matches!(&denied[..], [Event::CommandDenied { .. }]), "{denied:?}");
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.command(approve("go"), "bob").unwrap(), [], "one person is one approval");
    assert_eq!(run.status("a"), Status::Waiting);
    run.command(approve("go"), "eve").unwrap();
    assert_eq!(run.status("a"), Status::Running);
    let unknown = run.command(approve("no-such-gate"), "eve").unwrap_err();
    assert_eq!(unknown.to_string(), "the plan has no gate `no-such-gate`; name one of: go");
}

#[test]
fn an_approval_needs_one_of_the_roles() {
    let Gate::Approval(mut cab) = approval("cab") else { panic!("an approval") };
    cab.roles = vec![id("cab"), id("sre")];
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(cab))]));
    assert!(matches!(run.command(approve("cab"), "bob").unwrap()[0], Event::CommandDenied { .. }));
    let by = super::support::samples::person("bob").with_role(id("sre"));
    let directive = release_core::run::Directive::new(approve("cab"), by, "fine");
    run.input(&release_core::run::Input::Directive(directive)).unwrap();
    assert_eq!(run.status("a"), Status::Running);
}

#[test]
fn a_rejected_gate_fails_its_step_at_once_whichever_gate_it_is() {
    for rejected in ["first", "second"] {
        let step = change("a").gate(approval("first")).gate(approval("second"));
        let mut run = Run::start(&chain(vec![step]));
        run.command(Command::Reject { gate: id(rejected) }, "bob").unwrap();
        assert_eq!(failures(&run), ["a rejected"], "gate {rejected}");
    }
}

#[test]
fn reasons_are_told_anew_with_every_approval() {
    let step = change("a").gate(approval("first")).gate(approval("second"));
    let mut run = Run::start(&chain(vec![step]));
    let events = run.command(approve("second"), "bob").unwrap();
    let Event::StepBlocked { reasons, wake, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((reasons.len(), wake), (1, &WakeUp::Approval { gate: id("first") }));
}

#[test]
fn time_gates_hold_until_their_instant() {
    let soak = change("a").gate(Gate::Soak(Span::secs(30)));
    let not_before = change("b").gate(Gate::NotBefore(id("2026-11-23T14:01:00Z")));
    let mut run = Run::start(&side_by_side(vec![soak, not_before]));
    run.pass(Span::secs(29));
    assert_eq!((run.status("a"), run.status("b")), (Status::Waiting, Status::Waiting));
    run.pass(Span::secs(1));
    assert_eq!((run.status("a"), run.status("b")), (Status::Running, Status::Waiting));
    run.pass(Span::secs(30));
    assert_eq!(run.status("b"), Status::Running);
}

#[test]
fn a_gate_is_rejected_by_those_who_have_its_role() {
    let mut gate = release_core::model::Approval::new(id("go"));
    gate.roles = vec![id("cab")];
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(gate))]));
    let refused = run.command(Command::Reject { gate: id("go") }, "bob");
    assert!(refused.is_ok() && run.last(|e| matches!(e, Event::CommandDenied { .. })).is_some());
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
}
