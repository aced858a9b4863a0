//! The conformance suite of routers, over each server.

use std::sync::Arc;

use release_core::model::{Digest, Target, TrackId};
use release_providers::endpoints::Endpoints as _;
use release_providers::spi::TrafficRouter;
use release_testkit::conformance::router::{self, Ask, Heard, Hurt, RouterSandbox};
use release_testkit::conformance::{HookError, Level, Trouble};

use crate::client::{arrived, get};
use crate::server::Which;
use crate::stage::{Stage, VERSIONS, send};

impl Stage {
    /// One request of a client, and which version says that it answered.
    async fn ask(&self, ask: Ask) -> Result<Heard, HookError> {
        let address = self.address;
        let answer = tokio::task::spawn_blocking(move || get(address, "/work", &ask.headers));
        let answer = answer.await??;
        let version = answer.all("x-version").next().unwrap_or_default();
        let which = VERSIONS.iter().position(|known| *known == version);
        let which = which.ok_or_else(|| format!("version {version} answered"))?;
        let cookies = answer.all("set-cookie").map(str::to_owned);
        Ok(Heard::of(self.digest(which)).setting(cookies))
    }

    /// What came to all instances of a version on a track, or to its others.
    async fn arrivals(&self, digest: Digest, track: Option<TrackId>) -> Result<u64, HookError> {
        let target = Target { track, ..self.target.clone() };
        let instances = self.platform.of(&target, digest).await?;
        let counts = move || instances.into_iter().map(arrived).sum();
        tokio::task::spawn_blocking(counts).await?
    }

    async fn hurt(&self, hurt: Hurt) -> Result<(), HookError> {
        match hurt {
            Hurt::Silent => self.signal(1, "-STOP"),
            Hurt::Gone => self.run(1, 0).await,
            _ => {
                self.signal(1, "-CONT");
                self.run(1, 1).await;
                self.router().refresh(&self.cx("refresh"), &self.target).await?;
            }
        }
        Ok(())
    }
}

async fn sandbox(which: Which) -> RouterSandbox {
    let stage = Stage::set(which).await.unwrap();
    let [waiting, sending, again, reaching, stalling, closing] =
        [(); 6].map(|()| Arc::clone(&stage));
    let [asking, counting, hurting, holding, letting_go] = [(); 5].map(|()| Arc::clone(&stage));
    let (router, platform) = (stage.router(), Arc::new(stage.platform.clone()));
    RouterSandbox::new(router, stage.target.clone(), stage.subjects.clone())
        .deployed_by(platform)
        .prepare(move || {
            let stage = Arc::clone(&waiting);
            async move {
                stage.ready(0).await?;
                stage.ready(1).await?;
                stage.tracks_ready().await
            }
        })
        .traffic(move |requests| {
            let address = sending.address;
            async move { tokio::task::spawn_blocking(move || send(address, requests)).await? }
        })
        .asking(move |ask| {
            let stage = Arc::clone(&asking);
            async move { stage.ask(ask).await }
        })
        .arrivals(move |digest, track| {
            let stage = Arc::clone(&counting);
            async move { stage.arrivals(digest, track).await }
        })
        .hurting(move |hurt| {
            let stage = Arc::clone(&hurting);
            async move { stage.hurt(hurt).await }
        })
        .holding(
            move || {
                let stage = Arc::clone(&holding);
                async move { stage.hold().await }
            },
            move || {
                let stage = Arc::clone(&letting_go);
                async move { stage.let_go().await }
            },
        )
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
    let report = router::run(Level::V2, &async || sandbox(which).await).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.clone()).collect();
    let mut impossible =
        vec!["refused_credentials_are_denied", "throttling_is_rate_limited", "secrets_stay_secret"];
    if which == Which::Haproxy {
        // It cannot copy requests.
        impossible.extend(["copies_reach_nobody", "copies_harm_no_request", "copies_are_picked"]);
    }
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
