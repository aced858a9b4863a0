//! Several metrics together: what each may claim, and what all of them say.
//!
//! E-values are never multiplied here: those of metrics of one service depend on each other.

use super::error::{StatsError, fraction};
use super::real;

/// What each of `metrics` may spend so that all of them together are wrong with probability `alpha` at
/// most, whatever they have to do with each other: Bonferroni's `alpha / metrics`.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1; [`StatsError::TooFew`] for no metrics.
pub fn split(alpha: f64, metrics: usize) -> Result<f64, StatsError> {
    if metrics == 0 {
        return Err(StatsError::TooFew { what: "metrics", got: 0, need: 1 });
    }
    Ok(fraction("alpha", alpha)? / real(metrics))
}

/// The logarithm of the mean of e-values that are given as logarithms: an e-value for «something is wrong
/// with one of them», whatever they have to do with each other (Vovk and Wang, «E-values: calibration,
/// combination and applications», Annals of Statistics 49 (2021)).
///
/// # Errors
/// [`StatsError::TooFew`] for none; [`StatsError::NotFinite`] for NaN and infinity. Minus infinity is the
/// logarithm of the e-value 0.
pub fn log_mean(log_e: &[f64]) -> Result<f64, StatsError> {
    if log_e.is_empty() {
        return Err(StatsError::TooFew { what: "log_e", got: 0, need: 1 });
    }
    check(log_e)?;
    let greatest = log_e.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if greatest.is_infinite() {
        return Ok(greatest);
    }
    let sum: f64 = log_e.iter().map(|value| (value - greatest).exp()).sum();
    Ok(greatest + (sum / real(log_e.len())).ln())
}

/// Which e-values are discoveries, so that at most the share `alpha` of discoveries is wrong in the mean:
/// e-BH (Wang and Ramdas, «False discovery rate control with e-values», JRSS B 84 (2022)), valid whatever
/// the e-values have to do with each other. In the order given.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1; [`StatsError::NotFinite`] for NaN and
/// infinity.
pub fn discoveries(log_e: &[f64], alpha: f64) -> Result<Vec<bool>, StatsError> {
    let alpha = fraction("alpha", alpha)?;
    check(log_e)?;
    let mut ranked = log_e.to_vec();
    ranked.sort_unstable_by(|a, b| b.total_cmp(a));
    let all = real(ranked.len());
    let enough = |rank: usize| (all / (alpha * real(rank))).ln();
    let last = (1..).zip(&ranked).filter(|&(rank, value)| *value >= enough(rank)).last();
    let limit = last.map_or(f64::INFINITY, |(rank, _)| enough(rank));
    Ok(log_e.iter().map(|&value| value >= limit).collect())
}

fn check(log_e: &[f64]) -> Result<(), StatsError> {
    match log_e.iter().position(|value| value.is_nan() || *value == f64::INFINITY) {
        Some(at) => Err(StatsError::NotFinite { what: "log_e", at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_stable() {
        for (values, want) in [
            (vec![0.0, 0.0], 0.0),
            (vec![2_f64.ln(), 4_f64.ln()], 3_f64.ln()),
            (vec![1e4, -1e4], 1e4 - 2_f64.ln()),
            (vec![-1e4, -1e4 + 3_f64.ln()], -1e4 + 2_f64.ln()),
            (vec![f64::NEG_INFINITY, 0.0], -2_f64.ln()),
        ] {
            assert!((log_mean(&values).unwrap() - want).abs() < 1e-11, "{values:?}");
        }
        assert_eq!(log_mean(&[f64::NEG_INFINITY]), Ok(f64::NEG_INFINITY));
        assert!(log_mean(&[]).is_err() && log_mean(&[f64::NAN]).is_err());
    }

    #[test]
    fn discoveries_are_those_of_the_definition() {
        // Of four at 0.1: 40 for the first, 20 for the second, 13.3 for the third, 10 for all.
        for (values, want) in [
            ([41.0, 1.0, 1.0, 0.0], [true, false, false, false]),
            ([39.0, 1.0, 1.0, 0.0], [false; 4]),
            ([1.0, 21.0, 20.5, 5.0], [false, true, true, false]),
            ([10.1, 11.0, 12.0, 13.0], [true; 4]),
        ] {
            let logs: Vec<f64> = values.iter().map(|value: &f64| value.ln()).collect();
            assert_eq!(discoveries(&logs, 0.1).unwrap(), want, "{values:?}");
        }
        assert_eq!(discoveries(&[], 0.1), Ok(vec![]));
        assert!(discoveries(&[f64::INFINITY], 0.1).is_err() && discoveries(&[0.0], 0.0).is_err());
    }

    #[test]
    fn an_error_is_split_evenly() {
        assert!((split(0.05, 5).unwrap() - 0.01).abs() < 1e-15);
        assert!(split(0.05, 0).is_err() && split(1.0, 2).is_err());
    }
}
