//! By how much one sample lies above another: the shift of Hodges and Lehmann and its interval.
//!
//! All `n m` differences `x_i - y_j` are ranked without being written down. In rows and columns of sorted
//! samples one walk along the staircase counts the differences up to a pivot, so that each step takes
//! `O(n + m)` time and no memory beside the samples. Pivots are chosen in turns by interpolating between
//! counts and by halving the floating-point numbers that are left, so that there are some ten steps for
//! common data and never more than 130; what is left below `n + m` differences is selected from directly.
//!
//! Results are differences of two values of the samples, exactly (the estimate may be the mean of two), and
//! never come from a search with a tolerance: multiplied by a power of two, samples give results multiplied
//! by it.

use super::error::{StatsError, fraction, keep};
use super::rank::{Sorted, key, value};
use super::real;
use super::special::normal_quantile;

/// The shift between two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The median of all differences, the estimate of Hodges and Lehmann (1963).
    pub estimate: f64,
    /// The lower end of the interval; minus infinity when there are too few values for the confidence.
    pub lower: f64,
    /// The upper end of the interval; infinity when there are too few values for the confidence.
    pub upper: f64,
    /// The probability that the interval contains the shift, at least.
    pub confidence: f64,
}

impl Shift {
    /// By how much `x` lies above `y`, with an interval that holds for any distribution.
    ///
    /// The ends of the interval are the order statistics `k` and `nm + 1 - k` of the differences, with the
    /// largest `k` for which the statistic of Mann and Whitney is below `k` with probability
    /// `(1 - confidence) / 2` at most (Hollander, Wolfe and Chicken, «Nonparametric Statistical Methods»,
    /// section 4.3): counted exactly up to 400 differences, by the normal approximation with a continuity
    /// correction beyond. Ties make it wider than it need be, never narrower.
    ///
    /// # Errors
    /// [`StatsError::TooFew`] and [`StatsError::NotFinite`] as [`Sorted::new`] has them;
    /// [`StatsError::OutOfRange`] when `confidence` is not between 0 and 1, or a difference is infinite.
    pub fn new(x: &[f64], y: &[f64], confidence: f64) -> Result<Self, StatsError> {
        Self::of_sorted(&Sorted::new("x", x)?, &Sorted::new("y", y)?, confidence)
    }

    /// The same of samples that are sorted already.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] when `confidence` is not between 0 and 1, or a difference is infinite.
    pub fn of_sorted(x: &Sorted, y: &Sorted, confidence: f64) -> Result<Self, StatsError> {
        let confidence = fraction("confidence", confidence)?;
        let table = Differences::new(x.values(), y.values())?;
        let total = table.total();
        let middle = total.div_ceil(2);
        let lower_middle = table.select(middle, table.least, table.greatest);
        let estimate = if total % 2 == 1 {
            lower_middle
        } else {
            0.5 * lower_middle + 0.5 * table.next(lower_middle, middle)
        };
        let outer = rank_of_end(x.values().len(), y.values().len(), 0.5 * (1.0 - confidence))?;
        let (lower, upper) = if outer == 0 {
            (f64::NEG_INFINITY, f64::INFINITY)
        } else {
            let lower = table.select(outer, table.least, lower_middle);
            (lower, table.select(total + 1 - outer, lower_middle, table.greatest))
        };
        Ok(Self { estimate, lower, upper, confidence })
    }
}

/// The `rank`-th smallest of all differences `x_i - y_j`, counted from 1.
///
/// # Errors
/// [`StatsError::OutOfRange`] when there is no such rank, or a difference is infinite.
pub fn difference(x: &Sorted, y: &Sorted, rank: u64) -> Result<f64, StatsError> {
    let table = Differences::new(x.values(), y.values())?;
    let good = (1..=table.total()).contains(&rank);
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    keep(good, "rank", rank as f64, "from 1 to the number of differences")?;
    Ok(table.select(rank, table.least, table.greatest))
}

/// The differences of two sorted samples, with the least and the greatest.
struct Differences<'a> {
    x: &'a [f64],
    y: &'a [f64],
    least: f64,
    greatest: f64,
}

/// What a walk along the staircase finds.
struct Count {
    /// How many differences are at most the pivot.
    up_to: u64,
    /// The greatest of those.
    last: f64,
    /// The least of the others.
    next: f64,
}

impl<'a> Differences<'a> {
    fn new(x: &'a [f64], y: &'a [f64]) -> Result<Self, StatsError> {
        let (Some(x_least), Some(x_most)) = (x.first(), x.last()) else {
            return Err(StatsError::TooFew { what: "x", got: 0, need: 1 });
        };
        let (Some(y_least), Some(y_most)) = (y.first(), y.last()) else {
            return Err(StatsError::TooFew { what: "y", got: 0, need: 1 });
        };
        let (least, greatest) = (x_least - y_most, x_most - y_least);
        let good = (greatest - least).is_finite();
        keep(
            good,
            "range of differences",
            greatest - least,
            "a finite number; scale the values down",
        )?;
        Ok(Self { x, y, least, greatest })
    }

    fn total(&self) -> u64 {
        self.x.len() as u64 * self.y.len() as u64
    }

    /// The difference of a rank that is known to be from `low` to `high`, both of them differences.
    fn select(&self, rank: u64, mut low: f64, mut high: f64) -> f64 {
        // How many differences are below `low`, and up to `high`.
        let (mut before, mut up_to) = (0, self.total());
        let enough = (self.x.len() + self.y.len()) as u64;
        let mut interpolate = true;
        while key(low) < key(high) && up_to - before > enough {
            let pivot = pivot(low, high, before, up_to, rank, interpolate);
            interpolate = !interpolate;
            let count = self.count(pivot);
            if count.up_to >= rank {
                (high, up_to) = (count.last, count.up_to);
            } else {
                (low, before) = (count.next, count.up_to);
            }
        }
        if key(low) >= key(high) {
            return high;
        }
        let mut left = self.between(low, high);
        let index = usize::try_from(rank - before - 1).unwrap_or(usize::MAX);
        if index >= left.len() {
            return high;
        }
        *left.select_nth_unstable_by(index, f64::total_cmp).1
    }

    /// The difference of the rank after that of `found`, which has the rank `rank`.
    fn next(&self, found: f64, rank: u64) -> f64 {
        let count = self.count(found);
        if count.up_to > rank { found } else { count.next }
    }

    /// Differences grow with the row and fall with the column: from the first row's end the border of what
    /// is at most `pivot` only moves towards the front of `y`.
    fn count(&self, pivot: f64) -> Count {
        let mut up_to = 0;
        let (mut last, mut next) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut column = 0;
        for &x in self.x {
            // The columns from `column` on have differences of at most `pivot`.
            while self.y.get(column).is_some_and(|y| x - y > pivot) {
                column += 1;
            }
            if let Some(y) = self.y.get(column) {
                last = last.max(x - y);
            }
            if let Some(y) = column.checked_sub(1).and_then(|before| self.y.get(before)) {
                next = next.min(x - y);
            }
            up_to += (self.y.len() - column) as u64;
        }
        Count { up_to, last, next }
    }

    /// All differences from `low` to `high`.
    fn between(&self, low: f64, high: f64) -> Vec<f64> {
        let mut found = Vec::new();
        let (mut from, mut until) = (0, 0);
        for &x in self.x {
            while self.y.get(from).is_some_and(|y| x - y > high) {
                from += 1;
            }
            while self.y.get(until).is_some_and(|y| x - y >= low) {
                until += 1;
            }
            let row = self.y.get(from..until).unwrap_or_default();
            found.extend(row.iter().map(|y| x - y));
        }
        found
    }
}

/// A number from `low` on and below `high`.
fn pivot(low: f64, high: f64, before: u64, up_to: u64, rank: u64, interpolate: bool) -> f64 {
    if interpolate {
        #[expect(clippy::cast_precision_loss, reason = "any pivot is right")]
        let part = (rank - before) as f64 / (up_to - before) as f64;
        let guess = low + (high - low) * part;
        if guess >= low && guess < high {
            return guess;
        }
    }
    // Rounded down, unlike `midpoint`, so that it is below `high`.
    let apart = key(high).wrapping_sub(key(low)).cast_unsigned();
    value(key(low).wrapping_add((apart / 2).cast_signed()))
}

/// The largest `k` for which the statistic of Mann and Whitney is below `k` with probability `tail` at
/// most; 0 when it is below 1 more often.
fn rank_of_end(n: usize, m: usize, tail: f64) -> Result<u64, StatsError> {
    if n.saturating_mul(m) <= EXACT {
        return Ok(exact_rank(n, m, tail));
    }
    let (n, m) = (real(n), real(m));
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    let rank = 0.5 * n * m + 0.5 + normal_quantile(tail)? * deviation;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is cut on purpose"
    )]
    Ok(rank.max(0.0) as u64)
}

/// Up to so many differences the distribution of the statistic is counted.
const EXACT: usize = 400;

/// In how many orders of `n` and `m` values the statistic is `u`, is the number of partitions of `u` into at
/// most `n` parts of at most `m` each: the coefficients of the Gaussian binomial, a product of quotients
/// `(1 - q^(m+i)) / (1 - q^i)`.
fn exact_rank(n: usize, m: usize, tail: f64) -> u64 {
    let (n, m) = (n.min(m), n.max(m));
    let mut ways = vec![0.0; n * m + 1];
    if let Some(first) = ways.first_mut() {
        *first = 1.0;
    }
    for i in 1..=n {
        for u in (m + i..ways.len()).rev() {
            let less = ways.get(u - m - i).copied().unwrap_or(0.0);
            if let Some(slot) = ways.get_mut(u) {
                *slot -= less;
            }
        }
        for u in i..ways.len() {
            let more = ways.get(u - i).copied().unwrap_or(0.0);
            if let Some(slot) = ways.get_mut(u) {
                *slot += more;
            }
        }
    }
    let all: f64 = ways.iter().sum();
    let below = ways.iter().scan(0.0, |sum, ways| {
        *sum += ways;
        Some(*sum / all)
    });
    below.take_while(|&probability| probability <= tail).count() as u64
}

#[expect(clippy::float_cmp, reason = "order statistics are exact")]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brute(x: &[f64], y: &[f64]) -> Vec<f64> {
        let mut all: Vec<f64> = x.iter().flat_map(|x| y.iter().map(move |y| x - y)).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    fn sample() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            prop::collection::vec((-9_i32..9).prop_map(f64::from), 1..30),
            prop::collection::vec(-1e3..1e3_f64, 1..30),
            prop::collection::vec((-200_f64..200.0).prop_map(f64::exp), 1..30),
        ]
    }

    proptest! {
        #[test]
        fn every_rank_is_that_of_all_differences(x in sample(), y in sample()) {
            let all = brute(&x, &y);
            let (x, y) = (Sorted::new("x", &x).unwrap(), Sorted::new("y", &y).unwrap());
            for (rank, want) in (1..).zip(&all) {
                prop_assert_eq!(difference(&x, &y, rank).unwrap(), *want);
            }
            prop_assert!(difference(&x, &y, 0).is_err());
            prop_assert!(difference(&x, &y, all.len() as u64 + 1).is_err());
        }

        #[test]
        fn powers_of_two_scale_exactly(x in sample(), y in sample(), power in -30_i32..30) {
            let factor = 2_f64.powi(power);
            let scaled = |values: &[f64]| values.iter().map(|v| v * factor).collect::<Vec<_>>();
            let one = Shift::new(&x, &y, 0.9).unwrap();
            let other = Shift::new(&scaled(&x), &scaled(&y), 0.9).unwrap();
            prop_assert_eq!(one.estimate * factor, other.estimate);
            prop_assert_eq!(one.lower * factor, other.lower);
            prop_assert_eq!(one.upper * factor, other.upper);
        }

        #[test]
        fn the_ends_are_order_statistics(x in sample(), y in sample()) {
            let all = brute(&x, &y);
            let shift = Shift::new(&x, &y, 0.95).unwrap();
            let rank = rank_of_end(x.len(), y.len(), 0.025).unwrap();
            if rank == 0 {
                prop_assert_eq!((shift.lower, shift.upper), (f64::NEG_INFINITY, f64::INFINITY));
            } else {
                let rank = usize::try_from(rank).unwrap();
                prop_assert_eq!(shift.lower, all[rank - 1]);
                prop_assert_eq!(shift.upper, all[all.len() - rank]);
            }
            let middle = all.len() / 2;
            let median = if all.len() % 2 == 1 { all[middle] } else { 0.5 * all[middle - 1] + 0.5 * all[middle] };
            prop_assert_eq!(shift.estimate, median);
        }
    }

    /// The critical values of R's `qwilcox(0.025, n, m)`, as which `wilcox.test` takes its interval.
    #[test]
    fn ranks_of_ends_are_those_of_tables() {
        for (n, m, rank) in
            [(3, 3, 0), (4, 4, 1), (5, 5, 3), (8, 8, 14), (10, 10, 24), (20, 20, 128), (5, 9, 8)]
        {
            assert_eq!(rank_of_end(n, m, 0.025), Ok(rank), "{n}, {m}");
        }
        // Exact and approximate ranks meet.
        let approximate = 0.5 * 400.0 + 0.5 - 1.959_964 * (400.0 * 41.0 / 12.0_f64).sqrt();
        assert!((approximate - 128.0).abs() < 1.0, "{approximate}");
    }

    #[test]
    fn many_ties_and_long_tails_end() {
        let x: Vec<f64> = (0..4000).map(|i| f64::from(i % 7)).collect();
        let y: Vec<f64> = (0..3000).map(|i| f64::from(i % 5) * 1e-9).collect();
        let shift = Shift::new(&x, &y, 0.99).unwrap();
        assert!((shift.estimate - 3.0).abs() < 1e-6, "{shift:?}");
        let wild: Vec<f64> = (0..2000).map(|i| (f64::from(i) - 1000.0).exp2()).collect();
        let shift = Shift::new(&wild, &[0.0, 1.0, 2.0], 0.99).unwrap();
        assert!(shift.lower <= shift.estimate && shift.estimate <= shift.upper, "{shift:?}");
        assert!(Shift::new(&[f64::MAX], &[f64::MIN], 0.9).is_err());
        assert!(Shift::new(&[1.0], &[1.0], 1.0).is_err());
    }
}
