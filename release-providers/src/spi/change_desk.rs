//! Records changes where the organisation keeps them.

use std::fmt;

use async_trait::async_trait;
use release_core::model::Digest;
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::JobRef;
use super::message::message;
use crate::{Context, Description, ProviderError};

/// Records changes at the service desk of the organisation (ITSM).
///
/// # Conformance
/// `conformance!(ChangeDesk, sandbox)` of `release-testkit`: one key is one ticket and one entry; the state that was
/// told or decided last is observed; what is closed stays closed.
#[async_trait]
pub trait ChangeDesk: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Opens a change request. A [`Standard`](ChangeKind::Standard) change is allowed beforehand; of others the desk decides.
    ///
    /// # Idempotency
    /// One key is one change request, however it stands by now.
    ///
    /// # Errors
    /// `Invalid` for a request that the desk does not take, `Denied` where it may not be opened; both with effect
    /// `NotApplied`.
    async fn open(&self, cx: &Context, request: OpenChange) -> Result<(), ProviderError>;

    /// Tells the desk how the change goes.
    ///
    /// # Contract
    /// What is closed stays closed: `Conflict`, with effect `NotApplied`. A desk may refuse so, too, what its own order of
    /// states does not allow, such as carrying out what nobody approved. It is not asked to decide: that is its people's.
    ///
    /// # Idempotency
    /// One key is one entry. Asked again, also late, it changes nothing of what came after it, and is answered as the first
    /// time.
    ///
    /// # Errors
    /// `NotFound` for a change that was never opened, `Conflict` as said; both with effect `NotApplied`.
    async fn update(&self, cx: &Context, request: UpdateChange) -> Result<(), ProviderError>;

    /// Tells what the desk says of a change.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look. A key that was never used has no ticket, which is no error.
    async fn observe(&self, cx: &Context, request: JobRef) -> Result<ChangeStatus, ProviderError>;
}

/// What kind of change it is, by ITIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// Known, small, allowed beforehand.
    Standard,
    /// To be assessed and allowed.
    Normal,
    /// It cannot wait for that.
    Emergency,
}

/// How a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeState {
    /// It was recorded, and nobody has decided.
    Requested,
    /// It may be carried out.
    Approved,
    /// It must not be carried out.
    Rejected,
    /// It is being carried out.
    Implementing,
    /// It was carried out, and is as wanted.
    Succeeded,
    /// It was carried out, and taken back or failed.
    Failed,
    /// It will not be carried out.
    Withdrawn,
}

impl ChangeState {
    /// Whether nothing more can be said of it.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Rejected | Self::Succeeded | Self::Failed | Self::Withdrawn)
    }
}

message! {
    /// A change that is wanted.
    #[derive(Eq)]
    pub struct OpenChange {
        /// What kind.
        pub kind: ChangeKind,
        /// One line.
        pub summary: String,
        /// The plan that would be carried out.
        pub plan: Digest,
        optional {
            /// What is affected, one line each.
            pub affected: Vec<String>,
            /// When it would begin.
            pub begins: Option<Timestamp>,
            /// When it would be over.
            pub ends: Option<Timestamp>,
            /// How it would be taken back.
            pub rollback: String,
        }
    }
}

message! {
    /// How a change goes.
    #[derive(Eq)]
    pub struct UpdateChange {
        /// The key that it was opened under.
        pub operation: String,
        /// How it stands now.
        pub state: ChangeState,
        optional {
            /// What there is to say, one line.
            pub note: String,
        }
    }
}

message! {
    /// What the desk says of a change.
    #[derive(Eq)]
    pub struct ChangeStatus {
        /// The key that it was opened under.
        pub operation: String,
        optional {
            /// The number that people call it by; `None`: there is no such change.
            pub ticket: Option<String>,
            /// How it stands.
            pub state: Option<ChangeState>,
            /// Where people find it, as a URL.
            pub url: Option<String>,
        }
    }
}
