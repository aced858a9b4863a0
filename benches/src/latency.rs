//! How long single decisions and explanations take, at their slowest.

use std::time::Duration;

use release_core::explain::explain;
use release_core::model::{Span, Timestamp};
use release_core::plan::FrozenPlan;
use release_core::port::{Evidence, PermitAll};
use release_core::run::{EffectOutcome, Event, Fact, Input, RunState, Turn, turn};

use crate::{Failure, requester, timed_blocking};

/// Events that one turn may lead to.
const LIMIT: usize = 4096;

/// A new run of `plan`.
fn begin(plan: &FrozenPlan) -> Result<(RunState, Timestamp), Failure> {
    let now: Timestamp = "2026-11-26T12:00:00Z".parse()?;
    let event = Event::RunCreated {
        plan: plan.digest(),
        definition: plan.plan().definition(),
        requester: requester()?,
        supersedes: None,
        policy: None,
    };
    Ok((RunState::create("bench".parse()?, plan.clone(), &Fact { at: now, event })?, now))
}

/// Goes through all of `plan`, and returns how long each turn took: an outcome, all that follows from it,
/// and the fold of that. After every `every` turns `look` sees the state.
///
/// # Errors
/// When the run does not end.
pub fn turns(
    plan: &FrozenPlan,
    every: usize,
    mut look: impl FnMut(&RunState, Timestamp) -> Result<(), Failure>,
) -> Result<Vec<Duration>, Failure> {
    let (mut state, mut now) = begin(plan)?;
    let mut times = Vec::with_capacity(plan.len());
    let mut under_way = Vec::new();
    let mut input = None;
    loop {
        now = now.plus(Span::millis(1));
        let this = Turn::new(now, 7, &PermitAll);
        let (took, events) = timed_blocking(|| turn(&mut state, input.as_ref(), &this, LIMIT));
        times.push(took);
        for event in &events? {
            if let Event::StepStarted { step, attempt, .. } = event {
                under_way.push((step.index, *attempt));
            }
        }
        if times.len() % every == 0 {
            look(&state, now)?;
        }
        let Some((step, attempt)) = under_way.pop() else { break };
        let outcome = EffectOutcome::Performed(Ok(Evidence::Done));
        input = Some(Input::Outcome { step, attempt, outcome });
    }
    state.outcome().ok_or("the run did not end")?;
    Ok(times)
}

/// How long explanations took, of every 97th step, at a hundred places of a run of `plan`.
///
/// # Errors
/// When a step cannot be explained.
pub fn explanations(plan: &FrozenPlan) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    turns(plan, (plan.len() / 100).max(1), |state, now| {
        for index in (0..u32::try_from(plan.len())?).step_by(97) {
            let (took, explained) = timed_blocking(|| explain(state, index, now, &PermitAll));
            times.push(took);
            drop(explained?);
        }
        Ok(())
    })?;
    Ok(times)
}

/// The time that `share` of all `times` do not exceed; nothing for none.
pub fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let place = (times.len() as f64 * share) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
