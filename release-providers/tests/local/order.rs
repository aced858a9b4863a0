//! Calls on one target take turns, and a dropped call never has an effect behind anybody's back.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::FutureExt as _;
use release_core::model::{ArtifactRef, Span, Target};
use release_core::plan::Weight;
use release_core::port::{Clock as _, EffectCertainty};
use release_providers::local::LocalPlatform;
use release_providers::spi::{Deployer, ObserveTraffic, SetWeights, TrafficRouter};
use release_providers::{ErrorKind, ProviderError};
use tokio::task::{JoinSet, yield_now};

use crate::support::{
    WallClock, World, cx, demo, deploy, put, route, share, slow, status, target, wish,
};

/// Runs a test where tasks that a task starts overtake each other: on the only worker of a
/// runtime.
async fn on_a_worker<F: Future<Output = ()> + Send + 'static>(test: F) {
    let mut tasks = JoinSet::new();
    tasks.spawn(test);
    tasks.join_all().await;
}

/// Gives what should not happen time to happen.
async fn linger() {
    WallClock.sleep_until(WallClock.now().plus(Span::millis(50))).await;
}

async fn weights(platform: &LocalPlatform, target: &Target) -> Vec<Weight> {
    TrafficRouter::observe(platform, &cx("look"), ObserveTraffic::new(target.clone()))
        .await
        .unwrap()
        .weights
}

async fn desired(platform: &LocalPlatform, target: &Target, artifact: &ArtifactRef) -> Option<u32> {
    status(platform, target, artifact).await.desired
}

/// The number of instances that a later platform would find to be wished.
fn written(world: &World, artifact: &ArtifactRef) -> Option<u64> {
    let file = format!("desired/prod@eu@api/{}.json", artifact.digest().hex());
    let text = std::fs::read(world.root().join(file)).ok()?;
    let wish: serde_json::Value = serde_json::from_slice(&text).unwrap();
    wish["replicas"].as_u64()
}

/// The shares that a later platform would find.
fn written_weights(world: &World) -> Vec<Weight> {
    let text = std::fs::read(world.root().join("targets/prod@eu@api.json")).unwrap();
    let mut target: serde_json::Value = serde_json::from_slice(&text).unwrap();
    serde_json::from_value(target["weights"].take()).unwrap()
}

/// Polls a call once, which makes it.
async fn begin<T>(call: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) -> Option<T> {
    poll_fn(|task| match call.as_mut().poll(task) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Two versions, of which the old one has all traffic, and the shares of a canary.
struct Canary {
    world: World,
    platform: LocalPlatform,
    eu: Target,
    old: ArtifactRef,
    all_old: Vec<Weight>,
    some_new: Vec<Weight>,
}

impl Canary {
    async fn start() -> Self {
        let world = World::default();
        let platform = world.open().await;
        let eu = target("eu");
        let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
        let new = deploy(&platform, &eu, demo("1.1.0", 0), "1.1.0", 1).await;
        let all_old = vec![share(&old, "1.0.0", 100)];
        let mut some_new = vec![share(&old, "1.0.0", 80), share(&new, "1.1.0", 20)];
        some_new.sort();
        route(&platform, &eu, all_old.clone()).await.unwrap();
        Self { world, platform, eu, old, all_old, some_new }
    }

    fn set(
        &self,
        weights: &[Weight],
    ) -> impl Future<Output = Result<(), ProviderError>> + Send + use<> {
        let (platform, eu, weights) = (self.platform.clone(), self.eu.clone(), weights.to_vec());
        async move { route(&platform, &eu, weights).await }
    }

    /// These shares are in effect and written, and stay so.
    async fn stays(&self, expected: &[Weight]) {
        assert_eq!(weights(&self.platform, &self.eu).await, expected);
        assert_eq!(written_weights(&self.world), expected);
        linger().await;
        assert_eq!(weights(&self.platform, &self.eu).await, expected, "later");
        assert_eq!(written_weights(&self.world), expected, "later");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_restore_is_not_undone_by_the_call_that_was_dropped_before() {
    on_a_worker(async {
        let canary = Canary::start().await;
        for _ in 0..4 {
            assert!(canary.set(&canary.some_new).now_or_never().is_none());
            canary.set(&canary.all_old).await.unwrap();
            canary.stays(&canary.all_old).await;
        }
        canary.platform.destroy().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_a_call_is_dropped_what_is_seen_next_stays() {
    let canary = Canary::start().await;
    let (mut before, mut after) = (&canary.all_old, &canary.some_new);
    for round in 0..24_u64 {
        let late = async {
            for _ in 0..round {
                yield_now().await;
            }
            if round > 12 {
                let span = Span::millis((round - 12) / 3);
                WallClock.sleep_until(WallClock.now().plus(span)).await;
            }
        };
        tokio::select! {
            biased;
            _ = canary.set(after) => {}
            () = late => {}
        }
        let seen = weights(&canary.platform, &canary.eu).await;
        assert!(seen == *before || seen == *after, "never a mixture: {seen:?}");
        canary.stays(&seen).await;
        canary.set(after).await.unwrap();
        (before, after) = (after, before);
    }
    canary.platform.destroy().await.unwrap();
}

#[tokio::test]
async fn an_observation_after_a_dropped_wish_is_final() {
    let world = World::default();
    let platform = world.open().await;
    let (eu, artifact) = (target("eu"), put(&platform, slow()).await);
    let mut before = None;
    for replicas in [1, 2, 0, 1] {
        let (key, wish) = (format!("wish-{replicas}"), wish(&eu, &artifact, "1.0.0", replicas));
        assert!(platform.apply(&cx(&key), wish).now_or_never().is_none());
        let seen = desired(&platform, &eu, &artifact).await;
        assert!(seen == before || seen == Some(replicas), "{seen:?}");
        assert_eq!(written(&world, &artifact), seen.map(u64::from));
        linger().await;
        assert_eq!(desired(&platform, &eu, &artifact).await, seen, "later");
        assert_eq!(written(&world, &artifact), seen.map(u64::from), "later");
        before = seen;
    }
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_router_sees_the_target_of_a_wish_that_was_dropped() {
    let world = World::default();
    let platform = world.open().await;
    let (eu, artifact) = (target("eu"), put(&platform, slow()).await);
    let wished = wish(&eu, &artifact, "1.0.0", 1);
    assert!(platform.apply(&cx("wish"), wished).now_or_never().is_none());
    // Either way it would do, but not first so and then otherwise.
    let known = |answer: Result<(), ProviderError>| match answer {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            false
        }
    };
    let first = known(
        TrafficRouter::observe(&platform, &cx("look"), ObserveTraffic::new(eu.clone()))
            .await
            .map(drop),
    );
    linger().await;
    let later = known(
        TrafficRouter::observe(&platform, &cx("look"), ObserveTraffic::new(eu.clone()))
            .await
            .map(drop),
    );
    assert_eq!(first, later);
    platform.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_is_dropped_before_its_turn_never_has_an_effect() {
    on_a_worker(async {
        let canary = Canary::start().await;
        let (platform, eu) = (canary.platform.clone(), canary.eu.clone());
        let one_more = wish(&eu, &canary.old, "1.0.0", 2);
        let context = cx("two");
        let mut first = platform.apply(&context, one_more);
        assert!(begin(&mut first).await.is_none());
        // These come second, and lose patience each in its own way.
        assert!(canary.set(&canary.some_new).now_or_never().is_none());
        let off = wish(&eu, &canary.old, "1.0.0", 0);
        assert!(platform.apply(&cx("off"), off).now_or_never().is_none());
        let impatient = cx("impatient");
        let request = SetWeights::new(eu.clone(), canary.some_new.clone());
        let mut second = platform.set_weights(&impatient, request);
        assert!(begin(&mut second).await.is_none());
        impatient.cancellation.cancel();
        if let Some(answer) = begin(&mut second).await {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
            assert_eq!(error.effect(), EffectCertainty::NotApplied, "it had no turn");
        } else {
            panic!("whoever cancels does not have to wait for a turn");
        }
        first.await.unwrap();
        canary.stays(&canary.all_old).await;
        assert_eq!(desired(&platform, &eu, &canary.old).await, Some(2));
        platform.destroy().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_take_effect_in_the_order_in_which_they_were_made() {
    on_a_worker(async {
        let canary = Canary::start().await;
        let (a, b) = (canary.all_old.clone(), canary.some_new.clone());
        for order in [[&a, &b, &a], [&b, &a, &b], [&a, &a, &b], [&b, &b, &a]] {
            let mut calls = Vec::new();
            for weights in order {
                let mut call = Box::pin(canary.set(weights));
                assert!(begin(&mut call).await.is_none());
                calls.push(call);
            }
            // Nobody has to be asked again for a later one to have its turn, in whatever order.
            for call in calls.into_iter().rev() {
                let mut tasks = JoinSet::new();
                tasks.spawn(call);
                yield_now().await;
                tasks.detach_all();
            }
            canary.stays(order[2]).await;
        }
        canary.platform.destroy().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn other_targets_do_not_wait() {
    let world = World::default();
    let platform = world.open().await;
    let artifact = put(&platform, slow()).await;
    let context = cx("eu");
    let mut eu = platform.apply(&context, wish(&target("eu"), &artifact, "1.0.0", 1));
    assert!(begin(&mut eu).await.is_none());
    let us = desired(&platform, &target("us"), &artifact).now_or_never();
    assert_eq!(us, Some(None), "it is nobody's turn there");
    eu.await.unwrap();
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_destroy_that_is_dropped_leaves_memory_as_the_files() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    route(&platform, &eu, vec![share(&artifact, "1.0.0", 100)]).await.unwrap();
    for polls in 1..=8 {
        let mut destroy = Box::pin(platform.destroy());
        for _ in 0..polls {
            if begin(&mut destroy).await.is_some() {
                break;
            }
            yield_now().await;
        }
        drop(destroy);
        linger().await;
        let Ok(traffic) =
            TrafficRouter::observe(&platform, &cx("look"), ObserveTraffic::new(eu.clone())).await
        else {
            break; // it was about to shut down
        };
        assert_eq!(written_weights(&world), traffic.weights);
        let seen = desired(&platform, &eu, &artifact).await;
        assert_eq!(written(&world, &artifact), seen.map(u64::from));
    }
    if let Err(error) = platform.destroy().await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        platform.shutdown().await;
    }
    assert!(world.marked().is_empty(), "it does not shut down before all have ended");
}
