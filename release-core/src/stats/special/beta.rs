//! The beta function and the beta distribution.

use core::f64::consts::{FRAC_1_SQRT_2, PI};

use super::gamma::{away_from_zero, log_gap, raw_ln_gamma, stirling_error};
use super::{ln_complement, scaled_erfc};
use crate::stats::error::{StatsError, finite, keep, positive};
use crate::stats::real;

/// From here on Stirling's series has all digits.
const LARGE: f64 = 15.0;

/// The logarithm of the beta function; error below 1e-14 of the larger of it and one, also where the
/// logarithms of the gamma functions that it is made of cancel.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `a` and `b` are above zero and finite.
pub fn ln_beta(a: f64, b: f64) -> Result<f64, StatsError> {
    Ok(raw_ln_beta(positive("a", a)?, positive("b", b)?))
}

fn raw_ln_beta(a: f64, b: f64) -> f64 {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let sum = a + b;
    if b < LARGE {
        return raw_ln_gamma(a) + raw_ln_gamma(b) - raw_ln_gamma(sum);
    }
    let rest = (b - 0.5) * (-a / sum).ln_1p() + stirling_error(b) - stirling_error(sum);
    if a < LARGE {
        raw_ln_gamma(a) - a * sum.ln() + a + rest
    } else {
        (a - 0.5) * (a / sum).ln() - 0.5 * sum.ln()
            + 0.5 * (2.0 * PI).ln()
            + stirling_error(a)
            + rest
    }
}

/// `ln(x^a (1-x)^b / B(a, b))`: the logarithm of `x (1-x)` times the density of a beta distribution.
///
/// For large `a` and `b` it is Loader's saddle point form (2000), in which nothing cancels: the absolute
/// error stays below 1e-12 for counts of 10^9 within ten standard deviations.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `a` and `b` are above zero and finite, and `x` between 0 and 1.
pub fn ln_beta_kernel(a: f64, b: f64, x: f64) -> Result<f64, StatsError> {
    let (a, b, x) = arguments(a, b, x)?;
    Ok(kernel(a, b, x))
}

fn arguments(a: f64, b: f64, x: f64) -> Result<(f64, f64, f64), StatsError> {
    let x = keep((0.0..=1.0).contains(&x), "x", x, "between 0 and 1")?;
    Ok((positive("a", a)?, positive("b", b)?, x))
}

fn kernel(a: f64, b: f64, x: f64) -> f64 {
    if a < LARGE || b < LARGE {
        return a * x.ln() + b * (-x).ln_1p() - raw_ln_beta(a, b);
    }
    let sum = a + b;
    let above = x - a / sum; // of the mean
    let deviance = a * log_gap(above * sum / a) + b * log_gap(-above * sum / b);
    0.5 * (a / sum * b / (2.0 * PI)).ln() - deviance - correction(a, b)
}

fn correction(a: f64, b: f64) -> f64 {
    stirling_error(a) + stirling_error(b) - stirling_error(a + b)
}

/// The logarithm of the probability of at most `x` under a beta distribution (the regularised incomplete
/// beta function `I_x(a, b)`), also where that underflows; error below 1e-11 of the larger of it and one
/// for parameters up to 10^9.
///
/// # Errors
/// As [`ln_beta_kernel`]; [`StatsError::NoConvergence`] for parameters above 1e13 or so.
pub fn ln_beta_cdf(a: f64, b: f64, x: f64) -> Result<f64, StatsError> {
    let (a, b, x) = arguments(a, b, x)?;
    Ok(both(a, b, x)?.0)
}

/// The logarithm of the probability of more than `x`, the complement of [`ln_beta_cdf`]; as accurate.
///
/// # Errors
/// As [`ln_beta_cdf`].
pub fn ln_beta_sf(a: f64, b: f64, x: f64) -> Result<f64, StatsError> {
    let (a, b, x) = arguments(a, b, x)?;
    Ok(both(a, b, x)?.1)
}

/// The probability of at most `t` under Student's distribution with `df` degrees of freedom, of which
/// there may be a fraction; relative error below 1e-11.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `df` is above zero and both are finite.
pub fn student_t_cdf(t: f64, df: f64) -> Result<f64, StatsError> {
    let (t, df) = (finite("t", t)?, positive("df", df)?);
    let x = df / (df + t * t);
    // Close to one, x has no digits left for what is beside it.
    let outside = if x > 0.5 {
        both(0.5, 0.5 * df, t * t / (df + t * t))?.1
    } else {
        both(0.5 * df, 0.5, x)?.0
    };
    let tail = 0.5 * outside.exp();
    Ok(if t > 0.0 { 1.0 - tail } else { tail })
}

fn both(a: f64, b: f64, x: f64) -> Result<(f64, f64), StatsError> {
    if x <= 0.0 {
        return Ok((f64::NEG_INFINITY, 0.0));
    }
    if x >= 1.0 {
        return Ok((0.0, f64::NEG_INFINITY));
    }
    let sum = a + b;
    let near = (x * sum - a).abs() <= 0.03 * a.min(b);
    if x * (sum + 2.0) <= a + 1.0 {
        let lower =
            if near && a.min(b) > MANY { expansion(a, b, a - x * sum) } else { tail(a, b, x)? };
        Ok((lower.min(0.0), ln_complement(lower)))
    } else {
        let upper = if near && a.min(b) > MANY {
            expansion(b, a, x * sum - a)
        } else {
            tail(b, a, 1.0 - x)?
        };
        Ok((ln_complement(upper), upper.min(0.0)))
    }
}

/// Where the continued fraction would need more than some thirty steps near the mean.
const MANY: f64 = 500.0;

/// The continued fraction of Abramowitz and Stegun 26.5.8, evaluated as Lentz does. It takes some
/// `sqrt(max(a, b))` steps near the mean, and few beyond.
fn tail(a: f64, b: f64, x: f64) -> Result<f64, StatsError> {
    const TINY: f64 = 1e-300;
    let sum = a + b;
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - sum * x / (a + 1.0), TINY);
    let mut h = d;
    for m in 1..1_000_000_u32 {
        let m = f64::from(m);
        let a_2m = a + 2.0 * m;
        let even = m * (b - m) * x / ((a_2m - 1.0) * a_2m);
        d = 1.0 / away_from_zero(1.0 + even * d, TINY);
        c = away_from_zero(1.0 + even / c, TINY);
        h *= d * c;
        let odd = -(a + m) * (sum + m) * x / (a_2m * (a_2m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d, TINY);
        c = away_from_zero(1.0 + odd / c, TINY);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            return Ok(kernel(a, b, x) - a.ln() + h.ln());
        }
    }
    Err(StatsError::NoConvergence { what: "incomplete beta function" })
}

/// How many terms of the expansion are computed, the first one apart. With parameters above [`MANY`] the
/// next one is below 1e-12.
const TERMS: usize = 9;

/// The asymptotic expansion of DiDonato and Morris, ACM Transactions on Mathematical Software 18 (1992),
/// section 3.2, for large parameters near the mean: the logarithm of `I_x(a, b)` where `x (a+b)` is
/// `below` less than `a`. A fixed number of steps, whatever the parameters.
fn expansion(a: f64, b: f64, below: f64) -> f64 {
    let exponent = a * log_gap(-below / a) + b * log_gap(below / b);
    let (small, large) = (a.min(b), a.max(b));
    let h = small / large;
    let skew = (b - a) / large;
    let part = 1.0 / (1.0 + h);
    let w = 1.0 / (small * (1.0 + h)).sqrt();
    let root = exponent.sqrt();
    let z = core::f64::consts::SQRT_2 * root;
    let d = coefficients(h, part, skew);
    // The integrals of t^n exp(-t^2) from the root on, of even and of odd n, scaled.
    let scale = 0.5 * FRAC_1_SQRT_2;
    let mut integrals = (0.25 * PI.sqrt() * scaled_erfc(root), scale);
    let (mut power, mut odd_power) = (z, 2.0 * exponent);
    let mut weight = 1.0;
    let mut total = 0.0;
    let mut n = 0.0;
    let mut pairs = d.iter();
    while let (Some(even), Some(odd)) = (pairs.next(), pairs.next()) {
        total += weight * (even * integrals.0 + w * odd * integrals.1);
        weight *= w * w;
        n += 2.0;
        integrals.0 = scale * power + (n - 1.0) * integrals.0;
        integrals.1 = scale * odd_power + n * integrals.1;
        power *= 2.0 * exponent;
        odd_power *= 2.0 * exponent;
    }
    (2.0 / PI.sqrt() * total).ln() - exponent - correction(a, b)
}

/// The coefficients of the expansion: the reciprocal of the inverse of the series of the exponent's root.
fn coefficients(h: f64, part: f64, skew: f64) -> [f64; TERMS + 1] {
    let at = |series: &[f64], index: usize| series.get(index).copied().unwrap_or(0.0);
    let mut series = [0.0; TERMS + 1];
    let (mut power, mut odd_sum, mut order) = (1.0, 1.0, 1.0);
    let mut slots = series.iter_mut().skip(1);
    while let Some(odd) = slots.next() {
        *odd = skew * 2.0 * odd_sum / (order + 2.0);
        power *= h * h;
        odd_sum += power;
        if let Some(even) = slots.next() {
            *even = part * 2.0 * (h * power + 1.0) / (order + 3.0);
        }
        order += 2.0;
    }
    let mut inverse = [0.0; TERMS + 1];
    let mut result = [0.0; TERMS + 1];
    if let Some(first) = result.first_mut() {
        *first = 1.0;
    }
    for i in 1..=TERMS {
        let exponent = -0.5 * (real(i) + 1.0);
        let c = at(&powers(&series, exponent, i), i) / (real(i) + 1.0);
        let sum: f64 = (1..i).map(|j| at(&result, i - j) * at(&inverse, j)).sum();
        if let (Some(slot), Some(d)) = (inverse.get_mut(i), result.get_mut(i)) {
            (*slot, *d) = (c, -(sum + c));
        }
    }
    result
}

/// The series `1 + a_1 t + ...` to a power, up to the term `last`, by the recurrence of Euler.
fn powers(series: &[f64], exponent: f64, last: usize) -> [f64; TERMS + 1] {
    let at = |series: &[f64], index: usize| series.get(index).copied().unwrap_or(0.0);
    let mut result = [0.0; TERMS + 1];
    for m in 1..=last {
        let part =
            |j: usize| (real(j) * exponent - real(m - j)) * at(series, j) * at(&result, m - j);
        let sum: f64 = (1..m).map(part).sum();
        let value = exponent * at(series, m) + sum / real(m);
        if let Some(slot) = result.get_mut(m) {
            *slot = value;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use core::f64::consts::LN_2;

    use super::*;

    fn near(got: f64, want: f64, tolerance: f64) -> bool {
        (got - want).abs() <= tolerance * want.abs().max(1.0)
    }

    #[test]
    fn agrees_with_mpmath() {
        for (a, b, want) in LN_BETA {
            let got = ln_beta(a, b).unwrap();
            assert!(near(got, want, 1e-14), "{a}, {b}: {got} for {want}");
        }
        for (a, b, x, cdf, sf) in BETA {
            let (got_cdf, got_sf) = (ln_beta_cdf(a, b, x).unwrap(), ln_beta_sf(a, b, x).unwrap());
            assert!(near(got_cdf, cdf, 1e-11), "cdf {a}, {b}, {x}: {got_cdf} for {cdf}");
            assert!(near(got_sf, sf, 1e-11), "sf {a}, {b}, {x}: {got_sf} for {sf}");
        }
        for (t, df, want) in STUDENT {
            let got = student_t_cdf(t, df).unwrap();
            assert!((got / want - 1.0).abs() < 1e-11, "{t}, {df}: {got} for {want}");
        }
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        for (a, b, x) in [(0.0, 1.0, 0.5), (1.0, f64::NAN, 0.5), (1.0, 1.0, 1.5), (1.0, 1.0, -0.1)]
        {
            assert!(ln_beta_cdf(a, b, x).is_err() && ln_beta_sf(a, b, x).is_err());
            assert!(ln_beta_kernel(a, b, x).is_err());
        }
        assert!(ln_beta(-1.0, 1.0).is_err() && student_t_cdf(f64::INFINITY, 1.0).is_err());
    }

    const LN_BETA: [(f64, f64, f64); 11] = [
        (0.01, 0.02, 5.010_313_350_697_985),
        (0.5, 0.5, 1.144_729_885_849_400_2),
        (1.0, 1.0, 0.0),
        (3.0, 20.0, -8.438_149_984_075_784),
        (14.0, 14.5, -19.804_247_138_736_52),
        (50.0, 50.0, -70.002_717_476_885_62),
        (0.5, 1_000_000.0, -6.335_390_211_057_437),
        (7.0, 1_000_000_000.0, -138.483_609_667_614_8),
        (20.0, 1_000_000_000.0, -375.125_432_741_728_73),
        (1_000_000.0, 2_000_000.0, -1_909_548.290_968_533),
        (500_000_000.0, 500_000_000.0, -693_147_189.309_492_5),
    ];

    const BETA: [(f64, f64, f64, f64, f64); 20] = [
        (0.5, 0.5, 0.5, -LN_2, -LN_2),
        (1.0, 1.0, 0.3, -1.203_972_804_325_936_1, -0.356_674_943_938_732_34),
        (8.0, 1.0, 0.5, -5.545_177_444_479_562, -0.003_913_899_321_136_329),
        (16.0, 6.0, 0.5, -4.319_852_203_403_364, -0.013_391_111_414_108_304),
        (66.0, 36.0, 0.5, -6.624_915_138_325_011_6, -0.001_327_774_130_673_977_2),
        (3.0, 900.0, 0.5, -1.204_506_837_562_909_2e-266, -612.301_564_516_677_9),
        (0.7, 0.2, 0.999, -0.255_193_492_615_776_73, -1.490_617_956_104_257_8),
        (400.0, 450.0, 0.47, -0.719_827_798_883_22, -0.667_159_957_479_666_7),
        (505.0, 505.0, 0.5, -LN_2, -LN_2),
        (505.0, 505.0, 0.492, -1.185_516_500_385_808_8, -0.364_690_269_946_059_6),
        (505.0, 520.0, 0.51, -0.143_555_208_758_342_1, -2.011_954_668_794_431),
        (600.0, 90000.0, 0.0066, -0.750_720_179_737_827_7, -0.638_709_160_151_629),
        (600.0, 90000.0, 0.00675, -0.377_384_281_790_734_85, -1.157_256_342_690_014_2),
        (5000.0, 5200.0, 0.5, -0.024_115_541_529_464_49, -3.736_932_308_830_780_4),
        (5000.0, 5200.0, 0.49, -0.725_148_738_526_102_8, -0.662_138_045_297_737),
        (20000.0, 5000.0, 0.8, -0.695_673_517_985_176_5, -0.690_627_209_435_453_9),
        (20000.0, 5000.0, 0.83, -2.403_962_261_867_095_8e-35, -79.713_359_936_300_46),
        (1000.0, 1000.0, 0.05, -1_665.345_478_201_488, -0.0),
        (20000.0, 20000.0, 0.6, -0.0, -821.048_313_715_218_1),
        (100_000.0, 100_000.0, 0.5035, -0.000_872_837_865_169_130_9, -7.044_197_128_017_791),
    ];

    const STUDENT: [(f64, f64, f64); 8] = [
        (-1.0, 1.0, 0.25),
        (0.3, 2.5, 0.606_328_814_252_401_4),
        (-6.0, 9.7, 7.479_026_181_973_892e-5),
        (2.0, 59.0, 0.974_944_793_505_877_8),
        (-30.0, 4.0, 3.676_428_048_830_661_2e-6),
        (-0.001, 30.0, 0.499_604_367_883_242_53),
        (-8.0, 2000.0, 1.043_218_269_080_411_2e-15),
        (-1.5, 5000.0, 0.066_838_769_926_607_87),
    ];
}
