//! Brings one build from its turn to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use release_core::time::Span;
use rustix::process::Signal;
use tokio::process::Child;

use super::artifacts::{NoArtifact, collect};
use super::launch;
use super::layout::{End, Launch, Outcome, io_error, read_record, write_record};
use super::mirror::Revision;
use super::runner::{Build, Inner};
use crate::ProviderError;
use crate::sync::lock;

const RUN: &str = "builds.run";

/// Nobody looks after builds any more; the next runner does.
struct Stopped;

/// How a command came to its end.
enum Ended {
    /// By itself; or its process is gone, and nobody knows.
    Itself,
    Cancelled,
    /// It took longer than its recipe allows.
    Late,
}

impl Inner {
    /// Begins with builds whose turn it is.
    pub(super) fn pump(self: &Arc<Self>) {
        loop {
            let build = {
                let mut queue = lock(&self.queue);
                if self.stop.is_cancelled() || queue.running >= self.config.at_once.get() {
                    return;
                }
                let Some((_, id)) = queue.waiting.pop_first() else { return };
                let Some(build) = queue.all.get(&id).cloned() else { continue };
                queue.running = queue.running.saturating_add(1);
                build
            };
            self.look_after(build);
        }
    }

    /// Looks after a build, which has one of the places, until it is over.
    pub(super) fn look_after(self: &Arc<Self>, build: Arc<Build>) {
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let ended = inner.ended(&build).await;
            let kept = match ended {
                Ok(end) => inner.keep(&build, end).await,
                Err(stopped) => Err(stopped),
            };
            if kept.is_ok() {
                let mut queue = lock(&inner.queue);
                queue.running = queue.running.saturating_sub(1);
                drop(queue);
                inner.pump();
            }
        });
    }

    /// Brings a build to its end.
    async fn ended(self: &Arc<Self>, build: &Arc<Build>) -> Result<End, Stopped> {
        let mut child = None;
        if !build.place.has_begun() {
            let ready = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Stopped),
                () = build.cancel.cancelled() => {
                    // An earlier runner may have started it just before it ended itself.
                    self.sweep(build, false).await?;
                    return Ok(End::Cancelled);
                }
                ready = self.prepare(build) => ready,
            };
            // Not to be broken off: whatever is started is known.
            let begun = match ready {
                Ok(()) => self.begin(build).await,
                Err(error) => Err(error),
            };
            match begun {
                Ok(begun) => child = Some(begun),
                Err(error) => {
                    return Ok(End::Failed { reason: format!("it could not begin: {error}") });
                }
            }
        }
        let ended = self.watch(build, child).await?;
        self.sweep(build, matches!(ended, Ended::Itself)).await?;
        Ok(match ended {
            Ended::Cancelled => End::Cancelled,
            Ended::Late => {
                let limit = build.accepted.recipe.limit;
                let reason =
                    format!("it took longer than the {limit} of its recipe, and was stopped");
                End::Failed { reason }
            }
            Ended::Itself => match build.place.status() {
                Some(0) => return self.made(build).await,
                Some(code) => End::Failed {
                    reason: format!("its command ended with exit code {code}; see its log"),
                },
                None if !build.place.has_begun() => {
                    End::Failed { reason: "it could not begin; see its log".into() }
                }
                None => {
                    let reason = "its process is gone, and nobody knows how it ended: it was killed, or the machine went down";
                    End::Failed { reason: reason.into() }
                }
            },
        })
    }

    /// Makes the work tree.
    async fn prepare(self: &Arc<Self>, build: &Arc<Build>) -> Result<(), ProviderError> {
        let (place, accepted) = (&build.place, &build.accepted);
        if let Some(revision) = Revision::new(&accepted.request.revision) {
            // It was there when the build was accepted. Should somebody have removed the mirror, it is fetched again.
            self.mirrors.bring(RUN, &accepted.place, &revision).await?;
            let what = (accepted.place.as_str(), &revision, accepted.recipe.history);
            self.mirrors.plant(RUN, place, what).await?;
        }
        Ok(())
    }

    /// Starts the command in the work tree.
    async fn begin(self: &Arc<Self>, build: &Arc<Build>) -> Result<Child, ProviderError> {
        let (build, launch) = (Arc::clone(build), Launch { at: self.config.clock.now() });
        let start = move |inner: &Arc<Self>| {
            write_record(RUN, &build.place.launch(), &launch)?;
            launch::start(&inner.config, &inner.paths, (&build.place, &build.accepted))
                .map_err(|e| io_error(RUN, &build.place.folder, e))
        };
        self.blocking(RUN, start).await
    }

    /// Waits until whoever began is gone, or has to be.
    async fn watch(
        self: &Arc<Self>,
        build: &Arc<Build>,
        mut child: Option<Child>,
    ) -> Result<Ended, Stopped> {
        const LOOK: Span = Span::millis(50);
        let clock = &self.config.clock;
        let launch: Option<Launch> = read_record(&build.place.launch()).ok().flatten();
        let begun = launch.map_or_else(|| clock.now(), |launch| launch.at);
        let limit = begun.plus(build.accepted.recipe.limit);
        loop {
            if child.is_none() && !self.lives(build).await {
                return Ok(Ended::Itself);
            }
            build.seen.store(true, Ordering::Relaxed);
            let ended = async {
                match &mut child {
                    Some(child) => drop(child.wait().await), // what it came to, it wrote down
                    // Somebody else's child: looked at now and then.
                    None => clock.sleep_until(clock.now().plus(LOOK)).await,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Stopped),
                () = build.cancel.cancelled() => return Ok(Ended::Cancelled),
                () = ended => child = None,
                () = clock.sleep_until(limit) => return Ok(Ended::Late),
            }
        }
    }

    async fn lives(self: &Arc<Self>, build: &Arc<Build>) -> bool {
        let build = Arc::clone(build);
        let look = move |inner: &Arc<Self>| Ok(launch::lives(&inner.paths, &build.place));
        self.blocking(RUN, look).await.unwrap_or(true)
    }

    /// Ends all processes of a build: those that it left behind have a while to end by themselves, if it was `gentle`; then
    /// they are asked to, and killed after as long again.
    async fn sweep(self: &Arc<Self>, build: &Arc<Build>, gentle: bool) -> Result<(), Stopped> {
        const FIRST: Span = Span::millis(2);
        const LONGEST: Span = Span::millis(50);
        let clock = &self.config.clock;
        let mut asks = [None, Some(Signal::TERM), Some(Signal::KILL)].into_iter();
        if !gentle {
            asks.next();
        }
        let (mut ask, mut new) = (asks.next().flatten(), true);
        let (mut since, mut pause) = (clock.now(), FIRST);
        loop {
            // SIGTERM once: some count them. Whoever is killed may have started another just before.
            let signal = ask.filter(|signal| new || *signal == Signal::KILL);
            new = false;
            let one = Arc::clone(build);
            let left = move |inner: &Arc<Self>| {
                let seen = one.seen.load(Ordering::Relaxed);
                let all = launch::processes(&inner.paths, &one.place, seen);
                if let Some(signal) = signal {
                    launch::signal(&all, signal);
                }
                Ok(all.len())
            };
            if self.blocking(RUN, left).await.is_ok_and(|left| left == 0) {
                return Ok(());
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                () = clock.sleep_until(clock.now().plus(pause)) => {}
                () = build.cancel.cancelled(), if gentle && ask.is_none() => {}
            }
            pause = Span::from(pause.as_duration().saturating_mul(2)).min(LONGEST);
            let hurried = gentle && ask.is_none() && build.cancel.is_cancelled();
            if ask != Some(Signal::KILL)
                && (hurried || clock.now().since(since) >= self.config.grace)
            {
                (ask, new) = (asks.next().flatten(), true);
                (since, pause) = (clock.now(), FIRST);
            }
        }
    }

    /// What a build made whose command succeeded.
    async fn made(self: &Arc<Self>, build: &Arc<Build>) -> Result<End, Stopped> {
        match collect(self, build).await {
            Ok(artifacts) => Ok(End::Succeeded { artifacts }),
            Err(NoArtifact::Never(reason)) => Ok(End::Failed { reason }),
            Err(NoArtifact::Stopped) if self.stop.is_cancelled() => Err(Stopped),
            Err(NoArtifact::Stopped) => Ok(End::Cancelled),
        }
    }

    /// Writes down how a build ended, however long that takes, and then tells it.
    async fn keep(self: &Arc<Self>, build: &Arc<Build>, end: End) -> Result<(), Stopped> {
        const PAUSE: Span = Span::secs(1);
        let clock = &self.config.clock;
        let outcome = Outcome::new(end, clock.now());
        loop {
            let (one, written) = (Arc::clone(build), outcome.clone());
            let write = move |_: &Arc<Self>| {
                write_record(RUN, &one.place.outcome(), &written)?;
                *lock(&one.outcome) = Some(written);
                if let Err(error) = one.place.clear() {
                    // Tried again at the next open.
                    tracing::warn!(build = one.accepted.key, %error, "a work tree was not removed");
                }
                Ok(())
            };
            let Err(error) = self.blocking(RUN, write).await else { return Ok(()) };
            tracing::warn!(build = build.accepted.key, %error, "its end is not written down; trying again");
            tokio::select! {
                () = self.stop.cancelled() => return Err(Stopped),
                () = clock.sleep_until(clock.now().plus(PAUSE)) => {}
            }
        }
    }
}
