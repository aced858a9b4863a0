//! Where all chance of a simulation comes from: a seed, or a trail of choices to follow.

use release_core::model::Span;

/// Draws and choices, all of them reproducible.
#[derive(Debug, Clone)]
pub(super) enum Chance {
    /// Even draws from a seed.
    Seeded(u64),
    /// Choices as they are written down, and the first of several behind that; nothing else is left to
    /// chance. What was chosen, of how many, is written down in turn.
    Trail { script: Vec<u32>, taken: Vec<(u32, u32)>, draws: u64 },
}

/// The step and the finaliser of `SplitMix64` (Steele et al., OOPSLA 2014).
pub(super) const fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    /// An even draw; with a trail, always the same ones.
    pub(super) const fn draw(&mut self) -> u64 {
        let (Self::Seeded(state) | Self::Trail { draws: state, .. }) = self;
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(*state)
    }

    /// One of `0..count`.
    pub(super) fn pick(&mut self, count: u32) -> u32 {
        if count < 2 {
            return 0;
        }
        if let Self::Trail { script, taken, .. } = self {
            let choice = script.get(taken.len()).copied().unwrap_or(0).min(count - 1);
            taken.push((choice, count));
            return choice;
        }
        // Lemire's multiply-shift maps the draw evenly onto 0..count.
        let drawn = (u128::from(self.draw()) * u128::from(count)) >> 64;
        u32::try_from(drawn).unwrap_or(0)
    }

    /// Whether something happens that happens `ppm` times in a million.
    pub(super) fn happens(&mut self, ppm: u32) -> bool {
        match self {
            _ if ppm == 0 => false,
            _ if ppm >= 1_000_000 => true,
            Self::Seeded(_) => self.pick(1_000_000) < ppm,
            Self::Trail { .. } => self.pick(2) == 1,
        }
    }

    /// A span between two; with a trail, one of the two.
    pub(super) fn span(&mut self, least: Span, most: Span) -> Span {
        let micros = |span: Span| u64::try_from(span.as_duration().as_micros()).unwrap_or(u64::MAX);
        let (low, high) = (micros(least), micros(most).max(micros(least)));
        let over = match self {
            _ if low == high => 0,
            Self::Seeded(_) => {
                let width = u128::from(high - low) + 1;
                u64::try_from((u128::from(self.draw()) * width) >> 64).unwrap_or(0)
            }
            Self::Trail { .. } => u64::from(self.pick(2)) * (high - low),
        };
        std::time::Duration::from_micros(low + over).into()
    }

    /// What was chosen so far, of how many; nothing for a seed.
    pub(super) fn trail(&self) -> &[(u32, u32)] {
        match self {
            Self::Seeded(_) => &[],
            Self::Trail { taken, .. } => taken,
        }
    }
}
