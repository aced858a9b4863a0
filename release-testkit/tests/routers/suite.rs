//! The conformance suite of routers, over each server.

use std::sync::Arc;

use release_providers::spi::TrafficRouter;
use release_testkit::conformance::router::{self, RouterSandbox};
use release_testkit::conformance::{Level, Trouble};

use crate::server::Which;
use crate::stage::{Stage, send};

async fn sandbox(which: Which) -> RouterSandbox {
    let stage = Stage::set(which).await.unwrap();
    let [waiting, sending, again, reaching, stalling, closing] =
        [(); 6].map(|()| Arc::clone(&stage));
    let (router, platform) = (stage.router(), Arc::new(stage.platform.clone()));
    RouterSandbox::new(router, stage.target.clone(), stage.subjects.clone())
        .deployed_by(platform)
        .prepare(move || {
            let stage = Arc::clone(&waiting);
            async move {
                stage.ready(0).await?;
                stage.ready(1).await
            }
        })
        .traffic(move |requests| {
            let address = sending.address;
            async move { tokio::task::spawn_blocking(move || send(address, requests)).await? }
        })
        .reopen(move || {
            let stage = Arc::clone(&again);
            async move { Ok(stage.reopen().await? as Arc<dyn TrafficRouter>) }
        })
        .reach(move |back| {
            let stage = Arc::clone(&reaching);
            async move {
                let mut server = stage.server.lock().await;
                server.kill();
                if back { server.restart().await } else { Ok(()) }
            }
        })
        .trouble(Trouble::Stalled, move |comes| {
            let stage = Arc::clone(&stalling);
            async move {
                stage.server.lock().await.stall(comes);
                Ok(())
            }
        })
        .on_close(move || {
            let stage = Arc::clone(&closing);
            async move { stage.close().await }
        })
}

async fn conforms(which: Which) {
    if which.find().is_none() {
        return;
    }
    let report = router::run(Level::V1, &async || sandbox(which).await).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.clone()).collect();
    let impossible =
        ["refused_credentials_are_denied", "throttling_is_rate_limited", "secrets_stay_secret"];
    assert_eq!(skipped, impossible);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_conforms() {
    conforms(Which::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_conforms() {
    conforms(Which::Envoy).await;
}
