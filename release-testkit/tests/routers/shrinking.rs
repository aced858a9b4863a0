//! A version that gives up some of its instances and keeps serving: none is stopped that has a request under way, and none gets
//! one that is about to be.

use std::io::Write as _;
use std::net::SocketAddr;

use release_core::model::{Canary, CanaryScale, CanaryStep, Strategy};
use release_core::time::Span;

use crate::client::{Answer, Half};
use crate::driven::{Driven, blue_green};
use crate::load::Load;
use crate::server::Which;
use crate::stage::{Stage, VERSIONS};

/// So many instances, and so many requests that every one of them has some: a router of two threads goes round for each.
const INSTANCES: (u32, usize) = (3, 9);
/// Long enough for some hundred requests.
const SHORT: Span = Span::millis(200);

async fn begun(address: SocketAddr) -> Vec<Half> {
    let all = move || (0..INSTANCES.1).map(|_| Half::of_a_post(address).unwrap()).collect();
    tokio::task::spawn_blocking(all).await.unwrap()
}

async fn finished(halves: Vec<Half>) -> Vec<Answer> {
    let all = move || halves.into_iter().map(|half| half.finish().unwrap()).collect();
    tokio::task::spawn_blocking(all).await.unwrap()
}

/// From three instances to one, each with half of a `POST`, under load; and a canary that takes instances from the old version as
/// it takes its share. The old version has three instances and all of the traffic.
pub(crate) async fn shrinks(driven: &Driven, address: SocketAddr, who: &str) {
    let halves = begun(address).await;
    let held = u64::try_from(INSTANCES.1).unwrap();
    driven.until("the requests", async || driven.in_flight().await == held).await;
    let load = Load::begin(address);
    driven.scale(0, 1).await;
    // Whatever would stop one does so at once; what waits for its requests goes on waiting.
    let patience = driven.clock.now().plus(Span::secs(1));
    while driven.clock.now() < patience {
        assert_eq!(driven.running(), [3, 0]);
    }
    let began = driven.clock.now();
    for answer in finished(halves).await {
        assert_eq!(answer.all("x-version").next(), Some(VERSIONS[0]));
    }
    driven.until("the surplus to go", async || driven.running() == [1, 0]).await;
    let took = driven.clock.now().since(began);
    driven.scale(0, 2).await;
    driven.until("two instances", async || driven.ready(0).await == 2).await;
    let step = |weight| CanaryStep {
        scale: Some(CanaryScale::MatchTraffic),
        ..CanaryStep::new(weight, SHORT)
    };
    let canary = Canary { shrink_old: true, ..Canary::new(vec![step(10), step(50)]) };
    driven.release("shrinks", 0, 1, Strategy::Canary(canary)).await;
    driven.release("back", 1, 0, blue_green(SHORT)).await;
    let answers = load.end().await;
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "{who} shrinks: {answers:?} answers, none failed; the surplus went in {took}")
        .unwrap();
}

async fn over(which: Which) {
    let Some(stage) = Stage::set(which).await else { return };
    stage.run(0, INSTANCES.0).await;
    stage.route([100, 0]).await;
    let mut following = stage.following();
    shrinks(&stage.driven(), stage.address, &format!("{which:?}")).await;
    following.shutdown().await;
    stage.close().await.unwrap_or_else(|error| panic!("{error}: {}", stage.log()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_shrinks_over_haproxy_and_loses_nothing() {
    over(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_shrinks_over_envoy_and_loses_nothing() {
    over(Which::Envoy).await;
}
