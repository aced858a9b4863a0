//! Several metrics that are scored together, as Kayenta does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::number::Finite;

/// Several metrics of the new version beside the old one, each classified by a rank test, and scored together: for those who
/// come from Kayenta, whose canary configurations it takes over field by field.
///
/// Each look measures every metric of both versions, and adds one point to its series: what was counted since the look before,
/// or a number of the moment; no data is a point without a value, which `nan` is about. After `count` looks, the series are
/// judged. With [`every`](Self::every), they are judged on the way too: a score below `marginal` then has failed at once. At
/// the end a score of `pass` or more has passed, and every other has not.
///
/// See [`netflix`](crate::analysis::netflix) for the two methods. Neither may be looked at as often as one likes; a
/// [`Sequential`](super::Sequential) test may, says what it could have found, and is what new analyses should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scorecard {
    /// By which method.
    #[serde(default)]
    pub method: ScoreMethod,
    /// The metrics, in the order in which they are reported; at most 32.
    pub metrics: Vec<Scored>,
    /// The weights of groups, in percent. Groups without one share what is left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub group_weights: BTreeMap<String, Finite>,
    /// The score from which on it passes, from 0 to 100.
    #[serde(default = "ninety_five")]
    pub pass: Finite,
    /// The score below which it fails before the end.
    #[serde(default = "seventy_five")]
    pub marginal: Finite,
    /// After how many looks each it is judged on the way; left out, at the end alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
}

/// By which method metrics are classified and scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ScoreMethod {
    /// `NetflixACAJudge-v1.0`, its quirks included.
    NetflixAca {
        /// The seed of the noise for versions that both do not vary, which the original draws from anywhere.
        #[serde(default)]
        seed: u64,
    },
    /// The same questions, answered by what the data tells alone.
    Strict {
        /// How many values each version needs; below that a metric is inconclusive.
        #[serde(default = "twenty")]
        min_points: u32,
    },
}

impl Default for ScoreMethod {
    fn default() -> Self {
        Self::Strict { min_points: twenty() }
    }
}

/// One metric of a scorecard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// Its name in findings.
    pub name: String,
    /// What is measured: a ratio, a mean or a query.
    pub metric: Metric,
    /// The groups that it counts in.
    pub groups: Vec<String>,
    /// Which change is bad.
    #[serde(default)]
    pub direction: Change,
    /// What becomes of points without a value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nan: NoValue,
    /// Whether it fails everything when it fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub critical: bool,
    /// Whether it is measured and left out of the score.
    #[serde(default, skip_serializing_if = "is_default")]
    pub muted: bool,
    /// Whether having no data counts as failing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub must_have_data: bool,
    /// How large a change may be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub effect: Effect,
    /// So many interquartile ranges beyond the quartiles values are left out; without it all stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_factor: Option<Finite>,
}

impl Scored {
    /// A metric in one group, whose change to either side is bad.
    pub fn new(name: impl Into<String>, group: impl Into<String>, metric: Metric) -> Self {
        Self {
            name: name.into(),
            metric,
            groups: vec![group.into()],
            direction: Change::Either,
            nan: NoValue::Remove,
            critical: false,
            muted: false,
            must_have_data: false,
            effect: Effect::default(),
            outlier_factor: None,
        }
    }
}

/// Which change of a metric is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// An increase.
    Increase,
    /// A decrease.
    Decrease,
    /// Both.
    #[default]
    Either,
}

/// What becomes of points without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoValue {
    /// They are left out.
    #[default]
    Remove,
    /// They count as zero.
    Replace,
}

/// How large a change is, and may be. What is not given is what no change measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Effect {
    /// The measure.
    #[serde(skip_serializing_if = "is_default")]
    pub measure: EffectMeasure,
    /// Below this an increase is let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_increase: Option<Finite>,
    /// Above this a decrease is let pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_decrease: Option<Finite>,
    /// From here on an increase of a critical metric fails everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_increase: Option<Finite>,
    /// Down from here a decrease of a critical metric fails everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_decrease: Option<Finite>,
}

/// In which measure a change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectMeasure {
    /// The new version's mean over the old one's; 1 is none.
    #[default]
    MeanRatio,
    /// How probable it is that a value of the new version is above one of the old; 0.5 is none.
    Cles,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
const fn twenty() -> u32 {
    20
}
fn ninety_five() -> Finite {
    Finite::new(95.0).unwrap_or(Finite::ZERO)
}
fn seventy_five() -> Finite {
    Finite::new(75.0).unwrap_or(Finite::ZERO)
}
