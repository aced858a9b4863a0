//! What is really there, in each target.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use release_core::analysis;
use release_core::ids::TrackId;
use release_core::model::{Definition, Digest, Target, TrafficRules};
use release_core::plan::{Action, Weight};
use release_core::port::Evidence;
use release_core::time::Timestamp;
use semver::Version;

use super::breach::Breach;

/// How many of `replicas` instances a share in percent needs, where so many may be missing.
fn needed(replicas: u32, share: u8, missing: u32) -> u32 {
    let needed = u64::from(replicas) * u64::from(share) / 100;
    u32::try_from(needed).unwrap_or(u32::MAX).saturating_sub(missing)
}

/// What is really there, in each target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct World(BTreeMap<Target, Place>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Place {
    /// How many instances a full set is.
    replicas: u32,
    /// The version that was there before.
    old: Option<Digest>,
    /// Whether the instances of the version that was there before are dead: they run, and none is ready.
    dead: bool,
    running: BTreeMap<Digest, u32>,
    /// How many instances somebody has just seen to be ready.
    ready: BTreeMap<Digest, u32>,
    shares: BTreeMap<(Digest, Option<TrackId>), u8>,
    rules: Option<Rules>,
}

/// Rules, in an order of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules(TrafficRules);

impl Ord for Rules {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let text = |rules: &Self| format!("{:?}", rules.0);
        text(self).cmp(&text(other))
    }
}

impl PartialOrd for Rules {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (target, place) in &self.0 {
            write!(f, "[{target}:")?;
            for (digest, running) in &place.running {
                let dead = if place.is_dead(*digest) { " dead" } else { "" };
                write!(f, " {running}×{}{dead}", digest.short())?;
            }
            for ((digest, track), share) in &place.shares {
                write!(f, " {share}%→{}", digest.short())?;
                track.iter().try_for_each(|track| write!(f, "@{track}"))?;
            }
            place.rules.iter().try_for_each(|rules| write!(f, "{}", rules.0))?;
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl Place {
    fn is_dead(&self, digest: Digest) -> bool {
        self.dead && self.old == Some(digest)
    }

    /// Who gets more of the traffic by a change of it, and what share: by shares, by headers, or as copies.
    fn gaining(
        &self,
        weights: &[Weight],
        rules: Option<&TrafficRules>,
    ) -> Vec<(Digest, Option<TrackId>, u8)> {
        let before: BTreeSet<_> = self.rules.iter().flat_map(|rules| rules.0.targets()).collect();
        let told: BTreeSet<_> = rules.into_iter().flat_map(TrafficRules::targets).collect();
        let told = told.into_iter().filter(|to| !before.contains(to));
        let shares = weights.iter().filter_map(|weight| {
            let key = (weight.digest, weight.track.clone());
            let more = weight.percent > self.shares.get(&key).copied().unwrap_or(0);
            more.then_some((weight.digest, weight.track.clone(), weight.percent))
        });
        shares.chain(told.map(|to| (to, None, 0))).collect()
    }
}

/// How many instances there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceiling {
    /// As many more than a service has.
    Surge(u32),
    /// Those of one version.
    Apart,
}

impl World {
    /// The old versions run, and have all traffic.
    pub(super) fn before(definition: &Definition) -> Self {
        let mut places = BTreeMap::new();
        for stage in &definition.stages {
            let environment =
                definition.environments.iter().find(|found| found.id == stage.environment);
            for region in environment.into_iter().flat_map(|found| &found.regions) {
                for service in &definition.services {
                    let (id, replicas) = (service.id.clone(), service.replicas);
                    let target = Target::new(stage.environment.clone(), region.clone(), id);
                    let mut place = Place { replicas, ..Place::default() };
                    if let Some(old) = definition.release.previous.get(&service.id) {
                        let digest = old.artifact.digest();
                        place.old = Some(digest);
                        place.running.insert(digest, replicas);
                        place.shares.insert((digest, None), 100);
                    }
                    places.insert(target, place);
                }
            }
        }
        Self(places)
    }

    pub(super) fn apply(&mut self, action: &Action) {
        match action {
            Action::Scale { deployment, replicas, .. } => {
                let place = self.0.entry(deployment.target.clone()).or_default();
                let digest = deployment.artifact.digest();
                let before = place.running.insert(digest, *replicas).unwrap_or(0);
                place.running.retain(|_, running| *running > 0);
                // What is started anew is well.
                place.dead &= place.old.is_none_or(|old| place.running.contains_key(&old));
                // Those that are stopped may be just those that are ready.
                let stopped = before.saturating_sub(*replicas);
                place
                    .ready
                    .entry(digest)
                    .and_modify(|ready| *ready = ready.saturating_sub(stopped));
                place.ready.retain(|_, ready| *ready > 0);
                // A track is there as long as somebody is on it.
                self.0.retain(|target, place| target.track.is_none() || !place.running.is_empty());
            }
            Action::Route { target, weights, rules } => {
                let place = self.0.entry(target.clone()).or_default();
                let served = weights.iter().filter(|weight| weight.percent > 0);
                place.shares = served.map(|w| ((w.digest, w.track.clone()), w.percent)).collect();
                place.rules = rules.as_deref().cloned().map(Rules);
            }
            _ => {}
        }
    }

    /// Somebody looks at what a probe asks for: of a new version, nobody has seen more than that; those of the version from
    /// before live or die together.
    pub(super) fn look(&mut self, action: &Action) {
        let Action::Probe { deployment, min_ready } = action else { return };
        let digest = deployment.artifact.digest();
        let Some(place) = self.0.get_mut(&deployment.target) else { return };
        if place.is_dead(digest) {
            place.ready.remove(&digest);
            return;
        }
        let running = place.running.get(&digest).copied().unwrap_or(0);
        let seen = if place.old == Some(digest) { running } else { running.min(*min_ready) };
        if seen > 0 {
            place.ready.entry(digest).and_modify(|ready| *ready = seen.max(*ready)).or_insert(seen);
        }
    }

    /// Time passes, in which any version may have died.
    pub(super) fn age(&mut self) {
        for place in self.0.values_mut() {
            place.ready.clear();
        }
    }

    /// The instances of the versions that were there before die, or are healed; whether anything changed.
    pub(super) fn dies(&mut self, dead: bool) -> bool {
        let before = self.clone();
        for place in self.0.values_mut() {
            let Some(old) = place.old.filter(|old| place.running.contains_key(old)) else {
                continue;
            };
            if place.dead == dead {
                continue;
            }
            place.dead = dead;
            // Whoever mends it sees that it is ready.
            if let Some(running) = place.running.get(&old).filter(|_| !dead) {
                place.ready.insert(old, *running);
            }
        }
        *self != before
    }

    /// Whether a change of traffic brings more of it to a version of which too few instances were just seen to be ready.
    pub(super) fn unready(&self, action: &Action, missing: u32) -> Option<Breach> {
        let Action::Route { target, weights, rules } = action else { return None };
        let nothing = Place::default();
        let place = self.0.get(target).unwrap_or(&nothing);
        let gaining = place.gaining(weights, rules.as_deref());
        gaining.into_iter().find_map(|(digest, track, share)| {
            let at = Target { track, ..target.clone() };
            let ready = self.0.get(&at).and_then(|place| place.ready.get(&digest)).copied();
            let (ready, needed) =
                (ready.unwrap_or(0), needed(place.replicas, share, missing).max(1));
            (ready < needed).then(|| Breach::Unready {
                action: action.to_string(),
                version: digest.short(),
                ready,
                needed,
                world: self.to_string(),
            })
        })
    }

    /// Whether a change of traffic brings more of it to instances that are dead, whoever saw them ready before they died.
    pub(super) fn revived(&self, action: &Action) -> Option<Breach> {
        let Action::Route { target, weights, rules } = action else { return None };
        let place = self.0.get(target)?;
        let gaining = place.gaining(weights, rules.as_deref());
        let dead =
            gaining.iter().any(|(digest, track, _)| track.is_none() && place.is_dead(*digest));
        dead.then(|| self.dead(action.to_string(), target))
    }

    /// Whether a run ends with traffic on instances that are dead. Whoever died with all of it and has all of it was left alone: that
    /// is no success, and no fault of the run either.
    pub(super) fn left_dead(&self, outcome: &'static str, succeeded: bool) -> Option<Breach> {
        let (target, _) = self.0.iter().find(|(_, place)| {
            let mut shares = place.shares.iter();
            shares.any(|((digest, _), share)| place.is_dead(*digest) && (succeeded || *share < 100))
        })?;
        Some(self.dead(outcome.to_owned(), target))
    }

    fn dead(&self, what: String, target: &Target) -> Breach {
        Breach::Dead { what, target: target.clone(), world: self.to_string() }
    }

    fn running(&self, target: &Target, digest: Digest) -> u32 {
        self.0.get(target).and_then(|place| place.running.get(&digest)).copied().unwrap_or(0)
    }

    /// What an honest provider sees: not what was asked for, but what is.
    pub(super) fn observe(
        &self,
        action: &Action,
        looks: u32,
        now: Timestamp,
        well: bool,
    ) -> Evidence {
        match action {
            Action::VerifyArtifact { artifact } => {
                Evidence::Artifact { digest: artifact.digest(), bytes: 1 }
            }
            Action::Scale { deployment, .. } => {
                let (target, digest) = (deployment.target.clone(), deployment.artifact.digest());
                let running = self.running(&target, digest);
                Evidence::Instances { target, digest, running }
            }
            Action::Probe { deployment, .. } => {
                let (target, digest) = (deployment.target.clone(), deployment.artifact.digest());
                let dead = self.0.get(&target).is_some_and(|place| place.is_dead(digest));
                let ready = if dead { 0 } else { self.running(&target, digest) };
                let (unready, observed_at) = (Vec::new(), Some(now));
                Evidence::Health { target, digest, ready, unready, observed_at }
            }
            Action::Route { target, .. } | Action::Confirm { target, .. } => {
                let place = self.0.get(target).cloned().unwrap_or_default();
                let weight = |((digest, track), percent): ((Digest, Option<TrackId>), u8)| {
                    let weight = Weight::new(digest, Version::new(0, 0, 0), percent);
                    Weight { track, ..weight }
                };
                let weights = place.shares.into_iter().map(weight).collect();
                let rules = place.rules.map(|rules| Box::new(rules.0));
                Evidence::Weights { target: target.clone(), weights, served: Vec::new(), rules }
            }
            Action::Analyze { .. } => analysis::example(action, looks, now, well),
            _ => Evidence::Done,
        }
    }

    pub(super) fn is_as(&self, action: &Action) -> bool {
        let mut wanted = self.clone();
        wanted.apply(action);
        wanted == *self
    }

    /// Where there are more instances than there may be.
    pub(super) fn crowd(&self, ceiling: Ceiling) -> Option<Breach> {
        self.0.iter().find_map(|(target, place)| {
            let (target, world) = (target.clone(), self.to_string());
            match ceiling {
                Ceiling::Apart => {
                    (place.running.len() > 1).then_some(Breach::Together { target, world })
                }
                Ceiling::Surge(more) => {
                    let running: u32 = place.running.values().sum();
                    let most = place.replicas.saturating_add(more);
                    (running > most).then_some(Breach::TooMany { target, running, most, world })
                }
            }
        })
    }

    /// What does not hold here and now.
    pub(super) fn breach(&self, outage: bool, missing: u32) -> Option<Breach> {
        self.0.iter().find_map(|(target, place)| {
            let sum: u32 = place.shares.values().map(|share| u32::from(*share)).sum();
            if sum != 100 && !place.shares.is_empty() {
                return Some(Breach::NotAHundred { target: target.clone(), sum });
            }
            if outage {
                return None;
            }
            let on = |track: &Option<TrackId>| Target { track: track.clone(), ..target.clone() };
            let told = place.rules.iter().flat_map(|rules| rules.0.targets());
            let served = place.shares.keys().map(|(digest, track)| (*digest, on(track)));
            let served: Vec<_> = served.chain(told.map(|digest| (digest, on(&None)))).collect();
            if served.iter().any(|(digest, at)| self.running(at, *digest) == 0) {
                let (target, world) = (target.clone(), self.to_string());
                return Some(Breach::NobodyServes { target, world });
            }
            self.too_few(target, place, missing)
        })
    }

    /// Whether there are fewer instances than the traffic needs: of each version what its share is of the service's, rounded
    /// down, and of all together the service's.
    fn too_few(&self, target: &Target, place: &Place, missing: u32) -> Option<Breach> {
        if place.shares.is_empty() {
            return None;
        }
        let few = |serving: u32, needed: u32| {
            let (target, world) = (target.clone(), self.to_string());
            (serving < needed).then_some(Breach::TooFew { target, serving, needed, world })
        };
        let mut all = 0;
        for ((digest, track), share) in &place.shares {
            let at = Target { track: track.clone(), ..target.clone() };
            let serving = self.running(&at, *digest);
            if let Some(breach) = few(serving, needed(place.replicas, *share, missing)) {
                return Some(breach);
            }
            all += serving;
        }
        few(all, place.replicas.saturating_sub(missing))
    }

    /// Whether the same runs and is served, whatever is known of it.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let known = |world: &Self| {
            let mut known = world.clone();
            for place in known.0.values_mut() {
                place.ready.clear();
                place.dead = false;
            }
            known
        };
        known(self) == known(other)
    }

    /// The same without instances of a new version that get no requests.
    pub(super) fn without_idle(&self) -> Self {
        let mut served = self.clone();
        for place in served.0.values_mut() {
            let (old, shares) = (place.old, &place.shares);
            let stays = |digest: &Digest| {
                old == Some(*digest) || shares.keys().any(|(served, _)| served == digest)
            };
            place.running.retain(|digest, _| stays(digest));
        }
        served
    }

    /// All traffic is on versions that run, all of them fully, and nothing else is left.
    pub(super) fn is_whole(&self) -> bool {
        self.0.iter().all(|(target, place)| {
            let full = |digest: &Digest| place.running.get(digest) == Some(&place.replicas);
            target.track.is_none()
                && place.rules.is_none()
                && place.shares.iter().all(|((digest, track), _)| track.is_none() && full(digest))
                && place.running.keys().all(|digest| place.shares.contains_key(&(*digest, None)))
                && (place.shares.values().map(|share| u32::from(*share)).sum::<u32>() == 100
                    || (place.shares.is_empty() && place.running.is_empty()))
        })
    }
}
