//! Turns: whoever looks at a target or changes it does so alone, and a change that has begun is done to its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::Target;
use release_core::port::{Clock, EffectCertainty};
use tokio::sync::OwnedMutexGuard;
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Context, ErrorKind, ProviderError};

/// The turns of a router's targets.
#[derive(Debug)]
pub(crate) struct Turns {
    pub(crate) clock: Arc<dyn Clock>,
    gates: BTreeMap<Target, Arc<tokio::sync::Mutex<()>>>,
    /// Changes under way, which go on when nobody waits for them.
    tasks: TaskTracker,
    closed: CancellationToken,
}

impl Turns {
    pub(crate) fn new(clock: Arc<dyn Clock>, targets: impl IntoIterator<Item = Target>) -> Self {
        let gates = targets.into_iter().map(|target| (target, Arc::default())).collect();
        Self { clock, gates, tasks: TaskTracker::new(), closed: CancellationToken::new() }
    }

    /// Refuses all further calls, and waits for changes under way.
    pub(crate) async fn close(&self) {
        self.closed.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Looks at a target in the caller's turn.
    pub(crate) async fn look<T>(
        &self,
        operation: &'static str,
        cx: &Context,
        target: &Target,
        work: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        self.check_open(operation)?;
        let looked = async {
            let _turn = self.turn(operation, target).await?;
            work.await
        };
        cx.within(&*self.clock, operation, EffectCertainty::NotApplied, looked).await
    }

    /// Changes a target in the caller's turn, and then to the end. A caller that goes away before has changed nothing
    /// and never will; one that goes away later has made its change as far as any later turn can see.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        operation: &'static str,
        cx: &Context,
        target: &Target,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let wait = self.turn(operation, target);
        let turn = cx.within(&*self.clock, operation, EffectCertainty::NotApplied, wait).await?;
        // Nothing is waited for between the turn and the task that holds it.
        let work = self.finish(operation, turn, work);
        cx.within(&*self.clock, operation, EffectCertainty::Unknown, work).await
    }

    async fn turn(
        &self,
        operation: &'static str,
        target: &Target,
    ) -> Result<OwnedMutexGuard<()>, ProviderError> {
        let gate = self.gates.get(target).map(Arc::clone).ok_or_else(|| {
            let text = "the router has no such target; add it to its settings, and to its server";
            ProviderError::new(ErrorKind::NotFound, operation, text).with_context("target", target)
        })?;
        // Unconstrained: nobody is put off before they stand in the queue.
        Ok(unconstrained(gate.lock_owned()).await)
    }

    async fn finish<T: Send + 'static>(
        &self,
        operation: &'static str,
        turn: OwnedMutexGuard<()>,
        work: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, ProviderError> {
        // A close that comes after the check waits for the token, and then for the task.
        let token = self.tasks.token();
        self.check_open(operation)?;
        let task = self.tasks.spawn(async move {
            let done = work.await;
            drop(turn);
            done
        });
        drop(token);
        task.await.map_err(|e| {
            ProviderError::new(ErrorKind::Internal, operation, "a task broke off")
                .with_effect(EffectCertainty::Unknown)
                .with_source(e)
        })?
    }

    fn check_open(&self, operation: &'static str) -> Result<(), ProviderError> {
        if self.closed.is_cancelled() {
            let text = "the router was closed; open it again";
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
        }
        Ok(())
    }
}
