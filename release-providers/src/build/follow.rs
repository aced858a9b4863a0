//! Work under a key: started, looked at until it is over, cancelled when nobody wants it any more.

use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::Principal;
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;
use tokio_util::sync::CancellationToken;

use crate::layer::Retrying;
use crate::spi::JobPhase;
use crate::{Context, ErrorKind, ProviderError};

/// Work that some provider does under a key.
#[async_trait]
pub(super) trait Job: Sync {
    type Status: Send;
    async fn start(&self, cx: &Context) -> Result<(), ProviderError>;
    async fn observe(&self, cx: &Context) -> Result<Self::Status, ProviderError>;
    async fn cancel(&self, cx: &Context) -> Result<(), ProviderError>;
    fn phase(status: &Self::Status) -> &JobPhase;
}

/// How providers are asked, and how often.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pace {
    /// The pause between two looks, at first; it doubles...
    pub first: Span,
    /// ...up to this.
    pub longest: Span,
    /// How long one call may take: a start may have to fetch what it begins with.
    pub call: Span,
    /// What is asked again that failed. All calls are safe to ask again: each bears the key of its work.
    pub retrying: Retrying,
    /// How long work that was cancelled is waited for.
    pub patience: Span,
}

impl Default for Pace {
    /// Looks from every 100 ms to every 5 s, calls of up to 10 minutes, ten attempts, 5 minutes for what is cancelled.
    fn default() -> Self {
        Self {
            first: Span::millis(100),
            longest: Span::secs(5),
            call: Span::secs(600),
            retrying: Retrying::attempts(10),
            patience: Span::secs(300),
        }
    }
}

/// What came of work.
#[derive(Debug)]
pub(super) enum Followed<S> {
    /// It is over, in whatever way.
    Over(S),
    /// Nobody knows, or it never began; why.
    Lost(String),
}

/// Who follows work.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) pace: &'a Pace,
    pub(super) by: &'a Principal,
    pub(super) stop: &'a CancellationToken,
}

impl Follower<'_> {
    /// Starts work under `key`, or finds that it was, and follows it to its end.
    pub(super) async fn follow<J: Job>(&self, key: &str, job: &J) -> Followed<J::Status> {
        let started = self.asked(key, true, async |cx| job.start(cx).await).await;
        match started {
            Ok(()) => {}
            // It may be under way, and is to be ended.
            Err(_) if self.stop.is_cancelled() => {}
            Err(error) if error.effect() == EffectCertainty::NotApplied => {
                return Followed::Lost(error.to_string());
            }
            Err(error) => {
                return Followed::Lost(format!(
                    "{error}; it may have begun under the key `{key}`: look, or ask again under this key"
                ));
            }
        }
        self.watch(key, job).await
    }

    async fn watch<J: Job>(&self, key: &str, job: &J) -> Followed<J::Status> {
        let (mut pause, mut until) = (self.pace.first, None);
        loop {
            if until.is_none() && self.stop.is_cancelled() {
                // Another operation than the work, so another key.
                let ending = format!("{key}/cancel");
                match self.asked(&ending, false, async |cx| job.cancel(cx).await).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Followed::Lost("cancelled before it began".into());
                    }
                    Err(error) => {
                        return Followed::Lost(format!("it could not be cancelled: {error}"));
                    }
                }
                (until, pause) = (Some(self.clock.now().plus(self.pace.patience)), self.pace.first);
            }
            let status = match self.asked(key, false, async |cx| job.observe(cx).await).await {
                Ok(status) => status,
                Err(error) => {
                    return Followed::Lost(format!("nobody can say how far it is: {error}"));
                }
            };
            if J::phase(&status).is_over() {
                return Followed::Over(status);
            }
            if *J::phase(&status) == JobPhase::Unknown {
                let text = "the runner does not know it any more; take another name for the whole, which builds it anew";
                return Followed::Lost(text.into());
            }
            if until.is_some_and(|until| self.clock.now() >= until) {
                return Followed::Lost("it was cancelled, and has not ended yet".into());
            }
            let next = self.clock.sleep_until(self.clock.now().plus(pause));
            tokio::select! {
                () = next => {}
                () = self.stop.cancelled(), if until.is_none() => {}
            }
            pause = Span::from(pause.as_duration().saturating_mul(2)).min(self.pace.longest);
        }
    }

    /// Asks until there is an answer, or no use in asking; `unless` everything is to end, where that is said.
    async fn asked<T>(
        &self,
        key: &str,
        unless: bool,
        call: impl AsyncFn(&Context) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let mut attempt = 1;
        loop {
            let deadline = self.clock.now().plus(self.pace.call);
            let mut cx = Context::new(key, deadline, self.by.clone());
            cx.attempt = attempt;
            if unless {
                cx.cancellation = self.stop.child_token();
            }
            let error = match call(&cx).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if attempt >= self.pace.retrying.attempts || (unless && self.stop.is_cancelled()) {
                return Err(error);
            }
            let Some(pause) = self.pace.retrying.advised(&error, attempt) else {
                return Err(error);
            };
            let over = self.clock.sleep_until(self.clock.now().plus(pause.into()));
            tokio::select! {
                () = over => {}
                () = self.stop.cancelled(), if unless => return Err(error),
            }
            attempt = attempt.saturating_add(1);
        }
    }
}
