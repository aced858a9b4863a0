//! How often a step is tried, and how long it pauses in between.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How often a step is tried, and how long it pauses in between.
///
/// The pause before attempt `k + 1` is drawn evenly from 0 to `min(max_backoff, backoff × 2^(k-1))`
/// («full jitter»; M. Brooker, «Exponential Backoff And Jitter», AWS Architecture Blog, 2015). The
/// draw comes in as data, so that deciding stays pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub max_attempts: u32,
    /// The longest pause after the first failure.
    pub backoff: Span,
    /// The longest pause ever.
    pub max_backoff: Span,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 1, backoff: Span::millis(200), max_backoff: Span::secs(30) }
    }
}

impl RetryPolicy {
    /// Up to `max_attempts` attempts.
    pub fn attempts(max_attempts: u32) -> Self {
        Self { max_attempts, ..Self::default() }
    }

    /// The pause after `failures` failures, for an even draw from all of `u64`.
    pub fn pause(&self, failures: u32, draw: u64) -> Span {
        let doublings = failures.saturating_sub(1).min(31);
        let cap = self
            .backoff
            .as_duration()
            .saturating_mul(1 << doublings)
            .min(self.max_backoff.as_duration());
        let nanos = u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX);
        // Lemire's multiply-shift maps the draw evenly onto 0..=nanos.
        let drawn = (u128::from(draw) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(drawn).unwrap_or(nanos)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_cover_the_whole_range() {
        let policy = RetryPolicy {
            max_attempts: 9,
            backoff: Span::millis(100),
            max_backoff: Span::millis(350),
        };
        let longest = |failures| policy.pause(failures, u64::MAX);
        assert_eq!(longest(1), Span::millis(100));
        assert_eq!(longest(2), Span::millis(200));
        assert_eq!(longest(3), Span::millis(350));
        assert_eq!(longest(4_000_000_000), Span::millis(350));
        assert_eq!(policy.pause(3, 0), Span::ZERO);
    }
}
