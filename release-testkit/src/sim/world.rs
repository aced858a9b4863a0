//! The simulated world: what runs where, who is served by it, and what was done under which key.

use std::collections::{BTreeMap, BTreeSet};

use release_core::analysis::example;
use release_core::flags::{FlagKey, FlagReading, FlagState};
use release_core::model::{Digest, EnvironmentId, Target, TrafficRules};
use release_core::plan::{Action, Deployment, FlagStep, Weight};
use release_core::port::{Evidence, Observed};
use release_core::run::RunState;
use release_core::time::Timestamp;

use super::fakes::{Asking, Fakes};

/// What runs in one target, and how its traffic is distributed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Instances by the digest of what they run.
    pub running: BTreeMap<Digest, u32>,
    /// The shares in effect.
    pub weights: Vec<Weight>,
    /// What holds beside the shares.
    pub rules: Option<Box<TrafficRules>>,
}

/// What an operation changes: instances of one artifact in a target, its traffic, or something of
/// which only the key is known. A newer operation on the same takes the place of one still on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Instances(Target, Digest),
    Traffic(Target),
    Flag(EnvironmentId, FlagKey),
    Key(String),
    /// What an operation of a fake changes, in words.
    Fake(String),
}

/// How a version that is bad shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badness {
    /// Its instances never become ready.
    NeverReady,
    /// Its measurements are beyond every limit.
    Failing,
}

/// The world.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) places: BTreeMap<Target, Place>,
    /// How often each key was acted on, of actions that are not states to bring about.
    pub(super) done: BTreeMap<String, u32>,
    pub(super) bad: Vec<(Digest, Badness)>,
    /// How flags stand that were set, and how often they changed; the others are off.
    pub(super) flags: BTreeMap<(EnvironmentId, FlagKey), (FlagState, u64)>,
    /// What custom steps act on that name an operation; none, where they only count.
    pub(super) fakes: Option<Fakes>,
    /// For each resource, the newest operation that was accepted.
    newest: BTreeMap<Resource, u64>,
    /// Operations that were accepted and have not taken effect, by resource.
    on_their_way: BTreeSet<(Resource, u64)>,
}

impl World {
    /// What `action` changes, if it changes anything.
    fn resource(action: &Action, key: &str) -> Option<Resource> {
        match action {
            Action::Scale { deployment, .. } => {
                let digest = deployment.artifact.digest();
                Some(Resource::Instances(deployment.target.clone(), digest))
            }
            Action::Route { target, .. } => Some(Resource::Traffic(target.clone())),
            Action::Flag(flag) if flag.mutates() => {
                Some(Resource::Flag(flag.environment.clone(), flag.flag.clone()))
            }
            Action::Custom { .. } | Action::Notify { .. } => Some(Resource::Key(key.to_owned())),
            _ => None,
        }
    }

    /// What a step of a run that stands like this asks of a fake, if there are fakes.
    pub(super) fn asking(&self, action: &Action, state: &RunState) -> Option<Asking> {
        self.fakes.as_ref().and_then(|_| Asking::of(action, state))
    }

    /// What an operation changes that asks this of a fake, or is none of a fake's.
    pub(super) fn subject(asking: Option<&Asking>, action: &Action, key: &str) -> Option<Resource> {
        match asking {
            Some(asking) => Some(Resource::Fake(asking.subject(key))),
            None => Self::resource(action, key),
        }
    }

    /// An operation is accepted: it will take effect unless a newer one does.
    pub(super) fn accept(&mut self, resource: Resource, operation: u64) {
        self.newest.insert(resource.clone(), operation);
        self.on_their_way.insert((resource, operation));
    }

    /// It will not take effect.
    pub(super) fn forget(&mut self, resource: Resource, operation: u64) {
        self.on_their_way.remove(&(resource, operation));
    }

    /// Whether an operation on the same may still take effect.
    pub(super) fn pending(&self, resource: &Resource) -> bool {
        let newest = self.newest.get(resource).copied();
        newest.is_some_and(|newest| self.on_their_way.contains(&(resource.clone(), newest)))
    }

    /// An accepted operation is no more on its way; whether no newer one took its place.
    pub(super) fn arrives(&mut self, resource: Resource, operation: u64) -> bool {
        let newest = self.newest.get(&resource).copied();
        let replaced = newest.is_some_and(|newest| newest > operation);
        let counts = matches!(resource, Resource::Key(_));
        self.on_their_way.remove(&(resource, operation));
        counts || !replaced
    }

    /// An accepted operation takes effect, unless a newer one took its place. `once`: what was done
    /// under its key is not done again.
    pub(super) fn apply(
        &mut self,
        action: &Action,
        key: &str,
        (resource, operation): (Resource, u64),
        once: bool,
    ) -> bool {
        if !self.arrives(resource, operation) {
            return false;
        }
        match action {
            Action::Scale { deployment, replicas, .. } => self.scale(deployment, *replicas),
            Action::Route { target, weights, rules } => {
                let place = self.places.entry(target.clone()).or_default();
                place.weights.clone_from(weights);
                place.rules.clone_from(rules);
            }
            Action::Flag(flag) => {
                let Some(state) = flag.wanted() else { return false };
                let at = (flag.environment.clone(), flag.flag.clone());
                let is = self.flags.entry(at).or_default();
                *is = (state, is.1 + 1);
            }
            Action::Custom { .. } | Action::Notify { .. } => {
                let count = self.done.entry(key.to_owned()).or_insert(0);
                if !once || *count == 0 {
                    *count += 1;
                }
            }
            _ => return false,
        }
        true
    }

    /// Somebody sees to it that traffic is distributed again as a step looks for it.
    pub(super) fn put_right(&mut self, action: &Action) {
        let Action::Confirm { target, weights, rules } = action else { return };
        let place = self.places.entry(target.clone()).or_default();
        place.weights.clone_from(weights);
        place.rules.clone_from(rules);
    }

    pub(super) fn scale(&mut self, deployment: &Deployment, replicas: u32) {
        let place = self.places.entry(deployment.target.clone()).or_default();
        let digest = deployment.artifact.digest();
        if replicas == 0 {
            place.running.remove(&digest);
        } else {
            place.running.insert(digest, replicas);
        }
    }

    fn running(&self, deployment: &Deployment) -> u32 {
        let place = self.places.get(&deployment.target);
        let running = place.and_then(|place| place.running.get(&deployment.artifact.digest()));
        running.copied().unwrap_or(0)
    }

    fn is(&self, digest: Digest, how: Badness) -> bool {
        self.bad.contains(&(digest, how))
    }

    /// What a truthful provider says of `action` now, which was asked `looks` times before.
    pub(super) fn evidence(&self, action: &Action, looks: u32, now: Timestamp) -> Evidence {
        match action {
            Action::VerifyArtifact { artifact } => {
                Evidence::Artifact { digest: artifact.digest(), bytes: 1_000 }
            }
            Action::Scale { deployment, .. } => Evidence::Instances {
                target: deployment.target.clone(),
                digest: deployment.artifact.digest(),
                running: self.running(deployment),
            },
            Action::Probe { deployment, .. } => {
                let digest = deployment.artifact.digest();
                let running = self.running(deployment);
                let ready = if self.is(digest, Badness::NeverReady) { 0 } else { running };
                let target = deployment.target.clone();
                let (unready, observed_at) = (Vec::new(), Some(now));
                Evidence::Health { target, digest, ready, unready, observed_at }
            }
            Action::Route { target, .. } | Action::Confirm { target, .. } => {
                let place = self.places.get(target);
                let weights = place.map(|place| place.weights.clone()).unwrap_or_default();
                let rules = place.and_then(|place| place.rules.clone());
                Evidence::Weights { target: target.clone(), weights, served: Vec::new(), rules }
            }
            Action::Analyze { deployment, .. } => {
                let good = !self.is(deployment.artifact.digest(), Badness::Failing);
                example(action, looks, now, good)
            }
            Action::Flag(step) => Evidence::Flag(self.reading(step)),
            _ => Evidence::Done,
        }
    }

    fn reading(&self, step: &FlagStep) -> FlagReading {
        let (environment, flag) = (step.environment.clone(), step.flag.clone());
        let is = self.flags.get(&(environment.clone(), flag.clone())).copied();
        let (state, revision) = is.unwrap_or_default();
        FlagReading { environment, flag, state, revision, killed: None }
    }

    /// What a look finds.
    pub(super) fn look(&self, action: &Action, key: &str) -> Observed {
        // A look at an analysis is never asked for: reading is done anew.
        let evidence = self.evidence(action, 0, Timestamp::default());
        let in_place = match (action, &evidence) {
            (Action::Scale { replicas, .. }, Evidence::Instances { running, .. }) => {
                running == replicas
            }
            (Action::Probe { min_ready, .. }, Evidence::Health { ready, .. }) => ready >= min_ready,
            (
                Action::Route { weights: wanted, rules: asked, .. },
                Evidence::Weights { weights, rules, .. },
            ) => Weight::same_shares(wanted, weights) && asked == rules,
            (Action::Flag(flag), Evidence::Flag(reading)) => flag.wanted() == Some(reading.state),
            (Action::Custom { .. } | Action::Notify { .. }, _) => self.done.contains_key(key),
            _ => true,
        };
        if in_place { Observed::Applied(evidence) } else { Observed::NotApplied }
    }
}
