//! A run that goes on with another plan.

use std::sync::Arc;

use super::driver::Driver;
use super::resume::Found;
use super::{Engine, EngineError, RunHandle};
use crate::ids::RunId;
use crate::model::Principal;
use crate::plan::{FrozenPlan, Plan};
use crate::run::{Command, Directive, Event, NotMigrated, Turn, migrate};

impl Engine {
    /// Takes a run over and lets it go on with `plan`, as `by` asks for `reason`: the one way in which a
    /// run ever gets another plan than the one it pins. It is a record of the run, and the policy is asked
    /// (`migrate`) before anything is touched. Then whoever drives the run at present is fenced, and what
    /// was under way is looked for.
    ///
    /// What was touched must stand in the new plan with the same id, action, scope and way to fail, and
    /// behind steps that are done; all else may change. Approvals that were given are void. A run that has
    /// that plan already is just resumed.
    ///
    /// # Errors
    /// [`EngineError::NotMigrated`] names every step that is in the way; [`EngineError::Refused`] when the
    /// policy denies it, which is on record, or no reason is given; and as for [`Engine::resume`]. The run
    /// is then as before, and whoever drives it goes on.
    pub async fn migrate(
        &self,
        run: &RunId,
        plan: Plan,
        by: Principal,
        reason: &str,
    ) -> Result<RunHandle, EngineError> {
        let open = match self.find(run).await? {
            Found::Over(_) => {
                let reason = NotMigrated::WrongPhase { phase: "over" };
                return Err(EngineError::NotMigrated { run: run.clone(), reason });
            }
            Found::Open(open) => open,
        };
        let plan = plan.freeze();
        if open.state.plan().digest() == plan.digest() {
            return self.resume(run).await;
        }
        self.shared.performer.check_new(plan.plan()).map_err(EngineError::Bindings)?;
        let command = Command::Migrate { to: plan.digest() };
        let open = self.permitted(*open, &Directive::new(command, by.clone(), reason)).await?;
        let mut driver = self.take_over(open)?;
        let blob = (plan.digest(), Arc::clone(plan.bytes()));
        if let Some(denied @ Event::CommandDenied { .. }) = driver.migrate(&plan, &by, reason)? {
            // The policy has changed its mind just now.
            return Err(self.refused(run, Some(denied)).await);
        }
        driver.begin(vec![blob]).await?;
        Ok(self.drive(driver))
    }
}

impl Driver {
    /// Decides the migration, behind what is pending.
    fn migrate(
        &mut self,
        plan: &FrozenPlan,
        by: &Principal,
        reason: &str,
    ) -> Result<Option<Event>, EngineError> {
        let turn = Turn::new(self.now, 0, &*self.shared.policy);
        let run = || self.state.run().clone();
        let event = migrate(&self.state, plan, by, reason, &turn).map_err(|error| match error {
            NotMigrated::Rejected(reason) => EngineError::Refused { run: run(), reason },
            reason => EngineError::NotMigrated { run: run(), reason },
        })?;
        self.state.offer(plan.clone());
        self.base = self.base.with_later(vec![plan.clone()]);
        if let Some(event) = &event {
            let folded = self.state.evolve(self.now, event);
            folded.map_err(|illegal| EngineError::internal(self.state.run(), &illegal))?;
            self.pending.push(event.clone());
        }
        Ok(event)
    }
}
