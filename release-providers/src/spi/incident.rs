//! Reads incidents.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use release_core::model::{EnvironmentId, ServiceId};
use release_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Reads incidents from where the organisation keeps them.
///
/// # Conformance
/// `conformance!(IncidentSource, sandbox)` of `release-testkit`: open incidents are told whole, those that ended
/// since then are told too, and those of other services are not; the answer is dated.
#[async_trait]
pub trait IncidentSource: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Reads the incidents that concern some services, as they are now.
    ///
    /// # Contract
    /// It only looks. All or nothing, however many pages it was read in: a source that cannot be reached is an error,
    /// never an empty answer. Incidents that are over are told if they ended at `request.since` or
    /// later. The answer says when the source was read.
    ///
    /// # Errors
    /// `Unavailable` when the source cannot be reached, `Denied` when it does not let this host read.
    async fn list(&self, cx: &Context, request: ListIncidents) -> Result<Incidents, ProviderError>;
}

message! {
    /// Which incidents.
    #[derive(Eq)]
    pub struct ListIncidents {
        /// Those that are open, and those that ended since.
        pub since: Timestamp,
        optional {
            /// Those that concern one of these services, and those that name no service, which concern all; empty: whatever
            /// they concern.
            pub services: BTreeSet<ServiceId>,
        }
    }
}

message! {
    /// Incidents as they are.
    #[derive(Eq)]
    pub struct Incidents {
        /// When the source was read.
        pub taken_at: Timestamp,
        /// The incidents, by id.
        pub incidents: Vec<Incident>,
    }
}

message! {
    /// One incident.
    #[derive(Eq)]
    pub struct Incident {
        /// Its id, as its source calls it.
        pub id: String,
        /// How bad it is.
        pub severity: IncidentSeverity,
        /// One line.
        pub summary: String,
        /// When it began.
        pub opened_at: Timestamp,
        optional {
            /// When it was over; `None` while it is not.
            pub resolved_at: Option<Timestamp>,
            /// Whom it concerns.
            pub services: BTreeSet<ServiceId>,
            /// Where.
            pub environment: Option<EnvironmentId>,
        }
    }
}

/// How bad an incident is; the first is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IncidentSeverity {
    /// Most users are affected.
    Critical,
    /// Many users are affected.
    Major,
    /// Few users are affected.
    Minor,
}
