//! Whole releases under load: no request fails, shares are those that were asked for, and a version is stopped only when nothing
//! of it is under way.

use std::io::Write as _;
use std::pin::pin;
use std::task::Poll;

use release_core::time::Span;
use release_providers::endpoints::drained;
use release_providers::spi::SetWeights;

use crate::load::Load;
use crate::server::Which;
use crate::stage::Stage;

/// So many requests show what the shares are.
const ENOUGH: u64 = 1_500;
/// Numbers of instances that have no small common multiple, so that shares by instance would be seen.
const INSTANCES: [u32; 2] = [3, 1];

impl Stage {
    /// Shares, and whether traffic follows them: within five standard deviations of what lots would give.
    async fn shares_hold(&self, percents: [u8; 2]) -> [u64; 2] {
        self.route(percents).await;
        self.followed(percents).await
    }

    async fn followed(&self, percents: [u8; 2]) -> [u64; 2] {
        let served = loop {
            let served = self.served().await;
            if served.iter().sum::<u64>() >= ENOUGH {
                break served;
            }
            self.clock.sleep_until(self.clock.now().plus(Span::millis(10))).await;
        };
        let [old, new] = served.map(|count| f64::from(u32::try_from(count).unwrap()));
        let (all, share) = (old + new, f64::from(percents[1]) / 100.0);
        let tolerance = 5.0 * (all * share * (1.0 - share)).sqrt();
        let off = (new - all * share).abs();
        assert!(off <= tolerance, "{percents:?}: {served:?}, off by {off}, at most {tolerance}");
        served
    }

    /// Takes a version that has lost its share out of service.
    async fn retire(&self, which: usize) {
        let (cx, router) = (self.cx("drain"), self.router());
        drained(&*router, &*self.clock, &cx, &self.target, self.digest(which)).await.unwrap();
        assert_eq!(self.in_flight(which).await, 0);
        self.run(which, 0).await;
    }

    /// Begins to set shares, and goes away before it is done.
    async fn dropped(&self, percents: [u8; 2]) {
        let (router, cx) = (self.router(), self.cx("dropped"));
        let request = SetWeights::new(self.target.clone(), self.shares(percents));
        let mut call = pin!(router.set_weights(&cx, request));
        let mut polls = 0;
        std::future::poll_fn(|cx| {
            polls += 1;
            if polls > 2 || call.as_mut().poll(cx).is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// A canary of four steps, and back by blue-green; what was served at each step.
async fn a_canary(stage: &Stage) -> String {
    stage.run(1, INSTANCES[1]).await;
    let mut said = Vec::new();
    for percent in [5, 25, 50] {
        said.push(format!("{percent} %: {:?}", stage.shares_hold([100 - percent, percent]).await));
    }
    stage.shares_hold([0, 100]).await;
    stage.retire(0).await;
    stage.followed([0, 100]).await;
    stage.run(0, INSTANCES[0]).await;
    stage.shares_hold([100, 0]).await;
    stage.retire(1).await;
    said.join(", ")
}

/// A canary that is aborted, by a call that goes away and by one that comes after it.
async fn an_aborted_canary(stage: &Stage) -> [u64; 2] {
    stage.run(1, INSTANCES[1]).await;
    let served = stage.shares_hold([99, 1]).await;
    stage.dropped([75, 25]).await;
    stage.shares_hold([100, 0]).await;
    stage.retire(1).await;
    served
}

/// Blue-green that is aborted: at once, and half-way through the switch.
async fn an_aborted_switch(stage: &Stage) {
    stage.run(1, INSTANCES[1]).await;
    for _ in 0..5 {
        stage.route([0, 100]).await;
        stage.route([100, 0]).await;
        stage.dropped([0, 100]).await;
    }
    stage.shares_hold([100, 0]).await;
    stage.retire(1).await;
    stage.followed([100, 0]).await;
}

/// All of it, one after the other, under one load.
async fn releases(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    let begun = stage.clock.now();
    stage.run(0, INSTANCES[0]).await;
    stage.route([100, 0]).await;
    let load = Load::begin(stage.address);
    let canary = a_canary(&stage).await;
    let single = an_aborted_canary(&stage).await;
    an_aborted_switch(&stage).await;
    let answers = load.end().await;
    let took = stage.clock.now().since(begun);
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    let text = format!("{answers:?} answers in {took}, none failed; {canary}, 1 %: {single:?}");
    writeln!(out, "{which:?} under load: {text}").unwrap();
    stage.close().await.unwrap_or_else(|error| panic!("{error}: {}", stage.log()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_over_haproxy_lose_nothing() {
    releases(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_over_envoy_lose_nothing() {
    releases(Which::Envoy).await;
}
