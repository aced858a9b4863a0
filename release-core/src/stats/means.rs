//! Means: confidence sequences and e-processes of observations that have a mean and a variance.

use serde::{Deserialize, Serialize};

use super::error::{StatsError, finite, fraction, keep, not_negative, positive};
use super::real;
use super::special::student_t_cdf;

/// The radius of the asymptotic confidence sequence of a mean after `t` values of standard deviation
/// `deviation`, in its units: `s sqrt(2 (t r^2 + 1) / (t^2 r^2) ln(sqrt(t r^2 + 1) / alpha))`.
///
/// Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, «Time-uniform central limit theory and asymptotic
/// confidence sequences», Annals of Statistics 52 (2024). It holds for large `t`; `r` is [`tightest`].
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `deviation` is not negative, `t` and `r` above 0, and `alpha` between 0
/// and 1.
pub fn asymptotic_radius(deviation: f64, t: f64, r: f64, alpha: f64) -> Result<f64, StatsError> {
    let (deviation, t) = (not_negative("deviation", deviation)?, positive("t", t)?);
    let (r, alpha) = (positive("r", r)?, fraction("alpha", alpha)?);
    let grown = t * r * r + 1.0;
    Ok(deviation * (2.0 * grown * (grown.sqrt() / alpha).ln()).sqrt() / (t * r))
}

/// The parameter of [`asymptotic_radius`] that makes it smallest about the time `t`.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1 and `t` above 0.
pub fn tightest(alpha: f64, t: f64) -> Result<f64, StatsError> {
    let twice = -2.0 * fraction("alpha", alpha)?.ln();
    Ok(((twice + (twice + 1.0).ln()) / positive("t", t)?).sqrt())
}

/// The logarithm of the mixture sequential probability ratio of a difference of means `d` after `n` pairs,
/// each difference with the variance `v` that is known (twice that of one value), mixed over differences of
/// variance `tau2`: `ln(v / (v + n tau2)) / 2 + n^2 tau2 d^2 / (2 v (v + n tau2))`.
///
/// Johari, Koomen, Pekelis and Walsh, «Always valid inference», Operations Research 70 (2022).
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `n` is not negative, `d` finite, and `v` and `tau2` above 0.
pub fn mixture_log_e(n: f64, d: f64, v: f64, tau2: f64) -> Result<f64, StatsError> {
    let (n, d) = (not_negative("n", n)?, finite("d", d)?);
    let (v, tau2) = (positive("v", v)?, positive("tau2", tau2)?);
    let total = v + n * tau2;
    Ok(0.5 * (v / total).ln() + n * n * tau2 * d * d / (2.0 * v * total))
}

/// The mean and the squares of values that come one by one, without their list (Welford, Technometrics 4
/// (1962)).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Moments {
    /// How many values there were. It may be deflated, where they depend on each other.
    pub n: f64,
    /// Their mean, in their units.
    pub mean: f64,
    /// The sum of their squared deviations from the mean.
    pub squares: f64,
}

impl Moments {
    /// Of some values.
    ///
    /// # Errors
    /// [`StatsError::NotFinite`] for NaN and infinities.
    pub fn of(values: &[f64]) -> Result<Self, StatsError> {
        let mut moments = Self::default();
        for (at, &value) in values.iter().enumerate() {
            let error = StatsError::NotFinite { what: "values", at };
            moments.push(value).map_err(|_| error)?;
        }
        Ok(moments)
    }

    /// Takes one value more, in constant time.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for NaN and infinities; nothing changes then.
    pub fn push(&mut self, value: f64) -> Result<(), StatsError> {
        let above = finite("value", value)? - self.mean;
        self.n += 1.0;
        self.mean += above / self.n;
        self.squares += above * (value - self.mean);
        Ok(())
    }

    /// The unbiased variance; `None` below two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n > 1.0).then(|| self.squares / (self.n - 1.0))
    }

    /// The same as if there were only `n` values of the same mean and variance: what values that depend on
    /// each other are worth.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `n` is above 1 and at most the number of values.
    #[must_use = "the moments themselves stay as they are"]
    pub fn deflated(&self, n: f64) -> Result<Self, StatsError> {
        let good = n > 1.0 && n <= self.n;
        let n = keep(good, "n", n, "more than 1, and at most the number of values")?;
        Ok(Self { n, mean: self.mean, squares: self.squares / (self.n - 1.0) * (n - 1.0) })
    }
}

/// The e-process of a mean of zero with an unknown variance, which needs no scale: multiplied by anything,
/// values give the same e-values.
///
/// Values are normal with mean `m` and standard deviation `sigma`; the effect `m / sigma` is mixed over a
/// normal distribution of variance `g`, and `sigma` over the right Haar measure `1 / sigma`. With
/// `t^2 = n mean^2 / variance` and `nu = n - 1`
///
/// `ln E = -ln(1 + n g) / 2 + (nu+1)/2 ln((1 + t^2/nu) / (1 + t^2 / (nu (1 + n g))))`
///
/// (Lai, «On confidence sequences», Annals of Statistics 4 (1976); Perez-Ortiz, Lardy, de Heide and Grünwald,
/// «E-statistics, group invariance and anytime-valid testing», Annals of Statistics 52 (2024)). It is an
/// e-process for the history of the values up to their scale; with other tails it holds approximately.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    g: f64,
}

impl TTest {
    /// A test tuned to effects of about the root of `g`, in standard deviations.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `g` is above 0.
    pub fn new(g: f64) -> Result<Self, StatsError> {
        Ok(Self { g: positive("g", g)? })
    }

    /// The logarithm of the e-value against a mean of zero; 0 below two values, and when all are zero.
    ///
    /// Values that are all one and not zero would be infinitely unlikely, if they were normal: their e-value
    /// is the limit, the root of `(1 + n g)^(n-1)`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for moments that are no moments.
    pub fn log_e(self, moments: &Moments) -> Result<f64, StatsError> {
        let Some(Parts { n, spread, whole, .. }) = self.parts(moments)? else { return Ok(0.0) };
        Ok(-0.5 * (n * self.g).ln_1p() + 0.5 * n * (whole / spread).ln())
    }

    /// The logarithm of the e-value against a mean of zero or less: mixed over positive effects only.
    ///
    /// It is twice the two-sided one times the probability that the mean is positive, given the values:
    /// with that prior the mean has Student's distribution with `n` degrees of freedom about
    /// `mean n / (n + 1/g)`, of the squared scale `(squares + n mean^2 / (1 + n g)) / (n (n + 1/g))`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for moments that are no moments.
    pub fn log_e_above(self, moments: &Moments) -> Result<f64, StatsError> {
        let Some(Parts { n, mean, spread, .. }) = self.parts(moments)? else { return Ok(0.0) };
        let precision = n + 1.0 / self.g;
        let scale = (spread / (n * precision)).sqrt();
        let positive = student_t_cdf(mean * n / precision / scale, n)?;
        // Far below zero the probability has no float any more; the e-value is as good as zero.
        let positive = positive.max(f64::MIN_POSITIVE);
        Ok(self.log_e(moments)? + core::f64::consts::LN_2 + positive.ln())
    }

    fn parts(self, moments: &Moments) -> Result<Option<Parts>, StatsError> {
        let n = not_negative("n", moments.n)?;
        let (mean, squares) =
            (finite("mean", moments.mean)?, not_negative("squares", moments.squares)?);
        // Squares of very large or very small values leave the floats; the scale does not matter.
        let unit = mean.abs().max((squares / n).sqrt());
        if n < 1.0 + 1e-9 || unit <= 0.0 {
            return Ok(None);
        }
        let (mean, squares) = (mean / unit, squares / unit / unit);
        let of_mean = n * mean * mean;
        let spread = squares + of_mean / (n * self.g + 1.0);
        Ok(Some(Parts { n, mean, spread, whole: squares + of_mean }))
    }
}

/// Moments in units of their own size.
struct Parts {
    n: f64,
    mean: f64,
    /// The squares as the mixture explains them.
    spread: f64,
    /// The squares as a mean of zero explains them.
    whole: f64,
}

/// The difference of two means, `x` less `y`, and its variance: the root is its standard error (Welch).
///
/// # Errors
/// [`StatsError::TooFew`] for arms of less than two values.
pub fn difference(x: &Moments, y: &Moments) -> Result<(f64, f64), StatsError> {
    let few = |what| StatsError::TooFew { what, got: 1, need: 2 };
    let of_x = x.variance().ok_or(few("x"))?;
    let of_y = y.variance().ok_or(few("y"))?;
    Ok((x.mean - y.mean, of_x / x.n + of_y / y.n))
}

/// The effective number of values of a series that depends on itself: `n (1 - r) / (1 + r)` with its lag-1
/// autocorrelation `r`, cut to 0 and more; at least 1.
///
/// # Errors
/// [`StatsError::TooFew`] below three values, [`StatsError::NotFinite`] for NaN and infinities.
pub fn effective_size(series: &[f64]) -> Result<f64, StatsError> {
    if series.len() < 3 {
        return Err(StatsError::TooFew { what: "series", got: series.len(), need: 3 });
    }
    let moments = Moments::of(series)?;
    let pairs = series.iter().zip(series.iter().skip(1));
    let products: f64 = pairs.map(|(a, b)| (a - moments.mean) * (b - moments.mean)).sum();
    let n = real(series.len());
    if moments.squares <= 0.0 {
        return Ok(1.0);
    }
    let r = (products / moments.squares).clamp(0.0, 1.0);
    Ok((n * (1.0 - r) / (1.0 + r)).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::quadrature::nodes;

    fn near(got: f64, want: f64, tolerance: f64) -> bool {
        (got - want).abs() <= tolerance
    }

    #[test]
    fn confidence_sequences_have_their_values() {
        let r = tightest(0.05, 500.0).unwrap();
        assert!(near(r, 0.125_985_353, 1e-9), "{r}");
        for (t, want) in [
            (50.0, 0.545_187_055),
            (100.0, 0.336_388_773),
            (500.0, 0.135_738_673),
            (1000.0, 0.096_812_410),
            (5000.0, 0.045_844_888),
        ] {
            let got = asymptotic_radius(1.0, t, r, 0.05).unwrap();
            assert!(near(got, want, 1e-9), "{t}: {got} for {want}");
        }
        for (n, d, v, tau2, want) in [
            (100.0, 0.3, 2.0, 0.1, 0.979_120_265),
            (1000.0, 0.1, 2.0, 0.01, 1.187_453_599),
            (50.0, 0.0, 2.0, 0.1, -0.626_381_484),
        ] {
            let got = mixture_log_e(n, d, v, tau2).unwrap();
            assert!(near(got, want, 1e-9), "{n}, {d}: {got} for {want}");
        }
        assert!(tightest(1.0, 5.0).is_err() && asymptotic_radius(1.0, 0.0, r, 0.05).is_err());
        assert!(mixture_log_e(1.0, f64::NAN, 1.0, 1.0).is_err());
    }

    /// The mixture by brute force: both integrals over `sigma` and the effect.
    fn integrated(values: &[f64], g: f64, low: f64, high: f64) -> f64 {
        // Over ln sigma, where the measure 1/sigma is even.
        let scales = nodes(400, -4.0, 14.0);
        let likelihood = |effect: f64| -> f64 {
            scales
                .iter()
                .map(|(ln_sigma, weight)| {
                    let sigma = ln_sigma.exp();
                    let squares: f64 = values.iter().map(|z| (z / sigma - effect).powi(2)).sum();
                    weight * (-0.5 * squares - ln_sigma * real(values.len())).exp()
                })
                .sum()
        };
        let prior =
            |effect: f64| (-0.5 * effect * effect / g).exp() / (core::f64::consts::TAU * g).sqrt();
        let mixed: f64 =
            nodes(120, low, high).iter().map(|(e, w)| w * prior(*e) * likelihood(*e)).sum();
        let mass: f64 = nodes(120, low, high).iter().map(|(e, w)| w * prior(*e)).sum();
        (mixed / mass / likelihood(0.0)).ln()
    }

    #[test]
    fn e_values_are_the_integrals_that_they_stand_for() {
        for values in
            [&[0.3, -1.2, 2.5, 0.8, 1.1][..], &[1.0, 2.0][..], &[-0.5, -0.9, -1.4, 0.1][..]]
        {
            for g in [0.05, 1.0] {
                let reach = 9.0 * f64::sqrt(g);
                let (test, moments) = (TTest::new(g).unwrap(), Moments::of(values).unwrap());
                let (two, above) =
                    (test.log_e(&moments).unwrap(), test.log_e_above(&moments).unwrap());
                let want = integrated(values, g, -reach, reach);
                assert!(near(two, want, 1e-6), "{values:?}, {g}: {two} for {want}");
                let want = integrated(values, g, 0.0, reach);
                assert!(near(above, want, 1e-6), "above {values:?}, {g}: {above} for {want}");
            }
        }
    }

    #[test]
    fn the_two_forms_of_the_formula_are_one() {
        let (n, mean, squares, g) = (17.0, 0.4, 21.0, 0.2);
        let t2 = n * mean * mean / (squares / (n - 1.0));
        let nu = n - 1.0;
        let inner = (1.0 + t2 / nu) / (1.0 + t2 / (nu * (1.0 + n * g)));
        let want = -0.5 * (1.0_f64 + n * g).ln() + 0.5 * (nu + 1.0) * f64::ln(inner);
        let got = TTest::new(g).unwrap().log_e(&Moments { n, mean, squares }).unwrap();
        assert!(near(got, want, 1e-12), "{got} for {want}");
    }

    #[test]
    fn scale_and_few_values_do_not_matter() {
        let test = TTest::new(0.1).unwrap();
        let values = [0.3, 1.2, 2.5, 0.8, 1.1, -0.2];
        let base = test.log_e_above(&Moments::of(&values).unwrap()).unwrap();
        for scale in [1e-200, 1e-9, 1e9, 1e150] {
            let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
            let got = test.log_e_above(&Moments::of(&scaled).unwrap()).unwrap();
            // The squares of the smallest underflow, and leave the mean alone.
            assert!(near(got, base, 1e-9) || scale < 1e-150, "{scale}: {got} for {base}");
        }
        for still in [&[][..], &[3.0][..], &[0.0, 0.0, 0.0][..]] {
            assert!(near(test.log_e(&Moments::of(still).unwrap()).unwrap(), 0.0, 0.0), "{still:?}");
        }
        let constant = Moments::of(&[2.0; 5]).unwrap();
        assert!(near(test.log_e(&constant).unwrap(), 2.0 * 1.5_f64.ln(), 1e-12));
        assert!(Moments::of(&[1.0, f64::NAN]).is_err() && TTest::new(0.0).is_err());
    }

    #[test]
    fn dependent_values_are_worth_less() {
        let series: Vec<f64> = (0..200).map(|i| f64::from(i / 20 % 2)).collect();
        let size = effective_size(&series).unwrap();
        assert!(size < 20.0, "{size}");
        let moments = Moments::of(&series).unwrap();
        let deflated = moments.deflated(10.5).unwrap();
        assert!(near(deflated.variance().unwrap(), moments.variance().unwrap(), 1e-12));
        assert!(moments.deflated(300.0).is_err() && effective_size(&[1.0, 2.0]).is_err());
        assert!(near(difference(&moments, &moments).unwrap().0, 0.0, 0.0));
    }

    struct SplitMix64(u64);

    impl SplitMix64 {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        fn normal(&mut self) -> f64 {
            let (a, b) = (self.next() >> 40, self.next() >> 40);
            let uniform = |bits: u64| (real(usize::try_from(bits).unwrap()) + 0.5) / 16_777_216.0;
            (-2.0 * uniform(a).ln()).sqrt() * (core::f64::consts::TAU * uniform(b)).cos()
        }
    }

    /// Ville's inequality, measured: whoever looks after each value is misled no oftener than promised.
    #[test]
    fn looking_always_misleads_no_oftener_than_alpha() {
        let mut draw = SplitMix64(20_261_128);
        let (paths, alpha, test) = (4000, 0.05_f64, TTest::new(0.3).unwrap());
        let threshold = -alpha.ln();
        let mut crossed = [0.0; 3];
        for _ in 0..paths {
            let (mut null, mut below) = (Moments::default(), Moments::default());
            let mut seen = [false; 3];
            for _ in 0..120 {
                let z = draw.normal();
                null.push(5.0 * z).unwrap();
                below.push(z - 0.1).unwrap();
                seen[0] |= test.log_e(&null).unwrap() >= threshold;
                seen[1] |= test.log_e_above(&null).unwrap() >= threshold;
                seen[2] |= test.log_e_above(&below).unwrap() >= threshold;
            }
            for (count, seen) in crossed.iter_mut().zip(seen) {
                *count += f64::from(u8::from(seen));
            }
        }
        let most = alpha + 3.0 * (alpha * (1.0 - alpha) / f64::from(paths)).sqrt();
        let rates = crossed.map(|count| count / f64::from(paths));
        assert!(rates.iter().all(|rate| *rate <= most), "{rates:?}");
        assert!(rates[0] > 0.01 && rates[1] > 0.01 && rates[2] < rates[1], "{rates:?}");
    }
}
