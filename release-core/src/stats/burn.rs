//! How fast an error budget burns, and when somebody has to be told.
//!
//! The budget of a service level objective of 99.9 % is 0.1 % of all events in its window, 30 days as a
//! rule. A burn rate of 1 uses it up in exactly that window. From the Site Reliability Workbook, chapter 5.

use core::time::Duration;

use super::error::{StatsError, fraction, keep, not_negative, positive};
use crate::time::Span;

/// Thirty days, in which an error budget is counted as a rule.
pub const MONTH: Span = Span::secs(30 * 86_400);

/// What happens when a rule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Somebody is called.
    Page,
    /// A ticket is opened.
    Ticket,
}

/// A rule with two windows: it fires while the burn rate is above the threshold in both. The long one keeps
/// it from firing for little, the short one makes it stop soon after the burning has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnRule {
    /// The long window.
    pub long: Span,
    /// The short window, a twelfth of the long one.
    pub short: Span,
    /// The burn rate above which it fires.
    pub threshold: f64,
    /// The share of the budget that is gone when it fires.
    pub budget_share: f64,
    /// What it asks for.
    pub urgency: Urgency,
}

/// The three rules of table 5-8 for a window of 30 days.
pub const RULES: [BurnRule; 3] = [
    BurnRule {
        long: Span::secs(3600),
        short: Span::secs(300),
        threshold: 14.4,
        budget_share: 0.02,
        urgency: Urgency::Page,
    },
    BurnRule {
        long: Span::secs(6 * 3600),
        short: Span::secs(1800),
        threshold: 6.0,
        budget_share: 0.05,
        urgency: Urgency::Page,
    },
    BurnRule {
        long: Span::secs(3 * 86_400),
        short: Span::secs(6 * 3600),
        threshold: 1.0,
        budget_share: 0.1,
        urgency: Urgency::Ticket,
    },
];

impl BurnRule {
    /// Whether it fires: both burn rates are above the threshold.
    pub fn fires(&self, long_burn: f64, short_burn: f64) -> bool {
        long_burn > self.threshold && short_burn > self.threshold
    }

    /// How long after a sudden `error_rate` (a fraction of all events) the long window's burn rate is at the
    /// threshold, for an objective `slo` (a fraction); `None` when it never is, since the window ends before.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] unless `slo` is between 0 and 1 and `error_rate` from 0 to 1.
    pub fn detection_time(&self, slo: f64, error_rate: f64) -> Result<Option<Span>, StatsError> {
        let burn = burn_rate(error_rate, slo)?;
        let part = self.threshold / burn;
        Ok((part <= 1.0).then(|| times(self.long, part)))
    }
}

/// How many times faster than allowed the budget burns: `error_rate / (1 - slo)`, both fractions.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `slo` is between 0 and 1 and `error_rate` from 0 to 1.
pub fn burn_rate(error_rate: f64, slo: f64) -> Result<f64, StatsError> {
    let slo = fraction("slo", slo)?;
    let good = (0.0..=1.0).contains(&error_rate);
    Ok(keep(good, "error_rate", error_rate, "from 0 to 1")? / (1.0 - slo))
}

/// The burn rate that uses up `budget_share` of the budget of `period` within `window`.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `budget_share` is above 0 and the window not empty.
pub fn threshold(budget_share: f64, window: Span, period: Span) -> Result<f64, StatsError> {
    let seconds = positive("window", window.as_duration().as_secs_f64())?;
    Ok(positive("budget_share", budget_share)? * period.as_duration().as_secs_f64() / seconds)
}

/// What is left of the error budget, as a fraction of it: 1 when nothing failed, 0 when it is used up, less
/// when more failed than may. `failed` of `expected` events of the whole period failed so far.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `slo` is between 0 and 1, `failed` not negative and `expected` above 0.
pub fn budget_left(failed: f64, expected: f64, slo: f64) -> Result<f64, StatsError> {
    let allowed = (1.0 - fraction("slo", slo)?) * positive("expected", expected)?;
    Ok(1.0 - not_negative("failed", failed)? / allowed)
}

/// How long what is left of the budget lasts at a burn rate; `None` when it lasts for ever.
///
/// # Errors
/// [`StatsError::OutOfRange`] unless `burn` is not negative.
pub fn time_left(left: f64, burn: f64, period: Span) -> Result<Option<Span>, StatsError> {
    let burn = not_negative("burn", burn)?;
    let part = left.max(0.0) / burn;
    Ok(part.is_finite().then(|| times(period, part)))
}

/// A span times a number that is not negative, to the nearest nanosecond; the longest span if it is longer.
fn times(span: Span, factor: f64) -> Span {
    let seconds = span.as_duration().as_secs_f64() * factor;
    Span::from(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_table() {
        for rule in RULES {
            let got = threshold(rule.budget_share, rule.long, MONTH).unwrap();
            assert!((got - rule.threshold).abs() < 1e-12, "{rule:?}: {got}");
            assert_eq!(rule.short.as_duration() * 12, rule.long.as_duration());
        }
    }

    #[test]
    fn a_total_outage_is_found_at_once_and_a_small_one_by_the_slower_rule() {
        let [fast, slow, _] = RULES;
        let seconds = |rule: BurnRule, rate| {
            rule.detection_time(0.999, rate).unwrap().map(|span| span.as_duration().as_secs_f64())
        };
        assert!((seconds(fast, 1.0).unwrap() - 51.84).abs() < 1e-6);
        assert_eq!(seconds(fast, 0.01), None);
        assert!((seconds(slow, 0.01).unwrap() - 3.6 * 3600.0).abs() < 1e-6);
        assert_eq!(seconds(slow, 0.0), None);
        assert!((burn_rate(0.01, 0.999).unwrap() - 10.0).abs() < 1e-12);
        assert!(slow.fires(10.0, 10.0) && !slow.fires(10.0, 6.0) && !fast.fires(10.0, 10.0));
    }

    #[test]
    fn budgets_run_out() {
        for (failed, left) in [(0.0, 1.0), (500.0, 0.5), (1000.0, 0.0), (1500.0, -0.5)] {
            assert!((budget_left(failed, 1e6, 0.999).unwrap() - left).abs() < 1e-9);
        }
        let lasts = |left, burn| time_left(left, burn, MONTH).unwrap();
        assert_eq!(lasts(0.5, 10.0), Some(Span::secs(36 * 3600)));
        assert_eq!((lasts(0.5, 0.0), lasts(-0.5, 1.0)), (None, Some(Span::ZERO)));
    }

    #[test]
    fn refuses_what_is_no_rate() {
        assert!(burn_rate(1.5, 0.9).is_err() && burn_rate(0.1, 1.0).is_err());
        assert!(
            threshold(0.1, Span::ZERO, MONTH).is_err() && threshold(0.0, MONTH, MONTH).is_err()
        );
        assert!(budget_left(-1.0, 1.0, 0.9).is_err() && time_left(1.0, f64::NAN, MONTH).is_err());
    }
}
