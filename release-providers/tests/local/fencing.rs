//! Writers of a run that was taken over are refused, also by the next platform on the root.

use release_core::port::EffectCertainty;
use release_providers::local::LocalPlatform;
use release_providers::spi::{Deployer, ObserveTraffic, SetWeights, TrafficRouter};
use release_providers::{Context, ErrorKind, ProviderError};

use crate::support::{World, cx, demo, deploy, put, route, settled, share, status, target, wish};

fn writer(run: &str, epoch: u64) -> Context {
    cx(&format!("{run}/step/{epoch}")).in_run(run.parse().unwrap(), epoch)
}

#[track_caller]
fn fenced(answer: Result<(), ProviderError>) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Fenced, EffectCertainty::NotApplied));
    assert_eq!((error.context("run"), error.context("newest")), (Some("r-1"), Some("7")));
    assert!(error.context("fence").unwrap().ends_with("/fences/r-1.json"), "{error}");
    assert!(error.to_string().contains("remove the fence file"), "{error}");
    let journaled = error.into_effect_error();
    assert_eq!((&*journaled.kind, journaled.retry), ("fenced", release_core::port::Retry::Never));
}

#[tokio::test]
async fn an_older_epoch_is_refused_in_both_roles_and_after_a_reopen() {
    let (world, eu, us) = (World::default(), target("eu"), target("us"));
    let platform = world.open().await;
    let one = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    let two = deploy(&platform, &eu, demo("1.1.0", 0), "1.1.0", 1).await;
    let all = |artifact, text| vec![share(artifact, text, 100)];
    route(&platform, &eu, all(&one, "1.0.0")).await.unwrap();
    // Epoch 7 shows itself once, in one role and target, and with a wish that changes nothing.
    platform.apply(&writer("r-1", 7), wish(&eu, &one, "1.0.0", 1)).await.unwrap();
    platform.shutdown().await;
    drop(platform);

    let platform: LocalPlatform = world.open().await;
    let stale = writer("r-1", 6);
    fenced(platform.apply(&stale, wish(&eu, &one, "1.0.0", 2)).await);
    fenced(platform.apply(&stale, wish(&us, &one, "1.0.0", 1)).await);
    let shares = || SetWeights::new(eu.clone(), all(&two, "1.1.0"));
    fenced(platform.set_weights(&stale, shares()).await);
    let traffic =
        TrafficRouter::observe(&platform, &stale, ObserveTraffic::new(eu.clone())).await.unwrap();
    assert_eq!(traffic.weights, all(&one, "1.0.0"), "looking is for everybody");
    assert_eq!(status(&platform, &eu, &one).await.desired, Some(1));
    assert_eq!(status(&platform, &us, &one).await.desired, None);

    // The newest goes on, other runs have epochs of their own, and no run has no fence.
    platform.apply(&writer("r-1", 7), wish(&eu, &one, "1.0.0", 2)).await.unwrap();
    settled(&platform, &eu, &one).await;
    platform.set_weights(&writer("r-2", 1), shares()).await.unwrap();
    platform.apply(&cx("by-hand"), wish(&eu, &one, "1.0.0", 1)).await.unwrap();
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_fence_that_cannot_be_written_lets_nothing_pass() {
    let (world, eu) = (World::default(), target("eu"));
    let platform = world.open().await;
    let artifact = put(&platform, demo("1.0.0", 0)).await;
    std::fs::remove_dir_all(world.root().join("fences")).unwrap();
    std::fs::write(world.root().join("fences"), "in the way").unwrap();
    let refused = platform.apply(&writer("r-1", 7), wish(&eu, &artifact, "1.0.0", 1)).await;
    assert_eq!(refused.unwrap_err().effect(), EffectCertainty::NotApplied);
    assert_eq!(status(&platform, &eu, &artifact).await.desired, None);
    platform.destroy().await.unwrap();
}
