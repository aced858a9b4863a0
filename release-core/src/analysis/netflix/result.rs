//! What comes of judging.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is found of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Classification {
    /// Nothing bad.
    Pass,
    /// An increase that is bad.
    High,
    /// A decrease that is bad.
    Low,
    /// One arm has no data.
    Nodata,
    /// One arm has no data, which counts as failing.
    NodataFailMetric,
    /// The data does not tell; only [`Strict`](super::Strict) says so.
    Inconclusive,
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What is found of the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Somebody should look.
    Marginal,
    /// Go back.
    Fail,
    /// Measure longer; only [`Strict`](super::Strict) says so.
    Inconclusive,
}

/// A metric, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricResult {
    /// Its name.
    pub name: String,
    /// The groups that it counts in.
    pub groups: Vec<String>,
    /// What is found.
    pub classification: Classification,
    /// Whether it fails everything.
    pub critical: bool,
    /// By how much the canary is above the control, in units of the metric.
    pub estimate: Option<f64>,
    /// The lower end of that, with 98 % confidence.
    pub lower: Option<f64>,
    /// The upper end of that, with 98 % confidence.
    pub upper: Option<f64>,
    /// The effect in its measure; `None` where it has none, infinite for something against nothing.
    pub effect: Option<f64>,
    /// How many values of the canary counted.
    pub experiment: usize,
    /// How many values of the control counted.
    pub control: usize,
    /// Why, in one line.
    pub reason: String,
}

/// A group, scored.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupScore {
    /// Its name.
    pub name: String,
    /// Its score, from 0 to 100, to two places. Of [`Strict`](super::Strict) it is the least it can be.
    pub score: f64,
    /// Its weight in percent.
    pub weight: f64,
}

/// A canary, judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Who judged.
    pub judge: &'static str,
    /// What is found.
    pub verdict: Verdict,
    /// The score, from 0 to 100, to two places. Of [`Strict`](super::Strict) it is the least it can be,
    /// whatever the metrics are that do not tell yet.
    pub score: f64,
    /// The greatest that the score can be; above `score` where metrics do not tell yet.
    pub score_at_most: f64,
    /// Why, in one line.
    pub reason: String,
    /// The groups, by name.
    pub groups: Vec<GroupScore>,
    /// The metrics, in the order of the configuration, without those that are muted.
    pub metrics: Vec<MetricResult>,
    /// The seed of the noise, if any was needed: the same seed gives the same judgement.
    pub seed: Option<u64>,
}
