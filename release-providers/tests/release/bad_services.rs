//! Versions that are bad in every way that we know: never a success, always back to the old one.

use release_core::run::Outcome;
use release_providers::local::{LocalPlatform, ServiceConfig};
use release_providers::spi::{ObserveTraffic, TrafficRouter};

use crate::support::{World, cx, demo, deploy, put, route, share, status, target};
use crate::train::{definition, failure, release};

/// Version 1 serves, and the platform will start all further instances in `mode`.
async fn world_where_new_ones_are(
    mode: &str,
) -> (World, LocalPlatform, release_core::model::ArtifactRef) {
    let world = World::default();
    let good = world.open().await;
    let old = deploy(&good, &target("eu"), demo("1.0.0", 0), "1.0.0", 1).await;
    route(&good, &target("eu"), vec![share(&old, "1.0.0", 100)]).await.unwrap();
    good.shutdown().await;
    drop(good);
    let bad = world.config_with(ServiceConfig::new().env("DEMO_MODE", mode));
    let platform = LocalPlatform::open(bad).await.unwrap();
    (world, platform, old)
}

/// A release of a version that is bad in this way fails at this step, for this reason, and the old
/// version has all the traffic again.
async fn check(mode: &str, step: &str, kind: &str, says: &str) {
    let (world, platform, old) = world_where_new_ones_are(mode).await;
    let new = put(&platform, demo("2.0.0", 0)).await;
    let (outcome, history) = release(&platform, &definition(&new, Some(&old))).await.unwrap();
    let (failed, found, message) = failure(&history);
    assert_eq!((failed.as_str(), found.as_str()), (step, kind), "{mode}: {message}");
    assert!(message.contains(says), "{mode}: {message}");
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{mode}: {outcome}");
    let traffic = TrafficRouter::observe(&platform, &cx("look"), ObserveTraffic::new(target("eu")))
        .await
        .unwrap();
    assert_eq!(traffic.weights, vec![share(&old, "1.0.0", 100)], "{mode}");
    assert_eq!(status(&platform, &target("eu"), &new).await.running, 0, "{mode}");
    assert_eq!(status(&platform, &target("eu"), &old).await.running, 1, "{mode}");
    platform.destroy().await.unwrap();
    assert!(world.marked().is_empty(), "{mode}");
}

#[tokio::test]
async fn a_service_that_exits_at_once() {
    check("exit", "prod/eu/api/start", "failed", "3").await;
}

#[tokio::test]
async fn a_service_that_never_becomes_healthy() {
    check("unhealthy", "prod/eu/api/ready", "timeout", "0 of 1 instances are ready").await;
}

#[tokio::test]
async fn a_service_whose_metrics_are_not_numbers() {
    check("nan", "prod/eu/api/weight-20/errors", "inconclusive", "NaN").await;
}

#[tokio::test]
async fn a_service_whose_metrics_are_garbage() {
    check("garbage", "prod/eu/api/weight-20/errors", "inconclusive", "no data").await;
}

#[tokio::test]
async fn a_service_without_metrics() {
    check("silent", "prod/eu/api/weight-20/errors", "inconclusive", "no data").await;
}

#[tokio::test]
async fn an_artifact_that_is_not_what_its_digest_says() {
    let (world, platform, old) = world_where_new_ones_are("good").await;
    let new = put(&platform, demo("2.0.0", 0)).await;
    let file = world.root().join("artifacts/sha256").join(new.digest().hex());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.push(b'!');
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let (outcome, history) = release(&platform, &definition(&new, Some(&old))).await.unwrap();
    let (step, kind, message) = failure(&history);
    assert_eq!((step.as_str(), kind.as_str()), ("artifacts/api/new", "corrupt"), "{message}");
    assert!(message.contains(&new.digest().to_string()), "{message}");
    // Nothing had moved, so nothing is rolled back.
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome}");
    assert_eq!(status(&platform, &target("eu"), &old).await.running, 1);
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_port_that_somebody_else_has() {
    let world = World::default();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = world.config().port(target("eu"), address.port());
    let platform = LocalPlatform::open(config).await.unwrap();
    let new = put(&platform, demo("2.0.0", 0)).await;
    let (outcome, history) = release(&platform, &definition(&new, None)).await.unwrap();
    let (step, kind, message) = failure(&history);
    assert_eq!((step.as_str(), kind.as_str()), ("prod/eu/api/start", "conflict"), "{message}");
    assert!(message.contains(&address.to_string()), "{message}");
    assert_ne!(outcome, Outcome::Succeeded);
    platform.destroy().await.unwrap();
    assert!(world.marked().is_empty());
}
