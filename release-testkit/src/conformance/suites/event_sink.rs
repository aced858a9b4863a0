//! The suite of [`EventSink`].

use std::sync::Arc;

use release_core::time::Timestamp;
use release_providers::ErrorKind;
use release_providers::spi::{EventSink, FindEvents, PublishEvents, SinkEvent};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, refused, unanswered};

/// A sink that takes the suite's events.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type EventSinkSandbox = ProviderSandbox<dyn EventSink, ()>;

suite!(
    EventSink,
    "event_sink",
    EventSinkSandbox,
    acting,
    [
        case!(events_keep_their_order, "events are stored in their order, and found once they are"),
        case!(all_or_none_is_stored, "where one event is not taken, none is"),
        case!(
            an_id_is_stored_once,
            "an event whose id is stored already is not stored again, whatever the key"
        ),
    ]
);

/// The sink. The suite's events have the source `release-testkit/conformance`.
pub fn sandbox(provider: Arc<dyn EventSink>) -> EventSinkSandbox {
    ProviderSandbox::of(provider, ())
        .deed(
            "publish",
            |provider, cx, _| async move {
                let request = PublishEvents::new(vec![event(&cx.key, 1)]);
                text(provider.publish(&cx, request).await)
            },
            |provider, cx, _, key| async move {
                let ids = vec![id(&key, 1)];
                text(provider.observe(&cx, FindEvents::new(ids)).await)
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(
                provider
                    .observe(&cx, FindEvents::new(vec!["an event that nobody sent".into()]))
                    .await,
            )
        })
        .refusal("an event without an id", ErrorKind::Invalid, |provider, cx, _| async move {
            let mut nameless = event(&cx.key, 1);
            nameless.id.clear();
            text(provider.publish(&cx, PublishEvents::new(vec![nameless])).await)
        })
}

fn id(key: &str, number: u32) -> String {
    format!("{key}/{number}")
}

fn event(key: &str, number: u32) -> SinkEvent {
    let (source, kind) =
        ("release-testkit/conformance".to_owned(), "release.conformance.1".to_owned());
    SinkEvent::new(id(key, number), source, kind, Timestamp::from_micros(0))
}

async fn events_keep_their_order(sandbox: &EventSinkSandbox) -> Check {
    let cx = sandbox.context();
    let events = (0..10).map(|number| event(&cx.key, number)).collect();
    let answer = sandbox.provider.publish(&cx, PublishEvents::new(events)).await;
    answer.map_err(|error| unanswered("ten events", &error))?;
    let ids: Vec<_> = (0..10).map(|number| id(&cx.key, number)).collect();
    let wanted = ids.iter().rev().cloned().collect();
    let found = found(sandbox, wanted).await?;
    if found == ids { Ok(()) } else { Err(broken(format!("{ids:?}"), format!("{found:?}"))) }
}

async fn all_or_none_is_stored(sandbox: &EventSinkSandbox) -> Check {
    let cx = sandbox.context();
    let mut nameless = event(&cx.key, 2);
    nameless.id.clear();
    let events = vec![event(&cx.key, 1), nameless, event(&cx.key, 3)];
    let answer = sandbox.provider.publish(&cx, PublishEvents::new(events)).await;
    refused("events of which one has no id", answer, ErrorKind::Invalid)?;
    let found = found(sandbox, vec![id(&cx.key, 1), id(&cx.key, 3)]).await?;
    if found.is_empty() { Ok(()) } else { Err(broken("none of them", format!("{found:?}"))) }
}

async fn an_id_is_stored_once(sandbox: &EventSinkSandbox) -> Check {
    let key = sandbox.context().key;
    for _ in 0..3 {
        let request = PublishEvents::new(vec![event(&key, 1)]);
        let answer = sandbox.provider.publish(&sandbox.context(), request).await;
        answer.map_err(|error| unanswered("an event", &error))?;
    }
    let found = found(sandbox, vec![id(&key, 1)]).await?;
    if found.len() == 1 { Ok(()) } else { Err(broken("it once", format!("{found:?}"))) }
}

async fn found(sandbox: &EventSinkSandbox, ids: Vec<String>) -> Result<Vec<String>, Broken> {
    let answer = sandbox.provider.observe(&sandbox.context(), FindEvents::new(ids)).await;
    answer.map(|found| found.ids).map_err(|error| unanswered("a look for events", &error))
}
