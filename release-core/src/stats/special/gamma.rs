//! The gamma function and the gamma distribution.

use core::f64::consts::PI;

use crate::stats::error::{StatsError, keep, not_negative, positive};
use crate::stats::special::ln_complement;

/// From here on Stirling's series has all digits.
const LARGE: f64 = 15.0;

/// The logarithm of the gamma function, for `x` above zero; error below 4e-15 of the larger of it and one.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `x` is above zero and finite.
pub fn ln_gamma(x: f64) -> Result<f64, StatsError> {
    Ok(raw_ln_gamma(positive("x", x)?))
}

pub(super) fn raw_ln_gamma(x: f64) -> f64 {
    if x < LARGE { statrs::function::gamma::ln_gamma(x) } else { stirling(x) + stirling_error(x) }
}

fn stirling(x: f64) -> f64 {
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln()
}

/// By how much Stirling's `(x - 1/2) ln x - x + ln(2 pi)/2` is below the logarithm of the gamma function.
///
/// The series is Abramowitz and Stegun 6.1.41; what it is good for is Loader, «Fast and accurate
/// computation of binomial probabilities» (2000): differences of large logarithms never arise.
pub(super) fn stirling_error(x: f64) -> f64 {
    if x < LARGE {
        return statrs::function::gamma::ln_gamma(x) - stirling(x);
    }
    let r = 1.0 / (x * x);
    let terms = [1.0 / 156.0, -691.0 / 360_360.0, 1.0 / 1188.0, -1.0 / 1680.0, 1.0 / 1260.0];
    let tail = terms.iter().fold(0.0, |sum, term| sum * r + term);
    ((tail * r - 1.0 / 360.0) * r + 1.0 / 12.0) / x
}

/// `d - ln(1 + d)`, without cancellation near zero; relative error below 1e-14.
pub(crate) fn log_gap(d: f64) -> f64 {
    if !(-0.2..=0.25).contains(&d) {
        return d - d.ln_1p();
    }
    let r = d / (d + 2.0);
    let square = r * r;
    let odd = (1..=9).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    r * (d - 2.0 * square * odd)
}

/// `ln(x^a e^-x / gamma(a))`, the logarithm of `x` times the density.
fn ln_kernel(a: f64, x: f64) -> f64 {
    if a < LARGE {
        a * x.ln() - x - raw_ln_gamma(a)
    } else {
        0.5 * (a / (2.0 * PI)).ln() - a * log_gap((x - a) / a) - stirling_error(a)
    }
}

/// The logarithm of the probability of at most `x` under a gamma distribution of shape `a` and scale one
/// (the regularised lower incomplete gamma function); error below 1e-12 of the larger of it and one.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `a` is above zero and `x` is not below it, both finite;
/// [`StatsError::NoConvergence`] for shapes above 1e11 or so.
pub fn ln_gamma_p(a: f64, x: f64) -> Result<f64, StatsError> {
    Ok(both(positive("a", a)?, not_negative("x", x)?)?.0)
}

/// The logarithm of the probability of more than `x`, the complement of [`ln_gamma_p`]; as accurate.
///
/// # Errors
/// As [`ln_gamma_p`].
pub fn ln_gamma_q(a: f64, x: f64) -> Result<f64, StatsError> {
    Ok(both(positive("a", a)?, not_negative("x", x)?)?.1)
}

fn both(a: f64, x: f64) -> Result<(f64, f64), StatsError> {
    if x <= 0.0 {
        return Ok((f64::NEG_INFINITY, 0.0));
    }
    let kernel = ln_kernel(a, x);
    if x < a + 1.0 {
        let lower = kernel + series(a, x)?.ln() - a.ln();
        Ok((lower.min(0.0), ln_complement(lower)))
    } else {
        let upper = kernel + fraction_of_tail(a, x)?.ln();
        Ok((ln_complement(upper), upper.min(0.0)))
    }
}

const STEPS: u32 = 3_000_000;

/// Abramowitz and Stegun 6.5.29.
fn series(a: f64, x: f64) -> Result<f64, StatsError> {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..STEPS {
        term *= x / (a + f64::from(n));
        sum += term;
        if term < sum * 1e-17 {
            return Ok(sum);
        }
    }
    Err(StatsError::NoConvergence { what: "incomplete gamma function" })
}

/// Abramowitz and Stegun 6.5.31 in its even part, evaluated as Lentz does.
fn fraction_of_tail(a: f64, x: f64) -> Result<f64, StatsError> {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b.max(TINY);
    let mut h = d;
    for n in 1..STEPS {
        let n = f64::from(n);
        let an = n * (a - n);
        b += 2.0;
        d = 1.0 / away_from_zero(an * d + b, TINY);
        c = away_from_zero(b + an / c, TINY);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            return Ok(h);
        }
    }
    Err(StatsError::NoConvergence { what: "incomplete gamma function" })
}

pub(super) fn away_from_zero(x: f64, tiny: f64) -> f64 {
    if x.abs() < tiny { tiny } else { x }
}

/// Riemann's zeta function for `s` above one, by Euler and Maclaurin's formula; relative error below 1e-14.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `s` is above one and finite.
pub fn zeta(s: f64) -> Result<f64, StatsError> {
    let s = keep(s > 1.0 && s.is_finite(), "s", s, "more than 1, and finite")?;
    let ends = 16;
    let end = f64::from(ends);
    let sum: f64 = (1..ends).rev().map(|n| f64::from(n).powf(-s)).sum();
    let mut term = s * end.powf(-s - 1.0);
    let mut rest = end.powf(1.0 - s) / (s - 1.0) + 0.5 * end.powf(-s);
    // Bernoulli's numbers over factorials: B2/2!, B4/4!, ...
    for (index, factor) in
        [1.0 / 12.0, -1.0 / 720.0, 1.0 / 30_240.0, -1.0 / 1_209_600.0, 1.0 / 47_900_160.0]
            .into_iter()
            .enumerate()
    {
        rest += factor * term;
        let m = 2.0 * f64::from(u8::try_from(index).unwrap_or(0)) + 1.0;
        term *= (s + m) * (s + m + 1.0) / (end * end);
    }
    Ok(sum + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, tolerance: f64) -> bool {
        (got - want).abs() <= tolerance * want.abs().max(1.0)
    }

    #[test]
    fn agrees_with_mpmath() {
        for (a, x, p, q) in GAMMA {
            let (got_p, got_q) = (ln_gamma_p(a, x).unwrap(), ln_gamma_q(a, x).unwrap());
            assert!(near(got_p, p, 1e-12), "P({a}, {x}): {got_p} for {p}");
            assert!(near(got_q, q, 1e-12), "Q({a}, {x}): {got_q} for {q}");
        }
        for (s, want) in ZETA {
            assert!(near(zeta(s).unwrap(), want, 1e-14), "{s}: {} for {want}", zeta(s).unwrap());
        }
        for (x, want) in LN_GAMMA {
            assert!(near(ln_gamma(x).unwrap(), want, 4e-15), "{x}: {}", ln_gamma(x).unwrap());
        }
        for (d, want) in LOG_GAP {
            assert!((log_gap(d) / want - 1.0).abs() < 1e-14, "{d}: {}", log_gap(d));
        }
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        assert!(ln_gamma(0.0).is_err() && ln_gamma(f64::NAN).is_err());
        assert!(ln_gamma_p(-1.0, 1.0).is_err() && ln_gamma_q(1.0, -1.0).is_err());
        assert!(zeta(1.0).is_err());
        assert_eq!(ln_gamma_p(2.0, 0.0), Ok(f64::NEG_INFINITY));
    }

    const GAMMA: [(f64, f64, f64, f64); 13] = [
        (0.5, 0.1, -1.063_402_047_154_528_7, -0.423_546_323_475_965_7),
        (0.5, 3.0, -0.014_409_194_045_103_478, -4.247_084_746_785_59),
        (1.0, 1.0, -0.458_675_145_387_081_9, -1.0),
        (3.15014, 3.15014, -0.553_454_071_673_428_4, -0.855_572_989_937_506_9),
        (12.6, 20.0, -0.031_447_678_700_646_4, -3.475_112_740_929_414),
        (28.0, 5.0, -27.637_644_499_992_685, -9.933_985_021_975_559e-13),
        (28.0, 60.0, -1.463_524_585_819_904_4e-6, -13.434_663_663_387_475),
        (100.0, 100.0, -0.666_897_150_585_289_4, -0.720_104_893_025_474),
        (400.0, 500.0, -1.647_220_621_075_862e-6, -13.316_421_986_055_518),
        (3.0, 800.0, -0.0, -787.321_423_727_823_3),
        (1000.0, 900.0, -7.505_769_994_233_892_5, -0.000_550_053_517_414_344_8),
        (50.0, 0.01, -378.746_080_154_259_97, -3.255_872_177_214_893_5e-165),
        (5000.0, 5100.0, -0.082_652_397_788_595_43, -2.534_153_016_423_956),
    ];

    const ZETA: [(f64, f64); 5] = [
        (1.05, 20.580_844_302_036_986),
        (1.4, 3.105_547_277_977_581),
        (2.0, 1.644_934_066_848_226_4),
        (3.0, 1.202_056_903_159_594_2),
        (12.0, 1.000_246_086_553_308),
    ];

    const LN_GAMMA: [(f64, f64); 9] = [
        (0.01, 4.599_479_878_042_022),
        (0.5, 0.572_364_942_924_700_1),
        (1.5, -0.120_782_237_635_245_22),
        (7.25, 7.052_185_450_738_539_5),
        (14.9, 24.924_132_002_217_277),
        (15.1, 25.458_999_750_992_664),
        (171.5, 709.143_163_030_928_2),
        (1_000_000.0, 12_815_504.569_147_611),
        (1_000_000_000_000.0, 26_631_021_115_915.652),
    ];

    const LOG_GAP: [(f64, f64); 9] = [
        (-0.9, 1.402_585_092_994_046),
        (-0.21, 0.025_722_333_521_069_87),
        (-0.19, 0.020_721_031_315_652_602),
        (-0.001, 5.003_335_835_335_002e-7),
        (1.0e-8, 4.999_999_966_666_667e-17),
        (0.05, 0.001_209_835_830_567_997),
        (0.24, 0.024_888_620_383_054_5),
        (0.26, 0.028_888_279_036_613_37),
        (3.0, 1.613_705_638_880_109_4),
    ];
}
