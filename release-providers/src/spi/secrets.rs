//! Hands out secrets for a while.

use std::fmt;

use async_trait::async_trait;
use release_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError, Secret};

/// Hands out secrets for a while, and changes them.
///
/// # Conformance
/// `conformance!(SecretStore, sandbox)` of `release-testkit`: leases end when they say, are renewed from now on and
/// are over once revoked; rotation is honest, and one key is one rotation, also after a restart; nothing that is written and no error
/// holds a secret.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Hands out the secret, until the lease ends.
    ///
    /// # Contract
    /// A lease lasts as long as was asked for, or less if the store says so; never longer.
    ///
    /// # Idempotency
    /// Asked again with the same key, it answers with the same lease while that lasts, and with another one after that. So it
    /// may after a restart of the provider, which need not keep a secret for it.
    ///
    /// # Errors
    /// `NotFound` for an unknown secret, `Denied` for one that may not be read, `Invalid` for no time; all with effect
    /// `NotApplied`. No error holds a secret, or a part of it.
    async fn lease(&self, cx: &Context, request: LeaseSecret)
    -> Result<SecretLease, ProviderError>;

    /// Lets a lease last longer, counted from now.
    ///
    /// # Idempotency
    /// Asked again, whatever the key, it counts from then.
    ///
    /// # Errors
    /// `NotFound` for a lease that ended, was revoked, or never was.
    async fn renew(&self, cx: &Context, request: RenewLease) -> Result<LeaseStatus, ProviderError>;

    /// Ends a lease at once. Where the secret was made for the lease, it does not work any more after that.
    ///
    /// # Idempotency
    /// Ending it again, or after its end, changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a lease that never was; `Unavailable`.
    async fn revoke(&self, cx: &Context, request: LeaseRef) -> Result<(), ProviderError>;

    /// Puts a new value in the place of the old one. Leases of the old one last as they are.
    ///
    /// # Idempotency
    /// One key is one change.
    ///
    /// # Errors
    /// `NotFound` for an unknown secret; `Unsupported` where
    /// [`rotation`](crate::SecretStoreAbilities::rotation) is not declared, and only there; both with effect
    /// `NotApplied`.
    async fn rotate(
        &self,
        cx: &Context,
        request: RotateSecret,
    ) -> Result<SecretStatus, ProviderError>;

    /// Tells the version of a secret and how many leases of it last. Never the secret.
    ///
    /// # Errors
    /// `NotFound` for an unknown secret; `Unavailable`.
    async fn observe(
        &self,
        cx: &Context,
        request: ObserveSecret,
    ) -> Result<SecretStatus, ProviderError>;
}

/// Where a secret is: all that is ever written of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(String);

impl SecretRef {
    /// A reference, as its store knows it, for example `kv/shop/api#password`.
    pub fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

message! {
    /// Which secret, for how long.
    #[derive(Eq)]
    pub struct LeaseSecret {
        /// Which.
        pub secret: SecretRef,
        /// For how long at most.
        pub ttl: Span,
    }
}

message! {
    /// A secret that was handed out.
    ///
    /// The secret itself is left out wherever this is serialised, and is empty in what is read back.
    #[derive(Eq)]
    pub struct SecretLease {
        /// The lease, by which it is renewed and revoked. It opens nothing by itself.
        pub lease: String,
        /// Which version of the secret.
        pub version: u64,
        /// The first instant at which it no longer holds.
        pub expires: Timestamp,
        /// The secret.
        #[serde(skip)]
        pub value: Secret,
    }
}

message! {
    /// Which lease, and how much longer.
    #[derive(Eq)]
    pub struct RenewLease {
        /// The lease.
        pub lease: String,
        /// From now.
        pub ttl: Span,
    }
}

message! {
    /// Which lease.
    #[derive(Eq)]
    pub struct LeaseRef {
        /// The lease.
        pub lease: String,
    }
}

message! {
    /// A lease as it is.
    #[derive(Eq)]
    pub struct LeaseStatus {
        /// The lease.
        pub lease: String,
        /// The first instant at which it no longer holds.
        pub expires: Timestamp,
    }
}

message! {
    /// Which secret gets a new value.
    #[derive(Eq)]
    pub struct RotateSecret {
        /// Which.
        pub secret: SecretRef,
    }
}

message! {
    /// Which secret.
    #[derive(Eq)]
    pub struct ObserveSecret {
        /// Which.
        pub secret: SecretRef,
    }
}

message! {
    /// A secret as it is, without its value.
    #[derive(Eq)]
    pub struct SecretStatus {
        /// Which.
        pub secret: SecretRef,
        /// Its version: another one for another value, always greater.
        pub version: u64,
        /// How many leases of it last.
        pub leases: u32,
    }
}
