//! What follows from the state and the time, without any input.

use super::admit::{Admit, admit};
use super::decide::{Turn, unknown};
use super::event::{Cause, Event, Mode, Outcome, StepRef};
use super::signal;
use super::state::{Active, Phase, RunState, Status, Timer, Wait};
use crate::model::OnCancel;
use crate::plan::{Action, OnFailure, Reach, Touched, rollback};
use crate::port::{EffectError, Evidence};

/// Decides what follows from the state and the time: due timers, steps that may start, the end of a
/// stop, of a rollback, of the run. Writes at most about `limit` events; none when there is nothing
/// to do but wait.
///
/// Call it after every event until it writes nothing. Deciding one completed step costs time in
/// proportion to its successors, whatever the size of the plan.
pub fn advance(state: &RunState, turn: &Turn<'_>, limit: usize, out: &mut Vec<Event>) {
    let mut free = state.free();
    due(state, turn, limit, &mut free, out);
    if stops(out) {
        return;
    }
    match &state.phase {
        Phase::Forward | Phase::RollingBack(_) => {
            if state.phase == Phase::Forward && out.is_empty() && !state.left.is_empty() {
                out.extend(state.next_to_take_back());
                if !out.is_empty() {
                    return;
                }
            }
            let remaining = state.remaining;
            #[cfg(planted_bugs)]
            let remaining = remaining
                .saturating_sub(usize::from(crate::planted::is(crate::planted::Bug::FinishEarly)));
            if out.is_empty()
                && remaining == 0
                && state.phase == Phase::Forward
                && let Some(cause) = &state.halted
            {
                out.push(settle(state, cause));
            } else if out.is_empty() && remaining == 0 {
                let outcome = if let Phase::RollingBack(cause) = &state.phase {
                    went_back(state, cause)
                } else if state.left.is_empty() {
                    Outcome::Succeeded
                } else {
                    Outcome::SucceededWithout { left: state.left_behind().cloned().collect() }
                };
                out.push(Event::RunFinished { outcome });
            } else if state.may_start() || state.only_takes_back() {
                #[cfg(planted_bugs)]
                if state.paused && crate::planted::is(crate::planted::Bug::PauseRollback) {
                    return;
                }
                start_ready(state, turn, limit, free, out);
                if out.is_empty() {
                    out.extend(stuck(state));
                }
            }
        }
        Phase::Abandoning { by, reason } => {
            if out.is_empty() && state.remaining == 0 {
                let (by, reason) = (by.clone(), reason.clone());
                out.push(Event::RunFinished { outcome: Outcome::Abandoned { by, reason } });
            } else {
                start_ready(state, turn, limit, free, out);
            }
        }
        Phase::Stopping(cause) => {
            if out.is_empty() && !changes_under_way(state) {
                out.push(settle(state, cause));
            }
        }
        Phase::Finished(_) => {}
    }
}

/// Whether something that a rollback has to put back is under way, or may be: also where only a person can
/// tell. What only reads is not waited for.
fn changes_under_way(state: &RunState) -> bool {
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::RollBackTooSoon) {
        return false;
    }
    let open = |active: &Active| matches!(active.wait, Wait::Outcome { .. } | Wait::Look { .. });
    let under_way = |index: u32, active: &Active| {
        open(active) && state.plan.step(index).action.mutates() || state.is_in_doubt(index)
    };
    state.active.in_order().into_iter().any(|(index, active)| under_way(index, active))
}

/// Whether the last event may make the run stop, so that nothing may start behind it unseen.
pub(super) fn stops(out: &[Event]) -> bool {
    matches!(out.last(), Some(Event::StepFailed { .. }))
}

/// A rollback that only a person can move on says so, once. What is kept for a while before it is removed does not move it on.
fn stuck(state: &RunState) -> Option<Event> {
    let goes_on = !matches!(state.phase, Phase::RollingBack(_))
        || state.stuck
        || state.in_flight > 0
        || state.wakes_besides_bakes();
    if goes_on {
        return None;
    }
    let waiting = state.active.in_order().into_iter();
    let steps: Vec<_> = waiting
        .filter(|(_, active)| matches!(active.wait, Wait::Operator { .. }))
        .map(|(index, _)| StepRef::of(&state.plan, index))
        .collect();
    (!steps.is_empty()).then_some(Event::RollbackStuck { steps })
}

/// Timers whose time has come. What takes one of the `free` places counts it.
fn due(state: &RunState, turn: &Turn<'_>, limit: usize, free: &mut u32, out: &mut Vec<Event>) {
    for timer in Timer::ALL.into_iter().filter(|timer| !state.timers.none_of(*timer)) {
        let takes_a_place = matches!(timer, Timer::Look | Timer::Start | Timer::Measure);
        for (_, index) in state.timers_of(timer, turn.now) {
            if out.len() >= limit || stops(out) || (takes_a_place && *free == 0) {
                break;
            }
            let Some(active) = state.active.get(index) else { continue };
            let event = at_its_time(state, index, active, turn);
            if takes_a_place && matches!(event, Event::StepStarted { .. }) {
                *free -= 1;
            }
            out.push(event);
        }
    }
}

/// What follows for a step whose instant has come.
fn at_its_time(state: &RunState, index: u32, active: &Active, turn: &Turn<'_>) -> Event {
    let step = || StepRef::of(&state.plan, index);
    match &active.wait {
        Wait::Outcome { .. } => {
            let timeout = state.plan.step(index).timeout;
            let message = format!("no answer within {timeout}");
            unknown(state, index, &EffectError::unknown("timeout", message), turn)
        }
        Wait::Look { .. } => {
            let attempt = active.attempt.saturating_add(1);
            Event::StepStarted { step: step(), attempt, mode: Mode::Look, basis: None }
        }
        Wait::Bake { .. } => Event::StepSucceeded {
            step: step(),
            evidence: Evidence::Done,
            because: None,
            basis: None,
            finding: None,
        },
        Wait::Attempt { .. }
        | Wait::Measurement { .. }
        | Wait::Blocked(_)
        | Wait::Operator { .. } => start(state, index, turn),
    }
}

/// Steps whose predecessors are done: all that need no effect, and others while there is room.
fn start_ready(state: &RunState, turn: &Turn<'_>, limit: usize, free: u32, out: &mut Vec<Event>) {
    let lets = |index: &&u32| state.left.is_empty() || state.lets_start(**index);
    let effects = state.ready.iter().filter(lets).take(free as usize);
    for index in state.ready_pure.iter().filter(lets).chain(effects) {
        if out.len() >= limit || stops(out) {
            return;
        }
        out.push(start(state, *index, turn));
    }
}

/// Starts a step, or says why it may not start yet.
pub(super) fn start(state: &RunState, index: u32, turn: &Turn<'_>) -> Event {
    let step = StepRef::of(&state.plan, index);
    match admit(state, index, turn) {
        Admit::Yes { basis } if state.plan.step(index).action == Action::Sync => {
            Event::StepSucceeded {
                step,
                evidence: Evidence::Done,
                because: None,
                basis,
                finding: None,
            }
        }
        Admit::Yes { basis } => {
            let attempt = state.active(index).map_or(0, |active| active.attempt).saturating_add(1);
            Event::StepStarted { step, attempt, mode: Mode::Perform, basis }
        }
        Admit::NotYet { reasons, wake, inputs } => {
            Event::StepBlocked { step, reasons, wake, inputs }
        }
        Admit::Never { error, back } => {
            let (evidence, hold, finding) = (None, false, None);
            Event::StepFailed { step, error, evidence, back, hold, finding }
        }
    }
}

/// Nothing is under way any more: go back, or end.
fn settle(state: &RunState, cause: &Cause) -> Event {
    let reach = match cause {
        Cause::StepFailed { step, scope, .. } => {
            scope.map(|scope| Reach::of(state.plan.plan(), state.plan.step(step.index), scope))
        }
        Cause::Cancelled { .. } => {
            (state.plan.plan().on_cancel() == OnCancel::RollBack).then_some(Reach::Release)
        }
        Cause::Signalled { signal, scope, .. } => {
            Some(signal::reach(state.plan.plan(), signal, *scope))
        }
        // A newer run starts from versions that were verified together.
        Cause::Superseded { .. } => Some(Reach::Release),
    };
    #[cfg(planted_bugs)]
    let reach = reach.filter(|_| {
        use crate::planted::{Bug, is};
        let failed = matches!(cause, Cause::StepFailed { .. });
        !is(if failed { Bug::FailureLeaves } else { Bug::CancelLeaves })
    });
    // A cancel that found no way back ends; a failure finds the same again, and its step waits again.
    let ends = matches!(cause, Cause::Cancelled { .. } | Cause::Superseded { .. });
    let refused = state.rollback_refused && ends;
    let Some(reach) = reach.filter(|_| !refused) else {
        return Event::RunFinished { outcome: stopped(cause) };
    };
    let back = rollback(&state.plan, |index| touched(state, index), &reach);
    match back.map(|extension| extension.with_recorded(|step| state.flag_before(step))) {
        // Nothing to put back.
        Ok(extension) if extension.steps.is_empty() => {
            Event::RunFinished { outcome: went_back(state, cause) }
        }
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

/// How a run ends that stopped and is where it was to go back to. Where nothing had to be taken back it was not rolled
/// back, also if it tidied up elsewhere; unless the regions that failed have been taken back already, and no others begin.
fn went_back(state: &RunState, cause: &Cause) -> Outcome {
    let is_undone = |index: &u32| !state.plan.step(*index).undo.compensations().is_empty();
    let undone = state.plan.rollback().is_some_and(|(_, back)| back.undoes.iter().any(is_undone));
    if undone || state.halted.as_ref() == Some(cause) {
        Outcome::RolledBack { cause: cause.clone() }
    } else {
        stopped(cause)
    }
}

fn stopped(cause: &Cause) -> Outcome {
    match cause {
        Cause::StepFailed { .. } | Cause::Signalled { .. } => {
            Outcome::Failed { cause: cause.clone() }
        }
        Cause::Cancelled { .. } | Cause::Superseded { .. } => {
            Outcome::Cancelled { cause: cause.clone() }
        }
    }
}

/// Whether a step may have changed something: whatever was attempted.
pub(super) fn touched(state: &RunState, index: u32) -> Touched {
    let attempted = state.active(index).is_some_and(|active| active.attempt > 0);
    match state.status(index) {
        Some(Status::Succeeded) if state.is_half_taken_back(index) => Touched::Yes,
        Some(Status::Succeeded) => Touched::Done,
        Some(Status::Running) => Touched::Yes,
        Some(Status::Waiting) if attempted => Touched::Yes,
        // Whoever waited for it goes on.
        Some(Status::Failed)
            if !attempted && state.plan.step(index).on_failure == OnFailure::Continue =>
        {
            Touched::Done
        }
        // A step whose gate was rejected failed before its first attempt.
        Some(Status::Failed | Status::Cancelled)
            if state.spent.get(&index).is_some_and(|n| *n > 0) =>
        {
            Touched::Yes
        }
        _ if state.is_left(index) && !state.is_half_taken_back(index) => Touched::Left,
        _ => Touched::No,
    }
}
