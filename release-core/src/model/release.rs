//! The intent to make a version set live, and when to take it back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OnSignal, VersionSet};
use crate::ids::{AnalysisId, PrincipalId, ReleaseId, ServiceId};

/// A named, scoped intent to make a version set live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// What it contains, in the words of those who asked for it (features, fixes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// What shall be live at the end.
    pub versions: VersionSet,
    /// What is live now and was verified together: the set that a rollback returns to. A service
    /// that is missing here is deployed for the first time, and a rollback removes it.
    #[serde(default)]
    pub previous: VersionSet,
    /// The sets that were live and verified together before, the newest first, for stages with a
    /// [rollback window](super::Stage::rollback_window).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<VersionSet>,
    /// When and how far to roll back. Required for production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackCriteria>,
    /// What a cancel does with what was already changed.
    #[serde(default)]
    pub on_cancel: OnCancel,
    /// How urgent it is, where permits are waited for.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Says that there is no version to return to, and that this is acceptable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll_forward_only: Option<RollForwardOnly>,
}

/// An acknowledgement that services have no version to return to: the previous one is not kept any more,
/// cannot be verified, or must not run again. What is changed then stays changed: a failure waits for
/// people, who mend it and retry, or give the run up. Without it, a previous version that cannot be had
/// and verified lets the run fail before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollForwardOnly {
    /// Who acknowledges it.
    pub by: PrincipalId,
    /// Why it is acceptable.
    pub reason: String,
    /// Which services; all that change, when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceId>,
}

impl RollForwardOnly {
    /// Whether it concerns `service`.
    pub fn concerns(&self, service: &ServiceId) -> bool {
        self.services.is_empty() || self.services.contains(service)
    }

    /// Who acknowledged it, and why, as plans and journals have it.
    pub fn justification(&self) -> String {
        format!("roll forward only, as {} acknowledged: {}", self.by, self.reason)
    }
}

impl Release {
    /// A release of `versions` where nothing ran before and without rollback criteria; refine with
    /// the fields.
    pub fn new(id: ReleaseId, versions: VersionSet) -> Self {
        let previous = VersionSet::new();
        Self {
            id,
            recent: Vec::new(),
            scope: Vec::new(),
            versions,
            previous,
            rollback: None,
            on_cancel: OnCancel::RollBack,
            priority: Priority::Normal,
            roll_forward_only: None,
        }
    }
}

/// What a cancel does with what was already changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// Return everything that the run changed to the previous set.
    #[default]
    RollBack,
    /// Stop at the next safe point and leave things as they are.
    Leave,
}

/// How urgent a release is, where permits of a platform's limits are waited for. Rollbacks wait in no
/// queue, whatever their release was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// As all others.
    #[default]
    Normal,
    /// It mends what hurts now: before all that is not urgent.
    Hotfix,
}

impl Priority {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) const fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }
}

/// When a release is taken back, and how much of it.
///
/// A service that is deployed for the first time is not judged by analyses, because there is no
/// version to return to and often no load to measure; that it starts, becomes ready and is routed to
/// is what decides, and [`RollbackTrigger::StepFailed`] removes it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackCriteria {
    /// How much is taken back.
    #[serde(default)]
    pub scope: RollbackScope,
    /// What takes it back: any one of these.
    pub triggers: Vec<RollbackTrigger>,
}

/// How much a rollback takes back, seen from the step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RollbackScope {
    /// What the run changed in that region of that environment; in all of them, where the step belongs to none, such as
    /// that of a flag.
    Region,
    /// What the run changed in the regions that go together with that one.
    Wave,
    /// What the run changed in that environment, all regions: the set as one.
    #[default]
    Environment,
    /// Everything that the run changed anywhere.
    Release,
}

/// What takes a release back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RollbackTrigger {
    /// A step fails for good: a deploy, a health check, a route, a flag, any analysis; or somebody rejects what it waits for.
    StepFailed,
    /// This analysis fails. Every strategy evaluates it wherever it replaces a version in production;
    /// rolling, blue-green and each step of a canary do so everywhere. An analysis that a stage names
    /// and that is no trigger holds the stage for people to decide, unless `step_failed` is one.
    Analysis(AnalysisId),
    /// An instance of the new version is not ready when it is looked for: as it starts, and after every exposure. Other steps
    /// that fail hold the stage for people to decide, unless `step_failed` is a trigger too, of which this is a part.
    Unhealthy,
    /// This analysis, which is judged by its [burn rate](super::Judge::BurnRate), fails while it watches in the background of
    /// every rollout that replaces a version in production, from the first traffic until it is through. A rollout without a
    /// single good look of it was not evaluated, and is taken back as well: give it time.
    SloBurn(AnalysisId),
    /// Somebody tells the run of an incident or an alert ([`Command::Signal`](crate::run::Command::Signal)). What no trigger
    /// names is recorded, and takes nothing back.
    Signal(OnSignal),
    /// The traffic is not distributed any more as a step had set it, though the router had confirmed it: the look for that,
    /// after every exposure that takes time, fails with [`DRIFT`](crate::port::DRIFT), or for good because nobody can tell.
    /// `step_failed` includes it. Without either, the stage is held for people to decide, and a retry looks again. Before the
    /// old version is removed, it is looked for too, and always held: the release is live then.
    Drift,
}
