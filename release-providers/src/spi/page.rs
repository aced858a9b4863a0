//! Calls people.

use std::fmt;

use async_trait::async_trait;
use release_core::model::TeamId;
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::message::message;
use super::{JobRef, Severity};
use crate::{Context, Description, ProviderError};

/// Calls whoever is on call, and goes on to the next if nobody answers.
///
/// # Conformance
/// `conformance!(Pager, sandbox)` of `release-testkit`: who is called is told until it is over; an unused key is
/// `Unknown`.
#[async_trait]
pub trait Pager: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Calls the people of a team.
    ///
    /// # Idempotency
    /// One key is one call, however often it is asked for.
    ///
    /// # Errors
    /// `NotFound` for a team that nobody is on call for; `Unavailable` when nobody can be called.
    async fn page(&self, cx: &Context, request: PageTeam) -> Result<(), ProviderError>;

    /// Tells whether somebody took the call.
    ///
    /// # Errors
    /// `Unavailable` when it cannot look. A key that was never used is [`PagePhase::Unknown`], no error.
    async fn observe(&self, cx: &Context, request: JobRef) -> Result<PageStatus, ProviderError>;

    /// Ends the call: it is over, or was a mistake.
    ///
    /// # Idempotency
    /// Ending it again changes nothing.
    ///
    /// # Errors
    /// `NotFound` for a call that was never made; `Unavailable`.
    async fn resolve(&self, cx: &Context, request: JobRef) -> Result<(), ProviderError>;
}

message! {
    /// Whom to call, and why.
    #[derive(Eq)]
    pub struct PageTeam {
        /// Whom.
        pub team: TeamId,
        /// How urgent.
        pub severity: Severity,
        /// Why, one line.
        pub summary: String,
        optional {
            /// What to do, as a URL.
            pub runbook: Option<String>,
        }
    }
}

message! {
    /// A call as it is.
    #[derive(Eq)]
    pub struct PageStatus {
        /// The key that it was made under.
        pub operation: String,
        /// How far it is.
        pub phase: PagePhase,
        optional {
            /// How often it went on to the next.
            pub escalations: u32,
        }
    }
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PagePhase {
    /// It was never made.
    Unknown,
    /// Somebody is being called.
    Calling,
    /// Somebody took it.
    Acknowledged {
        /// Who, as the pager knows them.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// It is over.
    Resolved,
}
