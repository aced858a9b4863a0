//! Answers what people tell a run: whether they may, whether it makes sense now, and what it leads to.

use super::admit;
use super::command::{Command, Directive, Rejected};
use super::decide::Turn;
use super::event::{Cause, Event, Outcome, StepRef};
use super::lease::leased_command;
use super::left;
use super::note::note;
use super::signal;
use super::state::{Phase, RunState, Wait};
use crate::bounds;
use crate::ids::{GateId, RunId, ServiceId, StepId};
use crate::plan::{Blocked, Part};
use crate::port::{CommandRequest, Decision, Inputs, Reason};

pub(super) fn command(
    state: &RunState,
    directive: &Directive,
    turn: &Turn<'_>,
    out: &mut Vec<Event>,
) -> Result<(), Rejected> {
    if let Some(outcome) = state.outcome() {
        return Err(Rejected::Finished { outcome: outcome.name() });
    }
    if let Some(denied) = denial(state, directive, turn)? {
        out.push(denied);
        return Ok(());
    }
    let Directive { command, by, reason } = directive;
    let name = command.name();
    let (by, reason) = (by.clone(), reason.clone());
    match command {
        Command::Pause => out.extend((!state.paused).then_some(Event::Paused { by, reason })),
        Command::Resume => out.extend(state.paused.then_some(Event::Resumed { by, reason })),
        Command::Cancel => out.push(cancel(state, directive)),
        Command::Supersede { run } => out.extend(supersede(state, run, directive)),
        Command::ForceAbandon | Command::ReleaseQuarantine | Command::Descope { .. }
            if reason.trim().is_empty() =>
        {
            return Err(Rejected::NoReason { command: name });
        }
        Command::Descope { service } => out.extend(descope(state, service, directive)?),
        Command::Signal { signal: told } => signal::signal(state, told, directive, out)?,
        Command::Note { topic, content } => out.push(note(state, topic, content, directive)?),
        Command::ReleaseQuarantine => out.push(Event::QuarantineReleased { by, reason }),
        Command::ForceAbandon if matches!(state.phase, Phase::Abandoning { .. }) => {}
        Command::ForceAbandon => out.push(Event::AbandonForced { by, reason }),
        Command::Withdraw { gate } => out.push(withdraw(state, gate, directive)?),
        Command::Approve { gate } => out.extend(approve(state, gate, directive, turn)?),
        Command::Reject { gate } => {
            // Whoever requested the run may reject what they may not approve.
            match admit::lacks_role(admit::known_gate(state, gate)?, &by) {
                None => out.push(Event::Rejected { gate: gate.clone(), by, reason }),
                Some(why) => out.push(denied(name, directive, vec![why], None)),
            }
        }
        Command::Retry { step } => {
            let step = operators(state, step, name, false)?;
            out.push(Event::RetryRequested { step, by, reason });
        }
        Command::EndBake { step } => out.push(end_bake(state, step, directive)?),
        Command::Reconcile { step, applied } => {
            let step = operators(state, step, name, true)?;
            out.push(Event::Reconciled { step, applied: *applied, by, reason });
        }
        Command::Migrate { .. } => {
            let help = "let `Engine::migrate` do it, which has the plan";
            return Err(Rejected::WrongPhase { command: name, phase: state.phase.name(), help });
        }
        Command::Abandon => {
            let stops = matches!(state.phase, Phase::Stopping(_));
            if stops || !state.needs_a_person() {
                let help = if stops && state.waits_for_a_word() {
                    "reconcile the steps whose outcome nobody knows, or force the abandon"
                } else {
                    "cancel it, or wait until only a person can move it on"
                };
                let phase = state.phase.name();
                return Err(Rejected::WrongPhase { command: name, phase, help });
            }
            out.push(Event::RunFinished { outcome: Outcome::Abandoned { by, reason } });
        }
    }
    Ok(())
}

/// Asks the policy about a directive: the record of its denial, if it does not permit it.
///
/// # Errors
/// [`Rejected::LongReason`], about which nobody is asked.
pub(crate) fn denial(
    state: &RunState,
    directive: &Directive,
    turn: &Turn<'_>,
) -> Result<Option<Event>, Rejected> {
    let Directive { command, by, reason } = directive;
    if reason.len() > bounds::MAX_TEXT {
        return Err(Rejected::LongReason { bytes: reason.len(), limit: bounds::MAX_TEXT });
    }
    let request = CommandRequest::of(state, by, command, turn.now);
    Ok(match leased_command(turn.policy.authorize(&request), &request) {
        Decision::Permit { .. } => None,
        Decision::Wait { reasons, inputs, .. } | Decision::Deny { reasons, inputs } => {
            Some(denied(command.name(), directive, reasons, inputs))
        }
    })
}

fn denied(
    name: &str,
    directive: &Directive,
    reasons: Vec<Reason>,
    inputs: Option<Box<Inputs>>,
) -> Event {
    Event::CommandDenied { command: name.into(), by: directive.by.clone(), reasons, inputs }
}

fn approve(
    state: &RunState,
    gate: &GateId,
    directive: &Directive,
    turn: &Turn<'_>,
) -> Result<Option<Event>, Rejected> {
    let Directive { command, by, reason } = directive;
    Ok(match admit::may_approve(state, gate, by, turn.now)? {
        admit::Approving::Counts => {
            let (gate, by, reason) = (gate.clone(), by.clone(), reason.clone());
            Some(Event::Approved { gate, by, reason })
        }
        admit::Approving::CountsAlready => None,
        admit::Approving::Refused(reasons) => {
            Some(denied(command.name(), directive, reasons, None))
        }
    })
}

/// Only who gave an approval takes it back.
fn withdraw(state: &RunState, gate: &GateId, directive: &Directive) -> Result<Event, Rejected> {
    admit::known_gate(state, gate)?;
    let (gate, by, reason) = (gate.clone(), directive.by.clone(), directive.reason.clone());
    if state.approvals_of(&gate).iter().any(|given| given.by.id == by.id) {
        return Ok(Event::ApprovalWithdrawn { gate, by, reason });
    }
    Err(Rejected::NothingToWithdraw { gate, by })
}

/// A rollback is not to be stopped, and a run that is stopping needs no telling.
fn cancel(state: &RunState, directive: &Directive) -> Event {
    let (by, reason) = (directive.by.clone(), directive.reason.clone());
    match state.phase {
        Phase::Forward => Event::CancelRequested { by, reason },
        Phase::Stopping(_)
        | Phase::RollingBack(_)
        | Phase::Abandoning { .. }
        | Phase::Finished(_) => {
            let name = directive.command.name();
            let text = format!("the run is {}, which a {name} does not stop", state.phase.name());
            let help = "waiting until it is over; only a forced abandon stops a rollback";
            denied(name, directive, vec![Reason::new("run/cancel", text, help)], None)
        }
    }
}

/// Decided once: the same newer run again is no event.
fn supersede(state: &RunState, run: &RunId, directive: &Directive) -> Option<Event> {
    let (by, reason) = (directive.by.clone(), directive.reason.clone());
    match &state.phase {
        Phase::Forward => Some(Event::Superseded { run: run.clone(), by, reason }),
        Phase::Stopping(Cause::Superseded { run: newer, .. })
        | Phase::RollingBack(Cause::Superseded { run: newer, .. })
            if newer == run =>
        {
            None
        }
        // It ends by itself, and the newer run can wait for that.
        Phase::Stopping(_)
        | Phase::RollingBack(_)
        | Phase::Abandoning { .. }
        | Phase::Finished(_) => Some(cancel(state, directive)),
    }
}

/// Decided once: the same member again is no event. Others that need its new version are in the way, and so
/// is what cannot be put back.
fn descope(
    state: &RunState,
    service: &ServiceId,
    directive: &Directive,
) -> Result<Option<Event>, Rejected> {
    let (command, phase) = (directive.command.name(), state.phase.name());
    let part = Part::Service { service: service.clone() };
    if state.left_behind().any(|left| *left == part) {
        return Ok(None);
    }
    if state.phase != Phase::Forward {
        let help = "nobody goes on without it; it goes where all others go";
        return Err(Rejected::WrongPhase { command, phase, help });
    }
    let plan = state.plan.plan();
    if !plan.steps().iter().any(|step| part.covers(step)) {
        let known = left::services(plan).into_iter().take(20).map(ToString::to_string);
        let known = known.collect::<Vec<_>>().join(", ");
        return Err(Rejected::UnknownService { service: service.clone(), known });
    }
    let dependents = left::dependents(state, service);
    if !dependents.is_empty() {
        return Err(Rejected::Needed { service: service.clone(), dependents });
    }
    if !left::is_anybody_else(state, &part) {
        return Err(Rejected::LastMember { service: service.clone() });
    }
    if let Err(Blocked { step, justification }) = state.take_back_plan(&part) {
        let service = service.clone();
        return Err(Rejected::NoWayBack { service, step, justification });
    }
    let (service, by, reason) = (service.clone(), directive.by.clone(), directive.reason.clone());
    Ok(Some(Event::Descoped { service, by, reason }))
}

/// The step, if it waits for a person because its outcome is `unknown`, or because it failed. What is
/// unknown is never retried under a new key: it is reconciled, and then performed again if need be.
fn operators(
    state: &RunState,
    id: &StepId,
    command: &'static str,
    unknown: bool,
) -> Result<StepRef, Rejected> {
    let index = state.plan.find(id).ok_or_else(|| Rejected::UnknownStep { step: id.clone() })?;
    let fits = state.active(index).is_some_and(
        |active| matches!(active.wait, Wait::Operator { unknown: is } if is == unknown),
    );
    if fits {
        return Ok(StepRef::of(&state.plan, index));
    }
    let status = state.status(index).map_or("unknown", super::state::Status::name).to_owned();
    Err(Rejected::WrongState { step: id.clone(), status, command })
}

/// Ends a bake, if the step bakes. What a run that stops will do next, nobody waits for any more.
fn end_bake(state: &RunState, id: &StepId, directive: &Directive) -> Result<Event, Rejected> {
    let command = directive.command.name();
    let index = state.plan.find(id).ok_or_else(|| Rejected::UnknownStep { step: id.clone() })?;
    if !state.active(index).is_some_and(|active| matches!(active.wait, Wait::Bake { .. })) {
        let status = state.status(index).map_or("unknown", super::state::Status::name).to_owned();
        return Err(Rejected::WrongState { step: id.clone(), status, command });
    }
    if matches!(state.phase, Phase::Stopping(_) | Phase::Abandoning { .. }) {
        let help = "what it bakes for is given up";
        return Err(Rejected::WrongPhase { command, phase: state.phase.name(), help });
    }
    let (by, reason) = (directive.by.clone(), directive.reason.clone());
    Ok(Event::BakeEnded { step: StepRef::of(&state.plan, index), by, reason })
}
