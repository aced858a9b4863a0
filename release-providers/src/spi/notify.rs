//! Tells people and machines what happened.

use std::fmt;

use async_trait::async_trait;
use release_core::model::ChannelId;
use serde::{Deserialize, Serialize};

use crate::{Context, Description, ProviderError};

/// Tells people and machines what happened.
///
/// # Conformance
/// `conformance!(Notifier, sandbox)` of `release-testkit`: a message comes once to its channel, with its text and how
/// urgent it is; messages that are sent one after the other come in that order.
#[async_trait]
pub trait Notifier: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Sends one message.
    ///
    /// # Contract
    /// Messages of which each is sent after the one before was answered come in that order.
    ///
    /// # Idempotency
    /// A message with a key that was sent already is not sent again.
    ///
    /// # Errors
    /// `NotFound` for an unknown channel; `Unavailable` when it cannot be sent.
    async fn notify(&self, cx: &Context, notification: Notification) -> Result<(), ProviderError>;
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Notification {
    /// Where to.
    pub channel: ChannelId,
    /// How urgent.
    pub severity: Severity,
    /// One line.
    pub message: String,
}

impl Notification {
    /// A message to `channel`.
    pub fn new(channel: ChannelId, severity: Severity, message: impl Into<String>) -> Self {
        Self { channel, severity, message: message.into() }
    }
}

/// How urgent a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody has to act, now.
    Critical,
}
