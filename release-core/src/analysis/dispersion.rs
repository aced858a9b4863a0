//! How much less looks say than if each stood alone.
//!
//! Errors and latencies of an instance come in waves: what one look sees, the next sees again. A test that took looks for
//! independent would find harm in the waves. Here the looks' own correlation says how many independent ones they are worth,
//! taken at the upper end of what it may be: an autoregression of the first order, whose long-run variance is
//! `(1 + phi) / (1 - phi)` times that of independent looks. Of counts, only the part of their variance that counting alone
//! does not explain can come in waves; and where rates swing by no more than their own size, that part of `n` events a look is
//! `n / (1 + n)` at the most: rare events say all that they can.
//!
//! Until there are looks enough to tell, the greatest such waves are assumed, whatever the volume: then hardly anything is
//! concluded where many events a look leave waves all the room. What is more than [`surge`] needs no such looks.
//!
//! How often that is wrong is measured in `release-testkit/tests/judge/a_a.rs`.

use super::lagged::Spread;
use super::stream::Stream;
use crate::model::{Edition, Sequential};
use crate::stats::special::normal_quantile;

/// The greatest correlation of neighbours that is assumed of counts' waves.
const MOST_OF_COUNTS: f64 = 0.85;
/// By how much the greatest waves of rates add to their variance.
const WAVES: f64 = 1.0 + 2.0 * MOST_OF_COUNTS / (1.0 - MOST_OF_COUNTS);
/// By how much the quantile of the correlation's error is stretched for counts, whose residuals are not normal.
const STRETCH: f64 = 1.1;
/// How many standard errors worse than they are looks are taken to seem, when it is told beforehand what they will show.
const SEEM: f64 = 0.15;

/// So many looks see it: waves of a few looks look like harm until then.
const SEEN_AFTER: f64 = 60.0;

/// Of so many looks, about, the waves are others: what was counted until then hardly changes with more.
const SURGES: f64 = 10.0;

/// What an edition goes by.
struct Numbers {
    /// How many standard errors the overdispersion of counts is taken above what is seen.
    above: f64,
    /// By how much rates are taken to swing, as a part of their size, until it is seen whether they do.
    usual_swing: f64,
    /// How much more than by its own variance a sum of squares of counts is taken to vary: few counts are more skewed than it tells.
    /// None: as if both versions had half of the traffic.
    skewed: Option<f64>,
}

const fn numbers(edition: Edition) -> Numbers {
    match edition {
        Edition::First => Numbers { above: 1.0, usual_swing: 0.2, skewed: None },
        Edition::Second => Numbers { above: 1.2, usual_swing: 0.25, skewed: Some(4.0) },
    }
}

fn z(alpha: f64) -> f64 {
    normal_quantile(1.0 - alpha).unwrap_or(6.0)
}

/// How counts vary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// By how much more than counting explains: 1 is not at all.
    pub(super) dispersion: f64,
    /// Whether most of it is more than counting explains: then they are levels rather than counts.
    pub(super) mostly_waves: bool,
}

/// What is counted of both versions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events {
    /// Bad events of the canary, and of both.
    pub(super) canary: f64,
    pub(super) bad: f64,
    /// Requests of both, and the canary's part of them.
    pub(super) all: f64,
    pub(super) share: f64,
}

/// How the differences of counts vary.
pub(super) fn of_counts(stream: &Stream, events: Events, rule: &Sequential) -> Counted {
    let differences = &stream.differences;
    let spread = differences.spread();
    let Some(spread) = spread.filter(|_| differences.len() >= super::sequential::LEAST_LOOKS)
    else {
        let dispersion = until_told(f64::from(differences.len()), events.bad);
        return Counted { dispersion, mostly_waves: false };
    };
    // Of the differences a request, as they are kept.
    let a_request = explained(events) / events.all * stream.weights;
    counted(&spread, spread.variance * spread.n / a_request, events, rule)
}

/// What is assumed before there are looks enough to tell: rates that swing by their own size, in waves.
fn until_told(looks: f64, bad: f64) -> f64 {
    let a_look = bad / looks.max(1.0);
    a_look.mul_add(WAVES, 1.0)
}

/// By what factor the rates of two versions that are alike may differ by waves alone, but for an error of `alpha`
/// over all looks: where the rates of each swing by their own size at the most, their logarithms by the root of `ln 2`, however
/// long the waves are.
pub(super) fn surge(alpha: f64) -> f64 {
    let swing = core::f64::consts::LN_2.sqrt();
    (z(alpha / SURGES) * core::f64::consts::SQRT_2 * swing).exp()
}

/// What counting explains of the variance of all looks' differences together: that of each version's own count, of which the
/// difference has a part. A quarter of an event stands for none.
fn explained(Events { canary, bad, share, .. }: Events) -> f64 {
    let (own, other) = (1.0 - share, share);
    (own * own).mul_add(canary, other * other * (bad - canary)).max(0.25)
}

/// The standard error of the variance of so many looks, as a multiple of what counting explains of it: that of normal looks, and that
/// of counts, of which the few of the smaller version weigh most.
fn unsure(looks: f64, events: Events, numbers: &Numbers) -> f64 {
    let Events { canary, bad, share, .. } = events;
    let explained = explained(events);
    let of_counts = numbers.skewed.map_or(1.0 / explained, |skewed| {
        let fourth = (1.0 - share).powi(4).mul_add(canary, share.powi(4) * (bad - canary));
        skewed * fourth.max(0.0625) / explained.powi(2)
    });
    (2.0 / (looks - 1.0) + of_counts).sqrt()
}

/// What [`of_counts`] comes to over so many looks that are independent, where chance makes them seem a little worse than they
/// are: in how they vary, and in how one goes with the next.
pub(super) fn expected_of_counts(looks: f64, events: Events, rule: &Sequential) -> f64 {
    if looks < f64::from(super::sequential::LEAST_LOOKS) {
        return until_told(looks, events.bad);
    }
    let noise = SEEM * unsure(looks, events, &numbers(rule.edition));
    let spread = Spread { n: looks, mean: 0.0, variance: 1.0, correlation: SEEM / looks.sqrt() };
    counted(&spread, 1.0 + noise, events, rule).dispersion
}

/// `variance` is what is seen, as a multiple of what counting explains.
fn counted(spread: &Spread, variance: f64, events: Events, rule: &Sequential) -> Counted {
    let numbers = numbers(rule.edition);
    let most = numbers.above.mul_add(unsure(spread.n, events, &numbers), variance);
    let a_look = events.bad / spread.n;
    let excess = ((most - 1.0) / most).clamp(0.0, a_look / (1.0 + a_look));
    let correlation = spread.correlation_at_most(STRETCH * z(rule.alpha_of_an_end()));
    let waves = (correlation / excess.max(1e-9)).min(MOST_OF_COUNTS.max(correlation));
    let longer = 1.0 + excess * 2.0 * waves / (1.0 - waves);
    let dispersion = variance.max(1.0) * longer / (1.0 - (longer - 1.0) / spread.n).max(0.2);
    let unseen = (1.0 - spread.n / SEEN_AFTER).max(0.0);
    let usual = 0.5 * a_look * numbers.usual_swing * numbers.usual_swing * WAVES;
    let dispersion = dispersion.max(unseen.mul_add(usual, 1.0));
    Counted { dispersion, mostly_waves: excess > 0.5 }
}

/// What levels of a stream are worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effective {
    pub(super) dispersion: f64,
    /// So many independent looks.
    pub(super) independent: f64,
    variance: f64,
}

/// What the levels of a stream are worth, with an error of `alpha` in how they go together. Levels that do not vary at all vary
/// by `usual`, the standard deviation that is expected: that nothing was seen to vary does not say that nothing does.
pub(super) fn of_levels(spread: &Spread, alpha: f64, usual: f64) -> Effective {
    if spread.variance <= 0.0 {
        return Effective { dispersion: 1.0, independent: spread.n, variance: usual * usual };
    }
    let correlation = spread.correlation_at_most(z(alpha));
    let dispersion = (1.0 + correlation) / (1.0 - correlation);
    // The variance about a mean that waves carry along is too small by as much.
    let variance = spread.variance * (spread.n - 1.0) / spread.n;
    let variance = variance / (1.0 - dispersion / spread.n).max(0.2);
    Effective { dispersion, independent: spread.n / dispersion, variance }
}

impl Effective {
    /// How far the mean may be from the truth, but for an error of `alpha` at either end, however often one looks: the
    /// interval that the scale-invariant mixture of t ratios leaves, with effects of the size of one standard deviation as
    /// its mixture. Infinite while nothing is refuted.
    pub(super) fn radius(&self, alpha: f64) -> f64 {
        let (n, degrees) = (self.independent, self.independent - 1.0);
        if self.variance <= 0.0 {
            return 0.0;
        }
        if degrees <= 0.0 {
            return f64::INFINITY;
        }
        // Both ends together are wrong with twice alpha; a hundredth is kept for the far side of either.
        let threshold = -(2.0 * alpha * 0.99).ln() + 0.5 * n.ln_1p();
        let grown = (2.0 * threshold / (degrees + 1.0)).exp();
        if grown >= 1.0 + n {
            return f64::INFINITY;
        }
        let square = degrees * (grown - 1.0) / (1.0 - grown / (1.0 + n));
        (square * self.variance / n).sqrt()
    }
}
