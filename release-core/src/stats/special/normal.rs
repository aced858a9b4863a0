//! The standard normal distribution.

use core::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

use libm::erfc;
use statrs::function::erf::erfc_inv;

use crate::stats::error::{StatsError, fraction};

/// The density at `x`; relative error some 1e-15.
pub fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The probability of at most `x`; relative error below 1e-14 while it is above 1e-290.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * FRAC_1_SQRT_2)
}

/// The probability of more than `x`; as accurate as [`normal_cdf`], also where that is one.
pub fn normal_sf(x: f64) -> f64 {
    normal_cdf(-x)
}

/// The logarithm of [`normal_cdf`], also where that underflows; relative error below 1e-13.
pub fn ln_normal_cdf(x: f64) -> f64 {
    if x > 0.0 {
        (-normal_sf(x)).ln_1p()
    } else if x > -10.0 {
        normal_cdf(x).ln()
    } else {
        (0.5 * scaled_erfc(-x * FRAC_1_SQRT_2)).ln() - 0.5 * x * x
    }
}

/// `exp(x^2) erfc(x)`, for `x` of zero or more; relative error below 1e-13.
///
/// Far out it is the continued fraction of Laplace, Abramowitz and Stegun 7.1.14.
pub(crate) fn scaled_erfc(x: f64) -> f64 {
    if x < 5.0 {
        return (x * x).exp() * erfc(x);
    }
    let tail = (1..=40).rev().fold(0.0, |tail, n| 0.5 * f64::from(n) / (x + tail));
    1.0 / ((x + tail) * PI.sqrt())
}

/// The value below which a normal variable is with probability `p`; absolute error below 1e-13.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `p` is between 0 and 1, both excluded.
pub fn normal_quantile(p: f64) -> Result<f64, StatsError> {
    let p = fraction("p", p)?;
    let mut z = -SQRT_2 * erfc_inv(2.0 * p);
    // One step of Halley's method takes away what the starting value lacks.
    for _ in 0..2 {
        let error = (normal_cdf(z) - p) / normal_density(z);
        if error.is_finite() {
            z -= error / (1.0 + 0.5 * z * error);
        }
    }
    Ok(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_mpmath() {
        for (x, ln) in LN_CDF {
            let got = ln_normal_cdf(x);
            assert!(((got - ln) / ln).abs() < 1e-13, "{x}: {got} for {ln}");
        }
        for (p, z) in QUANTILES {
            let got = normal_quantile(p).unwrap();
            assert!((got - z).abs() < 1e-13 * (1.0 + z.abs()), "{p}: {got} for {z}");
        }
        for bad in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(normal_quantile(bad).is_err());
        }
    }

    const LN_CDF: [(f64, f64); 10] = [
        (-1000.0, -500_007.826_694_812_16),
        (-40.0, -804.608_442_013_753_8),
        (-10.5, -58.404_187_061_073_245),
        (-9.5, -48.306_019_298_965_23),
        (-3.0, -6.607_726_221_510_349),
        (-0.5, -1.175_911_761_593_618_5),
        (0.0, -core::f64::consts::LN_2),
        (1.0, -0.172_753_779_023_449_88),
        (5.0, -2.866_516_129_637_636e-7),
        (9.0, -1.128_588_405_953_840_5e-19),
    ];

    const QUANTILES: [(f64, f64); 10] = [
        (1.0e-200, -30.205_594_179_579_64),
        (1.0e-20, -9.262_340_089_798_407),
        (1.0e-5, -4.264_890_793_922_825),
        (0.01, -2.326_347_874_040_841),
        (0.025, -1.959_963_984_540_054_3),
        (0.3, -0.524_400_512_708_040_8),
        (0.5, 4.090_469_753_180_225e-48),
        (0.975, 1.959_963_984_540_053_8),
        (0.99, 2.326_347_874_040_840_8),
        (0.999_999_9, 5.199_337_582_290_661),
    ];
}
