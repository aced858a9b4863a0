//! The local platform as a source, over a service that says what it is told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use release_core::model::Digest;
use release_core::port::Clock as _;
use release_providers::SystemClock;
use release_providers::endpoints::Endpoints as _;
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{
    ApplyRequest, ArtifactStore as _, Deployer as _, MeasureRequest, MetricsSource as _,
    PutArtifact,
};
use release_testkit::conformance::metrics_source::{Counters, MetricsSourceSandbox};
use release_testkit::conformance::{HookError, Level, metrics_source};
use release_testkit::fixtures;
use tempfile::TempDir;

use crate::compile::compiled;
use crate::service::Service;

/// A platform that runs one instance, both of which are gone in the end.
struct Stage {
    _directory: TempDir,
    platform: LocalPlatform,
    instance: SocketAddr,
    digest: Digest,
    service: Mutex<Service>,
}

impl Stage {
    async fn set() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = LocalConfig::new(directory.path(), Arc::new(SystemClock::new()));
        let platform = LocalPlatform::open(config).await.unwrap();
        let program = compiled("tests/support/told_service.rs", "told", &[]);
        let put = PutArtifact::new(fixtures::literal("api"), program);
        let artifact = platform.put(&fixtures::context("put"), put).await.unwrap();
        let (target, digest) = (fixtures::target("api"), artifact.digest());
        let wish = ApplyRequest::new(target.clone(), artifact, fixtures::version("1.1.0"), 1);
        platform.apply(&fixtures::context("apply"), wish).await.unwrap();
        let mut changes = platform.changes();
        let instance = loop {
            if let [instance] = platform.of(&target, digest).await.unwrap()[..] {
                break instance;
            }
            changes.changed().await.unwrap();
        };
        let service = Mutex::default();
        let stage = Self { _directory: directory, platform, instance, digest, service };
        stage.change(|_| {}).await.unwrap();
        stage
    }

    /// Looks before anything is counted: where nobody looked since a window began, it begins with the first look in it.
    async fn change(&self, change: impl FnOnce(&mut Service)) -> Result<(), HookError> {
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let (digest, since) = (self.digest, SystemClock::new().now());
        let request = MeasureRequest::new(target, digest, version, Service::ratio(), since);
        self.platform.measure(&fixtures::context("look"), request).await?;
        let text = {
            let mut service = self.service.lock().unwrap();
            change(&mut service);
            service.text("")
        };
        let instance = self.instance;
        tokio::task::spawn_blocking(move || tell(instance, &text)).await?
    }
}

fn tell(address: SocketAddr, text: &str) -> Result<(), HookError> {
    let mut stream = TcpStream::connect(address)?;
    let length = text.len();
    let head = format!("POST /metrics HTTP/1.1\r\nhost: api\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + text).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(answer.into()) }
}

async fn platform() -> MetricsSourceSandbox {
    let stage = Arc::new(Stage::set().await);
    let [counting, observing] = [(); 2].map(|()| Arc::clone(&stage));
    let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
    let counters = Counters::new(target, stage.digest, version, Service::ratio())
        .count(move |part, whole| {
            let stage = Arc::clone(&counting);
            async move { stage.change(|service| service.count(part, whole)).await }
        })
        .observing("duration", move |values| {
            let stage = Arc::clone(&observing);
            async move { stage.change(|service| service.observed.extend(values)).await }
        });
    metrics_source::sandbox(Arc::new(stage.platform.clone()), counters).on_close(move || {
        let stage = Arc::clone(&stage);
        async move { Ok(stage.platform.destroy().await?) }
    })
}

mod local_metrics {
    use super::platform;
    release_testkit::conformance!(MetricsSource at V2, platform);
}

/// What cannot be tried: the platform is never out of reach, has no credential, and answers no queries.
#[tokio::test]
async fn of_the_platforms_suite_only_this_is_skipped() {
    let report = metrics_source::run(Level::V2, &platform).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    assert_eq!(
        skipped,
        [
            "out_of_reach_is_unavailable",
            "refused_credentials_are_denied",
            "throttling_is_rate_limited",
            "stalled_calls_end_in_time",
            "secrets_stay_secret",
            "queries_are_answered",
        ]
    );
}
