//! Cumulative sums: a small change that lasts is found soon, with few false alarms.
//!
//! Page, «Continuous inspection schemes», Biometrika 41 (1954); Montgomery, «Introduction to statistical
//! quality control», chapter 9.

use serde::{Deserialize, Serialize};

use super::error::{StatsError, finite, keep, not_negative, positive};
use super::quadrature::{nodes, solve};
use super::special::{normal_cdf, normal_density};

/// A one-sided tabular cumulative sum: `S = max(0, S + x - k)`, with an alarm above `h`.
///
/// It looks for more; for less, give it values with the other sign. Values of a mean are given in standard
/// deviations from what is expected; then `k` is half the change that matters, and `h` is 4 or 5.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CusumParts", into = "CusumParts")]
pub struct Cusum(CusumParts);

/// A cumulative sum as it is stored; checked when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CusumParts {
    /// The reference value: how much above the expected is let pass, in units of the values.
    pub k: f64,
    /// The sum above which there is an alarm, in units of the values.
    pub h: f64,
    /// The sum so far.
    #[serde(default)]
    pub sum: f64,
    /// How many values in a row the sum was above 0: the change began about then.
    #[serde(default)]
    pub since: u64,
}

impl Cusum {
    /// A sum of nothing yet.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `k` is not negative and `h` above 0.
    pub fn new(k: f64, h: f64) -> Result<Self, StatsError> {
        CusumParts { k, h, sum: 0.0, since: 0 }.try_into()
    }

    /// A sum over counts whose expected number may grow from `normal` to `bad` in the time of one value.
    ///
    /// # Errors
    /// As [`poisson_reference`] and [`Self::new`] have them.
    pub fn of_counts(normal: f64, bad: f64, h: f64) -> Result<Self, StatsError> {
        Self::new(poisson_reference(normal, bad)?, h)
    }

    /// Takes one value; whether there is an alarm. Constant time.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for NaN and infinities; the sum stays as it is.
    pub fn push(&mut self, x: f64) -> Result<bool, StatsError> {
        let CusumParts { k, h, sum, since } = &mut self.0;
        *sum = (*sum + finite("x", x)? - *k).max(0.0);
        *since = if *sum > 0.0 { since.saturating_add(1) } else { 0 };
        Ok(*sum > *h)
    }

    /// What it is made of and what it has come to.
    pub const fn parts(&self) -> CusumParts {
        self.0
    }

    /// Whether there is an alarm.
    pub fn alarm(&self) -> bool {
        self.0.sum > self.0.h
    }
}

impl TryFrom<CusumParts> for Cusum {
    type Error = StatsError;
    fn try_from(parts: CusumParts) -> Result<Self, StatsError> {
        not_negative("k", parts.k)?;
        positive("h", parts.h)?;
        not_negative("sum", parts.sum)?;
        Ok(Self(parts))
    }
}

impl From<Cusum> for CusumParts {
    fn from(cusum: Cusum) -> Self {
        cusum.0
    }
}

/// The reference value for counts: `(bad - normal) / ln(bad / normal)`, in events, at which counts of both
/// are equally likely (Lucas, «Counted data CUSUM's», Technometrics 27 (1985)).
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `normal` is above 0 and `bad` above it.
pub fn poisson_reference(normal: f64, bad: f64) -> Result<f64, StatsError> {
    let normal = positive("normal", normal)?;
    let bad = keep(bad > normal && bad.is_finite(), "bad", bad, "more than the normal rate")?;
    Ok((bad - normal) / (bad / normal).ln())
}

/// After how many values there is an alarm in the mean, when normal values of variance 1 have moved by
/// `shift` from the beginning; 0 for the time between false alarms.
///
/// Solves the integral equation of Page by Gauss and Legendre's nodes (Goel and Wu, Technometrics 13
/// (1971)); right to 1e-8 of it for `h` up to 20.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `k` and `shift` are finite and `h` above 0;
/// [`StatsError::NoConvergence`] when it is longer than floats can tell.
pub fn run_length(k: f64, h: f64, shift: f64) -> Result<f64, StatsError> {
    let offset = finite("k", k)? - finite("shift", shift)?;
    let places = nodes(64, 0.0, positive("h", h)?);
    // The unknowns are the run lengths from 0 and from each node.
    let starts = core::iter::once(0.0).chain(places.iter().map(|&(place, _)| place));
    let row = |(index, from): (usize, f64)| -> Vec<f64> {
        let to_zero = -normal_cdf(offset - from);
        let to_places =
            places.iter().map(|(at, weight)| -weight * normal_density(at + offset - from));
        let mut row: Vec<f64> = core::iter::once(to_zero).chain(to_places).collect();
        if let Some(diagonal) = row.get_mut(index) {
            *diagonal += 1.0;
        }
        row.push(1.0);
        row
    };
    let lengths = solve(starts.enumerate().map(row).collect());
    let length = lengths.and_then(|lengths| lengths.first().copied());
    let good = length.filter(|length| length.is_finite() && *length >= 1.0);
    good.ok_or(StatsError::NoConvergence { what: "mean run length" })
}

/// How likely there is an alarm within `looks` values, when normal values of variance 1 have moved by `shift` from the
/// beginning; 0 for the chance of a false alarm.
///
/// The chance that there is none from where the sum stands follows from that of one value less, by the same nodes as the
/// mean run length's, which is its sum over all numbers of values. Costs 4,225 multiplications a value; where the chance of no
/// alarm falls by the same factor with every value, the rest is a power of it.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `k` and `shift` are finite and `h` above 0.
pub fn alarm_within(k: f64, h: f64, shift: f64, looks: u32) -> Result<f64, StatsError> {
    let offset = finite("k", k)? - finite("shift", shift)?;
    let places = nodes(64, 0.0, positive("h", h)?);
    let starts = core::iter::once(0.0).chain(places.iter().map(|&(place, _)| place));
    // From each start: the chance to come to zero, and the density of each place with its weight.
    let row = |from: f64| -> Vec<f64> {
        let to_zero = normal_cdf(offset - from);
        let to_places =
            places.iter().map(|(at, weight)| weight * normal_density(at + offset - from));
        core::iter::once(to_zero).chain(to_places).collect()
    };
    let rows: Vec<Vec<f64>> = starts.map(row).collect();
    let step = |row: &[f64], quiet: &[f64]| -> f64 {
        row.iter().zip(quiet).fold(0.0, |sum, (chance, then)| chance.mul_add(*then, sum))
    };
    let mut quiet = vec![1.0; rows.len()];
    let mut factor: Option<f64> = None;
    for look in 0..looks {
        let before = quiet.first().copied().unwrap_or(0.0);
        quiet = rows.iter().map(|row| step(row, &quiet)).collect();
        let now = quiet.first().copied().unwrap_or(0.0);
        let ratio = now / before;
        if before <= 0.0 || now <= 0.0 {
            return Ok(1.0);
        }
        if factor.is_some_and(|factor| (ratio - factor).abs() <= 1e-12) {
            let rest = looks.saturating_sub(look).saturating_sub(1);
            return Ok(1.0 - now * ratio.powf(f64::from(rest)));
        }
        factor = Some(ratio);
    }
    Ok((1.0 - quiet.first().copied().unwrap_or(0.0)).clamp(0.0, 1.0))
}

/// The same by Siegmund's approximation (1985): a few percent off, in one formula.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `k` and `shift` are finite and `h` above 0.
pub fn run_length_approximate(k: f64, h: f64, shift: f64) -> Result<f64, StatsError> {
    let drift = finite("shift", shift)? - finite("k", k)?;
    let reach = positive("h", h)? + 1.166;
    let x = -2.0 * drift * reach;
    Ok(if x.abs() < 1e-6 { reach * reach } else { (x.exp_m1() - x) / (2.0 * drift * drift) })
}

/// The mean run length of two sums together, one for more and one for less.
pub fn run_length_of_both(above: f64, below: f64) -> f64 {
    1.0 / (1.0 / above + 1.0 / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_lengths_are_those_of_the_tables() {
        for (h, shift, want) in [
            (4.0, 0.0, 335.37),
            (4.0, 0.5, 26.68),
            (4.0, 1.0, 8.38),
            (4.0, 2.0, 3.34),
            (5.0, 0.0, 930.88),
            (5.0, 0.5, 38.01),
            (5.0, 1.0, 10.38),
            (5.0, 2.0, 4.01),
        ] {
            let got = run_length(0.5, h, shift).unwrap();
            // As many digits as are given, rounded or cut.
            assert!((got - want).abs() <= 0.01, "{h}, {shift}: {got} for {want}");
        }
        for (h, want) in [(4.0, 167.68), (5.0, 465.44)] {
            let one = run_length(0.5, h, 0.0).unwrap();
            assert!((run_length_of_both(one, one) - want).abs() < 0.005, "{h}: {one}");
        }
        for (shift, want) in [(0.0, 938.2), (1.0, 10.34)] {
            let got = run_length_approximate(0.5, 5.0, shift).unwrap();
            assert!((got - want).abs() < 0.05, "{shift}: {got} for {want}");
        }
        let level = run_length_approximate(0.5, 5.0, 0.5).unwrap();
        assert!((level - 38.02).abs() < 0.01, "{level}");
    }

    #[test]
    fn chances_of_alarms_sum_up_to_run_lengths() {
        for (h, shift) in [(4.0, 1.0), (5.0, 1.0), (4.0, 2.0)] {
            // The mean of what is not negative is the sum of the chances to be above each number.
            let quiet = |looks| 1.0 - alarm_within(0.5, h, shift, looks).unwrap();
            let sum: f64 = (0..120).map(quiet).sum();
            let want = run_length(0.5, h, shift).unwrap();
            assert!((sum - want).abs() < 1e-6 * want, "{h}, {shift}: {sum} for {want}");
        }
        // A geometric tail: far out it is the mean run length that counts.
        let far = alarm_within(0.5, 5.0, 0.0, 1_000_000).unwrap();
        assert!(far > 1.0 - 1e-9, "{far}");
        let none = alarm_within(0.5, 5.0, 0.0, 0).unwrap();
        assert!(none.abs() < 1e-15, "{none}");
    }

    #[test]
    fn the_table_of_the_model_is_right() {
        for (h, want) in [(4.0, [335.0, 26.7, 8.4, 3.3]), (5.0, [931.0, 38.0, 10.4, 4.0])] {
            for (shift, want) in [0.0, 0.5, 1.0, 2.0].into_iter().zip(want) {
                let got = run_length(0.5, h, shift).unwrap();
                assert!((got - want).abs() <= 0.5, "{h}, {shift}: {got}");
            }
        }
        for (shift, want) in [(0.0, 18_950.0), (0.5, 84.0), (1.0, 16.4), (2.0, 6.0)] {
            let got = run_length(0.5, 8.0, shift).unwrap();
            assert!((got - want).abs() <= 0.005 * want, "8, {shift}: {got}");
        }
        // By a Markov chain of 300 states (Brook and Evans, Biometrika 59 (1972)).
        for (h, shift, looks, want) in [
            (5.0, 0.0, 47, 0.0434),
            (5.0, 1.0, 20, 0.9458),
            (5.0, 1.0, 21, 0.9558),
            (4.0, 0.0, 20, 0.0466),
            (8.0, 0.0, 100, 0.0046),
            (8.0, 1.0, 30, 0.9514),
        ] {
            let got = alarm_within(0.5, h, shift, looks).unwrap();
            assert!((got - want).abs() < 3e-4, "{h}, {shift}, {looks}: {got} for {want}");
        }
    }

    #[test]
    fn a_change_is_found_and_kept() {
        let mut sum = Cusum::new(0.5, 4.0).unwrap();
        for _ in 0..1000 {
            assert!(!sum.push(0.4).unwrap());
        }
        let alarms: Vec<bool> = (0..5).map(|_| sum.push(1.5).unwrap()).collect();
        assert_eq!(alarms, [false, false, false, false, true]);
        assert!(sum.alarm() && sum.parts().since == 5);
        assert!(sum.push(f64::NAN).is_err() && sum.alarm());
        let stored = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Cusum>(&stored).unwrap(), sum);
        assert!(serde_json::from_str::<Cusum>(r#"{"k":0.5,"h":0.0}"#).is_err());
    }

    #[test]
    fn counts_have_a_reference_between_the_rates() {
        let k = poisson_reference(1.0, 2.0).unwrap();
        assert!((k - 1.0 / 2_f64.ln()).abs() < 1e-15);
        assert!(Cusum::of_counts(1.0, 2.0, 5.0).unwrap().parts().k > 1.0);
        assert!(poisson_reference(1.0, 1.0).is_err() && Cusum::new(-1.0, 1.0).is_err());
        assert!(run_length(0.5, 0.0, 0.0).is_err() && run_length(f64::NAN, 1.0, 0.0).is_err());
    }
}
