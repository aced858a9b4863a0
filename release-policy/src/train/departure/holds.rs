//! Whether a stop may begin or go on.

use release_core::model::{StopId, Timestamp};

use super::{Event, Journey, Next, Why};

impl Journey {
    /// What the train does instead, where it does not let a stop begin or go on at `now`, by what happened until then; none: it does.
    ///
    /// It says what [`next`](Self::next) says. A stop that began goes on, whatever halts the train before the next, and so does what is
    /// left to do in one that is done; only a train that has to go back, or does, goes on nowhere.
    pub fn holds(&self, stop: &StopId, events: &[Event], now: Timestamp) -> Option<Next> {
        self.holds_of(stop, events.iter(), now)
    }

    /// The same, wherever events are kept.
    pub(super) fn holds_of<'a>(
        &self,
        stop: &StopId,
        events: impl Iterator<Item = &'a Event> + Clone,
        now: Timestamp,
    ) -> Option<Next> {
        let next = self.next_of(events.clone(), now);
        let goes = match &next {
            Next::Begins { stop: one } => one == stop || has_begun(stop, events, now),
            Next::GoesBack { .. } | Next::WentBack | Next::Waits { why: Why::GoingBack, .. } => {
                false
            }
            Next::Waits { .. } | Next::Halts { .. } | Next::Through => has_begun(stop, events, now),
        };
        (!goes).then_some(next)
    }
}

/// Whether a stop had begun at `now`, or was passed.
pub(super) fn has_begun<'a>(
    stop: &StopId,
    mut events: impl Iterator<Item = &'a Event>,
    now: Timestamp,
) -> bool {
    events.any(|event| match event {
        Event::Began { stop: one, at }
        | Event::Done { stop: one, at }
        | Event::LeftBehind { stop: one, at } => one == stop && *at <= now,
        _ => false,
    })
}
