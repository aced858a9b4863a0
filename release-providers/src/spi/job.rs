//! What all work has in common that is started, looked at, and may be cancelled.

use serde::{Deserialize, Serialize};

use super::message::message;

/// How far work is that was started under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobPhase {
    /// It was never started under this key, or was forgotten.
    Unknown,
    /// It waits or runs.
    Running,
    /// It is done, and what it made is there.
    Succeeded,
    /// It ended without success.
    Failed {
        /// What is wrong, in one line. Never a secret.
        reason: String,
    },
    /// It ended because somebody cancelled it.
    Cancelled,
}

impl JobPhase {
    /// Whether nothing more will happen.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. } | Self::Cancelled)
    }
}

message! {
    /// Which work: by the [`Context::key`](crate::Context::key) that it was started under.
    #[derive(Eq)]
    pub struct JobRef {
        /// The key.
        pub operation: String,
    }
}
