//! What is done to samples before they are compared.

use super::config::{EffectMeasure, MetricConfig, NanStrategy, OutlierStrategy, Outliers};
use crate::stats::rank::{RankTest, Sorted};
use crate::stats::real;

/// The values that count: without what is not finite or with zero for it, and without outliers. Kayenta
/// knows only NaN; infinities are taken for the same here.
pub(super) fn prepare(values: &[f64], config: &MetricConfig) -> Vec<f64> {
    let kept: Vec<f64> = match config.nan_strategy {
        NanStrategy::Remove => values.iter().copied().filter(|value| value.is_finite()).collect(),
        NanStrategy::Replace => {
            values.iter().map(|&value| if value.is_finite() { value } else { 0.0 }).collect()
        }
    };
    without_outliers(kept, config.outliers)
}

/// The fences are a multiple of the interquartile range beyond the quartiles, and nowhere within the first
/// and the last percentile.
fn without_outliers(values: Vec<f64>, outliers: Outliers) -> Vec<f64> {
    if outliers.strategy == OutlierStrategy::Keep || values.is_empty() {
        return values;
    }
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| percentile(&sorted, part);
    let (first, third) = (at(0.25), at(0.75));
    let reach = outliers.outlier_factor * (third - first);
    let (low, high) = (at(0.01).min(first - reach), at(0.99).max(third + reach));
    values.into_iter().filter(|&value| value >= low && value <= high).collect()
}

/// The quantile of R's type 7: linear between the values.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (real(sorted.len()) - 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slice")]
    let index = place.floor() as usize;
    let at = |index: usize| sorted.get(index).or(sorted.last()).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(index), at(index + 1));
    low + (place - place.floor()) * (high - low)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / real(values.len())
}

/// The effect in its measure, with NaN for a ratio of means one of which is zero.
pub(super) fn effect(measure: EffectMeasure, experiment: &Sorted, control: &Sorted) -> f64 {
    match measure {
        EffectMeasure::Cles => RankTest::of_sorted(experiment, control).effect(),
        EffectMeasure::MeanRatio => {
            let (above, below) = (mean(experiment.values()), mean(control.values()));
            if above == 0.0 || below == 0.0 { f64::NAN } else { above / below }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_replaced_or_removed() {
        let values = [1.0, f64::NAN, 3.0, f64::INFINITY];
        let remove = MetricConfig::default();
        let replace = MetricConfig { nan_strategy: NanStrategy::Replace, ..remove };
        assert_eq!(prepare(&values, &remove), [1.0, 3.0]);
        assert_eq!(prepare(&values, &replace), [1.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn outliers_are_beyond_both_fences() {
        let outliers = Outliers { strategy: OutlierStrategy::Remove, outlier_factor: 3.0 };
        let config = MetricConfig { outliers, ..MetricConfig::default() };
        let mut values: Vec<f64> = (0..200).map(|i| f64::from(i % 10)).collect();
        values.push(1e6);
        assert_eq!(prepare(&values, &config).len(), 200);
        // Of ten values the last percentile is close to the greatest, which keeps all but that one.
        assert_eq!(prepare(&[1.0, 2.0, 3.0, 4.0, 1000.0], &config), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(prepare(&[5.0; 4], &config), [5.0; 4]);
        assert!((percentile(&[1.0, 2.0, 4.0], 0.75) - 3.0).abs() < 1e-15);
    }
}
