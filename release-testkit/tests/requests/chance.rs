//! Draws that follow from a seed alone.

use std::time::Duration;

use release_core::time::Span;

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// Draws of a seed; those of two streams have nothing to do with each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        let first = mixed.draw();
        Self(first ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let drawn = (u128::from(self.draw()) * count as u128) >> 64;
        usize::try_from(drawn).unwrap()
    }

    /// Whether something happens that happens so many times in a hundred.
    pub(super) fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A span between two, all equally likely.
    pub(super) fn span(&mut self, from: Span, to: Span) -> Span {
        let width = to.as_duration().saturating_sub(from.as_duration());
        (from.as_duration() + width.mul_f64(self.unit())).into()
    }

    /// A span that says nothing of how long it still lasts.
    pub(super) fn exponential(&mut self, mean: Span) -> Span {
        let times = -self.unit().max(1e-9).ln();
        // No two things happen at once.
        (mean.as_duration().mul_f64(times) + Duration::from_micros(1)).into()
    }

    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.draw() >> 32).unwrap()) / f64::from(u32::MAX)
    }
}
