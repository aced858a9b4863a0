//! The router: shares are exact, and no change loses a request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use release_core::model::Digest;
use release_core::plan::Weight;
use release_providers::ErrorKind;
use release_providers::local::{DIGEST_HEADER, LocalPlatform, VERSION_HEADER};
use release_providers::spi::{Deployer, ObserveTraffic, TrafficRouter};
use tokio::task::JoinSet;

use crate::support::{
    World, ask, cx, demo, deploy, eventually, get, kill, route, served, settled, share, slow,
    target, version, wish,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_exact_over_a_thousand_requests() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 2).await;
    let new = deploy(&platform, &eu, demo("1.1.0", 0), "1.1.0", 1).await;
    let address = platform.address(&eu).unwrap();
    for percent in [50, 10] {
        let shares = vec![share(&old, "1.0.0", 100 - percent), share(&new, "1.1.0", percent)];
        route(&platform, &eu, shares.clone()).await.unwrap();
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            clients.spawn(async move {
                let mut of_new = 0_u64;
                for _ in 0..250 {
                    let reply = get(address, "/work").await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    // What the service says of itself and what the proxy says of it agree.
                    assert_eq!(reply.header("x-version"), reply.header(VERSION_HEADER));
                    of_new += u64::from(reply.header("x-version") == Some("1.1.0"));
                }
                of_new
            });
        }
        let of_new: u64 = clients.join_all().await.into_iter().sum();
        assert_eq!(of_new, u64::from(percent) * 10);
        route(&platform, &eu, shares).await.unwrap(); // again: does not restart the count
        let counts = served(&platform, &eu).await;
        let count = |digest| counts.iter().find(|s| s.digest == digest).unwrap().requests;
        assert_eq!((count(old.digest()), count(new.digest())), (1000 - of_new, of_new));
    }
    platform.destroy().await.unwrap();
}

/// Sends GETs from four clients until told to stop. Returns how many were sent and what failed.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            clients.spawn(async move {
                let mut failures = Vec::new();
                let text = "GET /work HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
                while !stop.load(Ordering::Relaxed) {
                    match ask(address, text).await {
                        Ok(reply) if reply.status == 200 => {}
                        other => failures.push(format!("{other:?}")),
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                failures
            });
        }
        Self { stop, sent, clients }
    }

    /// Returns once `more` further requests have been answered.
    async fn go_on(&self, more: u64) {
        let goal = self.sent.load(Ordering::Relaxed) + more;
        eventually("requests", || async { self.sent.load(Ordering::Relaxed) >= goal }).await;
    }

    async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.clients.join_all().await.concat();
        (self.sent.load(Ordering::Relaxed), failures)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_versions_change_places() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 2).await;
    route(&platform, &eu, vec![share(&old, "1.0.0", 100)]).await.unwrap();
    let load = Load::start(platform.address(&eu).unwrap());
    load.go_on(50).await;
    let new = deploy(&platform, &eu, demo("1.1.0", 0), "1.1.0", 2).await;
    for percent in [1, 10, 50, 99, 100] {
        let shares = vec![share(&old, "1.0.0", 100 - percent), share(&new, "1.1.0", percent)];
        route(&platform, &eu, shares).await.unwrap();
        load.go_on(100).await;
    }
    for replicas in [1, 0] {
        let key = format!("down-{replicas}");
        platform.apply(&cx(&key), wish(&eu, &old, "1.0.0", replicas)).await.unwrap();
        settled(&platform, &eu, &old).await;
        load.go_on(50).await;
    }
    // Also while the version that serves loses and wins instances.
    for replicas in [1, 3, 1] {
        let key = format!("scale-{replicas}");
        platform.apply(&cx(&key), wish(&eu, &new, "1.1.0", replicas)).await.unwrap();
        settled(&platform, &eu, &new).await;
        load.go_on(50).await;
    }
    let (sent, failures) = load.end().await;
    assert!(sent > 600 && failures.is_empty(), "{sent} sent, {failures:?}");
    platform.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_instance_costs_no_repeatable_request() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 3).await;
    route(&platform, &eu, vec![share(&artifact, "1.0.0", 100)]).await.unwrap();
    let load = Load::start(platform.address(&eu).unwrap());
    load.go_on(50).await;
    for _ in 0..2 {
        let pids = world.marked();
        kill(*pids.first().unwrap());
        load.go_on(100).await;
        eventually("three again", || async { world.marked().len() == 3 }).await;
        deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 3).await;
    }
    let (sent, failures) = load.end().await;
    assert!(failures.is_empty(), "{sent} sent, {failures:?}");
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_version_without_live_instances_is_stood_in_for() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    let new = deploy(&platform, &eu, demo("1.1.0", 0), "1.1.0", 1).await;
    let shares = vec![share(&old, "1.0.0", 50), share(&new, "1.1.0", 50)];
    route(&platform, &eu, shares).await.unwrap();
    platform.apply(&cx("off"), wish(&eu, &new, "1.1.0", 0)).await.unwrap();
    settled(&platform, &eu, &new).await;
    let address = platform.address(&eu).unwrap();
    for _ in 0..4 {
        assert_eq!(get(address, "/").await.header("x-version"), Some("1.0.0"));
    }
    platform.apply(&cx("off"), wish(&eu, &old, "1.0.0", 0)).await.unwrap();
    settled(&platform, &eu, &old).await;
    let reply = get(address, "/").await;
    assert_eq!(reply.status, 503);
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert!(body["error"].as_str().unwrap().contains("no live instance"), "{body}");
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn wrong_shares_are_refused_and_change_nothing() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let a = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    let good = vec![share(&a, "1.0.0", 100)];
    route(&platform, &eu, good.clone()).await.unwrap();
    let unknown = Weight::new(Digest::of(b"unknown"), version("9.0.0"), 50);
    let cases = [
        (vec![share(&a, "1.0.0", 99)], ErrorKind::Invalid),
        (vec![share(&a, "1.0.0", 0)], ErrorKind::Invalid),
        (vec![share(&a, "1.0.0", 50), share(&a, "1.0.0", 50)], ErrorKind::Invalid),
        (vec![share(&a, "1.0.0", 50), unknown], ErrorKind::NotFound),
    ];
    for (shares, kind) in cases {
        let error = route(&platform, &eu, shares).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let error = route(&platform, &target("us"), good.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let status = TrafficRouter::observe(&platform, &cx("look"), ObserveTraffic::new(eu.clone()))
        .await
        .unwrap();
    assert_eq!(status.weights, good);
    route(&platform, &eu, vec![]).await.unwrap();
    assert_eq!(get(platform.address(&eu).unwrap(), "/").await.status, 503);
    platform.destroy().await.unwrap();
}

async fn one_slow(world: &World) -> (LocalPlatform, SocketAddr) {
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, slow(), "1.0.0", 1).await;
    route(&platform, &eu, vec![share(&artifact, "1.0.0", 100)]).await.unwrap();
    let address = platform.address(&eu).unwrap();
    (platform, address)
}

#[tokio::test]
async fn heads_are_cleaned_and_bodies_go_through() {
    let world = World::default();
    let (platform, address) = one_slow(&world).await;
    let body = "x".repeat(100_000);
    let request = format!(
        "POST /echo HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 9.9.9.9\r\nte: trailers\r\n\
         connection: close, x-private\r\nx-private: 1\r\nx-kept: 2\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut reply = ask(address, &request).await.unwrap();
    if reply.status == 100 {
        // The interim answer to `expect` stands before the real one.
        let (head, body) = reply.body.split_once("\r\n\r\n").unwrap();
        reply = crate::support::Reply { status: 200, head: head.into(), body: body.into() };
    }
    let echoed = &reply.body;
    assert!(echoed.ends_with(&body), "the body arrives whole");
    assert!(echoed.contains("x-forwarded-for: 9.9.9.9, 127.0.0.1\r\n"));
    assert!(echoed.contains("host: shop.example\r\n") && echoed.contains("x-kept: 2\r\n"));
    for gone in ["x-private", "te:", "expect:", "connection: close"] {
        assert!(!echoed.contains(gone), "{gone}");
    }
    assert_eq!(reply.header(VERSION_HEADER), Some("1.0.0"), "never what the service claims");
    assert_eq!(reply.header(DIGEST_HEADER).map(str::len), Some(12));
    assert_eq!(reply.header("keep-alive"), None);
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_repeated_unless_it_may_be() {
    let world = World::default();
    let (platform, address) = one_slow(&world).await;
    let post = "POST /drop HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx";
    let reply = ask(address, post).await.unwrap();
    assert_eq!(reply.status, 502, "{reply:?}");
    assert!(reply.body.contains("unknown"), "{reply:?}");
    // A GET may be repeated, but the only instance hangs up each time.
    assert_eq!(get(address, "/drop").await.status, 502);
    assert_eq!(get(address, "/").await.status, 200);
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn requests_under_way_are_counted_and_finished_by_a_shutdown() {
    let world = World::default();
    let (platform, address) = one_slow(&world).await;
    let mut requests = JoinSet::new();
    requests.spawn(get_slow(address));
    let begun = world.root().join("slow-begun");
    eventually("under way", || async { begun.exists() }).await;
    let status = TrafficRouter::observe(&platform, &cx("look"), ObserveTraffic::new(target("eu")))
        .await
        .unwrap();
    assert_eq!(status.in_flight, 1);
    let closing = platform.clone();
    requests.spawn(async move {
        closing.shutdown().await;
        (0, String::new())
    });
    eventually("no new connections", || async {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    std::fs::write(world.root().join("slow-go"), "").unwrap();
    let mut replies = requests.join_all().await;
    replies.sort();
    assert_eq!(replies, [(0, String::new()), (200, "halfdone".to_owned())]);
    assert_eq!(world.marked().len(), 1, "a shutdown stops no instance");
}

async fn get_slow(address: SocketAddr) -> (u16, String) {
    let reply = get(address, "/slow").await;
    (reply.status, reply.body)
}
