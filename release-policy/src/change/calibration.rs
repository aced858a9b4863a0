//! Whether forecasts of failure were right: the Brier score of our own outcomes.
//!
//! Brier, G. W. (1950), Verification of forecasts expressed in terms of probability; its decomposition is
//! Murphy's (1973). It is a report for people; no decision is made from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A forecast and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    /// How probable a failure was said to be, in hundredths of a percent; more than 10000 counts as that.
    pub failure: u32,
    /// Whether it failed.
    pub failed: bool,
}

/// How good forecasts were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// How many forecasts.
    pub forecasts: u32,
    /// The mean squared distance between forecast and outcome: 0 is perfect, 1 is always wrong.
    pub brier: f64,
    /// The share that failed.
    pub base_rate: f64,
    /// How far forecasts are from what then came; 0 is best.
    pub reliability: f64,
    /// How well forecasts tell changes apart; more is better, and at most the uncertainty.
    pub resolution: f64,
    /// What there was to be told: the Brier score of always forecasting the base rate. The score is
    /// reliability minus resolution plus uncertainty.
    pub uncertainty: f64,
    /// One minus the share of the uncertainty that is left: 1 is perfect, and below 0 the base rate alone
    /// would have been better. Absent when everything had one outcome.
    pub skill: Option<f64>,
    /// Forecast by forecast, what came of it.
    pub bins: Vec<Bin>,
}

/// All that were forecast alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    /// The forecast, in hundredths of a percent.
    pub failure: u32,
    /// How many had it.
    pub forecasts: u32,
    /// How many of them failed.
    pub failed: u32,
}

impl Bin {
    fn forecast(&self) -> f64 {
        f64::from(self.failure) / 10_000.0
    }
    fn observed(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.forecasts.max(1))
    }
}

/// Judges forecasts by what came of them; `None` without any.
pub fn calibrate(all: &[Forecast]) -> Option<Calibration> {
    let mut bins: BTreeMap<u32, Bin> = BTreeMap::new();
    for Forecast { failure, failed } in all {
        let failure = (*failure).min(10_000);
        let bin = bins.entry(failure).or_insert(Bin { failure, forecasts: 0, failed: 0 });
        bin.forecasts = bin.forecasts.saturating_add(1);
        bin.failed = bin.failed.saturating_add(u32::from(*failed));
    }
    let bins: Vec<_> = bins.into_values().collect();
    let forecasts = bins.iter().fold(0_u32, |sum, bin| sum.saturating_add(bin.forecasts));
    if forecasts == 0 {
        return None;
    }
    let total = f64::from(forecasts);
    let mean = |part: &dyn Fn(&Bin) -> f64| bins.iter().map(part).sum::<f64>() / total;
    let base_rate = mean(&|bin| f64::from(bin.failed));
    let brier = mean(&|bin| {
        let (bad, good) = (f64::from(bin.failed), f64::from(bin.forecasts - bin.failed));
        bad * (1.0 - bin.forecast()).powi(2) + good * bin.forecast().powi(2)
    });
    let weighed = |bin: &Bin, distance: f64| f64::from(bin.forecasts) * distance.powi(2);
    let reliability = mean(&|bin| weighed(bin, bin.forecast() - bin.observed()));
    let resolution = mean(&|bin| weighed(bin, bin.observed() - base_rate));
    let uncertainty = base_rate * (1.0 - base_rate);
    let skill = (uncertainty > 0.0).then(|| 1.0 - brier / uncertainty);
    Some(Calibration {
        forecasts,
        brier,
        base_rate,
        reliability,
        resolution,
        uncertainty,
        skill,
        bins,
    })
}
