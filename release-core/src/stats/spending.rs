//! Boundaries for looks that are scheduled: an error spent bit by bit.
//!
//! Lan and DeMets, «Discrete sequential boundaries for clinical trials», Biometrika 70 (1983): by the
//! information fraction `t` a function says how much of the error may be spent. The boundary of a look is
//! what leaves a Brownian motion that was within all boundaries before just that chance. Computed by the
//! recursion of Armitage, McPherson and Rowe (1969) with Gauss and Legendre's integrals.

use super::error::{StatsError, fraction, keep};
use super::quadrature::nodes;
use super::root::zeroin;
use super::special::{normal_density, normal_quantile, normal_sf};

/// How an error is spent with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spending {
    /// As O'Brien and Fleming: hardly anything at first, `2 - 2 Phi(z / sqrt t)`.
    ObrienFleming,
    /// As Pocock: about the same at each look, `alpha ln(1 + (e-1) t)`.
    Pocock,
}

impl Spending {
    /// How much of `alpha` is spent by the information fraction `t`.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1 and `t` above 0 and at most 1.
    pub fn spent(self, alpha: f64, t: f64) -> Result<f64, StatsError> {
        let alpha = fraction("alpha", alpha)?;
        let t = keep(t > 0.0 && t <= 1.0, "information fraction", t, "more than 0 and at most 1")?;
        Ok(match self {
            Self::ObrienFleming => 2.0 * normal_sf(-normal_quantile(0.5 * alpha)? / t.sqrt()),
            Self::Pocock => alpha * (t * (core::f64::consts::E - 1.0)).ln_1p(),
        })
    }
}

/// Which sides have a boundary, and how the error is spent on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// Above only.
    Above,
    /// Above and below, each of which spends `alpha` by the function.
    Each,
    /// Above and below, which share what `alpha` spends by the function.
    Shared,
}

/// The boundaries, in standard deviations, at looks with the information `fractions`, which grow up to 1 at
/// most; infinite where less than 1e-18 may be spent. Right to 1e-5 or better.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1 and the fractions grow from above 0 to 1;
/// [`StatsError::NoConvergence`] for looks too close to each other.
pub fn boundaries(
    spending: Spending,
    sides: Sides,
    alpha: f64,
    fractions: &[f64],
) -> Result<Vec<f64>, StatsError> {
    let mut found = Vec::with_capacity(fractions.len());
    let (mut before, mut spent) = (0.0, 0.0);
    let mut walk = vec![(0.0, 1.0)];
    for &t in fractions {
        keep(t > before, "information fraction", t, "more than the one before")?;
        let total = spending.spent(alpha, t)?;
        let both = if sides == Sides::Shared { 2.0 } else { 1.0 };
        let deviation = (t - before).sqrt();
        let crossing = |z: f64| -> f64 {
            let at = z * t.sqrt();
            walk.iter().map(|(s, mass)| mass * normal_sf((at - s) / deviation)).sum()
        };
        let wanted = (total - spent) / both;
        let z = if wanted < 1e-18 {
            f64::INFINITY
        } else {
            let excess = |z: f64| crossing(z).max(1e-300).ln() - wanted.ln();
            zeroin(excess, -FAR, FAR, 1e-12, 200)
                .ok_or(StatsError::NoConvergence { what: "boundary of a look" })?
        };
        found.push(z);
        let reach = z.min(FAR) * t.sqrt();
        let floor = if sides == Sides::Above { -FAR * t.sqrt() } else { -reach };
        walk = step(&walk, floor, reach, deviation);
        (before, spent) = (t, total);
    }
    Ok(found)
}

/// No boundary is farther out, in standard deviations.
const FAR: f64 = 9.0;

/// The walk after one more step, as masses at places within the boundaries.
fn step(walk: &[(f64, f64)], low: f64, high: f64, deviation: f64) -> Vec<(f64, f64)> {
    // Eight nodes a standard deviation of a step, and never fewer than for a smooth density.
    let wanted = (64.0 + 8.0 * (high - low) / deviation).min(2000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "64 to 2000")]
    let places = nodes(wanted as usize, low, high);
    let density = |at: f64| -> f64 {
        walk.iter().map(|(s, mass)| mass * normal_density((at - s) / deviation)).sum()
    };
    places.into_iter().map(|(at, weight)| (at, weight * density(at) / deviation)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EQUAL: [f64; 5] = [0.2, 0.4, 0.6, 0.8, 1.0];

    /// Published values; also those of R's `ldbounds`.
    #[test]
    fn five_equal_looks_have_the_published_boundaries() {
        for (spending, sides, alpha, want, tolerance) in [
            (
                Spending::ObrienFleming,
                Sides::Each,
                0.025,
                [4.8769, 3.3570, 2.6803, 2.2898, 2.0310],
                1e-4,
            ),
            (
                Spending::ObrienFleming,
                Sides::Shared,
                0.05,
                [4.3826, 3.0997, 2.5534, 2.2538, 2.0635],
                1e-4,
            ),
            (Spending::Pocock, Sides::Shared, 0.05, [2.438, 2.4268, 2.4102, 2.3966, 2.386], 1e-4),
        ] {
            let got = boundaries(spending, sides, alpha, &EQUAL).unwrap();
            let near = got.iter().zip(want).all(|(got, want)| (got - want).abs() < tolerance);
            assert!(near && got.len() == 5, "{spending:?} {sides:?}: {got:?}");
        }
    }

    #[test]
    fn one_look_is_a_plain_test() {
        for (sides, z) in [(Sides::Above, 1.644_853_6), (Sides::Shared, 1.959_964)] {
            let got = boundaries(Spending::Pocock, sides, 0.05, &[1.0]).unwrap();
            assert!((got[0] - z).abs() < 1e-6, "{got:?}");
        }
        let early = boundaries(Spending::ObrienFleming, Sides::Above, 0.05, &[0.01, 1.0]).unwrap();
        assert!(early[0].is_infinite() && (early[1] - 1.6449).abs() < 1e-3, "{early:?}");
    }

    #[test]
    fn many_looks_spend_all_of_the_error() {
        let fractions: Vec<f64> = (1..=60).map(|look| f64::from(look) / 60.0).collect();
        let bounds = boundaries(Spending::Pocock, Sides::Above, 0.05, &fractions).unwrap();
        assert!(bounds.iter().all(|z| (2.0..3.6).contains(z)), "{bounds:?}");
    }

    #[test]
    fn refuses_looks_that_are_none() {
        for bad in [&[0.5, 0.5][..], &[0.0][..], &[0.5, 1.1][..], &[f64::NAN][..]] {
            assert!(boundaries(Spending::Pocock, Sides::Each, 0.05, bad).is_err(), "{bad:?}");
        }
        assert!(boundaries(Spending::Pocock, Sides::Each, 1.0, &EQUAL).is_err());
    }
}
