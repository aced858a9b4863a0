//! Whoever keeps something: configuration, secrets, data sets, flags, events.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use release_core::model::Digest;
use release_core::time::{Span, Timestamp};
use release_providers::ErrorKind;
use release_providers::spi::{
    Access, Classification, ConfigSnapshot, DataSetLease, DataSetLeaseRef, DataSetStatus,
    EventsFound, FindEvents, FlagRef, FlagState, FlagStatus, KillFlag, LeaseDataSet, LeaseSecret,
    LeaseStatus, ObserveDataSet, ObserveSecret, PublishEvents, ReadConfig, RenewLease,
    RotateSecret, SecretLease, SecretStatus, SetFlag,
};

use super::{BY_STATE, HOUR, OwnFault, leases, sabotage};
use crate::fakes::lock;

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
        leases::forgets_to_end_them(),
        leases::counts_what_ended(),
        leases::one_lease_for_each_key::<LeaseSecret, SecretLease>(
            "hands out dead leases",
            &["revoked_leases_are_over", "leases_are_over_at_their_end"],
        ),
        leases::ends_those_of_old_values(),
        leases::tells_what_it_handed_out(),
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
        leases::calls_them_by_their_secret(),
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
            &["what_is_given_back_can_be_lent_again"],
            |_, status| status.leases.clear(),
        ),
        leases::tells_none_of_readers(),
        OwnFault::forgives::<DataSetLeaseRef, ()>(
            "takes back what it never lent",
            &["wrong_requests_are_refused"],
            |_, kind| (kind == ErrorKind::NotFound).then_some(()),
        ),
        OwnFault::answers::<ObserveDataSet, DataSetStatus>(
            "takes all data for harmless",
            &["raw_production_data_stays_there"],
            |_, status| status.classification = Classification::Internal,
        ),
        OwnFault::answers::<LeaseDataSet, DataSetLease>(
            "tells how to log in",
            &["locations_hold_no_credentials"],
            |_, lease| lease.location = lease.location.replace("://", "://user:password@"),
        ),
        OwnFault::requests::<LeaseDataSet>(
            "lends for longer",
            &["leases_end_when_they_say", "leases_are_over_at_their_end"],
            |_, request| {
                if request.ttl > Span::ZERO {
                    request.ttl = HOUR;
                }
            },
        ),
        OwnFault::answers::<LeaseDataSet, DataSetLease>(
            "tells a later end",
            &["leases_end_when_they_say"],
            |_, lease| lease.expires = lease.expires.plus(HOUR),
        ),
        leases::refuses_writers_what_they_have(),
        leases::counts_data_sets_that_ended(),
        leases::ends_what_another_has(),
        leases::ends_all_at_once(),
        leases::one_lease_for_each_key::<LeaseDataSet, DataSetLease>(
            "lends again what was given back",
            &["who_writes_is_answered_again"],
        ),
        OwnFault::answers::<ObserveDataSet, DataSetStatus>(
            "tells the first lease",
            &["readers_share"],
            |_, status| status.leases.truncate(1),
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
        {
            let made = Mutex::new(Vec::new());
            OwnFault::refuses::<SetFlag>(
                "holds what it made itself against it",
                &["expected_revision_is_checked"],
                move |request| {
                    let (mut made, expects) = (lock(&made), request.expected.is_some());
                    let again = made.contains(request);
                    if expects {
                        made.push(request.clone());
                    }
                    (expects && again).then_some(ErrorKind::Conflict)
                },
            )
        },
        OwnFault::forgives::<SetFlag, ()>(
            "tells everybody that they were first",
            &["one_of_many_changes_wins"],
            |request, kind| {
                let share = matches!(request.state, FlagState::Share { percent: ..30 });
                (share && kind == ErrorKind::Conflict).then_some(())
            },
        ),
        OwnFault::forgives::<KillFlag, ()>(
            "kills what is not there",
            &["wrong_requests_are_refused"],
            |_, kind| (kind == ErrorKind::NotFound).then_some(()),
        ),
        OwnFault::requests::<SetFlag>(
            "turns on what was killed",
            &["killed_stays_off"],
            |_, request| request.revive = true,
        ),
        OwnFault::answers::<FlagRef, FlagStatus>(
            "keeps to itself that a flag is killed",
            &["killed_stays_off"],
            |_, status| status.killed = None,
        ),
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
        OwnFault::answers::<FindEvents, EventsFound>(
            "has them by name",
            &["events_keep_their_order"],
            |_, found| found.ids.sort(),
        ),
        {
            let known = Mutex::new(BTreeSet::new());
            OwnFault::requests::<PublishEvents>(
                "takes a batch for known by one of it",
                &["an_id_is_stored_once"],
                move |_, request| {
                    let mut known = lock(&known);
                    let ids: BTreeSet<_> =
                        request.events.iter().map(|event| event.id.clone()).collect();
                    if !known.is_disjoint(&ids) {
                        request.events.clear();
                    }
                    known.extend(ids);
                },
            )
        },
        {
            let begun = Mutex::new(BTreeSet::new());
            OwnFault::requests::<PublishEvents>(
                "stores them one by one",
                &["batches_are_whole_or_absent"],
                move |cx, request| {
                    // The caller went on after two.
                    if request.events.len() == 5 && lock(&begun).insert(cx.key.clone()) {
                        request.events.truncate(2);
                    }
                },
            )
        },
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
