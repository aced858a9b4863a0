//! What a blocked step waits for.

use serde::{Deserialize, Serialize};

use crate::ids::GateId;
use crate::time::Timestamp;

/// What a blocked step waits for: an instant or a named input. There is no third, so a step that
/// waits for nothing cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum WakeUp {
    /// It is looked at again at this instant.
    Instant {
        /// When.
        at: Timestamp,
    },
    /// It is looked at again when this gate gets an approval.
    Approval {
        /// The first gate that lacks one.
        gate: GateId,
    },
    /// It is looked at again when the policy, which named no instant, answers otherwise.
    Policy,
    /// It is looked at again when it has the permits of the platform's limits, or when it is known who
    /// has them.
    Permit,
}
