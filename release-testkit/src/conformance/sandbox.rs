//! What all sandboxes have in common, and how time passes in a suite.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use release_core::engine::SystemClock;
use release_core::model::{ArtifactRef, RunId};
use release_core::port::Clock;
use release_core::time::{Span, Timestamp};
use release_providers::{Context, Description, ProviderError, Secret};
use semver::Version;

use super::{Broken, Said, Trouble, broken, which};
use crate::fixtures;

/// What a hook of a sandbox fails with.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Something that the suite asks of the vendor's sandbox.
pub(crate) type Hook<A, T> =
    Arc<dyn Fn(A) -> BoxFuture<'static, Result<T, HookError>> + Send + Sync>;

pub(crate) fn hook<A: 'static, T: 'static, F>(
    make: impl Fn(A) -> F + Send + Sync + 'static,
) -> Hook<A, T>
where
    F: Future<Output = Result<T, HookError>> + Send + 'static,
{
    Arc::new(move |argument| Box::pin(make(argument)))
}

/// An artifact that a suite may deploy, and what people call it by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// The artifact.
    pub artifact: ArtifactRef,
    /// Its version.
    pub version: Version,
}

impl Subject {
    /// An artifact and its version.
    pub const fn new(artifact: ArtifactRef, version: Version) -> Self {
        Self { artifact, version }
    }
}

/// What a case is given.
#[async_trait(?Send)]
pub(crate) trait Sandbox {
    fn common(&self) -> &Common;
    /// What is tested, for the report.
    fn title(&self) -> String;
    /// Gets ready for a case.
    async fn prepare(&self) -> Result<(), Broken>;
}

/// A sandbox of a provider, which describes itself.
pub(crate) trait Provided: Sandbox {
    fn describe(&self) -> Description;
}

/// A provider in a report.
pub(crate) fn title(Description { name, version, .. }: &Description) -> String {
    format!("{name} {version}")
}

/// What all sandboxes have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) patience: Span,
    pub(crate) canary: Option<Secret>,
    /// Lets time pass on the clock; none, where it passes by itself, or nobody said how.
    passing: Option<Hook<Span, ()>>,
    passes_by_itself: bool,
    /// How long what was asked for may go on by itself.
    pub(crate) settle: Span,
    pub(crate) troubles: BTreeMap<Trouble, Hook<bool, ()>>,
    on_close: Option<Hook<(), ()>>,
}

/// A number that nobody had before, in this process or another.
fn unheard_of() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static SINCE: LazyLock<i64> = LazyLock::new(|| SystemClock::new().now().as_micros());
    format!("{}{:06}", *SINCE, NEXT.fetch_add(1, Ordering::Relaxed))
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clock, patience, .. } = self;
        f.debug_struct("Common").field("clock", clock).field("patience", patience).finish()
    }
}

impl Default for Common {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            patience: Span::secs(30),
            settle: Span::millis(20),
            canary: None,
            passing: None,
            passes_by_itself: true,
            troubles: BTreeMap::new(),
            on_close: None,
        }
    }
}

impl Common {
    pub(crate) fn set_close(&mut self, close: Hook<(), ()>) {
        self.on_close = Some(close);
    }

    pub(crate) async fn close(&self) -> Result<(), Broken> {
        let Some(close) = &self.on_close else { return Ok(()) };
        close(()).await.map_err(|error| broken("an orderly end of the sandbox", error))
    }

    pub(crate) fn set_clock(&mut self, clock: Arc<dyn Clock>) {
        (self.clock, self.passes_by_itself) = (clock, false);
    }

    pub(crate) fn set_passing(&mut self, passing: Hook<Span, ()>) {
        self.passing = Some(passing);
    }

    /// What is missing to see what time brings.
    pub(crate) fn stands_still(&self) -> Option<&'static str> {
        let passes = self.passing.is_some() || self.passes_by_itself;
        (!passes).then_some("way to let time pass on its clock")
    }

    /// Lets so much time pass, and a little more.
    pub(crate) async fn pass(&self, span: Span) -> Result<(), Broken> {
        match &self.passing {
            Some(passing) => {
                passing(span).await.map_err(|error| broken("time to pass", error))?;
            }
            None => wait(span.as_duration()).await,
        }
        self.linger().await;
        Ok(())
    }

    /// Waits for a call. Where it is stalled, time goes on meanwhile also on a clock that the suite moves.
    pub(crate) async fn passing_by<T>(&self, trouble: Trouble, call: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            answer = call => answer,
            never = self.goes_on(trouble) => match never {},
        }
    }

    async fn goes_on(&self, trouble: Trouble) -> Infallible {
        let Some(passing) = self.passing.as_ref().filter(|_| trouble == Trouble::Stalled) else {
            return std::future::pending().await;
        };
        // So slowly that a call that gives up in time is soon enough.
        let step = Span::from(self.patience.as_duration() / 1_000);
        loop {
            wait(Duration::from_millis(10)).await;
            if passing(step).await.is_err() {
                return std::future::pending().await; // patience ends it
            }
        }
    }

    /// What is missing to see whether a secret is kept.
    pub(crate) fn no_canary(&self) -> Option<&'static str> {
        self.canary.is_none().then_some("secret that the provider was configured with")
    }

    /// What a provider tells of itself, to which a case adds what it answers.
    pub(crate) fn said(&self, provider: &dyn fmt::Debug, description: &Description) -> Said {
        Said::of(self.canary.clone(), provider, description)
    }

    /// What is missing to see what it says in a trouble.
    pub(crate) fn lacks(&self, trouble: Trouble) -> Option<&'static str> {
        (!self.troubles.contains_key(&trouble)).then_some(trouble.missing())
    }

    /// Asks as things are, too late, and in every trouble that the sandbox can make and in which calls are answered; says
    /// which it is.
    pub(crate) async fn whatever_comes(
        &self,
        mut ask: impl AsyncFnMut(Context, &str),
    ) -> Result<(), Broken> {
        ask(self.context(), "").await;
        ask(self.late_context(), ", too late").await;
        for trouble in self.troubles.keys().filter(|trouble| **trouble != Trouble::Stalled) {
            self.trouble(*trouble, true).await?;
            ask(self.context(), &format!(", {}", which(*trouble))).await;
            self.trouble(*trouble, false).await?;
        }
        Ok(())
    }

    /// Lets a trouble come (`true`) or go, if the sandbox can.
    pub(crate) async fn trouble(&self, trouble: Trouble, comes: bool) -> Result<(), Broken> {
        let Some(set) = self.troubles.get(&trouble) else { return Ok(()) };
        set(comes).await.map_err(|error| broken("a trouble to come and go", error))
    }

    /// A context for an operation that was never asked for before: not by another case, and not by an earlier run of
    /// the suite on a service that outlasts it.
    pub(crate) fn context(&self) -> Context {
        let deadline = self.clock.now().plus(self.patience);
        Context::new(format!("conformance/{}", unheard_of()), deadline, fixtures::robot())
    }

    /// A context whose deadline has passed on every clock.
    pub(crate) fn late_context(&self) -> Context {
        let mut cx = self.context();
        cx.deadline = Timestamp::default();
        cx
    }

    /// A context whose deadline is as far away as can be said.
    pub(crate) fn far_context(&self) -> Context {
        let mut cx = self.context();
        cx.deadline = Timestamp::from_micros(i64::MAX);
        cx
    }

    /// Demands that `call` ends; soon, that is, before patience does.
    #[expect(clippy::disallowed_methods, reason = "a vendor's provider lives in real time")]
    pub(crate) async fn ends<T>(
        &self,
        what: &str,
        call: impl Future<Output = T>,
    ) -> Result<T, Broken> {
        tokio::time::timeout(self.patience.as_duration(), call).await.map_err(|_| {
            broken(format!("{what} to end within {}", self.patience), "it does not end")
        })
    }

    /// Contexts of two writers of one run and of one of another. The runs are new ones, also for a
    /// provider that remembers those of earlier sandboxes.
    pub(crate) fn writers(&self) -> [Context; 3] {
        let run = |which: &str| fixtures::literal(&format!("conformance-{}-{which}", unheard_of()));
        let (one, other) = (run("one"), run("other"));
        let writer = |run: &RunId, epoch| self.context().in_run(run.clone(), epoch);
        [writer(&one, 3), writer(&one, 4), writer(&other, 1)]
    }

    /// Looks again and again until `look` gives a result or its patience is at an end; then
    /// returns what it saw last.
    #[expect(clippy::disallowed_methods, reason = "a vendor's provider lives in real time")]
    pub(crate) async fn until<T, E>(
        &self,
        mut look: impl AsyncFnMut() -> Result<Result<T, E>, Broken>,
    ) -> Result<Result<T, E>, Broken> {
        let end = tokio::time::Instant::now() + self.patience.as_duration();
        let mut pause = Duration::from_millis(2);
        loop {
            let seen = look().await?;
            if seen.is_ok() || tokio::time::Instant::now() >= end {
                return Ok(seen);
            }
            wait(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Gives what should not happen a little time to happen.
    pub(crate) async fn linger(&self) {
        wait(self.settle.as_duration()).await;
    }
}

/// An error where an answer to `what` was due.
pub(crate) fn unanswered(what: &str, error: &ProviderError) -> Broken {
    broken(format!("an answer to {what}"), format!("`{}`: {error}", error.kind().as_str()))
}

/// Starts `call` and drops it half-way: the later, the higher `round` is. Whether it got to its end
/// before.
pub(crate) async fn interrupt(call: impl Future, round: u32) -> bool {
    interrupt_within(call, round, Duration::ZERO).await
}

/// The same for a call that takes `whole` as a rule: after a sixth of that, two, and so on.
pub(crate) async fn interrupt_within(call: impl Future, round: u32, whole: Duration) -> bool {
    tokio::select! {
        biased;
        _ = call => true,
        () = async {
            half_way(round).await;
            let later = whole / 6 * round;
            if later > Duration::from_millis(1) {
                wait(later).await;
            }
        } => false,
    }
}

/// How long a call takes that has to succeed, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "a vendor's provider lives in real time")]
pub(crate) async fn length<T>(
    call: impl Future<Output = Result<T, Broken>>,
) -> Result<Duration, Broken> {
    let begin = tokio::time::Instant::now();
    call.await?;
    Ok(begin.elapsed())
}

/// Makes `call`, which has `cx`, and cancels it half-way: the later, the higher `round` is.
pub(crate) async fn cancel_half_way<T>(
    call: impl Future<Output = T>,
    cx: &Context,
    round: u32,
) -> T {
    let cancel = async {
        half_way(round).await;
        cx.cancellation.cancel();
    };
    tokio::join!(call, cancel).0
}

async fn half_way(round: u32) {
    for _ in 0..round {
        tokio::task::yield_now().await;
    }
    if let Some(late) = round.checked_sub(4) {
        wait(Duration::from_millis(1 << late.min(6))).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a vendor's provider lives in real time")]
pub(crate) async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}
