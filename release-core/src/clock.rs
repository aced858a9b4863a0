//! The system's clock, and what it makes of a wall clock that jumps.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::time::Duration;

use crate::port::{Clock, ClockAnomaly};
use crate::time::{Span, Timestamp};

/// The system's wall clock, held against its monotonic one.
///
/// Small corrections of the wall clock are followed. A step of more than a limit (by default one
/// minute), in either direction, is not: time goes on at the pace of the monotonic clock, and the step
/// is a [`ClockAnomaly`] until the wall clock comes back, or somebody says by [`SystemClock::confirm`]
/// that it is right. Meanwhile the engine admits nothing but rollbacks. A machine that was suspended
/// has such a step too, since its monotonic clock stood still.
#[derive(Debug)]
pub struct SystemClock {
    begun: Instant,
    reading: Mutex<ClockReading>,
}

impl SystemClock {
    /// The longest step of the wall clock that is followed, unless the host says otherwise.
    pub const MAX_STEP: Span = Span::secs(60);

    /// The system's clock.
    pub fn new() -> Self {
        Self::with_max_step(Self::MAX_STEP)
    }

    /// The system's clock, with another limit of what steps of the wall clock are followed.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    pub fn with_max_step(max_step: Span) -> Self {
        let reading = ClockReading::new(wall(), max_step);
        Self { begun: Instant::now(), reading: Mutex::new(reading) }
    }

    /// Says that the wall clock is right, after a [`ClockAnomaly`]. Ask runs that are held to look again
    /// with [`RunHandle::reconsider`](crate::engine::RunHandle::reconsider); they do by themselves after a while.
    pub fn confirm(&self) {
        self.look(ClockReading::confirm);
    }

    fn look<T>(&self, look: impl FnOnce(&mut ClockReading, Timestamp, Duration) -> T) -> T {
        // A reading is a few numbers that are always sound.
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut reading, wall(), self.begun.elapsed())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
fn wall() -> Timestamp {
    // A clock before 1970 is unset.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().plus(since.into())
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.look(ClockReading::now)
    }

    fn anomaly(&self) -> Option<ClockAnomaly> {
        self.read().1
    }

    fn read(&self) -> (Timestamp, Option<ClockAnomaly>) {
        self.look(|reading, wall, elapsed| (reading.now(wall, elapsed), reading.anomaly))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    async fn sleep_until(&self, at: Timestamp) {
        /// Looks at the wall clock again at least this often, since it can be set.
        const LOOK_AGAIN: Duration = Duration::from_secs(30);
        loop {
            let rest = at.since(self.now()).as_duration();
            if rest.is_zero() {
                return;
            }
            tokio::time::sleep(rest.min(LOOK_AGAIN)).await;
        }
    }
}

/// What two clocks say together: pure, so that every course of theirs can be tried.
#[derive(Debug, Clone)]
pub struct ClockReading {
    /// When both were last in accord: what the wall said, and what had elapsed.
    wall: Timestamp,
    elapsed: Duration,
    max_step: Span,
    anomaly: Option<ClockAnomaly>,
}

impl ClockReading {
    /// Begins where the wall clock says `wall`, and nothing has elapsed.
    pub const fn new(wall: Timestamp, max_step: Span) -> Self {
        Self { wall, elapsed: Duration::ZERO, max_step, anomaly: None }
    }

    /// The time, where the wall clock says `wall` and the monotonic one that so much has `elapsed`.
    pub fn now(&mut self, wall: Timestamp, elapsed: Duration) -> Timestamp {
        let expected = self.wall.plus(elapsed.saturating_sub(self.elapsed).into());
        // One of the two is zero.
        let step = wall.since(expected).max(expected.since(wall));
        if step > self.max_step {
            self.anomaly = Some(ClockAnomaly { wall, expected });
            return expected;
        }
        self.confirm(wall, elapsed);
        wall
    }

    /// Takes the wall clock at its word.
    pub const fn confirm(&mut self, wall: Timestamp, elapsed: Duration) {
        (self.wall, self.elapsed, self.anomaly) = (wall, elapsed, None);
    }

    /// What was wrong with the wall clock when it was last read.
    pub const fn anomaly(&self) -> Option<ClockAnomaly> {
        self.anomaly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_micros(secs.cast_signed() * 1_000_000)
    }

    fn reading() -> ClockReading {
        ClockReading::new(at(1_000_000), Span::secs(60))
    }

    fn read(reading: &mut ClockReading, wall: u64, elapsed: u64) -> (Timestamp, bool) {
        let now = reading.now(at(wall), Duration::from_secs(elapsed));
        (now, reading.anomaly.is_some())
    }

    #[test]
    fn small_corrections_are_followed_also_many_in_one_direction() {
        let mut reading = reading();
        for hour in 1..100 {
            let wall = 1_000_000 + hour * 3600 + hour * 30; // half a minute fast an hour
            assert_eq!(read(&mut reading, wall, hour * 3600), (at(wall), false));
        }
        assert_eq!(read(&mut reading, 1_359_400 - 30, 356_400), (at(1_359_370), false));
    }

    #[test]
    fn f16_a_jump_ahead_is_not_followed_until_it_is_confirmed() {
        let mut reading = reading();
        assert_eq!(read(&mut reading, 1_000_010, 10), (at(1_000_010), false));
        let year = 365 * 24 * 3600;
        assert_eq!(read(&mut reading, 1_000_020 + year, 20), (at(1_000_020), true));
        assert_eq!(read(&mut reading, 1_000_500 + year, 500), (at(1_000_500), true));
        reading.confirm(at(1_000_500 + year), Duration::from_secs(500));
        assert_eq!(read(&mut reading, 1_000_501 + year, 501), (at(1_000_501 + year), false));
    }

    #[test]
    fn f16_a_jump_that_returns_is_over() {
        let mut reading = reading();
        assert_eq!(read(&mut reading, 1_007_000, 10), (at(1_000_010), true));
        assert_eq!(read(&mut reading, 1_000_021, 20), (at(1_000_021), false));
    }

    #[test]
    fn f17_a_jump_back_is_not_followed_either() {
        let mut reading = reading();
        assert_eq!(read(&mut reading, 900_000, 10), (at(1_000_010), true));
        assert_eq!(read(&mut reading, 900_090, 100), (at(1_000_100), true));
    }

    #[test]
    fn the_clock_of_this_machine_goes_forward_without_anomaly() {
        let clock = SystemClock::new();
        let before = clock.now();
        assert!(before > at(1_700_000_000) && clock.now() >= before);
        assert_eq!(clock.anomaly(), None);
    }
}
