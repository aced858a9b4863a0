//! Who was seen to be ready, and whether that may have changed since.

use std::sync::Arc;

use super::{OLD_READY_AGAIN, READY_AGAIN, Site};
use crate::ids::IdError;
use crate::model::{Digest, Target, TrafficRules};
use crate::plan::{Action, Deployment, Step, Weight};

/// Instances of one version: those of a track, or the others.
struct Seen {
    deployment: Arc<Deployment>,
    /// How many run, as far as the steps say.
    running: Option<u32>,
    /// How many of them had to be ready when somebody last looked, less those that were stopped since.
    ready: Option<u32>,
    /// Whether time may have passed since then.
    stale: bool,
}

impl Seen {
    const fn of(deployment: Arc<Deployment>, running: Option<u32>) -> Self {
        Self { deployment, running, ready: None, stale: false }
    }

    fn digest(&self) -> Digest {
        self.deployment.artifact.digest()
    }

    /// The share that it has of these, which are those of `target`.
    fn share(&self, target: &Target, weights: &[Weight]) -> u8 {
        let own = &self.deployment.target;
        let here = own.environment == target.environment
            && own.region == target.region
            && own.service == target.service;
        let gets =
            |weight: &&Weight| here && weight.digest == self.digest() && weight.track == own.track;
        weights.iter().filter(gets).map(|weight| weight.percent).max().unwrap_or(0)
    }

    /// Whether headers or copies bring requests to it, whatever its share.
    fn is_told(&self, rules: Option<&TrafficRules>) -> bool {
        let digest = self.digest();
        let told = rules.is_some_and(|rules| rules.targets().any(|to| to == digest));
        told && self.deployment.target.track.is_none()
    }

    /// So many run from now on; those that are stopped may be just those that were ready.
    fn scaled(&mut self, replicas: u32) {
        let stopped = self.running.unwrap_or(replicas).saturating_sub(replicas);
        self.running = Some(replicas);
        self.ready = match self.ready {
            Some(ready) if replicas > 0 && stopped > 0 => {
                Some(ready.saturating_sub(stopped).max(1))
            }
            Some(ready) if replicas > 0 => Some(ready),
            _ => None,
        };
    }
}

/// What the steps of a rollout have seen so far of whoever gets traffic in its target.
pub(super) struct Looked {
    seen: Vec<Seen>,
    weights: Vec<Weight>,
    rules: Option<Box<TrafficRules>>,
}

impl Looked {
    /// Before the first step: the old version runs and has all of the traffic, and nobody has looked.
    pub(super) fn before(site: &Site<'_>) -> Self {
        let old = site.old_version().cloned();
        let seen = old.map(|old| Seen::of(old, Some(site.replicas())));
        Self { seen: seen.into_iter().collect(), weights: site.shares(0), rules: None }
    }

    /// Time passes, in which instances may die.
    pub(super) fn age(&mut self) {
        for seen in &mut self.seen {
            seen.stale = true;
        }
    }

    /// What a step does, or sees.
    pub(super) fn note(&mut self, action: &Action) {
        match action {
            Action::Scale { deployment, replicas, .. } => {
                self.change(deployment, |seen| seen.scaled(*replicas));
            }
            Action::Probe { deployment, min_ready } => self.change(deployment, |seen| {
                (seen.ready, seen.stale) = (Some(*min_ready), false);
            }),
            Action::Route { weights, rules, .. } => {
                self.weights.clone_from(weights);
                self.rules.clone_from(rules);
            }
            _ => {}
        }
    }

    fn change(&mut self, deployment: &Arc<Deployment>, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.deployment == *deployment) {
            return change(seen);
        }
        let mut seen = Seen::of(deployment.clone(), None);
        change(&mut seen);
        self.seen.push(seen);
    }

    /// The looks that have to be repeated before a change of shares, below `path`: of each that gets more by it and was looked at
    /// before time passed; and of the new version, where more get to any of its instances.
    pub(super) fn again(
        &self,
        site: &Site<'_>,
        path: &str,
        route: &Action,
        more: bool,
    ) -> Result<Vec<Step>, IdError> {
        let Action::Route { target, weights, rules } = route else { return Ok(Vec::new()) };
        let grows = |seen: &&Seen| {
            let is_new = seen.deployment == *site.new_version();
            let more_share = seen.share(target, weights) > seen.share(target, &self.weights);
            let was_told = seen.is_told(self.rules.as_deref());
            (more && is_new) || more_share || (seen.is_told(rules.as_deref()) && !was_told)
        };
        let outdated = self.seen.iter().filter(|seen| seen.stale).filter(grows);
        let looks = outdated.filter_map(|seen| {
            let (deployment, min_ready) = (seen.deployment.clone(), seen.ready?);
            let name = match &deployment.target.track {
                Some(track) => format!("{path}{track}/{READY_AGAIN}"),
                None if deployment == *site.new_version() => format!("{path}{READY_AGAIN}"),
                None => format!("{path}{OLD_READY_AGAIN}"),
            };
            Some(site.step(&name, Action::Probe { deployment, min_ready }))
        });
        looks.collect()
    }
}
