//! The rules of the shell, as pure functions: what it does with effects once an event is durable, and
//! what it does when its journal fails. The driver and the simulator of `release-testkit` share them, so
//! that what is simulated is what runs.

use std::collections::BTreeSet;

use crate::journal::{AppendError, History, Sealer};
use crate::model::Digest;
use crate::plan::FrozenPlan;
use crate::run::{Event, Fact, Input, Mode, RunState, SignalAnswer, Wait};
use crate::time::{Span, Timestamp};

/// How often a policy is asked again that holds a step without naming an instant.
pub const ASK_AGAIN: Span = Span::secs(30);
/// The pause after the journal's first failure; it doubles with each that follows.
const FIRST: Span = Span::millis(50);
/// The longest pause: a run notices that late at most that its journal works again.
const LONGEST: Span = Span::secs(5);

/// What becomes of effects once an event is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEffects {
    /// Nothing.
    Keep,
    /// This one starts.
    Launch {
        /// Its step.
        step: u32,
        /// Which attempt.
        attempt: u32,
        /// Whether it acts or only looks.
        mode: Mode,
    },
    /// Those that go forward are told to leave off, once the run no longer does.
    LeaveOff,
    /// Nobody waits for this one any more.
    DropOne {
        /// Its step.
        step: u32,
    },
    /// Nobody waits for any of them any more.
    DropAll,
}

/// What becomes of effects once `event` is durable, in a run of `plan`.
pub fn on_effects(event: &Event, plan: &FrozenPlan) -> OnEffects {
    #[cfg(planted_bugs)]
    if let Event::StepStarted { step, .. } = event
        && crate::planted::is(crate::planted::Bug::NeverCall)
        && step.index % 5 == 0
    {
        return OnEffects::Keep;
    }
    match event {
        Event::StepStarted { step, attempt, mode, .. }
            if plan.get(step.index).is_some_and(|known| !known.action.is_pure()) =>
        {
            OnEffects::Launch { step: step.index, attempt: *attempt, mode: *mode }
        }
        Event::StepFailed { .. }
        | Event::CancelRequested { .. }
        | Event::Superseded { .. }
        | Event::Signalled { answer: SignalAnswer::RollBack { .. }, .. } => OnEffects::LeaveOff,
        // What is still under way at a rollback's begin only reads, and nobody needs its answer.
        Event::RollbackStarted { .. } | Event::RunFinished { .. } | Event::AbandonForced { .. } => {
            OnEffects::DropAll
        }
        Event::OutcomeUnknown { step, .. } | Event::NeedsReconcile { step, .. } => {
            OnEffects::DropOne { step: step.index }
        }
        _ => OnEffects::Keep,
    }
}

/// The instant of the next decision: it never goes back, so a clock that is set back lifts nothing.
pub fn decision_time(clock: Timestamp, before: Timestamp, last_event: Timestamp) -> Timestamp {
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::TimeGoesBack) {
        return clock;
    }
    clock.max(before).max(last_event)
}

/// Whether a run that was taken over `recoveries` times in a row without getting anywhere is left alone,
/// where `most` times are allowed.
pub fn is_poison(recoveries: u32, most: u32) -> bool {
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::RecoverForever) {
        return false;
    }
    recoveries >= most
}

/// What a run does after an append that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailedAppend {
    /// It waits until it can read its journal, and goes on from what that says.
    ReadBack {
        /// Whether records of its own may be stored later.
        in_doubt: bool,
    },
    /// Somebody else has the run, it is over, or its journal is damaged: this engine drives it no more.
    Stop,
}

/// What a run does after `error`; `in_doubt` says whether an append before had an unknown outcome, so
/// that its own records may be in the way.
pub fn after_failed_append(error: &AppendError, in_doubt: bool) -> AfterFailedAppend {
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::GoOnFenced) {
        return AfterFailedAppend::ReadBack { in_doubt };
    }
    match error {
        AppendError::NoSpace { .. } | AppendError::Unavailable { .. } => {
            AfterFailedAppend::ReadBack { in_doubt }
        }
        AppendError::Unknown { .. } => AfterFailedAppend::ReadBack { in_doubt: true },
        AppendError::Finished { .. } if in_doubt => AfterFailedAppend::ReadBack { in_doubt },
        // Whoever was refused may have left a record: see `only_denials`.
        AppendError::Conflict { .. } => AfterFailedAppend::ReadBack { in_doubt },
        AppendError::Finished { .. }
        | AppendError::Fenced { .. }
        | AppendError::Damaged { .. }
        | AppendError::Malformed { .. } => AfterFailedAppend::Stop,
    }
}

/// A batch of which nobody knew whether it was stored, with the answers to what came in first and led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt<A> {
    /// The hash of its last record.
    pub head: Digest,
    /// What those who asked were to be told, in order.
    pub answers: Vec<A>,
}

/// What came in first and was stored after all, late, with its answers: it is not decided again. At most
/// one of the batches in doubt is ever stored, since all were to follow the same record.
pub fn stored_late<A>(doubts: &mut Vec<Doubt<A>>, history: &History) -> Vec<A> {
    let stored = |doubt: &Doubt<A>| history.hashes().contains(&doubt.head);
    let Some(place) = doubts.iter().position(stored) else { return Vec::new() };
    let answers = doubts.swap_remove(place).answers;
    doubts.clear();
    answers
}

/// Whether what stands behind record `durable` of a writer, and is not its own, is nothing but denials: the
/// only records that others leave in its epoch, and no reason to stop.
pub fn only_denials(history: &History, durable: u64) -> bool {
    let behind = usize::try_from(durable).ok().and_then(|durable| history.facts().get(durable..));
    let denial = |fact: &Fact| matches!(fact.event, Event::CommandDenied { .. });
    behind.is_some_and(|facts| !facts.is_empty() && facts.iter().all(denial))
}

/// Effects that a late append announced after all, to be started now: neither did they end (their outcome
/// would be in `asked`, which is decided anew), nor do they run.
pub fn unheard_of<'a>(
    state: &RunState,
    asked: impl IntoIterator<Item = &'a Input>,
    runs: impl Fn(u32, u32) -> bool,
) -> Vec<(u32, u32, Mode)> {
    let ended = asked.into_iter().filter_map(|input| match input {
        Input::Outcome { step, attempt, .. } => Some((*step, *attempt)),
        _ => None,
    });
    let ended: BTreeSet<_> = ended.collect();
    let mut missing = Vec::new();
    for (index, active) in state.all_active() {
        let Wait::Outcome { mode, .. } = active.wait else { continue };
        if !ended.contains(&(index, active.attempt)) && !runs(index, active.attempt) {
            missing.push((index, active.attempt, mode));
        }
    }
    missing
}

/// How long a run waits before it reads a journal that has failed `failures` times in a row before.
pub fn pause_before_reading(failures: u32) -> Span {
    let factor = 1_u32 << failures.min(16);
    Span::from(FIRST.as_duration().saturating_mul(factor)).min(LONGEST)
}

/// What a journal that was read back says of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterReading {
    /// Another engine has the run.
    Fenced,
    /// The batch is stored: what it announces can begin.
    Stored,
    /// It is not: everything that came in is decided anew, from what is stored.
    GoBack,
}

/// What `history`, just read, says to the writer whose batch ended with the head of `sealer`.
pub fn after_reading(sealer: &Sealer, history: &History) -> AfterReading {
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::GoOnFenced) {
        return AfterReading::GoBack;
    }
    if history.epoch() != sealer.epoch() {
        AfterReading::Fenced
    } else if history.head() == sealer.head() {
        AfterReading::Stored
    } else {
        AfterReading::GoBack
    }
}
