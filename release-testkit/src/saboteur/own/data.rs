//! Whoever keeps something: configuration, secrets, data sets, flags, events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use release_core::model::Digest;
use release_core::time::Timestamp;
use release_providers::spi::{
    Access, ConfigSnapshot, DataSetLease, DataSetLeaseRef, DataSetStatus, EventsFound, FindEvents,
    FlagRef, FlagState, FlagStatus, LeaseDataSet, LeaseRef, LeaseSecret, LeaseStatus,
    ObserveDataSet, ObserveSecret, PublishEvents, ReadConfig, RenewLease, RotateSecret,
    SecretLease, SecretStatus, SetFlag,
};
use release_providers::{ErrorKind, Secret};

use super::{BY_STATE, HOUR, OwnFault, sabotage};
use crate::fakes::lock;
use crate::saboteur::telling;

sabotage!(
    ConfigSource,
    [],
    [
        OwnFault::answers::<ReadConfig, ConfigSnapshot>(
            "is empty",
            &["settings_are_whole"],
            |_, settings| settings.values.clear(),
        ),
        OwnFault::answers::<ReadConfig, ConfigSnapshot>(
            "tells secrets as values",
            &["settings_are_whole"],
            |_, settings| {
                settings.values.insert("password".into(), serde_json::json!("a password"));
            },
        ),
        OwnFault::answers::<ReadConfig, ConfigSnapshot>(
            "has one digest for all",
            &["a_change_is_seen"],
            |_, settings| settings.digest = Digest::of(b"settings"),
        ),
        OwnFault::answers::<ReadConfig, ConfigSnapshot>(
            "hashes the revision too",
            &["a_change_is_seen"],
            |_, settings| settings.digest = Digest::of(settings.revision.as_bytes()),
        ),
    ]
);

sabotage!(
    SecretStore,
    [],
    [
        {
            let times = Mutex::new(0);
            OwnFault::answers::<LeaseSecret, SecretLease>(
                "tells another end each time",
                &["done_again_is_done_once"],
                move |_, lease| {
                    let mut times = lock(&times);
                    *times += 1;
                    lease.expires = Timestamp::from_micros(lease.expires.as_micros() - *times);
                },
            )
        },
        OwnFault::answers::<ObserveSecret, SecretStatus>(
            "tells no leases",
            &["what_is_done_is_seen"],
            |_, status| status.leases = 0,
        ),
        OwnFault::requests::<LeaseSecret>(
            "lends for longer",
            &["leases_end_when_they_say"],
            |_, request| request.ttl = HOUR,
        ),
        OwnFault::answers::<RenewLease, LeaseStatus>(
            "renews for longer",
            &["renewal_counts_from_now"],
            |_, status| status.expires = status.expires.plus(HOUR),
        ),
        OwnFault::says_done(
            "revokes nothing",
            &["revoked_leases_are_over"],
            ("secret_store", "revoke"),
        ),
        forgets_to_end_leases(),
        counts_what_ended(),
        hands_out_dead_leases(),
        ends_leases_of_old_values(),
        tells_what_it_handed_out(),
        OwnFault::says_done("rotates nothing", &["rotation_is_honest"], ("secret_store", "rotate"),),
        OwnFault::answers::<RotateSecret, SecretStatus>(
            "counts versions back",
            &["rotation_is_honest"],
            |_, status| status.version = 0,
        ),
        OwnFault::refuses::<RotateSecret>(
            "declares what it cannot do",
            &["rotation_is_honest"],
            |request| (request.secret.as_str() == "kv/api#password")
                .then_some(ErrorKind::Unsupported),
        ),
        OwnFault::describes(
            "does not declare what it can do",
            &["rotation_is_honest"],
            |description| description.abilities = release_providers::Abilities::default(),
        ),
        calls_leases_by_their_secret(),
        OwnFault::answers::<LeaseSecret, SecretLease>(
            "tells a later end",
            &["leases_end_when_they_say"],
            |_, lease| lease.expires = lease.expires.plus(HOUR),
        ),
    ]
);

sabotage!(
    DataSetStore,
    [],
    [
        OwnFault::requests::<LeaseDataSet>(
            "lends to all alike",
            &["who_writes_is_alone"],
            |_, request| request.access = Access::Read,
        ),
        OwnFault::answers::<LeaseDataSet, DataSetLease>(
            "has one lease for all readers",
            &["readers_share"],
            |request, lease| {
                if request.access == Access::Read {
                    "shared".clone_into(&mut lease.lease);
                }
            },
        ),
        names_another_place_later(),
        {
            let returned = Mutex::new(BTreeSet::new());
            OwnFault::refuses::<DataSetLeaseRef>(
                "knows no lease that is over",
                &["what_is_given_back_can_be_lent_again"],
                move |request| {
                    let again = !lock(&returned).insert(request.lease.clone());
                    (again && request.lease.starts_with("lease-")).then_some(ErrorKind::NotFound)
                },
            )
        },
        OwnFault::answers::<ObserveDataSet, DataSetStatus>(
            "tells no leases",
            &["leases_are_told"],
            |_, status| status.leases.clear(),
        ),
        OwnFault::forgives::<LeaseDataSet, DataSetLease>(
            "lends raw data to anybody",
            &["raw_production_data_stays_there"],
            |_, kind| {
                let lease = || DataSetLease::new("raw".into(), "somewhere".into(), HOUR_ONE);
                (kind == ErrorKind::Denied).then(lease)
            },
        ),
    ]
);

const HOUR_ONE: Timestamp = Timestamp::from_micros(3_600_000_000);

sabotage!(
    FlagStore,
    [BY_STATE],
    [
        OwnFault::answers::<FlagRef, FlagStatus>(
            "rounds shares",
            &["set_is_observed"],
            |_, status| {
                if status.state == (FlagState::Share { percent: 7 }) {
                    status.state = FlagState::Share { percent: 10 };
                }
            },
        ),
        {
            let sets = Arc::new(Mutex::new(0));
            let counted = Arc::clone(&sets);
            OwnFault::requests::<SetFlag>(
                "counts what changes nothing",
                &["same_state_keeps_its_revision"],
                move |_, request| *lock(&counted) += u64::from(request.state == FlagState::On),
            )
            .and(OwnFault::answers::<FlagRef, FlagStatus>(
                "",
                &[],
                move |_, status| {
                    status.revision += *lock(&sets);
                },
            ))
        },
        OwnFault::requests::<SetFlag>(
            "ignores what was expected",
            &["expected_revision_is_checked"],
            |_, request| request.expected = None,
        ),
    ]
);

sabotage!(
    EventSink,
    [BY_STATE],
    [
        OwnFault::answers::<FindEvents, EventsFound>(
            "turns their order round",
            &["events_keep_their_order"],
            |_, found| found.ids.reverse(),
        ),
        {
            let stored = Arc::new(Mutex::new(BTreeSet::new()));
            let before = Arc::clone(&stored);
            OwnFault::requests::<PublishEvents>(
                "stores what it can of a refused batch",
                &["all_or_none_is_stored"],
                move |_, request| {
                    if request.events.iter().any(|event| event.id.is_empty()) {
                        let ids = request.events.iter().map(|event| event.id.clone());
                        lock(&before).extend(ids.filter(|id| !id.is_empty()));
                    }
                },
            )
            .and(OwnFault::answers::<FindEvents, EventsFound>(
                "",
                &[],
                move |request, found| {
                    let stored = lock(&stored);
                    found.ids.extend(request.ids.iter().filter(|id| stored.contains(*id)).cloned());
                },
            ))
        },
        {
            let sent = Arc::new(Mutex::new(BTreeSet::new()));
            let counted = Arc::clone(&sent);
            OwnFault::requests::<PublishEvents>(
                "knows events by their key alone",
                &["an_id_is_stored_once"],
                move |cx, request| {
                    let ids = request.events.iter().map(|event| (event.id.clone(), cx.key.clone()));
                    lock(&counted).extend(ids);
                },
            )
            .and(OwnFault::answers::<FindEvents, EventsFound>(
                "",
                &[],
                move |_, found| {
                    let sent = lock(&sent);
                    let times =
                        |id: &String| sent.iter().filter(|(sent, _)| sent == id).count().max(1);
                    let all = std::mem::take(&mut found.ids);
                    found.ids.extend(all.into_iter().flat_map(|id| vec![id.clone(); times(&id)]));
                },
            ))
        },
    ]
);

/// A store that tells later attempts of another place.
fn names_another_place_later() -> OwnFault {
    let (name, caught_by) = ("names another place later", &["done_again_is_done_once"]);
    let again = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&again);
    let notes = OwnFault::requests::<LeaseDataSet>(name, caught_by, move |cx, _| {
        seen.store(cx.attempt > 1, Ordering::SeqCst);
    });
    notes.and(OwnFault::answers::<LeaseDataSet, DataSetLease>(name, caught_by, move |_, lease| {
        if again.load(Ordering::SeqCst) {
            lease.location.push_str("-2");
        }
    }))
}

/// Leases that were lent and not ended by hand, and when they end.
type Lent = Arc<Mutex<BTreeMap<String, Timestamp>>>;

/// What keeps [`Lent`], for a fault of that name.
fn lending(name: &'static str, caught_by: &'static [&'static str], all: &Lent) -> OwnFault {
    let (lent, ended) = (Arc::clone(all), Arc::clone(all));
    OwnFault::answers::<LeaseSecret, SecretLease>(name, caught_by, move |_, lease| {
        lock(&lent).insert(lease.lease.clone(), lease.expires);
    })
    .and(OwnFault::requests::<LeaseRef>(name, caught_by, move |_, request| {
        lock(&ended).remove(&request.lease);
    }))
}

/// A store that ends leases by hand alone.
fn forgets_to_end_leases() -> OwnFault {
    let (name, caught_by) = ("renews what ended", &["leases_are_over_at_their_end"]);
    let lent = Lent::default();
    lending(name, caught_by, &lent).and(OwnFault::forgives::<RenewLease, LeaseStatus>(
        name,
        caught_by,
        move |request, kind| {
            let end = lock(&lent).get(&request.lease)?.plus(request.ttl);
            (kind == ErrorKind::NotFound).then(|| LeaseStatus::new(request.lease.clone(), end))
        },
    ))
}

/// A store that counts leases until they are ended by hand.
fn counts_what_ended() -> OwnFault {
    let (name, caught_by) = ("counts what ended", &["leases_are_over_at_their_end"]);
    let lent = Lent::default();
    lending(name, caught_by, &lent).and(OwnFault::answers::<ObserveSecret, SecretStatus>(
        name,
        caught_by,
        move |_, status| status.leases = u32::try_from(lock(&lent).len()).unwrap_or(u32::MAX),
    ))
}

/// A store that has one lease for each key, for ever.
fn hands_out_dead_leases() -> OwnFault {
    let (name, caught_by) =
        ("hands out dead leases", &["revoked_leases_are_over", "leases_are_over_at_their_end"]);
    let (asked, lent) = (Arc::new(Mutex::new(String::new())), Mutex::new(BTreeMap::new()));
    let key = Arc::clone(&asked);
    let notes = OwnFault::requests::<LeaseSecret>(name, caught_by, move |cx, _| {
        cx.key.clone_into(&mut lock(&asked));
    });
    notes.and(OwnFault::answers::<LeaseSecret, SecretLease>(name, caught_by, move |_, lease| {
        let mut lent = lock(&lent);
        *lease = lent.entry(lock(&key).clone()).or_insert_with(|| lease.clone()).clone();
    }))
}

/// A store that ends all leases of a secret when it gets another value.
fn ends_leases_of_old_values() -> OwnFault {
    let (name, caught_by) = ("ends leases of old values", &["rotation_is_honest"]);
    let (lent, dead) = (Lent::default(), Arc::new(Mutex::new(BTreeSet::new())));
    let (last, ended) = (Arc::clone(&lent), Arc::clone(&dead));
    lending(name, caught_by, &lent)
        .and(OwnFault::requests::<RotateSecret>(name, caught_by, move |_, _| {
            lock(&ended).extend(std::mem::take(&mut *lock(&last)).into_keys());
        }))
        .and(OwnFault::refuses::<RenewLease>(name, caught_by, move |request| {
            lock(&dead).contains(&request.lease).then_some(ErrorKind::NotFound)
        }))
}

/// A store whose leases have their secret in their name.
fn calls_leases_by_their_secret() -> OwnFault {
    let (name, caught_by) = ("calls a lease by its secret", &["leases_are_not_written"]);
    let plain = |lease: &mut String| {
        if let Some((name, _)) = lease.split_once('/') {
            *lease = name.to_owned();
        }
    };
    let named = OwnFault::answers::<LeaseSecret, SecretLease>(name, caught_by, |_, lease| {
        lease.lease = format!("{}/{}", lease.lease, lease.value.expose());
    });
    let renewed = OwnFault::requests::<RenewLease>(name, caught_by, move |_, request| {
        plain(&mut request.lease);
    });
    let told = OwnFault::answers::<RenewLease, LeaseStatus>(name, caught_by, |request, status| {
        request.lease.clone_into(&mut status.lease);
    });
    let revoked = OwnFault::requests::<LeaseRef>(name, caught_by, move |_, request| {
        plain(&mut request.lease);
    });
    named.and(renewed).and(told).and(revoked)
}

/// A store that tells in errors what it has.
fn tells_what_it_handed_out() -> OwnFault {
    let (name, caught_by) = ("tells in errors what it handed out", &["errors_tell_no_secret"]);
    let value = Arc::new(Mutex::new(Secret::default()));
    let last = Arc::clone(&value);
    let notes = OwnFault::answers::<LeaseSecret, SecretLease>(name, caught_by, move |_, lease| {
        lock(&last).clone_from(&lease.value);
    });
    notes.and(OwnFault::errors(name, caught_by, move |error| telling(error, &lock(&value))))
}
