//! Tells the time by another clock than the host's.

use std::fmt;

use async_trait::async_trait;
use release_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Tells the time by another clock than the host's: the second source that confirms or refutes a jump of it.
///
/// # Conformance
/// `conformance!(ClockSource, sandbox)` of `release-testkit`: the true time is within what it says, and every answer
/// is a new one.
#[async_trait]
pub trait ClockSource: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Asks the clock now.
    ///
    /// # Contract
    /// It only looks, and every answer is a new one. The true time is not further from `at` than `within`.
    ///
    /// # Errors
    /// `Unavailable` when the clock does not answer or does not trust itself.
    async fn read(&self, cx: &Context, request: ReadClock) -> Result<ClockReading, ProviderError>;
}

/// Asks for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReadClock {}

impl ReadClock {
    /// All of it.
    pub const fn new() -> Self {
        Self {}
    }
}

message! {
    /// What time it is.
    #[derive(Eq)]
    pub struct ClockReading {
        /// The time, in UTC.
        pub at: Timestamp,
        /// How far the true time may be from it, either way.
        pub within: Span,
    }
}
