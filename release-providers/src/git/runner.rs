//! The runner itself: what its tasks share, and the trait.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::port::EffectCertainty;
use release_core::time::Timestamp;
use semver::Version;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept;
use super::command::Git;
use super::config::GitBuildsConfig;
use super::layout::{Accepted, End, OPEN, Outcome, Paths, Place};
use super::mirror::Mirrors;
use super::open;
use crate::disk::{Lock, blocking};
use crate::spi::{BuildRunner, BuildStatus, JobPhase, JobRef, StartBuild};
use crate::sync::lock;
use crate::{Context, Description, EffectClass, ErrorKind, ProviderError};

const START: &str = "builds.start";
const OBSERVE: &str = "builds.observe";
const CANCEL: &str = "builds.cancel";
const FORGET: &str = "builds.forget";

/// Builds revisions of git repositories by local commands: see [the module](super). A clone is the same runner.
#[derive(Debug, Clone)]
pub struct GitBuilds {
    handle: Arc<Handle>,
}

/// Ends all tasks with the last clone, as a crash would: commands run on.
#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

/// What the runner's tasks share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: GitBuildsConfig,
    pub(super) paths: Paths,
    pub(super) mirrors: Mirrors,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) queue: Mutex<Queue>,
    /// Held while a build is accepted, so that a key is one build and a number one build's.
    pub(super) accepting: Mutex<()>,
    lock: Mutex<Option<Lock>>,
}

/// All builds, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By their ids.
    pub(super) all: BTreeMap<String, Arc<Build>>,
    /// Those that were accepted and wait, the first ones first.
    pub(super) waiting: BTreeSet<(u64, String)>,
    pub(super) running: usize,
    /// The number of the next one.
    pub(super) next: u64,
}

/// One build.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) place: Place,
    pub(super) accepted: Accepted,
    /// Cancelled once that is written down.
    pub(super) cancel: CancellationToken,
    pub(super) outcome: Mutex<Option<Outcome>>,
    /// Whether this runner saw whoever began it alive.
    pub(super) seen: AtomicBool,
}

impl Build {
    pub(super) fn new(place: Place, accepted: Accepted, outcome: Option<Outcome>) -> Self {
        let (cancel, seen) = (CancellationToken::new(), AtomicBool::new(false));
        Self { place, accepted, cancel, outcome: Mutex::new(outcome), seen }
    }

    pub(super) fn is_over(&self) -> bool {
        lock(&self.outcome).is_some()
    }

    fn status(&self) -> BuildStatus {
        let mut artifacts = Vec::new();
        let phase = match lock(&self.outcome).as_ref().map(|outcome| outcome.end.clone()) {
            None => JobPhase::Running,
            Some(End::Failed { reason }) => JobPhase::Failed { reason },
            Some(End::Cancelled) => JobPhase::Cancelled,
            Some(End::Succeeded { artifacts: made }) => {
                artifacts = made;
                JobPhase::Succeeded
            }
        };
        let mut status = BuildStatus::new(self.accepted.key.clone(), phase);
        status.artifacts = artifacts;
        status.log = Some(url(&self.place.log()));
        status
    }
}

/// A path as a URL of the scheme `file`.
fn url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(*byte));
            }
            _ => {
                let _ = write!(url, "%{byte:02X}"); // a string takes all
            }
        }
    }
    url
}

impl GitBuilds {
    /// Opens a root: creates it, or takes over what an earlier runner left there. Builds that run are adopted, those that
    /// ended meanwhile are finished, and those that were accepted and never began wait for their turn.
    ///
    /// # Errors
    /// `Invalid` for a configuration that makes no sense; `Conflict` while another runner has the root open; `Corrupt` for
    /// a record that cannot be read, with its path; `Unavailable`, `Denied` or `NoSpace` for a root that cannot be written,
    /// and `Unavailable` where there is no `git`.
    pub async fn open(config: GitBuildsConfig) -> Result<Self, ProviderError> {
        config.check()?;
        let root = config.root.clone();
        let found = blocking(OPEN, move || open::find(&root)).await?;
        let git = Git::new(&config, &found.paths);
        let mirrors = Mirrors::new(found.paths.clone(), git);
        mirrors.check().await?;
        let inner = Arc::new(Inner {
            config,
            paths: found.paths,
            mirrors,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            queue: Mutex::default(),
            accepting: Mutex::default(),
            lock: Mutex::new(Some(found.lock)),
        });
        // From here on nothing fails: tasks may start.
        inner.take_over(found.builds);
        Ok(Self { handle: Arc::new(Handle { inner }) })
    }

    /// Stops looking after builds, which run on, and gives the root back: the next runner may open it.
    pub async fn shutdown(&self) {
        let inner = &self.handle.inner;
        inner.stop.cancel();
        inner.tasks.close();
        inner.tasks.wait().await;
        drop(lock(&inner.lock).take());
    }

    /// Forgets builds that were over before `instant`: their records and their logs. What they made stays in the store. A key
    /// that is forgotten was never used, so forget none that anybody may still ask for. Returns how many there were.
    ///
    /// # Errors
    /// `Unavailable`, `Denied` or `NoSpace` for files that cannot be removed; what was forgotten by then stays so.
    pub async fn forget_before(&self, instant: Timestamp) -> Result<usize, ProviderError> {
        let inner = Arc::clone(&self.handle.inner);
        inner.open(FORGET)?;
        let work = move |inner: &Arc<Inner>| accept::forget(inner, instant);
        inner.blocking(FORGET, work).await
    }
}

impl Inner {
    /// Refuses calls of a runner that was shut down.
    fn open(&self, operation: &'static str) -> Result<(), ProviderError> {
        if self.stop.is_cancelled() {
            let text = "the runner was shut down; open it again";
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
        }
        Ok(())
    }

    /// Does blocking work on a thread made for it. A shutdown waits for it, so that the next runner on this root does.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Arc<Self>) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let (inner, token) = (Arc::clone(self), self.tasks.token());
        let work = move || {
            let done = work(&inner);
            drop((inner, token));
            done
        };
        blocking(operation, work).await
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Build>> {
        lock(&self.queue).all.get(&self.paths.place(key).id).cloned()
    }

    /// Brings a revision, however long its caller waits: others may wait for it too.
    async fn bring(self: &Arc<Self>, asked: accept::Asked) -> Result<accept::Asked, ProviderError> {
        let inner = Arc::clone(self);
        let bringing = self.tasks.spawn(async move {
            let brought = inner.mirrors.bring(START, &asked.place, &asked.revision);
            tokio::select! {
                brought = brought => brought.map(|()| asked),
                () = inner.stop.cancelled() => Err(inner.open(START).err().unwrap_or_else(broke_off)),
            }
        });
        bringing.await.unwrap_or_else(|_| Err(broke_off()))
    }
}

fn broke_off() -> ProviderError {
    ProviderError::new(ErrorKind::Internal, START, "a task broke off")
}

/// What it says of itself.
fn description() -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(Version::new(0, 0, 0));
    Description::new("git-builds", version, EffectClass::Idempotent)
}

#[async_trait]
impl BuildRunner for GitBuilds {
    fn describe(&self) -> Description {
        description()
    }

    async fn start(&self, cx: &Context, request: StartBuild) -> Result<(), ProviderError> {
        let (inner, clock) = (&self.handle.inner, &*self.handle.inner.config.clock);
        cx.check(START, clock.now())?;
        inner.open(START)?;
        if let Some(build) = inner.get(&cx.key) {
            return accept::is_same(START, &build, &request);
        }
        let asked = accept::understood(START, &inner.config, request)?;
        let bring = inner.bring(asked);
        let asked = cx.within(clock, START, EffectCertainty::NotApplied, bring).await?;
        let (key, by, now) = (cx.key.clone(), cx.principal.clone(), clock.now());
        let write = move |inner: &Arc<Inner>| {
            accept::accept(START, inner, (key, by), asked, now)?;
            inner.pump(); // here, since nobody may wait for this any more
            Ok(())
        };
        // Not to be broken off: whoever hears an error may be sure of it.
        inner.blocking(START, write).await
    }

    async fn observe(&self, cx: &Context, request: JobRef) -> Result<BuildStatus, ProviderError> {
        let inner = &self.handle.inner;
        cx.check(OBSERVE, inner.config.clock.now())?;
        inner.open(OBSERVE)?;
        let unknown = || BuildStatus::new(request.operation.clone(), JobPhase::Unknown);
        Ok(inner.get(&request.operation).map_or_else(unknown, |build| build.status()))
    }

    async fn cancel(&self, cx: &Context, request: JobRef) -> Result<(), ProviderError> {
        let (inner, clock) = (&self.handle.inner, &*self.handle.inner.config.clock);
        cx.check(CANCEL, clock.now())?;
        inner.open(CANCEL)?;
        let build = inner.get(&request.operation).ok_or_else(|| {
            let text = "no build was started under this key";
            ProviderError::new(ErrorKind::NotFound, CANCEL, text)
                .with_context("operation", &request.operation)
        })?;
        let now = clock.now();
        let work = move |inner: &Arc<Inner>| accept::cancel(CANCEL, inner, &build, now);
        let cancelled = inner.blocking(CANCEL, work);
        cx.within(clock, CANCEL, EffectCertainty::Unknown, cancelled).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_in_urls() {
        assert_eq!(url(Path::new("/a b/ü%/log")), "file:///a%20b/%C3%BC%25/log");
    }
}
