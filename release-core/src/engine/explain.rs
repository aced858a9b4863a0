//! Questions about runs, in one line: to a run that is driven, and to the journal.

use super::{Engine, EngineError, RunHandle, SendError, limits};
use crate::explain::{
    self, Assumptions, Course, Explanation, NoSuchStep, Position, TravelError, View, WhatIfError,
    Why,
};
use crate::ids::{RunId, StepId};
use crate::limits::Ledger;
use crate::plan::FrozenPlan;
use crate::run::{Permits, RunState};
use crate::time::Timestamp;

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The plan has no such step.
    #[error(transparent)]
    Step(#[from] NoSuchStep),
    /// The run has no such point in its past.
    #[error(transparent)]
    Travel(#[from] TravelError),
    /// The simulation came to no answer.
    #[error(transparent)]
    WhatIf(#[from] WhatIfError),
    /// The run is over or not driven: ask the engine, which reads its journal.
    #[error("{0}; `Engine::explain` reads it from its journal")]
    Handle(#[from] SendError),
    /// The run cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl RunHandle {
    /// Every reason why `step` has not started or not finished now, by the engine's policy and clock and
    /// by the ledger of permits: see [`explain::explain_in`].
    ///
    /// # Errors
    /// [`AskError::Step`] when the plan has no such step, [`AskError::Handle`] when the run is over, not
    /// driven, or waits for its journal.
    pub async fn explain(&self, step: &StepId) -> Result<Explanation, AskError> {
        let step = step.clone();
        let ledger = match &self.limiter {
            Some(limiter) => limits::seen(limiter).await,
            None => None,
        };
        let see = move |state: &RunState, turn: &crate::run::Turn<'_>| {
            let view = View::new(turn.now, turn.policy).anomaly(turn.anomaly);
            explain::explain_step_in(state, &step, with_limits(view, turn.permits, ledger.as_ref()))
        };
        Ok(self.look(see).await??)
    }
}

impl Engine {
    /// Every reason why `step` of `run` had not started or not finished at `at`, or has not now without
    /// one, as its journal tells: see [`explain::explain`]. Whoever drives the run, and whether anybody
    /// does, does not matter. The policy is the engine's present one, asked for that instant. Of the clock
    /// and of limits it knows only how they are now, and so tells of them only without an instant.
    ///
    /// # Errors
    /// As [`Engine::load`]; [`AskError::Travel`] when the run did not exist yet, [`AskError::Step`] when
    /// the plan has no such step.
    pub async fn explain(
        &self,
        run: &RunId,
        step: &StepId,
        at: Option<Timestamp>,
    ) -> Result<Explanation, AskError> {
        let (history, plan) = self.load(run).await?;
        let state = match at {
            Some(at) => explain::state_at(&history, plan, Position::At(at))?,
            None => history.state(plan, None).map_err(EngineError::from)?,
        };
        let policy = &*self.shared.policy;
        if let Some(at) = at {
            return Ok(explain::explain_step(&state, step, at, policy)?);
        }
        let (now, anomaly) = self.shared.clock.read();
        let permits = self.shared.permits_for(&state);
        let ledger = match self.shared.limiter() {
            Some(limiter) => limits::seen(&limiter).await,
            None => None,
        };
        let view = View::new(now, policy).anomaly(anomaly);
        let view = with_limits(view, permits.as_ref(), ledger.as_ref());
        Ok(explain::explain_step_in(&state, step, view)?)
    }

    /// The state of `run` at any point of its past, as its journal tells.
    ///
    /// # Errors
    /// As [`Engine::load`]; [`AskError::Travel`] when the run has no such point.
    pub async fn state_at(&self, run: &RunId, position: Position) -> Result<RunState, AskError> {
        let (history, plan) = self.load(run).await?;
        Ok(explain::state_at(&history, plan, position)?)
    }

    /// Why the event in record `seq` of `run` was decided: see [`explain::why`].
    ///
    /// # Errors
    /// As [`Engine::state_at`].
    pub async fn why(&self, run: &RunId, seq: u64) -> Result<Why, AskError> {
        let (history, plan) = self.load(run).await?;
        Ok(explain::why(&history, plan, seq)?)
    }

    /// What would come of a run of `plan` under the engine's policy. Nothing is started and nothing is
    /// written: see [`explain::what_if`].
    ///
    /// # Errors
    /// [`WhatIfError`].
    pub fn what_if(
        &self,
        plan: &FrozenPlan,
        assumptions: &Assumptions,
    ) -> Result<Course, WhatIfError> {
        explain::what_if(plan, assumptions, &*self.shared.policy)
    }

    /// What would come of `run` as its journal leaves it, from now or the start that is assumed, under
    /// the engine's policy: see [`explain::what_if_from`].
    ///
    /// # Errors
    /// As [`Engine::load`], or [`AskError::WhatIf`].
    pub async fn forecast(
        &self,
        run: &RunId,
        assumptions: &Assumptions,
    ) -> Result<Course, AskError> {
        let (history, plan) = self.load(run).await?;
        let state = history.state(plan, None).map_err(EngineError::from)?;
        Ok(explain::what_if_from(state, assumptions, &*self.shared.policy)?)
    }
}

/// The same view, with the limits as far as they are known.
fn with_limits<'a>(
    view: View<'a>,
    permits: Option<&'a Permits>,
    ledger: Option<&'a Result<Ledger, String>>,
) -> View<'a> {
    match (permits, ledger) {
        (Some(permits), Some(ledger)) => {
            view.limits(permits, ledger.as_ref().map_err(String::as_str))
        }
        _ => view,
    }
}
