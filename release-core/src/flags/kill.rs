//! A flag that a person switches off in an emergency, on record.

use serde::{Deserialize, Serialize};

use super::{FlagKey, FlagReading};
use crate::ids::{EnvironmentId, RunId};
use crate::model::Principal;
use crate::port::EffectError;
use crate::time::Timestamp;

/// What is recorded of a kill. Append-only: variants and fields are added, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum KillEvent {
    /// Somebody wants it.
    Ordered {
        /// Where.
        environment: EnvironmentId,
        /// Which flag.
        flag: FlagKey,
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// The store was seen to have it off, and to keep it so.
    Confirmed {
        /// What was seen.
        reading: FlagReading,
    },
    /// It could not be done, or was not seen to be.
    Failed {
        /// What failed.
        error: EffectError,
    },
}

/// A kill as it stands on record: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlagKill {
    /// The stream of records that it has for itself.
    pub stream: RunId,
    /// When it was ordered.
    pub at: Timestamp,
    /// Where.
    pub environment: EnvironmentId,
    /// Which flag.
    pub flag: FlagKey,
    /// Who.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// What came of it. None: whoever ordered it was stopped before that was on record. Whether the flag is off only its
    /// store knows then, and killing it again does no harm.
    pub outcome: Option<Result<FlagReading, EffectError>>,
}

impl FlagKill {
    /// A kill that was ordered.
    pub(crate) fn ordered(stream: RunId, at: Timestamp, event: KillEvent) -> Option<Self> {
        let KillEvent::Ordered { environment, flag, by, reason } = event else { return None };
        Some(Self { stream, at, environment, flag, by, reason, outcome: None })
    }

    /// Folds a later event into it. Whether that could follow.
    pub(crate) fn evolve(&mut self, event: KillEvent) -> bool {
        let outcome = match event {
            KillEvent::Ordered { .. } => return false,
            KillEvent::Confirmed { reading } => Ok(reading),
            KillEvent::Failed { error } => Err(error),
        };
        self.outcome.replace(outcome).is_none()
    }
}
