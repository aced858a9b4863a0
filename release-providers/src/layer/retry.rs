//! What is tried again, and after which pause.

use std::time::Duration;

use release_core::port::EffectCertainty;

use crate::capability::Operation;
use crate::{ProviderError, RetryAdvice};

/// What is tried again, with the same key: calls that failed and advise it, and of those only what is safe to ask
/// again, namely calls that only look and calls that are known to have changed nothing.
///
/// Pauses double from the first to the longest; what a provider asks for with [`RetryAdvice::After`] is kept. An error
/// that remains after the last attempt says [`RetryAdvice::Exhausted`], so that nobody further up multiplies attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retrying {
    /// How many attempts at most, at least 1.
    pub attempts: u32,
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Retrying {
    /// Never.
    pub const fn never() -> Self {
        Self { attempts: 1, first: Duration::ZERO, longest: Duration::ZERO }
    }

    /// So many attempts, with pauses from 100 ms to 5 s.
    pub const fn attempts(attempts: u32) -> Self {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        Self { attempts, first, longest }
    }

    /// The same with these pauses.
    #[must_use]
    pub const fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    pub(super) const fn is_spent(&self, tries: u32) -> bool {
        tries >= self.attempts
    }

    /// The pause after `tries` attempts, or `None` if the error says that no other helps, or is safe.
    pub(super) fn pause(
        &self,
        operation: Operation,
        error: &ProviderError,
        tries: u32,
    ) -> Option<Duration> {
        let safe = !operation.acts || error.effect() == EffectCertainty::NotApplied;
        if safe { self.advised(error, tries) } else { None }
    }

    /// The pause after `tries` attempts that are all safe, or `None` if the error says that no other helps. Where it names none, the
    /// pause doubles, up to the longest.
    pub(crate) fn advised(&self, error: &ProviderError, tries: u32) -> Option<Duration> {
        match error.retry() {
            RetryAdvice::Never | RetryAdvice::Exhausted => None,
            RetryAdvice::After(pause) => Some(pause),
            RetryAdvice::Backoff => {
                let factor = 2_u32.checked_pow(tries.saturating_sub(1)).unwrap_or(u32::MAX);
                Some(self.first.saturating_mul(factor).min(self.longest))
            }
        }
    }
}
