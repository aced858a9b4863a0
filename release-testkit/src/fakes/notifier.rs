//! A notifier that only remembers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::ChannelId;
use release_providers::spi::{Notification, Notifier};
use release_providers::{Context, Description, ErrorKind, ProviderError};

use super::script::Stage;
use super::{NotifierCall, NotifierOp, Request, Rewind, lock, rewinds, staged};

/// A [`Notifier`] that only remembers what it sent.
#[derive(Debug, Default)]
pub struct FakeNotifier {
    sent: Arc<Mutex<(BTreeSet<String>, Vec<Notification>)>>,
    /// The channels that there are; `None`: any.
    channels: Option<BTreeSet<ChannelId>>,
    stage: Stage<NotifierCall>,
}

staged!(FakeNotifier, NotifierCall, NotifierOp);

impl FakeNotifier {
    /// A notifier that knows any channel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows only these channels.
    #[must_use]
    pub fn only_channels(mut self, channels: impl IntoIterator<Item = ChannelId>) -> Self {
        self.channels = Some(channels.into_iter().collect());
        self
    }

    /// What was really sent: each key once.
    pub fn sent(&self) -> Vec<Notification> {
        lock(&self.sent).1.clone()
    }

    pub(crate) fn rewind(&self) -> Rewind {
        rewinds(&self.sent)
    }

    fn send(
        &self,
        key: &str,
        operation: &'static str,
        notification: Notification,
    ) -> Result<(), ProviderError> {
        if self.channels.as_ref().is_some_and(|known| !known.contains(&notification.channel)) {
            return Err(ProviderError::new(ErrorKind::NotFound, operation, "no such channel")
                .with_context("channel", &notification.channel));
        }
        let mut sent = lock(&self.sent);
        if sent.0.insert(key.to_owned()) {
            sent.1.push(notification);
        }
        Ok(())
    }
}

#[async_trait]
impl Notifier for FakeNotifier {
    fn describe(&self) -> Description {
        super::describe("fake-notifier")
    }

    async fn notify(&self, cx: &Context, notification: Notification) -> Result<(), ProviderError> {
        let call = NotifierCall::Notify(notification.clone());
        let operation = call.operation();
        self.stage.play(cx, call, |_| self.send(&cx.key, operation, notification)).await
    }
}
