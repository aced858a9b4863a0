//! Releases by rules under load: a canary that testers reach by a header and whose clients stay, and an experiment with a fresh
//! baseline. No request fails.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::model::{Affinity, HeaderRoute, HeaderRule, Target, TrafficRules};
use release_core::plan::Weight;
use release_core::time::Span;
use release_providers::endpoints::{Endpoints as _, drained};
use release_providers::spi::SetWeights;
use release_testkit::conformance::HookError;
use release_testkit::fixtures;
use tokio::task::JoinHandle;

use crate::client::{arrived, get};
use crate::load::Load;
use crate::server::Which;
use crate::stage::{Stage, VERSIONS};

const HEADER: (&str, &str) = ("x-canary", "yes");
/// So many requests show where they go.
const ENOUGH: u64 = 600;

/// A client that asks until it is told to stop, and is always answered by one version.
struct Faithful {
    stop: Arc<AtomicBool>,
    asks: JoinHandle<Result<u64, HookError>>,
}

impl Faithful {
    fn begin(address: SocketAddr, header: (&str, &str), by: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        let told = Arc::clone(&stop);
        let asks = tokio::task::spawn_blocking(move || {
            let mut answers = 0;
            while !told.load(Ordering::SeqCst) {
                let answer = get(address, "/work", &headers)?;
                let from = answer.all("x-version").next().unwrap_or_default();
                if from != by {
                    return Err(format!("{from} answered after {answers} of {by}").into());
                }
                answers += 1;
            }
            Ok(answers)
        });
        Self { stop, asks }
    }

    /// How many answers it got; all of them were those of its version.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.asks.await.unwrap().unwrap()
    }
}

impl Stage {
    async fn route_by(&self, weights: Vec<Weight>, rules: Option<&TrafficRules>) {
        let request = SetWeights::new(self.target.clone(), weights).by(rules.cloned());
        self.router().set_weights(&self.cx("route"), request).await.unwrap();
        assert_eq!(self.look().await.rules.as_ref(), rules);
    }

    /// Waits until enough was served of the shares in effect.
    async fn enough(&self) -> [u64; 2] {
        loop {
            let served = self.served().await;
            if served.iter().sum::<u64>() >= ENOUGH {
                return served;
            }
            self.clock.sleep_until(self.clock.now().plus(Span::millis(10))).await;
        }
    }

    /// What the new version tells its clients to keep.
    async fn cookie(&self) -> String {
        let address = self.address;
        let ask = move || {
            for _ in 0..1_000 {
                let answer = get(address, "/work", &[])?;
                if answer.all("x-version").next() == Some(VERSIONS[1]) {
                    let cookie = answer.all("set-cookie").next().ok_or("no cookie")?;
                    return Ok(cookie.split(';').next().unwrap_or_default().to_owned());
                }
            }
            Err::<_, HookError>("the new version never answers".into())
        };
        tokio::task::spawn_blocking(ask).await.unwrap().unwrap()
    }

    fn say(&self, what: &str, answers: [u64; 2]) {
        let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
        writeln!(out, "{:?} {what}: {answers:?} answers, none failed", self.which()).unwrap();
    }
}

/// From a share of nothing, where only testers see it, to all of it; how many answers a tester and a client got.
async fn shifted(stage: &Stage, load: &Load) -> [u64; 2] {
    let rule = HeaderRule::exact(HEADER.0, HEADER.1);
    let headers = vec![HeaderRoute { rule, to: stage.digest(1) }];
    let testers = TrafficRules { headers, ..TrafficRules::default() };
    let staying = TrafficRules { affinity: Some(Affinity::new("stay")), ..testers.clone() };
    stage.route_by(stage.shares([100, 0])[..1].to_vec(), Some(&testers)).await;
    let tester = Faithful::begin(stage.address, HEADER, VERSIONS[1]);
    stage.enough().await;
    assert_eq!(load.answers()[1], 0, "only who says so reaches a version without a share");
    stage.route_by(stage.shares([95, 5]), Some(&staying)).await;
    let cookie = stage.cookie().await;
    let client = Faithful::begin(stage.address, ("cookie", &cookie), VERSIONS[1]);
    for percent in [10, 50, 90, 20] {
        stage.route_by(stage.shares([100 - percent, percent]), Some(&staying)).await;
        stage.enough().await;
    }
    stage.route([0, 100]).await;
    stage.enough().await;
    [tester.end().await, client.end().await]
}

async fn canary(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 2).await;
    stage.route([100, 0]).await;
    let load = Load::begin(stage.address);
    stage.run(1, 2).await;
    let [tester, client] = shifted(&stage, &load).await;
    assert!(tester > 0 && client > 0, "{tester} {client}");
    let (cx, router) = (stage.cx("drain"), stage.router());
    drained(&*router, &*stage.clock, &cx, &stage.target, stage.digest(0)).await.unwrap();
    stage.run(0, 0).await;
    let answers = load.end().await;
    stage.say(&format!("canary by rules, {tester} of a tester, {client} of a client"), answers);
    stage.close().await.unwrap_or_else(|error| panic!("{error}: {}", stage.log()));
}

/// As many fresh instances of the old version as of the new one, side by side, with the same share.
async fn experiment(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, 3).await;
    stage.route([100, 0]).await;
    let load = Load::begin(stage.address);
    let track = stage.target.clone().on(fixtures::literal("baseline"));
    stage.run(1, 1).await;
    stage.run_at(&track, 0, 1).await;
    let [old, new] = stage.shares([60, 20]).try_into().unwrap();
    let baseline = Weight { percent: 20, ..old.clone() }.on(fixtures::literal("baseline"));
    let apart = async |target: Target| {
        let instances = stage.platform.of(&target, stage.digest(0)).await.unwrap();
        let counts = move || instances.into_iter().map(arrived).sum::<Result<u64, _>>();
        tokio::task::spawn_blocking(counts).await.unwrap().unwrap()
    };
    let before = apart(track.clone()).await;
    stage.route_by(vec![old, baseline, new], None).await;
    let served = stage.enough().await;
    let own = apart(track.clone()).await - before;
    // Both get 20 %, and the count of one was read a moment after that of the other.
    assert!(own > served[1] / 2 && own < served[1] * 2 + 100, "{own} on the track of {served:?}");
    stage.route([100, 0]).await;
    let (cx, router) = (stage.cx("drain"), stage.router());
    drained(&*router, &*stage.clock, &cx, &track, stage.digest(0)).await.unwrap();
    stage.run_at(&track, 0, 0).await;
    drained(&*router, &*stage.clock, &cx, &stage.target, stage.digest(1)).await.unwrap();
    stage.run(1, 0).await;
    stage.enough().await;
    let answers = load.end().await;
    stage.say(&format!("experiment, {own} of the baseline"), answers);
    stage.close().await.unwrap_or_else(|error| panic!("{error}: {}", stage.log()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_by_rules_over_haproxy_loses_nothing() {
    canary(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_by_rules_over_envoy_loses_nothing() {
    canary(Which::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_over_haproxy_loses_nothing() {
    experiment(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_over_envoy_loses_nothing() {
    experiment(Which::Envoy).await;
}
