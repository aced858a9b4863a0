//! What the fakes of one platform share: content, instances, shares of traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use release_core::model::{ArtifactName, Digest, RunId, Target, TrackId, TrafficRules};
use release_core::plan::Weight;
use release_providers::{Context, ErrorKind, ProviderError};

use super::traffic::{Bent, Place, Route};
use super::{Access, Rewind, lock, rewinds};
use crate::conformance::router::{Ask, Heard, Hurt};

/// What the fakes of one platform share. A clone is the same world.
///
/// Its methods are for tests: what they arrange happens at once and is recorded nowhere.
#[derive(Debug, Clone, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
    access: Access,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// What is stored under a digest; it need not match.
    pub(super) content: BTreeMap<Digest, Vec<u8>>,
    /// The targets that there are; `None`: any.
    targets: Option<BTreeSet<Target>>,
    pub(super) max_replicas: Option<u32>,
    pub(super) deployments: BTreeMap<Target, BTreeMap<Digest, Deployed>>,
    pub(super) routes: BTreeMap<Target, Route>,
    started: u64,
    /// The highest epoch of each run's writers.
    epochs: BTreeMap<RunId, u64>,
    /// What ever came to the instances of a version, copies included.
    arrived: BTreeMap<(Target, Place), u64>,
    /// Requests that have begun and are not finished.
    held: Vec<(Target, Place, Heard)>,
    /// Versions that answer nobody.
    hurt: BTreeSet<Digest>,
    /// What is wrong with how requests go; nothing in an honest world.
    bent: Option<Bent>,
}

/// What runs of one version in one target.
#[derive(Debug, Clone, Default)]
pub(super) struct Deployed {
    pub(super) desired: u32,
    pub(super) instances: BTreeSet<String>,
    /// Instances that are not ready.
    pub(super) unready: u32,
    /// How often it is still observed on its way.
    pub(super) looks: u32,
    pub(super) failed: Option<String>,
}

impl World {
    /// An empty world, in which any target exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, reached on a way that others share.
    pub(super) fn reached_by(access: Access) -> Self {
        Self { access, ..Self::default() }
    }

    /// Stores content and returns its digest.
    pub fn store(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state().content.insert(digest, bytes.to_vec());
        digest
    }

    /// Stores many contents, for example those of [`Shop::contents`](crate::fixtures::Shop).
    pub fn store_all(&self, contents: impl IntoIterator<Item = (ArtifactName, Vec<u8>)>) {
        for (_, bytes) in contents {
            self.store(&bytes);
        }
    }

    /// Puts other content under `digest` than it names.
    pub fn corrupt(&self, digest: Digest) {
        self.state().content.insert(digest, b"not what it was".to_vec());
    }

    /// Removes content.
    pub fn forget(&self, digest: Digest) {
        self.state().content.remove(&digest);
    }

    /// From now on only these targets exist.
    pub fn only_targets(&self, targets: impl IntoIterator<Item = Target>) {
        self.state().targets = Some(targets.into_iter().collect());
    }

    /// Puts it out of everybody's reach (`true`), or back: every call is `Unavailable` then.
    pub fn cut_off(&self, cut_off: bool) {
        self.access.cut_off(cut_off);
    }

    /// The way on which its fakes reach it.
    pub(super) const fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn within_reach(&self, operation: &'static str) -> Result<(), ProviderError> {
        self.access.check(operation)
    }

    /// From now on a wish for more instances is `Invalid`.
    pub fn limit_replicas(&self, max: u32) {
        self.state().max_replicas = Some(max);
    }

    /// The instances of one version that run in `target`.
    pub fn instances(&self, target: &Target, digest: Digest) -> BTreeSet<String> {
        let state = self.state();
        state.deployed(target, digest).map(|found| found.instances.clone()).unwrap_or_default()
    }

    /// Lets `unready` instances of one version answer that they are not ready.
    pub fn set_unready(&self, target: &Target, digest: Digest, unready: u32) {
        self.state().deployed_mut(target, digest).unready = unready;
    }

    /// Lets one version break: `observe` says so until it is applied again.
    pub fn break_down(&self, target: &Target, digest: Digest, reason: impl Into<String>) {
        let mut state = self.state();
        let deployed = state.deployed_mut(target, digest);
        deployed.instances.clear();
        deployed.failed = Some(reason.into());
    }

    /// Sends `requests` requests to `target`; they are spread by the shares in effect, as evenly as
    /// can be. Returns how many were served: none where nobody is served.
    pub fn send(&self, target: &Target, requests: u64) -> u64 {
        (0..requests).filter(|_| self.ask(target, &Ask::plain()).is_some()).count() as u64
    }

    /// Sends one request to `target`; it goes by the rules in effect, and where none takes it, by shares. `None` when nobody
    /// answers it.
    pub fn ask(&self, target: &Target, ask: &Ask) -> Option<Heard> {
        self.state().ask(target, ask).map(|(_, heard)| heard)
    }

    /// Sends one request to `target` that is under way until [`World::finish`]; whether there is somebody to answer it.
    pub fn begin(&self, target: &Target) -> bool {
        let mut state = self.state();
        let Some((place, heard)) = state.ask(target, &Ask::plain()) else { return false };
        state.held.push((target.clone(), place, heard));
        true
    }

    /// Finishes the request to `target` that was begun last. `None` when there is none, and when all instances are gone that
    /// could have answered it.
    pub fn finish(&self, target: &Target) -> Option<Heard> {
        let mut state = self.state();
        let last = state.held.iter().rposition(|(to, ..)| to == target)?;
        let (_, (digest, track), heard) = state.held.remove(last);
        let place = Target { track, ..target.clone() };
        let there = state.deployed(&place, digest).is_some_and(|found| !found.instances.is_empty());
        there.then_some(heard)
    }

    /// How many requests have ever come to the instances of a version on a track, or to its others; copies included.
    pub fn arrivals(&self, target: &Target, digest: Digest, track: Option<TrackId>) -> u64 {
        let key = (target.clone(), (digest, track));
        self.state().arrived.get(&key).copied().unwrap_or_default()
    }

    /// Hurts all instances of a version, or heals them.
    pub fn hurt(&self, digest: Digest, hurt: Hurt) {
        let mut state = self.state();
        if hurt == Hurt::Healed {
            state.hurt.remove(&digest);
        } else {
            state.hurt.insert(digest);
        }
    }

    /// The shares in effect.
    pub fn weights(&self, target: &Target) -> Vec<Weight> {
        self.state().routes.get(target).map(|route| route.weights.clone()).unwrap_or_default()
    }

    /// Refuses a caller whose run a newer one has taken over, and remembers a newer one.
    pub(crate) fn fence(&self, operation: &'static str, cx: &Context) -> Result<(), ProviderError> {
        let Some(run) = &cx.run else { return Ok(()) };
        let mut state = self.state();
        let newest = state.epochs.entry(run.clone()).or_default();
        if cx.epoch < *newest {
            let text = "a newer writer has taken this run over";
            return Err(ProviderError::new(ErrorKind::Fenced, operation, text)
                .with_context("run", run)
                .with_context("newest", *newest));
        }
        *newest = cx.epoch;
        Ok(())
    }

    pub(crate) fn rewind(&self) -> Rewind {
        rewinds(&self.state)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// For saboteurs: what no correct fake would do.
impl World {
    pub(crate) fn desired(&self, target: &Target, digest: Digest) -> Option<u32> {
        self.state().deployed(target, digest).map(|found| found.desired)
    }

    /// Stores a wish and does nothing for it.
    pub(crate) fn store_wish(&self, target: &Target, digest: Digest, desired: u32) {
        self.state().deployed_mut(target, digest).desired = desired;
    }

    /// Starts or stops whatever is wished, whether there is content for it or not.
    pub(crate) fn force(&self, target: &Target, digest: Digest, desired: u32) {
        self.store_wish(target, digest, desired);
        self.state().settle(target, digest);
    }

    /// Starts instances that nobody wished for.
    pub(crate) fn start_more(&self, target: &Target, digest: Digest, more: u32) {
        let mut state = self.state();
        let wished = state.deployed_mut(target, digest).desired;
        let running = state.deployed_mut(target, digest).instances.len();
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        state.deployed_mut(target, digest).desired = running.saturating_add(more);
        state.settle(target, digest);
        state.deployed_mut(target, digest).desired = wished;
    }

    /// Replaces all instances by new ones.
    pub(crate) fn restart(&self, target: &Target, digest: Digest) {
        let mut state = self.state();
        state.deployed_mut(target, digest).instances.clear();
        state.settle(target, digest);
    }

    /// What else was ever deployed in `target`.
    pub(crate) fn others(&self, target: &Target, digest: Digest) -> Vec<Digest> {
        let state = self.state();
        let all = state.deployments.get(target).into_iter().flat_map(BTreeMap::keys);
        all.filter(|other| **other != digest).copied().collect()
    }

    /// Puts shares into effect as they are.
    pub(crate) fn force_route(&self, target: &Target, weights: Vec<Weight>, keep_counts: bool) {
        let mut state = self.state();
        let route = state.routes.entry(target.clone()).or_default();
        route.weights = weights;
        route.credit.clear();
        if !keep_counts {
            route.served.clear();
        }
    }

    /// Puts rules into effect as they are, and leaves shares as they are.
    pub(crate) fn force_rules(&self, target: &Target, rules: Option<TrafficRules>) {
        self.state().routes.entry(target.clone()).or_default().rules = rules;
    }

    /// Lets requests go wrong from now on.
    pub(crate) fn bend(&self, bent: Bent) {
        self.state().bent = Some(bent);
    }
}

impl State {
    /// Who gets one request, and what its client hears.
    fn ask(&mut self, target: &Target, ask: &Ask) -> Option<(Place, Heard)> {
        let Self { routes, arrived, hurt, bent, .. } = self;
        let asked = routes.get_mut(target)?.asked(ask, *bent)?;
        for place in std::iter::once(&asked.by).chain(&asked.copied) {
            *arrived.entry((target.clone(), place.clone())).or_default() += 1;
        }
        let silent = |place: &Place| hurt.contains(&place.0);
        let waits = *bent == Some(Bent::WaitsForCopies) && asked.copied.iter().any(silent);
        (!waits && !silent(&asked.by)).then_some((asked.by, asked.heard))
    }

    /// Where requests to a target are under way; one for each request.
    pub(super) fn flying(&self, target: &Target) -> impl Iterator<Item = &Place> {
        self.held.iter().filter(move |(to, ..)| to == target).map(|(_, place, _)| place)
    }

    pub(super) fn knows(&self, target: &Target) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.contains(target))
    }

    pub(super) fn check_target(
        &self,
        operation: &'static str,
        target: &Target,
    ) -> Result<(), ProviderError> {
        if self.knows(target) {
            return Ok(());
        }
        Err(ProviderError::new(ErrorKind::NotFound, operation, "there is no such target")
            .with_context("target", target))
    }

    /// The content under `digest`, if it is there and matches.
    pub(super) fn verified(
        &self,
        operation: &'static str,
        digest: Digest,
    ) -> Result<&[u8], ProviderError> {
        let fail = |kind, text: &str| {
            Err(ProviderError::new(kind, operation, text).with_context("digest", digest))
        };
        match self.content.get(&digest) {
            None => fail(ErrorKind::NotFound, "there is no such artifact"),
            Some(bytes) if Digest::of(bytes) != digest => {
                fail(ErrorKind::Corrupt, "the content does not match its digest")
            }
            Some(bytes) => Ok(bytes),
        }
    }

    pub(super) fn deployed(&self, target: &Target, digest: Digest) -> Option<&Deployed> {
        self.deployments.get(target)?.get(&digest)
    }

    pub(super) fn deployed_mut(&mut self, target: &Target, digest: Digest) -> &mut Deployed {
        self.deployments.entry(target.clone()).or_default().entry(digest).or_default()
    }

    /// Starts or stops instances until as many run as are wished.
    pub(super) fn settle(&mut self, target: &Target, digest: Digest) {
        let mut started = self.started;
        let deployed = self.deployed_mut(target, digest);
        let wished = deployed.desired as usize;
        while deployed.instances.len() > wished {
            deployed.instances.pop_last();
        }
        while deployed.instances.len() < wished {
            started += 1;
            deployed.instances.insert(format!("{}-{started:06}", target.service));
        }
        self.started = started;
    }
}
