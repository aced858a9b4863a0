//! What the engine needs from outside: small traits, and the plain data that crosses them.
//!
//! Nothing here knows a vendor. `release-providers` implements [`Performer`] by routing to
//! providers, `release-policy` implements [`Policy`]; [`crate::journal::Journal`] is the third port.

mod decision;
mod kill;
mod looked;
mod point;
mod policy;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::flags::FlagReading;
use crate::ids::{RunId, StepId};
use crate::model::{Digest, Finite, Principal, Target, TrafficRules};
use crate::plan::{CriterionUnobservable, Plan, Step, Weight};
use crate::time::{Span, Timestamp};

pub use self::decision::{Basis, Binding, Decision, Grant, Inputs, Reason, ReasonKind};
pub use self::kill::KillOrder;
pub use self::point::{MAX_POINTS, Point};
pub use self::policy::{Admission, CommandRequest, PermitAll, Policy};

/// Tells the time and waits for it. The only source of time in a process that embeds the engine.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// What is wrong with the clock, while something is. Until then nothing but rollbacks is admitted.
    fn anomaly(&self) -> Option<ClockAnomaly>;

    /// Both at once, for clocks to which a reading is not for nothing.
    fn read(&self) -> (Timestamp, Option<ClockAnomaly>) {
        (self.now(), self.anomaly())
    }

    /// Returns once [`Clock::now`] is at or after `at`.
    async fn sleep_until(&self, at: Timestamp);
}

/// The wall clock jumped: it says something else than the time that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wall clock says {wall}, but by the time that has passed it is {expected}")]
pub struct ClockAnomaly {
    /// What the wall clock says.
    pub wall: Timestamp,
    /// What it would say, had it not jumped. [`Clock::now`] says this too.
    pub expected: Timestamp,
}

/// Brings effects about. The engine's only way to the world.
#[async_trait]
pub trait Performer: fmt::Debug + Send + Sync + 'static {
    /// Checks that every step of `plan` can be performed, before anything moves.
    ///
    /// # Errors
    /// One [`BindingError`] for each step that nobody here can perform.
    fn check(&self, plan: &Plan) -> Result<(), Vec<BindingError>>;

    /// Checks, before a run of `plan` begins or goes on with it, what need not hold of runs that are under way. As
    /// [`check`](Self::check) says, unless there is more to say: a run that was begun has to come to its end.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    fn check_new(&self, plan: &Plan) -> Result<(), Vec<BindingError>> {
        self.check(plan)
    }

    /// Sees, before a run of `plan` begins for `requester`, whether all that may stop it or take it back can be judged by what is measured
    /// now. It changes nothing. Whoever measures nothing, or leaves this to its host, need not have it.
    ///
    /// # Errors
    /// All criteria that could not be judged, with what is lacking: then the run does not begin.
    async fn can_judge(
        &self,
        plan: &Plan,
        requester: &Principal,
    ) -> Result<(), Vec<CriterionUnobservable>> {
        let _ = (plan, requester);
        Ok(())
    }

    /// Who performs `step`, by a name that limits can give, if that is known here.
    fn provider(&self, step: &Step) -> Option<String> {
        let _ = step;
        None
    }

    /// Brings about what `command` says and returns what was observed.
    ///
    /// Idempotent under [`AuthorizedCommand::key`]: asked again with the same key, it changes
    /// nothing that is already as it should be.
    ///
    /// # Errors
    /// [`EffectError`], whose `effect` says whether anything may have changed.
    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError>;

    /// Looks, without changing anything, whether `command` has been brought about. Asked when an
    /// earlier attempt's outcome is unknown (crash, timeout).
    ///
    /// # Errors
    /// [`EffectError`] when it cannot be told.
    async fn observe(&self, command: &AuthorizedCommand) -> Result<Observed, EffectError>;

    /// Switches a flag off at once, and sees to it that nothing turns it on again but a person's word. Returns how it
    /// stands then. Asked again, it changes nothing.
    ///
    /// Whoever performs no steps about flags need not have it.
    ///
    /// # Errors
    /// [`EffectError`] when it is not known to be off; of kind `unsupported` where nobody here keeps flags.
    async fn kill(&self, order: &KillOrder) -> Result<FlagReading, EffectError> {
        let text = format!("nobody here keeps flags, and so not `{}`", order.flag());
        Err(EffectError::permanent("unsupported", text))
    }
}

/// What a look at the world found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// The effect is in place.
    Applied(Evidence),
    /// The effect is not in place, or only in part: performing it (again) is safe and needed.
    NotApplied,
}

/// A step that no provider can perform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step `{step}` cannot be performed: {problem}")]
pub struct BindingError {
    /// The step.
    pub step: StepId,
    /// What is missing and how to mend it.
    pub problem: String,
}

/// An effect that was announced in the journal and permitted: only the engine can make one.
///
/// ```compile_fail
/// use release_core::port::AuthorizedCommand;
/// let forged = AuthorizedCommand {};
/// ```
#[derive(Debug, Clone)]
pub struct AuthorizedCommand {
    pub(crate) mandate: Arc<Mandate>,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
    pub(crate) generation: u32,
    /// Those of all steps that were asked for anew; rarely any.
    pub(crate) generations: Option<Arc<BTreeMap<u32, u32>>>,
    pub(crate) deadline: Timestamp,
    pub(crate) since: Timestamp,
}

/// What the commands of a run have in common: they share one, so that a command is cheap.
#[derive(Debug)]
pub(crate) struct Mandate {
    pub(crate) run: RunId,
    pub(crate) plan: crate::plan::FrozenPlan,
    pub(crate) epoch: u64,
    pub(crate) requester: Arc<Principal>,
    pub(crate) cancellation: CancellationToken,
}

impl AuthorizedCommand {
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.mandate.run
    }

    /// The step to perform.
    pub fn step(&self) -> &Step {
        self.mandate.plan.step(self.step)
    }

    /// Which attempt this is, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The idempotency key: the same for every attempt at this step until somebody asks for a new
    /// generation by retrying it by hand.
    pub fn key(&self) -> String {
        self.key_in(&self.step().id, self.generation)
    }

    /// The key that another step of the plan has or had, as of when this command was made; `None` for a step that the
    /// plan does not have. By it a step refers to what an earlier one started.
    pub fn key_of(&self, step: &StepId) -> Option<String> {
        let index = self.mandate.plan.find(step)?;
        let anew = self.generations.as_ref().and_then(|all| all.get(&index));
        Some(self.key_in(step, anew.copied().unwrap_or(0)))
    }

    fn key_in(&self, step: &StepId, generation: u32) -> String {
        format!("{}/{step}/{generation}", self.run())
    }

    /// Whether the step is part of a rollback.
    pub fn is_rollback(&self) -> bool {
        self.mandate.plan.in_rollback(self.step)
    }

    /// The writer's epoch; a provider that can, rejects older ones (fencing).
    pub fn epoch(&self) -> u64 {
        self.mandate.epoch
    }

    /// Since when the step is to measure: the start of the bake or change of shares that it names, or when
    /// it was first considered itself. The same for every attempt, also after a crash.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// When the attempt is given up.
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// On whose behalf.
    pub fn requester(&self) -> &Principal {
        &self.mandate.requester
    }

    /// Cancelled when nobody needs the effect any more: the engine shuts down, or the run stops because
    /// a step failed or somebody cancelled it.
    ///
    /// A provider that sees it leaves off where that is safe and returns soon, with an error whose
    /// effect is [`EffectCertainty::Unknown`] if anything may have changed; what it left is then looked
    /// for before anything is put back.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.mandate.cancellation
    }
}

/// The [kind](EffectError::kind) of failure of a step that looked whether traffic is still distributed as it was set
/// ([`Action::Confirm`](crate::plan::Action::Confirm)), and saw that it is not. Its message says what was set and what was
/// seen, and its evidence is what was seen.
pub const DRIFT: &str = "drift";

/// How old health may be that a step passes by: a minute.
pub const MAX_HEALTH_AGE: Span = Span::secs(60);

/// What an effect observed. Journaled, and judged by pure code: a provider never says «passed».
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Evidence {
    /// Nothing beyond the fact that it is done.
    #[default]
    Done,
    /// An artifact was read and hashed.
    Artifact {
        /// The digest of the bytes that were read.
        digest: Digest,
        /// How many bytes.
        bytes: u64,
    },
    /// Instances of one artifact that run in a target.
    Instances {
        /// Where the provider looked.
        target: Target,
        /// What runs.
        digest: Digest,
        /// How many.
        running: u32,
    },
    /// Instances that answered a health check.
    Health {
        /// Where the provider looked.
        target: Target,
        /// The version that was asked after.
        digest: Digest,
        /// How many are ready.
        ready: u32,
        /// What the others said, one line each.
        unready: Vec<String>,
        /// When the instances were asked, on the provider's clock. What is older than [`MAX_HEALTH_AGE`] is no evidence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        observed_at: Option<Timestamp>,
    },
    /// Traffic as the router distributes it.
    Weights {
        /// Where the provider looked.
        target: Target,
        /// The shares in effect.
        weights: Vec<Weight>,
        /// What holds beside the shares.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<Box<TrafficRules>>,
        /// Requests served since these shares took effect, by version.
        served: Vec<Served>,
    },
    /// A feature flag, as its store tells of it.
    Flag(FlagReading),
    /// One measurement of a metric.
    Measurement(Measurement),
    /// One measurement of each of two versions, taken together.
    Comparison {
        /// Of the new version.
        canary: Box<Measurement>,
        /// Of the version that was there before.
        baseline: Box<Measurement>,
    },
    /// One measurement of each metric of a scorecard, of each of two versions, taken together.
    Comparisons {
        /// In the order of the scorecard.
        of: Vec<Pair>,
    },
    /// One measurement of each of several metrics of one version, taken together.
    Measurements {
        /// In the order of the objectives.
        of: Vec<Measurement>,
    },
    /// What a custom capability returned.
    Custom {
        /// The provider's answer.
        #[serde(serialize_with = "crate::bounds::in_order")]
        output: serde_json::Value,
    },
}

/// One metric of two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Of the new version.
    pub canary: Measurement,
    /// Of the version that was there before.
    pub baseline: Measurement,
}

/// Requests that one version served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Served {
    /// The version.
    pub digest: Digest,
    /// How many requests.
    pub requests: u64,
}

impl Served {
    /// So many requests that a version served.
    pub const fn new(digest: Digest, requests: u64) -> Self {
        Self { digest, requests }
    }
}

/// A metric's value, or the reason why there is none. NaN and infinities cannot be in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measurement {
    /// A ratio of two counters.
    Ratio {
        /// The version that the samples are labelled with.
        digest: Digest,
        /// What was looked for.
        numerator: Finite,
        /// The whole.
        denominator: Finite,
    },
    /// What a histogram's buckets counted.
    Histogram {
        /// The version that the samples are labelled with.
        digest: Digest,
        /// Its buckets, by growing bounds; the last has none, and counts everything.
        buckets: Vec<Bucket>,
    },
    /// One number of a moment.
    Value {
        /// The version that the sample is labelled with.
        digest: Digest,
        /// The number.
        value: Finite,
        /// Of when it is, by the source.
        at: Timestamp,
    },
    /// What a range has: its points in order, and what is none.
    Points {
        /// The version that the samples are labelled with.
        digest: Digest,
        /// The facts, by growing instants; at most [`MAX_POINTS`].
        points: Vec<Point>,
    },
    /// No usable data.
    NoData {
        /// Why: no samples, NaN, an unreachable source, another version's samples.
        reason: String,
    },
}

/// How many observations lay at or below a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The bound, which belongs to it; `None` is above everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Finite>,
    /// How many, those of the buckets below included.
    pub count: Finite,
}

/// Whether an effect took place although it was reported as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectCertainty {
    /// Nothing changed: trying again is safe.
    NotApplied,
    /// Nobody knows: look before acting again.
    Unknown,
    /// It did take place.
    Applied,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// Later it may succeed.
    Backoff,
}

/// An effect that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct EffectError {
    /// A stable word for the kind of fault, for example `not_found`.
    pub kind: String,
    /// One line for people: what, where and how to mend it.
    pub message: String,
    /// Whether trying again can help.
    pub retry: Retry,
    /// Whether anything changed.
    pub effect: EffectCertainty,
    /// How long to wait at least before trying again, if whoever failed said so. Older records do
    /// not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
}

impl EffectError {
    /// An effect that did not take place and will not if tried again.
    pub fn permanent(kind: impl Into<String>, message: impl Into<String>) -> Self {
        let (retry, effect) = (Retry::Never, EffectCertainty::NotApplied);
        Self { kind: kind.into(), message: message.into(), retry, effect, retry_after: None }
    }

    /// An effect that did not take place, but may when tried again.
    pub fn transient(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { retry: Retry::Backoff, ..Self::permanent(kind, message) }
    }

    /// An effect that may or may not have taken place.
    pub fn unknown(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { effect: EffectCertainty::Unknown, ..Self::transient(kind, message) }
    }

    /// The same error, with advice not to try again before `pause` has passed.
    #[must_use]
    pub const fn after(mut self, pause: Span) -> Self {
        self.retry_after = Some(pause);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_that_was_advised_is_stored_and_older_records_have_none() {
        let advised = EffectError::transient("rate_limited", "slow down").after(Span::secs(30));
        let stored = serde_json::to_string(&advised).unwrap();
        assert!(stored.contains(r#""retry_after":"30s""#), "{stored}");
        assert_eq!(serde_json::from_str::<EffectError>(&stored).unwrap(), advised);
        // As records were written before there was such advice, to the letter.
        let old = r#"{"kind":"busy","message":"m","retry":"backoff","effect":"not_applied"}"#;
        let read: EffectError = serde_json::from_str(old).unwrap();
        assert_eq!(read, EffectError::transient("busy", "m"));
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
    }
}
