//! A server, a platform with two versions behind it, and a router between them and the tests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use release_core::engine::SystemClock;
use release_core::model::{Digest, Target};
use release_core::plan::Weight;
use release_core::port::Clock;
use release_core::time::Span;
use release_providers::endpoints::{Endpoints, InstanceRouter};
use release_providers::envoy::{EnvoyKind, EnvoyRouter, EnvoySettings, EnvoyTarget};
use release_providers::haproxy::{HaproxyKind, HaproxyRouter, HaproxySettings, HaproxyTarget};
use release_providers::kind::{Opening, ProviderKind, Secrets};
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{
    ApplyRequest, ArtifactStore as _, CheckHealth, Deployer as _, HealthProbe as _, ObserveTraffic,
    PutArtifact, SetWeights, TrafficStatus,
};
use release_providers::{AnyProvider, Context, ProviderError};
use release_testkit::conformance::router::Heard;
use release_testkit::conformance::{HookError, Subject};
use release_testkit::fixtures;
use tempfile::TempDir;

use crate::client::{Half, get};
use crate::demo::program;
use crate::server::{Server, Which, free};

pub(crate) const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

#[derive(Debug, Clone)]
enum Router {
    Haproxy(HaproxyRouter),
    Envoy(EnvoyRouter),
}

/// All of it, and gone in the end.
#[derive(Debug)]
pub(crate) struct Stage {
    which: Which,
    pub(crate) directory: TempDir,
    pub(crate) platform: LocalPlatform,
    pub(crate) target: Target,
    pub(crate) subjects: [Subject; 2],
    pub(crate) clock: Arc<dyn Clock>,
    /// Where traffic goes in.
    pub(crate) address: SocketAddr,
    control: String,
    pub(crate) server: tokio::sync::Mutex<Server>,
    router: Mutex<Option<Router>>,
    /// A request that has begun.
    held: Mutex<Option<Half>>,
}

impl Stage {
    /// `None`, which has been said, where the server is missing.
    pub(crate) async fn set(which: Which) -> Option<Arc<Self>> {
        let found = which.find()?;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut config = LocalConfig::new(root.join("platform"), Arc::clone(&clock));
        config.stop_grace = Span::secs(2);
        let platform = LocalPlatform::open(config).await.unwrap();
        let mut subjects = Vec::new();
        for version in VERSIONS {
            let request = PutArtifact::new(fixtures::literal("api"), program(version, 0));
            let artifact = platform.put(&fixtures::context("put"), request).await.unwrap();
            subjects.push(Subject::new(artifact, fixtures::version(version)));
        }
        let control = match which {
            Which::Haproxy => root.join("socket").display().to_string(),
            Which::Envoy => free().to_string(),
        };
        let server = Server::new(which, found, &root, control.clone());
        let stage = Self {
            which,
            directory,
            platform,
            target: fixtures::target("api"),
            subjects: subjects.try_into().unwrap(),
            clock,
            address: free(),
            control,
            server: tokio::sync::Mutex::new(server),
            router: Mutex::default(),
            held: Mutex::default(),
        };
        let configuration = stage.open().await.unwrap();
        stage.server.lock().await.start(&configuration).await.unwrap();
        Some(Arc::new(stage))
    }

    /// Opens the router, and says how its server is configured.
    async fn open(&self) -> Result<String, ProviderError> {
        let endpoints: Arc<dyn Endpoints> = Arc::new(self.platform.clone());
        let clock = Arc::clone(&self.clock);
        let (router, configuration) = match self.which {
            Which::Haproxy => {
                let settings = self.haproxy();
                let configuration = settings.render()?;
                let router = HaproxyRouter::open(settings, endpoints, clock).await?;
                (Router::Haproxy(router), configuration)
            }
            Which::Envoy => {
                let settings = self.envoy();
                let configuration = settings.render()?;
                let router = EnvoyRouter::open(settings, endpoints, clock).await?;
                (Router::Envoy(router), configuration)
            }
        };
        *self.router.lock().unwrap() = Some(router);
        Ok(configuration)
    }

    fn haproxy(&self) -> HaproxySettings {
        let state = self.directory.path().canonicalize().unwrap().join("state");
        let target = HaproxyTarget::new(self.target.clone()).listen(self.address);
        HaproxySettings::new(&self.control, state).target(target)
    }

    fn envoy(&self) -> EnvoySettings {
        let state = self.directory.path().canonicalize().unwrap().join("state");
        let target = EnvoyTarget::new(self.target.clone()).listen(self.address);
        EnvoySettings::new(self.control.parse().unwrap(), state).target(target)
    }

    /// Closes the router, and opens another one as from a file of providers, which follows instances by itself.
    pub(crate) async fn open_by_kind(&self) -> Vec<AnyProvider> {
        self.close_router().await;
        let endpoints: Arc<dyn Endpoints> = Arc::new(self.platform.clone());
        let (changes, by) = (self.platform.instance_changes(), fixtures::robot());
        let (kind, config): (Arc<dyn ProviderKind>, _) = match self.which {
            Which::Haproxy => (
                Arc::new(HaproxyKind::new(endpoints).following(changes, by)),
                serde_json::to_value(self.haproxy()),
            ),
            Which::Envoy => (
                Arc::new(EnvoyKind::new(endpoints).following(changes, by)),
                serde_json::to_value(self.envoy()),
            ),
        };
        let clock = Arc::clone(&self.clock);
        kind.open(Opening::new("edge", config.unwrap(), clock, Secrets::none())).await.unwrap()
    }

    pub(crate) fn router(&self) -> Arc<dyn InstanceRouter> {
        match self.router.lock().unwrap().clone().unwrap() {
            Router::Haproxy(router) => Arc::new(router),
            Router::Envoy(router) => Arc::new(router),
        }
    }

    /// Takes the router away, so that it ends with whoever has it.
    pub(crate) fn take_router(&self) -> Arc<dyn InstanceRouter> {
        let router = self.router();
        *self.router.lock().unwrap() = None;
        router
    }

    async fn close_router(&self) {
        let router = self.router.lock().unwrap().clone();
        match router {
            Some(Router::Haproxy(router)) => router.close().await,
            Some(Router::Envoy(router)) => router.close().await,
            None => {}
        }
    }

    /// Closes the router, and opens it again over the same server.
    pub(crate) async fn reopen(&self) -> Result<Arc<dyn InstanceRouter>, HookError> {
        self.close_router().await;
        self.open().await?;
        Ok(self.router())
    }

    pub(crate) async fn close(&self) -> Result<(), HookError> {
        self.close_router().await;
        self.server.lock().await.kill();
        self.platform.destroy().await?;
        Ok(())
    }

    pub(crate) fn cx(&self, key: &str) -> Context {
        let deadline = self.clock.now().plus(Span::secs(60));
        Context::new(format!("{key}/{}", self.clock.now().as_micros()), deadline, fixtures::robot())
    }

    /// Gives HAProxy a command past the router, and reads its answer.
    pub(crate) fn raw(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(&self.control).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The map of HAProxy in which the shares are.
    pub(crate) fn map(&self) -> String {
        let all = self.raw("show map");
        let paths = all.lines().filter_map(|line| line.split_once('(')?.1.split_once(')'));
        let mut maps =
            paths.map(|(path, _)| path).filter(|path| path.strip_suffix(".map").is_some());
        maps.next().unwrap_or_else(|| panic!("{all}")).to_owned()
    }

    /// Asks Envoy's admin interface past the router.
    pub(crate) fn admin(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.control).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The file from which Envoy has the target's table of routes.
    pub(crate) fn table(&self) -> PathBuf {
        let files = std::fs::read_dir(self.directory.path().join("state")).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        let is_table = |path: &PathBuf| path.to_str().unwrap().ends_with(".routes.json");
        paths.find(is_table).unwrap()
    }

    pub(crate) fn digest(&self, which: usize) -> Digest {
        self.subjects[which].artifact.digest()
    }

    pub(crate) const fn which(&self) -> Which {
        self.which
    }

    /// Runs so many instances of a version, and waits until all are ready.
    pub(crate) async fn run(&self, which: usize, replicas: u32) {
        self.run_at(&self.target, which, replicas).await;
    }

    /// The same in another target, which is a track of this one.
    pub(crate) async fn run_at(&self, target: &Target, which: usize, replicas: u32) {
        let Subject { artifact, version, .. } = self.subjects[which].clone();
        let wish = ApplyRequest::new(target.clone(), artifact, version, replicas);
        self.platform.apply(&self.cx("apply"), wish).await.unwrap();
        let mut changes = self.platform.changes();
        while self.platform.processes(target, self.digest(which)).len()
            != usize::try_from(replicas).unwrap()
        {
            changes.changed().await.unwrap();
        }
        self.ready_at(target, which).await.unwrap();
    }

    pub(crate) async fn ready(&self, which: usize) -> Result<(), HookError> {
        self.ready_at(&self.target, which).await
    }

    /// Waits until what runs on tracks is ready too.
    pub(crate) async fn tracks_ready(&self) -> Result<(), HookError> {
        let track = self.target.clone().on(fixtures::literal("suite"));
        if self.platform.processes(&track, self.digest(0)).is_empty() {
            return Ok(());
        }
        self.ready_at(&track, 0).await
    }

    async fn ready_at(&self, target: &Target, which: usize) -> Result<(), HookError> {
        let mut changes = self.platform.changes();
        loop {
            let request = CheckHealth::new(target.clone(), self.digest(which));
            let report = self.platform.check(&fixtures::context("check"), request).await?;
            if report.instances.iter().all(|one| one.ready) {
                return Ok(());
            }
            changes.changed().await?;
        }
    }

    /// Sends a signal to all processes of a version.
    pub(crate) fn signal(&self, which: usize, signal: &str) {
        for pid in self.platform.processes(&self.target, self.digest(which)).into_values() {
            assert!(
                Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success()
            );
        }
    }

    /// The shares of both versions.
    pub(crate) fn shares(&self, percents: [u8; 2]) -> Vec<Weight> {
        let both = self.subjects.iter().zip(percents);
        both.map(|(one, percent)| Weight::new(one.artifact.digest(), one.version.clone(), percent))
            .collect()
    }

    pub(crate) async fn route(&self, percents: [u8; 2]) {
        let request = SetWeights::new(self.target.clone(), self.shares(percents));
        self.router().set_weights(&self.cx("route"), request).await.unwrap();
    }

    pub(crate) async fn look(&self) -> TrafficStatus {
        let request = ObserveTraffic::new(self.target.clone());
        self.router().observe(&self.cx("look"), request).await.unwrap()
    }

    /// What each version served of the shares in effect.
    pub(crate) async fn served(&self) -> [u64; 2] {
        let served = self.look().await.served;
        [0, 1].map(|which| {
            let own = served.iter().filter(|one| one.digest == self.digest(which));
            own.map(|one| one.requests).sum()
        })
    }

    pub(crate) async fn in_flight(&self, which: usize) -> u64 {
        let cx = self.cx("in-flight");
        self.router().in_flight(&cx, &self.target, self.digest(which)).await.unwrap()
    }

    /// Begins a request, and sends half of it.
    pub(crate) async fn hold(&self) -> Result<(), HookError> {
        let address = self.address;
        let half = tokio::task::spawn_blocking(move || Half::of_a_post(address)).await??;
        *self.held.lock().unwrap() = Some(half);
        Ok(())
    }

    /// Sends the other half; tells who answered.
    pub(crate) async fn let_go(&self) -> Result<Heard, HookError> {
        let half = self.held.lock().unwrap().take().ok_or("no request has begun")?;
        let answer = tokio::task::spawn_blocking(move || half.finish()).await??;
        let version = answer.all("x-version").next().unwrap_or_default();
        let which = VERSIONS.iter().position(|known| *known == version);
        Ok(Heard::of(self.digest(which.ok_or("another version answered")?)))
    }

    /// What the server wrote.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(Path::new(self.directory.path()).join("log")).unwrap_or_default()
    }
}

/// Sends requests one after the other; all must be served.
pub(crate) fn send(address: SocketAddr, requests: u64) -> Result<(), HookError> {
    (0..requests).try_for_each(|_| get(address, "/work", &[]).map(drop))
}
