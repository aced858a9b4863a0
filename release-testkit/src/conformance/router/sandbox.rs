//! What the suite of `TrafficRouter` may use.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{Digest, Target, TrackId, TrafficRules};
use release_core::plan::Weight;
use release_providers::spi::{Deployer, ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use release_providers::{Context, Description, Splitting};

use super::flights::Holding;
use super::{Ask, Heard, Hurt};

use crate::conformance::deployer::DeployerSandbox;
use crate::conformance::{
    Broken, Check, Common, Hook, HookError, Provided, Sandbox, Subject, acting, broken, hook,
    shared, title, unanswered,
};
use crate::fixtures;

/// A router, and what its suite may use: one target, and two versions that can be served there.
#[derive(Clone)]
#[must_use]
pub struct RouterSandbox {
    pub(crate) provider: Arc<dyn TrafficRouter>,
    pub(crate) target: Target,
    pub(crate) subjects: [Subject; 2],
    pub(crate) unknown_target: Target,
    pub(crate) unknown_version: Digest,
    deployer: Option<Arc<dyn Deployer>>,
    prepare: Option<Hook<(), ()>>,
    traffic: Option<Hook<u64, ()>>,
    asking: Option<Hook<Ask, Heard>>,
    arrivals: Option<Hook<(Digest, Option<TrackId>), u64>>,
    hurting: Option<Hook<Hurt, ()>>,
    pub(super) holding: Option<Holding>,
    reopen: Option<Hook<(), Arc<dyn TrafficRouter>>>,
    common: Common,
}

shared!([] RouterSandbox, dyn TrafficRouter, "shares may take to be in effect");
acting!(RouterSandbox);

impl fmt::Debug for RouterSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, target, subjects, .. } = self;
        let mut out = f.debug_struct("RouterSandbox");
        out.field("provider", provider).field("target", target).field("subjects", subjects);
        out.finish_non_exhaustive()
    }
}

impl RouterSandbox {
    /// A sandbox: the provider, a target that nobody else uses, and two different versions. They
    /// must be servable there when a case begins: see [`RouterSandbox::deployed_by`] and
    /// [`RouterSandbox::prepare`].
    pub fn new(provider: Arc<dyn TrafficRouter>, target: Target, subjects: [Subject; 2]) -> Self {
        let Target { environment, region, .. } = target.clone();
        Self {
            provider,
            unknown_target: Target::new(environment, region, fixtures::literal("no-such-service")),
            unknown_version: Digest::of(b"release-testkit: content that nobody has"),
            target,
            subjects,
            deployer: None,
            prepare: None,
            traffic: None,
            asking: None,
            arrivals: None,
            hurting: None,
            holding: None,
            reopen: None,
            common: Common::default(),
        }
    }

    /// Lets `deployer` run one instance of each version before a case begins.
    pub fn deployed_by(mut self, deployer: Arc<dyn Deployer>) -> Self {
        self.deployer = Some(deployer);
        self
    }

    /// Gets ready for a case, after [`RouterSandbox::deployed_by`]: both versions must be servable.
    pub fn prepare<F>(mut self, prepare: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.prepare = Some(hook(move |()| prepare()));
        self
    }

    /// Sends so many requests to the target and waits for all answers. One that no version gave, such as the `503` of a
    /// gateway, is an error as none is. Without it the cases about what was really served are skipped.
    pub fn traffic<F>(mut self, send: impl Fn(u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.traffic = Some(hook(send));
        self
    }

    /// Sends one request as a client would, and tells what was heard. One that no version answered is an error as one
    /// without an answer is. Without it the cases about rules are skipped.
    pub fn asking<F>(mut self, ask: impl Fn(Ask) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Heard, HookError>> + Send + 'static,
    {
        self.asking = Some(hook(ask));
        self
    }

    /// Tells how many requests have ever come to the instances of a version on a track, or to its others: answered or not,
    /// copies included. Without it the cases about copies and tracks are skipped.
    pub fn arrivals<F>(
        mut self,
        count: impl Fn(Digest, Option<TrackId>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<u64, HookError>> + Send + 'static,
    {
        self.arrivals = Some(hook(move |(digest, track)| count(digest, track)));
        self
    }

    /// Hurts the instances of the second version, or heals them. Without it the case about copies that fail is skipped.
    pub fn hurting<F>(mut self, hurt: impl Fn(Hurt) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.hurting = Some(hook(hurt));
        self
    }

    /// Names a target that the router does not know; by default `no-such-service` in the same
    /// place.
    pub fn unknown_target(mut self, target: Target) -> Self {
        self.unknown_target = target;
        self
    }

    /// Names a version that does not run in the target; by default one that nobody has.
    pub const fn unknown_version(mut self, digest: Digest) -> Self {
        self.unknown_version = digest;
        self
    }

    pub(crate) const fn has_traffic(&self) -> bool {
        self.traffic.is_some()
    }

    /// Whether it can be seen what was really served.
    pub(crate) fn counts(&self) -> bool {
        self.has_traffic() && self.abilities().traffic_router.counts_served
    }

    /// The share of each version.
    pub(crate) fn shares(&self, first: u8, second: u8) -> Vec<Weight> {
        let share = |(subject, percent): (&Subject, u8)| {
            Weight::new(subject.artifact.digest(), subject.version.clone(), percent)
        };
        self.subjects.iter().zip([first, second]).map(share).collect()
    }

    /// All traffic to the first version.
    pub(crate) fn all_old(&self) -> Vec<Weight> {
        self.shares(100, 0).into_iter().take(1).collect()
    }

    /// Something else: a canary, or all traffic to the second version where weights are not
    /// declared.
    pub(crate) fn some_new(&self) -> Vec<Weight> {
        if self.abilities().traffic_router.splitting == Splitting::Shares {
            return self.shares(80, 20);
        }
        self.shares(0, 100).into_iter().skip(1).collect()
    }

    pub(crate) async fn send(&self, requests: u64) -> Check {
        let Some(traffic) = &self.traffic else { return Ok(()) };
        traffic(requests)
            .await
            .map_err(|error| broken(format!("answers to {requests} requests"), error))
    }

    pub(crate) fn request(&self, weights: &[Weight]) -> SetWeights {
        SetWeights::new(self.target.clone(), weights.to_vec())
    }

    /// Sets shares under a new key, and waits until they are in effect.
    pub(crate) async fn set(&self, weights: &[Weight]) -> Check {
        self.set_as(&self.context(), weights).await
    }

    /// Sets shares and rules under a new key, and waits until both are in effect.
    pub(super) async fn set_by(&self, weights: &[Weight], rules: Option<&TrafficRules>) -> Check {
        let wish = self.request(weights).by(rules.cloned());
        let answer = self.provider.set_weights(&self.context(), wish).await;
        let what = format!("the shares {} by {rules:?}", show(weights));
        answer.map_err(|error| unanswered(&what, &error))?;
        let seen = self.common.until(async || {
            let status = self.look().await?;
            Ok(if tells(&status, weights, rules) { Ok(()) } else { Err(status) })
        });
        seen.await?.map_err(|status| {
            let expected = format!("{what} in effect within {}", self.common.patience);
            broken(expected, format!("observed {} by {:?}", show(&status.weights), status.rules))
        })
    }

    /// Demands that these shares and rules still are in effect.
    pub(super) async fn in_effect_by_now(
        &self,
        weights: &[Weight],
        rules: Option<&TrafficRules>,
    ) -> Check {
        let status = self.look().await?;
        if tells(&status, weights, rules) {
            return Ok(());
        }
        let expected = format!("{} by {rules:?} to stay in effect", show(weights));
        let observed = format!("later observed {} by {:?}", show(&status.weights), status.rules);
        Err(broken(expected, observed))
    }

    pub(crate) async fn set_as(&self, cx: &Context, weights: &[Weight]) -> Check {
        let answer = self.provider.set_weights(cx, self.request(weights)).await;
        answer.map_err(|error| unanswered(&format!("the shares {}", show(weights)), &error))?;
        self.in_effect(weights).await.map(drop)
    }

    /// Waits until exactly these shares are in effect.
    pub(crate) async fn in_effect(&self, weights: &[Weight]) -> Result<TrafficStatus, Broken> {
        let wanted = sorted(weights);
        let seen = self.common.until(async || {
            let status = self.look().await?;
            let so = exactly(&status.weights) == wanted;
            Ok(if so { Ok(status) } else { Err(status) })
        });
        seen.await?.map_err(|status| {
            let expected = format!("{} in effect within {}", show(weights), self.common.patience);
            broken(expected, format!("observed {}", show(&status.weights)))
        })
    }

    /// Demands that these shares still are in effect.
    pub(crate) async fn in_effect_now(&self, weights: &[Weight]) -> Check {
        let seen = self.look().await?.weights;
        if same_shares(&seen, weights) {
            return Ok(());
        }
        let expected = format!("{} to stay in effect", show(weights));
        Err(broken(expected, format!("later observed {}", show(&seen))))
    }

    pub(crate) async fn look(&self) -> Result<TrafficStatus, Broken> {
        let answer =
            self.provider.observe(&self.context(), ObserveTraffic::new(self.target.clone())).await;
        answer.map_err(|error| unanswered("an observation", &error))
    }

    /// Requests that each version served since the shares took effect.
    pub(crate) async fn served(&self) -> Result<[u64; 2], Broken> {
        let status = self.look().await?;
        let of = |subject: &Subject| {
            let digest = subject.artifact.digest();
            let counts = status.served.iter().filter(|served| served.digest == digest);
            counts.map(|served| served.requests).sum()
        };
        let [first, second] = &self.subjects;
        Ok([of(first), of(second)])
    }
}

/// What cases about rules use.
impl RouterSandbox {
    pub(super) fn digests(&self) -> [Digest; 2] {
        self.subjects.each_ref().map(|subject| subject.artifact.digest())
    }

    pub(super) fn routes_headers(&self) -> bool {
        self.abilities().traffic_router.header_routes
    }

    pub(super) fn mirrors(&self) -> bool {
        self.abilities().traffic_router.mirroring
    }

    pub(super) fn picks_copies(&self) -> bool {
        let able = self.abilities().traffic_router;
        able.mirroring && able.mirror_matching
    }

    pub(super) fn keeps_clients(&self) -> bool {
        self.abilities().traffic_router.affinity
    }

    pub(super) fn keeps_clients_of_one(&self) -> bool {
        self.abilities().traffic_router.affinity_to_one
    }

    pub(super) const fn can_ask(&self) -> bool {
        self.asking.is_some()
    }

    pub(super) const fn can_count_arrivals(&self) -> bool {
        self.arrivals.is_some()
    }

    pub(super) const fn can_hurt(&self) -> bool {
        self.hurting.is_some()
    }

    pub(super) const fn can_deploy(&self) -> bool {
        self.deployer.is_some()
    }

    pub(super) async fn ask(&self, ask: &Ask) -> Result<Heard, Broken> {
        let Some(asking) = &self.asking else { return Err(broken("clients", "there are none")) };
        asking(ask.clone()).await.map_err(|error| broken(format!("an answer to {ask:?}"), error))
    }

    pub(super) async fn arrivals_at(
        &self,
        digest: Digest,
        track: Option<&TrackId>,
    ) -> Result<u64, Broken> {
        let Some(count) = &self.arrivals else { return Ok(0) };
        let counted = count((digest, track.cloned())).await;
        counted.map_err(|error| broken("a count of what arrived", error))
    }

    pub(super) async fn hurt(&self, hurt: Hurt) -> Check {
        let Some(hurting) = &self.hurting else { return Ok(()) };
        hurting(hurt).await.map_err(|error| broken(format!("a version that is {hurt:?}"), error))
    }

    /// Runs one instance of the first version on a track, and waits until the router may send to it.
    pub(super) async fn start_on(&self, track: &TrackId) -> Check {
        let Some(deployer) = &self.deployer else { return Ok(()) };
        let target = self.target.clone().on(track.clone());
        self.run_one(deployer, target, self.subjects.iter().take(1)).await?;
        let Some(prepare) = &self.prepare else { return Ok(()) };
        prepare(()).await.map_err(|error| broken("instances that are ready", error))
    }

    async fn run_one<'a>(
        &self,
        deployer: &Arc<dyn Deployer>,
        target: Target,
        subjects: impl Iterator<Item = &'a Subject>,
    ) -> Check {
        let sandbox = DeployerSandbox::new(Arc::clone(deployer), target, self.subjects.clone());
        let sandbox = sandbox.clock(Arc::clone(&self.common.clock)).patience(self.common.patience);
        for subject in subjects {
            sandbox.apply(subject, 1).await?;
            sandbox.settled(subject, 1).await?;
        }
        Ok(())
    }
}

/// Whether exactly these shares and rules are told.
fn tells(status: &TrafficStatus, weights: &[Weight], rules: Option<&TrafficRules>) -> bool {
    let tracks = |all: &[Weight]| {
        let mut all: Vec<_> =
            all.iter().map(|one| (one.digest, one.track.clone(), one.percent)).collect();
        all.retain(|(.., percent)| *percent > 0);
        all.sort();
        all
    };
    same_shares(&status.weights, weights)
        && tracks(&status.weights) == tracks(weights)
        && status.rules.as_ref() == rules
}

/// As asked for: in order, and without versions that get nothing.
fn sorted(weights: &[Weight]) -> Vec<(Digest, u8)> {
    let mut sorted = exactly(weights);
    sorted.retain(|(_, percent)| *percent > 0);
    sorted
}

/// As observed: in order, with everything that is there.
fn exactly(weights: &[Weight]) -> Vec<(Digest, u8)> {
    let mut all: Vec<_> = weights.iter().map(|weight| (weight.digest, weight.percent)).collect();
    all.sort_unstable();
    all
}

pub(crate) fn same_shares(observed: &[Weight], wanted: &[Weight]) -> bool {
    exactly(observed) == sorted(wanted)
}

pub(crate) fn show(weights: &[Weight]) -> String {
    if weights.is_empty() {
        return "nobody".into();
    }
    let one = |weight: &Weight| format!("{} {}%", weight.version, weight.percent);
    weights.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl Provided for RouterSandbox {
    fn describe(&self) -> Description {
        self.provider.describe()
    }
}

#[async_trait(?Send)]
impl Sandbox for RouterSandbox {
    fn common(&self) -> &Common {
        &self.common
    }

    fn title(&self) -> String {
        title(&self.provider.describe())
    }

    async fn prepare(&self) -> Result<(), Broken> {
        if let Some(deployer) = &self.deployer {
            self.run_one(deployer, self.target.clone(), self.subjects.iter()).await?;
        }
        let Some(prepare) = &self.prepare else { return Ok(()) };
        prepare(()).await.map_err(|error| broken("a sandbox that is ready", error))
    }
}
