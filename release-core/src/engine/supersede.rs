//! A newer run in place of one in flight.

use std::collections::BTreeSet;

use super::{Engine, EngineError, RunHandle, SendError};
use crate::ids::{RunId, StepId};
use crate::model::Principal;
use crate::plan::{FrozenPlan, Plan};
use crate::run::{
    Command, Directive, Event, Fact, IllegalTransition, Outcome, Rejected, Replaced, RunState,
    Status,
};

impl Engine {
    /// As [`Engine::supersede_all`], of one run.
    ///
    /// # Errors
    /// As [`Engine::supersede_all`].
    pub async fn supersede(
        &self,
        older: &RunHandle,
        run: RunId,
        plan: Plan,
        requester: Principal,
        reason: &str,
    ) -> Result<RunHandle, EngineError> {
        self.supersede_all(&[older], run, plan, requester, reason).await
    }

    /// Starts `run` in place of all of `older`: what these changed is put back first, so that the newer
    /// one starts from versions that were verified together, and only then does it start. The decision is
    /// one record of each older run, and the newer one names them all in its first.
    ///
    /// Asked again after a crash, with the older runs resumed, it goes on where it was. An older run that
    /// is over already is no obstacle when it left nothing half done. Of none it is [`Engine::start`].
    ///
    /// # Errors
    /// [`EngineError::NotSuperseded`] when an older run does not give way (its policy denies it) or ended
    /// with changes of its own still in place: those before it in the list gave way, and go back all the
    /// same. Else as for [`Engine::start`].
    pub async fn supersede_all(
        &self,
        older: &[&RunHandle],
        run: RunId,
        plan: Plan,
        requester: Principal,
        reason: &str,
    ) -> Result<RunHandle, EngineError> {
        let plan = plan.freeze();
        self.can_begin(&plan, &requester).await?;
        // All are asked before any is waited for: they go back at the same time.
        for one in older {
            let command = Command::Supersede { run: run.clone() };
            let asked = Directive::new(command, requester.clone(), reason);
            gives_way(one.send(asked).await).map_err(|detail| not_superseded(one, &run, detail))?;
        }
        for one in older {
            match one.wait().await? {
                // Its versions are verified, all of them or none.
                Outcome::Succeeded
                | Outcome::SucceededWithout { .. }
                | Outcome::RolledBack { .. } => {}
                Outcome::Cancelled { .. } if !self.changed_something(one.run()).await? => {}
                outcome => return Err(not_superseded(one, &run, outcome.to_string())),
            }
        }
        let replaced = Replaced::of(older.iter().map(|one| one.run().clone()));
        self.begin(run, plan, requester, replaced).await
    }

    /// Whether a run that is over has left something that it changed, or may have.
    async fn changed_something(&self, run: &RunId) -> Result<bool, EngineError> {
        let (history, plan) = self.load(run).await?;
        left_changed(history.facts(), run, plan)
            .map_err(|illegal| EngineError::internal(run, &illegal))
    }
}

/// Whether a run makes way; else why not. One that stops or goes back by itself needs no telling: what it ends with counts.
fn gives_way(answer: Result<(), SendError>) -> Result<(), String> {
    match answer {
        Ok(()) | Err(SendError::Finished(_) | SendError::Rejected(Rejected::Finished { .. })) => {
            Ok(())
        }
        Err(SendError::Rejected(Rejected::Denied { reasons }))
            if reasons.iter().all(|reason| reason.rule == "run/cancel") =>
        {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn not_superseded(older: &RunHandle, run: &RunId, detail: String) -> EngineError {
    EngineError::NotSuperseded { older: older.run().clone(), run: run.clone(), detail }
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
