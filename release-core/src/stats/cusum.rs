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
/// mean run length's, which is its sum over all numbers of values. Costs 4,225 multiplications a value; for more than some
/// hundred values the step of one value is squared to steps of 2, 4, 8 and so on, 274,625 multiplications each.
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
    let mut step: Vec<Vec<f64>> = starts.map(row).collect();
    let mut quiet = vec![1.0; step.len()];
    let mut left = looks;
    while left > 0 {
        if left < SQUARED {
            (0..left).for_each(|_| quiet = times(&step, &quiet));
            break;
        }
        if left % 2 == 1 {
            quiet = times(&step, &quiet);
        }
        step = squared(&step);
        left /= 2;
    }
    Ok((1.0 - quiet.first().copied().unwrap_or(0.0)).clamp(0.0, 1.0))
}

/// From so many steps on it is cheaper to square them than to take them.
const SQUARED: u32 = 130;

fn times(rows: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    let sum = |row: &Vec<f64>| row.iter().zip(vector).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
    rows.iter().map(sum).collect()
}

fn squared(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let square = |row: &Vec<f64>| {
        let mut sums = vec![0.0; row.len()];
        for (factor, other) in row.iter().zip(rows) {
            for (sum, value) in sums.iter_mut().zip(other) {
                *sum = factor.mul_add(*value, *sum);
            }
        }
        sums
    };
    rows.iter().map(square).collect()
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
        // Far out it is the mean run length that counts.
        let far = alarm_within(0.5, 5.0, 0.0, 1_000_000).unwrap();
        assert!(far > 1.0 - 1e-9, "{far}");
        let none = alarm_within(0.5, 5.0, 0.0, 0).unwrap();
        assert!(none.abs() < 1e-15, "{none}");
    }

    #[test]
    fn rare_alarms_come_as_the_run_length_says_and_late_ones_come() {
        for h in [9.0, 12.0, 15.0, 20.0] {
            // Memoryless once the sum has forgotten its beginning, which takes less than a hundred values.
            let length = run_length(0.5, h, 0.0).unwrap();
            let looks = (length / 5.0).min(4e9);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below 2^32"
            )]
            let got = alarm_within(0.5, h, 0.0, looks as u32).unwrap();
            let want = -(-looks.floor() / length).exp_m1();
            // A sum starts from zero, so that it is a little later.
            assert!((got - want).abs() < 2e-3 * want, "{h}: {got} for {want}");
            let found = alarm_within(0.5, h, 1.0, 300).unwrap();
            assert!(found > 0.999_999, "{h}: {found}");
        }
        let got = alarm_within(0.5, 9.0, 0.0, 10_000).unwrap();
        assert!((got - 0.176).abs() < 5e-4, "{got}");
    }

    #[test]
    fn squares_of_steps_are_as_many_steps() {
        let (h, shift) = (9.0, 0.7);
        let mut quiet: Vec<f64> = Vec::new();
        for looks in [SQUARED - 1, SQUARED, 2 * SQUARED + 1] {
            quiet.push(1.0 - alarm_within(0.5, h, shift, looks).unwrap());
        }
        // Late alarms come at one rate.
        let rate = (1.0 - alarm_within(0.5, h, shift, 100).unwrap()).ln()
            - (1.0 - alarm_within(0.5, h, shift, 101).unwrap()).ln();
        let far = f64::from(SQUARED + 1).mul_add(-rate, quiet[1].ln());
        assert!((quiet[0].ln() - rate - quiet[1].ln()).abs() < 1e-5, "{quiet:?}, {rate}");
        assert!((far - quiet[2].ln()).abs() < 1e-3, "{quiet:?}, {rate}");
    }

    #[test]
    fn high_limits_are_reached_as_often_as_in_a_chain_of_states() {
        // Brook and Evans's chain, of states that are as wide as their distance, from the middle of each.
        let chain = |h: f64, shift: f64, looks: u32| {
            let states = 200_u32;
            let width = 2.0 * h / f64::from(2 * states - 1);
            let below = |from: u32, to: u32| {
                let edge = (f64::from(to) + 0.5) * width;
                normal_cdf(edge - f64::from(from) * width + 0.5 - shift)
            };
            let row = |from: u32| -> Vec<f64> {
                let first = below(from, 0);
                let rest = (1..states).map(|to| below(from, to) - below(from, to - 1));
                core::iter::once(first).chain(rest).collect()
            };
            let rows: Vec<Vec<f64>> = (0..states).map(row).collect();
            let mut quiet = vec![1.0; rows.len()];
            (0..looks).for_each(|_| quiet = times(&rows, &quiet));
            1.0 - quiet[0]
        };
        for (h, shift, looks) in
            [(9.0, 0.0, 300), (11.0, 1.0, 25), (14.0, 0.7, 90), (20.0, 1.0, 40), (20.0, 1.0, 200)]
        {
            let (got, want) = (alarm_within(0.5, h, shift, looks).unwrap(), chain(h, shift, looks));
            assert!(
                (got - want).abs() < 1e-3 + 0.02 * want,
                "{h}, {shift}, {looks}: {got}, {want}"
            );
        }
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
