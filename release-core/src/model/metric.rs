//! What is measured, in which unit, and which way is worse.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number::Finite;
use crate::time::Span;

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
///
/// # Unit, direction and sample size
/// A metric says how it is counted. What its numbers are numbers of, which way they get worse and how many samples tell anything, its
/// judge and its analysis say; where that lacks, a definition cannot be read, or the planner refuses it
/// ([`PlanError`](crate::plan::PlanError)). Old plans and journals are read as they are.
///
/// | judge | unit | direction |
/// |---|---|---|
/// | [`Threshold`](super::Threshold) | `unit`; a ratio's are shares; else refused (`NoUnit`) | that of each bound, `at_most` or `at_least` |
/// | [`Objectives`](super::Objectives) | `unit` of each objective; a ratio's are shares; else refused (`NoUnit`) | that of each criterion |
/// | [`Sequential`](super::Sequential) | `unit`; unreadable without; of a ratio other than shares: refused | `direction`; unreadable without |
/// | [`Cusum`](super::Cusum) | `unit`; unreadable without | `direction`; unreadable without |
/// | [`BurnRate`](super::BurnRate) | always shares: of ratios alone | `direction` of the ratio; left out, what is counted is bad |
/// | [`Scorecard`](super::Scorecard) | none: ranks have no unit | `direction` of each metric; left out, any change is bad, as in Kayenta |
///
/// [`min_samples`](super::Analysis::min_samples) of what is counted has to be written, and to be above 0. Of a query each answer is one
/// sample, and of a range each point; for these a [strict](super::ScoreMethod::Strict) scorecard has `min_points`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Metric {
    /// One counter divided by another, for example failed requests by all requests: a share.
    Ratio {
        /// Counts what is looked for.
        numerator: Selector,
        /// Counts the whole; also the sample size.
        denominator: Selector,
    },
    /// The sum of what was observed by the number of observations, for example seconds by requests: a mean.
    Mean {
        /// What was observed, summed; a counter, such as `http_request_duration_seconds_sum`.
        sum: Selector,
        /// How many observations; also the sample size.
        count: Selector,
    },
    /// A quantile of what a histogram observed, such as the 99th percentile of latency. Counted is how many
    /// observations lay above a bound of the histogram's buckets; nothing is interpolated.
    Quantile {
        /// The histogram's name without `_bucket`, such as `http_request_duration_seconds`.
        histogram: Selector,
        /// Which quantile; above 0 and below 1.
        quantile: Finite,
    },
    /// One number of the moment, by a query in the source's own language; sources say which words in double braces they
    /// replace.
    Query {
        /// The query.
        query: String,
    },
    /// Numbers of many moments, by a query in the source's own language, at every step of the time until now: the points of a
    /// curve. A [scorecard](super::Scorecard) ranks them; other judges go by one number of a look.
    ///
    /// Points count from the beginning of the window on, those before are dropped, whatever a source tells. The newest has to be
    /// [fresh](super::Analysis::freshness), or nothing of the answer counts. What comes late fills its step, where that had been taken
    /// as missing; each step is filled once, by what is told of it first.
    Range {
        /// The query.
        query: String,
        /// From one point to the next.
        step: Span,
        /// How far one look goes back from now, and never beyond the beginning of its window: the time between two looks, or more,
        /// which lets points come late: what comes within `over` still fills its step. What a look before had seen counts once.
        over: Span,
    },
}

impl Metric {
    /// Whether it counts events among all that happened, so that how sure one can be follows from the counts alone.
    pub const fn counts(&self) -> bool {
        matches!(self, Self::Ratio { .. } | Self::Quantile { .. })
    }

    /// Whether a query is asked, each number of whose answer is one sample.
    pub const fn asks(&self) -> bool {
        matches!(self, Self::Query { .. } | Self::Range { .. })
    }

    /// What it is called where one word has to do.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ratio { .. } => "ratio",
            Self::Mean { .. } => "mean",
            Self::Quantile { .. } => "quantile",
            Self::Query { .. } => "query",
            Self::Range { .. } => "range",
        }
    }

    /// What its numbers are numbers of, where that follows from what it is: a ratio's are shares. What others are numbers of has to
    /// be said.
    pub const fn unit(&self) -> Option<Unit> {
        match self {
            Self::Ratio { .. } => Some(Unit::Share),
            Self::Mean { .. } | Self::Quantile { .. } | Self::Query { .. } | Self::Range { .. } => {
                None
            }
        }
    }
}

/// What a metric's numbers are numbers of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// A part of a whole, from 0 to 1.
    Share,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// So many a second.
    PerSecond,
    /// Things that are counted.
    Count,
    /// Numbers that are none of these, such as a load or points of a score.
    Number,
}

impl Unit {
    /// What it is called in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Share => "shares",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::PerSecond => "a second",
            Self::Count => "counts",
            Self::Number => "numbers",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Share => "of all",
            Self::Seconds => "s",
            Self::Bytes => "B",
            Self::PerSecond => "/s",
            Self::Count | Self::Number => "",
        })
    }
}

/// Which way a metric gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Less is better: errors, latency, cost.
    LowerIsBetter,
    /// More is better: successes, throughput, conversions.
    HigherIsBetter,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_within() {
        let at = |x| Finite::new(x).unwrap();
        assert!(
            Bound::AtMost(at(0.05)).holds(at(0.05)) && !Bound::AtMost(at(0.05)).holds(at(0.06))
        );
        assert!(Bound::AtLeast(at(0.9)).holds(at(0.9)) && !Bound::AtLeast(at(0.9)).holds(at(0.8)));
    }
}
