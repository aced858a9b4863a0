//! What a simulation takes for granted.

use std::collections::BTreeMap;

use crate::ids::{GateId, RunId, StepId};
use crate::model::Principal;
use crate::port::EffectError;
use crate::run::{Command, Directive};
use crate::time::{Span, Timestamp};

/// Most events of a simulation, unless it is told otherwise.
const MOST_EVENTS: usize = 1_000_000;
/// How far a simulation looks ahead, unless it is told otherwise: 30 days.
const HORIZON: Span = Span::secs(30 * 24 * 3600);
/// How long an effect takes, unless it is told otherwise: 1 min.
const EFFECT: Span = Span::secs(60);

/// What a simulation takes for granted. Effects take a minute each and are good, and nobody does
/// anything, unless it is told otherwise.
#[derive(Debug, Clone)]
#[must_use]
pub struct Assumptions {
    pub(super) run: RunId,
    pub(super) requester: Principal,
    pub(super) start: Timestamp,
    pub(super) effects: Span,
    pub(super) steps: BTreeMap<StepId, Span>,
    pub(super) fails: BTreeMap<StepId, EffectError>,
    pub(super) approvals: Option<Span>,
    pub(super) inputs: Vec<(Timestamp, Directive)>,
    pub(super) horizon: Span,
    pub(super) limit: usize,
}

impl Assumptions {
    /// `requester` asks for run `run` at `start`. A forecast of a run under way begins no earlier than
    /// its last event.
    pub const fn new(run: RunId, requester: Principal, start: Timestamp) -> Self {
        Self {
            run,
            requester,
            start,
            effects: EFFECT,
            steps: BTreeMap::new(),
            fails: BTreeMap::new(),
            approvals: None,
            inputs: Vec::new(),
            horizon: HORIZON,
            limit: MOST_EVENTS,
        }
    }

    /// Every effect takes this long, but for those of which something else is said.
    pub const fn effects_take(mut self, span: Span) -> Self {
        self.effects = span;
        self
    }

    /// The effects of `step` take this long each. Longer than the step's timeout is a timeout.
    pub fn step_takes(mut self, step: StepId, span: Span) -> Self {
        self.steps.insert(step, span);
        self
    }

    /// Every attempt at `step` fails for good, without effect.
    pub fn step_fails(self, step: StepId) -> Self {
        self.step_fails_with(step, EffectError::permanent("assumed", "assumed to fail"))
    }

    /// Every attempt at `step` ends in `error`.
    pub fn step_fails_with(mut self, step: StepId, error: EffectError) -> Self {
        self.fails.insert(step, error);
        self
    }

    /// Every gate that holds a step gets all approvals this long after it began to: from people who have
    /// the gate's roles and did not request the run.
    pub const fn approvals_take(mut self, span: Span) -> Self {
        self.approvals = Some(span);
        self
    }

    /// `by` approves `gate` at `at`.
    pub fn approve(self, gate: GateId, by: Principal, at: Timestamp) -> Self {
        self.command(at, Directive::new(Command::Approve { gate }, by, "assumed"))
    }

    /// Somebody gives the run a command at `at`. Commands of the same instant come in this order.
    pub fn command(mut self, at: Timestamp, directive: Directive) -> Self {
        self.inputs.push((at, directive));
        self
    }

    /// How far to look ahead of the start, by default 30 days. What holds the run then is told.
    pub const fn horizon(mut self, span: Span) -> Self {
        self.horizon = span;
        self
    }

    /// How many events there may be, by default a million.
    pub const fn limit(mut self, events: usize) -> Self {
        self.limit = events;
        self
    }
}
