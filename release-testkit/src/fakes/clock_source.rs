//! A clock that tests set.

use release_core::time::Span;
use release_providers::spi::{ClockReading, ReadClock};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, ClockSourceCall, Fake, model};

/// A [`ClockSource`](release_providers::spi::ClockSource) that goes with the fake's clock, off by what tests say.
pub type FakeClockSource = Fake<ClockSourceCall, OtherClock>;

/// What a [`FakeClockSource`] knows.
#[derive(Debug, Clone, Default)]
pub struct OtherClock {
    /// How far ahead of the fake's clock it goes.
    pub ahead: Span,
    /// How far it may be off.
    pub within: Span,
    /// Whether it does not answer.
    pub down: bool,
}

impl Fake<ClockSourceCall, OtherClock> {
    /// A clock that is right.
    pub fn new() -> Self {
        let within = Span::millis(10);
        Self::of("fake-clock-source", OtherClock { within, ..OtherClock::default() })
    }
}

impl Default for Fake<ClockSourceCall, OtherClock> {
    fn default() -> Self {
        Self::new()
    }
}

impl model::ClockSource for OtherClock {
    fn read(&mut self, asked: &Asked<'_>, _: ReadClock) -> Result<ClockReading, ProviderError> {
        if self.down {
            return Err(asked.error(ErrorKind::Unavailable, "the clock does not answer"));
        }
        let lie = if asked.lie { Span::secs(3_600) } else { Span::ZERO };
        Ok(ClockReading::new(asked.now.plus(self.ahead).plus(lie), self.within))
    }
}
