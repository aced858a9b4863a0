//! Changes of which nobody knows whether they took effect, and only a person can tell: whatever stops the run
//! or leaves a part of it behind meanwhile, they are brought to a known state before anything goes back.

use release_core::model::OnCancel;
use release_core::plan::EdgeKind;
use release_core::run::{Awaiting, Command, Event, Outcome, Phase, Rejected, Status};

use super::descoped::train;
use super::support::drive::{End, Run};
use super::support::samples::{builder, change, id};
use super::support::words::{back, reconcile};

/// The step's outcome stays unknown until a person is asked.
fn park(run: &mut Run, name: &str) {
    let step = run.state.plan().find(&id(name)).unwrap();
    let parked = |run: &Run| {
        run.last(|e| matches!(e, Event::NeedsReconcile { step, .. } if step.id.as_str() == name))
            .is_some()
    };
    while !parked(run) {
        if run.effects.contains_key(&step) {
            run.outcome(step, End::Unknown);
        } else {
            assert!(run.pass_to_next(), "{name} is looked for again");
        }
    }
}

/// `parked` waits for a person, beside `other`, which is under way and whose failure rolls back.
fn parked(on_cancel: OnCancel) -> Run {
    let mut plan = builder();
    plan.on_cancel(on_cancel);
    let parked = plan.step(change("parked"));
    let behind = plan.step(change("behind"));
    plan.edge(parked, behind, EdgeKind::Order);
    plan.step(back(change("other")));
    let mut run = Run::start(&plan.build().unwrap().freeze());
    park(&mut run, "parked");
    run
}

/// As the plan says of a stop; what was parked is put back with the rest.
fn ended(run: &Run, on_cancel: OnCancel, outcome: &Outcome, context: &str) {
    if on_cancel == OnCancel::Leave {
        assert!(matches!(outcome, Outcome::Cancelled { .. }), "{context}");
        return;
    }
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{context}: {outcome}");
    let undoes = &run.state.plan().rollback().unwrap().1.undoes;
    let at = run.state.plan().find(&id("parked")).unwrap();
    assert!(undoes.contains(&at), "{context}: {undoes:?}");
}

#[test]
fn f25_a_stop_waits_for_a_person_where_only_they_can_tell() {
    for (name, on_cancel, fails) in [
        ("cancel", OnCancel::RollBack, false),
        ("cancel that leaves", OnCancel::Leave, false),
        ("failure", OnCancel::RollBack, true),
    ] {
        for applied in [true, false] {
            let context = format!("{name}, applied: {applied}");
            let mut run = parked(on_cancel);
            if fails {
                run.end("other", End::Permanent);
            } else {
                run.command(Command::Cancel, "bob").unwrap();
                run.end("other", End::Good);
            }
            let stops = matches!(run.state.phase(), Phase::Stopping(_));
            assert!(stops, "{context}: {:?}", run.state.phase());
            assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("parked"))], "{context}");
            assert!(run.state.needs_a_person(), "{context}");
            // Also an engine that takes the run over waits, and that is no attempt in vain.
            run.take_over();
            assert!(matches!(run.state.phase(), Phase::Stopping(_)), "{context}");
            assert_eq!(run.state.recoveries(), 0, "{context}");
            let help = run.command(Command::Abandon, "bob").unwrap_err();
            let told =
                matches!(help, Rejected::WrongPhase { help, .. } if help.contains("reconcile"));
            assert!(told, "{context}: {help}");
            run.command(reconcile("parked", applied), "bob").unwrap();
            assert_ne!(run.status("behind"), Status::Running, "{context}");
            let outcome = run.heal(40);
            ended(&run, on_cancel, &outcome, &context);
            let at = |is: fn(&Event) -> bool| run.facts.iter().position(|fact| is(&fact.event));
            let said = at(|e| matches!(e, Event::Reconciled { .. })).unwrap();
            let ends =
                |e: &Event| matches!(e, Event::RollbackStarted { .. } | Event::RunFinished { .. });
            assert!(at(ends).unwrap() > said, "{context}");
        }
    }
}

#[test]
fn f25_only_a_forced_abandon_passes_over_what_nobody_knows() {
    let mut run = parked(OnCancel::RollBack);
    run.command(Command::Cancel, "bob").unwrap();
    run.end("other", End::Good);
    run.command(Command::ForceAbandon, "bob").unwrap();
    let outcome = run.heal(10);
    assert!(matches!(outcome, Outcome::Abandoned { .. }), "{outcome}");
}

#[test]
fn f49_a_member_is_taken_back_once_a_person_said_what_became_of_its_change() {
    for applied in [true, false] {
        let mut run = Run::start(&release_core::plan::plan(&train()).unwrap().freeze());
        let first = |step: &release_core::plan::Step| {
            step.id.as_str().starts_with("prod/eu/web/") && step.action.mutates()
        };
        let steps = run.state.plan().plan().steps();
        let place = steps.iter().position(first).unwrap();
        let (step, name) = (u32::try_from(place).unwrap(), steps[place].id.to_string());
        while !run.effects.contains_key(&step) {
            run.help();
        }
        park(&mut run, &name);
        run.command(Command::Descope { service: id("web") }, "bob").unwrap();
        while let Some(other) = run.effects.keys().next().copied() {
            run.outcome(other, End::Good);
        }
        let taken = |run: &Run| run.last(|e| matches!(e, Event::TakeBackStarted { .. })).is_some();
        assert!(!taken(&run), "applied: {applied}");
        assert_ne!(run.status(&name), Status::Cancelled, "applied: {applied}");
        run.command(reconcile(&name, applied), "bob").unwrap();
        assert!(taken(&run), "applied: {applied}");
        let outcome = run.heal(400);
        assert!(matches!(outcome, Outcome::SucceededWithout { .. }), "{outcome}");
        assert_eq!(run.status(&name), Status::Compensated, "applied: {applied}");
    }
}
