//! A sink that remembers.

use std::collections::BTreeSet;

use release_providers::spi::{EventsFound, FindEvents, PublishEvents, SinkEvent};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, EventSinkCall, Fake, model};

/// An [`EventSink`](release_providers::spi::EventSink) that remembers.
pub type FakeEventSink = Fake<EventSinkCall, Stored>;

/// What a [`FakeEventSink`] knows.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    events: Vec<SinkEvent>,
    ids: BTreeSet<String>,
}

impl Fake<EventSinkCall, Stored> {
    /// An empty sink.
    pub fn new() -> Self {
        Self::of("fake-event-sink", Stored::default())
    }
}

impl Default for Fake<EventSinkCall, Stored> {
    fn default() -> Self {
        Self::new()
    }
}

impl Stored {
    /// What is stored, in its order.
    pub fn events(&self) -> &[SinkEvent] {
        &self.events
    }
}

impl model::EventSink for Stored {
    fn publish(&mut self, asked: &Asked<'_>, request: PublishEvents) -> Result<(), ProviderError> {
        if request.events.iter().any(|event| event.id.is_empty() || event.kind.is_empty()) {
            return Err(asked.error(ErrorKind::Invalid, "an event has an id and a kind"));
        }
        for event in request.events {
            if self.ids.insert(event.id.clone()) {
                self.events.push(event);
            }
        }
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: FindEvents,
    ) -> Result<EventsFound, ProviderError> {
        let wanted = |event: &&SinkEvent| request.ids.contains(&event.id) && !asked.lie;
        let ids = self.events.iter().filter(wanted).map(|event| event.id.clone());
        Ok(EventsFound::new(ids.collect()))
    }
}
