//! Lends sets of test data.

use std::fmt;

use async_trait::async_trait;
use release_core::model::EnvironmentId;
use release_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Lends sets of test data, so that no two users disturb each other.
///
/// # Conformance
/// `conformance!(DataSetStore, sandbox)` of `release-testkit`: whoever writes is alone, readers share, what is given
/// back is lent again, leases end when they say, and raw production data stays there.
#[async_trait]
pub trait DataSetStore: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Lends a data set to an environment until the lease ends.
    ///
    /// # Contract
    /// Whoever may write has it alone; any number may read it together. Data that is
    /// [`Classification::Production`] and not masked is lent to nobody but production; which environments that are, its
    /// settings say.
    ///
    /// # Idempotency
    /// Asked again with the same key, it answers with the same lease while that lasts, and as if for the first time after
    /// that.
    ///
    /// # Errors
    /// `NotFound` for an unknown data set, `Conflict` while somebody else has it, `Denied` for data that must not come
    /// there, `Invalid` for no time; all with effect `NotApplied`.
    async fn lease(
        &self,
        cx: &Context,
        request: LeaseDataSet,
    ) -> Result<DataSetLease, ProviderError>;

    /// Gives a data set back before its time.
    ///
    /// # Idempotency
    /// Giving it back again, or after its end, changes nothing; not for whoever has the data set since either.
    ///
    /// # Errors
    /// `NotFound` for a lease that never was; `Unavailable`.
    async fn release(&self, cx: &Context, request: DataSetLeaseRef) -> Result<(), ProviderError>;

    /// Tells what a data set is, and who has it.
    ///
    /// # Errors
    /// `NotFound` for an unknown data set; `Unavailable`.
    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDataSet,
    ) -> Result<DataSetStatus, ProviderError>;
}

/// How sensitive data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Classification {
    /// Made up.
    Synthetic,
    /// Of the organisation, but of no person.
    Internal,
    /// From production, of real people.
    Production,
}

/// What a lease allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Access {
    /// To read, beside others.
    Read,
    /// To write, alone.
    Write,
}

message! {
    /// Which data set, for whom, and for how long.
    #[derive(Eq)]
    pub struct LeaseDataSet {
        /// Which.
        pub data_set: String,
        /// Where it is to be used.
        pub environment: EnvironmentId,
        /// What for.
        pub access: Access,
        /// For how long at most.
        pub ttl: Span,
    }
}

message! {
    /// A data set that was lent.
    #[derive(Eq)]
    pub struct DataSetLease {
        /// The lease, by which it is given back.
        pub lease: String,
        /// Where the data is, as a URL without credentials.
        pub location: String,
        /// The first instant at which it no longer holds.
        pub expires: Timestamp,
    }
}

message! {
    /// Which lease.
    #[derive(Eq)]
    pub struct DataSetLeaseRef {
        /// The lease.
        pub lease: String,
    }
}

message! {
    /// Which data set.
    #[derive(Eq)]
    pub struct ObserveDataSet {
        /// Which.
        pub data_set: String,
    }
}

message! {
    /// A data set as it is.
    #[derive(Eq)]
    pub struct DataSetStatus {
        /// Which.
        pub data_set: String,
        /// How sensitive it is.
        pub classification: Classification,
        /// Where it comes from, for example `production, 2026-03-01`.
        pub provenance: String,
        optional {
            /// What masked it; `None`: nothing did.
            pub masked_by: Option<String>,
            /// Leases that last.
            pub leases: Vec<String>,
        }
    }
}
