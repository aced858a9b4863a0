//! Where a step does what it does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentId, RegionId, SemaphoreId, ServiceId, TeamId};

/// Where a step belongs. Shared by the steps of one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepScope(Option<Arc<Place>>);

/// The environment, region and service of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The environment.
    pub environment: EnvironmentId,
    /// The region, unless the step concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// The service, unless the step concerns the whole set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The team that answers for the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// What the service shares with others, and not all may use at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub semaphores: Vec<SemaphoreId>,
    /// Where it stands what to do when this goes wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
}

impl Place {
    /// All of an environment; refine with the fields.
    pub const fn new(environment: EnvironmentId) -> Self {
        let (region, service, team, runbook) = (None, None, None, None);
        Self { environment, region, service, team, semaphores: Vec::new(), runbook }
    }

    /// Whether all of `other` lies in it.
    pub fn contains(&self, other: &Self) -> bool {
        self.environment == other.environment
            && (self.region.is_none() || self.region == other.region)
            && (self.service.is_none() || self.service == other.service)
    }
}

impl StepScope {
    /// The scope of steps in `place`.
    pub fn of(place: Place) -> Self {
        Self(Some(Arc::new(place)))
    }

    /// The place, unless the step concerns the whole release.
    pub fn place(&self) -> Option<&Place> {
        self.0.as_deref()
    }

    /// The environment, if there is one.
    pub fn environment(&self) -> Option<&EnvironmentId> {
        self.place().map(|place| &place.environment)
    }

    /// The region, if there is one.
    pub fn region(&self) -> Option<&RegionId> {
        self.place().and_then(|place| place.region.as_ref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}
