//! Mocks assert that a call is never made.
#![cfg(feature = "mock")]

use release_providers::spi::{Deployer, IdentitySource, Notifier, ObserveTraffic, TrafficRouter};
use release_testkit::fixtures;
use release_testkit::mocks::*;

#[tokio::test]
async fn a_mock_counts_the_calls_that_it_expects() {
    let mut router = MockTrafficRouter::new();
    router.expect_set_weights().never();
    router.expect_observe().once().returning(|_, request| {
        Ok(release_providers::spi::TrafficStatus::new(request.target, Vec::new(), Vec::new(), 0))
    });
    let router: Box<dyn TrafficRouter> = Box::new(router);
    let status = router
        .observe(&fixtures::context("k"), ObserveTraffic::new(fixtures::target("api")))
        .await
        .unwrap();
    assert!(status.weights.is_empty());
}

#[tokio::test]
#[should_panic(expected = "MockNotifier::notify")]
async fn a_mock_panics_at_a_call_that_must_not_be() {
    use release_providers::spi::{Notification, Severity};
    let mut notifier = MockNotifier::new();
    notifier.expect_notify().never();
    let message = Notification::new("releases".parse().unwrap(), Severity::Info, "live");
    let _ = notifier.notify(&fixtures::context("k"), message).await;
}

#[test]
fn every_trait_has_a_mock() {
    let _: Box<dyn Deployer> = Box::new(MockDeployer::new());
    let _ = (MockHealthProbe::new(), MockMetricsSource::new(), MockArtifactStore::new());
    let _: Box<dyn IdentitySource> = Box::new(MockIdentitySource::new());
}
