//! Passes events on.

use std::fmt;

use async_trait::async_trait;
use release_core::time::Timestamp;
use serde_json::Value;

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Passes events on to where others read them: a broker, a webhook, an audit archive.
///
/// # Conformance
/// `conformance!(EventSink, sandbox)` of `release-testkit`: events keep their order, all or none of them are stored,
/// and an id is stored once.
#[async_trait]
pub trait EventSink: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Stores events, in their order.
    ///
    /// # Contract
    /// All of them or none. Once this returns, they are stored for good.
    ///
    /// # Idempotency
    /// An event whose id is stored already is not stored again, whatever the key and its source; those beside it are.
    ///
    /// # Errors
    /// `Invalid` for an event that the sink does not take, with effect `NotApplied` for all of them; `Unavailable`,
    /// `NoSpace`.
    async fn publish(&self, cx: &Context, request: PublishEvents) -> Result<(), ProviderError>;

    /// Tells which of some events are stored.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look.
    async fn observe(
        &self,
        cx: &Context,
        request: FindEvents,
    ) -> Result<EventsFound, ProviderError>;
}

message! {
    /// Events to store.
    #[derive(Eq)]
    pub struct PublishEvents {
        /// The events, in their order.
        pub events: Vec<SinkEvent>,
    }
}

message! {
    /// One event, as `CloudEvents` 1.0 has it (<https://cloudevents.io>).
    #[derive(Eq)]
    pub struct SinkEvent {
        /// Its id, by which it is found: one of its own for each event, also beside those of other sources. (`CloudEvents` asks
        /// for that within a source alone.)
        pub id: String,
        /// Where it comes from, as a URI reference.
        pub source: String,
        /// What kind it is, for example `dev.cdevents.service.deployed.0.2.0`.
        pub kind: String,
        /// When it happened.
        pub at: Timestamp,
        optional {
            /// What it is about.
            pub subject: String,
            /// All else.
            pub data: Value,
        }
    }
}

message! {
    /// Which events.
    #[derive(Eq)]
    pub struct FindEvents {
        /// Their ids.
        pub ids: Vec<String>,
    }
}

message! {
    /// Which of them are stored.
    #[derive(Eq)]
    pub struct EventsFound {
        /// The ids that are, in the order in which they were stored.
        pub ids: Vec<String>,
    }
}
