//! Instances that come and go, requests that take their time, and servers that are started anew.

use std::sync::Arc;

use release_core::model::{HeaderMatch, HeaderRoute, HeaderRule, TextMatch, TrafficRules};
use release_core::plan::Weight;
use release_core::port::EffectCertainty;
use release_core::time::Span;
use release_providers::ErrorKind;
use release_providers::endpoints::follow;
use release_providers::spi::SetWeights;
use tokio::task::JoinSet;

use crate::server::Which;
use crate::stage::{Stage, send};

impl Stage {
    /// Waits until so many requests of a version are under way.
    pub(crate) async fn until_in_flight(&self, which: usize, requests: u64) {
        let patience = self.clock.now().plus(Span::secs(20));
        while self.in_flight(which).await != requests {
            assert!(self.clock.now() < patience, "not {requests} in flight");
            self.clock.sleep_until(self.clock.now().plus(Span::millis(5))).await;
        }
    }

    /// Waits until so many requests in a row are served.
    async fn until_served(&self, requests: u64) {
        let patience = self.clock.now().plus(Span::secs(20));
        while !self.send(requests).await {
            assert!(self.clock.now() < patience, "not served again: {}", self.log());
            self.clock.sleep_until(self.clock.now().plus(Span::millis(10))).await;
        }
    }

    /// Ends all instances of a version as a crash would.
    fn kill_all(&self, which: usize) {
        self.signal(which, "-9");
    }

    async fn send(&self, requests: u64) -> bool {
        let address = self.address;
        tokio::task::spawn_blocking(move || send(address, requests).is_ok()).await.unwrap()
    }
}

/// Half of a request that the old version has begun to serve.
async fn begun(stage: &Stage) {
    stage.run(0, 2).await;
    stage.run(1, 2).await;
    stage.route([100, 0]).await;
    stage.hold().await.unwrap();
    stage.until_in_flight(0, 1).await;
}

/// What has begun at the old version is finished there, and counted until then.
async fn slow(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    begun(&stage).await;
    stage.route([0, 100]).await;
    assert!(stage.send(50).await);
    let in_flight = (stage.look().await.in_flight, stage.in_flight(0).await);
    assert_eq!((stage.served().await, in_flight), ([0, 50], (1, 1)));
    assert_eq!(stage.let_go().await.unwrap().from, stage.digest(0));
    stage.until_in_flight(0, 0).await;
    // It began under the shares of before, and counts for those.
    assert_eq!(stage.served().await, [0, 50]);
    stage.close().await.unwrap();
}

/// Instances are replaced, and shares and counts stay.
async fn replaced(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 2).await;
    stage.run(1, 1).await;
    stage.route([50, 50]).await;
    assert!(stage.send(40).await);
    let mut tasks = JoinSet::new();
    let (router, clock, changes) =
        (stage.router(), stage.clock.clone(), stage.platform.instance_changes());
    let (principal, targets) = (release_testkit::fixtures::robot(), vec![stage.target.clone()]);
    tasks.spawn(follow(router, clock, principal, targets, changes));
    stage.kill_all(1);
    // It is started again, on another port, and a version that grew is used whole.
    stage.run(0, 4).await;
    stage.until_served(20).await;
    shares_stayed(&stage).await;
    tasks.shutdown().await;
    // Shares of whom nobody is left go to the last address that was known.
    stage.run(1, 0).await;
    let refreshed = stage.router().refresh(&stage.cx("refresh"), &stage.target).await;
    assert_eq!(refreshed.unwrap_err().kind(), ErrorKind::NotFound);
    stage.close().await.unwrap();
}

async fn shares_stayed(stage: &Stage) {
    let before = stage.served().await.iter().sum::<u64>();
    assert!(before >= 60, "{before}");
    assert!(stage.send(100).await);
    let status = stage.look().await;
    assert_eq!(status.weights.iter().map(|weight| weight.percent).collect::<Vec<_>>(), [50, 50]);
    assert_eq!(stage.served().await.iter().sum::<u64>(), before + 100);
}

/// A server that is started anew serves the same shares, before anybody does anything.
async fn restarted(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 2).await;
    stage.run(1, 1).await;
    stage.route([60, 40]).await;
    let before = stage.look().await.weights;
    let mut server = stage.server.lock().await;
    server.kill();
    server.restart().await.unwrap();
    drop(server);
    stage.until_served(1).await;
    assert!(stage.send(100).await);
    assert_eq!(stage.look().await.weights, before);
    assert!(stage.served().await.iter().all(|count| *count > 0));
    stage.close().await.unwrap();
}

/// A router of a file of providers learns of instances that come and go, though nobody sets shares.
async fn followed(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 2).await;
    stage.route([100, 0]).await;
    let opened = stage.open_by_kind().await;
    // They are started again, on other ports.
    stage.kill_all(0);
    stage.until_served(20).await;
    drop(opened);
    stage.close().await.unwrap();
}

/// A table that Envoy refuses is told to be so at once, and is not in the file when Envoy reads it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_envoy_refuses_does_not_outlast_it() {
    let Some(stage) = Stage::set(Which::Envoy).await else { return };
    stage.run(0, 1).await;
    stage.run(1, 1).await;
    stage.route([70, 30]).await;
    let before = stage.look().await;
    let value = TextMatch::Regex("(".into());
    let rule = HeaderRule { matches: vec![HeaderMatch { name: "x-canary".into(), value }] };
    let headers = vec![HeaderRoute { rule, to: stage.digest(1) }];
    let rules = TrafficRules { headers, ..TrafficRules::default() };
    let wish = SetWeights::new(stage.target.clone(), stage.shares([50, 50])).by(Some(rules));
    let begun = stage.clock.now();
    let refused = stage.router().set_weights(&stage.cx("refused"), wish).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.effect()),
        (ErrorKind::Invalid, EffectCertainty::NotApplied)
    );
    // Not after the patience for Envoy to take it over, which is longer.
    assert!(stage.clock.now().since(begun) < Span::secs(5), "{refused}");
    let mut server = stage.server.lock().await;
    server.kill();
    server.restart().await.unwrap();
    drop(server);
    stage.until_served(20).await;
    assert_eq!(stage.look().await.weights, before.weights);
    stage.route([0, 100]).await;
    assert!(stage.send(20).await);
    stage.close().await.unwrap();
}

/// A process that dies while it sets shares leaves the old ones or the new ones, and the next one goes on.
async fn killed(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 1).await;
    stage.run(1, 1).await;
    let (mut old, mut new) = ([100, 0], [20, 80]);
    stage.route(new).await;
    let begun = stage.clock.now();
    stage.route(old).await;
    let whole = stage.clock.now().since(begun).as_duration();
    let (mut outcomes, mut round) = ([0, 0], 0);
    // From the beginning to long after the end, and again if the machine is too busy to have been in between.
    while round < 24 || outcomes.contains(&0) {
        assert!(round < 200, "none was killed half-way, or all were: {outcomes:?}");
        stage.die_setting(new, Span::from(whole * (round % 24) / 8)).await;
        let seen = stage.look().await.weights;
        let done = Weight::same_shares(&seen, &stage.shares(new));
        assert!(done || Weight::same_shares(&seen, &stage.shares(old)), "{seen:?}");
        outcomes[usize::from(done)] += 1;
        assert!(stage.send(5).await);
        stage.route(new).await;
        (old, new) = (new, old);
        round += 1;
    }
    stage.close().await.unwrap();
}

impl Stage {
    /// Sets shares in a runtime of its own, which ends after a while whatever it is at; then opens the router again.
    async fn die_setting(self: &Arc<Self>, percents: [u8; 2], after: Span) {
        self.reopen().await.unwrap();
        let stage = Arc::clone(self);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let (router, cx) = (stage.take_router(), stage.cx("killed"));
            let request = SetWeights::new(stage.target.clone(), stage.shares(percents));
            let clock = stage.clock.clone();
            runtime.block_on(async {
                tokio::select! {
                    done = router.set_weights(&cx, request) => done.unwrap(),
                    () = clock.sleep_until(clock.now().plus(after)) => {}
                }
            });
            runtime.shutdown_background();
        };
        tokio::task::spawn_blocking(work).await.unwrap();
        let patience = self.clock.now().plus(Span::secs(20));
        // What its threads were at they finish, and hold the directory meanwhile.
        while self.reopen().await.is_err() {
            assert!(self.clock.now() < patience, "the directory is not let go of");
            self.clock.sleep_until(self.clock.now().plus(Span::millis(1))).await;
        }
    }
}

macro_rules! over_both {
    ($($case:ident $haproxy:ident $envoy:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $haproxy() {
            $case(Which::Haproxy).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $envoy() {
            $case(Which::Envoy).await;
        }
    )*};
}

over_both! {
    slow what_has_begun_is_finished_over_haproxy what_has_begun_is_finished_over_envoy;
    replaced shares_outlast_instances_over_haproxy shares_outlast_instances_over_envoy;
    followed routers_of_a_file_follow_instances_over_haproxy routers_of_a_file_follow_instances_over_envoy;
    killed a_killed_process_leaves_no_mixture_in_haproxy a_killed_process_leaves_no_mixture_in_envoy;
    restarted shares_outlast_haproxy shares_outlast_envoy;
}
