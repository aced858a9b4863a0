//! A step that failed gets another chance: people ask for it, say what became of it, or something else
//! is tried in its place.

use super::admit::REJECTED;
use super::event::StepRef;
use super::evolve::{IllegalTransition, wrong_status};
use super::measured::Measured;
use super::state::{Active, RunState, Status, Wait};
use crate::model::Gate;
use crate::plan::Action;
use crate::port::EffectError;
use crate::time::Timestamp;

impl RunState {
    /// The failed step waits for a person.
    pub(super) fn hold(&mut self, at: Timestamp, index: u32) {
        let attempt = self.spent.get(&index).copied().unwrap_or(0);
        let wait = Wait::Operator { unknown: false };
        self.insert_active(index, Active::new(attempt, at, wait));
    }

    pub(super) fn retry_requested(
        &mut self,
        at: Timestamp,
        step: &StepRef,
    ) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        if !self.waits_for_operator(index) {
            return Err(wrong_status(step, status, "retry_requested"));
        }
        self.stuck = false;
        self.generations.change(&index, |generation| *generation = generation.saturating_add(1));
        if let Some(active) = self.active.get_mut(index) {
            (active.failures, active.measured) = (0, Measured::NONE);
        }
        self.set_wait(index, self.again(index, at));
        self.set_status(index, Status::Waiting);
        let step = self.plan.step(index);
        if matches!(step.action, Action::Analyze { .. }) {
            self.began.change(&step.id, |began| *began = at);
        }
        // Who tries again asks again: a gate that was rejected is open for another vote.
        let failed = self.active(index).and_then(|active| active.error.as_ref());
        let by_people = failed.is_some_and(|error| error.kind == REJECTED);
        let passed = by_people.then(|| self.passed_before(index)).into_iter().flatten();
        let own = step.gates.iter().filter_map(Gate::approval);
        let wanted = own.chain(passed).map(|approval| approval.id.clone());
        let rejected =
            wanted.filter(|id| self.gates.get(id).is_some_and(|gate| gate.rejected.is_some()));
        for id in rejected.collect::<Vec<_>>() {
            self.gates.remove(&id);
        }
        Ok(())
    }

    /// The bake is over at this very instant.
    pub(super) fn bake_ended(
        &mut self,
        at: Timestamp,
        step: &StepRef,
    ) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        let until = match self.active(index).map(|active| &active.wait) {
            Some(Wait::Bake { until }) => at.min(*until),
            _ => return Err(wrong_status(step, status, "bake_ended")),
        };
        self.set_wait(index, Wait::Bake { until });
        Ok(())
    }

    pub(super) fn alternate_chosen(
        &mut self,
        step: &StepRef,
        action: &Action,
        next: Timestamp,
    ) -> Result<(), IllegalTransition> {
        if self.plan.alternate(step.index) != Some(action) {
            return Err(IllegalTransition::BadRollback);
        }
        let wait = Wait::Attempt { at: next };
        let index = self.attempt_over(step, "alternate_chosen", false, wait)?;
        self.plan = self.plan.with_alternate(index);
        self.generations.change(&index, |generation| *generation = generation.saturating_add(1));
        if let Some(active) = self.active.get_mut(index) {
            active.failures = 0;
        }
        Ok(())
    }

    pub(super) fn reconciled(
        &mut self,
        at: Timestamp,
        step: &StepRef,
        applied: bool,
    ) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        if !self.waits_for_operator(index) {
            return Err(wrong_status(step, status, "reconciled"));
        }
        self.stuck = false;
        if applied {
            self.remove_active(index);
            self.set_status(index, Status::Succeeded);
            self.complete(index);
        } else {
            self.set_wait(index, self.again(index, at));
            if let Some(active) = self.active.get_mut(index) {
                active.failures = 0; // what is known now is worth as much as at the beginning
            }
        }
        Ok(())
    }

    /// Remembers how the last attempt of a step that is not done went wrong.
    pub(super) fn went_wrong(&mut self, step: &StepRef, error: &EffectError) {
        if let Some(active) = self.active.get_mut(step.index) {
            active.error = Some(Box::new(error.clone()));
        }
    }

    pub(super) fn waits_for_operator(&self, index: u32) -> bool {
        self.active.get(index).is_some_and(|active| matches!(active.wait, Wait::Operator { .. }))
    }
}
