//! A store of data sets that hold nothing.

use std::collections::BTreeMap;

use release_core::model::EnvironmentId;
use release_core::time::{Span, Timestamp};
use release_providers::spi::{
    Access, Classification, DataSetLease, DataSetLeaseRef, DataSetStatus, LeaseDataSet,
    ObserveDataSet,
};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, DataSetStoreCall, Fake, model};

/// A [`DataSetStore`](release_providers::spi::DataSetStore) whose data sets hold nothing.
pub type FakeDataSetStore = Fake<DataSetStoreCall, DataSets>;

/// What a [`FakeDataSetStore`] knows.
#[derive(Debug, Clone)]
pub struct DataSets {
    sets: BTreeMap<String, DataSetStatus>,
    leases: BTreeMap<String, Lease>,
    production: EnvironmentId,
}

#[derive(Debug, Clone)]
struct Lease {
    key: String,
    data_set: String,
    access: Access,
    expires: Timestamp,
}

impl Fake<DataSetStoreCall, DataSets> {
    /// A store without data sets; only `production` may use what comes from there and is not masked.
    pub fn new(production: EnvironmentId) -> Self {
        let (sets, leases) = (BTreeMap::new(), BTreeMap::new());
        Self::of("fake-data-set-store", DataSets { sets, leases, production })
    }

    /// The same with a data set.
    #[must_use]
    pub fn data_set(self, name: &str, of: Classification, masked_by: Option<&str>) -> Self {
        let mut status = DataSetStatus::new(name.to_owned(), of, "a test".to_owned());
        status.masked_by = masked_by.map(str::to_owned);
        self.with(|all| all.sets.insert(name.to_owned(), status));
        self
    }
}

impl DataSets {
    fn lasting<'a>(
        &'a self,
        data_set: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a String, &'a Lease)> {
        let lasts =
            move |(_, lease): &(&String, &Lease)| lease.data_set == data_set && now < lease.expires;
        self.leases.iter().filter(lasts)
    }

    fn lent(id: &str, lease: &Lease) -> DataSetLease {
        let location = format!("memory://{}/{id}", lease.data_set);
        DataSetLease::new(id.to_owned(), location, lease.expires)
    }
}

impl model::DataSetStore for DataSets {
    fn lease(
        &mut self,
        asked: &Asked<'_>,
        request: LeaseDataSet,
    ) -> Result<DataSetLease, ProviderError> {
        let LeaseDataSet { data_set, environment, access, ttl, .. } = request;
        if ttl == Span::ZERO {
            return Err(asked.error(ErrorKind::Invalid, "a lease for no time"));
        }
        let known = asked.found("data set", &data_set, self.sets.get(&data_set))?;
        let raw = known.classification == Classification::Production && known.masked_by.is_none();
        if raw && environment != self.production {
            let text = "data of real people that nobody masked stays in production";
            return Err(asked.error(ErrorKind::Denied, text));
        }
        let ours = |(_, lease): &(&String, &Lease)| lease.key == asked.key();
        if let Some((id, lease)) = self.lasting(&data_set, asked.now).find(ours) {
            return Ok(Self::lent(id, lease));
        }
        let alone = |lease: &Lease| access == Access::Write || lease.access == Access::Write;
        if self.lasting(&data_set, asked.now).any(|(_, lease)| alone(lease)) {
            return Err(asked.error(ErrorKind::Conflict, "somebody else has it"));
        }
        let (key, expires) = (asked.key().to_owned(), asked.now.plus(ttl));
        let (id, lease) =
            (format!("lease-{}", self.leases.len() + 1), Lease { key, data_set, access, expires });
        let lent = Self::lent(if asked.lie { "another" } else { &id }, &lease);
        self.leases.insert(id, lease);
        Ok(lent)
    }

    fn release(
        &mut self,
        asked: &Asked<'_>,
        request: DataSetLeaseRef,
    ) -> Result<(), ProviderError> {
        let lease = asked.found("lease", &request.lease, self.leases.get_mut(&request.lease))?;
        lease.expires = lease.expires.min(asked.now);
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: ObserveDataSet,
    ) -> Result<DataSetStatus, ProviderError> {
        let known = self.sets.get(&request.data_set);
        let mut status = asked.found("data set", &request.data_set, known)?.clone();
        let lasting = self.lasting(&request.data_set, asked.now).map(|(id, _)| id.clone());
        status.leases = lasting.filter(|_| !asked.lie).collect();
        Ok(status)
    }
}
