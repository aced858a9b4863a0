//! Which step waits for which, and what is rolled back together.

use serde::{Deserialize, Serialize};

/// Why one step waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The step that comes first.
    pub from: u32,
    /// The step that waits.
    pub to: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "EdgeKind::is_order")]
    pub why: EdgeKind,
}

/// Why one step waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EdgeKind {
    /// One rollout's own order.
    #[default]
    Order,
    /// A service needs another.
    Dependency,
    /// All meet before any goes on.
    Sync,
}

impl EdgeKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_order(&self) -> bool {
        *self == Self::Order
    }
}

/// Steps that are rolled back together, in the order of their compensations' phases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What it is called, for example `production/eu/api`.
    pub name: String,
    /// Groups that went before it for a reason, and so are rolled back after it.
    pub after: Vec<u32>,
    /// Those of `after` of which the version from before would do as well. It needs the new version of
    /// all others: they cannot be left behind without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub either: Vec<u32>,
}
