//! What every provider call is told besides its request.

use release_core::model::{Principal, Timestamp};
use release_core::port::AuthorizedCommand;
use tokio_util::sync::CancellationToken;

/// What every provider call is told besides its request. Providers never read globals.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// The idempotency key: calls with one key are one operation.
    pub key: String,
    /// When the caller gives up.
    pub deadline: Timestamp,
    /// Cancelled when the caller no longer wants an answer.
    pub cancellation: CancellationToken,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The caller's epoch. A provider that can, rejects epochs older than one it has seen.
    pub epoch: u64,
    /// On whose behalf.
    pub principal: Principal,
}

impl Context {
    /// A context for calls outside a run: tests, tools, set-up.
    pub fn new(key: impl Into<String>, deadline: Timestamp, principal: Principal) -> Self {
        let cancellation = CancellationToken::new();
        Self { key: key.into(), deadline, cancellation, attempt: 1, epoch: 1, principal }
    }

    /// The context of a step of a run.
    pub fn of(command: &AuthorizedCommand) -> Self {
        Self {
            key: command.key(),
            deadline: command.deadline(),
            cancellation: command.cancellation().clone(),
            attempt: command.attempt(),
            epoch: command.epoch(),
            principal: command.requester().clone(),
        }
    }
}
