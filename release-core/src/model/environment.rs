//! Named places, and the concrete destinations in them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentId, RegionId, ServiceId, TeamId, TrackId};

/// How much care an environment needs. Ordered: production last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// For those who write the code.
    Development,
    /// For automated tests.
    Test,
    /// As production, without its users.
    Staging,
    /// Users are here: rollback criteria are required, and nothing unknown is ever a pass.
    Production,
}

/// A named place with an owner, a tier and regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Its name.
    pub id: EnvironmentId,
    /// How much care it needs.
    pub tier: Tier,
    /// The team that answers for it.
    pub owner: TeamId,
    /// Where it runs. Waves of a stage default to one region each, in this order.
    pub regions: Vec<RegionId>,
}

/// One concrete destination: a service in a region of an environment.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The environment.
    pub environment: EnvironmentId,
    /// The region in it.
    pub region: RegionId,
    /// The service that runs there.
    pub service: ServiceId,
    /// Instances that are kept apart from the service's others, for example the fresh ones of the old version in an
    /// [experiment](super::Experiment). A platform runs, checks and measures them as those of another destination; traffic
    /// comes to them as a [share](crate::plan::Weight::track) of the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackId>,
}

impl Target {
    /// Names a destination.
    pub const fn new(environment: EnvironmentId, region: RegionId, service: ServiceId) -> Self {
        Self { environment, region, service, track: None }
    }

    /// The same, of instances that are kept apart.
    #[must_use]
    pub fn on(mut self, track: TrackId) -> Self {
        self.track = Some(track);
        self
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.region, self.service)?;
        self.track.iter().try_for_each(|track| write!(f, "@{track}"))
    }
}
