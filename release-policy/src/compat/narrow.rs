//! Which versions can be at all, before anything is searched: those that get along with some version of every other service that is
//! there (arc consistency). Mostly that leaves what is there, and for the rest the newest is right.

use std::collections::{BTreeMap, VecDeque};

use release_core::model::ServiceId;
use semver::{Version, VersionReq};

use super::{Catalogue, Versions};

/// A service that is there, or is asked for.
struct Here<'a> {
    versions: Vec<&'a Version>,
    allowed: Vec<bool>,
    /// The pairs that it is part of.
    pairs: Vec<usize>,
}

/// A service that needs another one in some of its versions.
struct Pair {
    who: usize,
    on: usize,
    /// By version of `who`: which versions of `on` do; none where it does not need it.
    fits: Vec<Option<Vec<bool>>>,
}

struct Net<'a> {
    here: Vec<Here<'a>>,
    pairs: Vec<Pair>,
}

/// Of each service that is there or asked for, the versions that can be, the oldest first.
pub(super) fn narrow<'a>(
    catalogue: &'a Catalogue,
    live: &'a Versions,
    wish: &'a BTreeMap<ServiceId, VersionReq>,
) -> BTreeMap<&'a ServiceId, Vec<&'a Version>> {
    let names: BTreeMap<&ServiceId, Option<&VersionReq>> = live
        .keys()
        .map(|id| (id, None))
        .chain(wish.iter().map(|(id, requirement)| (id, Some(requirement))))
        .collect();
    let numbers: BTreeMap<&ServiceId, usize> =
        names.keys().enumerate().map(|(number, id)| (*id, number)).collect();
    let mut net = Net { here: Vec::with_capacity(names.len()), pairs: Vec::new() };
    for (id, requirement) in &names {
        let versions: Vec<&Version> = catalogue.versions(id).collect();
        let fits = |version: &&Version| requirement.is_none_or(|one| one.matches(version));
        let allowed = versions.iter().map(fits).collect();
        net.here.push(Here { versions, allowed, pairs: Vec::new() });
    }
    for (id, who) in &numbers {
        net.add(catalogue, id, *who, &numbers);
    }
    net.settle();
    let left = names.into_keys().zip(net.here).map(|(id, here)| {
        let all = here.versions.into_iter().zip(here.allowed);
        (id, all.filter(|(_, allowed)| *allowed).map(|(version, _)| version).collect())
    });
    left.collect()
}

impl Net<'_> {
    /// Adds what a service needs.
    fn add(
        &mut self,
        catalogue: &Catalogue,
        id: &ServiceId,
        who: usize,
        numbers: &BTreeMap<&ServiceId, usize>,
    ) {
        let Some(own) = self.here.get(who) else { return };
        let mut found: BTreeMap<usize, Vec<Option<Vec<bool>>>> = BTreeMap::new();
        for (nth, version) in own.versions.iter().enumerate() {
            for (on, requirement) in catalogue.needs(id, version).into_iter().flatten() {
                // What is not there yet is added in a version that fits.
                let Some(other) = numbers.get(on).and_then(|n| Some((*n, self.here.get(*n)?)))
                else {
                    continue;
                };
                let fits = other.1.versions.iter().map(|one| requirement.matches(one)).collect();
                let slots = found.entry(other.0).or_insert_with(|| vec![None; own.versions.len()]);
                if let Some(slot) = slots.get_mut(nth) {
                    *slot = Some(fits);
                }
            }
        }
        for (on, fits) in found {
            for side in [who, on] {
                if let Some(here) = self.here.get_mut(side) {
                    here.pairs.push(self.pairs.len());
                }
            }
            self.pairs.push(Pair { who, on, fits });
        }
    }

    /// Takes out versions until each that is left gets along with one of every other service.
    fn settle(&mut self) {
        let mut queue: VecDeque<usize> = (0..self.pairs.len()).collect();
        let mut waits = vec![true; self.pairs.len()];
        while let Some(number) = queue.pop_front() {
            if let Some(waits) = waits.get_mut(number) {
                *waits = false;
            }
            for changed in self.revise(number) {
                for pair in self.here.get(changed).map_or(&[][..], |here| &here.pairs) {
                    if let Some(waits) = waits.get_mut(*pair).filter(|waits| !**waits) {
                        *waits = true;
                        queue.push_back(*pair);
                    }
                }
            }
        }
    }

    /// Takes out what one pair does not allow, and returns of which services.
    fn revise(&mut self, number: usize) -> Vec<usize> {
        let Some(pair) = self.pairs.get(number) else { return Vec::new() };
        let (Some(who), Some(on)) = (self.here.get(pair.who), self.here.get(pair.on)) else {
            return Vec::new();
        };
        let some =
            |fits: &[bool]| fits.iter().zip(&on.allowed).any(|(fits, there)| *fits && *there);
        let kept_who: Vec<bool> = who
            .allowed
            .iter()
            .zip(&pair.fits)
            .map(|(allowed, fits)| *allowed && fits.as_ref().is_none_or(|fits| some(fits)))
            .collect();
        let mut served = vec![false; on.allowed.len()];
        for (_, fits) in kept_who.iter().zip(&pair.fits).filter(|(kept, _)| **kept) {
            match fits {
                None => served.fill(true),
                Some(fits) => {
                    for (served, fits) in served.iter_mut().zip(fits) {
                        *served |= *fits;
                    }
                }
            }
        }
        let kept_on: Vec<bool> =
            on.allowed.iter().zip(served).map(|(allowed, served)| *allowed && served).collect();
        let (one, other) = (pair.who, pair.on);
        let mut changed = Vec::new();
        for (side, kept) in [(one, kept_who), (other, kept_on)] {
            if let Some(here) = self.here.get_mut(side).filter(|here| here.allowed != kept) {
                here.allowed = kept;
                changed.push(side);
            }
        }
        changed
    }
}
