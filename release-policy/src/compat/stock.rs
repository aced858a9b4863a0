//! What an inventory has of a region, and what policies know of that until it is another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use release_core::model::{Digest, EnvironmentId, RegionId, ServiceId, Target};
use semver::Version;

use super::published::InForce;
use super::{Catalogue, Change, Fault, Unknown, Versions};
use crate::canonical::Canonical;

/// Of how many regions it is kept what is known of them.
const MOST_REGIONS: usize = 256;

/// What serves in a region, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stock {
    /// The version that counts, of each service ([`Inventory::deployed`](super::Inventory::deployed)).
    pub versions: Versions,
    /// What serves as well ([`Inventory::beside`](super::Inventory::beside)).
    pub beside: Vec<(ServiceId, Version)>,
}

/// A stock, with what follows from it and from a catalogue: found once for both.
pub(super) struct Known {
    pub(super) stock: Arc<Stock>,
    pub(super) facts: Digest,
    catalogue: Digest,
    /// The versions that count and of which nobody knows what they need, by service.
    unknown: Vec<Unknown>,
    /// The places of what serves beside these, by service; and of what of that the catalogue does not know.
    beside: BTreeMap<ServiceId, Vec<usize>>,
    blind: Vec<usize>,
}

/// What is known of regions, as it was when they were asked for last. It only spares finding it again: it is looked whether it still is so.
#[derive(Default)]
pub(super) struct Regions(Mutex<BTreeMap<(EnvironmentId, RegionId), Arc<Known>>>);

impl Regions {
    /// What follows from a stock where a target is, and from a catalogue. Where both are as they were, that costs next to nothing; where
    /// the stock is another one that says the same, time in proportion to it, and where it says something else, some times that.
    pub(super) fn known(&self, target: &Target, stock: Arc<Stock>, by: &InForce) -> Arc<Known> {
        let place = (target.environment.clone(), target.region.clone());
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
        let same = |known: &Known| {
            known.catalogue == by.digest
                && (Arc::ptr_eq(&known.stock, &stock) || known.stock == stock)
        };
        if let Some(known) = before.filter(|known| same(known)) {
            if Arc::ptr_eq(&known.stock, &stock) {
                return known;
            }
            // The next time it is known by its address.
            let known = Arc::new(known.of(stock));
            self.keep(place, &known);
            return known;
        }
        let known = Arc::new(Known::new(stock, by));
        self.keep(place, &known);
        known
    }

    fn keep(&self, place: (EnvironmentId, RegionId), known: &Arc<Known>) {
        let mut regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.len() >= MOST_REGIONS && !regions.contains_key(&place) {
            regions.pop_first();
        }
        regions.insert(place, Arc::clone(known));
    }
}

impl Known {
    fn new(stock: Arc<Stock>, by: &InForce) -> Self {
        let catalogue = &by.catalogue;
        let mut beside: BTreeMap<ServiceId, Vec<usize>> = BTreeMap::new();
        let mut blind = Vec::new();
        for (nth, (service, version)) in stock.beside.iter().enumerate() {
            beside.entry(service.clone()).or_default().push(nth);
            if !catalogue.knows(service, version) {
                blind.push(nth);
            }
        }
        let unknown = catalogue.unknown_of(&stock.versions).collect();
        let facts = facts(&stock.versions, &stock.beside);
        Self { facts, catalogue: by.digest, unknown, beside, blind, stock }
    }

    /// The same of a stock that says the same.
    fn of(&self, stock: Arc<Stock>) -> Self {
        Self {
            stock,
            facts: self.facts,
            catalogue: self.catalogue,
            unknown: self.unknown.clone(),
            beside: self.beside.clone(),
            blind: self.blind.clone(),
        }
    }

    /// What stands against a change where the versions that count are these.
    pub(super) fn against(&self, catalogue: &Catalogue, change: &Change) -> Vec<Fault> {
        catalogue.against_one(&self.stock.versions, change, || self.unknown.iter().cloned())
    }

    /// What stands between a change and what serves beside them. Only what needs the service, is needed by its new version, or may need
    /// anything since nobody knows it, can stand against it.
    pub(super) fn against_beside(&self, catalogue: &Catalogue, change: &Change) -> Vec<Fault> {
        let own = self.stock.versions.get(&change.service);
        if self.stock.beside.is_empty() || own == change.to.as_ref() {
            return Vec::new();
        }
        let related = catalogue.related(change);
        let mut places: Vec<usize> =
            related.into_iter().filter_map(|id| self.beside.get(id)).flatten().copied().collect();
        places.extend(&self.blind);
        places.sort_unstable();
        places.dedup();
        let others = places.into_iter().filter_map(|nth| self.stock.beside.get(nth));
        let others = others.filter(|(service, _)| *service != change.service);
        others.flat_map(|other| catalogue.beside(own, change, other)).collect()
    }
}

/// What tells a stock from others.
fn facts(live: &Versions, beside: &[(ServiceId, Version)]) -> Digest {
    let one = |all: Canonical, id: &ServiceId, version: &Version| {
        all.text(id.as_str()).text(&version.to_string())
    };
    let live = Canonical::new("release/deployed/1")
        .list(live.iter(), |all, (id, version)| one(all, id, version));
    if beside.is_empty() {
        return live.finish();
    }
    live.list(beside.iter(), |all, (id, version)| one(all, id, version)).finish()
}

#[cfg(test)]
mod tests {
    use super::super::{Offer, Published};
    use super::*;

    fn offer(service: &str, major: u64) -> Offer {
        Offer::new(service.parse().unwrap(), Version::new(major, 0, 0))
    }

    fn stock(shop: u64) -> Arc<Stock> {
        let versions = [("api", 2), ("shop", shop)]
            .map(|(id, major)| (id.parse().unwrap(), Version::new(major, 0, 0)));
        Arc::new(Stock { versions: versions.into(), beside: Vec::new() })
    }

    /// What was found of a stock is found once, and never said of another one, nor by another catalogue.
    #[test]
    fn what_is_known_of_a_region_is_kept_until_something_is_otherwise() {
        let catalogue =
            |offers: [Offer; 2]| Published::new(Catalogue::new(offers).unwrap()).in_force();
        let by = catalogue([offer("api", 2), offer("shop", 2)]);
        let target = |region: &str| {
            let [environment, service] = ["production", "api"];
            let (environment, region) = (environment.parse().unwrap(), region.parse().unwrap());
            Target::new(environment, region, service.parse().unwrap())
        };
        let (regions, two) = (Regions::default(), stock(2));
        let first = regions.known(&target("eu"), Arc::clone(&two), &by);
        let again = regions.known(&target("eu"), Arc::clone(&two), &by);
        assert!(Arc::ptr_eq(&first, &again) && first.unknown.is_empty());
        // Another one that says the same is known by its address from then on.
        let copy = stock(2);
        let same = regions.known(&target("eu"), Arc::clone(&copy), &by);
        assert_eq!(same.facts, first.facts);
        assert!(Arc::ptr_eq(&same, &regions.known(&target("eu"), copy, &by)));
        let other = regions.known(&target("eu"), stock(3), &by);
        assert_ne!(other.facts, first.facts);
        assert_eq!(other.unknown.len(), 1);
        // Another catalogue knows it.
        let more = catalogue([offer("api", 2), offer("shop", 3)]);
        let known = regions.known(&target("eu"), stock(3), &more);
        assert_eq!((known.facts, known.unknown.len()), (other.facts, 0));
        assert_eq!(regions.known(&target("us"), two, &by).facts, first.facts);
    }
}
