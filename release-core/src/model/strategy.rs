//! How a version replaces another in one target. Field names follow Argo Rollouts where it has one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Gate;
use crate::ids::AnalysisId;
use crate::time::Span;

/// How a version replaces another in one target.
///
/// Every strategy judges the new version by the analyses of the release's
/// [rollback criteria](super::RollbackCriteria) wherever it replaces a version of a production
/// environment; analyses that a strategy names itself come on top. Where nothing ran before, all
/// strategies come to the same (start, check, serve) and no analysis is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Strategy {
    /// Stop the old version, then start the new one. Nobody is served in between. In production, the
    /// release's criteria judge the new version once it serves; elsewhere nothing is measured, since
    /// often nobody is there to give it load.
    Recreate,
    /// Replace a batch of instances at a time.
    Rolling(Rolling),
    /// Start the new version beside the old one, then switch all traffic at once.
    #[doc(alias = "red-black")]
    BlueGreen(BlueGreen),
    /// Give the new version a growing share of the traffic.
    Canary(Canary),
}

/// Replace a batch of instances at a time. The release's criteria judge each batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rolling {
    /// In how many batches the instances are replaced, from 1 to 1,000; at most one batch an instance.
    pub batches: u32,
    /// How many instances may be missing while a batch is replaced. With 0, a batch of new
    /// instances is started before old ones are stopped.
    #[serde(default)]
    pub max_unavailable: u32,
    /// How long each batch is watched.
    #[serde(default)]
    pub bake: Span,
}

/// Start the new version beside the old one, then switch all traffic at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlueGreen {
    /// What must hold before the switch, while the new version can be previewed without traffic.
    pub gates: Vec<Gate>,
    /// How long the new version is watched after the switch.
    pub bake: Span,
    /// What judges the new version after the switch, besides the analyses of the release's rollback
    /// criteria.
    pub analyses: Vec<AnalysisId>,
    /// How long the old version is kept, ready to take over, once the whole set is verified.
    pub keep_old: Span,
}

/// Give the new version a growing share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The shares in order, each with what follows it; all traffic follows the last.
    pub steps: Vec<CanaryStep>,
    /// How long the old version is kept, ready to take over, once the whole set is verified.
    #[serde(default)]
    pub keep_old: Span,
}

/// One share of the traffic, and how it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryStep {
    /// Percent of the traffic for the new version, 1 to 100; growing from step to step.
    #[doc(alias = "setWeight")]
    #[serde(deserialize_with = "percent")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: u8,
    /// How long the share is held before it is judged.
    #[serde(default)]
    pub bake: Span,
    /// What judges it, besides the analyses of the release's rollback criteria.
    #[serde(default)]
    pub analyses: Vec<AnalysisId>,
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let percent = u8::try_from(number).ok().filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| {
        let problem = "is no share of the traffic; write a whole number from 1 to 100";
        serde::de::Error::custom(format!("`{number}` {problem}"))
    })
}

impl CanaryStep {
    /// A share of `weight` percent, held for `bake` and judged by the release's criteria.
    pub const fn new(weight: u8, bake: Span) -> Self {
        Self { weight, bake, analyses: Vec::new() }
    }
}
