//! Named places, and the concrete destinations in them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentId, RegionId, ServiceId, TeamId};

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
}

impl Target {
    /// Names a destination.
    pub const fn new(environment: EnvironmentId, region: RegionId, service: ServiceId) -> Self {
        Self { environment, region, service }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.environment, self.region, self.service)
    }
}
