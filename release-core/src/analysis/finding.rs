//! What a judge found, with everything that it follows from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Finite};

/// What a judge found at one look.
///
/// It can be computed again from the measurements in the journal, to the last bit on the same build; `samples` says from
/// which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it comes to.
    pub conclusion: Conclusion,
    /// The method and its version.
    pub method: Method,
    /// How bad the new version is beside the old one, and between which values that lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<Harm>,
    /// What was seen of the new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Seen>,
    /// What was seen of the old version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Seen>,
    /// What it is put together from, where that is several: pairs of windows, metrics of a scorecard, margins either of which may
    /// show that there is no harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Looks that count so far, this one included: the sample that decided is the last. A limit goes by one alone.
    pub looks: u32,
    /// How likely the interval misses the truth at one end, at any look; 0 where there is none, or where it is certain. Of a
    /// limit, if one event says nothing of the next.
    pub alpha: Finite,
    /// By how much more the samples vary together than if each stood alone; 1 is not at all.
    pub dispersion: Finite,
    /// The seed of what was drawn, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The digest of all measurements that it goes by, each after the one before: up to this one, or of a limit this one alone.
    pub samples: Digest,
}

impl Finding {
    /// Whether there was nothing to judge by.
    pub(crate) fn is_without_data(&self) -> bool {
        self.conclusion == Conclusion::NoData
    }

    /// One that is still without numbers: nothing to judge by, after so many `looks` at `samples`.
    pub(super) fn without_numbers(
        method: Method,
        looks: u32,
        alpha: Finite,
        samples: Option<Digest>,
    ) -> Self {
        Self {
            conclusion: Conclusion::NoData,
            method,
            harm: None,
            canary: None,
            baseline: None,
            parts: Vec::new(),
            looks,
            alpha,
            dispersion: finite(1.0),
            seed: None,
            samples: samples.unwrap_or_else(|| Digest::of(b"")),
        }
    }
}

/// A number of a finding, which all are finite.
pub(super) fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap_or(Finite::ZERO)
}

/// A number with three digits, for people.
pub(super) fn number(value: f64) -> String {
    format!("{}", format!("{value:.2e}").parse::<f64>().unwrap_or(value))
}

/// What a finding comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Conclusion {
    /// It is shown that the new version is worse than is tolerated.
    Regressed,
    /// It is shown that the new version is not worse than the margin.
    Healthy,
    /// Neither is shown yet.
    Undetermined,
    /// There is nothing to judge by: no samples, too few, stale ones, of another version or no numbers.
    NoData,
    /// Nothing was measured at all.
    NotEvaluated,
    /// The old version is not well itself, so that comparing says nothing.
    BaselineUnhealthy,
    /// The versions did not get the shares that were planned: who is compared is not who was to be.
    ShareMismatch,
}

impl Conclusion {
    /// It in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Healthy => "healthy within the margin",
            Self::Undetermined => "undetermined",
            Self::NoData => "no data",
            Self::NotEvaluated => "not evaluated",
            Self::BaselineUnhealthy => "the old version is not well itself",
            Self::ShareMismatch => "the shares are not those planned",
        }
    }
}

/// How something was found. The number is raised whenever the same samples may give another finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Method {
    /// Events of two versions, by a mixture of likelihood ratios.
    #[serde(rename = "sequential-counts/2")]
    SequentialCounts,
    /// The same with the numbers of [`Edition::First`](crate::model::Edition::First).
    #[serde(rename = "sequential-counts/1")]
    FirstSequentialCounts,
    /// Means of two versions, by a mixture of ratios of Student's t.
    #[serde(rename = "sequential-means/1")]
    SequentialMeans,
    /// Burn rates of one version, in pairs of windows.
    #[serde(rename = "burn-rate/1")]
    BurnRate,
    /// Levels of one version beside what is usual, by a cumulative sum.
    #[serde(rename = "cusum/1")]
    Cusum,
    /// One measurement of one version, held against a limit, alone. The interval is told for people and decides nothing.
    #[serde(rename = "threshold/1")]
    Threshold,
    /// Several metrics of two versions, as Kayenta's judge has it.
    #[serde(rename = "netflix-aca/1")]
    NetflixAca,
    /// The same, mended.
    #[serde(rename = "strict/1")]
    Strict,
    /// One look at several metrics of one version, each against criteria, scored together as Keptn does.
    #[serde(rename = "objectives/1")]
    Objectives,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SequentialCounts => "sequential-counts/2",
            Self::FirstSequentialCounts => "sequential-counts/1",
            Self::SequentialMeans => "sequential-means/1",
            Self::BurnRate => "burn-rate/1",
            Self::Cusum => "cusum/1",
            Self::Threshold => "threshold/1",
            Self::NetflixAca => "netflix-aca/1",
            Self::Strict => "strict/1",
            Self::Objectives => "objectives/1",
        })
    }
}

/// How bad a version is beside another. Above `nothing` it is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Harm {
    /// In which terms it is told.
    pub scale: Scale,
    /// The best guess, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Finite>,
    /// What it lies above; `None` where it may be anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<Finite>,
    /// What it lies below; `None` where it may be anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Finite>,
    /// What is tolerated.
    pub tolerated: Finite,
}

/// In which terms harm is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scale {
    /// The new version's rate of bad events by the old one's: 1 is no harm.
    Ratio,
    /// The new version's value minus the old one's, in the metric's unit, the worse the greater: 0 is no harm.
    Difference,
    /// How many times as fast as allowed an error budget burns: 0 is not at all.
    Burn,
    /// A cumulative sum, in spreads of a look: 0 is no harm.
    Sum,
    /// So many points are missing of a score of 100: 0 is none.
    Missing,
    /// How far the value is beyond its limit, in the metric's unit: 0 is at the limit, and below is on the good side.
    Beyond,
}

impl Scale {
    /// What is no harm.
    pub const fn nothing(self) -> f64 {
        match self {
            Self::Ratio => 1.0,
            Self::Difference | Self::Burn | Self::Sum | Self::Missing | Self::Beyond => 0.0,
        }
    }
}

/// One of several things that a finding is put together from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Part {
    /// Which.
    pub name: String,
    /// What it says, in a word: `fires`, `High`.
    pub says: String,
    /// The best guess of what is judged, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Finite>,
    /// What it lies above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<Finite>,
    /// What it lies below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Finite>,
    /// How many samples of the new version counted.
    pub samples: Finite,
    /// How many of the old one, where it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_samples: Option<Finite>,
}

/// What was seen of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The metric's value over all samples that count; of a quantile, the share of observations above the bound.
    pub value: Finite,
    /// How many samples.
    pub samples: Finite,
}
