//! Two counts: whether more of all events happen in the canary than its share of the traffic explains.
//!
//! Of `n` events `k` happened in the canary, which gets the share `rho` of the exposure (traffic, time).
//! While both arms have the same rate, whatever it is and however it changes with time, each event is the
//! canary's with probability `rho`. The e-process mixes all other probabilities with a beta distribution:
//!
//! `E = B(a+k, b+n-k) / (B(a, b) rho^k (1-rho)^(n-k))`
//!
//! (Lindon and Malek, «Anytime-valid inference for multinomial count data», 2022.) It may be looked at after
//! every event: while nothing differs it ever reaches `1/alpha` with probability `alpha` at most.

use super::error::{StatsError, fraction, not_negative, positive};
use super::special::{ln_beta, ln_beta_cdf, ln_beta_kernel, ln_beta_sf, log_gap};

/// Which differences an e-process looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// More or fewer events in the canary than its share.
    Both,
    /// More: the mixture is cut to probabilities above the share.
    More,
    /// Fewer: the mixture is cut to probabilities below the share.
    Fewer,
}

/// The e-process of two counts, with what does not depend on them computed once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountTest {
    share: f64,
    a: f64,
    b: f64,
    side: Side,
    /// The logarithm of the prior's density at the share, up to what cancels.
    prior: f64,
}

impl CountTest {
    /// A test for a canary that gets `share` of the exposure, with a beta distribution of `a` and `b` as
    /// the mixture: both 1 spread it evenly, large ones with `a / (a + b) = share` look for small effects.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `share` is between 0 and 1 and `a` and `b` above 0.
    pub fn new(share: f64, a: f64, b: f64, side: Side) -> Result<Self, StatsError> {
        let share = fraction("share", share)?;
        let (a, b) = (positive("a", a)?, positive("b", b)?);
        let prior = density(a, b, share, side)?;
        Ok(Self { share, a, b, side, prior })
    }

    /// The natural logarithm of the e-value for `canary` of `total` events. Counts need not be whole
    /// numbers: a deflated count is a count.
    ///
    /// It is the prior's density at the share over the posterior's there, so that nothing large cancels:
    /// the error is below 1e-11 of the larger of it and one for counts up to 10^9. Constant time.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `0 <= canary <= total`, both finite.
    pub fn log_e(&self, canary: f64, total: f64) -> Result<f64, StatsError> {
        let (k, rest) = counts(canary, total)?;
        Ok(self.prior - density(self.a + k, self.b + rest, self.share, self.side)?)
    }

    /// The interval of shares of the canary that the counts do not refute, however often one looks: all `p`
    /// with `E_p < 1/alpha`, by the two-sided e-process whatever the side of this one.
    ///
    /// # Errors
    /// As [`Self::log_e`]; [`StatsError::OutOfRange`] unless `alpha` is between 0 and 1.
    pub fn share_interval(
        &self,
        canary: f64,
        total: f64,
        alpha: f64,
    ) -> Result<Interval, StatsError> {
        let (low, high) = self.logits(canary, total, alpha)?;
        Ok(Interval { lower: expit(low), upper: expit(high) })
    }

    /// The interval of the ratio of the canary's rate to the baseline's: that of the shares `p`, as
    /// `p / (1 - p)` over the odds of the exposure. Its upper end is infinite while the baseline has none.
    ///
    /// # Errors
    /// As [`Self::share_interval`].
    pub fn ratio_interval(
        &self,
        canary: f64,
        total: f64,
        alpha: f64,
    ) -> Result<Interval, StatsError> {
        let (low, high) = self.logits(canary, total, alpha)?;
        let odds = self.share / (1.0 - self.share);
        Ok(Interval { lower: low.exp() / odds, upper: high.exp() / odds })
    }

    /// The logits of the ends. `E_p` is the likelihood's excess over its greatest at `p = k/n`, so that its
    /// logarithm grows on both sides.
    fn logits(&self, canary: f64, total: f64, alpha: f64) -> Result<(f64, f64), StatsError> {
        let (k, rest) = counts(canary, total)?;
        let alpha = fraction("alpha", alpha)?;
        let all = k + rest;
        if all <= 0.0 {
            return Ok((f64::NEG_INFINITY, f64::INFINITY));
        }
        let times_ln = |count: f64| if count > 0.0 { count * (count / all).ln() } else { 0.0 };
        let at_best = if k > 0.0 && rest > 0.0 {
            let (a, b, p) = (self.a + k, self.b + rest, k / all);
            // B(A, B) p^-k q^-rest, by densities, which do not cancel.
            let ends = -self.a * p.ln() - self.b * (-p).ln_1p();
            -ln_beta_kernel(a, b, p)? - ends - ln_beta(self.a, self.b)?
        } else {
            let mixed = ln_beta(self.a + k, self.b + rest)? - ln_beta(self.a, self.b)?;
            mixed - times_ln(k) - times_ln(rest)
        };
        let room = -alpha.ln() - at_best;
        // Without events on one side the interval has one end, in closed form.
        if k <= 0.0 {
            return Ok((f64::NEG_INFINITY, (room / all).exp_m1().ln()));
        }
        if rest <= 0.0 {
            return Ok((-(room / all).exp_m1().ln(), f64::INFINITY));
        }
        Ok((end(k, rest, room, -1.0), end(k, rest, room, 1.0)))
    }
}

/// Numbers from `lower` to `upper`.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The lower end.
    pub lower: f64,
    /// The upper end; it may be infinite.
    pub upper: f64,
}

/// The natural logarithm of the two-sided e-value for `canary` of `total` events at the share `rho`; see
/// [`CountTest`], which computes it faster for many counts.
///
/// # Errors
/// [`StatsError::OutOfRange`] as [`CountTest::new`] and [`CountTest::log_e`] have it.
pub fn log_e(canary: f64, total: f64, rho: f64, a: f64, b: f64) -> Result<f64, StatsError> {
    CountTest::new(rho, a, b, Side::Both)?.log_e(canary, total)
}

/// The p-value of the largest e-value so far, given as a logarithm: `min(1, 1/E)`, valid at any time.
pub fn p_value(greatest_log_e: f64) -> f64 {
    (-greatest_log_e).exp().min(1.0)
}

fn counts(canary: f64, total: f64) -> Result<(f64, f64), StatsError> {
    let total = not_negative("total", total)?;
    let canary = not_negative("canary", canary)?;
    let rest = super::error::keep(canary <= total, "canary", canary, "at most the total")?;
    Ok((canary, total - rest))
}

/// The logarithm of the density at `x`, up to a factor that depends on `x` alone, of a beta distribution
/// that is cut to one side of `x`.
fn density(a: f64, b: f64, x: f64, side: Side) -> Result<f64, StatsError> {
    let whole = ln_beta_kernel(a, b, x)?;
    Ok(match side {
        Side::Both => whole,
        Side::More => whole - ln_beta_sf(a, b, x)?,
        Side::Fewer => whole - ln_beta_cdf(a, b, x)?,
    })
}

fn expit(logit: f64) -> f64 {
    if logit < 0.0 { logit.exp() / (1.0 + logit.exp()) } else { 1.0 / (1.0 + (-logit).exp()) }
}

/// The logit of the `p` on one side of `k/n` at which the deviance is `room`: Newton's steps, kept in a
/// bracket that is halved where they leave it, to 1e-12 of the distance or better. They begin where the deviance's first two
/// terms would reach it, which for many events is near.
fn end(k: f64, rest: f64, room: f64, direction: f64) -> f64 {
    let all = k + rest;
    let best = (k / rest).ln();
    let excess = |step: f64| {
        // How far p is from k/n, relative to it and to its complement, by the growth of the odds.
        let growth = (direction * step).exp_m1();
        let scale = growth / (1.0 + growth * k / all);
        let (canary, others) = (scale * rest / all, -scale * k / all);
        let deviance = if canary.abs().max(others.abs()) < 0.5 {
            k * log_gap(canary) + rest * log_gap(others)
        } else {
            all * (growth * k / all).ln_1p() - k * direction * step
        };
        (deviance - room, canary.abs() * k)
    };
    let (mut low, mut high) = (0.0, (2.0 * room / k.min(rest)).sqrt().min(1.0));
    while excess(high).0 < 0.0 && high < 1e6 {
        (low, high) = (high, 2.0 * high);
    }
    let straight = (2.0 * room * all / (k * rest)).sqrt();
    let curved = straight - direction * (rest - k) / all * straight * straight / 6.0;
    let mut step = if curved > low && curved < high { curved } else { 0.5 * (low + high) };
    for _ in 0..200 {
        let (value, slope) = excess(step);
        if value < 0.0 {
            low = step;
        } else {
            high = step;
        }
        let newton = step - value / slope;
        let within = newton > low && newton < high;
        let next = if within { newton } else { 0.5 * (low + high) };
        // The error of a step of Newton's is about the square of the step.
        if within && (next - step).abs() <= 1e-7 * step {
            return best + direction * next;
        }
        step = next;
    }
    best + direction * step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, tolerance: f64) -> bool {
        (got - want).abs() <= tolerance
    }

    /// Measured with SciPy's `betaln` and `betainc`.
    #[test]
    fn agrees_with_scipy() {
        for (k, n, rho, ab, want) in [
            (5.0, 10.0, 0.5, 1.0, -0.995_852_555),
            (15.0, 20.0, 0.5, 1.0, 1.169_567_839),
            (30.0, 40.0, 0.5, 1.0, 3.454_324_363),
            (60.0, 100.0, 0.5, 1.0, -0.090_964_878),
            (65.0, 100.0, 0.5, 1.0, 2.438_984_340),
            (65.0, 100.0, 0.5, 0.5, 2.039_012_940),
            (60.0, 100.0, 0.5, 50.0, 0.658_891_818),
            (65.0, 100.0, 0.5, 50.0, 1.922_107_668),
            (120.0, 200.0, 0.5, 50.0, 2.132_640_819),
            (20.0, 100.0, 0.1, 1.0, 2.134_787_787),
            (8.0, 20.0, 0.1, 1.0, 4.896_685_432),
        ] {
            let got = log_e(k, n, rho, ab, ab).unwrap();
            assert!(near(got, want, 1e-9), "{k} of {n}: {got} for {want}");
        }
        for (k, n, want) in [
            (7.0, 7.0, 3.461_822_003),
            (15.0, 20.0, 1.849_323_908),
            (30.0, 40.0, 4.146_746_035),
            (65.0, 100.0, 3.130_803_746),
        ] {
            let more = CountTest::new(0.5, 1.0, 1.0, Side::More).unwrap();
            let fewer = CountTest::new(0.5, 1.0, 1.0, Side::Fewer).unwrap();
            assert!(near(more.log_e(k, n).unwrap(), want, 1e-9), "{k} of {n}");
            assert!(near(fewer.log_e(n - k, n).unwrap(), want, 1e-9), "{k} of {n}");
        }
        assert!(near(p_value(log_e(15.0, 20.0, 0.5, 1.0, 1.0).unwrap()), 0.310_501_099, 1e-9));
        assert!(near(p_value(log_e(30.0, 40.0, 0.5, 1.0, 1.0).unwrap()), 0.031_608_653_1, 1e-9));
        assert!(near(p_value(-1.0), 1.0, 0.0));
    }

    /// From `mpmath` with 60 digits.
    #[test]
    fn is_right_for_great_and_for_broken_counts() {
        for (k, n, rho, a, b, side, want) in GREAT {
            let got = CountTest::new(rho, a, b, side).unwrap().log_e(k, n).unwrap();
            assert!(
                near(got, want, 1e-10 * want.abs().max(1.0)),
                "{k} of {n}, {side:?}: {got} for {want}"
            );
        }
    }

    const GREAT: [(f64, f64, f64, f64, f64, Side, f64); 8] = [
        (500_500.0, 1_000_000.0, 0.5, 1.0, 1.0, Side::Both, -6.181_965_093_003_46),
        (500_500.0, 1_000_000.0, 0.5, 1.0, 1.0, Side::More, -5.661_571_835_266_943),
        (499_000.0, 1_000_000.0, 0.5, 1.0, 1.0, Side::More, -7.772_001_309_518_293),
        (100_030_000.0, 1_000_000_000.0, 0.1, 2.0, 18.0, Side::Both, -3.906_148_108_272_065_5),
        (2.75, 9.5, 0.1, 0.5, 0.5, Side::Both, -0.054_075_236_981_945_954),
        (2.75, 9.5, 0.1, 0.5, 0.5, Side::Fewer, -1.668_385_323_157_676_6),
        (12.0, 40000.0, 0.001, 1.0, 999.0, Side::More, -3.381_239_650_168_665),
        (9000.0, 9000.0, 0.5, 1.0, 1.0, Side::More, 6_229.912_681_258_811),
    ];

    #[test]
    fn the_interval_is_where_the_e_value_reaches_the_threshold() {
        for (k, n) in
            [(5.0, 10.0), (1.0, 50.0), (2.5, 7.5), (999.0, 1000.0), (3e5, 1e8), (7e8, 1e9)]
        {
            for alpha in [0.5, 0.05, 1e-6] {
                let test = CountTest::new(0.3, 1.0, 2.0, Side::More).unwrap();
                let Interval { lower, upper } = test.share_interval(k, n, alpha).unwrap();
                assert!(lower < k / n && k / n < upper);
                for p in [lower, upper] {
                    let reached = log_e(k, n, p, 1.0, 2.0).unwrap();
                    // The e-value is steep in p: what a float cannot say of p, is much of it.
                    let slope = (k / p - (n - k) / (1.0 - p)).abs() * 4e-16 * p;
                    assert!(near(reached, -alpha.ln(), 1e-9 + slope), "{k} of {n}: {p}, {reached}");
                }
                let ratio = test.ratio_interval(k, n, alpha).unwrap();
                let odds = |p: f64| p / (1.0 - p) / (0.3 / 0.7);
                assert!(
                    near(ratio.lower / odds(lower), 1.0, 1e-9 + 1e-15 / (1.0 - upper)),
                    "{ratio:?}"
                );
                assert!(
                    near(ratio.upper / odds(upper), 1.0, 1e-9 + 1e-15 / (1.0 - upper)),
                    "{ratio:?}"
                );
            }
        }
    }

    #[test]
    fn an_arm_without_events_leaves_one_end_open() {
        let test = CountTest::new(0.5, 1.0, 1.0, Side::Both).unwrap();
        let none = test.share_interval(0.0, 20.0, 0.05).unwrap();
        assert!(
            none.lower <= 0.0
                && near(log_e(0.0, 20.0, none.upper, 1.0, 1.0).unwrap(), 20_f64.ln(), 1e-10)
        );
        let all = test.ratio_interval(20.0, 20.0, 0.05).unwrap();
        assert!(all.upper.is_infinite() && near(all.lower, (1.0 - none.upper) / none.upper, 1e-9));
        let nothing = test.share_interval(0.0, 0.0, 0.05).unwrap();
        assert_eq!(nothing, Interval { lower: 0.0, upper: 1.0 });
        assert!(near(test.log_e(0.0, 0.0).unwrap(), 0.0, 1e-15));
    }

    #[test]
    fn refuses_what_are_no_counts() {
        let test = CountTest::new(0.5, 1.0, 1.0, Side::Both).unwrap();
        for (k, n) in [(2.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
            assert!(test.log_e(k, n).is_err() && test.share_interval(k, n, 0.05).is_err());
        }
        assert!(CountTest::new(1.0, 1.0, 1.0, Side::Both).is_err());
        assert!(CountTest::new(0.5, 0.0, 1.0, Side::Both).is_err());
        assert!(test.share_interval(1.0, 2.0, 0.0).is_err());
    }
}
