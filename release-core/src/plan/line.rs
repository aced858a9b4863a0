//! How an environment goes through its regions: which go together, and when no further one begins.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::Step;
use crate::ids::{EnvironmentId, RegionId};

/// The regions of one environment, in the order of their waves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The environment.
    pub environment: EnvironmentId,
    /// Which regions go together, wave after wave.
    pub waves: Vec<Vec<RegionId>>,
    /// How many regions have failed when no further one begins. None: the first failure stops the run as
    /// a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<NonZeroU32>,
}

impl Line {
    /// The regions that go together with that of `step`; none where it lies in none.
    pub fn wave_of(&self, step: &Step) -> Option<&[RegionId]> {
        let region = step.scope.region()?;
        let here = step.scope.environment() == Some(&self.environment);
        self.waves.iter().find(|wave| here && wave.contains(region)).map(|wave| &wave[..])
    }
}
