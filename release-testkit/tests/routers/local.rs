//! The same releases through the local platform's own proxy, under the same load.

use std::io::Write as _;
use std::sync::Arc;

use release_core::engine::SystemClock;
use release_core::plan::Weight;
use release_core::port::Clock;
use release_core::time::Span;
use release_providers::Context;
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{
    ApplyRequest, ArtifactStore as _, CheckHealth, Deployer as _, HealthProbe as _, PutArtifact,
    SetWeights, TrafficRouter as _,
};
use release_testkit::conformance::Subject;
use release_testkit::fixtures;

use crate::demo::program;
use crate::driven::{Driven, all_of};
use crate::load::Load;
use crate::shrinking::shrinks;
use crate::stage::VERSIONS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_through_the_local_proxy_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut config = LocalConfig::new(directory.path(), Arc::clone(&clock));
    config.stop_grace = Span::secs(2);
    let platform = LocalPlatform::open(config).await.unwrap();
    let (target, mut subjects) = (fixtures::target("api"), Vec::new());
    let cx = |key: &str| Context::new(key, clock.now().plus(Span::secs(60)), fixtures::robot());
    for version in VERSIONS {
        let request = PutArtifact::new(fixtures::literal("api"), program(version, 0));
        let artifact = platform.put(&cx("put"), request).await.unwrap();
        subjects.push(Subject::new(artifact, fixtures::version(version)));
    }
    let subjects: [Subject; 2] = subjects.try_into().unwrap();
    let Subject { artifact, version, .. } = subjects[0].clone();
    let digest = artifact.digest();
    let wish = ApplyRequest::new(target.clone(), artifact, version.clone(), 2);
    platform.apply(&cx("apply"), wish).await.unwrap();
    let mut changes = platform.changes();
    loop {
        let look = CheckHealth::new(target.clone(), digest);
        let report = platform.check(&cx("check"), look).await.unwrap();
        if report.instances.iter().filter(|one| one.ready).count() == 2 {
            break;
        }
        changes.changed().await.unwrap();
    }
    let all = SetWeights::new(target.clone(), vec![Weight::new(digest, version, 100)]);
    platform.set_weights(&cx("route"), all).await.unwrap();
    let address = platform.address(&target).unwrap();
    let load = Load::begin(address);
    let router = Arc::new(platform.clone());
    let driven = Driven::new(platform.clone(), router, subjects, Arc::clone(&clock));
    all_of(&driven).await;
    let answers = load.end().await;
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "local proxy, driven by the engine: {answers:?} answers, none failed").unwrap();
    driven.scale(0, 3).await;
    driven.until("three instances", async || driven.ready(0).await == 3).await;
    shrinks(&driven, address, "the local proxy").await;
    platform.destroy().await.unwrap();
}
