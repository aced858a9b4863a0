//! Configuration, secrets, data sets, events and the time.

use std::fmt;

use crate::plugin::pb;
use crate::plugin::wire::{wire, wire_enum};
use crate::spi::{
    Access, Classification, ClockReading, ConfigSnapshot, DataSetLease, DataSetLeaseRef,
    DataSetStatus, EventsFound, FindEvents, LeaseDataSet, LeaseRef, LeaseSecret, LeaseStatus,
    ObserveDataSet, ObserveSecret, PublishEvents, ReadClock, ReadConfig, RenewLease, RotateSecret,
    SecretLease, SecretStatus, SinkEvent,
};

wire! {
    ReadConfig => ReadConfig { environment, region, service }
    ConfigSnapshot => ConfigSnapshot { revision, digest, secrets; values as values_json }

    LeaseSecret => LeaseSecret { secret; ttl as ttl_micros }
    SecretLease => SecretLease { lease, version, expires, value }
    RenewLease => RenewLease { lease; ttl as ttl_micros }
    LeaseRef => LeaseRef { lease }
    LeaseStatus => LeaseStatus { lease, expires }
    RotateSecret => RotateSecret { secret }
    ObserveSecret => ObserveSecret { secret }
    SecretStatus => SecretStatus { secret, version, leases }

    LeaseDataSet => LeaseDataSet { data_set, environment, access; ttl as ttl_micros }
    DataSetLease => DataSetLease { lease, location, expires }
    DataSetLeaseRef => DataSetLeaseRef { lease }
    ObserveDataSet => ObserveDataSet { data_set }
    DataSetStatus => DataSetStatus { data_set, classification, provenance, masked_by, leases }

    PublishEvents => PublishEvents { events }
    SinkEvent => SinkEvent { id, source, kind, at, subject; data as data_json }
    FindEvents => FindEvents { ids }
    EventsFound => EventsFound { ids }

    ReadClock => ReadClock {}
    ClockReading => ClockReading { at; within as within_micros }
}

wire_enum! {
    Classification => Classification { Synthetic, Internal, Production }
    Access => Access { Read, Write }
}

/// Without the secret.
impl fmt::Debug for pb::SecretLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lease, version, expires, value: _ } = self;
        f.debug_struct("SecretLease")
            .field("lease", lease)
            .field("version", version)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::envelope::{Outcome, Reply};

    #[test]
    fn f40_no_message_prints_the_secret_of_a_lease() {
        let lease = pb::SecretLease { value: "canary-9".into(), ..Default::default() };
        let answer = prost::Message::encode_to_vec(&lease);
        let reply = Reply { call_id: "c".into(), result: Some(Outcome::Ok(answer.clone().into())) };
        let call = crate::plugin::envelope::Call { context: None, request: answer.into() };
        let printed = format!("{lease:?} {lease:#?} {reply:?} {call:?}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}
