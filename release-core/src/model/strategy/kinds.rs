//! The strategies that are not stepwise by share, and those of hosts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AntiAffinity, KeepNew, Metadata, Portion, is_default};
use crate::bounds::in_order;
use crate::ids::AnalysisId;
use crate::model::Gate;
use crate::model::request::RequestMatch;
use crate::model::traffic::HeaderRule;
use crate::time::Span;

/// Replace a batch of instances at a time. The release's criteria judge each batch.
///
/// Shares are whole percents, rounded in favour of the version with fewer instances, so that the other one's instances get less than 1.02
/// times their part. A batch with which the new version has less than one percent of the instances serves nobody yet, and is not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rolling {
    /// In how many batches the instances are replaced at least, from 1 to 1,000; at most one batch an instance, and as
    /// many more as the two limits need.
    #[serde(default = "one")]
    pub batches: u32,
    /// How many instances may be missing while a batch is replaced; a percentage is rounded down. With 0, a batch of new
    /// instances is started before old ones are stopped.
    #[serde(default)]
    #[doc(alias = "maxUnavailable")]
    pub max_unavailable: Portion,
    /// How many instances may be there beyond those of the service, also when it goes back; a percentage is rounded up. Not said:
    /// a whole batch, and all of them when it goes back. Where it is 0, and a percentage of `max_unavailable` comes to none, one may be
    /// missing: else nothing could be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[doc(alias = "maxSurge")]
    pub max_surge: Option<Portion>,
    /// How long each batch is watched.
    #[serde(default)]
    #[doc(alias = "minReadySeconds")]
    pub bake: Span,
    /// What judges each batch, besides the analyses of the release's rollback criteria.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyses: Vec<AnalysisId>,
}

const fn one() -> u32 {
    1
}

impl Rolling {
    /// In `batches`, with no instance missing.
    pub const fn new(batches: u32) -> Self {
        Self {
            batches,
            max_unavailable: Portion::NONE,
            max_surge: None,
            bake: Span::ZERO,
            analyses: Vec::new(),
        }
    }
}

/// Start the new version beside the old one, then switch all traffic at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlueGreen {
    /// How many instances of the new version run before the switch; all of them, unless said. The rest is started and
    /// ready before the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[doc(alias = "previewReplicaCount")]
    pub preview_replicas: Option<u32>,
    /// How many instances of the new version need not be ready at the switch, nor after it: fewer than the service has, and a
    /// percentage is rounded down. All of them are started, and the way back is to all of the old version's.
    #[serde(skip_serializing_if = "is_default")]
    #[doc(alias = "maxUnavailable")]
    pub max_unavailable: Portion,
    /// Whether the new version's instances are started on other machines than the old one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[doc(alias = "antiAffinity")]
    pub anti_affinity: Option<AntiAffinity>,
    /// What the new version's instances carry until the switch.
    #[serde(skip_serializing_if = "is_default")]
    #[doc(alias = "previewMetadata")]
    pub preview_metadata: Metadata,
    /// What the instances carry of the version that serves: those of the new one from the switch on, and those of the old one
    /// until then, and again once the new one was taken back.
    #[serde(skip_serializing_if = "is_default")]
    #[doc(alias = "activeMetadata")]
    pub active_metadata: Metadata,
    /// Requests that go to the new version before the switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[doc(alias = "previewService")]
    pub preview_headers: Vec<HeaderRule>,
    /// How long the new version is previewed before anything judges it. Without gates, this is after how long it is
    /// switched to by itself; who does not want to wait so long [ends the bake](crate::run::Command::EndBake).
    #[serde(skip_serializing_if = "is_default")]
    #[doc(alias = "autoPromotionSeconds")]
    pub preview: Span,
    /// What judges the new version before the switch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[doc(alias = "prePromotionAnalysis")]
    pub preview_analyses: Vec<AnalysisId>,
    /// What must hold before the switch, while the new version can be previewed without traffic.
    #[doc(alias = "autoPromotionEnabled")]
    pub gates: Vec<Gate>,
    /// How long the new version is watched after the switch.
    pub bake: Span,
    /// What judges the new version after the switch, besides the analyses of the release's rollback
    /// criteria.
    #[doc(alias = "postPromotionAnalysis")]
    pub analyses: Vec<AnalysisId>,
    /// How long the old version is kept, ready to take over, once the whole set is verified.
    #[doc(alias = "scaleDownDelaySeconds")]
    pub keep_old: Span,
    /// How long the new version is kept without traffic after a rollback, for people to look at.
    #[serde(skip_serializing_if = "is_default")]
    #[doc(alias = "abortScaleDownDelaySeconds")]
    pub keep_new_after_abort: KeepNew,
}

/// Give the new version copies of requests, whose answers nobody gets; then switch all traffic at once.
///
/// What it does for a request happens twice, once in each version: this is for requests that only read, or for versions
/// that know copies by a header of the router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// Of how many requests in a hundred it gets copies.
    #[serde(deserialize_with = "percent")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
    /// The requests that are meant: those that one of these fits. Empty: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<RequestMatch>,
    /// How many instances of the new version run meanwhile; all of them, unless said. The rest is started and ready
    /// before the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// How long it gets copies before it is judged.
    #[serde(default)]
    pub bake: Span,
    /// What judges it by its copies, besides the analyses of the release's rollback criteria.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyses: Vec<AnalysisId>,
    /// What must hold before the switch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// How long it is watched after the switch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub after: Span,
    /// How long the old version is kept, ready to take over, once the whole set is verified.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep_old: Span,
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    super::share(deserializer, 1, "the requests")
}

impl Shadow {
    /// Copies of `percent` of the requests for as long as `bake`.
    pub const fn new(percent: u8, bake: Span) -> Self {
        Self {
            percent,
            only: Vec::new(),
            replicas: None,
            bake,
            analyses: Vec::new(),
            gates: Vec::new(),
            after: Span::ZERO,
            keep_old: Span::ZERO,
        }
    }
}

/// A strategy of the host's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// What the host calls it.
    pub name: String,
    /// What it is told, in its own terms.
    #[serde(default, skip_serializing_if = "Value::is_null", serialize_with = "in_order")]
    pub with: Value,
}
