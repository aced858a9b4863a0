//! So many at once, and so many a second after that: a token bucket.

use std::time::Duration;

use release_core::model::Timestamp;

/// Tokens, which come back with time.
#[derive(Debug)]
pub(super) struct Bucket {
    most: u64,
    a_second: u32,
    /// Tenths of tokens that are there.
    tenths: u64,
    /// Until when it was filled up.
    filled: Option<Timestamp>,
}

impl Bucket {
    /// A full one. It holds at least one token, and gets at least one a second.
    pub(super) fn new(burst: u32, a_second: u32) -> Self {
        let most = u64::from(burst.max(1)) * 10;
        Self { most, a_second: a_second.max(1), tenths: u64::from(burst) * 10, filled: None }
    }

    fn fill(&mut self, now: Timestamp) {
        let passed = self.filled.map_or(Duration::ZERO, |since| now.since(since).as_duration());
        let more = passed.as_millis().saturating_mul(u128::from(self.a_second)) / 100;
        if more > 0 || self.filled.is_none() {
            self.filled = Some(now);
        }
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.tenths = self.tenths.saturating_add(more).min(self.most);
    }

    /// When to ask again, if there is no token at `now`.
    pub(super) fn empty(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.fill(now);
        let wait = Duration::from_secs(1) / self.a_second;
        (self.tenths < 10).then(|| now.plus(wait.max(Duration::from_millis(1)).into()))
    }

    /// Takes a token, if there is one.
    pub(super) const fn take(&mut self) {
        self.tenths = self.tenths.saturating_sub(10);
    }

    /// Puts a tenth of one back.
    pub(super) fn earn(&mut self) {
        self.tenths = self.tenths.saturating_add(1).min(self.most);
    }
}
