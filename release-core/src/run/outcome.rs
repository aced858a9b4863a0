//! Why a run goes back, and how it ends.

use serde::{Deserialize, Serialize};

use super::event::StepRef;
use crate::ids::RunId;
use crate::model::{Principal, RollbackScope, Signal};
use crate::plan::Part;

/// Why a run is rolled back or ends early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Cause {
    /// A step failed.
    StepFailed {
        /// The step.
        step: StepRef,
        /// How far the rollback reaches; none when there is to be none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<RollbackScope>,
        /// What failed.
        message: String,
    },
    /// Somebody cancelled it.
    Cancelled {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A newer run took its place.
    Superseded {
        /// The newer run.
        run: RunId,
        /// Who decided it.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// Somebody told of an incident or an alert for which the release planned to go back.
    Signalled {
        /// Of which.
        signal: Box<Signal>,
        /// How far the rollback reaches, seen from where the signal is about.
        scope: RollbackScope,
        /// Who told of it.
        by: Principal,
        /// What they said.
        reason: String,
    },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StepFailed { step, message, .. } => {
                write!(f, "step `{}` failed: {message}", step.id)
            }
            Self::Cancelled { by, reason } => write!(f, "cancelled by {by}: {reason}"),
            Self::Superseded { run, by, reason } => {
                write!(f, "superseded by `{run}`, as {by} decided: {reason}")
            }
            Self::Signalled { signal, by, reason, .. } => {
                write!(f, "{signal}, as {by} told: {reason}")
            }
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Outcome {
    /// Every step succeeded.
    Succeeded,
    /// Every step of the others succeeded; these parts were left behind, and what they had changed was put
    /// back.
    SucceededWithout {
        /// What was left behind.
        left: Vec<Part>,
    },
    /// What it had changed in the cause's scope was put back, and so was all of every region that was on its
    /// way. Other regions have all of the new version.
    RolledBack {
        /// Why.
        cause: Cause,
    },
    /// It failed; what it had changed stays.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// Somebody stopped it; what it had changed stays.
    Cancelled {
        /// Why.
        cause: Cause,
    },
    /// Somebody gave it up where it stood. Never a success, never a rollback.
    Abandoned {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// A stable word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::SucceededWithout { .. } => "succeeded_without",
            Self::RolledBack { .. } => "rolled_back",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::SucceededWithout { left } => {
                let left: Vec<_> = left.iter().map(ToString::to_string).collect();
                write!(f, "succeeded without {}", left.join(", "))
            }
            Self::RolledBack { cause } => write!(f, "rolled back, because {cause}"),
            Self::Failed { cause } => write!(f, "failed, because {cause}"),
            Self::Cancelled { cause } => write!(f, "stopped: {cause}"),
            Self::Abandoned { by, reason } => write!(f, "abandoned by {by}: {reason}"),
        }
    }
}
