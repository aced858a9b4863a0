//! The order to kill a flag.

use crate::flags::FlagKey;
use crate::ids::{EnvironmentId, RunId};
use crate::model::Principal;
use crate::time::Timestamp;

/// A flag that somebody wants switched off at once: only the engine can make one, of
/// [`Engine::kill_flag`](crate::engine::Engine::kill_flag).
///
/// ```compile_fail
/// use release_core::port::KillOrder;
/// let forged = KillOrder {};
/// ```
#[derive(Debug, Clone)]
pub struct KillOrder {
    pub(crate) stream: RunId,
    pub(crate) environment: EnvironmentId,
    pub(crate) flag: FlagKey,
    pub(crate) by: Principal,
    pub(crate) reason: String,
    pub(crate) attempt: u32,
    pub(crate) deadline: Timestamp,
}

impl KillOrder {
    /// The idempotency key: the same for every attempt.
    pub fn key(&self) -> &str {
        self.stream.as_str()
    }

    /// Where.
    pub const fn environment(&self) -> &EnvironmentId {
        &self.environment
    }

    /// Which flag.
    pub const fn flag(&self) -> &FlagKey {
        &self.flag
    }

    /// Who wants it.
    pub const fn by(&self) -> &Principal {
        &self.by
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Which attempt this is, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the attempt is given up.
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }
}
