//! Traffic through the platform's proxies: the suite of routers, and what outlasts a restart.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use release_core::model::{Affinity, Digest, Target, TrackId, TrafficRules};
use release_core::plan::Weight;
use release_core::port::EffectCertainty;
use release_providers::ErrorKind;
use release_providers::endpoints::Endpoints as _;
use release_providers::local::LocalPlatform;
use release_providers::spi::{
    ApplyRequest, Deployer as _, ObserveTraffic, SetWeights, TrafficRouter,
};
use release_testkit::conformance::router::{Ask, Heard, RouterSandbox};
use release_testkit::conformance::{HookError, Subject};
use release_testkit::fixtures;

use crate::client::{Half, arrived, get};
use crate::{Home, VERSIONS};

/// Sends requests one after the other; all must be served.
fn send(address: SocketAddr, requests: u64) -> Result<(), HookError> {
    (0..requests).try_for_each(|_| get(address, "/work", &[]).map(drop))
}

impl Home {
    pub(crate) fn track(&self) -> Target {
        self.target.clone().on(fixtures::literal("suite"))
    }

    /// One request of a client, and which version says that it answered.
    async fn ask(&self, versions: [Digest; 2], ask: Ask) -> Result<Heard, HookError> {
        let address = self.platform().address(&self.target).ok_or("the target has no address")?;
        let answer = tokio::task::spawn_blocking(move || get(address, "/work", &ask.headers));
        let answer = answer.await??;
        let version = answer.all("x-version").next().unwrap_or_default();
        let which = VERSIONS.iter().position(|known| *known == version);
        let from = which.and_then(|which| versions.get(which));
        let from = from.ok_or_else(|| format!("version {version} answered"))?;
        Ok(Heard::of(*from).setting(answer.all("set-cookie").map(str::to_owned)))
    }

    /// What came to all instances of a version on a track, or to its others.
    async fn arrivals(&self, digest: Digest, track: Option<TrackId>) -> Result<u64, HookError> {
        let target = Target { track, ..self.target.clone() };
        let instances = self.platform().of(&target, digest).await?;
        let counts = move || instances.into_iter().map(arrived).sum();
        tokio::task::spawn_blocking(counts).await?
    }

    /// Begins a request, and sends half of it.
    async fn hold(&self) -> Result<(), HookError> {
        let address = self.platform().address(&self.target).ok_or("the target has no address")?;
        let half = tokio::task::spawn_blocking(move || Half::of_a_post(address)).await??;
        *self.held.lock().unwrap() = Some(half);
        Ok(())
    }

    /// Sends the other half; tells who answered.
    async fn let_go(&self, versions: [Digest; 2]) -> Result<Heard, HookError> {
        let half = self.held.lock().unwrap().take().ok_or("no request has begun")?;
        let answer = tokio::task::spawn_blocking(move || half.finish()).await??;
        let version = answer.all("x-version").next().unwrap_or_default();
        let which = VERSIONS.iter().position(|known| *known == version);
        let from = which.and_then(|which| versions.get(which));
        Ok(Heard::of(*from.ok_or("another version answered")?))
    }
}

pub(crate) async fn router_sandbox() -> RouterSandbox {
    let (home, subjects) = Home::new().await;
    let digests = subjects.each_ref().map(|subject| subject.artifact.digest());
    let (platform, target) = (Arc::new(home.platform()), home.target.clone());
    let [waiting, sending, again, asking, counting, holding, letting_go] =
        [(); 7].map(|()| Arc::clone(&home));
    let router: Arc<LocalPlatform> = Arc::clone(&platform);
    RouterSandbox::new(router, target, subjects)
        .deployed_by(platform)
        .prepare(move || {
            let home = Arc::clone(&waiting);
            async move { home.ready(digests).await }
        })
        .asking(move |ask| {
            let home = Arc::clone(&asking);
            async move { home.ask(digests, ask).await }
        })
        .arrivals(move |digest, track| {
            let home = Arc::clone(&counting);
            async move { home.arrivals(digest, track).await }
        })
        .traffic(move |requests| {
            let address = sending.platform().address(&sending.target);
            async move {
                let address = address.ok_or("the target has no address")?;
                tokio::task::spawn_blocking(move || send(address, requests)).await?
            }
        })
        .holding(
            move || {
                let home = Arc::clone(&holding);
                async move { home.hold().await }
            },
            move || {
                let home = Arc::clone(&letting_go);
                async move { home.let_go(digests).await }
            },
        )
        .reopen(move || {
            let reopened = Home::reopened(Arc::clone(&again));
            async move { Ok(reopened.await? as Arc<dyn TrafficRouter>) }
        })
        .on_close(move || {
            let home = Arc::clone(&home);
            async move { home.close().await }
        })
}

release_testkit::router_conformance! {
    name: local_router,
    level: V2,
    provider: router_sandbox,
}

/// What runs on a track, its share and the rules are there again after a restart, and requests go where they went.
#[tokio::test]
async fn tracks_and_rules_outlast_a_restart() {
    let (home, [subject, _]) = Home::new().await;
    let (artifact, version) = (subject.artifact.clone(), subject.version.clone());
    let digest = artifact.digest();
    for target in [home.track(), home.target.clone()] {
        let wish = ApplyRequest::new(target, artifact.clone(), version.clone(), 1);
        home.platform().apply(&fixtures::context("apply"), wish).await.unwrap();
    }
    home.ready([digest, digest]).await.unwrap();
    let share = |percent| Weight::new(digest, version.clone(), percent);
    let shares = vec![share(50), share(50).on(fixtures::literal("suite"))];
    let affinity = Some(Affinity::new("stay"));
    let rules = Some(TrafficRules { affinity, ..TrafficRules::default() });
    let wish = SetWeights::new(home.target.clone(), shares).by(rules);
    home.platform().set_weights(&fixtures::context("set"), wish.clone()).await.unwrap();
    let before = home.processes();
    Home::reopened(Arc::clone(&home)).await.unwrap();
    assert_eq!((home.processes(), before.len()), (before, 2));
    let look = ObserveTraffic::new(home.target.clone());
    let (router, cx) = (home.platform(), fixtures::context("look"));
    let seen = TrafficRouter::observe(&router, &cx, look).await.unwrap();
    assert!(Weight::same_shares(&seen.weights, &wish.weights) && seen.rules == wish.rules);
    home.ready([digest, digest]).await.unwrap();
    let mut answers = BTreeSet::new();
    for _ in 0..20 {
        answers.extend(home.ask([digest; 2], Ask::plain()).await.unwrap().cookies);
    }
    assert_eq!(answers.len(), 2, "{answers:?}");
    let track = Some(fixtures::literal("suite"));
    let arrived = [home.arrivals(digest, None).await, home.arrivals(digest, track).await];
    assert_eq!(arrived.map(Result::unwrap), [10, 10]);
    // A track has no traffic of its own.
    let own = SetWeights::new(home.track(), vec![share(100)]);
    let refused = home.platform().set_weights(&fixtures::context("own"), own).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    home.close().await.unwrap();
}

/// A change that was written down and could not be logged is not in effect; taking it back writes what is.
#[tokio::test]
async fn an_abort_after_a_change_that_failed_half_way_holds_after_a_restart_too() {
    let (home, subjects) = Home::new().await;
    for Subject { artifact, version, .. } in subjects.clone() {
        let wish = ApplyRequest::new(home.target.clone(), artifact, version, 1);
        home.platform().apply(&fixtures::context("apply"), wish).await.unwrap();
    }
    let all = |subject: &Subject| {
        let share = Weight::new(subject.artifact.digest(), subject.version.clone(), 100);
        SetWeights::new(home.target.clone(), vec![share])
    };
    let [old, new] = subjects.each_ref().map(all);
    let set = async |wish: &SetWeights| {
        home.platform().set_weights(&fixtures::context("set"), wish.clone()).await
    };
    set(&old).await.unwrap();
    let (log, aside) = (home.root().join("effects.jsonl"), home.root().join("aside"));
    std::fs::rename(&log, &aside).unwrap();
    std::fs::create_dir(&log).unwrap();
    assert_eq!(set(&new).await.unwrap_err().effect(), EffectCertainty::Unknown);
    std::fs::remove_dir(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    set(&old).await.unwrap();
    Home::reopened(Arc::clone(&home)).await.unwrap();
    let (router, cx) = (home.platform(), fixtures::context("look"));
    let look = ObserveTraffic::new(home.target.clone());
    let seen = TrafficRouter::observe(&router, &cx, look).await.unwrap();
    assert!(Weight::same_shares(&seen.weights, &old.weights), "{:?}", seen.weights);
    home.close().await.unwrap();
}
