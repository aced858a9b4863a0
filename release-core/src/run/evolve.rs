//! Folds events into state. The same code runs live and in replay.

use std::collections::VecDeque;
use std::sync::Arc;

use super::active::{ActiveSet, Timers};
use super::digest::{Began, Gates, Generations, Spent, Sums};
use super::event::{Event, Mode, StepRef, Verdict, WakeUp};
use super::flags::Readings;
use super::judge;
use super::note::Notes;
use super::regions::Entered;
use super::signal::{SignalAnswer, Signals};
use super::state::{Active, Phase, RunState, Status, Wait};
use crate::analysis::When;
use crate::ids::RunId;
use crate::model::Digest;
use crate::plan::{Action, FrozenPlan, OnFailure};
use crate::port::{Evidence, Reason};
use crate::time::Timestamp;

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// When it was decided.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// An event that cannot follow from the state: the journal or the plan is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalTransition {
    /// A journal that does not begin with the run's creation.
    #[error("the first event must create the run; the journal is cut or belongs to something else")]
    NotCreated,
    /// A journal of another plan.
    #[error(
        "the run was created with plan {expected}, but was given plan {found}; use the plan it pins"
    )]
    OtherPlan {
        /// What the journal pins.
        expected: Digest,
        /// What was given.
        found: Digest,
    },
    /// A run that goes on with a plan which is not there.
    #[error("the run goes on with plan {plan}, which was not given; give all plans of the journal")]
    PlanNotGiven {
        /// The plan.
        plan: Digest,
    },
    /// A run that cannot go on with another plan in this way.
    #[error("the run cannot go on with that plan: {reason}")]
    BadMigration {
        /// Why.
        reason: String,
    },
    /// A step that the plan does not have at that place.
    #[error("step {index} is not `{id}` in this plan; the journal belongs to another plan")]
    OtherStep {
        /// The place.
        index: u32,
        /// The id that the journal gives.
        id: String,
    },
    /// A step that cannot change in this way.
    #[error("step `{id}` is {status} and cannot take `{event}`")]
    WrongStatus {
        /// The step.
        id: String,
        /// How it stands.
        status: &'static str,
        /// The event.
        event: &'static str,
    },
    /// A rollback whose steps refer to what does not exist, or to each other in a circle.
    #[error("the rollback's steps do not fit this plan")]
    BadRollback,
    /// A run that cannot change in this way.
    #[error("the run is {phase} and cannot take `{event}`")]
    WrongPhase {
        /// What the run does.
        phase: &'static str,
        /// The event.
        event: &'static str,
    },
}

impl RunState {
    /// The state after a run's first event.
    ///
    /// # Errors
    /// [`IllegalTransition`] when `first` does not create a run with this very plan.
    pub fn create(run: RunId, plan: FrozenPlan, first: &Fact) -> Result<Self, IllegalTransition> {
        let Event::RunCreated { plan: expected, requester, policy, .. } = &first.event else {
            return Err(IllegalTransition::NotCreated);
        };
        if *expected != plan.digest() {
            return Err(IllegalTransition::OtherPlan { expected: *expected, found: plan.digest() });
        }
        let count = plan.len();
        let mut state = Self {
            run,
            requester: Arc::new(requester.clone()),
            policy: *policy,
            created: first.at,
            now: first.at,
            phase: Phase::Forward,
            paused: false,
            rollback_refused: false,
            stuck: false,
            status: vec![Status::Pending; count],
            waits: Vec::with_capacity(count),
            active: ActiveSet::default(),
            timers: Timers::default(),
            spent: Spent::default(),
            ready_pure: VecDeque::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            looking: 0,
            held: 0,
            remaining: count,
            generations: Generations::default(),
            gates: Gates::default(),
            left: Vec::new(),
            halted: None,
            began: Began::default(),
            entered: Entered::default(),
            notes: Notes::default(),
            readings: Readings::default(),
            signals: Signals::default(),
            recoveries: 0,
            sums: Sums::default(),
            plan,
        };
        state.active.resize(count);
        state.enqueue_roots(0);
        Ok(state)
    }

    /// The state after all of `facts`, from the run's creation on.
    ///
    /// # Errors
    /// The first [`IllegalTransition`].
    pub fn replay<'a>(
        run: RunId,
        plan: FrozenPlan,
        facts: impl IntoIterator<Item = &'a Fact>,
    ) -> Result<Self, IllegalTransition> {
        let mut facts = facts.into_iter();
        let mut state =
            Self::create(run, plan, facts.next().ok_or(IllegalTransition::NotCreated)?)?;
        facts.try_for_each(|fact| state.evolve(fact.at, &fact.event))?;
        Ok(state)
    }

    /// Folds one event that happened at `at` into the state.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot follow; the state is then as before.
    pub fn evolve(&mut self, at: Timestamp, event: &Event) -> Result<(), IllegalTransition> {
        if !self.allows(event) {
            return Err(self.wrong_phase(event.name()));
        }
        match event {
            Event::RunCreated { .. } => return Err(self.wrong_phase("run_created")),
            Event::TakenOver { .. } => self.taken_over(at),
            Event::StepStarted { step, attempt, mode, .. } => {
                self.started(at, step, *attempt, *mode)?;
            }
            Event::StepSucceeded { step, evidence, .. } => {
                self.succeeded(step)?;
                self.keep_reading(step, evidence);
            }
            Event::StepMeasured { step, evidence, verdict, next, finding, .. } => {
                let no_data = finding.as_ref().is_some_and(|found| found.is_without_data());
                self.measured(at, step, evidence, (*verdict, no_data, *next))?;
            }
            Event::StepRetried { step, at: next, error } => {
                self.retried(step, *next)?;
                self.went_wrong(step, error);
            }
            Event::OutcomeUnknown { step, at: next, error } => {
                self.attempt_over(step, "outcome_unknown", true, Wait::Look { at: *next })?;
                self.went_wrong(step, error);
            }
            Event::NeedsReconcile { step, error } => {
                let wait = Wait::Operator { unknown: true };
                self.attempt_over(step, "needs_reconcile", false, wait)?;
                self.went_wrong(step, error);
            }
            Event::StepBlocked { step, wake, reasons, .. } => {
                self.blocked(at, step, wake, reasons)?;
            }
            Event::StepFailed { step, error, back, hold, .. } => {
                let instead = hold.then_some(OnFailure::Hold).or(back.map(OnFailure::RollBack));
                self.failed(at, step, &error.message, instead)?;
                self.went_wrong(step, error);
            }
            Event::Approved { gate, by, .. } => self.approved(at, gate, by),
            Event::ApprovalWithdrawn { gate, by, .. } => self.withdrawn(gate, by),
            Event::Rejected { gate, by, reason } => self.rejected(at, gate, by, reason),
            Event::Paused { .. } => self.paused = true,
            Event::Resumed { .. } => self.paused = false,
            Event::CancelRequested { .. } | Event::Superseded { .. } | Event::Descoped { .. } => {
                self.told_to_stop(event);
            }
            Event::AbandonForced { by, reason } => self.abandon_forced(by, reason),
            Event::AlternateChosen { step, at: next, action, error } => {
                self.alternate_chosen(step, action, *next)?;
                self.went_wrong(step, error);
            }
            Event::RollbackStuck { .. } => self.rollback_stuck(),
            Event::RetryRequested { step, .. } => self.retry_requested(at, step)?,
            Event::BakeEnded { step, .. } => self.bake_ended(at, step)?,
            Event::Reconciled { step, applied, .. } => self.reconciled(at, step, *applied)?,
            Event::Noted { .. } | Event::Signalled { .. } => self.told(at, event),
            Event::CommandDenied { .. } | Event::QuarantineReleased { .. } => {}
            Event::PlanMigrated { from, to, kept, .. } => self.plan_migrated(*from, *to, *kept)?,
            Event::TakeBackStarted { extension, .. } => self.take_back_started(extension)?,
            Event::RollbackStarted { cause, extension } => {
                self.rollback_started(cause, extension)?;
            }
            Event::RollbackBlocked { cause, .. } => self.rollback_blocked(at, cause),
            Event::RunFinished { outcome } => self.finished(outcome)?,
        }
        self.give_up_if_left(event);
        self.note_progress(event);
        self.now = self.now.max(at);
        self.active.count();
        Ok(())
    }

    /// A look that found nothing is no failure; performing again follows it, so that looking in vain has an
    /// end all the same.
    fn retried(&mut self, step: &StepRef, next: Timestamp) -> Result<(), IllegalTransition> {
        let looked = self
            .active(step.index)
            .is_some_and(|active| matches!(active.wait, Wait::Outcome { mode: Mode::Look, .. }));
        let wait = self.again(step.index, next);
        self.attempt_over(step, "step_retried", !looked, wait)?;
        Ok(())
    }

    /// Whether the run's phase allows an event at all.
    const fn allows(&self, event: &Event) -> bool {
        match (&self.phase, event) {
            (Phase::Finished(_), _) | (Phase::Abandoning { .. }, Event::AbandonForced { .. }) => {
                false
            }
            (Phase::Stopping(_), Event::StepStarted { mode, .. }) => matches!(mode, Mode::Look),
            (
                phase,
                Event::CancelRequested { .. } | Event::Superseded { .. } | Event::Descoped { .. },
            ) => {
                matches!(phase, Phase::Forward)
            }
            (phase, Event::Signalled { answer: SignalAnswer::RollBack { .. }, .. }) => {
                matches!(phase, Phase::Forward | Phase::Stopping(_))
            }
            (phase, Event::RollbackStuck { .. }) => matches!(phase, Phase::RollingBack(_)),
            (phase, Event::RollbackBlocked { .. }) => matches!(phase, Phase::Stopping(_)),
            _ => true,
        }
    }

    /// What was under way when the last engine stopped has an unknown outcome.
    fn taken_over(&mut self, at: Timestamp) {
        self.count_recovery(at);
        let running: Vec<u32> = self
            .active
            .in_order()
            .into_iter()
            .filter(|(_, a)| matches!(a.wait, Wait::Outcome { .. }))
            .map(|(index, _)| index)
            .collect();
        for index in running {
            self.set_wait(index, Wait::Look { at });
            self.set_status(index, Status::Waiting);
        }
    }

    fn started(
        &mut self,
        at: Timestamp,
        step: &StepRef,
        attempt: u32,
        mode: Mode,
    ) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        let definition = self.plan.step(index);
        let (wait, now) = if let Action::Bake { duration } = &definition.action {
            (Wait::Bake { until: at.plus(*duration) }, Status::Waiting)
        } else {
            (Wait::Outcome { deadline: at.plus(definition.timeout), mode }, Status::Running)
        };
        match status {
            Status::Ready => {
                self.unqueue(index);
                self.insert_active(index, Active::new(attempt, at, wait));
            }
            Status::Waiting => {
                self.set_wait(index, wait);
                if let Some(active) = self.active.get_mut(index) {
                    active.attempt = attempt;
                    active.reasons.clear();
                    active.error.take_if(|_| mode == Mode::Perform);
                }
            }
            Status::Pending
            | Status::Running
            | Status::Succeeded
            | Status::Failed
            | Status::Cancelled
            | Status::Compensated => return Err(wrong_status(step, status, "step_started")),
        }
        if mode == Mode::Perform && self.plan.step(index).action.begins_a_window() {
            self.began.change(&step.id, |began| *began = at);
        }
        if mode == Mode::Perform {
            self.enter(at, index);
        }
        self.set_status(index, now);
        Ok(())
    }

    fn succeeded(&mut self, step: &StepRef) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        if status == Status::Ready {
            self.unqueue(index);
        } else if matches!(status, Status::Waiting | Status::Running) {
            self.remove_active(index);
        } else {
            return Err(wrong_status(step, status, "step_succeeded"));
        }
        self.set_status(index, Status::Succeeded);
        self.complete(index);
        Ok(())
    }

    fn measured(
        &mut self,
        at: Timestamp,
        step: &StepRef,
        evidence: &Evidence,
        (verdict, no_data, next): (Verdict, bool, Timestamp),
    ) -> Result<(), IllegalTransition> {
        let wait = self.again(step.index, next);
        let index = self.attempt_over(step, "step_measured", false, wait)?;
        let plan = self.plan.clone();
        let when = When { at, since: Some(self.window_start(index)) };
        if let Some(active) = self.active.get_mut(index) {
            let measured = &mut active.measured;
            let action = &plan.step(index).action;
            judge::remember(action, evidence, measured, when);
            if let Action::Analyze { analysis, .. } = action {
                measured.count(analysis, (verdict, no_data), action.goes_on());
            }
            active.failures = 0; // attempts are counted for each measurement
        }
        Ok(())
    }

    /// An attempt ended and the step waits for something else.
    pub(super) fn attempt_over(
        &mut self,
        step: &StepRef,
        event: &'static str,
        failure: bool,
        wait: Wait,
    ) -> Result<u32, IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        if status != Status::Running {
            return Err(wrong_status(step, status, event));
        }
        self.set_wait(index, wait);
        if let Some(active) = self.active.get_mut(index).filter(|_| failure) {
            active.failures = active.failures.saturating_add(1);
        }
        self.set_status(index, Status::Waiting);
        Ok(index)
    }

    fn blocked(
        &mut self,
        at: Timestamp,
        step: &StepRef,
        wake: &WakeUp,
        reasons: &[Reason],
    ) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        let wait = Wait::Blocked(wake.clone());
        if status == Status::Ready {
            self.unqueue(index);
            self.insert_active(index, Active::new(0, at, wait));
        } else if status == Status::Waiting {
            self.set_wait(index, wait);
        } else {
            return Err(wrong_status(step, status, "step_blocked"));
        }
        if let Some(active) = self.active.get_mut(index) {
            active.reasons = reasons.to_vec();
        }
        self.set_status(index, Status::Waiting);
        Ok(())
    }

    fn failed(
        &mut self,
        at: Timestamp,
        step: &StepRef,
        message: &str,
        instead: Option<OnFailure>,
    ) -> Result<(), IllegalTransition> {
        let (index, status) = self.resolve(step)?;
        if !matches!(status, Status::Running | Status::Waiting | Status::Ready) {
            return Err(wrong_status(step, status, "step_failed"));
        }
        if status == Status::Ready {
            self.unqueue(index);
        }
        let attempt = self.active.get(index).map_or(0, |active| active.attempt);
        self.spent.change(&index, |spent| *spent = attempt);
        self.remove_active(index);
        self.set_status(index, Status::Failed);
        if self.is_left(index) {
            self.complete(index);
            return Ok(());
        }
        let planned = self.plan.step(index).on_failure;
        let scope = match instead.unwrap_or(planned) {
            OnFailure::Continue => {
                self.complete(index);
                return Ok(());
            }
            #[cfg(planted_bugs)]
            OnFailure::Hold
                if self.plan.in_rollback(index)
                    && crate::planted::is(crate::planted::Bug::RollbackLies) =>
            {
                self.complete(index);
                return Ok(());
            }
            OnFailure::Hold => {
                self.hold(at, index);
                return Ok(());
            }
            OnFailure::Fail => None,
            OnFailure::RollBack(scope) => {
                if self.region_failed(step, scope, message) {
                    return Ok(());
                }
                Some(scope)
            }
        };
        self.stop(step, scope, message);
        Ok(())
    }

    pub(super) fn set_status(&mut self, index: u32, to: Status) {
        if let Some(status) = self.status.get_mut(index as usize) {
            self.sums.status(index, *status, to);
            *status = to;
        }
    }

    pub(super) fn resolve(&self, step: &StepRef) -> Result<(u32, Status), IllegalTransition> {
        let known = self.plan.get(step.index).filter(|known| known.id == step.id);
        let other = || IllegalTransition::OtherStep { index: step.index, id: step.id.to_string() };
        known.and_then(|_| Some((step.index, self.status(step.index)?))).ok_or_else(other)
    }

    pub(super) fn wrong_phase(&self, event: &'static str) -> IllegalTransition {
        IllegalTransition::WrongPhase { phase: self.phase.name(), event }
    }
}

pub(super) fn wrong_status(
    step: &StepRef,
    status: Status,
    event: &'static str,
) -> IllegalTransition {
    IllegalTransition::WrongStatus { id: step.id.to_string(), status: status.name(), event }
}
