//! Shares as they stand in HAProxy's map: who is in which slot, and which of 100 numbers are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use release_core::model::Digest;
use release_core::plan::Weight;

use super::settings::HaproxyTarget;
use crate::routing::SET;
use crate::{ErrorKind, ProviderError};

const GENERATION: &str = "generation";
const SLOT: &str = "slot/";
const NUMBERS: u8 = 100;

/// What a map says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// Counts changes; 0 before the first.
    pub(super) generation: u64,
    /// Who is where. Those without a share lost it, and may not have finished their requests.
    pub(super) slots: BTreeMap<u16, Weight>,
}

impl Shares {
    /// The shares without those of nothing, in order.
    pub(super) fn weights(&self) -> Vec<Weight> {
        let mut weights: Vec<_> =
            self.slots.values().filter(|weight| weight.percent > 0).cloned().collect();
        weights.sort();
        weights
    }

    pub(super) fn slot_of(&self, digest: Digest) -> Option<u16> {
        self.slots.iter().find(|(_, weight)| weight.digest == digest).map(|(slot, _)| *slot)
    }

    /// Reads a map. `Corrupt` when it is not one that [`Shares::entries`] made.
    pub(super) fn read(
        operation: &'static str,
        entries: &BTreeMap<String, String>,
    ) -> Result<Self, ProviderError> {
        if entries.is_empty() {
            return Ok(Self::default());
        }
        let read = Self::slots_of(entries).filter(|read| read.entries() == *entries);
        read.ok_or_else(|| {
            let text =
                "the map of shares in HAProxy is not one that this router wrote; set shares again";
            ProviderError::new(ErrorKind::Corrupt, operation, text)
        })
    }

    fn slots_of(entries: &BTreeMap<String, String>) -> Option<Self> {
        let mut slots = BTreeMap::new();
        for (key, value) in entries {
            let Some(slot) = key.strip_prefix(SLOT) else { continue };
            let mut words = value.split(' ');
            let mut word = || words.next();
            let digest = word()?.parse().ok()?;
            let version = word()?.parse().ok()?;
            let percent = word()?.parse().ok()?;
            slots.insert(slot.parse().ok()?, Weight::new(digest, version, percent));
        }
        let sum: u32 = slots.values().map(|weight: &Weight| u32::from(weight.percent)).sum();
        let generation = entries.get(GENERATION)?.parse().ok()?;
        (sum == 0 || sum == u32::from(NUMBERS)).then_some(Self { generation, slots })
    }

    /// The whole map.
    pub(super) fn entries(&self) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        entries.insert(GENERATION.to_owned(), self.generation.to_string());
        let mut numbers = 0..NUMBERS;
        for (slot, weight) in &self.slots {
            let Weight { digest, version, percent, .. } = weight;
            entries.insert(format!("{SLOT}{slot}"), format!("{digest} {version} {percent}"));
            for number in numbers.by_ref().take(usize::from(*percent)) {
                entries.insert(number.to_string(), format!("{}/{slot}", self.generation));
            }
        }
        entries
    }

    /// The map as a file that HAProxy reads when it starts.
    pub(super) fn file(&self) -> String {
        let mut text = String::new();
        if *self != Self::default() {
            for (key, value) in self.entries() {
                let _ = writeln!(text, "{key} {value}"); // a String takes everything
            }
        }
        text
    }

    /// These shares after those: versions stay where they are, new ones go to slots that nobody is in, or is no more.
    /// `busy` are the slots with requests under way.
    pub(super) fn next(
        &self,
        target: &HaproxyTarget,
        wanted: &[Weight],
        generation: u64,
        busy: &BTreeSet<u16>,
    ) -> Result<Self, ProviderError> {
        let mut slots = self.slots.clone();
        for weight in slots.values_mut() {
            weight.percent = 0;
        }
        let mut free: Vec<u16> = target
            .slots()
            .filter(|slot| !busy.contains(slot))
            .filter(|slot| self.slots.get(slot).is_none_or(|weight| weight.percent == 0))
            .filter(|slot| {
                let there = self.slots.get(slot).map(|weight| weight.digest);
                !wanted.iter().any(|weight| Some(weight.digest) == there)
            })
            .collect();
        // From the end: those that nobody was in first.
        free.sort_by_key(|slot| (!self.slots.contains_key(slot), std::cmp::Reverse(*slot)));
        for weight in wanted {
            let slot = self.slot_of(weight.digest).or_else(|| free.pop());
            let slot = slot.ok_or_else(|| full(target))?;
            slots.insert(slot, weight.clone());
        }
        Ok(Self { generation, slots })
    }
}

fn full(target: &HaproxyTarget) -> ProviderError {
    let text = "every slot is taken by a version that has a share, or has not finished its requests; wait, \
                or give the target more `versions`";
    ProviderError::new(ErrorKind::Conflict, SET, text)
        .with_context("target", &target.target)
        .with_context("versions", target.versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(name: &str, percent: u8) -> Weight {
        Weight::new(Digest::of(name.as_bytes()), semver::Version::new(1, 0, 0), percent)
    }

    fn target() -> HaproxyTarget {
        let target = release_core::model::Target::new(
            "e".parse().unwrap(),
            "r".parse().unwrap(),
            "s".parse().unwrap(),
        );
        let mut target = HaproxyTarget::new(target);
        target.versions = 3;
        target
    }

    #[test]
    fn every_percent_is_one_number_and_is_read_again() {
        let (target, idle) = (target(), BTreeSet::new());
        for percent in 0..=100 {
            let wanted = [weight("a", percent), weight("b", 100 - percent)];
            let shares = Shares::default().next(&target, &wanted, 7, &idle).unwrap();
            let entries = shares.entries();
            let slot = shares.slot_of(wanted[0].digest).unwrap();
            let own = format!("7/{slot}");
            assert_eq!(
                entries.values().filter(|value| **value == own).count(),
                usize::from(percent)
            );
            assert_eq!(entries.keys().filter(|key| key.parse::<u8>().is_ok()).count(), 100);
            assert_eq!(Shares::read("x", &entries).unwrap(), shares);
        }
    }

    #[test]
    fn versions_stay_in_their_slots_and_busy_slots_are_not_given_away() {
        let (target, idle) = (target(), BTreeSet::new());
        let one = Shares::default().next(&target, &[weight("a", 100)], 1, &idle).unwrap();
        let two = one.next(&target, &[weight("a", 95), weight("b", 5)], 2, &idle).unwrap();
        assert_eq!(two.slot_of(weight("a", 0).digest), Some(0));
        let three = two.next(&target, &[weight("b", 100)], 3, &idle).unwrap();
        assert_eq!(three.weights(), [weight("b", 100)]);
        let four = three.next(&target, &[weight("c", 100)], 4, &BTreeSet::from([0])).unwrap();
        assert_eq!(four.slot_of(weight("c", 0).digest), Some(2));
        let busy = BTreeSet::from([0, 1]);
        let full = four.next(&target, &[weight("d", 100)], 5, &busy).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Conflict);
        let five = four.next(&target, &[weight("d", 100)], 5, &BTreeSet::from([0])).unwrap();
        assert_eq!(five.slot_of(weight("d", 0).digest), Some(1));
        assert_eq!(five.slot_of(weight("b", 0).digest), None);
        let nobody = five.next(&target, &[], 6, &idle).unwrap();
        assert_eq!((nobody.weights(), nobody.slots.len()), (vec![], 3));
        assert_eq!(Shares::read("x", &nobody.entries()).unwrap(), nobody);
    }

    #[test]
    fn a_map_of_somebody_else_is_not_believed() {
        type Entries = BTreeMap<String, String>;
        let (target, idle) = (target(), BTreeSet::new());
        let shares =
            Shares::default().next(&target, &[weight("a", 60), weight("b", 40)], 7, &idle).unwrap();
        let good = shares.entries();
        let spoiled = |change: &dyn Fn(&mut Entries)| {
            let mut entries = good.clone();
            change(&mut entries);
            Shares::read("x", &entries).unwrap_err().kind()
        };
        let set = |key: &'static str, value: &'static str| {
            move |entries: &mut Entries| {
                entries.insert(key.into(), value.into());
            }
        };
        let changes: [&dyn Fn(&mut Entries); 7] = [
            &|entries| drop(entries.remove("17")),
            &|entries| drop(entries.remove(GENERATION)),
            &set("17", "7/1"),
            &set("17", "6/0"),
            &set("100", "7/0"),
            &set("slot/0", "sha256:12 1.0.0 60"),
            &set("generation", "8"),
        ];
        for change in changes {
            assert_eq!(spoiled(change), ErrorKind::Corrupt);
        }
        assert_eq!(Shares::read("x", &BTreeMap::new()).unwrap(), Shares::default());
    }
}
