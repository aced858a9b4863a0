//! What every provider call is told besides its request.

use release_core::model::{Principal, RunId, Timestamp};
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
    /// The run on whose way the call is; `None` for calls outside a run.
    pub run: Option<RunId>,
    /// The epoch of the run's writer. A provider that can, refuses epochs older than one it has seen
    /// of the same run, with [`ErrorKind::Fenced`](crate::ErrorKind::Fenced); one that does declares
    /// [`Capability::EpochFencing`](crate::Capability::EpochFencing). Means nothing without a run.
    pub epoch: u64,
    /// On whose behalf.
    pub principal: Principal,
    /// Whether it takes something back: nothing but a free place holds such a call.
    pub rollback: bool,
}

impl Context {
    /// A context for calls outside a run: tests, tools, set-up.
    pub fn new(key: impl Into<String>, deadline: Timestamp, principal: Principal) -> Self {
        let cancellation = CancellationToken::new();
        let (attempt, run, epoch, rollback) = (1, None, 1, false);
        Self { key: key.into(), deadline, cancellation, attempt, run, epoch, principal, rollback }
    }

    /// The same call by the writer of a run in `epoch`: for tests and tools.
    #[must_use]
    pub fn in_run(mut self, run: RunId, epoch: u64) -> Self {
        (self.run, self.epoch) = (Some(run), epoch);
        self
    }

    /// The context of a step of a run.
    pub fn of(command: &AuthorizedCommand) -> Self {
        Self {
            key: command.key(),
            deadline: command.deadline(),
            cancellation: command.cancellation().clone(),
            attempt: command.attempt(),
            run: Some(command.run().clone()),
            epoch: command.epoch(),
            principal: command.requester().clone(),
            rollback: command.is_rollback(),
        }
    }
}
