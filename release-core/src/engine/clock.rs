//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::time::Duration;

use crate::port::Clock;
use crate::time::Timestamp;

/// The system's clock. It can be set back; the engine's decision time never follows it there.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system's clock.
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is unset.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().plus(since.into())
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
