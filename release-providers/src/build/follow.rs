//! Work under a key: started, looked at until it is over, cancelled when nobody wants it any more.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::Principal;
use release_core::port::{Clock, EffectCertainty};
use release_core::time::{Span, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::layer::Retrying;
use crate::spi::{
    BuildRunner, BuildStatus, JobPhase, JobRef, StartBuild, StartTests, TestRunner, TestStatus,
};
use crate::{Context, ErrorKind, ProviderError};

/// Work that some provider does under a key.
#[async_trait]
pub(super) trait Job: Sync {
    type Status: Send;
    async fn start(&self, cx: &Context) -> Result<(), ProviderError>;
    async fn observe(&self, cx: &Context, key: JobRef) -> Result<Self::Status, ProviderError>;
    async fn cancel(&self, cx: &Context, key: JobRef) -> Result<(), ProviderError>;
    fn phase(status: &Self::Status) -> &JobPhase;
}

/// What a runner is asked for.
#[derive(Debug)]
pub(super) struct Asked<'a, R: ?Sized, Q> {
    runner: &'a R,
    request: Q,
}

/// The work of runners whose traits have these three calls.
macro_rules! job {
    ($runner:ident, $request:ident, $status:ident) => {
        #[async_trait]
        impl Job for Asked<'_, dyn $runner, $request> {
            type Status = $status;

            async fn start(&self, cx: &Context) -> Result<(), ProviderError> {
                self.runner.start(cx, self.request.clone()).await
            }

            async fn observe(&self, cx: &Context, key: JobRef) -> Result<$status, ProviderError> {
                self.runner.observe(cx, key).await
            }

            async fn cancel(&self, cx: &Context, key: JobRef) -> Result<(), ProviderError> {
                self.runner.cancel(cx, key).await
            }

            fn phase(status: &$status) -> &JobPhase {
                &status.phase
            }
        }
    };
}

job!(BuildRunner, StartBuild, BuildStatus);
job!(TestRunner, StartTests, TestStatus);

/// Why work that is over is no success.
pub(super) fn success(phase: &JobPhase) -> Result<(), String> {
    match phase {
        JobPhase::Succeeded => Ok(()),
        JobPhase::Failed { reason } => Err(reason.clone()),
        JobPhase::Cancelled => Err("it was cancelled".into()),
        JobPhase::Running | JobPhase::Unknown => Err("it is not over".into()),
    }
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
    Over {
        /// How it ended.
        status: S,
        /// How long it took. Nothing is known of that where it was found under way or over, or was broken off.
        took: Option<Span>,
    },
    /// Nobody knows, or it never began; why.
    Lost(String),
}

/// How a campaign is conducted: under which name, for whom, how much at once, and how often it looks.
#[derive(Debug, Clone)]
pub(super) struct Conduct {
    pub(super) name: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) by: Principal,
    pub(super) at_once: NonZeroUsize,
    pub(super) pace: Pace,
}

impl Conduct {
    /// Four at once.
    pub(super) fn new(name: String, clock: Arc<dyn Clock>, by: Principal) -> Self {
        let at_once = NonZeroUsize::MIN.saturating_add(3);
        Self { name, clock, by, at_once, pace: Pace::default() }
    }

    /// Starts what is asked for under the key `{name}/{id}`, or finds that it was, and follows it to its end.
    pub(super) async fn follow<'a, R, Q, S>(
        &'a self,
        id: &impl fmt::Display,
        runner: &'a R,
        request: Q,
        stop: &'a CancellationToken,
    ) -> Followed<S>
    where
        R: ?Sized,
        Asked<'a, R, Q>: Job<Status = S>,
    {
        let key = format!("{}/{id}", self.name);
        let Self { clock, by, pace, .. } = self;
        let follower = Follower { clock, pace, by, stop };
        follower.follow(&key, &Asked { runner, request }).await
    }
}

/// Who follows work.
#[derive(Debug)]
struct Follower<'a> {
    clock: &'a Arc<dyn Clock>,
    pace: &'a Pace,
    by: &'a Principal,
    stop: &'a CancellationToken,
}

impl Follower<'_> {
    async fn follow<J: Job>(&self, key: &str, job: &J) -> Followed<J::Status> {
        // What is there already began when nobody here looked.
        let cx = self.context(key, 1, true);
        let found = job.observe(&cx, JobRef::new(key.to_owned())).await;
        let new = found.is_ok_and(|was| *J::phase(&was) == JobPhase::Unknown);
        let begins = new.then(|| self.clock.now());
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
        self.watch(key, job, begins).await
    }

    async fn watch<J: Job>(
        &self,
        key: &str,
        job: &J,
        begins: Option<Timestamp>,
    ) -> Followed<J::Status> {
        let (mut pause, mut until) = (self.pace.first, None);
        let work = || JobRef::new(key.to_owned());
        loop {
            if until.is_none() && self.stop.is_cancelled() {
                // Another operation than the work, so another key.
                let ending = format!("{key}/cancel");
                match self.asked(&ending, false, async |cx| job.cancel(cx, work()).await).await {
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
            let status =
                match self.asked(key, false, async |cx| job.observe(cx, work()).await).await {
                    Ok(status) => status,
                    Err(error) => {
                        return Followed::Lost(format!("nobody can say how far it is: {error}"));
                    }
                };
            if J::phase(&status).is_over() {
                let ended = begins.filter(|_| *J::phase(&status) != JobPhase::Cancelled);
                let took = ended.map(|begins| self.clock.now().since(begins));
                return Followed::Over { status, took };
            }
            if *J::phase(&status) == JobPhase::Unknown {
                let text = "the runner does not know it any more; take another name for the whole, which does it anew";
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
            let error = match call(&self.context(key, attempt, unless)).await {
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

    fn context(&self, key: &str, attempt: u32, unless: bool) -> Context {
        let deadline = self.clock.now().plus(self.pace.call);
        let mut cx = Context::new(key, deadline, self.by.clone());
        cx.attempt = attempt;
        if unless {
            cx.cancellation = self.stop.child_token();
        }
        cx
    }
}
