//! Boundaries that are stitched together from pieces, one for each multiple of the time.

use crate::stats::error::{StatsError, finite, fraction, keep, not_negative, positive};
use crate::stats::root::{expanding, zeroin};
use crate::stats::special::zeta;

/// A boundary of pieces, one for each `eta`-fold time, for steps with tails of scale `c`: section 3.1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolyStitching {
    /// The time from which on it is tight.
    pub v_min: f64,
    /// The scale of the steps; negative for steps that are bounded above.
    pub c: f64,
    /// How fast the error left for later pieces falls; above 1.
    pub s: f64,
    /// How much longer each piece lasts than the one before; above 1.
    pub eta: f64,
}

impl PolyStitching {
    /// With pieces of twice the time and an error that falls with the power 1.4.
    pub const fn new(v_min: f64, c: f64) -> Self {
        Self { v_min, c, s: 1.4, eta: 2.0 }
    }

    /// The boundary at the time `v`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1, `v_min` above 0, `s` and `eta` above 1.
    pub fn bound(&self, v: f64, alpha: f64) -> Result<f64, StatsError> {
        let Self { v_min, c, s, eta } = *self;
        let (v_min, c) = (positive("v_min", v_min)?, finite("c", c)?);
        let alpha = fraction("alpha", alpha)?;
        let v = not_negative("v", v)?.max(v_min);
        let (k1, k2) = pieces(eta)?;
        let spent = (zeta(s)? / eta.ln().powf(s)).ln() - alpha.ln();
        let ell = s * (eta * v / v_min).ln().ln() + spent;
        let linear = k2 * c * ell;
        Ok((k1 * k1 * v * ell + linear * linear).sqrt() + linear)
    }
}

/// What both stitched boundaries take from the length of their pieces.
fn pieces(eta: f64) -> Result<(f64, f64), StatsError> {
    let eta = keep(eta > 1.0 && eta.is_finite(), "eta", eta, "more than 1, and finite")?;
    Ok((
        (eta.powf(0.25) + eta.powf(-0.25)) * core::f64::consts::FRAC_1_SQRT_2,
        0.5 * (eta.sqrt() + 1.0),
    ))
}

/// The boundary of how many of `t` values are below a quantile, more than expected, for all quantiles and
/// times at once: Howard and Ramdas (2022), theorem 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubleStitching {
    /// The time from which on it is tight, in values; 1 or more.
    pub t_opt: f64,
    /// How fine the grid of quantiles is, in logits.
    pub delta: f64,
    /// How fast the error left for later pieces falls; above 1.
    pub s: f64,
    /// How much longer each piece lasts than the one before; above 1.
    pub eta: f64,
}

impl DoubleStitching {
    /// With a grid of 0.5, pieces of twice the time and an error that falls with the power 1.4.
    pub const fn new(t_opt: f64) -> Self {
        Self { t_opt, delta: 0.5, s: 1.4, eta: 2.0 }
    }

    /// The boundary for the quantile `p` after `t` values, in values.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `p` and `alpha` are between 0 and 1, `t_opt` and `delta` above 0,
    /// `s` and `eta` above 1.
    pub fn bound(&self, p: f64, t: f64, alpha: f64) -> Result<f64, StatsError> {
        let Self { t_opt, delta, s, eta } = *self;
        let (t_opt, delta) = (positive("t_opt", t_opt)?, positive("delta", delta)?);
        let (p, alpha) = (fraction("p", p)?, fraction("alpha", alpha)?);
        let t = not_negative("t", t)?.max(t_opt);
        let (k1, k2) = pieces(eta)?;
        let logit = (p / (1.0 - p)).ln();
        let r = if p >= 0.5 {
            p
        } else {
            let moved = logit + 2.0 * delta * (t_opt * eta / t).sqrt();
            (1.0 / (1.0 + (-moved).exp())).min(0.5)
        };
        let variance = r * (1.0 - r);
        let cell = (t / t_opt).sqrt() * logit.abs() / (2.0 * delta) + 1.0;
        let zeta = zeta(s)?;
        let spent = (2.0 * zeta * (2.0 * zeta + 1.0) / (alpha * eta.ln().powf(s))).ln();
        let ell = s * (eta * t / t_opt).ln().ln() + s * cell.ln() + spent;
        let linear = k2 * (1.0 - 2.0 * p) / 3.0 * ell;
        let root = (k1 * k1 * variance * t * ell + linear * linear).sqrt();
        Ok(delta * (eta * t * variance / t_opt).sqrt() + root + linear)
    }
}

/// The boundary of how far an empirical distribution ever is from the true one, at any place, from the
/// time `t_min` on: Howard and Ramdas (2022), theorem 1, after the law of the iterated logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmpiricalProcess {
    t_min: f64,
    factor: f64,
    constant: f64,
}

impl EmpiricalProcess {
    /// The usual factor of the boundary.
    pub const FACTOR: f64 = 0.85;

    /// The boundary that is ever crossed after `t_min` values with probability `alpha` at most; `factor` is
    /// how high it gets in the end, more than the root of 1/2.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1, `t_min` 1 or more and `factor` large
    /// enough; [`StatsError::NoConvergence`] when no boundary has this error.
    pub fn new(alpha: f64, t_min: f64, factor: f64) -> Result<Self, StatsError> {
        let alpha = fraction("alpha", alpha)?;
        let t_min =
            keep(t_min >= 1.0 && t_min.is_finite(), "t_min", t_min, "1 or more, and finite")?;
        let least = core::f64::consts::FRAC_1_SQRT_2;
        let good = factor > least && factor.is_finite();
        let factor = keep(good, "factor", factor, "more than the root of 1/2")?;
        let excess = |c: f64| (least_error(factor, c) / alpha).min(1e6).ln();
        let constant = expanding(excess, 0.1, 5.0);
        let constant = constant.ok_or(StatsError::NoConvergence { what: "constant of the LIL" })?;
        Ok(Self { t_min, factor, constant })
    }

    /// The boundary after `t` values; infinite before `t_min`.
    pub fn bound(&self, t: f64) -> f64 {
        if t >= self.t_min {
            self.factor * (((t / self.t_min).ln().ln_1p() + self.constant) / t).sqrt()
        } else {
            f64::INFINITY
        }
    }
}

/// The smallest error over the lengths of pieces, by golden sections.
fn least_error(factor: f64, c: f64) -> f64 {
    let error = |eta: f64| {
        let reach = factor - (2.0 * (eta - 1.0) / c).sqrt();
        let gamma = 2.0 / eta * reach * reach;
        if gamma <= 1.0 || reach <= 0.0 {
            f64::INFINITY
        } else {
            4.0 * (-gamma * c).exp() * (1.0 + 1.0 / ((gamma - 1.0) * eta.ln()))
        }
    };
    let slack = |eta: f64| (0.5 * eta).sqrt() + (2.0 * (eta - 1.0) / c).sqrt() - factor;
    let Some(most) = zeroin(slack, 1.0, 2.0 * factor * factor, 0.0, 200) else {
        return f64::INFINITY;
    };
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (1.0, most);
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (error(left), error(right));
    for _ in 0..80 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = error(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = error(right);
        }
    }
    at_left.min(at_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, tolerance: f64) -> bool {
        (got - want).abs() <= tolerance
    }

    #[test]
    fn stitched_boundaries_have_the_values_of_their_authors() {
        for (c, want) in [(3.0, 64.487_55), (-1.0, 28.993_89)] {
            let got = PolyStitching::new(10.0, c).bound(100.0, 0.05).unwrap();
            assert!(near(got, want, 1e-5), "{c}: {got}");
        }
        for (p, want) in [(0.5, 68.628_03), (0.9, 43.721_19), (0.1, 59.965_21)] {
            let got = DoubleStitching::new(100.0).bound(p, 1000.0, 0.05).unwrap();
            assert!(near(got, want, 1e-5), "{p}: {got}");
        }
        let process = EmpiricalProcess::new(0.05, 100.0, EmpiricalProcess::FACTOR).unwrap();
        assert!(near(process.bound(1000.0), 0.082_047_69, 1e-5), "{}", process.bound(1000.0));
        assert!(process.bound(99.0).is_infinite());
    }

    #[test]
    fn refuses_what_has_no_boundary() {
        let poly = PolyStitching { eta: 1.0, ..PolyStitching::new(1.0, 0.0) };
        assert!(poly.bound(1.0, 0.05).is_err());
        assert!(EmpiricalProcess::new(0.05, 100.0, 0.5).is_err());
        assert!(DoubleStitching::new(0.0).bound(0.5, 10.0, 0.05).is_err());
    }
}
