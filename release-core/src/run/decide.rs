//! Answers an input: a command, or the outcome of an effect.

use super::advance::{start, stops};
use super::command::{Directive, Rejected};
use super::digest::spread;
use super::directive::command;
use super::doubt::held_while_in_doubt;
use super::event::{Event, StepRef, WakeUp};
use super::judge::{self, Judgement};
use super::lease::leased;
use super::measured::Measured;
use super::permits::Permits;
use super::state::{RunState, Status, Wait};
use crate::analysis::{Finding, When};
use crate::bounds;
use crate::plan::{Action, OnFailure};
use crate::port::{
    Admission, ClockAnomaly, Decision, EffectCertainty, EffectError, Evidence, Observed, Policy,
    Reason, ReasonKind, Retry,
};
use crate::time::{Span, Timestamp};

/// The longest pause that a provider can ask for.
const MOST_ASKED: Span = Span::secs(3600);

/// What comes to a run from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody tells it something.
    Directive(Directive),
    /// An attempt ended.
    Outcome {
        /// The step's place in the plan.
        step: u32,
        /// Which attempt.
        attempt: u32,
        /// How.
        outcome: EffectOutcome,
    },
    /// All steps that are blocked are to be looked at again, also those whose instant is yet to come: a
    /// policy may have changed.
    Reconsider,
    /// Something was said of the permits that a step waits for: it has them, or why not.
    Permit {
        /// The step's place in the plan.
        step: u32,
    },
    /// An engine takes the run over.
    TakeOver {
        /// The engine, as its host calls it.
        engine: String,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectOutcome {
    /// It acted.
    Performed(Result<Evidence, EffectError>),
    /// It only looked.
    Looked(Result<Observed, EffectError>),
}

/// What every decision is made with: time, policy and randomness come in as data.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The decision's instant.
    pub now: Timestamp,
    /// An even draw from all of `u64`, for jitter.
    pub draw: u64,
    /// Who decides what may happen.
    pub policy: &'a dyn Policy,
    /// What the run has of the platform's limits; none, when there are none.
    pub permits: Option<&'a Permits>,
    /// What is wrong with the clock: nothing that goes forward is admitted while something is.
    pub anomaly: Option<ClockAnomaly>,
}

impl<'a> Turn<'a> {
    /// A turn without limits.
    pub const fn new(now: Timestamp, draw: u64, policy: &'a dyn Policy) -> Self {
        Self { now, draw, policy, permits: None, anomaly: None }
    }

    /// What the policy says of a step that goes forward, and of the approvals before it: no leave that has ended
    /// counts, and no effect begins while nobody knows what time it is. `None`: it is not asked about such a step.
    pub(crate) fn admission(&self, request: &Admission<'_>) -> Option<Decision> {
        if request.step.action.is_pure() {
            return request.step.is_gated().then(|| leased(self.policy.opens(request), request));
        }
        let decision = if request.gates().next().is_some() {
            self.both(request)
        } else {
            self.policy.admit(request)
        };
        Some(held_while_in_doubt(leased(decision, request), self.anomaly))
    }

    /// What the policy says of an effect and of the approvals before it, from one directory.
    fn both(&self, request: &Admission<'_>) -> Decision {
        let ask = || (self.policy.admit(request), self.policy.opens(request));
        let directory = |of: &Decision| of.inputs().and_then(|inputs| inputs.directory);
        let torn = |(acts, opens): &(Decision, Decision)| {
            directory(acts).zip(directory(opens)).is_some_and(|(one, two)| one != two)
        };
        // One may have been published in between.
        let both = Some(ask()).filter(|both| !torn(both)).unwrap_or_else(ask);
        if torn(&both) {
            let text = "the step and its approvals were judged by two directories";
            let lifted_by = "asking again, once one directory is gone by";
            let reason = Reason::new("policy/directory", text, lifted_by).kind(ReasonKind::Error);
            return Decision::wait(None, vec![reason]);
        }
        let (acts, opens) = both;
        acts.and(opens)
    }

    /// A draw of its own for each step.
    fn draw_for(&self, index: u32) -> u64 {
        spread(self.draw ^ u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Decides what `input` leads to, without changing anything. What follows from that in turn is
/// [`advance`](super::advance)'s.
///
/// An outcome that belongs to no attempt under way (late, doubled) leads to nothing.
///
/// # Errors
/// [`Rejected`] for a command that makes no sense now; no event is written to `out`. A command that
/// policy denies *is* an event, and no error here.
pub fn decide(
    state: &RunState,
    input: &Input,
    turn: &Turn<'_>,
    out: &mut Vec<Event>,
) -> Result<(), Rejected> {
    match input {
        Input::TakeOver { engine } => {
            if state.outcome().is_none() {
                out.push(Event::TakenOver { engine: engine.clone() });
            }
            Ok(())
        }
        Input::Reconsider => {
            reconsider(state, turn, out);
            Ok(())
        }
        Input::Permit { step } => {
            let waits =
                state.active(*step).is_some_and(|a| a.wait == Wait::Blocked(WakeUp::Permit));
            if waits && state.lets_start(*step) && state.free() > 0 {
                out.extend(again(state, *step, turn));
            }
            Ok(())
        }
        Input::Outcome { step, attempt, outcome } => {
            let under_way = state.active(*step).is_some_and(|active| {
                active.attempt == *attempt && matches!(active.wait, Wait::Outcome { .. })
            });
            if under_way {
                out.push(outcome_event(state, *step, outcome, turn));
            }
            Ok(())
        }
        Input::Directive(directive) => command(state, directive, turn, out),
    }
}

/// Asks the policy again. The same answer for the same reasons is no event, however often it is asked
/// for.
fn reconsider(state: &RunState, turn: &Turn<'_>, out: &mut Vec<Event>) {
    if !state.may_start() {
        return;
    }
    let mut free = state.free();
    for (index, active) in state.active.in_order() {
        if stops(out) {
            return;
        }
        if free == 0 || !matches!(active.wait, Wait::Blocked(_)) {
            continue;
        }
        let Some(event) = again(state, index, turn) else { continue };
        if matches!(event, Event::StepStarted { .. }) {
            free -= 1;
        }
        out.push(event);
    }
}

/// Looks at a blocked step again; nothing new is no event.
fn again(state: &RunState, index: u32, turn: &Turn<'_>) -> Option<Event> {
    let active = state.active(index)?;
    let event = start(state, index, turn);
    match &event {
        Event::StepBlocked { reasons, wake, .. }
            if *reasons == active.reasons && active.wait == Wait::Blocked(wake.clone()) =>
        {
            None
        }
        _ => Some(event),
    }
}

fn outcome_event(state: &RunState, index: u32, outcome: &EffectOutcome, turn: &Turn<'_>) -> Event {
    if let EffectOutcome::Performed(Err(error)) | EffectOutcome::Looked(Err(error)) = outcome
        && let Some(evidence) = judge::unmeasured(&state.plan.step(index).action, error)
    {
        return later(judged(state, index, &evidence, turn), error, turn);
    }
    match outcome {
        EffectOutcome::Performed(Ok(evidence))
        | EffectOutcome::Looked(Ok(Observed::Applied(evidence))) => {
            judged(state, index, evidence, turn)
        }
        EffectOutcome::Looked(Ok(Observed::NotApplied)) => not_applied(state, index, turn),
        // No look can tell, as with a provider that can neither repeat nor be asked.
        EffectOutcome::Looked(Err(error)) if error.retry == Retry::Never => {
            nobody_knows(state, index, bounds::error(error))
        }
        EffectOutcome::Looked(Err(error)) => unknown(state, index, error, turn),
        EffectOutcome::Performed(Err(error)) => match error.effect {
            EffectCertainty::NotApplied => failure(state, index, error, None, turn),
            // «Applied» with an error is no success until it has been seen to be.
            EffectCertainty::Unknown | EffectCertainty::Applied => {
                unknown(state, index, error, turn)
            }
        },
    }
}

/// A source is asked no sooner than it asks for.
fn later(event: Event, error: &EffectError, turn: &Turn<'_>) -> Event {
    match event {
        Event::StepMeasured { step, evidence, verdict, because, next, finding } => {
            let asked = error.retry_after.unwrap_or(Span::ZERO).min(MOST_ASKED);
            let next = next.max(turn.now.plus(asked));
            Event::StepMeasured { step, evidence, verdict, because, next, finding }
        }
        other => other,
    }
}

/// Known not to have happened: perform it at once, and without counting a failure, as long as there are
/// attempts left. An interrupted attempt (a crash, a take-over) used none up.
fn not_applied(state: &RunState, index: u32, turn: &Turn<'_>) -> Event {
    let step = StepRef::of(&state.plan, index);
    let failures = state.active(index).map_or(0, |active| active.failures);
    if failures < state.plan.step(index).retry.max_attempts {
        let error = EffectError::transient("not_applied", "looked, and it had not taken effect");
        return Event::StepRetried { step, error, at: turn.now };
    }
    let message = format!("{failures} attempts gave no answer, and it has not taken effect");
    failed_for_good(state, index, EffectError::permanent("not_applied", message), None, turn)
}

/// No attempt is left: what is to be tried instead is, if there is anything.
fn failed_for_good(
    state: &RunState,
    index: u32,
    error: EffectError,
    evidence: Option<Evidence>,
    turn: &Turn<'_>,
) -> Event {
    let step = StepRef::of(&state.plan, index);
    if let Some(action) = state.plan.alternate(index) {
        let (action, at) = (action.clone(), turn.now.plus(pause(state, index, 1, &error, turn)));
        return Event::AlternateChosen { step, error, action, at };
    }
    let (back, hold, finding) = (None, false, None);
    Event::StepFailed { step, error, evidence, back, hold, finding }
}

/// What was observed, judged by pure code.
fn judged(state: &RunState, index: u32, evidence: &Evidence, turn: &Turn<'_>) -> Event {
    let step = StepRef::of(&state.plan, index);
    let evidence = match bounds::evidence(evidence) {
        Ok(evidence) => evidence,
        Err(problem) => {
            let message = format!("the provider's answer cannot be kept: {problem}");
            let error = EffectError::permanent("oversized_answer", message);
            return failure(state, index, &error, None, turn);
        }
    };
    let mut measured = state.active(index).map_or(Measured::NONE, |active| active.measured.clone());
    let finding = |found: Option<Finding>| found.map(Box::new);
    let action = &state.plan.step(index).action;
    let when = When { at: turn.now, since: Some(state.window_start(index)) };
    let mut judgement = judge::judge(action, &evidence, &mut measured, when);
    if is_over(state, action) {
        judgement = judgement.at_the_end(action, &measured);
    }
    judgement = judgement.unless_dry_run(action);
    match judgement {
        Judgement::Pass { because, found } => {
            let (evidence, finding) = (evidence.into_owned(), finding(found));
            Event::StepSucceeded { step, evidence, because, basis: None, finding }
        }
        Judgement::Again { verdict, because, after, found } => {
            let (evidence, next) = (evidence.into_owned(), turn.now.plus(after));
            let finding = finding(found);
            Event::StepMeasured { step, evidence, verdict, because, next, finding }
        }
        Judgement::Fail { error, found, decided } => {
            let mut event = failure(state, index, &error, Some(evidence.into_owned()), turn);
            if let Event::StepFailed { finding: place, hold, .. } = &mut event {
                let continues = state.plan.step(index).on_failure == OnFailure::Continue;
                (*place, *hold) = (finding(found), !decided && !continues);
            }
            event
        }
    }
}

/// Whether the step is done in whose background an analysis goes on.
fn is_over(state: &RunState, action: &Action) -> bool {
    let Action::Analyze { until: Some(until), .. } = action else { return false };
    let over = state.plan.find(until).and_then(|index| state.status(index));
    over == Some(Status::Succeeded)
}

/// An attempt that is known not to have taken effect: try again, or fail.
fn failure(
    state: &RunState,
    index: u32,
    error: &EffectError,
    evidence: Option<Evidence>,
    turn: &Turn<'_>,
) -> Event {
    let (step, error) = (StepRef::of(&state.plan, index), bounds::error(error));
    let failures = state.active(index).map_or(0, |active| active.failures).saturating_add(1);
    let policy = state.plan.step(index).retry;
    #[cfg(planted_bugs)]
    let failures = if crate::planted::is(crate::planted::Bug::RetryForever) { 0 } else { failures };
    if error.retry == Retry::Backoff && failures < policy.max_attempts {
        let at = turn.now.plus(pause(state, index, failures, &error, turn));
        return Event::StepRetried { step, error, at };
    }
    failed_for_good(state, index, error, evidence, turn)
}

/// An attempt of which nobody knows whether it took effect: look, and if that does not help, ask.
pub(super) fn unknown(state: &RunState, index: u32, error: &EffectError, turn: &Turn<'_>) -> Event {
    let (step, error) = (StepRef::of(&state.plan, index), bounds::error(error));
    let failures = state.active(index).map_or(0, |active| active.failures).saturating_add(1);
    let policy = state.plan.step(index).retry;
    // One more look than attempts: also a step that is tried once is looked for once.
    if failures > policy.max_attempts {
        return nobody_knows(state, index, error);
    }
    let at = turn.now.plus(pause(state, index, failures, &error, turn));
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::RetryBlindly) {
        return Event::StepRetried { step, error, at };
    }
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::UnknownIsSuccess) {
        return Event::StepSucceeded {
            step,
            evidence: Evidence::Done,
            because: None,
            basis: None,
            finding: None,
        };
    }
    Event::OutcomeUnknown { step, error, at }
}

/// A person is to say whether it took effect; where nobody minds a failure, nobody is asked.
fn nobody_knows(state: &RunState, index: u32, error: EffectError) -> Event {
    let step = StepRef::of(&state.plan, index);
    if state.plan.step(index).on_failure == OnFailure::Continue {
        let (evidence, back, hold, finding) = (None, None, false, None);
        return Event::StepFailed { step, error, evidence, back, hold, finding };
    }
    Event::NeedsReconcile { step, error }
}

/// The pause before the next attempt: the plan's, on top of what the provider asks for (so that those
/// it told the same do not all come back at once). No provider can hold a run for more than an hour.
fn pause(
    state: &RunState,
    index: u32,
    failures: u32,
    error: &EffectError,
    turn: &Turn<'_>,
) -> Span {
    let planned = state.plan.step(index).retry.pause(failures, turn.draw_for(index));
    let asked = error.retry_after.unwrap_or(Span::ZERO).min(MOST_ASKED);
    (asked.as_duration() + planned.as_duration()).into()
}
