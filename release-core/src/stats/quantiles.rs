//! Quantiles and whole distributions, looked at as often as one likes.
//!
//! From Howard and Ramdas, «Sequential estimation of quantiles with applications to A/B testing and
//! best-arm identification», Bernoulli 28 (2022). Nothing is assumed of the distributions; values are
//! independent.

use super::boundaries::{DoubleStitching, EmpiricalProcess, Family, Mixture};
use super::counts::Interval;
use super::error::{StatsError, fraction, positive};
use super::rank::Sorted;
use super::real;

/// Which values of a sample enclose a quantile: the places in ascending order, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// The quantile is not below the value of this rank; `None` when there are too few values to tell.
    pub lower: Option<usize>,
    /// The quantile is not above the value of this rank; `None` when there are too few values to tell.
    pub upper: Option<usize>,
}

/// The ranks that enclose the quantile `p` of whatever `values` values came from. For all quantiles and all
/// numbers of values together they are wrong with probability `alpha` at most, on both sides together.
///
/// # Errors
/// [`StatsError::OutOfRange`] as [`DoubleStitching::bound`] has it.
pub fn ranks(
    boundary: &DoubleStitching,
    p: f64,
    values: usize,
    alpha: f64,
) -> Result<Ranks, StatsError> {
    let t = real(values);
    let above = boundary.bound(p, t, alpha)?;
    let below = boundary.bound(1.0 - p, t, alpha)?;
    let (low, high) = ((t * p - below).floor(), (t * p + above).floor() + 1.0);
    Ok(Ranks { lower: (low >= 1.0).then(|| place(low)), upper: (high <= t).then(|| place(high)) })
}

/// A whole number that is not negative and at most a length.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
const fn place(rank: f64) -> usize {
    rank as usize
}

/// The confidence sequence of the quantile `p`, in units of the values; infinite where [`ranks`] are not
/// known yet. Two samples whose intervals at `alpha / 2` each are apart differ in this quantile.
///
/// # Errors
/// As [`ranks`].
pub fn quantile_interval(
    boundary: &DoubleStitching,
    sample: &Sorted,
    p: f64,
    alpha: f64,
) -> Result<Interval, StatsError> {
    let ranks = ranks(boundary, p, sample.values().len(), alpha)?;
    let at =
        |rank: usize| rank.checked_sub(1).and_then(|index| sample.values().get(index)).copied();
    Ok(Interval {
        lower: ranks.lower.and_then(at).unwrap_or(f64::NEG_INFINITY),
        upper: ranks.upper.and_then(at).unwrap_or(f64::INFINITY),
    })
}

/// How far apart two empirical distributions are, and how far they may ever be while the true ones are one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Separation {
    /// The greatest difference of the distribution functions, from 0 to 1 (Kolmogorov and Smirnov).
    pub distance: f64,
    /// What it ever exceeds with probability `alpha` at most; infinite before `t_min` values of each.
    pub bound: f64,
}

impl Separation {
    /// Compares two samples, each with a boundary of `alpha / 2` that is tight from `t_min` values on.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] as [`EmpiricalProcess::new`] has it.
    pub fn new(x: &Sorted, y: &Sorted, alpha: f64, t_min: f64) -> Result<Self, StatsError> {
        let alpha = fraction("alpha", alpha)?;
        let process = EmpiricalProcess::new(0.5 * alpha, t_min, EmpiricalProcess::FACTOR)?;
        let (x, y) = (x.values(), y.values());
        let bound = process.bound(real(x.len())) + process.bound(real(y.len()));
        Ok(Self { distance: distance(x, y), bound })
    }

    /// Whether the distributions differ.
    pub fn differs(&self) -> bool {
        self.distance > self.bound
    }
}

fn distance(x: &[f64], y: &[f64]) -> f64 {
    let (n, m) = (real(x.len()), real(y.len()));
    let (mut of_x, mut of_y, mut greatest) = (x.iter().peekable(), y.iter().peekable(), 0.0_f64);
    let (mut below_x, mut below_y) = (0.0, 0.0);
    while let (Some(&&a), Some(&&b)) = (of_x.peek(), of_y.peek()) {
        let next = a.min(b);
        while of_x.next_if(|&&value| value <= next).is_some() {
            below_x += 1.0;
        }
        while of_y.next_if(|&&value| value <= next).is_some() {
            below_y += 1.0;
        }
        greatest = greatest.max((below_x / n - below_y / m).abs());
    }
    greatest
}

/// The logarithm of the e-value against «both samples have the same quantile `p`», tightest after `t_opt`
/// values: whatever that quantile is, the two beta-binomial mixtures of its ranks multiply to no less. The
/// p-value is `min(1, 1/E)`, valid at any time.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `p` is between 0 and 1 and `t_opt` above 0.
pub fn log_e_quantiles_differ(
    x: &Sorted,
    y: &Sorted,
    p: f64,
    t_opt: f64,
    alpha_opt: f64,
) -> Result<f64, StatsError> {
    let p = fraction("p", p)?;
    let family = Family::BetaBinomial { g: p, h: 1.0 - p };
    let mixture = Mixture::new(family, positive("t_opt", t_opt)? * p * (1.0 - p), alpha_opt)?;
    let (x, y) = (Arm::new(x.values(), p, mixture)?, Arm::new(y.values(), p, mixture)?);
    let (first, second) = if x.until <= y.until { (x, y) } else { (y, x) };
    // Between the places where each is least, the first one grows and the second one falls, at its values.
    let mut places = vec![first.until, second.from];
    let between = second.values.iter().filter(|&&at| at >= first.until && at <= second.from);
    places.extend(between);
    places.dedup();
    let mut least = f64::INFINITY;
    for place in places {
        least = least.min(first.log_e(place)? + second.log_e(place)?);
    }
    Ok(least)
}

/// A sample and the mixture of how many of its values are below a quantile.
struct Arm<'a> {
    values: &'a [f64],
    p: f64,
    mixture: Mixture,
    /// The share of values below the quantile that speaks least against it.
    best: f64,
    /// Where that share is reached.
    from: f64,
    until: f64,
}

impl<'a> Arm<'a> {
    fn new(values: &'a [f64], p: f64, mixture: Mixture) -> Result<Self, StatsError> {
        let mut arm = Self { values, p, mixture, best: p, from: 0.0, until: 0.0 };
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let (left, right) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if arm.of_share(left)? <= arm.of_share(right)? {
                high = right;
            } else {
                low = left;
            }
        }
        arm.best = 0.5 * (low + high);
        let reached = arm.best * real(values.len());
        let at = |rank: f64| {
            let index = place((rank - 1.0).max(0.0)).min(values.len() - 1);
            values.get(index).copied().unwrap_or(f64::NAN)
        };
        (arm.from, arm.until) = (at(reached.ceil()), at(reached.floor() + 1.0));
        Ok(arm)
    }

    fn of_share(&self, share: f64) -> Result<f64, StatsError> {
        let n = real(self.values.len());
        self.mixture.log_e((share - self.p) * n, self.p * (1.0 - self.p) * n)
    }

    /// The least logarithm of an e-value against a quantile at `place`.
    fn log_e(&self, place: f64) -> Result<f64, StatsError> {
        let share = |below: usize| real(below) / real(self.values.len());
        if place < self.from {
            self.of_share(share(self.values.partition_point(|&value| value <= place)))
        } else if place > self.until {
            self.of_share(share(self.values.partition_point(|&value| value < place)))
        } else {
            self.of_share(self.best)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(offset: u32, len: u32) -> Sorted {
        let values: Vec<f64> = (1..=len).map(|value| f64::from(value + offset)).collect();
        Sorted::new("values", &values).unwrap()
    }

    /// The authors' values, from their implementation in R.
    #[test]
    fn p_values_are_those_of_the_authors() {
        for (p, offset, want) in [
            (0.5, 70, 0.814_704),
            (0.5, 85, 0.083_805_5),
            (0.5, 100, 0.005_494_7),
            (0.9, 55, 0.034_046_3),
        ] {
            let (x, y) = (run(0, 1000), run(offset, 1000));
            for (x, y) in [(&x, &y), (&y, &x)] {
                let log_e = log_e_quantiles_differ(x, y, p, 100.0, 0.05).unwrap();
                let got = (-log_e).exp().min(1.0);
                assert!((got - want).abs() < 1e-5, "{p}, {offset}: {got}");
            }
        }
        let same = log_e_quantiles_differ(&run(0, 50), &run(0, 50), 0.5, 100.0, 0.05).unwrap();
        assert!(same < 0.0);
    }

    #[test]
    fn ranks_enclose_the_quantile() {
        let boundary = DoubleStitching::new(100.0);
        let few = ranks(&boundary, 0.5, 20, 0.05).unwrap();
        assert_eq!(few, Ranks { lower: None, upper: None });
        // The boundary of 1,000 values at the median is 68.628.
        let many = ranks(&boundary, 0.5, 1000, 0.05).unwrap();
        assert_eq!(many, Ranks { lower: Some(431), upper: Some(569) });
        let values = quantile_interval(&boundary, &run(7, 1000), 0.5, 0.05).unwrap();
        assert_eq!(values, Interval { lower: 438.0, upper: 576.0 });
        assert!(ranks(&boundary, 0.0, 1000, 0.05).is_err());
    }

    #[test]
    fn distributions_are_told_apart_late() {
        let (x, far) = (run(0, 1000), run(300, 1000));
        let same = Separation::new(&x, &x, 0.05, 100.0).unwrap();
        assert!(same.distance.abs() < 1e-15 && !same.differs());
        let apart = Separation::new(&x, &far, 0.05, 100.0).unwrap();
        assert!((apart.distance - 0.3).abs() < 1e-12 && apart.differs(), "{apart:?}");
        assert!(!Separation::new(&run(0, 50), &run(300, 50), 0.05, 100.0).unwrap().differs());
        let tied = [1.0, 1.0, 2.0];
        assert!((distance(&tied, &[1.0, 2.0, 2.0, 2.0]) - (2.0 / 3.0 - 0.25)).abs() < 1e-15);
    }
}
