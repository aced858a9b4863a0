//! What is asked of a policy, before a step starts and before a command is obeyed.

use std::fmt;

use super::decision::Decision;
use crate::ids::{RunId, TrainId};
use crate::model::{Approval, Digest, Gate, Principal};
use crate::plan::Step;
use crate::run::{Command, RunState};
use crate::time::Timestamp;

/// Decides whether something may happen now. Pure: no I/O, no clock.
pub trait Policy: fmt::Debug + Send + Sync {
    /// Whether a step may start.
    ///
    /// Asked before each step with an effect that goes forward. Steps without one
    /// ([`Action::is_pure`](crate::plan::Action::is_pure)) hurt nobody, and rollbacks obey no policy.
    fn admit(&self, request: &Admission<'_>) -> Decision;

    /// Whether the approvals that were given at the gates before a step still count, by what is known now of
    /// who gave them ([`RunState::approvals_of`]).
    ///
    /// Asked of every step that goes forward and has a [`Gate::Approval`], whether it has an effect or not, and of
    /// every one with an effect for which [`Admission::gates`] tells of others: gates of stages stand before a step
    /// without one, and are no latch for what comes behind. The engine itself counts accounts with a role; a policy
    /// that knows people can count fewer, never more.
    ///
    /// Both questions about one step are to be answered from one directory. Where both answers name one
    /// ([`Inputs::directory`](super::Inputs::directory)) and it is not the same, the engine asks both once more, and
    /// then waits.
    fn opens(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }

    /// Whether somebody may give a command to a run.
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision;

    /// The digest of its rules as they are now. A run pins it as it begins: what allows something is then
    /// what those rules say, while what denies is always taken from the rules of the day.
    fn digest(&self) -> Option<Digest> {
        None
    }
}

/// What a policy is asked before a step starts.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Admission<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Who asked for the run.
    pub requester: &'a Principal,
    /// The step.
    pub step: &'a Step,
    /// Whether the step is part of a rollback. The engine does not ask about those, and obeys no
    /// policy in them; hosts that ask a policy themselves can.
    pub rollback: bool,
    /// The decision's instant.
    pub now: Timestamp,
    /// The digest of the rules that the run pins, if it pins any.
    pub pinned: Option<Digest>,
    /// The run as it stands, and the step's place in its plan. Hosts that ask a policy themselves may not
    /// have it.
    pub at: Option<(&'a RunState, u32)>,
}

impl<'a> Admission<'a> {
    /// A request to start `step` of `run` at `now`, going forward.
    pub const fn new(
        run: &'a RunId,
        requester: &'a Principal,
        step: &'a Step,
        now: Timestamp,
    ) -> Self {
        Self { run, requester, step, rollback: false, now, pinned: None, at: None }
    }

    /// A request to start the step at `index` of a run that stands as `state` says.
    pub(crate) fn of(state: &'a RunState, index: u32, step: &'a Step, now: Timestamp) -> Self {
        let new = Self::new(state.run(), state.requester(), step, now);
        Self { pinned: state.policy(), at: Some((state, index)), ..new }
    }

    /// The same of a run that pins these rules.
    #[must_use]
    pub const fn pinned(mut self, policy: Option<Digest>) -> Self {
        self.pinned = policy;
        self
    }

    /// The digest of the run's plan, where it is known.
    pub fn plan(&self) -> Option<Digest> {
        self.at.map(|(state, _)| state.plan().digest())
    }

    /// The train, where it is known.
    pub fn train(&self) -> Option<&'a TrainId> {
        self.at.map(|(state, _)| state.plan().plan().train())
    }

    /// The approvals that hold for the step: of its own gates; and, where it is known how the run stands, of those
    /// that were passed by steps without an effect in whose place all of its own lies. So they hold until the last
    /// effect behind them begins. What changes something and says of no place where, lies in each.
    pub fn gates(&self) -> impl Iterator<Item = &'a Approval> + use<'a> {
        let own = self.step.gates.iter().filter_map(Gate::approval);
        let at = self.at.filter(|_| !self.rollback);
        own.chain(at.into_iter().flat_map(|(state, index)| state.passed_for(index)))
    }

    /// Since when the step could start but for its gates, the policy and limits, where that is known.
    pub fn since(&self) -> Option<Timestamp> {
        let (state, index) = self.at?;
        Some(state.active(index).map_or(self.now, |active| active.since))
    }

    /// The same for a step of a rollback, or not.
    #[must_use]
    pub const fn in_rollback(mut self, rollback: bool) -> Self {
        self.rollback = rollback;
        self
    }
}

/// What a policy is asked when somebody gives a command.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CommandRequest<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Who asked for the run.
    pub requester: &'a Principal,
    /// Who gives the command.
    pub by: &'a Principal,
    /// The command, with the gate or step that it is about.
    pub command: &'a Command,
    /// The decision's instant.
    pub now: Timestamp,
    /// The digest of the rules that the run pins, if it pins any.
    pub pinned: Option<Digest>,
    /// The run as it stands. Hosts that ask a policy themselves may not have it.
    pub state: Option<&'a RunState>,
}

impl<'a> CommandRequest<'a> {
    /// A request of `by` to give `command` to `run`.
    pub const fn new(
        run: &'a RunId,
        requester: &'a Principal,
        by: &'a Principal,
        command: &'a Command,
        now: Timestamp,
    ) -> Self {
        Self { run, requester, by, command, now, pinned: None, state: None }
    }

    /// A request of `by` to give `command` to a run that stands as `state` says.
    pub(crate) fn of(
        state: &'a RunState,
        by: &'a Principal,
        command: &'a Command,
        now: Timestamp,
    ) -> Self {
        let new = Self::new(state.run(), state.requester(), by, command, now);
        Self { pinned: state.policy(), state: Some(state), ..new }
    }

    /// The digest of the run's plan, where it is known.
    pub fn plan(&self) -> Option<Digest> {
        self.state.map(|state| state.plan().digest())
    }

    /// The train, where it is known.
    pub fn train(&self) -> Option<&'a TrainId> {
        self.state.map(|state| state.plan().plan().train())
    }

    /// The same of a run that pins these rules.
    #[must_use]
    pub const fn pinned(mut self, policy: Option<Digest>) -> Self {
        self.pinned = policy;
        self
    }
}

/// Permits everything. For tests and for hosts that decide elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct PermitAll;

impl Policy for PermitAll {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}
