//! The deployer: what is wished comes about, once, and what breaks says why.

use std::collections::BTreeSet;
use std::net::TcpListener;

use release_core::model::{AntiAffinity, Metadata, Span};
use release_core::port::{Clock as _, EffectCertainty};
use release_providers::ErrorKind;
use release_providers::local::{LocalPlatform, ServiceConfig};
use release_providers::spi::{CheckHealth, Deployer, DeploymentPhase, HealthProbe};

use crate::support::{
    WallClock, World, cx, demo, deploy, eventually, get, kill, put, settled, slow, status, target,
    wish,
};

#[tokio::test]
async fn applies_are_idempotent_also_at_the_same_time() {
    let world = World::default();
    let platform = world.open().await;
    let (eu, artifact) = (target("eu"), put(&platform, demo("1.0.0", 0)).await);
    let applies = (0..16).map(|n| {
        let (platform, request) = (platform.clone(), wish(&eu, &artifact, "1.0.0", 3));
        // Half of them repeat one call, half are calls of their own.
        async move { platform.apply(&cx(&format!("key-{}", n % 8)), request).await }
    });
    for result in futures_util::future::join_all(applies).await {
        result.unwrap();
    }
    settled(&platform, &eu, &artifact).await;
    let pids: BTreeSet<i32> = platform.processes(&eu, artifact.digest()).into_values().collect();
    assert_eq!(pids.len(), 3);
    assert_eq!(world.marked(), pids, "no process beside those that are known");
    platform.apply(&cx("again"), wish(&eu, &artifact, "1.0.0", 3)).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    assert_eq!(world.marked(), pids, "the same wish again changes nothing");
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn scaling_down_stops_only_surplus_and_keeps_other_versions() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let old = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 3).await;
    let new = deploy(&platform, &eu, demo("1.1.0", 0), "1.1.0", 2).await;
    let before: BTreeSet<i32> = platform.processes(&eu, old.digest()).into_values().collect();
    let others = platform.processes(&eu, new.digest());
    platform.apply(&cx("down"), wish(&eu, &old, "1.0.0", 1)).await.unwrap();
    settled(&platform, &eu, &old).await;
    let after: BTreeSet<i32> = platform.processes(&eu, old.digest()).into_values().collect();
    assert_eq!(after.len(), 1);
    assert!(after.is_subset(&before), "a running one is kept");
    assert_eq!(platform.processes(&eu, new.digest()), others);
    platform.apply(&cx("off"), wish(&eu, &old, "1.0.0", 0)).await.unwrap();
    settled(&platform, &eu, &old).await;
    assert_eq!(status(&platform, &eu, &old).await.running, 0);
    assert_eq!(world.marked(), others.into_values().collect());
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_exits_at_once_fails_the_deployment_until_a_fresh_wish() {
    let world = World::default();
    let config = world.config_with(ServiceConfig::new().env("DEMO_MODE", "exit"));
    let platform = LocalPlatform::open(config).await.unwrap();
    let (eu, artifact) = (target("eu"), put(&platform, demo("1.0.0", 0)).await);
    platform.apply(&cx("first"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    let reason = || async {
        match status(&platform, &eu, &artifact).await.phase {
            DeploymentPhase::Failed { reason } => Some(reason),
            DeploymentPhase::Progressing => None,
            other => panic!("an instance that exits at once never settles: {other:?}"),
        }
    };
    let logs = || std::fs::read_dir(world.root().join("logs")).unwrap().count();
    eventually("failed", || async { reason().await.is_some() }).await;
    let text = reason().await.unwrap();
    assert!(text.contains("exit code 3"), "{text}");
    assert!(text.contains("because DEMO_MODE=exit"), "the log's last line is part of it: {text}");
    platform.apply(&cx("first"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    assert_eq!((reason().await, logs()), (Some(text), 1), "the same call starts nothing");
    platform.apply(&cx("second"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    eventually("failed again", || async { logs() == 2 && reason().await.is_some() }).await;
    platform.shutdown().await;

    // The failure is remembered, and the cure is one more wish.
    let platform = world.open().await;
    let phase = status(&platform, &eu, &artifact).await.phase;
    assert!(matches!(phase, DeploymentPhase::Failed { .. }), "{phase:?}");
    assert_eq!(logs(), 2);
    platform.apply(&cx("third"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_is_never_ready_runs_and_reports_unready() {
    let world = World::default();
    let config = world.config_with(ServiceConfig::new().env("DEMO_MODE", "unhealthy"));
    let platform = LocalPlatform::open(config).await.unwrap();
    let (eu, artifact) = (target("eu"), put(&platform, demo("1.0.0", 0)).await);
    platform.apply(&cx("apply"), wish(&eu, &artifact, "1.0.0", 2)).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    let request = CheckHealth::new(eu.clone(), artifact.digest());
    let report = platform.check(&cx("check"), request).await.unwrap();
    assert_eq!(report.instances.len(), 2);
    for instance in &report.instances {
        assert!(!instance.ready && instance.detail.contains("503"), "{instance:?}");
    }
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_executed_fails_with_the_cause() {
    let world = World::default();
    let platform = world.open().await;
    let (eu, artifact) = (target("eu"), put(&platform, b"\x7fELF but not really".to_vec()).await);
    platform.apply(&cx("apply"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    eventually("failed", || async {
        match status(&platform, &eu, &artifact).await.phase {
            DeploymentPhase::Failed { reason } => reason.contains("cannot be executed"),
            _ => false,
        }
    })
    .await;
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn an_instance_that_ran_well_and_dies_is_restarted() {
    let world = World::default();
    let platform = world.open().await;
    let eu = target("eu");
    let artifact = deploy(&platform, &eu, demo("1.0.0", 0), "1.0.0", 1).await;
    let before = world.marked();
    before.iter().copied().for_each(kill);
    eventually("another process", || async {
        world.marked().len() == 1 && world.marked() != before
    })
    .await;
    settled(&platform, &eu, &artifact).await;
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn an_instance_whose_port_was_snatched_gets_another() {
    let world = World::default();
    let platform = world.open().await;
    let script = include_bytes!("../support/unlucky.sh").to_vec();
    let (eu, artifact) = (target("eu"), put(&platform, script).await);
    platform.apply(&cx("apply"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    assert!(world.root().join("unlucky-was-here").exists());
    assert_eq!(world.marked().len(), 1);
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_stubborn_instance_and_its_children_are_killed_in_the_end() {
    let world = World::default();
    let platform = world.open().await;
    let script = include_bytes!("../support/stubborn.sh").to_vec();
    let (eu, artifact) = (target("eu"), put(&platform, script).await);
    platform.apply(&cx("apply"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    eventually("it and its child run", || async { world.marked().len() == 2 }).await;
    platform.apply(&cx("off"), wish(&eu, &artifact, "1.0.0", 0)).await.unwrap();
    settled(&platform, &eu, &artifact).await;
    eventually("nothing is left", || async { world.marked().is_empty() }).await;
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn a_fixed_port_that_is_taken_is_a_conflict_that_names_it() {
    let world = World::default();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, eu) = (taken.local_addr().unwrap(), target("eu"));
    let platform =
        LocalPlatform::open(world.config().port(eu.clone(), address.port())).await.unwrap();
    let artifact = put(&platform, slow()).await;
    let error = platform.apply(&cx("a"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(error.effect(), EffectCertainty::NotApplied);
    assert_eq!(error.context("address"), Some(address.to_string().as_str()));
    assert!(error.to_string().contains("give the target another port"), "{error}");
    assert_eq!((platform.address(&eu), world.marked().len()), (None, 0));
    drop(taken);
    platform.apply(&cx("b"), wish(&eu, &artifact, "1.0.0", 1)).await.unwrap();
    assert_eq!(platform.address(&eu), Some(address));
    platform.destroy().await.unwrap();
}

#[tokio::test]
async fn limits_deadlines_and_cancellation_are_kept() {
    let world = World::default();
    let platform = world.open().await;
    let (eu, artifact) = (target("eu"), put(&platform, slow()).await);
    let request = || wish(&eu, &artifact, "1.0.0", 1);
    let error = platform.apply(&cx("a"), wish(&eu, &artifact, "1.0.0", 65)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let apart = request().keeping(Some(AntiAffinity::Preferred(1)));
    let error = platform.apply(&cx("a"), apart).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let labelled = request().carrying(Some(Metadata::new().label("role", "canary")));
    let error = platform.apply(&cx("a"), labelled).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let mut late = cx("b");
    late.deadline = WallClock.now();
    let error = platform.apply(&late, request()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, EffectCertainty::NotApplied));
    let cancelled = cx("c");
    cancelled.cancellation.cancel();
    let error = platform.apply(&cancelled, request()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Cancelled, EffectCertainty::NotApplied));
    assert_eq!(status(&platform, &eu, &artifact).await.desired, None);
    platform.shutdown().await;
    let error = platform.apply(&cx("d"), request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn destroy_leaves_no_process_no_listener_and_nothing_to_restart() {
    let world = World::default();
    let platform = world.open().await;
    let mut addresses = Vec::new();
    for region in ["eu", "us"] {
        deploy(&platform, &target(region), demo("1.0.0", 0), "1.0.0", 2).await;
        addresses.push(platform.address(&target(region)).unwrap());
    }
    assert_eq!(get(addresses[0], "/").await.status, 503, "no shares, but a listener");
    assert_eq!(world.marked().len(), 4);
    platform.destroy().await.unwrap();
    assert_eq!(world.marked().len(), 0);
    assert_eq!(std::fs::read_dir(world.root().join("instances")).unwrap().count(), 0);
    for address in addresses {
        // Not at once: children that other tests start hold a copy until they execute their programs.
        eventually("no listener", || async {
            tokio::net::TcpStream::connect(address).await.is_err()
        })
        .await;
    }
    let platform = world.open().await;
    platform.destroy().await.unwrap();
    assert_eq!(world.marked().len(), 0);
}

#[tokio::test]
async fn draining_waits_for_a_slow_request_but_not_for_ever() {
    for patience in [Span::secs(30), Span::millis(50)] {
        let world = World::default();
        let mut config = world.config();
        config.drain_timeout = patience;
        let platform = LocalPlatform::open(config).await.unwrap();
        let eu = target("eu");
        let artifact = deploy(&platform, &eu, slow(), "1.0.0", 1).await;
        let shares = vec![crate::support::share(&artifact, "1.0.0", 100)];
        crate::support::route(&platform, &eu, shares).await.unwrap();
        let address = platform.address(&eu).unwrap();
        let mut requests = tokio::task::JoinSet::new();
        let text = "GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        requests.spawn(async move { crate::support::ask(address, text).await });
        let begun = world.root().join("slow-begun");
        eventually("the request is under way", || async { begun.exists() }).await;
        platform.apply(&cx("off"), wish(&eu, &artifact, "1.0.0", 0)).await.unwrap();
        if patience > Span::secs(1) {
            eventually("taken out of the traffic", || async {
                get(address, "/").await.status == 503
            })
            .await;
            assert_eq!(status(&platform, &eu, &artifact).await.phase, DeploymentPhase::Progressing);
            assert_eq!(world.marked().len(), 1, "it lives as long as its request");
            std::fs::write(world.root().join("slow-go"), "").unwrap();
            let reply = requests.join_next().await.unwrap().unwrap().unwrap();
            assert_eq!((reply.status, reply.body.as_str()), (200, "halfdone"));
        }
        settled(&platform, &eu, &artifact).await;
        assert_eq!(world.marked().len(), 0);
        platform.destroy().await.unwrap();
    }
}
