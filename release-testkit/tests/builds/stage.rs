//! A runner, a store, and repositories that tests make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use release_core::model::ArtifactRef;
use release_core::port::Clock as _;
use release_core::time::Span;
use release_providers::git::{GitBuilds, GitBuildsConfig, Recipe};
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{
    ArtifactContent, ArtifactStatus, ArtifactStore, BuildRunner as _, BuildStatus, JobPhase,
    JobRef, PutArtifact, StartBuild,
};
use release_providers::{Context, Description, ErrorKind, ProviderError, SystemClock, async_trait};
use release_testkit::fixtures::{self, literal};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// How long anything may take that is waited for.
const PATIENCE: Span = Span::secs(60);

/// Where tests say that something has happened, and wait until it has: pipes that block both sides until both are there.
#[derive(Debug, Clone)]
pub(crate) struct Pipe(pub(crate) PathBuf);

impl Pipe {
    fn new(path: PathBuf) -> Self {
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self(path)
    }

    /// Waits until somebody writes into it; what they write.
    pub(crate) async fn heard(&self) -> String {
        let path = self.0.clone();
        let read = tokio::task::spawn_blocking(move || fs::read_to_string(path).unwrap());
        within(async { read.await.unwrap() }).await
    }

    /// Waits until somebody reads it, and lets them go on.
    pub(crate) async fn tell(&self) {
        let path = self.0.clone();
        let write = tokio::task::spawn_blocking(move || fs::write(path, "go\n").unwrap());
        within(async { write.await.unwrap() }).await;
    }

    pub(crate) fn text(&self) -> String {
        self.0.display().to_string()
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    let clock = SystemClock::new();
    tokio::select! {
        done = work => done,
        () = clock.sleep_until(clock.now().plus(PATIENCE)) => panic!("nobody came"),
    }
}

/// Looks again and again until `look` sees it.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    let end = clock.now().plus(PATIENCE);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(clock.now() < end, "{what}");
        clock.sleep_until(clock.now().plus(Span::millis(5))).await;
    }
}

/// A store that tests hold up, and let fail.
#[derive(Debug)]
pub(crate) struct Shelf {
    platform: LocalPlatform,
    /// Whether content waits for a permit.
    pub(crate) held: AtomicBool,
    pub(crate) permits: Semaphore,
    /// How many times it says that it cannot be reached.
    pub(crate) failures: AtomicUsize,
    pub(crate) asked: AtomicUsize,
}

#[async_trait]
impl ArtifactStore for Shelf {
    fn describe(&self) -> Description {
        ArtifactStore::describe(&self.platform)
    }
    async fn put(&self, cx: &Context, request: PutArtifact) -> Result<ArtifactRef, ProviderError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.held.load(Ordering::SeqCst) {
            self.permits.acquire().await.unwrap().forget();
        }
        let fails = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err(ProviderError::new(ErrorKind::Unavailable, "artifacts.put", "away"));
        }
        self.platform.put(cx, request).await
    }
    async fn get(&self, cx: &Context, one: ArtifactRef) -> Result<ArtifactContent, ProviderError> {
        self.platform.get(cx, one).await
    }
    async fn verify(
        &self,
        cx: &Context,
        one: ArtifactRef,
    ) -> Result<ArtifactStatus, ProviderError> {
        self.platform.verify(cx, one).await
    }
}

/// A repository, with a checkout in which tests write.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
}

impl Repository {
    pub(crate) fn new(path: PathBuf, more: &[&str]) -> Self {
        fs::create_dir_all(&path).unwrap();
        let repository = Self { path };
        repository.git(&[&["init", "--quiet", "--initial-branch=main"], more].concat());
        repository
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let git = real::find("git").unwrap();
        let done = Command::new(git)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(args)
            .current_dir(&self.path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// Commits a file, and tells the revision.
    pub(crate) fn commit(&self, file: &str, content: &str) -> String {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

use crate::real;

/// Everything that a test needs, in a directory of its own.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) api: Repository,
    /// A revision of `api` with a file `version` that says `1`.
    pub(crate) first: String,
}

impl Stage {
    /// `None` without git, where that is allowed.
    pub(crate) async fn new() -> Option<Self> {
        real::find("git")?;
        let folder = tempfile::tempdir().unwrap();
        let config = LocalConfig::new(folder.path().join("store"), Arc::new(SystemClock::new()));
        let platform = LocalPlatform::open(config).await.unwrap();
        let shelf = Arc::new(Shelf {
            platform,
            held: AtomicBool::new(false),
            permits: Semaphore::new(0),
            failures: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        });
        let api = Repository::new(folder.path().join("api"), &[]);
        let first = api.commit("version", "1\n");
        Some(Self { folder, shelf, api, first })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn pipe(&self, name: &str) -> Pipe {
        Pipe::new(self.path(name))
    }

    /// The root of the runner.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("runner")
    }

    /// A runner that knows `api`, and this recipe as `release`.
    pub(crate) fn config(&self, recipe: Recipe) -> GitBuildsConfig {
        let store = Arc::clone(&self.shelf) as Arc<dyn ArtifactStore>;
        GitBuildsConfig::new(self.root(), store, Arc::new(SystemClock::new()))
            .repository("api", self.api.path.display().to_string())
            .recipe("release", recipe)
            .grace(Span::millis(500))
    }

    pub(crate) async fn open(&self, recipe: Recipe) -> GitBuilds {
        GitBuilds::open(self.config(recipe)).await.unwrap()
    }

    /// What a test calls a build by its key: its folder.
    pub(crate) fn folder(&self, key: &str) -> PathBuf {
        let id = release_core::model::Digest::of(key.as_bytes()).hex();
        self.root().canonicalize().unwrap().join("builds").join(id)
    }

    /// What the processes of that build carry, and those of no other test.
    pub(crate) fn mark(&self, key: &str) -> String {
        let id = release_core::model::Digest::of(key.as_bytes()).hex();
        format!("RELEASE_BUILD={}|{id}\0", self.root().canonicalize().unwrap().display())
    }

    pub(crate) async fn content(&self, artifact: &ArtifactRef) -> String {
        let found = self.shelf.get(&cx("get"), artifact.clone()).await.unwrap();
        String::from_utf8(found.bytes).unwrap()
    }
}

/// Runs this by a shell, and makes `out` of it.
pub(crate) fn script(text: &str) -> Recipe {
    Recipe::new(["sh", "-ec", text])
}

pub(crate) fn cx(key: &str) -> Context {
    let mut cx = fixtures::context(key);
    cx.deadline = SystemClock::new().now().plus(PATIENCE);
    cx
}

pub(crate) fn ask(revision: &str) -> StartBuild {
    StartBuild::new("api".into(), revision.into(), "release".into())
}

pub(crate) async fn start(runner: &GitBuilds, key: &str, revision: &str) {
    runner.start(&cx(key), ask(revision)).await.unwrap();
}

pub(crate) async fn look(runner: &GitBuilds, key: &str) -> BuildStatus {
    runner.observe(&cx("look"), JobRef::new(key.into())).await.unwrap()
}

/// A build as it ended.
pub(crate) async fn over(runner: &GitBuilds, key: &str) -> BuildStatus {
    until("a build that ends", async || {
        Some(look(runner, key).await).filter(|status| status.phase.is_over())
    })
    .await
}

/// Why a build failed.
pub(crate) async fn failure(runner: &GitBuilds, key: &str) -> String {
    match over(runner, key).await.phase {
        JobPhase::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// The one artifact of a build that succeeded.
pub(crate) async fn made(runner: &GitBuilds, key: &str) -> ArtifactRef {
    let status = over(runner, key).await;
    assert_eq!(status.phase, JobPhase::Succeeded, "{}", log(&status));
    let [artifact] = &status.artifacts[..] else { panic!("{status:?}") };
    artifact.clone()
}

pub(crate) fn log(status: &BuildStatus) -> String {
    let url = status.log.clone().unwrap_or_default();
    fs::read_to_string(url.strip_prefix("file://").unwrap_or_default()).unwrap_or_default()
}

/// What makes `out` of a script, under the name `api`.
pub(crate) fn making(text: &str) -> Recipe {
    script(text).making(literal("api"), "out")
}

/// The processes whose environment holds this.
pub(crate) fn processes(mark: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(mark) {
            found.extend(entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
    }
    found
}

pub(crate) fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}
