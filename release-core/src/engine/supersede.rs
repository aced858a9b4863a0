//! A newer run in place of one in flight.

use std::collections::BTreeSet;

use super::{Engine, EngineError, RunHandle, SendError};
use crate::ids::{RunId, StepId};
use crate::model::Principal;
use crate::plan::{FrozenPlan, Plan};
use crate::run::{
    Command, Directive, Event, Fact, IllegalTransition, Outcome, Rejected, RunState, Status,
};

impl Engine {
    /// Starts `run` in place of `older`: what the older run changed is put back first, so that the newer
    /// one starts from versions that were verified together, and only then does it start. The decision is
    /// one record of the older run, and the newer one names the older in its first.
    ///
    /// Asked again after a crash, with the older run resumed, it goes on where it was. An older run that
    /// is over already is no obstacle when it left nothing half done.
    ///
    /// # Errors
    /// [`EngineError::NotSuperseded`] when the older run does not give way (its policy denies it) or ended
    /// with changes of its own still in place; and as for [`Engine::start`].
    pub async fn supersede(
        &self,
        older: &RunHandle,
        run: RunId,
        plan: Plan,
        requester: Principal,
        reason: &str,
    ) -> Result<RunHandle, EngineError> {
        let plan = plan.freeze();
        self.shared.performer.check(plan.plan()).map_err(EngineError::Bindings)?;
        let refused = |detail: String| EngineError::NotSuperseded {
            older: older.run().clone(),
            run: run.clone(),
            detail,
        };
        let command = Command::Supersede { run: run.clone() };
        let asked = Directive::new(command, requester.clone(), reason);
        match older.send(asked).await {
            // A run that stops or goes back by itself needs no telling; what it ends with counts.
            Ok(())
            | Err(SendError::Finished(_) | SendError::Rejected(Rejected::Finished { .. })) => {}
            Err(SendError::Rejected(Rejected::Denied { reasons }))
                if reasons.iter().all(|reason| reason.rule == "run/cancel") => {}
            Err(error) => return Err(refused(error.to_string())),
        }
        match older.wait().await? {
            // Its versions are verified, all of them or none.
            Outcome::Succeeded | Outcome::SucceededWithout { .. } | Outcome::RolledBack { .. } => {}
            Outcome::Cancelled { .. } if !self.changed_something(older.run()).await? => {}
            outcome => return Err(refused(outcome.to_string())),
        }
        self.begin(run, plan, requester, Some(older.run().clone())).await
    }

    /// Whether a run that is over has left something that it changed, or may have.
    async fn changed_something(&self, run: &RunId) -> Result<bool, EngineError> {
        let (history, plan) = self.load(run).await?;
        left_changed(history.facts(), run, plan)
            .map_err(|illegal| EngineError::internal(run, &illegal))
    }
}

/// Whether a step that changes something began and was not taken back. A step's place is that in the plan
/// of its time: runs go on with others.
fn left_changed(facts: &[Fact], run: &RunId, plan: FrozenPlan) -> Result<bool, IllegalTransition> {
    let (first, rest) = facts.split_first().ok_or(IllegalTransition::NotCreated)?;
    let mut state = RunState::create(run.clone(), plan, first)?;
    let mut begun = BTreeSet::new();
    for fact in rest {
        if let Event::StepStarted { step, .. } = &fact.event
            && !state.plan().in_rollback(step.index)
            && state.plan().get(step.index).is_some_and(|step| step.action.mutates())
        {
            begun.insert(step.id.clone());
        }
        state.evolve(fact.at, &fact.event)?;
    }
    let is_back = |id: &StepId| {
        let status = state.plan().find(id).and_then(|index| state.status(index));
        status == Some(Status::Compensated)
    };
    Ok(!begun.iter().all(is_back))
}
