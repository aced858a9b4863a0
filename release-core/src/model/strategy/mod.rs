//! How a version replaces another in one target. Field names follow Argo Rollouts where it has one; the table of what
//! Argo Rollouts and Flagger call it stands at [`plan::strategy`](crate::plan::strategy).

mod apart;
mod canary;
mod copies;
mod experiment;
mod hook;
mod keep;
mod kinds;
mod metadata;
mod portion;

pub use apart::AntiAffinity;
pub use canary::{Background, Canary, CanaryReady, CanaryScale, CanaryStep};
pub use copies::Copies;
pub use experiment::{Experiment, ExperimentTemplate, NoSuchVersion, TemplateVersion};
pub use hook::{Hook, HookPoint, StepCall};
pub use keep::KeepNew;
pub use kinds::{BlueGreen, Other, Rolling, Shadow};
pub use metadata::Metadata;
pub use portion::{Portion, PortionError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Stop the old version, then start the new one; when it goes back, the other way round. Nobody is
    /// served in between. In production, the release's criteria judge the new version once it serves;
    /// elsewhere nothing is measured, since often nobody is there to give it load.
    Recreate,
    /// Replace a batch of instances at a time.
    Rolling(Rolling),
    /// Start the new version beside the old one, then switch all traffic at once.
    #[doc(alias = "red-black")]
    BlueGreen(BlueGreen),
    /// Give the new version a growing share of the traffic.
    Canary(Canary),
    /// Give the new version copies of requests, whose answers nobody gets; then switch all traffic at once.
    #[doc(alias = "mirror")]
    #[doc(alias = "dark-launch")]
    Shadow(Shadow),
    /// A strategy of the host's own, which the planner has to [know](crate::plan::Planner::strategy).
    Other(Other),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A percentage of at least `least`, with what it is of in the complaint.
fn share<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
    least: u8,
    what: &str,
) -> Result<u8, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let percent = u8::try_from(number).ok().filter(|percent| (least..=100).contains(percent));
    percent.ok_or_else(|| {
        let problem = format!("is no share of {what}; write a whole number from {least} to 100");
        serde::de::Error::custom(format!("`{number}` {problem}"))
    })
}
