//! The suite of [`Notifier`].

use std::fmt;
use std::sync::Arc;

use release_core::model::ChannelId;
use release_providers::spi::{Notification, Notifier, Severity};
use release_providers::{Context, ErrorKind, ProviderError};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Check, Hook, HookError, broken, case, hook, unanswered};

/// A notifier, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type NotifierSandbox = ProviderSandbox<dyn Notifier, Inbox>;

/// A channel, and whoever reads it.
#[derive(Clone)]
#[must_use]
pub struct Inbox {
    channel: ChannelId,
    any: bool,
    read: Option<Hook<(), Vec<Notification>>>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({}, read: {})", self.channel, self.read.is_some())
    }
}

impl Inbox {
    /// A channel to which a test may send.
    pub const fn new(channel: ChannelId) -> Self {
        Self { channel, any: false, read: None }
    }

    /// The notifier knows any channel, so that none is unknown.
    pub const fn any_channel(mut self) -> Self {
        self.any = true;
        self
    }

    /// Reads all messages that came, in their order. Without it what has to be seen is skipped, and said to be.
    pub fn read<F>(mut self, read: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Notification>, HookError>> + Send + 'static,
    {
        self.read = Some(hook(move |()| read()));
        self
    }

    fn message(&self, cx: &Context) -> Notification {
        let text = format!("conformance: please ignore {}", cx.key);
        Notification::new(self.channel.clone(), Severity::Info, text)
    }

    async fn came(&self) -> Result<Vec<Notification>, HookError> {
        let Some(read) = &self.read else { return Ok(Vec::new()) };
        read(()).await
    }
}

const UNREAD: &str = "channel whose messages can be read";

suite!(
    Notifier,
    "notifier",
    NotifierSandbox,
    sending,
    [
        case!(
            a_message_comes_as_it_was_sent,
            "a message comes to its channel, with its text and how urgent it is",
            |sandbox: &NotifierSandbox| sandbox.blind
        ),
        case!(
            another_key_is_another_message,
            "the same text under another key comes once more",
            |sandbox: &NotifierSandbox| sandbox.blind
        ),
        case!(
            messages_keep_their_order,
            "messages that are sent one after the other come in that order",
            |sandbox: &NotifierSandbox| sandbox.blind
        ),
    ]
);

/// The notifier, and a channel to which a test may send.
pub fn sandbox(provider: Arc<dyn Notifier>, inbox: Inbox) -> NotifierSandbox {
    let (any, blind) = (inbox.any, inbox.read.is_none().then_some(UNREAD));
    let sandbox = ProviderSandbox::of(provider, inbox).blind_without(blind).deed(
        "notify",
        |provider, cx, at| async move { text(provider.notify(&cx, at.message(&cx)).await) },
        |_, cx, at, key| async move {
            let came = at.came().await.map_err(|error| {
                ProviderError::new(ErrorKind::Internal, "inbox", error.to_string())
            })?;
            let wanted = at.message(&crate::conformance::any::keyed(cx, key));
            text(Ok(came.iter().filter(|one| one.message == wanted.message).count()))
        },
    );
    if any {
        return sandbox;
    }
    sandbox.refusal("an unknown channel", ErrorKind::NotFound, |provider, cx, at| async move {
        let mut message = at.message(&cx);
        message.channel = crate::fixtures::literal("a-channel-that-nobody-has");
        text(provider.notify(&cx, message).await)
    })
}

async fn a_message_comes_as_it_was_sent(sandbox: &NotifierSandbox) -> Check {
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        let cx = sandbox.context();
        let mut message = sandbox.at.message(&cx);
        message.severity = severity;
        let answer = sandbox.provider.notify(&cx, message.clone()).await;
        answer.map_err(|error| unanswered("a message", &error))?;
        let came = came(sandbox).await?;
        if came.iter().filter(|one| **one == message).count() != 1 {
            return Err(broken(format!("{message:?} once"), format!("{came:?}")));
        }
    }
    Ok(())
}

async fn another_key_is_another_message(sandbox: &NotifierSandbox) -> Check {
    let message = sandbox.at.message(&sandbox.context());
    for times in 1..3 {
        let answer = sandbox.provider.notify(&sandbox.context(), message.clone()).await;
        answer.map_err(|error| unanswered("a message", &error))?;
        let came = came(sandbox).await?.into_iter().filter(|one| *one == message).count();
        if came != times {
            return Err(broken(
                format!("{message:?} {times} times"),
                format!("it came {came} times"),
            ));
        }
    }
    Ok(())
}

async fn messages_keep_their_order(sandbox: &NotifierSandbox) -> Check {
    let mut sent = Vec::new();
    for _ in 0..5 {
        let cx = sandbox.context();
        let message = sandbox.at.message(&cx);
        let answer = sandbox.provider.notify(&cx, message.clone()).await;
        answer.map_err(|error| unanswered("a message", &error))?;
        sent.push(message.message);
    }
    let came = came(sandbox).await?.into_iter().map(|one| one.message);
    let came: Vec<_> = came.filter(|text| sent.contains(text)).collect();
    if came == sent { Ok(()) } else { Err(broken(format!("{sent:?}"), format!("{came:?}"))) }
}

async fn came(sandbox: &NotifierSandbox) -> Result<Vec<Notification>, crate::conformance::Broken> {
    sandbox.at.came().await.map_err(|error| broken("messages that can be read", error))
}
