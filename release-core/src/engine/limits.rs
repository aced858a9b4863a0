//! What a host sees of the platform's limits, and what it may do about them.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::desk::Desk;
use super::ledger::Stored;
use super::limiter::{Limiter, Message};
use super::{Engine, EngineError, Shared};
use crate::ids::{LimitId, RunId, StepId};
use crate::limits::{Ledger, Usage, WhyWaiting};
use crate::model::Principal;
use crate::time::Timestamp;

impl Engine {
    /// The ledger of permits, as it is stored now. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::NoLimits`], [`EngineError::ShutDown`], or what the journal says.
    pub async fn ledger(&self) -> Result<Ledger, EngineError> {
        self.ask(|reply| Message::Look { reply }).await?
    }

    /// Why a step waits for permits: the limits that are full and who has them, who comes before it, and
    /// an estimate. `None` when it waits for none.
    ///
    /// # Errors
    /// As [`Engine::ledger`].
    pub async fn why_waiting(
        &self,
        run: &RunId,
        step: &StepId,
    ) -> Result<Option<WhyWaiting>, EngineError> {
        let ledger = self.ledger().await?;
        let mut queue = ledger.queue().map(|request| &request.claim);
        let claim = queue.find(|claim| claim.run == *run && claim.step == *step).cloned();
        Ok(claim.and_then(|claim| ledger.why_waiting(&claim, self.shared.clock.now())))
    }

    /// How much of each limit and of each quota is in use.
    ///
    /// # Errors
    /// As [`Engine::ledger`].
    pub async fn usage(&self) -> Result<Vec<Usage>, EngineError> {
        Ok(self.ledger().await?.usage(self.shared.clock.now()))
    }

    /// When a quota will be used up at the present rate; see [`Ledger::forecast`].
    ///
    /// # Errors
    /// As [`Engine::ledger`].
    pub async fn quota_forecast(&self, quota: &LimitId) -> Result<Option<Timestamp>, EngineError> {
        Ok(self.ledger().await?.forecast(quota, self.shared.clock.now()))
    }

    /// Gives back what a run has, because `by` knows that nothing of it is under way: a run that was
    /// interrupted and is never resumed keeps its permits else, since its effects may go on. The ledger
    /// has it with who and why. Returns whether the run has nothing now.
    ///
    /// # Errors
    /// As [`Engine::ledger`].
    pub async fn force_release(
        &self,
        run: &RunId,
        by: Principal,
        reason: impl Into<String>,
    ) -> Result<bool, EngineError> {
        let (run, reason) = (run.clone(), reason.into());
        self.ask(|reply| Message::Force { run, by, reason, reply }).await?
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, EngineError> {
        let limiter = self.shared.limiter().ok_or(EngineError::NoLimits)?;
        let (reply, answer) = oneshot::channel();
        limiter.send(message(reply)).map_err(|_| EngineError::ShutDown)?;
        answer.await.map_err(|_| EngineError::ShutDown)
    }
}

impl Shared {
    /// How to reach the task that owns the ledger, which begins with the first who asks; none where there
    /// are no limits.
    pub(super) fn limiter(&self) -> Option<mpsc::UnboundedSender<Message>> {
        let limits = self.limits.as_ref()?;
        let begin = || {
            // Bounded by what runs ask, each step once, and by the hosts' callers.
            let (sender, inbox) = mpsc::unbounded_channel();
            let stored = Stored::new(Arc::clone(&self.journal))?;
            let ports = (Arc::clone(&self.clock), Arc::clone(&self.journal));
            let desk = Desk::new(Arc::clone(limits), self.unique.clone());
            let limiter = Limiter::new(ports, self.stop.clone(), inbox, desk, stored);
            self.tasks.spawn(limiter.run());
            Some(sender)
        };
        self.limiter.get_or_init(begin).clone()
    }
}

/// The ledger of permits as it is stored now, or how it is damaged; nothing when it cannot be known.
pub(super) async fn seen(
    limiter: &mpsc::UnboundedSender<Message>,
) -> Option<Result<Ledger, String>> {
    let (reply, answer) = oneshot::channel();
    limiter.send(Message::Look { reply }).ok()?;
    match answer.await.ok()? {
        Ok(ledger) => Some(Ok(ledger)),
        Err(EngineError::LedgerDamaged { detail }) => Some(Err(detail)),
        Err(_) => None,
    }
}
