//! The rank test of two samples: whether values of one tend to be above those of the other.

use super::error::StatsError;
use super::real;
use super::special::normal_sf;

/// What is claimed, which the test's p-value speaks against the absence of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// Values of the first sample tend to be above or below those of the second.
    TwoSided,
    /// Values of the first sample tend to be above those of the second.
    Greater,
    /// Values of the first sample tend to be below those of the second.
    Less,
}

/// The statistic of Mann and Whitney and what it is while both samples come from one distribution.
///
/// The normal approximation, with average ranks for ties, their correction of the variance, and a
/// continuity correction of one half: as `scipy.stats.mannwhitneyu(method='asymptotic')` and
/// `wilcox.test(exact=FALSE, correct=TRUE)` have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankTest {
    /// For how many pairs the value of the first sample is above that of the second; ties count one half.
    pub u: f64,
    /// How many pairs there are.
    pub pairs: f64,
    /// The standard deviation of `u` while nothing differs; zero when all values are one.
    pub deviation: f64,
}

impl RankTest {
    /// Compares `x` with `y` in `O(N log N)`, by sorting each once.
    ///
    /// # Errors
    /// [`StatsError::TooFew`] for an empty sample, [`StatsError::NotFinite`] for NaN and infinities.
    pub fn new(x: &[f64], y: &[f64]) -> Result<Self, StatsError> {
        check("x", x)?;
        check("y", y)?;
        // Both in one allocation, and compared as whole numbers.
        let mut keys: Vec<_> = x.iter().chain(y).map(|&value| key(value)).collect();
        let (of_x, of_y) = keys.split_at_mut(x.len());
        of_x.sort_unstable();
        of_y.sort_unstable();
        Ok(Self::of_merged(merge(of_x, of_y), real(x.len()), real(y.len())))
    }

    /// Compares samples that are sorted already, in `O(N)`.
    pub fn of_sorted(x: &Sorted, y: &Sorted) -> Self {
        Self::of_merged(merge(&x.0, &y.0), real(x.0.len()), real(y.0.len()))
    }

    fn of_merged((twice_u, ties): (f64, f64), n: f64, m: f64) -> Self {
        let total = n + m;
        let spread = (total + 1.0) - ties / (total * (total - 1.0));
        Self { u: twice_u * 0.5, pairs: n * m, deviation: (n * m / 12.0 * spread).max(0.0).sqrt() }
    }

    /// The p-value; 1 when all values are one.
    pub fn p_value(&self, alternative: Alternative) -> f64 {
        let above = self.u - 0.5 * self.pairs;
        let distance = match alternative {
            Alternative::TwoSided => above.abs(),
            Alternative::Greater => above,
            Alternative::Less => -above,
        };
        if self.deviation <= 0.0 {
            return 1.0;
        }
        let tail = normal_sf((distance - 0.5) / self.deviation);
        if alternative == Alternative::TwoSided { (2.0 * tail).min(1.0) } else { tail }
    }

    /// The common language effect size: how probable it is that a value of the first sample is above one
    /// of the second; ties count one half.
    pub fn effect(&self) -> f64 {
        self.u / self.pairs
    }
}

/// A sample in ascending order: finite numbers, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Sorts `values`; `what` is what an error calls them.
    ///
    /// # Errors
    /// [`StatsError::TooFew`] when there are none, [`StatsError::NotFinite`] for NaN and infinities.
    pub fn new(what: &'static str, values: &[f64]) -> Result<Self, StatsError> {
        check(what, values)?;
        let mut keys: Vec<_> = values.iter().map(|&value| key(value)).collect();
        keys.sort_unstable();
        Ok(Self(keys.into_iter().map(value).collect()))
    }

    /// The values, ascending.
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

fn check(what: &'static str, values: &[f64]) -> Result<(), StatsError> {
    if values.is_empty() {
        return Err(StatsError::TooFew { what, got: 0, need: 1 });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(StatsError::NotFinite { what, at }),
        None => Ok(()),
    }
}

/// A whole number in the order of the numbers, so that comparing takes one instruction. Zeros are one.
pub(crate) fn key(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ (((bits >> 63).cast_unsigned()) >> 1).cast_signed()
}

/// The number of a [`key`].
pub(crate) fn value(key: i64) -> f64 {
    let bits = key ^ (((key >> 63).cast_unsigned()) >> 1).cast_signed();
    f64::from_bits(bits.cast_unsigned())
}

/// Twice the statistic, and the sum of `t^3 - t` over the groups of equal values in both.
pub(crate) fn merge<T: Copy + PartialOrd>(mut x: &[T], mut y: &[T]) -> (f64, f64) {
    let (mut twice_u, mut ties, mut below) = (0.0, 0.0, 0.0);
    loop {
        let next = match (x.first(), y.first()) {
            (Some(&a), Some(&b)) => {
                if a < b {
                    a
                } else {
                    b
                }
            }
            (Some(&a), None) | (None, Some(&a)) => a,
            (None, None) => return (twice_u, ties),
        };
        let of_x = real(run(&mut x, next));
        let of_y = real(run(&mut y, next));
        twice_u += of_x * (2.0 * below + of_y);
        below += of_y;
        let group = of_x + of_y;
        ties += group * (group * group - 1.0);
    }
}

/// Takes the values that are at most `limit` off the front of a sorted slice; how many there were.
fn run<T: Copy + PartialOrd>(sorted: &mut &[T], limit: T) -> usize {
    let count = sorted.iter().take_while(|&&value| value <= limit).count();
    *sorted = sorted.get(count..).unwrap_or_default();
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u32, until: u32) -> Vec<f64> {
        (from..until).map(f64::from).collect()
    }

    /// Two samples; the statistic and the p-values, two-sided, greater and less.
    type Case = (Vec<f64>, Vec<f64>, [f64; 4]);

    /// From SciPy 1.17.1.
    fn cases() -> Vec<Case> {
        vec![
            (
                vec![1.0, 2.0, 3.0],
                vec![3.0, 4.0, 5.0],
                [0.5, 0.121_183_272_837_463_19, 0.976_849_202_542_445, 0.060_591_636_418_731_595],
            ),
            (
                vec![0.0, 1.0, 2.0, 1.0, 0.0, 0.0],
                vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
                [27.0, 0.073_139_799_658_908_92, 0.036_569_899_829_454_46, 0.977_399_323_511_739],
            ),
            (
                vec![19.0, 22.0, 16.0, 29.0, 24.0],
                vec![20.0, 11.0, 17.0, 12.0],
                [
                    17.0,
                    0.111_346_886_533_140_41,
                    0.055_673_443_266_570_206,
                    0.966_903_710_138_903_3,
                ],
            ),
            (vec![1.5], vec![1.5], [0.5, 1.0, 1.0, 1.0]),
            (
                vec![5.0, 5.0, 5.0],
                vec![5.0, 5.0, 6.0],
                [3.0, 0.504_985_075_093_845_8, 0.908_788_780_274_132_1, 0.252_492_537_546_922_9],
            ),
            (
                vec![
                    0.8, 0.7, 0.9, 1.1, 1.4, 1.0, 0.8, 0.8, 1.3, 1.6, 1.1, 0.7, 0.8, 1.6, 1.1, 0.6,
                    1.0, 0.7, 0.8, 0.9, 0.8, 1.2, 1.0, 0.8, 1.1,
                ],
                vec![
                    1.6, 0.7, 1.1, 0.9, 1.2, 0.8, 1.2, 1.2, 1.1, 0.9, 1.1, 0.9, 0.8, 1.3, 0.9, 1.7,
                    1.5, 0.7, 1.3, 0.9, 1.2, 1.2, 0.7, 1.1, 1.1, 1.6, 0.9, 1.5, 0.9, 1.1, 0.9,
                ],
                [
                    284.0,
                    0.086_625_784_460_230_86,
                    0.958_194_456_509_943_8,
                    0.043_312_892_230_115_43,
                ],
            ),
            (
                range(0, 40),
                range(60, 120),
                [0.0, 3.182_823_573_189_000_7e-17, 1.0, 1.591_411_786_594_500_3e-17],
            ),
            (
                range(0, 300),
                range(250, 600),
                [1250.0, 2.776_738_853_147_997_6e-102, 1.0, 1.388_369_426_573_998_8e-102],
            ),
        ]
    }

    #[test]
    fn agrees_with_scipy() {
        let near = |got: f64, want: f64| (got - want).abs() <= 1e-12 * want;
        for (x, y, [u, two_sided, greater, less]) in cases() {
            let test = RankTest::new(&x, &y).unwrap();
            assert!(near(test.u, u), "{test:?}");
            for (alternative, want) in [
                (Alternative::TwoSided, two_sided),
                (Alternative::Greater, greater),
                (Alternative::Less, less),
            ] {
                let got = test.p_value(alternative);
                assert!(near(got, want), "{x:?} {y:?} {alternative:?}: {got} for {want}");
            }
        }
    }

    #[test]
    fn agrees_with_counting_pairs() {
        let mut seed = 7_u64;
        let mut draw = |most: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        for _ in 0..300 {
            let mut sample = || -> Vec<f64> {
                let len = 1 + draw(12);
                (0..len).map(|_| f64::from(i32::try_from(draw(6)).unwrap() - 3)).collect()
            };
            let (x, y) = (sample(), sample());
            let score = |a: f64, b: f64| {
                if a > b {
                    1.0
                } else if a < b {
                    0.0
                } else {
                    0.5
                }
            };
            let u: f64 = x.iter().flat_map(|&a| y.iter().map(move |&b| score(a, b))).sum();
            let test = RankTest::new(&x, &y).unwrap();
            assert!((test.u - u).abs() < 1e-9, "{x:?} {y:?}");
            let mirrored = RankTest::new(&y, &x).unwrap();
            let (p, q) = (test.p_value(Alternative::Greater), mirrored.p_value(Alternative::Less));
            assert!((p - q).abs() < 1e-15);
        }
    }

    #[test]
    fn refuses_what_is_no_sample() {
        assert_eq!(
            RankTest::new(&[], &[1.0]),
            Err(StatsError::TooFew { what: "x", got: 0, need: 1 })
        );
        let infinite = RankTest::new(&[1.0], &[0.0, f64::INFINITY]);
        assert_eq!(infinite, Err(StatsError::NotFinite { what: "y", at: 1 }));
        assert!(RankTest::new(&[f64::NAN], &[1.0]).is_err());
    }

    #[test]
    fn all_equal_is_no_evidence() {
        let test = RankTest::new(&[2.0; 5], &[2.0; 9]).unwrap();
        assert_eq!((test.p_value(Alternative::TwoSided), test.effect()), (1.0, 0.5));
        assert_eq!(key(-0.0), key(0.0));
        for x in [0.0, 1.5, -1.5, f64::MIN_POSITIVE, -1e300] {
            assert!(value(key(x)).total_cmp(&x).is_eq());
        }
        assert!(key(-1.0) < key(-0.5) && key(-0.5) < key(0.0) && key(0.0) < key(1e-300));
    }
}
