//! The suite of [`EventSink`].

use std::sync::Arc;

use release_core::time::Timestamp;
use release_providers::ErrorKind;
use release_providers::spi::{EventSink, FindEvents, PublishEvents, SinkEvent};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, interrupt, refused, unanswered};

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
            batches_are_whole_or_absent,
            "dropping the future leaves all events stored or none, and asking again stores all"
        ),
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
    publish(sandbox, events).await?;
    let ids: Vec<_> = (0..10).map(|number| id(&cx.key, number)).collect();
    let wanted = ids.iter().rev().cloned().collect();
    found_as(sandbox, wanted, &ids).await?;
    // Neither by name nor by date.
    let key = sandbox.context().key;
    for (names, at) in [(&[3, 1][..], 30), (&[2], 10)] {
        let dated = |number: &u32| {
            let mut event = event(&key, *number);
            event.at = Timestamp::from_micros(at - i64::from(*number));
            event
        };
        publish(sandbox, names.iter().map(dated).collect()).await?;
    }
    let ids: Vec<_> = [3, 1, 2].map(|number| id(&key, number)).into();
    found_as(sandbox, ids.clone(), &ids).await
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
        publish(sandbox, vec![event(&key, 1)]).await?;
    }
    found_as(sandbox, vec![id(&key, 1)], &[id(&key, 1)]).await?;
    // One that is known keeps no other from being stored.
    publish(sandbox, vec![event(&key, 1), event(&key, 2)]).await?;
    publish(sandbox, vec![event(&key, 3), event(&key, 3)]).await?;
    let ids: Vec<_> = [1, 2, 3].map(|number| id(&key, number)).into();
    found_as(sandbox, ids.clone(), &ids).await
}

async fn batches_are_whole_or_absent(sandbox: &EventSinkSandbox) -> Check {
    for round in 0..6 {
        let cx = sandbox.context();
        let events: Vec<_> = (0..5).map(|number| event(&cx.key, number)).collect();
        let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
        let request = PublishEvents::new(events);
        interrupt(sandbox.provider.publish(&cx, request.clone()), round).await;
        sandbox.linger().await;
        let left = found(sandbox, ids.clone()).await?;
        if !left.is_empty() && left != ids {
            return Err(broken(format!("all of {ids:?} or none"), format!("{left:?}")));
        }
        let answer = sandbox.provider.publish(&cx, request).await;
        answer.map_err(|error| unanswered("five events again", &error))?;
        found_as(sandbox, ids.clone(), &ids).await?;
    }
    Ok(())
}

/// Publishes events under a new key.
async fn publish(sandbox: &EventSinkSandbox, events: Vec<SinkEvent>) -> Check {
    let answer = sandbox.provider.publish(&sandbox.context(), PublishEvents::new(events)).await;
    answer.map_err(|error| unanswered("events", &error))
}

/// Demands that of these events just those are found, in that order.
async fn found_as(sandbox: &EventSinkSandbox, asked: Vec<String>, ids: &[String]) -> Check {
    let found = found(sandbox, asked).await?;
    if found == ids { Ok(()) } else { Err(broken(format!("{ids:?}"), format!("{found:?}"))) }
}

async fn found(sandbox: &EventSinkSandbox, ids: Vec<String>) -> Result<Vec<String>, Broken> {
    let answer = sandbox.provider.observe(&sandbox.context(), FindEvents::new(ids)).await;
    answer.map(|found| found.ids).map_err(|error| unanswered("a look for events", &error))
}
