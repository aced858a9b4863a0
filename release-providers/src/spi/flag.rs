//! Switches features.

use std::fmt;

use async_trait::async_trait;
use release_core::model::EnvironmentId;
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Switches features on, off, or on for some.
///
/// # Conformance
/// `conformance!(FlagStore, sandbox)` of `release-testkit`: what is set is observed with a greater revision, the same
/// state changes nothing, and an expected revision is checked.
#[async_trait]
pub trait FlagStore: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Sets a flag in an environment.
    ///
    /// # Contract
    /// With `request.expected`, only if the flag has just that revision: else `Conflict`, with effect `NotApplied`.
    ///
    /// # Idempotency
    /// The same state again changes nothing, not even the revision, whatever revision is expected: who asks again for what
    /// is done is told that it is. The key counts for nothing: whoever asks late for what another changed since sets it back,
    /// unless a revision is expected.
    ///
    /// # Errors
    /// `NotFound` for an unknown flag or environment, `Invalid` for a share above 100, `Conflict` as said; all with
    /// effect `NotApplied`.
    async fn set(&self, cx: &Context, request: SetFlag) -> Result<(), ProviderError>;

    /// Tells how a flag stands.
    ///
    /// # Errors
    /// `NotFound` for an unknown flag or environment; `Unavailable` when it cannot look.
    async fn observe(&self, cx: &Context, request: FlagRef) -> Result<FlagStatus, ProviderError>;
}

/// For whom a feature is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlagState {
    /// For nobody.
    Off,
    /// For everybody.
    On,
    /// For a share of users.
    Share {
        /// How many of a hundred.
        percent: u8,
    },
}

message! {
    /// Which flag, where.
    #[derive(Eq)]
    pub struct FlagRef {
        /// Which.
        pub flag: String,
        /// Where.
        pub environment: EnvironmentId,
    }
}

message! {
    /// How a flag is to stand.
    #[derive(Eq)]
    pub struct SetFlag {
        /// Which.
        pub flag: String,
        /// Where.
        pub environment: EnvironmentId,
        /// How.
        pub state: FlagState,
        optional {
            /// Only if it has this revision; `None`: whatever it has.
            pub expected: Option<u64>,
        }
    }
}

message! {
    /// A flag as it stands.
    #[derive(Eq)]
    pub struct FlagStatus {
        /// Which.
        pub flag: String,
        /// Where.
        pub environment: EnvironmentId,
        /// How.
        pub state: FlagState,
        /// Another one after each change, always greater.
        pub revision: u64,
    }
}
