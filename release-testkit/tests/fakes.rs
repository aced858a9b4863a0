//! The fakes without a suite: probe, metrics, artifacts, notifier, and what all can be told to do.

use release_core::model::{Digest, Span, Timestamp};
use release_core::port::{Clock as _, EffectCertainty, Measurement};
use release_providers::spi::*;
use release_providers::{ErrorKind, ProviderError};
use release_testkit::fakes::*;
use release_testkit::{VirtualClock, fixtures};

fn cx() -> release_providers::Context {
    fixtures::context("k")
}

#[tokio::test]
async fn a_probe_asks_what_runs() {
    let platform = FakePlatform::new();
    let (target, digest) = (fixtures::target("api"), fixtures::digest("api", "1.1.0"));
    let check =
        async || platform.health.check(&cx(), CheckHealth::new(target.clone(), digest)).await;
    assert_eq!(check().await.unwrap().instances, []);
    platform.world.store(&fixtures::content("api", "1.1.0"));
    let wish = ApplyRequest::new(
        target.clone(),
        fixtures::artifact("api", "1.1.0"),
        fixtures::version("1.1.0"),
        3,
    );
    platform.deployer.apply(&cx(), wish).await.unwrap();
    platform.world.set_unready(&target, digest, 1);
    let ready: Vec<_> = check().await.unwrap().instances.iter().map(|one| one.ready).collect();
    assert_eq!(ready, [false, true, true]);
    platform.world.break_down(&target, digest, "exit 1");
    let cx = cx();
    let status =
        platform.deployer.observe(&cx, ObserveDeployment::new(target.clone(), digest)).await;
    assert_eq!(status.unwrap().phase, DeploymentPhase::Failed { reason: "exit 1".into() });
    platform.world.only_targets([]);
    assert_eq!(check().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn metrics_without_good_samples_are_no_data() {
    let (metrics, digest) = (FakeMetrics::new(), fixtures::digest("api", "1.1.0"));
    let metric = fixtures::error_rate().metric;
    let measure = async || {
        let request = MeasureRequest::new(
            fixtures::target("api"),
            digest,
            fixtures::version("1.1.0"),
            metric.clone(),
            Timestamp::default(),
        );
        metrics.measure(&cx(), request).await.unwrap()
    };
    let reason = |measured| match measured {
        Measurement::NoData { reason } => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(measure().await), "no samples of `http_requests_failed_total`");
    for bad in [f64::NAN, f64::INFINITY] {
        metrics.set_errors(digest, bad, 100.0);
        assert!(reason(measure().await).starts_with("`http_requests_failed_total` is"));
    }
    metrics.set_errors(digest, 1.0, 100.0);
    assert!(matches!(measure().await, Measurement::Ratio { digest: d, .. } if d == digest));
    metrics.script(MetricsSourceOp::Measure, [Behaviour::Lie]);
    assert!(matches!(measure().await, Measurement::Ratio { digest: d, .. } if d != digest));
    assert_eq!(metrics.count(MetricsSourceOp::Measure), 5);
}

#[test]
fn counters_are_measured_over_a_window_and_a_reset_begins_anew() {
    let clock = std::sync::Arc::new(VirtualClock::new());
    let (metrics, digest) = (FakeMetrics::new().with_clock(clock.clone()), Digest::of(b"x"));
    let begin = clock.now();
    let count = |second: u64, bad: f64, all: f64| {
        clock.set(begin.plus(Span::secs(second)));
        metrics.count_up(digest, fixtures::FAILED_REQUESTS, bad);
        metrics.count_up(digest, fixtures::ALL_REQUESTS, all);
    };
    count(0, 50.0, 100.0);
    count(10, 50.0, 300.0);
    count(20, 2.0, 20.0); // restarted
    count(30, 3.0, 40.0);
    let measure = |second| {
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let (metric, since) = (fixtures::error_rate().metric, begin.plus(Span::secs(second)));
        let request = MeasureRequest::new(target, digest, version, metric, since);
        match clock.run(metrics.measure(&cx(), request)).unwrap().unwrap() {
            Measurement::Ratio { numerator, denominator, .. } => {
                Some((numerator.get(), denominator.get()))
            }
            _ => None,
        }
    };
    assert_eq!(measure(0), Some((3.0, 240.0)));
    assert_eq!(measure(10), Some((3.0, 40.0)));
    assert_eq!(measure(20), Some((1.0, 20.0)));
    assert_eq!(measure(30), None, "nothing in the window is no data");
}

#[tokio::test]
async fn a_store_verifies_what_it_reads() {
    let platform = FakePlatform::new();
    let store = &platform.artifacts;
    let put = async |bytes: &[u8]| {
        store.put(&cx(), PutArtifact::new("api".parse().unwrap(), bytes.to_vec())).await
    };
    let artifact = put(b"content").await.unwrap();
    assert_eq!(artifact, put(b"content").await.unwrap());
    assert_eq!(store.get(&cx(), artifact.clone()).await.unwrap().bytes, b"content");
    assert_eq!(store.verify(&cx(), artifact.clone()).await.unwrap().bytes, 7);
    store.script(ArtifactStoreOp::Verify, [Behaviour::Lie]);
    let lie = store.verify(&cx(), artifact.clone()).await.unwrap();
    assert_ne!(lie.digest, artifact.digest());
    platform.world.corrupt(artifact.digest());
    for error in [
        store.get(&cx(), artifact.clone()).await.unwrap_err(),
        store.verify(&cx(), artifact.clone()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    platform.world.forget(artifact.digest());
    assert_eq!(store.get(&cx(), artifact).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_message_is_sent_once_a_key() {
    let notifier = FakeNotifier::new().only_channels(["releases".parse().unwrap()]);
    let to =
        |channel: &str| Notification::new(channel.parse().unwrap(), Severity::Info, "it is live");
    notifier.script(NotifierOp::Notify, [Behaviour::ApplyThenLose]);
    let lost = notifier.notify(&cx(), to("releases")).await.unwrap_err();
    assert_eq!(lost.effect(), EffectCertainty::Unknown);
    notifier.notify(&cx(), to("releases")).await.unwrap();
    assert_eq!(notifier.sent().len(), 1);
    notifier.notify(&fixtures::context("other"), to("releases")).await.unwrap();
    assert_eq!(notifier.sent().len(), 2);
    let unknown = notifier.notify(&cx(), to("nobody")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(notifier.calls().len(), 4);
}

#[test]
fn behaviours_take_their_time_and_can_be_cancelled() {
    let clock = std::sync::Arc::new(VirtualClock::new());
    let dynamic: std::sync::Arc<dyn release_core::port::Clock> = clock.clone();
    let platform = FakePlatform::on(&dynamic);
    let begin = clock.now();
    let store = &platform.artifacts;
    let put = async |cx: &release_providers::Context| {
        store.put(cx, PutArtifact::new("api".parse().unwrap(), b"x".to_vec())).await
    };
    store.script(ArtifactStoreOp::Put, [Behaviour::Slow(Span::secs(60)), Behaviour::Hang]);
    clock.run(put(&cx())).unwrap().unwrap();
    assert_eq!(clock.now().since(begin), Span::secs(60));
    let cancelled = cx();
    let cancel = async { cancelled.cancellation.cancel() };
    let on_its_way = async { tokio::join!(put(&cancelled), cancel).0 };
    let error = clock.run(on_its_way).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Cancelled, EffectCertainty::Unknown));
    // One that nobody waits for any more is not even begun.
    let mut late = cx();
    late.deadline = clock.now();
    for (cx, kind) in [(&cancelled, ErrorKind::Cancelled), (&late, ErrorKind::Timeout)] {
        let error = clock.run(put(cx)).unwrap().unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, EffectCertainty::NotApplied));
    }
    let wanted = ProviderError::new(ErrorKind::NoSpace, "artifacts.put", "full");
    store.script(ArtifactStoreOp::Put, [Behaviour::Fail(wanted), Behaviour::ApplyThenHang]);
    assert_eq!(clock.run(put(&cx())).unwrap().unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(clock.run(put(&cx())).is_err(), "it hangs");
    assert!(platform.world.instances(&fixtures::target("api"), Digest::of(b"x")).is_empty());
}

#[tokio::test]
async fn a_source_of_identities_counts_what_changes_and_tells_it_all() {
    let clock = std::sync::Arc::new(VirtualClock::new());
    let source = FakeIdentities::of(fixtures::accounts()).with_clock(clock.clone());
    let read =
        async |source: &FakeIdentities| source.read(&cx(), ReadIdentities::new()).await.unwrap();
    let (bob, role) = (fixtures::approver().id, fixtures::literal("release-manager"));
    source.revoke(&bob, &fixtures::literal("developer"));
    let first = read(&source).await;
    assert_eq!((first.version, first.taken_at), (1, clock.now()), "he never had that role");

    source.revoke(&bob, &role);
    source.close(&bob);
    source.lend(release_core::model::Delegation {
        from: fixtures::second_approver().id,
        to: fixtures::requester().id,
        role,
        starts: clock.now(),
        ends: clock.now().plus(Span::secs(60)),
        reason: "a holiday".into(),
    });
    let second = read(&source.another()).await;
    assert_eq!((second.version, second.delegations.len()), (4, 1));
    let account = second.identities.iter().find(|account| account.id == bob).unwrap();
    assert!(!account.active && account.grants.is_empty());

    source.set_within_reach(false);
    let gone = source.read(&cx(), ReadIdentities::new()).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unavailable);
    source.set_within_reach(true);
    source.script(IdentitySourceOp::Read, [Behaviour::Lie]);
    assert_eq!(read(&source).await.identities, []);
    assert_eq!(read(&source).await, second);
    assert_eq!(source.count(IdentitySourceOp::Read), 4, "the other instance has its own record");
}
