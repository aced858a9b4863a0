//! Whoever lends something wrongly: secrets, data sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use release_core::time::Timestamp;
use release_providers::spi::{
    Access, DataSetLease, DataSetLeaseRef, DataSetStatus, LeaseDataSet, LeaseRef, LeaseSecret,
    LeaseStatus, ObserveDataSet, ObserveSecret, RenewLease, RotateSecret, SecretLease,
    SecretStatus,
};
use release_providers::{ErrorKind, Secret};

use super::OwnFault;
use crate::fakes::lock;
use crate::saboteur::telling;

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
pub(super) fn forgets_to_end_them() -> OwnFault {
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
pub(super) fn counts_what_ended() -> OwnFault {
    let (name, caught_by) = ("counts what ended", &["leases_are_over_at_their_end"]);
    let lent = Lent::default();
    lending(name, caught_by, &lent).and(OwnFault::answers::<ObserveSecret, SecretStatus>(
        name,
        caught_by,
        move |_, status| status.leases = u32::try_from(lock(&lent).len()).unwrap_or(u32::MAX),
    ))
}

/// A store that has one lease for each key, for ever: `R` asks for it, and `L` is what it gets.
pub(super) fn one_lease_for_each_key<R: 'static, L: Clone + Send + 'static>(
    name: &'static str,
    caught_by: &'static [&'static str],
) -> OwnFault {
    let (asked, lent) = (Arc::new(Mutex::new(String::new())), Mutex::new(BTreeMap::new()));
    let key = Arc::clone(&asked);
    let notes = OwnFault::requests::<R>(name, caught_by, move |cx, _| {
        cx.key.clone_into(&mut lock(&asked));
    });
    notes.and(OwnFault::answers::<R, L>(name, caught_by, move |_, lease| {
        let mut lent = lock(&lent);
        *lease = lent.entry(lock(&key).clone()).or_insert_with(|| lease.clone()).clone();
    }))
}

/// A store that ends all leases of a secret when it gets another value.
pub(super) fn ends_those_of_old_values() -> OwnFault {
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
pub(super) fn calls_them_by_their_secret() -> OwnFault {
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
pub(super) fn tells_what_it_handed_out() -> OwnFault {
    let (name, caught_by) = ("tells in errors what it handed out", &["errors_tell_no_secret"]);
    let value = Arc::new(Mutex::new(Secret::default()));
    let last = Arc::clone(&value);
    let notes = OwnFault::answers::<LeaseSecret, SecretLease>(name, caught_by, move |_, lease| {
        lock(&last).clone_from(&lease.value);
    });
    notes.and(OwnFault::errors(name, caught_by, move |error| telling(error, &lock(&value))))
}

/// Names of leases.
type Leases = Arc<Mutex<BTreeSet<String>>>;

/// What notes the leases of whoever writes a data set, or of all, for a fault of that name.
fn noting(
    name: &'static str,
    caught_by: &'static [&'static str],
    (all, writers): (&Leases, bool),
) -> OwnFault {
    let lent = Arc::clone(all);
    OwnFault::answers::<LeaseDataSet, DataSetLease>(name, caught_by, move |request, lease| {
        if !writers || request.access == Access::Write {
            lock(&lent).insert(lease.lease.clone());
        }
    })
}

/// What tells those leases alone.
fn telling_only(
    name: &'static str,
    caught_by: &'static [&'static str],
    leases: &Leases,
) -> OwnFault {
    let told = Arc::clone(leases);
    OwnFault::answers::<ObserveDataSet, DataSetStatus>(name, caught_by, move |_, status| {
        let told = lock(&told);
        status.leases.retain(|lease| told.contains(lease));
    })
}

/// A store that looks whether somebody writes before it looks who asks.
pub(super) fn refuses_writers_what_they_have() -> OwnFault {
    let (name, caught_by) = ("refuses writers what they have", &["who_writes_is_answered_again"]);
    let lent = Leases::default();
    let back = Arc::clone(&lent);
    noting(name, caught_by, (&lent, true))
        .and(OwnFault::requests::<DataSetLeaseRef>(name, caught_by, move |_, request| {
            lock(&back).remove(&request.lease);
        }))
        .and(OwnFault::refuses::<LeaseDataSet>(name, caught_by, move |request| {
            let writes = request.access == Access::Write && !lock(&lent).is_empty();
            writes.then_some(ErrorKind::Conflict)
        }))
}

/// A store that counts leases until they are given back.
pub(super) fn counts_data_sets_that_ended() -> OwnFault {
    let (name, caught_by) = ("counts what ended", &["leases_are_over_at_their_end"]);
    let lent = Arc::new(Mutex::new(Vec::new()));
    let (taken, back) = (Arc::clone(&lent), Arc::clone(&lent));
    OwnFault::answers::<LeaseDataSet, DataSetLease>(name, caught_by, move |request, lease| {
        let lease = (request.data_set.clone(), lease.lease.clone());
        let mut taken = lock(&taken);
        if !taken.contains(&lease) {
            taken.push(lease);
        }
    })
    .and(OwnFault::requests::<DataSetLeaseRef>(name, caught_by, move |_, request| {
        lock(&back).retain(|(_, lease)| *lease != request.lease);
    }))
    .and(OwnFault::answers::<ObserveDataSet, DataSetStatus>(
        name,
        caught_by,
        move |_, status| {
            let lent = lock(&lent);
            let of_it = lent.iter().filter(|(data_set, _)| *data_set == status.data_set);
            status.leases = of_it.map(|(_, lease)| lease.clone()).collect();
        },
    ))
}

/// A store that unlocks the data set, whoever has it.
pub(super) fn ends_what_another_has() -> OwnFault {
    let (name, caught_by) = ("ends what another has", &["what_is_given_back_can_be_lent_again"]);
    let last = Arc::new(Mutex::new(String::new()));
    let lent = Arc::clone(&last);
    OwnFault::answers::<LeaseDataSet, DataSetLease>(name, caught_by, move |_, lease| {
        lease.lease.clone_into(&mut lock(&lent));
    })
    .and(OwnFault::requests::<DataSetLeaseRef>(name, caught_by, move |_, request| {
        if request.lease.starts_with("lease-") {
            lock(&last).clone_into(&mut request.lease);
        }
    }))
}

/// A store that tells who writes alone.
pub(super) fn tells_none_of_readers() -> OwnFault {
    let (name, caught_by) = ("tells no leases of readers", &["what_is_done_is_seen"]);
    let written = Leases::default();
    noting(name, caught_by, (&written, true)).and(telling_only(name, caught_by, &written))
}

/// A store that ends all leases when one is given back.
pub(super) fn ends_all_at_once() -> OwnFault {
    let (name, caught_by) = ("ends all leases with one", &["readers_share"]);
    let all = Leases::default();
    let back = Arc::clone(&all);
    noting(name, caught_by, (&all, false))
        .and(OwnFault::answers::<DataSetLeaseRef, ()>(name, caught_by, move |_, ()| {
            lock(&back).clear();
        }))
        .and(telling_only(name, caught_by, &all))
}
