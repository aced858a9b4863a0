//! Sync points at which somebody is missing after the deadline: what a page about it says.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{StopId, SyncPointId, TeamId, Timestamp, TrainId};
use serde::{Deserialize, Serialize};

/// A point at which somebody is missing after its deadline.
///
/// As text it says what a page does: who waits for whom, until when they should have come, and who is to be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missed {
    /// Which.
    pub point: SyncPointId,
    /// The stop that waits; not said by what was written before this was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopId>,
    /// The teams that are there, and wait.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waiting: BTreeSet<TeamId>,
    /// Who is missing.
    pub missing: BTreeSet<TeamId>,
    /// Since when: the deadline.
    pub since: Timestamp,
    /// Who is called.
    pub escalate: TeamId,
}

impl Missed {
    /// What it is called at a pager: `train/point`. It stays the same while teams come one by one, so that nobody is called twice; no
    /// two points of a train have one, nor points of two trains.
    pub fn key(&self, train: &TrainId) -> String {
        format!("{train}/{}", self.point)
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, stop, waiting, missing, since, escalate } = self;
        write!(f, "sync point `{point}`: ")?;
        match stop {
            Some(stop) => write!(f, "stop `{stop}` waits")?,
            None => f.write_str("the train waits")?,
        }
        if !waiting.is_empty() {
            write!(f, " with {}", list(waiting))?;
        }
        write!(f, " for {}, due at {since}; call {escalate}", list(missing))
    }
}

fn list(teams: &BTreeSet<TeamId>) -> String {
    teams.iter().map(TeamId::as_str).collect::<Vec<_>>().join(", ")
}
