//! What is written down, so that a crash of the orchestrator loses nothing.

use release_core::model::{Digest, RunId, Target, TrafficRules};
use release_core::plan::Weight;
use release_core::time::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::fence::Caller;
pub(super) use crate::procfs::ProcessId;

/// The version of all records. A reader refuses others.
pub(super) const FORMAT: u16 = 1;

/// `desired/<target>/<digest>.json`: how many instances of one version shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(deserialize_with = "known_format")]
    pub(super) format: u16,
    pub(super) target: Target,
    pub(super) digest: Digest,
    pub(super) version: Version,
    pub(super) replicas: u32,
    /// The key of the last accepted call.
    pub(super) key: String,
    /// The run of that call, and its epoch.
    #[serde(default)]
    pub(super) run: Option<RunId>,
    #[serde(default)]
    pub(super) epoch: u64,
    /// Counts accepted changes, so that an instance's end is blamed on the wish that started it.
    pub(super) generation: u64,
    /// Whether an instance was ever ready.
    pub(super) proven: bool,
    /// Why it was given up.
    pub(super) failed: Option<String>,
}

impl Wish {
    /// Who wished it.
    pub(super) fn caller(&self) -> Caller {
        Caller { key: self.key.clone(), run: self.run.clone(), epoch: self.epoch }
    }
}

/// `instances/<id>.json`: written before the process starts, completed after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceRecord {
    #[serde(deserialize_with = "known_format")]
    pub(super) format: u16,
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) target: Target,
    pub(super) digest: Digest,
    pub(super) generation: u64,
    /// For whom it was started.
    #[serde(default)]
    pub(super) cause: Caller,
    /// When it was started.
    #[serde(default)]
    pub(super) born: Option<Timestamp>,
    pub(super) port: u16,
    /// The process; `None` until it was started.
    pub(super) process: Option<ProcessId>,
    /// Whether it was ever ready.
    pub(super) ready: bool,
}

/// `targets/<target>.json`: the proxy's port and the shares of the versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetRecord {
    #[serde(deserialize_with = "known_format")]
    pub(super) format: u16,
    pub(super) target: Target,
    pub(super) port: u16,
    pub(super) weights: Vec<Weight>,
    /// What holds beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rules: Option<TrafficRules>,
}

pub(super) fn known_format<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        other => Err(serde::de::Error::custom(format_args!(
            "format {other} is not known to this version, which reads {FORMAT}"
        ))),
    }
}
