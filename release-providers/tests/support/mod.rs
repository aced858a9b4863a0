//! A place to test a local platform in: a root, a clock, real services, and a look at `/proc`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use release_core::model::{ArtifactRef, Digest, Principal, ServiceId, Span, Target, Timestamp};
use release_core::plan::Weight;
use release_core::port::{Clock, ClockAnomaly, Served};
use release_providers::local::{LocalConfig, LocalPlatform, ServiceConfig};
use release_providers::spi::{
    ApplyRequest, ArtifactStore, CheckHealth, Deployer, DeploymentPhase, DeploymentStatus,
    HealthProbe, ObserveDeployment, ObserveTraffic, PutArtifact, SetWeights, TrafficRouter,
};
use release_providers::{Context, ProviderError};
use semver::Version;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The clock on the wall.
#[derive(Debug)]
pub(crate) struct WallClock;

#[async_trait::async_trait]
impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }

    fn anomaly(&self) -> Option<ClockAnomaly> {
        None
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    async fn sleep_until(&self, at: Timestamp) {
        // Never to the end of time, which is too far for a timer.
        let span = at.since(self.now()).as_duration().min(Duration::from_hours(24));
        tokio::time::sleep(span).await;
    }
}

/// Waits until `holds`, looking every 10 ms: where the world gives no event. Panics after 20 s.
#[track_caller]
pub(crate) fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let end = WallClock.now().plus(Span::secs(20));
        while !holds().await {
            assert!(WallClock.now() < end, "{place}: not within 20 s: {what}");
            WallClock.sleep_until(WallClock.now().plus(Span::millis(10))).await;
        }
    }
}

pub(crate) fn target(region: &str) -> Target {
    let service = "api".parse().unwrap();
    Target::new("prod".parse().unwrap(), region.parse().unwrap(), service)
}

pub(crate) fn api() -> ServiceId {
    "api".parse().unwrap()
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

pub(crate) fn cx(key: &str) -> Context {
    let deadline = WallClock.now().plus(Span::secs(30));
    Context::new(key, deadline, Principal::service("tester".parse().unwrap()))
}

/// A root in a temporary directory. Whatever still runs of it in the end is killed.
pub(crate) struct World {
    pub(crate) directory: TempDir,
}

impl Default for World {
    fn default() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }
}

impl World {
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    pub(crate) fn config(&self) -> LocalConfig {
        let mut config = LocalConfig::new(self.root(), Arc::new(WallClock));
        config.start_watch = Span::millis(300);
        config.stop_grace = Span::millis(500);
        config
    }

    pub(crate) fn config_with(&self, service: ServiceConfig) -> LocalConfig {
        self.config().service(api(), service)
    }

    pub(crate) async fn open(&self) -> LocalPlatform {
        LocalPlatform::open(self.config()).await.unwrap()
    }

    /// The live processes with this root's mark.
    pub(crate) fn marked(&self) -> BTreeSet<i32> {
        let mark = format!("RELEASE_INSTANCE={}|", self.root().display());
        let mut pids = BTreeSet::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let ours = environment.split(|b| *b == 0).any(|v| v.starts_with(mark.as_bytes()));
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let dead = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
            if let (true, false, Ok(pid)) =
                (ours, dead, entry.file_name().to_str().unwrap().parse())
            {
                pids.insert(pid);
            }
        }
        pids
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.marked().into_iter().for_each(kill);
    }
}

/// SIGKILL.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Compiles a service once; the file's name holds the digest of what it is made of.
fn compile(source: &str, version: &str, failures: u8) -> Vec<u8> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let text = std::fs::read(&source).unwrap();
    let what = format!("{version}-{failures}-{}", Digest::of(&text).short());
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("service-{what}"));
    if !program.exists() {
        let fresh = program.with_extension(std::process::id().to_string());
        let status = Command::new("rustc")
            .args(["-O", "--edition", "2024", "-C", "strip=symbols", "-o"])
            .args([&fresh, &source])
            .env("DEMO_VERSION", version)
            .env("DEMO_FAILURE_PERCENT", failures.to_string())
            .status()
            .unwrap();
        assert!(status.success(), "rustc could not compile {}", source.display());
        std::fs::rename(&fresh, &program).unwrap();
    }
    std::fs::read(&program).unwrap()
}

/// The demo service in a version, with a share of failures.
pub(crate) fn demo(version: &str, failures: u8) -> Vec<u8> {
    compile("../examples/quickstart/demo_service.rs", version, failures)
}

/// The service whose answers take as long as a test wants.
pub(crate) fn slow() -> Vec<u8> {
    compile("tests/support/slow_service.rs", "1.0.0", 0)
}

pub(crate) async fn put(platform: &LocalPlatform, bytes: Vec<u8>) -> ArtifactRef {
    let request = PutArtifact::new("api".parse().unwrap(), bytes);
    platform.put(&cx("put"), request).await.unwrap()
}

pub(crate) fn wish(
    target: &Target,
    artifact: &ArtifactRef,
    text: &str,
    replicas: u32,
) -> ApplyRequest {
    ApplyRequest::new(target.clone(), artifact.clone(), version(text), replicas)
}

pub(crate) async fn status(
    platform: &LocalPlatform,
    target: &Target,
    artifact: &ArtifactRef,
) -> DeploymentStatus {
    let request = ObserveDeployment::new(target.clone(), artifact.digest());
    Deployer::observe(platform, &cx("observe"), request).await.unwrap()
}

pub(crate) async fn settled(platform: &LocalPlatform, target: &Target, artifact: &ArtifactRef) {
    eventually("settled", || async {
        match status(platform, target, artifact).await.phase {
            DeploymentPhase::Settled => true,
            DeploymentPhase::Progressing => false,
            other => panic!("{other:?}"),
        }
    })
    .await;
}

/// Deploys and waits until all instances are ready.
pub(crate) async fn deploy(
    platform: &LocalPlatform,
    target: &Target,
    bytes: Vec<u8>,
    text: &str,
    replicas: u32,
) -> ArtifactRef {
    let artifact = put(platform, bytes).await;
    let key = format!("deploy-{text}-{replicas}");
    platform.apply(&cx(&key), wish(target, &artifact, text, replicas)).await.unwrap();
    settled(platform, target, &artifact).await;
    eventually("ready", || async {
        let request = CheckHealth::new(target.clone(), artifact.digest());
        let report = platform.check(&cx("health"), request).await.unwrap();
        let ready = report.instances.iter().filter(|instance| instance.ready).count();
        ready == usize::try_from(replicas).unwrap()
    })
    .await;
    artifact
}

pub(crate) fn share(artifact: &ArtifactRef, text: &str, percent: u8) -> Weight {
    Weight::new(artifact.digest(), version(text), percent)
}

pub(crate) async fn route(
    platform: &LocalPlatform,
    target: &Target,
    weights: Vec<Weight>,
) -> Result<(), ProviderError> {
    platform.set_weights(&cx("route"), SetWeights::new(target.clone(), weights)).await
}

pub(crate) async fn served(platform: &LocalPlatform, target: &Target) -> Vec<Served> {
    let status =
        TrafficRouter::observe(platform, &cx("observe"), ObserveTraffic::new(target.clone()))
            .await
            .unwrap();
    status.served
}

/// What came back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Reply {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"))
        .await
        .unwrap()
}

/// Sends text as it is and reads to the end of the connection.
pub(crate) async fn ask(address: SocketAddr, text: &str) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let broken = || std::io::Error::other(format!("not a whole answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
    Ok(Reply { status, head: head.to_owned(), body: body.to_owned() })
}
