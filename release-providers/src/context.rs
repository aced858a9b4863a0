//! What every provider call is told besides its request.

use std::fmt;

use release_core::model::{Principal, RunId, Timestamp};
use release_core::port::{AuthorizedCommand, Clock, EffectCertainty, KillOrder};
use tokio_util::sync::CancellationToken;

use crate::{ErrorKind, ProviderError};

/// What every provider call is told besides its request. Providers never read globals.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Context {
    /// The idempotency key: calls with one key are one operation, also at once, late, and after a restart, unless the
    /// operation's **Idempotency** says otherwise. It means what it was used for first.
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
    /// [`Fencing::Epochs`](crate::Fencing::Epochs). Means nothing without a run.
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

    /// Refuses a call that nobody waits for any more: what every operation begins with. Layers and plugin hosts do so
    /// too; a provider that is called without them keeps the promise by itself.
    ///
    /// ```
    /// use release_providers::{Clock as _, Context, ErrorKind, SystemClock, model::Principal};
    /// # fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = SystemClock::new();
    /// let cx = Context::new("key", clock.now(), Principal::human("ada".parse()?));
    /// let refused = cx.check("flags.set", clock.now()).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Timeout);
    /// # Ok(()) } f().unwrap();
    /// ```
    ///
    /// # Errors
    /// `Cancelled` or, when the deadline is not after `now`, `Timeout`; nothing was done.
    pub fn check(&self, operation: impl fmt::Display, now: Timestamp) -> Result<(), ProviderError> {
        if self.cancellation.is_cancelled() {
            let text = "cancelled before it began";
            return Err(not_begun(ErrorKind::Cancelled, &operation, text));
        }
        if now >= self.deadline {
            let text = "its deadline passed before it began";
            return Err(not_begun(ErrorKind::Timeout, &operation, text));
        }
        Ok(())
    }

    /// Does `work` after that check, until the deadline and unless the caller cancels. The future of `work` is dropped
    /// then; `effect` is what may have happened.
    ///
    /// # Errors
    /// Those of `work`, `Cancelled` and `Timeout`.
    pub async fn within<T>(
        &self,
        clock: &dyn Clock,
        operation: &'static str,
        effect: EffectCertainty,
        work: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        self.check(operation, clock.now())?;
        let over =
            |kind, text: &str| Err(ProviderError::new(kind, operation, text).with_effect(effect));
        tokio::select! {
            biased;
            done = work => done,
            () = self.cancellation.cancelled() => {
                over(ErrorKind::Cancelled, "cancelled; look what happened")
            }
            () = clock.sleep_until(self.deadline) => {
                over(ErrorKind::Timeout, "not done by its deadline; look again")
            }
        }
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

impl Context {
    /// The context of a kill. What holds no rollback holds none of these either.
    pub(crate) fn of_kill(order: &KillOrder) -> Self {
        let key = order.key().to_owned();
        let attempt = order.attempt();
        Self { attempt, rollback: true, ..Self::new(key, order.deadline(), order.by().clone()) }
    }
}

fn not_begun(kind: ErrorKind, operation: &dyn fmt::Display, text: &str) -> ProviderError {
    ProviderError::new(kind, operation.to_string(), text).with_effect(EffectCertainty::NotApplied)
}
