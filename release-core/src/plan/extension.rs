//! What is appended to a running plan: a rollback.

use serde::{Deserialize, Serialize};

use super::{Edge, Step, graph};

/// Steps that are appended to a running plan: a rollback. It can be drawn and compared as a plan can.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
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
