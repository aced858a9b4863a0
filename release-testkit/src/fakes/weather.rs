//! Calls that take time and fail by chance, the same for the same seed.

use std::sync::Mutex;
use std::time::Duration;

use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;
use release_providers::{Context, ErrorKind, ProviderError};

use super::lock;

/// How long calls take, and how many of them fail, by chance. The draws follow from the seed alone, one call after the
/// other.
#[derive(Debug)]
#[must_use]
pub struct Weather {
    state: Mutex<u64>,
    from: Duration,
    to: Duration,
    failing: u8,
}

impl Weather {
    /// Calls take no time and do not fail.
    pub const fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed), from: Duration::ZERO, to: Duration::ZERO, failing: 0 }
    }

    /// Every call takes a time from `from` to `to`, all equally likely.
    pub fn latency(mut self, from: Span, to: Span) -> Self {
        (self.from, self.to) = (from.as_duration(), to.as_duration().max(from.as_duration()));
        self
    }

    /// So many of a hundred calls fail: `Unavailable`, with no effect.
    pub const fn failing(mut self, percent: u8) -> Self {
        self.failing = percent;
        self
    }

    pub(super) async fn pass(
        &self,
        cx: &Context,
        clock: &dyn Clock,
        operation: &'static str,
    ) -> Result<(), ProviderError> {
        let (late, fails) = (self.draw(), self.draw() % 100 < u64::from(self.failing));
        let room = u64::try_from(self.to.saturating_sub(self.from).as_micros()).unwrap_or(u64::MAX);
        let more = Duration::from_micros(late % room.saturating_add(1));
        let until = clock.now().plus((self.from + more).into());
        tokio::select! {
            () = clock.sleep_until(until) => {}
            () = cx.cancellation.cancelled() => {
                let error = ProviderError::new(ErrorKind::Cancelled, operation, "cancelled on its way");
                return Err(error.with_effect(EffectCertainty::NotApplied));
            }
        }
        if fails {
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, "bad weather"));
        }
        Ok(())
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn draw(&self) -> u64 {
        let mut state = lock(&self.state);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
