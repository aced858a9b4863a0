//! Several metrics of one version, each held against criteria of its own, and scored together, as Keptn does.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::{Metric, Unit};
use super::number::Finite;

/// Several metrics of the new version, each held against criteria, and scored together: what Keptn calls objectives.
///
/// Each look measures all of them. An objective that fails scores nothing, one that warns half of its weight, every other all of it;
/// one without data scores nothing, too. The score is what part of all weights that is, in percent. From `pass` on the look is good,
/// from `warning` on it is inconclusive, and below it is bad, as it is where a key objective fails. Where only data is missing for a
/// better answer, the look is inconclusive. How many looks of each kind it takes, the analysis says.
///
/// The rules are those of Keptn's metrics operator (`AnalysisDefinition`, `metrics.keptn.sh/v1`), but for data that is missing, which
/// there counts as failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// The objectives, in the order in which they are reported; at most 32.
    pub of: Vec<Objective>,
    /// The score from which on a look is good, in percent.
    pub pass: Finite,
    /// The score below which it is bad; left out, below `pass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Finite>,
}

/// One of several metrics that are scored together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Its name in findings.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// What its numbers are numbers of; a ratio need not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Values that fail it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Criterion>,
    /// Values that score half, unless they fail it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Criterion>,
    /// How much it counts beside the others.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: Finite,
    /// Whether everything fails with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub key: bool,
}

impl Objective {
    /// One that fails by values that meet `failure`, and counts as one.
    pub fn new(name: impl Into<String>, metric: Metric, failure: Criterion) -> Self {
        let name = name.into();
        let failure = Some(failure);
        Self { name, metric, unit: None, failure, warning: None, weight: one(), key: false }
    }

    /// The same for numbers of `unit`.
    #[must_use]
    pub fn of(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// Whether `value` fails it.
    pub fn fails(&self, value: f64) -> bool {
        self.failure.is_some_and(|criterion| criterion.is_met(value))
    }

    /// Whether `value` scores half, and does not fail it.
    pub fn warns(&self, value: f64) -> bool {
        !self.fails(value) && self.warning.is_some_and(|criterion| criterion.is_met(value))
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Criterion {
    /// Up to this.
    AtMost(Finite),
    /// This or more.
    AtLeast(Finite),
    /// Less than this.
    Below(Finite),
    /// More than this.
    Above(Finite),
    /// From one to the other, both included.
    Within {
        /// The least.
        from: Finite,
        /// The most.
        to: Finite,
    },
    /// Less than the one, or more than the other.
    Outside {
        /// The least that is not outside.
        from: Finite,
        /// The most that is not outside.
        to: Finite,
    },
}

impl Criterion {
    /// Whether `value` is that.
    pub fn is_met(&self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit.get(),
            Self::AtLeast(limit) => value >= limit.get(),
            Self::Below(limit) => value < limit.get(),
            Self::Above(limit) => value > limit.get(),
            Self::Within { from, to } => from.get() <= value && value <= to.get(),
            Self::Outside { from, to } => value < from.get() || value > to.get(),
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
            Self::Below(limit) => write!(f, "below {limit}"),
            Self::Above(limit) => write!(f, "above {limit}"),
            Self::Within { from, to } => write!(f, "from {from} to {to}"),
            Self::Outside { from, to } => write!(f, "not from {from} to {to}"),
        }
    }
}

fn one() -> Finite {
    Finite::new(1.0).unwrap_or(Finite::ZERO)
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &Finite) -> bool {
    *value == one()
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
