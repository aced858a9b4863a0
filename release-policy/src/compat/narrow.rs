//! Which versions can be at all, before anything is searched: those that get along with some version of every other service that is
//! there (arc consistency). Mostly that leaves what is there, and for the rest the newest is right.

use std::collections::VecDeque;

use super::Catalogue;
use super::fits::Set;

/// How many versions are looked at, at the most. What is left then may be too much, which a search finds out.
const MOST_LOOKS: usize = 20_000_000;

/// A service that is there, or is asked for.
struct Here {
    service: usize,
    allowed: Vec<bool>,
    /// The pairs that it is part of.
    pairs: Vec<usize>,
}

/// A service that needs another one in some of its versions.
struct Pair {
    who: usize,
    on: usize,
}

struct Net<'a> {
    catalogue: &'a Catalogue,
    here: Vec<Here>,
    pairs: Vec<Pair>,
    looks: usize,
    room: Room,
}

/// What the look at a pair needs for a while, kept from one to the next.
#[derive(Default)]
struct Room {
    /// How many of the versions that are needed are allowed before each, so that a stretch is looked at in one step.
    sums: Vec<usize>,
    /// How many more versions of who needs do with each than with the one before.
    served: Vec<isize>,
    kept_who: Vec<bool>,
    kept_on: Vec<bool>,
}

/// Of each service that is there or asked for, by number and in the order of these, the versions that can be, of those that may be.
pub(super) fn narrow<'a>(
    catalogue: &Catalogue,
    may: impl Iterator<Item = (usize, &'a Set)>,
) -> Vec<Set> {
    let here = may.map(|(service, may)| {
        let count = catalogue.service(service).map_or(0, |one| one.versions.len());
        let mut allowed = vec![false; count];
        for (from, to) in may.stretches() {
            if let Some(some) = allowed.get_mut(from..to.min(count)) {
                some.fill(true);
            }
        }
        Here { service, allowed, pairs: Vec::new() }
    });
    let here = here.collect();
    let mut net = Net { catalogue, here, pairs: Vec::new(), looks: 0, room: Room::default() };
    for who in 0..net.here.len() {
        net.pair(who);
    }
    net.settle();
    net.here.into_iter().map(|here| Set::of_those(here.allowed)).collect()
}

impl Net<'_> {
    /// Adds the pairs of a service and what it needs. What is not there yet is added in a version that fits, and is no part of a pair.
    fn pair(&mut self, who: usize) {
        let known = self.here.get(who).and_then(|here| self.catalogue.service(here.service));
        let needs = known.into_iter().flat_map(|one| &one.versions).flat_map(|one| &one.needs);
        let mut needed: Vec<usize> = needs.map(|need| need.on).collect();
        needed.sort_unstable();
        needed.dedup();
        for on in needed {
            let Ok(on) = self.here.binary_search_by_key(&on, |here| here.service) else { continue };
            for side in [who, on] {
                if let Some(here) = self.here.get_mut(side) {
                    here.pairs.push(self.pairs.len());
                }
            }
            self.pairs.push(Pair { who, on });
        }
    }

    /// Takes out versions until each that is left gets along with one of every other service.
    fn settle(&mut self) {
        let mut queue: VecDeque<usize> = (0..self.pairs.len()).collect();
        let mut waits = vec![true; self.pairs.len()];
        while let Some(number) = queue.pop_front().filter(|_| self.looks < MOST_LOOKS) {
            if let Some(waits) = waits.get_mut(number) {
                *waits = false;
            }
            for changed in self.revise(number).into_iter().flatten() {
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
    fn revise(&mut self, number: usize) -> [Option<usize>; 2] {
        let Some(&Pair { who: one, on: other }) = self.pairs.get(number) else { return [None; 2] };
        let (Some(who), Some(on)) = (self.here.get(one), self.here.get(other)) else {
            return [None; 2];
        };
        self.looks += who.allowed.len() + on.allowed.len();
        let Room { sums, served, kept_who, kept_on } = &mut self.room;
        sums.clear();
        sums.push(0_usize);
        sums.extend(on.allowed.iter().scan(0, |sum, allowed| {
            *sum += usize::from(*allowed);
            Some(*sum)
        }));
        let some = |(from, to): (usize, usize)| sums.get(from) < sums.get(to);
        served.clear();
        served.resize(on.allowed.len() + 1, 0);
        let mut keep = |(from, to): (usize, usize)| {
            for (at, by) in [(from, 1), (to, -1)] {
                if let Some(count) = served.get_mut(at) {
                    *count += by;
                }
            }
        };
        kept_who.clear();
        kept_who.extend(who.allowed.iter().enumerate().map(|(version, allowed)| {
            if !*allowed {
                return false;
            }
            let needs = self.catalogue.needs_of(who.service, version);
            let Ok(nth) = needs.binary_search_by_key(&on.service, |need| need.on) else {
                keep((0, on.allowed.len()));
                return true;
            };
            let Some(need) = needs.get(nth) else { return true };
            if !need.fits.stretches().any(some) {
                return false;
            }
            need.fits.stretches().for_each(&mut keep);
            true
        }));
        kept_on.clear();
        kept_on.extend(on.allowed.iter().zip(&*served).scan(0, |sum, (allowed, more)| {
            *sum += more;
            Some(*allowed && *sum > 0)
        }));
        [(one, kept_who), (other, kept_on)].map(|(side, kept)| {
            let here = self.here.get_mut(side).filter(|here| here.allowed != *kept)?;
            here.allowed.clone_from(kept);
            Some(side)
        })
    }
}
