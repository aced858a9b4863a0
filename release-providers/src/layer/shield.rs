//! What stands before every provider, so that faults of one do not grow: so many calls at once and a second, retries
//! that add little to the load, and no calls at all for a while to one that fails them all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use release_core::model::Timestamp;
use release_core::time::Span;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::bucket::Bucket;
use crate::sync::lock;
use crate::{Context, ErrorKind, ProviderError};

/// How hard a provider may be worked. One for all of a [`Registry`](crate::Registry); each provider is
/// counted by itself, under the name by which it describes itself.
///
/// Nobody is refused by it: a call waits, at most until the step's time is nearly up, and then it is known
/// that nothing was done. Rollbacks wait for a free place alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shielding {
    /// How many calls may be under way at once, at least 1.
    pub max_in_flight: u32,
    /// How many calls have to fail one after the other, for want of an answer or by the provider's own
    /// fault, until none is made for a while (a circuit breaker). 0 switches this off.
    #[doc(alias = "circuit breaker")]
    pub trip_after: u32,
    /// For how long none is made then; after it, one call is made to see.
    pub cool_down: Duration,
    /// How many second and further attempts may be made at once (a retry budget, a token bucket)...
    #[doc(alias = "retry budget")]
    pub retry_burst: u32,
    /// ...and how many a second after that, at least 1. Ten calls that succeed allow one more.
    pub retries_a_second: u32,
    /// How many calls may be made at once when none was for a while (a rate limit, a token bucket)...
    #[doc(alias = "rate limit")]
    pub call_burst: u32,
    /// ...and how many a second after that. 0, as by default, switches this off. A rollback uses calls up, and does not
    /// wait for them.
    pub calls_a_second: u32,
}

impl Default for Shielding {
    /// 64 calls at once, with no limit a second; none for 10 s after 20 failures; 100 retries at once, then 10 a second.
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            trip_after: 20,
            cool_down: Duration::from_secs(10),
            retry_burst: 100,
            retries_a_second: 10,
            call_burst: 1,
            calls_a_second: 0,
        }
    }
}

impl Shielding {
    /// The same with so many calls at once.
    #[must_use]
    pub const fn max_in_flight(mut self, calls: u32) -> Self {
        self.max_in_flight = calls;
        self
    }

    /// The same with a pause of `cool_down` after `failures`.
    #[must_use]
    pub const fn trip_after(mut self, failures: u32, cool_down: Duration) -> Self {
        (self.trip_after, self.cool_down) = (failures, cool_down);
        self
    }

    /// The same with so many calls at once and a second: what the provider's service allows.
    #[must_use]
    pub const fn calls(mut self, burst: u32, a_second: u32) -> Self {
        (self.call_burst, self.calls_a_second) = (burst, a_second);
        self
    }

    /// The same with so many retries at once and a second.
    #[must_use]
    pub const fn retries(mut self, burst: u32, a_second: u32) -> Self {
        (self.retry_burst, self.retries_a_second) = (burst, a_second);
        self
    }
}

/// The shields of a registry's providers.
#[derive(Debug, Default)]
pub(super) struct Shields {
    config: Shielding,
    by_name: Mutex<BTreeMap<String, Arc<Shield>>>,
}

impl Shields {
    pub(super) fn new(config: Shielding) -> Self {
        Self { config, by_name: Mutex::default() }
    }

    pub(super) fn of(&self, provider: String) -> Arc<Shield> {
        let mut all = lock(&self.by_name);
        Arc::clone(
            all.entry(provider)
                .or_insert_with_key(|name| Arc::new(Shield::new(name.clone(), self.config))),
        )
    }
}

/// The shield of one provider.
#[derive(Debug)]
pub(super) struct Shield {
    provider: String,
    config: Shielding,
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Failures one after the other.
    failures: u32,
    /// No call before this, while there is one.
    closed_until: Option<Timestamp>,
    /// Retries that may be made.
    retries: Bucket,
    /// Calls that may be made, where they are limited.
    calls: Option<Bucket>,
}

/// A call that is let through. Dropped without an answer, it counts as one that had none.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    shield: &'a Shield,
    now: Timestamp,
    answered: bool,
    _place: SemaphorePermit<'a>,
}

impl Pass<'_> {
    /// The call was answered at `now`.
    pub(super) fn answered<T>(mut self, now: Timestamp, answer: &Result<T, ProviderError>) {
        self.answered = true;
        self.shield.note(now, !answer.as_ref().is_err_and(is_its_fault));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shield.note(self.now, false);
        }
    }
}

/// A refusal that follows from the request says nothing about how the provider is.
fn is_its_fault(error: &ProviderError) -> bool {
    match error.kind() {
        ErrorKind::Unavailable
        | ErrorKind::RateLimited
        | ErrorKind::Timeout
        | ErrorKind::NoSpace
        | ErrorKind::Internal => true,
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Fenced
        | ErrorKind::Corrupt
        | ErrorKind::Denied
        | ErrorKind::Cancelled
        | ErrorKind::Unsupported
        | ErrorKind::Failed => false,
    }
}

impl Shield {
    fn new(provider: String, config: Shielding) -> Self {
        let places = usize::try_from(config.max_in_flight.max(1)).unwrap_or(usize::MAX);
        let places = Semaphore::new(places.min(Semaphore::MAX_PERMITS));
        let limited = config.calls_a_second > 0;
        let state = State {
            failures: 0,
            closed_until: None,
            retries: Bucket::new(config.retry_burst, config.retries_a_second),
            calls: limited.then(|| Bucket::new(config.call_burst, config.calls_a_second)),
        };
        Self { provider, config, places, state: Mutex::new(state) }
    }

    /// Waits until a call may be made, at most until `give_up`.
    ///
    /// # Errors
    /// `Unavailable` when that came first, `Cancelled` when nobody needs the call any more: nothing was
    /// done.
    pub(super) async fn enter(
        &self,
        clock: &dyn release_core::port::Clock,
        cx: &Context,
        give_up: Timestamp,
    ) -> Result<Pass<'_>, ProviderError> {
        loop {
            let now = clock.now();
            let until = match self.admit(now, cx.attempt > 1, cx.rollback) {
                None => break,
                Some(until) if until > give_up => return Err(self.refusal(until.since(now))),
                Some(until) => until,
            };
            tokio::select! {
                () = clock.sleep_until(until) => {}
                () = cx.cancellation.cancelled() => return Err(cancelled()),
            }
        }
        // A free place is taken also when the time is up: what is looked at once more then is told.
        let place = tokio::select! {
            biased;
            place = self.places.acquire() => place,
            () = clock.sleep_until(give_up) => return Err(self.refusal(Span::secs(1))),
            () = cx.cancellation.cancelled() => return Err(cancelled()),
        };
        let place = place.map_err(|_| self.refusal(Span::secs(1)))?; // never: it is not closed
        Ok(Pass { shield: self, now: clock.now(), answered: false, _place: place })
    }

    /// `None` when a call may be made at `now`, or else when to ask again.
    fn admit(&self, now: Timestamp, retry: bool, rollback: bool) -> Option<Timestamp> {
        let mut state = lock(&self.state);
        let State { closed_until, retries, calls, .. } = &mut *state;
        let limited = calls.as_mut().and_then(|calls| calls.empty(now));
        if !rollback {
            let closed = closed_until.filter(|until| now < *until);
            let spent = if retry { retries.empty(now) } else { None };
            if let Some(until) = [closed, limited, spent].into_iter().flatten().max() {
                return Some(until);
            }
            // One goes to see, and the others wait for what it finds.
            if closed_until.is_some() {
                *closed_until = Some(now.plus(self.config.cool_down.into()));
            }
            if retry {
                retries.take();
            }
        }
        if let Some(calls) = calls {
            calls.take();
        }
        None
    }

    fn note(&self, now: Timestamp, good: bool) {
        let mut state = lock(&self.state);
        if good {
            (state.failures, state.closed_until) = (0, None);
            state.retries.earn();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if self.config.trip_after > 0 && state.failures >= self.config.trip_after {
            state.closed_until = Some(now.plus(self.config.cool_down.into()));
        }
    }

    fn refusal(&self, after: Span) -> ProviderError {
        let text = "it is given a rest after too many failures or calls, and the step's time is up";
        ProviderError::new(ErrorKind::Unavailable, "shield", text)
            .with_context("provider", &self.provider)
            .with_retry(crate::RetryAdvice::After(after.as_duration()))
    }
}

fn cancelled() -> ProviderError {
    ProviderError::new(ErrorKind::Cancelled, "shield", "nobody needs it any more")
        .with_effect(release_core::port::EffectCertainty::NotApplied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis).into())
    }

    fn shield(config: Shielding) -> Shield {
        Shield::new("p".into(), config)
    }

    #[test]
    fn f13_failures_in_a_row_close_it_and_one_call_looks_whether_it_is_over() {
        let shield = shield(Shielding::default().trip_after(3, Duration::from_secs(10)));
        for _ in 0..2 {
            shield.note(at(0), false);
        }
        assert_eq!(shield.admit(at(0), false, false), None);
        shield.note(at(0), true);
        for _ in 0..3 {
            assert_eq!(shield.admit(at(0), false, false), None, "a success starts the count anew");
            shield.note(at(0), false);
        }
        assert_eq!(shield.admit(at(1), false, false), Some(at(10_000)));
        assert_eq!(shield.admit(at(1), false, true), None, "a rollback is not held");
        assert_eq!(shield.admit(at(10_000), false, false), None, "one goes to see");
        assert_eq!(shield.admit(at(10_000), false, false), Some(at(20_000)), "and no other");
        shield.note(at(10_001), true);
        assert_eq!(shield.admit(at(10_001), false, false), None);
    }

    #[test]
    fn f13_retries_add_little_to_the_load() {
        let shield = shield(Shielding::default().retries(5, 2));
        let made = |from: u64, to: u64| {
            (from..to).filter(|ms| shield.admit(at(*ms), true, false).is_none()).count()
        };
        assert_eq!(made(0, 10), 5, "a burst");
        assert_eq!(made(10, 5_010), 10, "then two a second");
        assert_eq!(shield.admit(at(5_010), false, false), None, "first attempts are not retries");
        for _ in 0..10 {
            shield.note(at(5_010), true);
        }
        assert_eq!(made(5_010, 5_012), 1, "ten successes allow one");
    }

    #[test]
    fn so_many_calls_are_made_a_second_and_a_rollback_does_not_wait() {
        let shield = shield(Shielding::default().calls(3, 10));
        let made = |from: u64, to: u64| {
            (from..to).filter(|ms| shield.admit(at(*ms), false, false).is_none()).count()
        };
        assert_eq!(made(0, 50), 3, "a burst");
        assert_eq!(made(50, 2_050), 20, "then ten a second, retries or not");
        assert_eq!(shield.admit(at(2_050), false, false), Some(at(2_150)), "when to ask again");
        assert_eq!(shield.admit(at(2_050), false, true), None, "a rollback is not held");
        assert_eq!(shield.admit(at(2_050), true, false), Some(at(2_150)), "a retry is a call too");
    }
}
