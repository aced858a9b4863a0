//! The local platform keeps every promise, with real processes and a real proxy. As a source of metrics it is tried in
//! `samples`.
//!
//! One case is skipped, `unknown_target_is_not_found` of the deployer: the platform makes every
//! target that it is asked for.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use release_core::engine::SystemClock;
use release_core::model::{ArtifactRef, Digest, Target};
use release_core::port::Clock as _;
use release_core::time::Span;
use release_providers::ProviderError;
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{
    ApplyRequest, ArtifactStore, CheckHealth, Deployer, HealthProbe as _, Notification, Notifier,
    PutArtifact,
};
use release_testkit::conformance::artifact_store::{ArtifactStoreSandbox, Shelf};
use release_testkit::conformance::deployer::DeployerSandbox;
use release_testkit::conformance::health_probe::{HealthProbeSandbox, Instances};
use release_testkit::conformance::notifier::{Inbox, NotifierSandbox};
use release_testkit::conformance::{
    self as suites, ConformanceReport, HookError, Level, Subject, Verdict, deployer, router,
};
use release_testkit::fixtures;
use tempfile::TempDir;

#[path = "../support/client.rs"]
mod client;
#[path = "../support/compile.rs"]
mod compile;
#[path = "../support/demo.rs"]
mod demo;
mod routing;

use client::Half;
use demo::program;
use routing::router_sandbox;

/// What was given up half-way goes on to the end, and a disk is busy with other tests.
const ON_DISK: Span = Span::millis(100);
const NOTIFICATIONS: &str = "notifications.jsonl";
const MAX_REPLICAS: u32 = 4;
const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

async fn opened(root: &Path) -> Result<LocalPlatform, ProviderError> {
    let mut config = LocalConfig::new(root, Arc::new(SystemClock::new()));
    config.max_replicas = MAX_REPLICAS;
    config.stop_grace = Span::secs(2);
    LocalPlatform::open(config).await
}

/// A platform on a root of its own, both of which are gone in the end.
#[derive(Debug)]
struct Home {
    directory: TempDir,
    platform: Mutex<LocalPlatform>,
    target: Target,
    held: Mutex<Option<Half>>,
}

impl Home {
    async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let platform = Mutex::new(opened(directory.path()).await.unwrap());
        Self { directory, platform, target: fixtures::target("api"), held: Mutex::default() }
    }

    fn platform(&self) -> LocalPlatform {
        self.platform.lock().unwrap().clone()
    }

    /// Ends the platform, which leaves what runs, and opens it again.
    async fn reopened(home: Arc<Self>) -> Result<Arc<LocalPlatform>, HookError> {
        home.platform().shutdown().await;
        let platform = opened(home.directory.path()).await?;
        *home.platform.lock().unwrap() = platform.clone();
        Ok(Arc::new(platform))
    }

    async fn new() -> (Arc<Self>, [Subject; 2]) {
        let home = Self::empty().await;
        let mut subjects = Vec::new();
        for version in VERSIONS {
            let artifact = home.put(program(version, 0)).await;
            subjects.push(Subject::new(artifact, fixtures::version(version)));
        }
        (Arc::new(home), subjects.try_into().unwrap())
    }

    fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    async fn put(&self, bytes: Vec<u8>) -> ArtifactRef {
        let request = PutArtifact::new(fixtures::literal("api"), bytes);
        self.platform().put(&fixtures::context("put"), request).await.unwrap()
    }

    /// An artifact whose content was changed after it was stored.
    async fn corrupt(&self) -> ArtifactRef {
        let artifact = self.put(b"#!/bin/sh\nexec sleep 60\n".to_vec()).await;
        let path = self.root().join("artifacts/sha256").join(artifact.digest().hex());
        std::fs::write(path, "#!/bin/sh\nexec sleep 61\n").unwrap();
        artifact
    }

    /// The processes of this root by the names of their instances, as the kernel has them.
    fn processes(&self) -> BTreeMap<String, String> {
        let mark = format!("RELEASE_INSTANCE={}|", self.root().display());
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            // Those that end meanwhile, and those that are dead, have none.
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            for variable in String::from_utf8_lossy(&environment).split('\0') {
                if let Some(instance) = variable.strip_prefix(&mark) {
                    let pid = entry.file_name().to_string_lossy().into_owned();
                    found.insert(format!("{instance} as {pid}"), pid);
                }
            }
        }
        found
    }

    /// Returns once all instances of both versions answer that they are ready, and those on the track.
    async fn ready(&self, digests: [Digest; 2]) -> Result<(), HookError> {
        let mut changes = self.platform().changes();
        let whole = digests.map(|digest| (self.target.clone(), digest));
        let apart = digests.map(|digest| (self.track(), digest));
        let running = |(target, digest): &(Target, Digest)| {
            !self.platform().processes(target, *digest).is_empty()
        };
        let apart = apart.into_iter().filter(running).collect::<Vec<_>>();
        for (target, digest) in whole.into_iter().chain(apart) {
            loop {
                let request = CheckHealth::new(target.clone(), digest);
                let report = self.platform().check(&fixtures::context("check"), request).await?;
                if !report.instances.is_empty() && report.instances.iter().all(|one| one.ready) {
                    break;
                }
                changes.changed().await?;
            }
        }
        Ok(())
    }

    /// Destroys the platform, and looks whether it has left anything.
    async fn close(&self) -> Result<(), HookError> {
        let address = self.platform().address(&self.target);
        self.platform().destroy().await?;
        let processes = self.processes();
        if !processes.is_empty() {
            return Err(format!("there still are {:?}", processes.keys()).into());
        }
        // A listener that was closed lives on in children of this process until they execute their
        // programs, and other tests start some all the time: it is gone soon, or somebody leaked it.
        let clock = SystemClock::new();
        let patience = clock.now().plus(Span::secs(10));
        while address.is_some_and(|address| TcpStream::connect(address).is_ok()) {
            if clock.now() > patience {
                return Err("somebody still listens on the target's port".into());
            }
            clock.sleep_until(clock.now().plus(Span::millis(5))).await;
        }
        Ok(())
    }
}

impl Home {
    async fn close_of(home: Arc<Self>) -> Result<(), HookError> {
        home.close().await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Only after a case that failed.
        for pid in self.processes().into_values() {
            let _ = Command::new("kill").args(["-9", &pid]).status(); // nothing better to do
        }
    }
}

async fn deployer_sandbox() -> DeployerSandbox {
    let (home, subjects) = Home::new().await;
    let corrupt = home.corrupt().await;
    let (platform, target) = (Arc::new(home.platform()), home.target.clone());
    let [witness, again] = [(); 2].map(|()| Arc::clone(&home));
    DeployerSandbox::new(platform, target, subjects)
        .corrupt(corrupt)
        .too_many(MAX_REPLICAS + 1)
        .instances(move |_, digest| {
            // The sandbox has one target; names tell the version.
            let version = format!("-{}-", digest.short());
            let names = witness.processes().into_keys().filter(|name| name.contains(&version));
            let names: BTreeSet<String> = names.collect();
            async move { Ok(names) }
        })
        .reopen(move || {
            let reopened = Home::reopened(Arc::clone(&again));
            async move { Ok(reopened.await? as Arc<dyn Deployer>) }
        })
        .on_close(move || {
            let home = Arc::clone(&home);
            async move { home.close().await }
        })
}

release_testkit::deployer_conformance! {
    name: local_deployer,
    level: V2,
    provider: deployer_sandbox,
}

async fn store_sandbox() -> ArtifactStoreSandbox {
    let home = Arc::new(Home::empty().await);
    let (stored, corrupt) = (home.put(b"stored".to_vec()).await, home.corrupt().await);
    let platform = Arc::new(home.platform());
    let (files, again) = (home.root(), Arc::clone(&home));
    suites::artifact_store::sandbox(platform, Shelf::new(stored).corrupt(corrupt))
        .reopen(move || {
            let reopened = Home::reopened(Arc::clone(&again));
            async move { Ok(reopened.await? as Arc<dyn ArtifactStore>) }
        })
        .seen_from_outside(move || std::future::ready(listing(&files)))
        .settles_within(ON_DISK)
        .on_close(move || Home::close_of(Arc::clone(&home)))
}

/// What the notifier writes a message into.
#[derive(serde::Deserialize)]
struct Line {
    notification: Notification,
}

async fn notifier_sandbox() -> NotifierSandbox {
    let home = Arc::new(Home::empty().await);
    let (platform, file) = (Arc::new(home.platform()), home.root().join(NOTIFICATIONS));
    let inbox = Inbox::new(fixtures::literal("releases")).any_channel().read(move || {
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        let message = |line| serde_json::from_str(line).map(|line: Line| line.notification);
        let messages: Result<Vec<Notification>, _> = lines.lines().map(message).collect();
        async move { Ok(messages?) }
    });
    let (files, again) = (home.root(), Arc::clone(&home));
    suites::notifier::sandbox(platform, inbox)
        .reopen(move || {
            let reopened = Home::reopened(Arc::clone(&again));
            async move { Ok(reopened.await? as Arc<dyn Notifier>) }
        })
        .seen_from_outside(move || std::future::ready(listing(&files)))
        .settles_within(ON_DISK)
        .on_close(move || Home::close_of(Arc::clone(&home)))
}

/// All files below a directory, with their sizes.
fn listing(directory: &Path) -> Result<String, HookError> {
    let (mut found, mut todo) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory)? {
            let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if metadata.is_dir() {
                todo.push(path);
            } else {
                found.push(format!("{} {}", path.display(), metadata.len()));
            }
        }
    }
    found.sort();
    Ok(found.join("\n"))
}

/// A home in which two instances of one version are ready.
async fn running() -> (Arc<Home>, Subject) {
    let (home, [subject, _]) = Home::new().await;
    let (target, artifact) = (home.target.clone(), subject.artifact.clone());
    let wish = ApplyRequest::new(target, artifact, subject.version.clone(), 2);
    home.platform().apply(&fixtures::context("apply"), wish).await.unwrap();
    let digest = subject.artifact.digest();
    home.ready([digest, digest]).await.unwrap();
    (home, subject)
}

async fn probe_sandbox() -> HealthProbeSandbox {
    let (home, subject) = running().await;
    let (platform, target) = (Arc::new(home.platform()), home.target.clone());
    let instances = Instances::new(target, subject.artifact.digest(), 2);
    suites::health_probe::sandbox(platform, instances)
        .on_close(move || Home::close_of(Arc::clone(&home)))
}

release_testkit::conformance!(ArtifactStore, store_sandbox);
release_testkit::conformance!(Notifier, notifier_sandbox);
release_testkit::conformance!(HealthProbe, probe_sandbox);

/// What of these suites cannot be tried: the platform is never out of reach and has no credential, and the demo service
/// answers the same as long as it lives.
#[tokio::test]
async fn of_the_other_suites_only_this_is_skipped() {
    let skipped = |report: ConformanceReport| {
        assert!(report.is_conformant(), "{report}");
        report.skipped().map(|case| case.case.clone()).collect::<Vec<_>>()
    };
    let always = [
        "out_of_reach_is_unavailable",
        "refused_credentials_are_denied",
        "throttling_is_rate_limited",
        "stalled_calls_end_in_time",
        "secrets_stay_secret",
    ];
    let report = suites::artifact_store::run(Level::V1, &store_sandbox).await;
    assert_eq!(skipped(report), always);
    let report = suites::notifier::run(Level::V1, &notifier_sandbox).await;
    assert_eq!(skipped(report), [&always[..], &["wrong_requests_are_refused"]].concat());
    let report = suites::health_probe::run(Level::V1, &probe_sandbox).await;
    assert_eq!(skipped(report), [&always[..], &["old_answers_are_not_reused"]].concat());
}

/// The sandboxes offer all that the platform can offer.
#[tokio::test]
async fn only_the_unknown_target_of_the_deployer_is_skipped() {
    for case in ["wrong_digest_is_refused", "too_many_is_invalid", "reopening_loses_nothing"] {
        let verdict = deployer::run_case(Level::V1, case, &deployer_sandbox).await;
        assert_eq!(verdict, Some(Verdict::Passed), "{case}");
    }
    let case = "unknown_target_is_not_found";
    let verdict = deployer::run_case(Level::V1, case, &deployer_sandbox).await;
    assert!(matches!(verdict, Some(Verdict::Skipped { .. })), "{verdict:?}");
    let cases = [
        "served_follows_weights",
        "reopening_loses_nothing",
        "clients_stay",
        "clients_stay_with_one",
        "tracks_are_apart",
    ];
    for case in cases {
        let verdict = router::run_case(Level::V2, case, &router_sandbox).await;
        assert_eq!(verdict, Some(Verdict::Passed), "{case}");
    }
}
