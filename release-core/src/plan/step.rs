//! The step: what the engine knows of a release.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FlagStep, RetryPolicy, StepScope};
use crate::bounds::in_order;
use crate::ids::{ChannelId, PrincipalId, StepId, TrackId};
use crate::model::{
    Analysis, AntiAffinity, ArtifactRef, Digest, Gate, Metadata, RollbackScope, Target,
    TrafficRules,
};
use crate::time::Span;

/// One unit of work: an action, what must hold before it, and how it is undone.
///
/// Stored plans are pinned by their digest and say their format. A field that this version does not know, here
/// or below, is refused when a plan is read ([`PlanError::UnknownContent`](super::PlanError::UnknownContent))
/// rather than lost: what is then run would not be what was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name; unique in the plan.
    pub id: StepId,
    /// What is done.
    pub action: Action,
    /// Where it belongs.
    #[serde(default, skip_serializing_if = "StepScope::is_empty")]
    pub scope: StepScope,
    /// What must hold before it starts; all of it, evaluated together at admission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// How often it is tried.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: RetryPolicy,
    /// How long one attempt may take; at least a millisecond.
    #[serde(default = "default_timeout", skip_serializing_if = "is_default_timeout")]
    pub timeout: Span,
    /// How it is undone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub undo: Undo,
    /// What happens when it fails for good.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// The group it is rolled back with: an index into [`Plan::groups`](super::Plan::groups).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Whether it only tidies up behind a rollout that is done and verified: no rollback of another
    /// target undoes it, and one that ends the run does it instead of leaving it undone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub finale: bool,
}

impl Step {
    /// Whether people have to agree before it starts.
    pub fn is_gated(&self) -> bool {
        self.gates.iter().any(|gate| gate.approval().is_some())
    }

    /// A step without gates, tried once, undone by nothing yet.
    pub fn new(id: StepId, action: Action) -> Self {
        Self {
            id,
            action,
            scope: StepScope::default(),
            gates: Vec::new(),
            retry: RetryPolicy::default(),
            timeout: default_timeout(),
            undo: Undo::Undeclared,
            on_failure: OnFailure::Fail,
            group: None,
            finale: false,
        }
    }

    /// Sets where it belongs; rollbacks and policies go by it.
    #[must_use]
    pub fn scope(mut self, scope: StepScope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets the group that it is rolled back with, as
    /// [`PlanBuilder::group`](super::PlanBuilder::group) returned it.
    #[must_use]
    pub const fn group(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// Sets how it is undone.
    #[must_use]
    pub fn undo(mut self, undo: Undo) -> Self {
        self.undo = undo;
        self
    }

    /// Sets what happens when it fails for good.
    #[must_use]
    pub const fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// Sets how often it is tried.
    #[must_use]
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Span) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a gate.
    #[must_use]
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gates.push(gate);
        self
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn default_timeout() -> Span {
    Span::secs(60)
}

fn is_default_timeout(value: &Span) -> bool {
    *value == default_timeout()
}

/// What a step does. The engine tells only pure from effectful; meaning is the providers'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Nothing: a point at which others meet. Decided in the same turn.
    #[serde(deserialize_with = "no_fields")]
    Sync,
    /// Waits. Decided by time alone.
    #[doc(alias = "pause")]
    Bake {
        /// For how long.
        duration: Span,
    },
    /// Reads an artifact and checks its digest.
    VerifyArtifact {
        /// Which.
        artifact: ArtifactRef,
    },
    /// Sees to it that exactly `replicas` instances of one artifact run in a target; others in the
    /// target are not touched.
    Scale {
        /// Where and what.
        deployment: Arc<Deployment>,
        /// How many.
        replicas: u32,
        /// Whether they keep away from machines on which other artifacts run in the target; not said: they stand where there is
        /// room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        apart: Option<AntiAffinity>,
        /// What they carry from then on, those that run already as well, in place of what a step before said of that; not said: what
        /// they carry stays as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Arc<Metadata>>,
    },
    /// Waits until instances of one artifact are ready.
    Probe {
        /// Where and what.
        deployment: Arc<Deployment>,
        /// How many must be ready.
        min_ready: u32,
    },
    /// Distributes the traffic of a target, and confirms that it is so distributed.
    Route {
        /// Where.
        target: Target,
        /// The shares; empty: nobody is served.
        weights: Vec<Weight>,
        /// What holds beside the shares.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<Box<TrafficRules>>,
    },
    /// Looks once whether the traffic of a target is still distributed as a step before set it. Where it is not, it has
    /// [drifted](crate::port::DRIFT), and that is not tried again.
    Confirm {
        /// Where.
        target: Target,
        /// The shares that were set; empty: nobody is served.
        weights: Vec<Weight>,
        /// What was set beside the shares.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<Box<TrafficRules>>,
    },
    /// Measures a version and judges it.
    Analyze {
        /// Where and what.
        deployment: Arc<Deployment>,
        /// How.
        analysis: Arc<Analysis>,
        /// The bake or the change of shares with whose start the measurements begin; without one they
        /// begin with this step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<StepId>,
        /// What it is compared with, for analyses that [compare](Analysis::compares).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<Box<Beside>>,
        /// The step with whose success it ends, in the background of others. It has passed then if a measurement was good and no
        /// limit was passed, and without any good one it has failed as *not evaluated*.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<StepId>,
    },
    /// Reads, sets or restores a feature flag.
    Flag(FlagStep),
    /// Tells somebody.
    Notify {
        /// Where to.
        channel: ChannelId,
        /// One line.
        message: String,
    },
    /// Anything else, for providers that a host registers itself.
    Custom {
        /// The capability that performs it.
        capability: String,
        /// Its input.
        #[serde(default, skip_serializing_if = "Value::is_null", serialize_with = "in_order")]
        input: Value,
    },
}

/// serde lets variants without fields have any, even where unknown fields are denied.
pub(super) fn no_fields<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoFields {}
    NoFields::deserialize(deserializer).map(|NoFields {}| ())
}

impl Action {
    /// Whether it is decided without an effect.
    pub const fn is_pure(&self) -> bool {
        matches!(self, Self::Sync | Self::Bake { .. })
    }

    /// Whether analyses can measure from its start: a bake or a change of shares.
    pub const fn begins_a_window(&self) -> bool {
        matches!(self, Self::Bake { .. } | Self::Route { .. })
    }

    /// Whether it watches in the background of others, as long as they go on: that all is well now says nothing of later.
    pub const fn goes_on(&self) -> bool {
        matches!(self, Self::Analyze { until: Some(_), .. })
    }

    /// Whether it changes something that a rollback has to put back.
    pub const fn mutates(&self) -> bool {
        match self {
            Self::Flag(flag) => flag.mutates(),
            _ => matches!(self, Self::Scale { .. } | Self::Route { .. } | Self::Custom { .. }),
        }
    }
}

/// One artifact in one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Where.
    pub target: Target,
    /// What.
    pub artifact: ArtifactRef,
    /// The version that people call it by.
    pub version: semver::Version,
}

/// The version that a new one is compared with, while both are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Where and what.
    pub baseline: Arc<Deployment>,
    /// The new version's share of the traffic in percent, of what both get.
    pub share: u8,
    /// Whether more decides than that share: headers, clients who stay where they are, or what requests have to be to be copied.
    /// Then nothing is wrong with other shares than the planned one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub steered: bool,
}

impl Beside {
    /// Beside `baseline`, with `share` percent of what both get, by which alone requests go.
    pub fn new(baseline: impl Into<Arc<Deployment>>, share: u8) -> Self {
        Self { baseline: baseline.into(), share, steered: false }
    }
}

/// One version's share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// The version's content.
    pub digest: Digest,
    /// The version that people call it by.
    pub version: semver::Version,
    /// Its share in percent.
    pub percent: u8,
    /// The instances of it that get the share: those of the [track](Target::track); without one, the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackId>,
}

impl Weight {
    /// A share of `percent` for one version.
    pub const fn new(digest: Digest, version: semver::Version, percent: u8) -> Self {
        Self { digest, version, percent, track: None }
    }

    /// The same, for instances that are kept apart.
    #[must_use]
    pub fn on(mut self, track: TrackId) -> Self {
        self.track = Some(track);
        self
    }

    /// What people call it: the version, and behind an `@` its track.
    pub fn label(&self) -> String {
        match &self.track {
            Some(track) => format!("{}@{track}", self.version),
            None => self.version.to_string(),
        }
    }

    /// What is wrong with the shares of one target, and how to mend it: they make 100 percent or are none, and nobody has two.
    pub fn problem(weights: &[Self]) -> Option<String> {
        fn whose(weight: &Weight) -> (Digest, Option<&TrackId>) {
            (weight.digest, weight.track.as_ref())
        }
        let sum: u32 = weights.iter().map(|weight| u32::from(weight.percent)).sum();
        if !weights.is_empty() && sum != 100 {
            return Some(format!("shares add up to {sum} %; make them 100"));
        }
        let twice = match weights {
            [] | [_] => None,
            [one, other] => (whose(one) == whose(other)).then_some(other),
            many => {
                let mut seen = BTreeSet::new();
                many.iter().find(|weight| !seen.insert(whose(weight)))
            }
        }?;
        Some(format!("{} has two shares; give it one", twice.label()))
    }

    /// Whether two distributions are the same, whatever their order and without shares of 0.
    pub fn same_shares(one: &[Self], other: &[Self]) -> bool {
        fn shares(weights: &[Weight]) -> Vec<(Digest, &Option<TrackId>, u8)> {
            let mut shares: Vec<_> =
                weights.iter().map(|w| (w.digest, &w.track, w.percent)).collect();
            shares.retain(|(.., percent)| *percent > 0);
            shares.sort_unstable();
            shares
        }
        shares(one) == shares(other)
    }

    /// Shares, and what holds beside them, in words.
    pub fn in_words(weights: &[Self], rules: Option<&TrafficRules>) -> String {
        let shares = weights.iter().filter(|weight| weight.percent > 0);
        let shares: Vec<_> = shares
            .map(|w| format!("{}% {} ({})", w.percent, w.label(), w.digest.short()))
            .collect();
        let shares = if shares.is_empty() { "nobody".to_owned() } else { shares.join(", ") };
        let rules = rules.map(ToString::to_string).unwrap_or_default();
        format!("{shares}{rules}")
    }
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Undo {
    /// Nobody said. Fine for actions that change nothing, an error for all others.
    #[default]
    Undeclared,
    /// These put back what it changed; at least one, and of a change of instances, shares or flags one of the same kind in the same
    /// place. (Plans of before have empty ones, which mean [`Undo::Nothing`].)
    Compensate(Vec<Compensation>),
    /// Nothing has to be put back: it leaves nothing behind that matters, as a call that looks something up, or what undoes
    /// others undoes it as well. Of instances, shares and flags there has to be such another; of custom actions only their author
    /// knows.
    Nothing,
    /// What it changed stays when the rest is put back, because people want to look at it. Nobody but they undo it.
    Stays,
    /// It cannot be undone: after it, a rollback is refused and people must decide.
    PointOfNoReturn {
        /// Why that is acceptable.
        justification: String,
        /// Who accepts it. Plans that are made have one; those of before may have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approver: Option<PrincipalId>,
    },
}

impl Undo {
    /// It cannot be undone, which `approver` accepts for this reason.
    pub fn point_of_no_return(justification: impl Into<String>, approver: PrincipalId) -> Self {
        Self::PointOfNoReturn { justification: justification.into(), approver: Some(approver) }
    }

    /// What puts back what was changed; empty where nothing does.
    pub fn compensations(&self) -> &[Compensation] {
        match self {
            Self::Compensate(compensations) => compensations,
            Self::Undeclared | Self::Nothing | Self::Stays | Self::PointOfNoReturn { .. } => &[],
        }
    }
}

/// An action that puts back what a step changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compensation {
    /// What is done.
    pub action: Action,
    /// When in the rollback of its group.
    #[serde(default)]
    pub phase: UndoPhase,
}

/// The order of compensations in one group. What is to serve is brought up and checked before
/// traffic returns to it, and only then is the other removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoPhase {
    /// Before everything else, in the reverse order of the steps: where not all instances of both versions may be there
    /// at once, so that room is made before what is to serve is brought up.
    Unwind,
    /// Bring back what is to serve.
    RestoreCapacity,
    /// Check that it can.
    CheckHealth,
    /// Return traffic to it.
    RestoreTraffic,
    /// The place of everything without a better one. Groups that are undone later wait up to here.
    #[default]
    Remove,
    /// Remove what no longer serves, once it was kept as long as it is to be. Other groups do not wait for it.
    Retire,
    /// Tell who wants to know. Nothing waits for it, and a failure is noted and changes nothing.
    Tell,
}

/// What happens when a step fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run ends as failed; what was changed stays.
    #[default]
    Fail,
    /// The failure is recorded, and the steps after it go on as if it had succeeded.
    Continue,
    /// The step waits for somebody to retry it; steps that do not need it go on.
    Hold,
    /// What the run changed in this scope is rolled back.
    RollBack(RollbackScope),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_writes_only_what_differs_from_the_default() {
        let step = Step::new(StepId::new("a").unwrap(), Action::Sync);
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(json, r#"{"id":"a","action":{"type":"sync"}}"#);
        assert_eq!(serde_json::from_str::<Step>(&json).unwrap(), step);
    }
}
