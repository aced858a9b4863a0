//! By which rule measurements are judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::burn::BurnRate;
use super::cusum::Cusum;
use super::metric::{Bound, Direction, Unit};
use super::number::Finite;
use super::objectives::Objectives;
use super::scorecard::Scorecard;

/// By which rule measurements are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Judge {
    /// Each measurement of the new version alone, against a limit. In files, `success` stands for it.
    Threshold(Threshold),
    /// The new version beside the old one, at the same time, by a test that may be looked at as often as one likes. What to take
    /// wherever both versions serve: it needs to be told what traffic to expect, so that nobody gets it unasked.
    Sequential(Sequential),
    /// The new version's burn rate against a service level objective, in pairs of windows.
    BurnRate(BurnRate),
    /// A level of the new version beside what is usual, by a cumulative sum: for the time after a release.
    Cusum(Cusum),
    /// Several metrics of the new version beside the old one, scored together, as Kayenta does.
    Scorecard(Scorecard),
    /// Several metrics of the new version alone, each against criteria, scored together, as Keptn does.
    Objectives(Objectives),
}

impl Judge {
    /// Whether the version that was there before is measured beside the new one.
    pub const fn compares(&self) -> bool {
        match self {
            Self::Threshold(_) | Self::BurnRate(_) | Self::Objectives(_) => false,
            Self::Sequential(_) | Self::Scorecard(_) => true,
            Self::Cusum(rule) => rule.usual.is_none(),
        }
    }

    /// Whether one finding that all is well ends the analysis: it is about all looks together, not about one.
    pub const fn sums_up(&self) -> bool {
        match self {
            Self::Threshold(_) | Self::BurnRate(_) | Self::Objectives(_) => false,
            Self::Sequential(_) | Self::Scorecard(_) | Self::Cusum(_) => true,
        }
    }
}

/// The limits that each measurement of the new version is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// What a good measurement keeps.
    pub success: Bound,
    /// What a measurement has to keep not to be a bad one. What keeps this and not `success` is inconclusive;
    /// without it, what is not good is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Bound>,
    /// What the numbers are numbers of. Only a ratio need not say it: its numbers are shares. Which way is
    /// worse, the bounds say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

impl Threshold {
    /// What is not good is bad.
    pub const fn new(success: Bound) -> Self {
        Self { success, failure: None, unit: None }
    }

    /// What keeps `failure` and not `success` is neither.
    pub const fn between(success: Bound, failure: Bound) -> Self {
        Self { success, failure: Some(failure), unit: None }
    }

    /// The same limits for numbers of `unit`.
    #[must_use]
    pub const fn of(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }
}

/// A sequential test of the new version against the old one, which serves beside it.
///
/// It ends with *regressed* when the lower end of the interval of harm lies above what is tolerated, with *healthy* when its
/// upper end lies below the margin, and is undetermined until then: that no harm was shown is not that none is there. The
/// intervals hold at all looks together, so that looking often costs nothing.
///
/// See [`analysis`](crate::analysis) for the method, its assumptions and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequential {
    /// Which way is worse.
    pub direction: Direction,
    /// What the metric's numbers are numbers of.
    pub unit: Unit,
    /// How much worse the new version may be and still pass.
    pub margin: Margin,
    /// What is expected of the traffic: from it follows what can be found at all.
    pub expected: Expected,
    /// How likely a version that is no worse is found to be worse, at the most: over all looks of all such analyses of a run
    /// together. Above 0 and below 1.
    ///
    /// It bounds one attempt of each analysis. Where people try one again ([`Command::Retry`](crate::run::Command::Retry)), that is a new
    /// test: with `k` retries in a run it is `(k + 1) * alpha` at the most.
    ///
    /// That it is not shown to be healthy by the last look is another thing. The planner sees to it that this happens in one run
    /// of ten at the most where the traffic is as expected, and [`Analysis::undecided`](super::Analysis::undecided) says what
    /// follows.
    #[serde(default = "five_percent")]
    pub alpha: Finite,
    /// Whether any harm that is shown takes the version back, also within the margin.
    #[serde(default, skip_serializing_if = "is_false")]
    pub critical: bool,
    /// So many looks at the beginning are thrown away.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warm_up: u32,
    /// What the old version has to keep, in the metric's unit; while it does not, nothing is concluded. Of a quantile, it is held
    /// against the worse end of the bucket in which that of all observations of the window lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Bound>,
    /// Among how many analyses of the run `alpha` is divided. The planner counts them.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub comparisons: u32,
    /// By which numbers waves are told from harm. The planner takes the latest, and a plan keeps its own.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub edition: Edition,
}

/// Numbers that a method goes by. A release that mends them adds an edition: plans that were made before keep theirs, so that what
/// their journals say is found again to the last bit. What says nothing is of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Edition {
    /// Found harm too often where few bad events fell to the smaller of two versions, in waves of half their size. Looks until it was
    /// fixed where a quantile lies were without data.
    First,
    /// The latest.
    #[default]
    Second,
}

/// How much worse a version may be: by a factor, or by an amount, whichever is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// By this part of the old version's value: 0.1 is ten percent worse. Of a quantile, by this part of the share of observations
    /// beyond it.
    #[serde(default = "zero", skip_serializing_if = "is_none")]
    pub relative: Finite,
    /// By this much, in the metric's unit. Not of a quantile, of which only shares are compared: the planner refuses it.
    #[serde(default = "zero", skip_serializing_if = "is_none")]
    pub absolute: Finite,
}

/// What is expected of the traffic in one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Requests a second, of all versions together; where two sets of an experiment are compared, of these two.
    pub per_second: Finite,
    /// The metric's value while all is well, in its unit; of a quantile it is not needed.
    #[serde(default = "zero", skip_serializing_if = "is_none")]
    pub value: Finite,
    /// By how much values of one look differ from the next (their standard deviation), in the metric's unit; of shares and
    /// quantiles it follows from the counts.
    #[serde(default = "zero", skip_serializing_if = "is_none")]
    pub spread: Finite,
    /// How bad harm is that has to be found: as a multiple of the value, so that 3 is three times as many errors. Of a
    /// quantile, as a multiple of the share of observations above it.
    pub detect: Finite,
}

impl Sequential {
    /// How likely one end of an interval may be wrong at any look: `alpha`, divided among the comparisons of the run, and among
    /// both margins where either would do.
    pub fn alpha_of_an_end(&self) -> f64 {
        let Margin { relative, absolute } = self.margin;
        let ways = if relative > Finite::ZERO && absolute > Finite::ZERO { 2.0 } else { 1.0 };
        self.alpha.get() / (ways * f64::from(self.comparisons.max(1)))
    }
}

const fn zero() -> Finite {
    Finite::ZERO
}
const fn one() -> u32 {
    1
}
const fn first() -> Edition {
    Edition::First
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(edition: &Edition) -> bool {
    matches!(edition, Edition::First)
}
fn five_percent() -> Finite {
    Finite::new(0.05).unwrap_or(Finite::ZERO)
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(value: &Finite) -> bool {
    *value == Finite::ZERO
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_one(value: &u32) -> bool {
    *value == 1
}
