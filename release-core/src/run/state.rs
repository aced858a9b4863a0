//! What follows from the events so far: flat arrays over the frozen plan, and little else.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::active::{ActiveSet, Timers};
use super::advance::touched;
use super::digest::{Began, Gates, Generations, Spent, Sums};
use super::event::{Cause, Mode, Outcome, WakeUp};
use super::flags::Readings;
use super::left::Left;
use super::measured::Measured;
use super::note::Notes;
use super::regions::Entered;
use super::signal::Signals;
use crate::ids::RunId;
use crate::model::{Digest, Principal};
use crate::plan::{Action, Blocked, Extension, FrozenPlan, Reach, Step, rollback};
use crate::port::{EffectError, Reason};
use crate::time::Timestamp;

/// The state of a run: a fold of its events, by [`RunState::evolve`](RunState) alone.
#[derive(Debug, Clone)]
pub struct RunState {
    pub(super) run: RunId,
    pub(super) plan: FrozenPlan,
    pub(super) requester: Arc<Principal>,
    pub(super) policy: Option<Digest>,
    pub(super) created: Timestamp,
    pub(super) now: Timestamp,
    pub(super) phase: Phase,
    pub(super) paused: bool,
    /// Whether a point of no return has been found in the way back.
    pub(super) rollback_refused: bool,
    /// Whether people were called because the rollback cannot go on by itself.
    pub(super) stuck: bool,
    pub(super) status: Vec<Status>,
    /// For each step, how many predecessors are not done.
    pub(super) waits: Vec<u32>,
    /// Steps that started or are blocked, and are not done.
    pub(super) active: ActiveSet,
    pub(super) timers: Timers,
    /// How many attempts steps made that failed for good.
    pub(super) spent: Spent,
    /// Steps whose predecessors are done: without an effect, and with one.
    pub(super) ready_pure: VecDeque<u32>,
    pub(super) ready: VecDeque<u32>,
    /// Effects under way.
    pub(super) in_flight: u32,
    /// Unknown outcomes that are being looked for.
    pub(super) looking: u32,
    /// Steps that a policy holds without naming an instant.
    pub(super) held: u32,
    /// Steps of the present phase that are not done.
    pub(super) remaining: usize,
    /// How often a step was asked for anew; only steps that were.
    pub(super) generations: Generations,
    pub(super) gates: Gates,
    /// Parts that are left behind.
    pub(super) left: Vec<Left>,
    /// Why no further region begins, once too many have failed.
    pub(super) halted: Option<Cause>,
    /// When what analyses measure from last started, and when an analysis was retried.
    pub(super) began: Began,
    /// When something was first changed in a region, by environment. Records say it, so that no digest does.
    pub(super) entered: Entered,
    /// What was said of the run.
    pub(super) notes: Notes,
    /// What it was told of incidents and alerts.
    pub(super) signals: Signals,
    /// How flags stood before they were changed.
    pub(super) readings: Readings,
    /// How often in a row it was taken over in vain.
    pub(super) recoveries: u32,
    /// What the digest is made of.
    pub(super) sums: Sums,
}

/// What the run as a whole is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Going through the plan.
    Forward,
    /// Starting nothing new, waiting for what is under way.
    Stopping(Cause),
    /// Putting back what was changed.
    RollingBack(Cause),
    /// Given up at once; only people are still called.
    Abandoning {
        /// Who gave it up.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// Over.
    Finished(Outcome),
}

impl Phase {
    /// A word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Forward => "going forward",
            Self::Stopping(_) => "stopping",
            Self::RollingBack(_) => "rolling back",
            Self::Abandoning { .. } => "given up",
            Self::Finished(_) => "over",
        }
    }
}

/// How a step stands. One byte a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Status {
    /// Predecessors are not done.
    Pending,
    /// It may start as soon as there is room.
    Ready,
    /// It waits for an instant or a named input.
    Waiting,
    /// Its effect is under way.
    Running,
    /// Done as asked.
    Succeeded,
    /// Failed for good, or until somebody retries it.
    Failed,
    /// It will not be started.
    Cancelled,
    /// It was done and has been undone.
    Compensated,
}

impl Status {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Compensated => "compensated",
        }
    }
}

/// A step that started or is blocked, and is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// The last attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Attempts that failed since the step was last asked for.
    pub failures: u32,
    /// When it was first considered.
    pub since: Timestamp,
    /// Measurements so far.
    pub measured: Measured,
    /// What it waits for.
    pub wait: Wait,
    /// Why it may not start yet, while it is blocked: all reasons.
    pub reasons: Vec<Reason>,
    /// How the last attempt went wrong, until it acts again.
    pub error: Option<Box<EffectError>>,
}

impl Active {
    pub(super) const fn new(attempt: u32, since: Timestamp, wait: Wait) -> Self {
        let measured = Measured::NONE;
        Self { attempt, failures: 0, since, measured, wait, reasons: Vec::new(), error: None }
    }
}

/// What an active step waits for. Each case has an instant or names an input: a run that is stuck
/// cannot be represented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// The outcome of its effect, or the deadline.
    Outcome {
        /// When it is given up.
        deadline: Timestamp,
        /// Whether it acts or only looks.
        mode: Mode,
    },
    /// The end of its bake time.
    Bake {
        /// When.
        until: Timestamp,
    },
    /// The next attempt.
    Attempt {
        /// When.
        at: Timestamp,
    },
    /// The next measurement of an analysis under way. It only watches what is live already, so that
    /// neither a pause nor a policy holds it.
    Measurement {
        /// When.
        at: Timestamp,
    },
    /// The time to look whether an unknown effect took place.
    Look {
        /// When.
        at: Timestamp,
    },
    /// Admission.
    Blocked(WakeUp),
    /// A person, who retries or reconciles it.
    Operator {
        /// Whether the outcome is unknown, rather than a failure.
        unknown: bool,
    },
}

impl Wait {
    /// The instant at which it is looked at, if it waits for one.
    pub const fn instant(&self) -> Option<Timestamp> {
        match self {
            Self::Outcome { deadline: at, .. }
            | Self::Bake { until: at }
            | Self::Attempt { at }
            | Self::Measurement { at }
            | Self::Look { at }
            | Self::Blocked(WakeUp::Instant { at }) => Some(*at),
            Self::Blocked(WakeUp::Approval { .. } | WakeUp::Policy | WakeUp::Permit)
            | Self::Operator { .. } => None,
        }
    }
}

/// What an instant leads to, and so when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An effect is given up: always.
    Deadline,
    /// A bake time is over: not while the run stops.
    Bake,
    /// An analysis under way measures again: not while the run stops, but while it is paused. Whoever
    /// pauses a canary wants it watched.
    Measure,
    /// A step without an effect may start: while new steps may.
    Pure,
    /// An unknown effect is looked for: while there is room.
    Look,
    /// A step with an effect may start: while new steps may, and there is room.
    Start,
}

impl Timer {
    pub(super) const ALL: [Self; 6] =
        [Self::Deadline, Self::Bake, Self::Measure, Self::Pure, Self::Look, Self::Start];
}

impl RunState {
    /// The run.
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// The plan, with the rollback if there is one.
    pub const fn plan(&self) -> &FrozenPlan {
        &self.plan
    }

    /// Who asked for the run.
    pub const fn requester(&self) -> &Arc<Principal> {
        &self.requester
    }

    /// The digest of the rules that it pins, if it pins any.
    pub const fn policy(&self) -> Option<Digest> {
        self.policy
    }

    /// When it was created.
    pub const fn created_at(&self) -> Timestamp {
        self.created
    }

    /// The instant of the last event. Decision time never goes back behind it.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// What the run as a whole is doing.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// How it ended, once it has.
    pub const fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Finished(outcome) => Some(outcome),
            Phase::Forward
            | Phase::Stopping(_)
            | Phase::RollingBack(_)
            | Phase::Abandoning { .. } => None,
        }
    }

    /// Whether somebody paused it.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// How the step at `index` stands.
    pub fn status(&self, index: u32) -> Option<Status> {
        self.status.get(index as usize).copied()
    }

    /// The details of a step that started or is blocked, and is not done.
    pub fn active(&self, index: u32) -> Option<&Active> {
        self.active.get(index)
    }

    /// All steps that started or are blocked, and are not done, in the order of the plan.
    pub fn all_active(&self) -> Vec<(u32, &Active)> {
        self.active.in_order()
    }

    /// When the measurements of the step at `index` begin: with the start of the bake or change of shares
    /// that it names, or else when it was first considered itself; anew when a person retries it, since
    /// what it failed by would fail it again. The same after a crash.
    pub fn window_start(&self, index: u32) -> Timestamp {
        let step = self.plan.step(index);
        let named = match &step.action {
            Action::Analyze { from, .. } => {
                let anew = self.began.get(&step.id);
                anew.or_else(|| self.began.get(from.as_ref()?)).copied()
            }
            _ => None,
        };
        named.or_else(|| self.active(index).map(|active| active.since)).unwrap_or(self.now)
    }

    /// How many effects are under way.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How often the step at `index` was asked for anew by hand; part of its idempotency key.
    pub fn generation(&self, index: u32) -> u32 {
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::KeyPerAttempt) {
            return self.active(index).map_or(0, |active| active.attempt);
        }
        self.generations.get(&index).copied().unwrap_or(0)
    }

    /// The steps that were asked for anew by hand, by index, and how often.
    pub const fn generations(&self) -> &std::collections::BTreeMap<u32, u32> {
        self.generations.map()
    }

    /// The instants up to `until`, and their steps, at which `timer` leads to something as the run
    /// stands: none of what would start something new while it is paused, stopping or full.
    pub(super) fn timers_of(
        &self,
        timer: Timer,
        until: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, u32)> {
        let leads_on = match timer {
            Timer::Deadline => true,
            Timer::Bake => !matches!(self.phase, Phase::Stopping(_)),
            Timer::Measure => !matches!(self.phase, Phase::Stopping(_)) && self.free() > 0,
            Timer::Pure => self.may_start() || self.only_takes_back(),
            Timer::Look => self.free() > 0,
            Timer::Start => (self.may_start() || self.only_takes_back()) && self.free() > 0,
        };
        let some_start = matches!(timer, Timer::Pure | Timer::Start) && self.only_takes_back();
        let all = leads_on.then(|| self.timers.of(timer));
        let all = all.into_iter().flatten().take_while(move |(at, _)| *at <= until);
        all.filter(move |(_, index)| !some_start || self.plan.in_rollback(*index))
    }

    /// The timer of a step that waits for an instant.
    pub(super) fn timer(&self, index: u32, wait: &Wait) -> Option<(Timer, Timestamp, u32)> {
        #[cfg(planted_bugs)]
        if super::queues::has_no_timer(wait) {
            return None;
        }
        let timer = match wait {
            Wait::Outcome { .. } => Timer::Deadline,
            Wait::Bake { .. } => Timer::Bake,
            Wait::Look { .. } => Timer::Look,
            Wait::Measurement { .. } => Timer::Measure,
            _ if self.plan.step(index).action.is_pure() => Timer::Pure,
            Wait::Attempt { .. } | Wait::Blocked(_) | Wait::Operator { .. } => Timer::Start,
        };
        wait.instant().map(|at| (timer, at, index))
    }

    /// What a step waits for before it is attempted again.
    pub(super) fn again(&self, index: u32, at: Timestamp) -> Wait {
        let begun = self.active(index).is_some_and(|active| active.attempt > 0);
        let analyzes = |step: &Step| matches!(step.action, Action::Analyze { .. });
        if begun && self.plan.get(index).is_some_and(analyzes) {
            return Wait::Measurement { at };
        }
        Wait::Attempt { at }
    }

    /// How many more effects may be under way.
    pub(super) fn free(&self) -> u32 {
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::IgnoreRoom) {
            return u32::MAX;
        }
        self.plan.plan().max_parallel().saturating_sub(self.in_flight)
    }

    /// Whether new steps may start at all.
    pub(super) const fn may_start(&self) -> bool {
        match self.phase {
            Phase::Forward => !self.paused,
            // Neither a pause nor a cancel stops a rollback, nor that people are called.
            Phase::Abandoning { .. } | Phase::RollingBack(_) => true,
            Phase::Stopping(_) | Phase::Finished(_) => false,
        }
    }

    /// What the rollback of everything within `reach` would be, as the run stands; the one that there is,
    /// once one has begun. Where there is no version to return to
    /// ([`RollForwardOnly`](crate::model::RollForwardOnly)), there is none from the beginning. Where a point of no return was passed, there is none, and only the way
    /// forward is left.
    ///
    /// # Errors
    /// [`Blocked`](crate::plan::Blocked) names the point of no return.
    pub fn rollback_plan(&self, reach: &Reach) -> Result<Extension, Blocked> {
        if let Some(blocked) = self.plan.plan().one_way(reach) {
            return Err(blocked);
        }
        match self.plan.rollback() {
            Some((_, extension)) => Ok(extension.clone()),
            None => rollback(&self.plan, |index| touched(self, index), reach)
                .map(|extension| extension.with_recorded(|step| self.flag_before(step))),
        }
    }

    /// The steps of the rollback that wait for a person, while it cannot go on by itself.
    pub fn stuck(&self) -> Vec<&Step> {
        if !self.stuck {
            return Vec::new();
        }
        let waiting = self.active.in_order().into_iter();
        waiting
            .filter(|(_, active)| matches!(active.wait, Wait::Operator { .. }))
            .map(|(index, _)| self.plan.step(index))
            .collect()
    }
}
