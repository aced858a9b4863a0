//! What is appended to a running plan: a rollback, or what takes back a part that is left behind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Edge, Step, graph};
use crate::ids::{EnvironmentId, RegionId, ServiceId};

/// Steps that are appended to a running plan: a rollback, or what takes back a part of the release that
/// is left behind while the rest goes on. It can be drawn and compared as a plan can.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// The part that it takes back; none, when it is the rollback with which the run ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Their edges, as indices into `steps`.
    pub edges: Vec<Edge>,
    /// The steps of the plan that it undoes.
    pub undoes: Vec<u32>,
    /// What is tried instead of steps that fail for good, in the order in which it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates: Vec<Alternate>,
    /// The steps that are started only when the rollback is stuck: they call people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<u32>,
}

/// A part of a release that can be left behind while the rest goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// A member of the train, everywhere.
    Service {
        /// Which.
        service: ServiceId,
    },
    /// A region of an environment, with all services.
    Region {
        /// The environment.
        environment: EnvironmentId,
        /// Which region of it.
        region: RegionId,
    },
}

impl Part {
    /// Whether `step` belongs to it.
    pub fn covers(&self, step: &Step) -> bool {
        let Some(place) = step.scope.place() else { return false };
        match self {
            Self::Service { service } => place.service.as_ref() == Some(service),
            Self::Region { environment, region } => {
                place.environment == *environment && place.region.as_ref() == Some(region)
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { service } => write!(f, "service {service}"),
            Self::Region { environment, region } => write!(f, "region {region} of {environment}"),
        }
    }
}

/// What is tried instead of a step that fails for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternate {
    /// The step, by its index in the extension.
    pub step: u32,
    /// What is tried.
    pub action: super::Action,
}

impl Extension {
    /// Whether it can be appended to a plan of `base` steps: its indices exist, and it has no cycle.
    pub(crate) fn fits(&self, base: usize) -> bool {
        let known = |index: u32| (index as usize) < self.steps.len();
        let pairs: Vec<_> = self.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        pairs.iter().all(|(from, to)| known(*from) && known(*to))
            && self
                .alternates
                .iter()
                .map(|alternate| &alternate.step)
                .chain(&self.pages)
                .all(|index| known(*index))
            && self
                .pages
                .iter()
                .all(|page| !pairs.iter().any(|(from, to)| from == page || to == page))
            && self.undoes.iter().all(|index| (*index as usize) < base)
            && graph::order(self.steps.len(), &pairs).is_ok()
    }
}
