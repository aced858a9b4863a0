//! What is judged and how, in the words of Kayenta's canary configurations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which change of a metric is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// An increase.
    Increase,
    /// A decrease.
    Decrease,
    /// Both; also what any other word means.
    #[default]
    #[serde(other)]
    Either,
}

/// What becomes of values that are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NanStrategy {
    /// They count as zero.
    Replace,
    /// They are left out; also what any other word means.
    #[default]
    #[serde(other)]
    Remove,
}

/// What becomes of outliers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OutlierStrategy {
    /// Those beyond the fences are left out.
    Remove,
    /// They stay; also what any other word means.
    #[default]
    #[serde(other)]
    Keep,
}

/// Outliers, and what is one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outliers {
    /// What becomes of them.
    pub strategy: OutlierStrategy,
    /// How many interquartile ranges beyond the quartiles the fences are.
    pub outlier_factor: f64,
}

impl Default for Outliers {
    fn default() -> Self {
        Self { strategy: OutlierStrategy::default(), outlier_factor: 3.0 }
    }
}

/// How large a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EffectMeasure {
    /// How probable it is that a value of the canary is above one of the control; 0.5 is none.
    Cles,
    /// The canary's mean over the control's; 1 is none. Also what any other word means.
    #[default]
    #[serde(other)]
    MeanRatio,
}

/// How large a change may be, in units of its measure. What is not given is the measure of no change.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EffectSize {
    /// The measure.
    pub measure: EffectMeasure,
    /// Below this an increase is let pass.
    pub allowed_increase: Option<f64>,
    /// Above this a decrease is let pass.
    pub allowed_decrease: Option<f64>,
    /// From here on an increase of a critical metric fails everything.
    pub critical_increase: Option<f64>,
    /// Down from here a decrease of a critical metric fails everything.
    pub critical_decrease: Option<f64>,
}

impl EffectSize {
    /// What no change measures.
    pub(super) const fn none(&self) -> f64 {
        match self.measure {
            EffectMeasure::Cles => 0.5,
            EffectMeasure::MeanRatio => 1.0,
        }
    }
}

/// How one metric is judged: the object `canary` of its `analysisConfigurations`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricConfig {
    /// Which change is bad.
    pub direction: Direction,
    /// What becomes of values that are not finite.
    pub nan_strategy: NanStrategy,
    /// Whether it fails everything when it fails.
    pub critical: bool,
    /// Whether it is left out.
    pub muted: bool,
    /// Whether having no data counts as failing.
    pub must_have_data: bool,
    /// How large a change may be.
    pub effect_size: EffectSize,
    /// What becomes of outliers.
    pub outliers: Outliers,
}

/// A metric that is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The groups that it counts in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// How it is judged.
    #[serde(default)]
    pub canary: MetricConfig,
}

/// The scores at which a canary passes, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Thresholds {
    /// From here on it passes.
    pub pass: f64,
    /// From here on it is marginal; below it fails.
    pub marginal: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { pass: 95.0, marginal: 75.0 }
    }
}

/// What a canary is judged by.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryConfig {
    /// The metrics, in the order in which they are reported.
    pub metrics: Vec<Metric>,
    /// The weights of groups, in percent. Groups without one share what is left.
    #[serde(default)]
    pub group_weights: BTreeMap<String, f64>,
    /// The scores at which it passes.
    #[serde(default)]
    pub score_thresholds: Thresholds,
}

/// What was measured of one metric, in any order; NaN where there is no value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    /// Of the canary.
    pub experiment: Vec<f64>,
    /// Of what it is compared with.
    pub control: Vec<f64>,
}

/// A configuration that [`Strict`](super::Strict) does not judge by.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The weights of the groups do not share everything.
    #[error("the weights of the groups sum to {sum}; make it 100, or give no weights at all")]
    Weights {
        /// What they sum to.
        sum: f64,
    },
    /// A group has metrics and no weight, or a weight and no metrics, or less than none.
    #[error("group `{group}` {problem}")]
    Group {
        /// Which.
        group: String,
        /// What is wrong with it, and how to mend it.
        problem: &'static str,
    },
    /// A metric that cannot be judged.
    #[error("metric `{metric}` {problem}")]
    Metric {
        /// Which.
        metric: String,
        /// What is wrong with it, and how to mend it.
        problem: &'static str,
    },
    /// Nothing is judged.
    #[error("no metric is judged; add one, or unmute one")]
    Nothing,
    /// Scores that are not from 0 to 100, or the marginal above the passing one.
    #[error(
        "the score thresholds {marginal} and {pass} are not in order from 0 to 100; swap or mend them"
    )]
    Thresholds {
        /// The passing score.
        pass: f64,
        /// The marginal score.
        marginal: f64,
    },
}
