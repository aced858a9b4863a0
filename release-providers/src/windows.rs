//! When the windows of analyses began: a measurement covers its step's bake and what came after it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use release_core::model::{Span, Timestamp};

/// Most windows that are remembered; those that began first are forgotten first.
const WINDOWS: usize = 4096;

/// When the window of each analysis under way began, by its idempotency key.
///
/// In memory only. After a restart, and for one that was forgotten, a window begins when the analysis
/// goes on, less its bake: later than before, and still after the shares that it judges took effect.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<BTreeMap<String, Timestamp>>);

impl Windows {
    /// When the window of `key` began: now, less the `baked` time right before it, if it begins now.
    pub(crate) fn since(&self, key: &str, now: Timestamp, baked: Span) -> Timestamp {
        // Every statement leaves the map whole, so a poisoned lock can be used on.
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = windows.get(key) {
            return *since;
        }
        let baked = i64::try_from(baked.as_duration().as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::from_micros(now.as_micros().saturating_sub(baked));
        if windows.len() >= WINDOWS {
            let oldest = windows.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                windows.remove(&oldest);
            }
        }
        windows.insert(key.to_owned(), since);
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_window_begins_with_its_bake_and_stays_until_it_is_forgotten() {
        let windows = Windows::default();
        assert_eq!(windows.since("a", at(100), Span::secs(60)), at(40));
        assert_eq!(windows.since("a", at(130), Span::secs(60)), at(40));
        assert_eq!(windows.since("b", at(130), Span::ZERO), at(130));
        for n in 0..WINDOWS {
            windows.since(&n.to_string(), at(200), Span::ZERO);
        }
        assert_eq!(windows.0.lock().unwrap().len(), WINDOWS);
        assert_eq!(windows.since("a", at(300), Span::secs(60)), at(240), "as after a restart");
        assert_eq!(Windows::default().since("c", at(1), Span::secs(u64::MAX)), {
            Timestamp::from_micros(1_000_000_i64.saturating_sub(i64::MAX))
        });
    }
}
