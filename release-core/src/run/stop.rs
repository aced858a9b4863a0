//! How a run comes to its end: stopping, going back, finishing.

use super::event::{Cause, Event, Outcome, StepRef};
use super::evolve::IllegalTransition;
use super::state::{Phase, RunState, Status};
use crate::model::{Principal, RollbackScope};
use crate::plan::{Extension, OnFailure, Part};
use crate::time::Timestamp;

impl RunState {
    /// Begins to stop because of a failed step, or makes an ongoing stop reach as far as this needs.
    pub(super) fn stop(&mut self, step: &StepRef, scope: Option<RollbackScope>, message: &str) {
        let cause = Cause::StepFailed { step: step.clone(), scope, message: message.to_owned() };
        match &self.phase {
            Phase::Forward => self.phase = Phase::Stopping(cause),
            Phase::Stopping(Cause::StepFailed { scope: None, .. }) if scope.is_some() => {
                self.phase = Phase::Stopping(cause);
            }
            Phase::Stopping(Cause::StepFailed { step: first, scope: Some(before), message }) => {
                let scope = scope.map_or(*before, |scope| {
                    self.covering((first.index, *before), (step.index, scope))
                });
                let (step, message) = (first.clone(), message.clone());
                let cause = Cause::StepFailed { step, scope: Some(scope), message };
                self.phase = Phase::Stopping(cause);
            }
            Phase::Stopping(Cause::Signalled { .. }) => self.widen(step.index, scope),
            Phase::Stopping(_)
            | Phase::RollingBack(_)
            | Phase::Abandoning { .. }
            | Phase::Finished(_) => {}
        }
    }

    /// People want the run, or a part of it, to stop.
    pub(super) fn told_to_stop(&mut self, event: &Event) {
        match event {
            Event::CancelRequested { by, reason } => {
                let cause = Cause::Cancelled { by: by.clone(), reason: reason.clone() };
                self.phase = Phase::Stopping(cause);
            }
            Event::Superseded { run, by, reason } => {
                let (run, by, reason) = (run.clone(), by.clone(), reason.clone());
                self.phase = Phase::Stopping(Cause::Superseded { run, by, reason });
            }
            Event::Descoped { service, by, reason } => {
                let part = Part::Service { service: service.clone() };
                self.leave(part, format!("{by}: {reason}"));
            }
            _ => {}
        }
    }

    /// The narrowest scope that, seen from either step, covers what both want to be rolled back.
    pub(super) fn covering(
        &self,
        a: (u32, RollbackScope),
        b: (u32, RollbackScope),
    ) -> RollbackScope {
        let (one, other) = (&self.plan.step(a.0).scope, &self.plan.step(b.0).scope);
        let together = one.environment() == other.environment();
        match (a.1, b.1) {
            (RollbackScope::Release, _) | (_, RollbackScope::Release) => RollbackScope::Release,
            (RollbackScope::Region, RollbackScope::Region)
                if together && one.region() == other.region() =>
            {
                RollbackScope::Region
            }
            (
                RollbackScope::Region | RollbackScope::Wave,
                RollbackScope::Region | RollbackScope::Wave,
            ) if self.in_one_wave(a.0, b.0) => RollbackScope::Wave,
            _ if together => RollbackScope::Environment,
            _ => RollbackScope::Release,
        }
    }

    pub(super) fn rollback_started(
        &mut self,
        cause: &Cause,
        extension: &Extension,
    ) -> Result<(), IllegalTransition> {
        let ends = self.halted.is_some() && self.phase == Phase::Forward;
        if !matches!(self.phase, Phase::Stopping(_)) && !ends {
            return Err(self.wrong_phase("rollback_started"));
        }
        if !extension.fits(self.plan.base_len()) || extension.part.is_some() {
            return Err(IllegalTransition::BadRollback);
        }
        self.cancel_rest();
        let base = self.append(extension);
        self.remaining = extension.steps.len().saturating_sub(extension.pages.len());
        self.phase = Phase::RollingBack(cause.clone());
        self.enqueue_roots(base);
        for index in self.pages() {
            self.unqueue(index);
            self.set_status(index, Status::Pending);
        }
        Ok(())
    }

    /// The steps that call people.
    fn pages(&self) -> Vec<u32> {
        let Some((base, extension)) = self.plan.rollback() else { return Vec::new() };
        extension.pages.iter().map(|page| page.saturating_add(base)).collect()
    }

    /// The steps that call people, of those that never began to.
    fn uncalled(&self) -> Vec<u32> {
        let mut pages = self.pages();
        pages.retain(|index| matches!(self.status(*index), Some(Status::Pending | Status::Ready)));
        pages
    }

    /// Calls people who were not called yet.
    pub(super) fn rollback_stuck(&mut self) {
        self.stuck = true;
        for index in self.uncalled() {
            if self.status(index) == Some(Status::Pending) {
                self.remaining += 1;
                self.enqueue(index);
            }
        }
    }

    /// Gives everything up but calling people who were not called before.
    pub(super) fn abandon_forced(&mut self, by: &Principal, reason: &str) {
        let uncalled = self.uncalled();
        self.cancel_rest();
        self.remaining = uncalled.len();
        for index in uncalled {
            self.enqueue(index);
        }
        self.phase = Phase::Abandoning { by: by.clone(), reason: reason.to_owned() };
    }

    /// There is no way back: the run goes on forward, and every step that failed waits for a person,
    /// as if its failure were to hold it. A cancel has nothing left to do.
    pub(super) fn rollback_blocked(&mut self, at: Timestamp, cause: &Cause) {
        self.rollback_refused = true;
        if matches!(cause, Cause::Cancelled { .. } | Cause::Superseded { .. }) {
            self.cancel_rest();
            return;
        }
        self.phase = Phase::Forward;
        // No step failed of which people could be asked: they are asked of the run.
        self.paused |= matches!(cause, Cause::Signalled { .. });
        let failed: Vec<u32> = self.spent.keys().copied().collect();
        for index in failed {
            let failed = self.status(index) == Some(Status::Failed);
            let goes_on = self.plan.step(index).on_failure == OnFailure::Continue;
            if failed && !goes_on && self.active.get(index).is_none() && !self.is_left(index) {
                self.hold(at, index);
            }
        }
    }

    pub(super) fn finished(&mut self, outcome: &Outcome) -> Result<(), IllegalTransition> {
        if self.outcome().is_some() {
            return Err(self.wrong_phase("run_finished"));
        }
        self.cancel_rest();
        if matches!(outcome, Outcome::RolledBack { .. }) {
            let rollback = self.plan.rollback();
            let undone =
                rollback.map(|(_, extension)| extension.undoes.clone()).unwrap_or_default();
            for index in undone {
                self.set_status(index, Status::Compensated);
            }
        }
        self.phase = Phase::Finished(outcome.clone());
        Ok(())
    }

    /// Whatever is not done will not be.
    pub(super) fn cancel_rest(&mut self) {
        for (status, index) in self.status.iter_mut().zip(0..) {
            if matches!(status, Status::Pending | Status::Ready | Status::Waiting | Status::Running)
            {
                self.sums.status(index, *status, Status::Cancelled);
                *status = Status::Cancelled;
            }
        }
        self.ready.clear();
        self.ready_pure.clear();
        self.active.clear();
        self.timers.clear();
        (self.in_flight, self.looking, self.held) = (0, 0, 0);
    }
}
