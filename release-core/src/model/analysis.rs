//! What is measured while a version is watched, and where the limit lies.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::AnalysisId;
use crate::time::Span;

/// A number that is neither NaN nor infinite, so that comparing it always has an answer.
#[derive(Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Finite(f64);

/// NaN or an infinity where a number was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("NaN and infinities are not measurements; give a finite number")]
pub struct FiniteError;

impl Finite {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// Takes `value` if it is finite.
    ///
    /// # Errors
    /// [`FiniteError`] for NaN and infinities.
    pub fn new(value: f64) -> Result<Self, FiniteError> {
        if value.is_finite() { Ok(Self(value + 0.0)) } else { Err(FiniteError) }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

// Sound because NaN cannot be inside and `new` maps -0.0 to 0.0.
impl Eq for Finite {}

impl fmt::Debug for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Finite {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Finite".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

/// Picks series by name and labels, as Prometheus does with `name{label="value"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The series' name, for example `http_requests_total`.
    pub series: String,
    /// Labels that must be equal; further labels do not matter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Selector {
    /// Selects every series called `series`.
    pub fn series(series: impl Into<String>) -> Self {
        Self { series: series.into(), labels: BTreeMap::new() }
    }

    /// Demands `label` to be `value` as well.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }
}

/// What is measured, always over the samples of one version only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Metric {
    /// One counter divided by another, for example failed requests by all requests.
    Ratio {
        /// Counts what is looked for.
        numerator: Selector,
        /// Counts the whole; also the sample size.
        denominator: Selector,
    },
}

/// The limit that a healthy version keeps. Equal to the limit is within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Bound {
    /// The value must not be above this.
    AtMost(Finite),
    /// The value must not be below this.
    AtLeast(Finite),
}

impl Bound {
    /// Whether `value` keeps the limit.
    pub fn holds(self, value: Finite) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "at most {limit}"),
            Self::AtLeast(limit) => write!(f, "at least {limit}"),
        }
    }
}

/// A judgement over a metric: measured `count` times, `interval` apart.
///
/// No data, too little data, data of another version and numbers that are not finite are
/// inconclusive, never a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// What stages and criteria call it by.
    pub id: AnalysisId,
    /// What is measured.
    pub metric: Metric,
    /// The limit.
    pub success: Bound,
    /// Sample size (the ratio's denominator) below which a measurement is inconclusive.
    #[serde(default = "one")]
    pub min_samples: u64,
    /// Time between measurements; at least a millisecond.
    #[serde(default = "second")]
    pub interval: Span,
    /// How many good measurements make it pass.
    #[serde(default = "one_u32")]
    pub count: u32,
    /// How many bad measurements are tolerated before it fails.
    #[serde(default)]
    pub failure_limit: u32,
    /// How many inconclusive measurements are tolerated before it fails.
    #[serde(default = "ten")]
    pub inconclusive_limit: u32,
}

impl Analysis {
    /// One good measurement of `metric` within `success`, one second apart; refine with the fields.
    pub const fn new(id: AnalysisId, metric: Metric, success: Bound) -> Self {
        Self {
            id,
            metric,
            success,
            min_samples: one(),
            interval: second(),
            count: one_u32(),
            failure_limit: 0,
            inconclusive_limit: ten(),
        }
    }
}

const fn one() -> u64 {
    1
}
const fn one_u32() -> u32 {
    1
}
const fn ten() -> u32 {
    10
}
const fn second() -> Span {
    Span::secs(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_get_in() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Finite::new(bad), Err(FiniteError));
        }
        assert_eq!(Finite::new(-0.0), Ok(Finite::ZERO));
        let at = |x| Finite::new(x).unwrap();
        assert!(
            Bound::AtMost(at(0.05)).holds(at(0.05)) && !Bound::AtMost(at(0.05)).holds(at(0.06))
        );
        assert!(Bound::AtLeast(at(0.9)).holds(at(0.9)) && !Bound::AtLeast(at(0.9)).holds(at(0.8)));
    }
}
