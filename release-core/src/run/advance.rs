//! What follows from the state and the time, without any input.

use super::admit::{Admit, admit};
use super::decide::{Turn, unknown};
use super::event::{Cause, Event, Mode, Outcome, StepRef};
use super::state::{Phase, RunState, Status, Wait};
use crate::model::OnCancel;
use crate::plan::{Action, Touched, rollback};
use crate::port::{EffectError, Evidence};

/// Decides what follows from the state and the time: due timers, steps that may start, the end of a
/// stop, of a rollback, of the run. Writes at most about `limit` events; none when there is nothing
/// to do but wait.
///
/// Call it after every event until it writes nothing. Deciding one completed step costs time in
/// proportion to its successors, whatever the size of the plan.
pub fn advance(state: &RunState, turn: &Turn<'_>, limit: usize, out: &mut Vec<Event>) {
    due(state, turn, limit, out);
    match &state.phase {
        Phase::Forward | Phase::RollingBack(_) => {
            if out.is_empty() && state.remaining == 0 {
                let outcome = if let Phase::RollingBack(cause) = &state.phase {
                    Outcome::RolledBack { cause: cause.clone() }
                } else {
                    Outcome::Succeeded
                };
                out.push(Event::RunFinished { outcome });
            } else if state.may_start() {
                start_ready(state, turn, limit, out);
            }
        }
        Phase::Stopping(cause) => {
            if out.is_empty() && state.in_flight == 0 && state.looking == 0 {
                out.push(settle(state, cause));
            }
        }
        Phase::Finished(_) => {}
    }
}

/// Timers whose time has come.
fn due(state: &RunState, turn: &Turn<'_>, limit: usize, out: &mut Vec<Event>) {
    let timers = state.timers.range(..=(turn.now, u32::MAX));
    for (_, index) in timers.filter(|(_, index)| state.is_actionable(*index)) {
        if out.len() >= limit {
            return;
        }
        let Some(active) = state.active.get(index) else { continue };
        let step = || StepRef::of(&state.plan, *index);
        match &active.wait {
            Wait::Outcome { .. } => {
                let timeout = state.plan.step(*index).timeout;
                let message = format!("no answer within {timeout}");
                out.push(unknown(state, *index, &EffectError::unknown("timeout", message), turn));
            }
            Wait::Look { .. } => {
                let attempt = active.attempt.saturating_add(1);
                out.push(Event::StepStarted { step: step(), attempt, mode: Mode::Look });
            }
            Wait::Bake { .. } => {
                let evidence = Evidence::Done;
                out.push(Event::StepSucceeded { step: step(), evidence, because: None });
            }
            Wait::Attempt { .. } | Wait::Blocked(_) => out.push(start(state, *index, turn)),
            Wait::Operator { .. } => {}
        }
    }
}

/// Steps whose predecessors are done: all that need no effect, and others while there is room.
fn start_ready(state: &RunState, turn: &Turn<'_>, limit: usize, out: &mut Vec<Event>) {
    let room = limit.saturating_sub(out.len());
    for index in state.ready_pure.iter().take(room) {
        out.push(start(state, *index, turn));
    }
    let mut free = state.plan.plan().max_parallel().saturating_sub(state.in_flight);
    for index in &state.ready {
        if free == 0 || out.len() >= limit {
            return;
        }
        out.push(start(state, *index, turn));
        free -= 1;
    }
}

/// Starts a step, or says why it may not start yet.
fn start(state: &RunState, index: u32, turn: &Turn<'_>) -> Event {
    let step = StepRef::of(&state.plan, index);
    match admit(state, index, turn) {
        Admit::Yes if state.plan.step(index).action == Action::Sync => {
            Event::StepSucceeded { step, evidence: Evidence::Done, because: None }
        }
        Admit::Yes => {
            let attempt = state.active(index).map_or(0, |active| active.attempt).saturating_add(1);
            Event::StepStarted { step, attempt, mode: Mode::Perform }
        }
        Admit::NotYet { reasons, wake } => Event::StepBlocked { step, reasons, wake },
        Admit::Never(error) => Event::StepFailed { step, error, evidence: None },
    }
}

/// Nothing is under way any more: go back, or end.
fn settle(state: &RunState, cause: &Cause) -> Event {
    let (trigger, wanted) = match cause {
        Cause::StepFailed { step, scope, .. } => {
            (scope.map(|scope| (step.index, scope)), scope.is_some())
        }
        Cause::Cancelled { .. } => (None, state.plan.plan().on_cancel() == OnCancel::RollBack),
    };
    let stopped = || match cause {
        Cause::StepFailed { .. } => Outcome::Failed { cause: cause.clone() },
        Cause::Cancelled { .. } => Outcome::Cancelled { cause: cause.clone() },
    };
    if !wanted || state.rollback_refused {
        return Event::RunFinished { outcome: stopped() };
    }
    match rollback(&state.plan, |index| touched(state, index), trigger) {
        // Nothing to put back.
        Ok(extension) if extension.undoes.is_empty() => Event::RunFinished { outcome: stopped() },
        Ok(extension) => {
            Event::RollbackStarted { cause: cause.clone(), extension: Box::new(extension) }
        }
        Err(blocked) => Event::RollbackBlocked {
            cause: cause.clone(),
            step: blocked.step,
            justification: blocked.justification,
        },
    }
}

/// Whether a step may have changed something: whatever was attempted.
pub(super) fn touched(state: &RunState, index: u32) -> Touched {
    let attempted = state.active(index).is_some_and(|active| active.attempt > 0);
    match state.status(index) {
        Some(Status::Running | Status::Succeeded | Status::Failed) => Touched::Yes,
        Some(Status::Waiting) if attempted => Touched::Yes,
        _ => Touched::No,
    }
}
