//! Whether a stop may begin or go on.

use release_core::model::{StopId, Timestamp};

use super::{Event, Journey, Next, Why};

impl Journey {
    /// What the train does instead, where it does not let a stop begin or go on at `now`, by what happened until then; none: it does.
    ///
    /// It says what [`next`](Self::next) says. A stop that began goes on, whatever halts the train before the next, and so does what is
    /// left to do in one that is done; only a train that has to go back, or does, goes on nowhere.
    pub fn holds(&self, stop: &StopId, events: &[Event], now: Timestamp) -> Option<Next> {
        let next = self.next(events, now);
        let begun = || {
            events.iter().filter(|event| event.at() <= now).any(|event| {
                let (Event::Began { stop: one, .. } | Event::Done { stop: one, .. }) = event else {
                    return false;
                };
                one == stop
            })
        };
        let goes = match &next {
            Next::Begins { stop: one } => one == stop || begun(),
            Next::GoesBack { .. } | Next::WentBack | Next::Waits { why: Why::GoingBack, .. } => {
                false
            }
            Next::Waits { .. } | Next::Halts { .. } | Next::Through => begun(),
        };
        (!goes).then_some(next)
    }
}
