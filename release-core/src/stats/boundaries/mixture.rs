//! Mixtures of exponential supermartingales, and what they bound.

use crate::stats::counts::Interval;
use crate::stats::error::{StatsError, finite, fraction, keep, not_negative, positive};
use crate::stats::root::{expanding, zeroin};
use crate::stats::special::{
    ln_beta, ln_beta_cdf, ln_gamma, ln_gamma_p, ln_gamma_q, ln_normal_cdf,
};

/// What is known of the steps of a walk, and which side is bounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Family {
    /// Steps with tails of a normal distribution at most; both sides.
    Normal,
    /// The same, above only.
    NormalAbove,
    /// Steps with tails of an exponential distribution of scale `c` at most; above only.
    GammaExponential {
        /// The scale, in units of the steps.
        c: f64,
    },
    /// Steps with tails of a Poisson distribution of scale `c` at most; above only.
    GammaPoisson {
        /// The scale, in units of the steps.
        c: f64,
    },
    /// Steps of `-g` to `h`; both sides.
    BetaBinomial {
        /// How far a step goes down.
        g: f64,
        /// How far a step goes up.
        h: f64,
    },
    /// The same, above only.
    BetaBinomialAbove {
        /// How far a step goes down.
        g: f64,
        /// How far a step goes up.
        h: f64,
    },
}

/// The parameter of a two-sided normal mixture that makes its boundary of `alpha` tightest at the time `v`.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `v` is above 0 and `alpha` between 0 and 1.
pub fn rho_two_sided(v: f64, alpha: f64) -> Result<f64, StatsError> {
    let twice = -2.0 * fraction("alpha", alpha)?.ln();
    Ok(positive("v", v)? / (twice + twice.ln_1p()))
}

/// The same of a one-sided mixture: that of two sides with twice the error.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `v` is above 0 and `alpha` between 0 and 1/2.
pub fn rho_one_sided(v: f64, alpha: f64) -> Result<f64, StatsError> {
    rho_two_sided(v, 2.0 * alpha)
}

/// A mixture supermartingale: it begins at one at most and its mean never grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    family: Family,
    rho: f64,
    /// The logarithm of what makes it begin at one.
    constant: f64,
}

impl Mixture {
    /// The mixture whose boundary of `alpha_opt` is tightest at the time `v_opt`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `v_opt`, `c`, `g` and `h` are above 0, and `alpha_opt` between 0
    /// and 1, or 1/2 for one side.
    pub fn new(family: Family, v_opt: f64, alpha_opt: f64) -> Result<Self, StatsError> {
        let rho = match family {
            Family::Normal | Family::BetaBinomial { .. } => rho_two_sided(v_opt, alpha_opt)?,
            _ => rho_one_sided(v_opt, alpha_opt)?,
        };
        let (rho, constant) = match family {
            Family::Normal | Family::NormalAbove => (rho, 0.0),
            Family::GammaExponential { c } => {
                let r = rho / positive("c", c)?.powi(2);
                (rho, r * r.ln() - ln_gamma(r)? - ln_gamma_p(r, r)?)
            }
            Family::GammaPoisson { c } => {
                let r = rho / positive("c", c)?.powi(2);
                (rho, r * r.ln() - ln_gamma(r)? - ln_gamma_q(r, r)?)
            }
            Family::BetaBinomial { g, h } | Family::BetaBinomialAbove { g, h } => {
                let product = positive("g", g)? * positive("h", h)?;
                let r = (rho - product).max(1e-3 * product);
                let (a, b) = (r / (g * (g + h)), r / (h * (g + h)));
                (r, -Self::ln_partial_beta(family, a, b, h / (g + h))?)
            }
        };
        Ok(Self { family, rho, constant })
    }

    /// The logarithm of the supermartingale where the walk is at `s` at the time `v`: an e-value.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `s` is finite and `v` not negative, and for places that steps of
    /// a bounded size never reach.
    pub fn log_e(&self, s: f64, v: f64) -> Result<f64, StatsError> {
        let (s, v, rho) = (finite("s", s)?, not_negative("v", v)?, self.rho);
        let square = s * s / (2.0 * (v + rho));
        Ok(match self.family {
            Family::Normal => 0.5 * (rho / (v + rho)).ln() + square,
            Family::NormalAbove => {
                0.5 * (4.0 * rho / (v + rho)).ln() + square + ln_normal_cdf(s / (v + rho).sqrt())
            }
            Family::GammaExponential { c } => {
                let (shape, moved) = ((v + rho) / (c * c), (c * s + v) / (c * c));
                let at = moved + rho / (c * c);
                let tail = ln_gamma(shape)? + ln_gamma_p(shape, at)?;
                self.constant + tail - shape * at.ln() + moved
            }
            Family::GammaPoisson { c } => {
                let at = (v + rho) / (c * c);
                let shape = s / c + at;
                let tail = ln_gamma(shape)? + ln_gamma_q(shape, at)?;
                self.constant + tail - shape * at.ln() + v / (c * c)
            }
            Family::BetaBinomial { g, h } | Family::BetaBinomialAbove { g, h } => {
                let (down, up) = ((v - g * s) / (g * (g + h)), (v + h * s) / (h * (g + h)));
                let prior = (rho / (g * (g + h)), rho / (h * (g + h)));
                let mixed =
                    Self::ln_partial_beta(self.family, prior.0 + down, prior.1 + up, h / (g + h))?;
                v / (g * h) * (g + h).ln() - up * g.ln() - down * h.ln() + mixed + self.constant
            }
        })
    }

    /// The boundary: how high a walk may be at the time `v`, and ever, but with probability `alpha`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `v` is above 0 and `alpha` between 0 and 1;
    /// [`StatsError::NoConvergence`] when floats end before the boundary.
    pub fn bound(&self, v: f64, alpha: f64) -> Result<f64, StatsError> {
        let v = positive("v", v)?;
        let threshold = -fraction("alpha", alpha)?.ln();
        let missing = StatsError::NoConvergence { what: "boundary of a mixture" };
        let excess = |s: f64| self.log_e(s, v).map_or(f64::NAN, |log_e| log_e - threshold);
        match self.family {
            Family::Normal => {
                Ok(((v + self.rho) * ((v / self.rho).ln_1p() + 2.0 * threshold)).sqrt())
            }
            // A walk of bounded steps gets no higher than this.
            Family::BetaBinomial { g, .. } | Family::BetaBinomialAbove { g, .. } => {
                if excess(v / g) < 0.0 {
                    return Ok(v / g);
                }
                zeroin(excess, 0.0, v / g, 0.0, 200).ok_or(missing)
            }
            _ => expanding(excess, 0.0, v).ok_or(missing),
        }
    }

    /// The logarithm of the beta function, or of its part up to `x` when only one side is bounded.
    fn ln_partial_beta(family: Family, a: f64, b: f64, x: f64) -> Result<f64, StatsError> {
        let whole = ln_beta(a, b)?;
        Ok(match family {
            Family::BetaBinomialAbove { .. } => whole + ln_beta_cdf(a, b, x)?,
            _ => whole,
        })
    }
}

/// The probabilities of success that `successes` of `trials` do not refute, however often one looks; tightest
/// after `t_opt` trials for an error of `alpha_opt`. A beta-binomial mixture for each probability.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `0 <= successes <= trials`, `t_opt` is above 0, and the errors between
/// 0 and 1; [`StatsError::TooFew`] for no trials.
pub fn bernoulli_interval(
    successes: f64,
    trials: f64,
    alpha: f64,
    t_opt: f64,
    alpha_opt: f64,
) -> Result<Interval, StatsError> {
    let trials = not_negative("trials", trials)?;
    if trials <= 0.0 {
        return Err(StatsError::TooFew { what: "trials", got: 0, need: 1 });
    }
    let good = (0.0..=trials).contains(&successes);
    let share = keep(good, "successes", successes, "from 0 to the trials")? / trials;
    let threshold = -fraction("alpha", alpha)?.ln();
    let t_opt = positive("t_opt", t_opt)?;
    fraction("alpha_opt", alpha_opt)?;
    let excess = |p: f64| -> f64 {
        let family = Family::BetaBinomial { g: p, h: 1.0 - p };
        let variance = p * (1.0 - p);
        Mixture::new(family, variance * t_opt, alpha_opt)
            .and_then(|mixture| mixture.log_e((share - p) * trials, variance * trials))
            .map_or(f64::NAN, |log_e| log_e - threshold)
    };
    let tiny = 1e-12;
    let end = |from: f64, to: f64| {
        if excess(from) > 0.0 { zeroin(excess, from, to, 0.0, 200) } else { None }
    };
    let inner = share.clamp(tiny, 1.0 - tiny);
    let lower = if share > 0.0 { end(tiny, inner).unwrap_or(0.0) } else { 0.0 };
    let upper = if share < 1.0 { end(1.0 - tiny, inner).unwrap_or(1.0) } else { 1.0 };
    Ok(Interval { lower, upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, tolerance: f64) -> bool {
        (got - want).abs() <= tolerance
    }

    /// The authors' values, from their implementation in R.
    #[test]
    fn mixtures_have_the_values_of_their_authors() {
        assert!(near(rho_two_sided(100.0, 0.05).unwrap(), 12.600_56, 1e-5));
        for (family, log_e, bound) in [
            (Family::Normal, -0.651_005_2, 30.352_09),
            (Family::NormalAbove, -0.065_023_91, 27.660_71),
            (Family::GammaExponential { c: 2.0 }, -0.249_016_5, 33.020_17),
            (Family::GammaPoisson { c: 2.0 }, -0.069_912_19, 30.194_9),
            (Family::BetaBinomial { g: 0.2, h: 0.8 }, -0.694_101_2, 31.430_8),
            (Family::BetaBinomialAbove { g: 0.2, h: 0.8 }, -0.071_340_19, 28.412_38),
        ] {
            let mixture = Mixture::new(family, 100.0, 0.05).unwrap();
            let got = (mixture.log_e(10.0, 100.0).unwrap(), mixture.bound(100.0, 0.05).unwrap());
            assert!(near(got.0, log_e, 1e-7) && near(got.1, bound, 1e-5), "{family:?}: {got:?}");
        }
    }

    #[test]
    fn intervals_of_shares_have_the_values_of_their_authors() {
        for (k, n, t_opt, lower, upper) in [
            (700.0, 1000.0, 100.0, 0.651_629, 0.745_949),
            (15.0, 50.0, 50.0, 0.129_556, 0.511_896),
            (5.0, 50.0, 50.0, 0.013_021, 0.269_264),
            (1.0, 50.0, 50.0, 0.0, 0.134_89),
            (100.0, 200.0, 1.0, 0.328_923, 0.671_076),
            (1.0, 2.0, 50.0, 0.0, 1.0),
        ] {
            let got = bernoulli_interval(k, n, 0.05, t_opt, 0.05).unwrap();
            assert!(
                near(got.lower, lower, 2e-6) && near(got.upper, upper, 2e-6),
                "{k} of {n}: {got:?}"
            );
        }
    }

    #[test]
    fn refuses_what_has_no_boundary() {
        assert!(rho_one_sided(100.0, 0.5).is_err() && rho_two_sided(0.0, 0.05).is_err());
        assert!(Mixture::new(Family::GammaPoisson { c: 0.0 }, 1.0, 0.05).is_err());
        let normal = Mixture::new(Family::Normal, 1.0, 0.05).unwrap();
        assert!(normal.bound(f64::NAN, 0.05).is_err() && normal.log_e(f64::NAN, 1.0).is_err());
        assert!(bernoulli_interval(2.0, 1.0, 0.05, 1.0, 0.05).is_err());
    }
}
