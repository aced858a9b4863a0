//! Switches features.

use std::fmt;

use async_trait::async_trait;
pub use release_core::flags::FlagState;
use release_core::model::EnvironmentId;

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Switches features on, off, or on for some; and off for good, in an emergency.
///
/// # Conformance
/// `conformance!(FlagStore, sandbox)` of `release-testkit`: what is set is observed with a greater revision, the same
/// state changes nothing, an expected revision is checked, and what was killed stays off until it is revived.
#[async_trait]
pub trait FlagStore: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Sets a flag in an environment.
    ///
    /// # Contract
    /// With `request.expected`, only if the flag has just that revision: else `Conflict`, with effect `NotApplied`.
    ///
    /// A flag that was [killed](FlagStore::kill) is off and stays so: what would turn it on is a `Conflict` too, with
    /// effect `NotApplied`. With `request.revive` it is set all the same, also to off, and is killed no more. Steps of
    /// runs never ask for that.
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

    /// Switches a flag off for everybody, and keeps it off whatever was or is asked for by [`FlagStore::set`]. `Off`
    /// again with a greater revision.
    ///
    /// # Contract
    /// Nothing but being unable to do it stands in its way: neither the flag's state nor its revision, nor rules that the
    /// store has for it. [`FlagStatus::killed`] tells from then on that, by whom and why.
    ///
    /// # Idempotency
    /// Killed again changes nothing, not even by whom it was.
    ///
    /// # Errors
    /// `NotFound` for an unknown flag or environment, with effect `NotApplied`; `Unavailable` when it cannot.
    async fn kill(&self, cx: &Context, request: KillFlag) -> Result<(), ProviderError>;

    /// Tells how a flag stands.
    ///
    /// # Errors
    /// `NotFound` for an unknown flag or environment; `Unavailable` when it cannot look.
    async fn observe(&self, cx: &Context, request: FlagRef) -> Result<FlagStatus, ProviderError>;
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
            /// Whether it may be set although it was killed, and is killed no more.
            pub revive: bool,
        }
    }
}

message! {
    /// A flag that is switched off in an emergency.
    #[derive(Eq)]
    pub struct KillFlag {
        /// Which.
        pub flag: String,
        /// Where.
        pub environment: EnvironmentId,
        /// Who kills it and why, in one line.
        pub reason: String,
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
        optional {
            /// Who killed it and why, while it is killed.
            pub killed: Option<String>,
        }
    }
}
