//! Health, metrics and notifications: what is not known is never a pass.

use release_core::model::{ArtifactRef, Finite, Metric, Selector, Span, Timestamp};
use release_core::port::{Clock as _, Measurement};
use release_providers::ErrorKind;
use release_providers::local::{LocalPlatform, ServiceConfig};
use release_providers::spi::{
    CheckHealth, Deployer, HealthProbe, MeasureRequest, MetricsSource, Notification, Notifier,
    Severity,
};

use crate::support::{
    WallClock, World, cx, demo, deploy, eventually, get, kill, put, route, settled, share, target,
    version, wish,
};

fn failures() -> Metric {
    let all = Selector::series("http_requests_total").label("service", "api");
    Metric::Ratio { numerator: all.clone().label("code", "500"), denominator: all }
}

async fn measure_since(
    platform: &LocalPlatform,
    artifact: &ArtifactRef,
    text: &str,
    since: Timestamp,
) -> Measurement {
    let (eu, digest, version) = (target("eu"), artifact.digest(), version(text));
    let request = MeasureRequest::new(eu, digest, version, failures(), since);
    platform.measure(&cx("measure"), request).await.unwrap()
}

/// Over the whole life of the instances.
async fn measure(platform: &LocalPlatform, artifact: &ArtifactRef, text: &str) -> Measurement {
    measure_since(platform, artifact, text, Timestamp::default()).await
}

fn ratio(artifact: &ArtifactRef, above: u32, below: u32) -> Measurement {
    let [numerator, denominator] = [above, below].map(|n| Finite::new(n.into()).unwrap());
    Measurement::Ratio { digest: artifact.digest(), numerator, denominator }
}

async fn work(platform: &LocalPlatform, requests: u32) {
    for _ in 0..requests {
        get(platform.address(&target("eu")).unwrap(), "/work").await;
    }
}

#[tokio::test]
async fn a_ratio_is_summed_over_the_instances_of_one_version() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    let new = deploy(&platform, &eu, demo("1.1.0", 20), "1.1.0", 2).await;
    let shares = vec![share(&old, "1.0.0", 50), share(&new, "1.1.0", 50)];
    route(&platform, &eu, shares).await.unwrap();
    work(&platform, 400).await;
    assert_eq!(measure(&platform, &new, "1.1.0").await, ratio(&new, 40, 200));
    assert_eq!(measure(&platform, &old, "1.0.0").await, ratio(&old, 0, 200));
    // The samples are there, but they are not of the version that was asked after.
    no_data(measure(&platform, &new, "1.2.0").await, "version `1.2.0`");
    platform.destroy().await.unwrap();
}

#[track_caller]
fn no_data(measurement: Measurement, part: &str) {
    match measurement {
        Measurement::NoData { reason } => assert!(reason.contains(part), "{reason}"),
        other => panic!("a pass out of nothing: {other:?}"),
    }
}

/// When the present window began: once every instance has a sample in it.
async fn new_window(platform: &LocalPlatform, artifact: &ArtifactRef, text: &str) -> Timestamp {
    let since = WallClock.now();
    // Either new shares were sampled, or this very measurement is the first sample.
    let Measurement::NoData { reason } = measure_since(platform, artifact, text, since).await
    else {
        panic!("data out of nothing");
    };
    let known = reason.contains("has not grown since") || reason.contains("no sample since");
    assert!(known, "{reason}");
    since
}

#[tokio::test]
async fn errors_from_before_the_window_do_not_count_also_over_a_restart() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let bad = deploy(&platform, &eu, demo("1.1.0", 20), "1.1.0", 2).await;
    let good = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    route(&platform, &eu, vec![share(&bad, "1.1.0", 100)]).await.unwrap();
    work(&platform, 200).await;
    let shares = vec![share(&bad, "1.1.0", 50), share(&good, "1.0.0", 50)];
    route(&platform, &eu, shares).await.unwrap();
    let since = new_window(&platform, &bad, "1.1.0").await;
    let again = measure_since(&platform, &bad, "1.1.0", since).await;
    no_data(again, "`http_requests_total` has not grown since");
    work(&platform, 20).await;
    // Each of the two counts to a hundred before it fails the next of its requests: 5 each.
    assert_eq!(measure_since(&platform, &bad, "1.1.0", since).await, ratio(&bad, 2, 10));
    assert_eq!(measure(&platform, &bad, "1.1.0").await, ratio(&bad, 42, 210));

    // The platform is gone and comes back: the window is what it was.
    platform.shutdown().await;
    drop(platform);
    let platform = world.open().await;
    assert_eq!(measure_since(&platform, &bad, "1.1.0", since).await, ratio(&bad, 2, 10));
    work(&platform, 20).await;
    assert_eq!(measure_since(&platform, &bad, "1.1.0", since).await, ratio(&bad, 4, 20));
    // A window that begins long after the shares, and when nobody looked: it begins with the shares,
    // rather than that what was seen since them is forgotten.
    WallClock.sleep_until(since.plus(Span::secs(1))).await;
    let later = WallClock.now();
    assert_eq!(measure_since(&platform, &bad, "1.1.0", later).await, ratio(&bad, 4, 20));
    work(&platform, 20).await;
    assert_eq!(measure_since(&platform, &bad, "1.1.0", later).await, ratio(&bad, 6, 30));
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn new_shares_are_sampled_and_a_window_that_begins_with_them_needs_no_other() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let bad = deploy(&platform, &eu, demo("1.1.0", 20), "1.1.0", 1).await;
    let sampled = world.root().join("samples/prod@eu@api.json");
    assert!(!sampled.exists());
    let since = WallClock.now();
    route(&platform, &eu, vec![share(&bad, "1.1.0", 100)]).await.unwrap();
    eventually("sampled", || async { sampled.exists() }).await;
    work(&platform, 100).await;
    assert_eq!(measure_since(&platform, &bad, "1.1.0", since).await, ratio(&bad, 20, 100));
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_ends_by_itself_in_the_window_is_no_data_until_new_shares() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let bad = deploy(&platform, &eu, demo("1.1.0", 20), "1.1.0", 1).await;
    route(&platform, &eu, vec![share(&bad, "1.1.0", 100)]).await.unwrap();
    work(&platform, 100).await;
    route(&platform, &eu, Vec::new()).await.unwrap();
    route(&platform, &eu, vec![share(&bad, "1.1.0", 100)]).await.unwrap();
    let since = new_window(&platform, &bad, "1.1.0").await;
    work(&platform, 50).await;
    assert_eq!(measure_since(&platform, &bad, "1.1.0", since).await, ratio(&bad, 10, 50));
    platform.processes(&eu, bad.digest()).into_values().for_each(kill);
    eventually("another one", || async {
        let check = CheckHealth::new(eu.clone(), bad.digest());
        let report = platform.check(&cx("check"), check).await.unwrap();
        report.instances.iter().any(|instance| instance.ready)
    })
    .await;
    work(&platform, 10).await;
    no_data(measure_since(&platform, &bad, "1.1.0", since).await, "ended by itself");
    // The platform is gone and comes back: it still is.
    platform.shutdown().await;
    drop(platform);
    let platform = world.open().await;
    no_data(measure_since(&platform, &bad, "1.1.0", since).await, "ended by itself");
    // A later window does not have it, and the new instance has counted from zero.
    route(&platform, &eu, Vec::new()).await.unwrap();
    route(&platform, &eu, vec![share(&bad, "1.1.0", 100)]).await.unwrap();
    let since = new_window(&platform, &bad, "1.1.0").await;
    work(&platform, 100).await;
    assert_eq!(measure_since(&platform, &bad, "1.1.0", since).await, ratio(&bad, 20, 100));
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn nan_noise_and_silence_are_no_data() {
    for (mode, part) in
        [("nan", "is NaN"), ("garbage", "line"), ("silent", "no instance has a sample")]
    {
        let world = World::default();
        let config = world.config_with(ServiceConfig::new().env("DEMO_MODE", mode));
        let platform = LocalPlatform::open(config).await.unwrap();
        let artifact = deploy(&platform, &target("eu"), demo("1.0.0", 0), "1.0.0", 1).await;
        no_data(measure(&platform, &artifact, "1.0.0").await, part);
        platform.destroy().await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_unready_and_no_data() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let good = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    // It runs and listens nowhere.
    let script = b"#!/bin/sh\nexec sleep 1000\n".to_vec();
    let deaf = put(&platform, script).await;
    no_data(measure(&platform, &deaf, "1.1.0").await, "no instance of this version runs");
    platform.apply(&cx("deaf"), wish(&eu, &deaf, "1.1.0", 1)).await.unwrap();
    settled(&platform, &eu, &deaf).await;
    no_data(measure(&platform, &deaf, "1.1.0").await, "cannot connect");
    let check = CheckHealth::new(eu.clone(), deaf.digest());
    let report = platform.check(&cx("check"), check).await.unwrap();
    assert_eq!(report.instances.len(), 1);
    assert!(!report.instances[0].ready && report.instances[0].detail.contains("cannot connect"));
    // An answer is never remembered: a dead instance is not ready, or not there.
    let check = || CheckHealth::new(eu.clone(), good.digest());
    assert!(platform.check(&cx("check"), check()).await.unwrap().instances[0].ready);
    platform.processes(&eu, good.digest()).into_values().for_each(kill);
    eventually("not ready", || async {
        let report = platform.check(&cx("check"), check()).await.unwrap();
        report.instances.iter().all(|instance| !instance.ready)
    })
    .await;
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_target_without_deployments_is_not_found() {
    let world = World::default();
    let platform = world.open().await;
    let artifact = put(&platform, demo("1.0.0", 0)).await;
    let (eu, digest, since) = (target("eu"), artifact.digest(), Timestamp::default());
    let request = MeasureRequest::new(eu, digest, version("1.0.0"), failures(), since);
    let error = platform.measure(&cx("measure"), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let request = CheckHealth::new(target("eu"), artifact.digest());
    let error = platform.check(&cx("check"), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn a_message_is_written_once_also_over_a_restart_and_a_torn_write() {
    let world = World::default();
    let path = world.root().join("notifications.jsonl");
    let message =
        |text: &str| Notification::new("releases".parse().unwrap(), Severity::Warning, text);
    let platform = world.open().await;
    for key in ["a", "b", "a"] {
        platform.notify(&cx(key), message("rolled\nback")).await.unwrap();
    }
    platform.shutdown().await;
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"key\":\"to");
    std::fs::write(&path, text).unwrap();
    let platform = world.open().await;
    for key in ["b", "c"] {
        platform.notify(&cx(key), message("done")).await.unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<&str> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(lines[0]["notification"]["message"], "rolled\nback");
    platform.shutdown().await;
}
