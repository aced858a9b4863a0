//! A share of the traffic, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AntiAffinity, Copies, Experiment, KeepNew, Metadata, Portion, StepCall, is_default};
use crate::ids::AnalysisId;
use crate::model::Gate;
use crate::model::traffic::{HeaderRule, SessionAffinity};
use crate::time::Span;

/// Give the new version a share of the traffic that changes step by step, and grows to all of it.
///
/// # When nobody knows
/// No share grows before every analysis of its step has passed, and what is undecided never passes. What was found to be worse goes
/// back by the criteria of rollback; so does what was not measured, and what a limit left undecided. What a sequential test left
/// undetermined shows no harm, and happens to one in six of equal versions at the most where a plan has as few looks as the planner accepts: it holds,
/// with the share that it has, until people look again, cancel or give it up. To go back there too, without asking anybody, let the
/// analysis say `undecided: fail`, and look longer. [`Undecided`](crate::model::Undecided) has the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The shares in order, each with what follows it; all traffic follows the last.
    pub steps: Vec<CanaryStep>,
    /// How long the old version is kept, ready to take over, once the whole set is verified.
    #[serde(default)]
    #[doc(alias = "scaleDownDelaySeconds")]
    pub keep_old: Span,
    /// How long the new version is kept without traffic after a rollback, for people to look at.
    #[serde(default, skip_serializing_if = "is_default")]
    #[doc(alias = "abortScaleDownDelaySeconds")]
    pub keep_new_after_abort: KeepNew,
    /// So many instances either version has at least, where a percentage or its share says how many it has; rounded up, and
    /// never more than the service has. A number that a step asks for, and none at all, stay as they are.
    #[serde(default, skip_serializing_if = "is_default")]
    #[doc(alias = "minPodsPerReplicaSet")]
    pub min_replicas: Portion,
    /// How many of the instances that a step asks for have to be ready before it goes on, for all steps that do not say it
    /// themselves; all of them, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias = "replicaProgressThreshold")]
    #[doc(alias = "canaryReadyThreshold")]
    pub ready: Option<CanaryReady>,
    /// Whether the old version gives up instances as it loses traffic, at most in proportion.
    #[serde(default, skip_serializing_if = "is_default")]
    #[doc(alias = "dynamicStableScale")]
    pub shrink_old: bool,
    /// Lets clients stay with the version that answered them, while both are served. Whoever keeps clients needs all of its
    /// instances, whatever its share: the new version, and the old one unless they stay with the
    /// [new one alone](crate::model::AffinityTo::NewVersion).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias = "sessionAffinity")]
    pub affinity: Option<SessionAffinity>,
    /// Whether the new version's instances are started on other machines than the old one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias = "antiAffinity")]
    pub anti_affinity: Option<AntiAffinity>,
    /// What the new version's instances carry until it has been rolled out.
    #[serde(default, skip_serializing_if = "is_default")]
    #[doc(alias = "canaryMetadata")]
    pub canary_metadata: Metadata,
    /// What the instances carry of the version that serves: those of the new one once it has been rolled out, and those of the
    /// old one again once that was taken back.
    #[serde(default, skip_serializing_if = "is_default")]
    #[doc(alias = "stableMetadata")]
    pub stable_metadata: Metadata,
    /// What judges the new version all the while, beside what judges each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub background: Vec<Background>,
}

impl Canary {
    /// Such a canary with nothing beside its steps.
    pub const fn new(steps: Vec<CanaryStep>) -> Self {
        Self {
            steps,
            keep_old: Span::ZERO,
            keep_new_after_abort: KeepNew::NOT,
            min_replicas: Portion::NONE,
            ready: None,
            shrink_old: false,
            affinity: None,
            anti_affinity: None,
            canary_metadata: Metadata::new(),
            stable_metadata: Metadata::new(),
            background: Vec::new(),
        }
    }
}

/// One share of the traffic, and how it is watched.
///
/// Each step says all of what holds during it: header routes and copies of the step before do not go on by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryStep {
    /// Percent of the traffic for the new version, 0 to 100. It may be less than in the step before, such as for a long soak
    /// after a short peak.
    #[doc(alias = "setWeight")]
    #[serde(deserialize_with = "percent")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: u8,
    /// What must hold before the step begins.
    #[doc(alias = "pause")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// How many instances of the new version run during the step; not said: as before, and all of them at first.
    #[doc(alias = "setCanaryScale")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<CanaryScale>,
    /// How many of these have to be ready before the step goes on, and still when it ends; not said: as
    /// [the canary](Canary::ready) says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias = "replicaProgressThreshold")]
    pub ready: Option<CanaryReady>,
    /// Requests that go to the new version whatever its share.
    #[doc(alias = "setHeaderRoute")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderRule>,
    /// Of which requests the new version gets copies, whose answers nobody gets: of so many in a hundred, or of those that a
    /// table names.
    #[doc(alias = "setMirrorRoute")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Copies>,
    /// What is called once the share is set, one after the other, before it is held and judged. What is to be called elsewhere
    /// stands at a step of its own, with the weight of the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[doc(alias = "plugin")]
    pub calls: Vec<StepCall>,
    /// How long the share is held before it is judged.
    #[serde(default)]
    pub bake: Span,
    /// What judges it, besides the analyses of the release's rollback criteria.
    #[serde(default)]
    pub analyses: Vec<AnalysisId>,
    /// Runs fresh instances beside the others, and judges them, once the share was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    super::share(deserializer, 0, "the traffic")
}

impl CanaryStep {
    /// A share of `weight` percent, held for `bake` and judged by the release's criteria.
    pub const fn new(weight: u8, bake: Span) -> Self {
        Self {
            weight,
            gates: Vec::new(),
            scale: None,
            ready: None,
            headers: Vec::new(),
            mirror: None,
            calls: Vec::new(),
            bake,
            analyses: Vec::new(),
            experiment: None,
        }
    }
}

/// How many instances of the new version run. There have to be enough of them for the share that they get: with a quarter
/// of the traffic, a quarter of the service's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CanaryScale {
    /// So many.
    Replicas(u32),
    /// So many percent of the service's instances, rounded up.
    #[doc(alias = "weight")]
    Percent(u8),
    /// As many as the share needs, and at least one.
    #[doc(alias = "matchTrafficWeight")]
    MatchTraffic,
}

impl CanaryScale {
    /// How many instances that is, of a service with `replicas` and for `weight` percent of its traffic.
    pub fn of(self, replicas: u32, weight: u8) -> u32 {
        let part = |percent: u8| {
            let exact = (u64::from(replicas) * u64::from(percent)).div_ceil(100);
            u32::try_from(exact).unwrap_or(u32::MAX)
        };
        match self {
            Self::Replicas(count) => count,
            Self::Percent(percent) => part(percent),
            Self::MatchTraffic => part(weight).max(1),
        }
    }
}

/// How many of the instances of the new version that a step asks for have to be ready. All of them are started, and run; the
/// others may become ready later.
///
/// It is never fewer than the share of the step needs: with a quarter of the traffic, a quarter of the service's instances, and
/// with all of the traffic, or where clients stay with the new version, all of them. Where an experiment compares, none may be
/// missing either, and a first deployment waits for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CanaryReady {
    /// So many, 1 or more; all, where the step asks for fewer.
    Replicas(#[schemars(range(min = 1))] u32),
    /// So many percent of them, 1 to 100, rounded up.
    Percent(#[schemars(range(min = 1, max = 100))] u8),
}

impl CanaryReady {
    /// How many that is, of `asked` instances.
    pub fn of(self, asked: u32) -> u32 {
        match self {
            Self::Replicas(count) => count.min(asked),
            Self::Percent(percent) => CanaryScale::Percent(percent.min(100)).of(asked, 0),
        }
    }

    /// What is wrong with it, and how to mend it.
    pub fn problem(self) -> Option<String> {
        match self {
            Self::Replicas(0) => Some("`ready.replicas` is 0; set 1 or more".into()),
            Self::Percent(percent) if !(1..=100).contains(&percent) => {
                Some(format!("`ready.percent` is {percent}; write a whole number from 1 to 100"))
            }
            Self::Replicas(_) | Self::Percent(_) => None,
        }
    }
}

/// An analysis that goes on while the rollout does. It ends the rollout when it fails; once the rollout is through, it
/// ends with what it measured so far, and without a good measurement it has failed as *not evaluated*.
///
/// It judges the new version alone: the shares change under it, so that one that compares versions is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// Which.
    pub analysis: AnalysisId,
    /// With which of the steps it begins, counted from 1.
    #[serde(default = "one")]
    #[doc(alias = "startingStep")]
    pub from_step: u32,
}

const fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_instances_run_as_the_scale_says() {
        for (scale, replicas, weight, want) in [
            (CanaryScale::Replicas(3), 10, 5, 3),
            (CanaryScale::Percent(25), 10, 5, 3),
            (CanaryScale::Percent(0), 10, 5, 0),
            (CanaryScale::MatchTraffic, 10, 25, 3),
            (CanaryScale::MatchTraffic, 10, 0, 1),
            (CanaryScale::MatchTraffic, u32::MAX, 100, u32::MAX),
        ] {
            assert_eq!(scale.of(replicas, weight), want, "{scale:?} of {replicas} at {weight} %");
        }
    }

    #[test]
    fn as_many_instances_are_waited_for_as_the_threshold_says() {
        for (ready, asked, want) in [
            (CanaryReady::Replicas(3), 10, 3),
            (CanaryReady::Replicas(3), 2, 2),
            (CanaryReady::Percent(90), 10, 9),
            (CanaryReady::Percent(91), 10, 10),
            (CanaryReady::Percent(1), 10, 1),
            (CanaryReady::Percent(1), 0, 0),
            (CanaryReady::Percent(255), 10, 10),
            (CanaryReady::Percent(100), u32::MAX, u32::MAX),
        ] {
            assert_eq!(ready.of(asked), want, "{ready:?} of {asked}");
        }
    }

    #[test]
    fn thresholds_that_nobody_waits_for_are_refused() {
        for (ready, why) in [
            (CanaryReady::Replicas(0), "`ready.replicas` is 0; set 1 or more"),
            (CanaryReady::Percent(0), "`ready.percent` is 0; write a whole number from 1 to 100"),
            (CanaryReady::Percent(101), "`ready.percent` is 101; write a whole number"),
        ] {
            let problem = ready.problem().unwrap();
            assert!(problem.starts_with(why), "{problem}");
        }
        for ready in [CanaryReady::Replicas(1), CanaryReady::Percent(1), CanaryReady::Percent(100)]
        {
            assert_eq!(ready.problem(), None);
        }
    }

    #[test]
    fn a_threshold_is_a_number_or_a_percentage_and_is_not_written_where_there_is_none() {
        let text = r#"{"weight":10,"bake":"0s","analyses":[]}"#;
        let step = CanaryStep::new(10, Span::ZERO);
        assert_eq!(serde_json::to_string(&step).unwrap(), text);
        for (text, ready) in [
            (r#"{"weight":10,"ready":{"percent":90}}"#, CanaryReady::Percent(90)),
            (r#"{"weight":10,"ready":{"replicas":3}}"#, CanaryReady::Replicas(3)),
        ] {
            let step = CanaryStep { ready: Some(ready), ..step.clone() };
            assert_eq!(serde_json::from_str::<CanaryStep>(text).unwrap(), step);
        }
        let error = serde_json::from_str::<CanaryStep>(r#"{"weight":10,"ready":{"pods":3}}"#);
        assert!(error.unwrap_err().to_string().contains("`pods`"));
    }
}
