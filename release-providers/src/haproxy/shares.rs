//! Shares as they stand in HAProxy's map: who is in which slot, and which of 100 numbers are whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use release_core::model::TrafficRules;
use release_core::plan::Weight;

use super::settings::HaproxyTarget;
use crate::routing::{SET, answering};
use crate::shares::{Pool, cookie};
use crate::{ErrorKind, ProviderError};

const GENERATION: &str = "generation";
const SLOT: &str = "slot/";
const NUMBERS: u8 = 100;
const RULES: &str = "rules/";
/// So many bytes of the rules in one entry.
const PIECE: usize = 1_000;

/// What a map says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// Counts changes; 0 before the first.
    pub(super) generation: u64,
    /// Who is where. Those without a share lost it, and may not have finished their requests, or are picked by headers.
    pub(super) slots: BTreeMap<u16, Weight>,
    /// What holds beside the shares.
    pub(super) rules: Option<TrafficRules>,
}

impl Shares {
    /// The shares without those of nothing, in order.
    pub(super) fn weights(&self) -> Vec<Weight> {
        let mut weights: Vec<_> =
            self.slots.values().filter(|weight| weight.percent > 0).cloned().collect();
        weights.sort();
        weights
    }

    pub(super) fn slot_of(&self, pool: &Pool) -> Option<u16> {
        self.slots.iter().find(|(_, weight)| Pool::of(weight) == *pool).map(|(slot, _)| *slot)
    }

    /// All who may have to answer.
    pub(super) fn answering(&self) -> BTreeSet<Pool> {
        answering(&self.weights(), self.rules.as_ref())
    }

    /// Reads a map of a place with so many slots. `Corrupt` when it is not one that [`Shares::entries`] made.
    pub(super) fn read(
        operation: &'static str,
        versions: u16,
        entries: &BTreeMap<String, String>,
    ) -> Result<Self, ProviderError> {
        if entries.is_empty() {
            return Ok(Self::default());
        }
        let there = |read: &Self| read.slots.keys().all(|slot| *slot < versions);
        let read = Self::all_of(entries).filter(|read| there(read) && read.entries() == *entries);
        read.ok_or_else(|| {
            let text =
                "the map of shares in HAProxy is not one that this router wrote; set shares again";
            ProviderError::new(ErrorKind::Corrupt, operation, text)
        })
    }

    /// Who is in which slot, without any share, by a map that somebody else changed: what was written there by this router, where
    /// that can still be read. Their requests may be under way. Slots that the place does not have, and a second one of the same
    /// instances, are nobody's.
    pub(super) fn left(versions: u16, entries: &BTreeMap<String, String>) -> Self {
        let mut left = Self::default();
        for (key, value) in entries {
            let slot = key.strip_prefix(SLOT).and_then(|slot| slot.parse::<u16>().ok());
            let slot = slot.filter(|slot| *slot < versions).zip(in_slot(value));
            if let Some((slot, weight)) = slot
                && left.slot_of(&Pool::of(&weight)).is_none()
            {
                left.slots.insert(slot, Weight { percent: 0, ..weight });
            }
        }
        left
    }

    fn all_of(entries: &BTreeMap<String, String>) -> Option<Self> {
        let (mut slots, mut rules) = (BTreeMap::new(), String::new());
        for (key, value) in entries {
            if key.starts_with(RULES) {
                rules.push_str(value);
            }
            let Some(slot) = key.strip_prefix(SLOT) else { continue };
            slots.insert(slot.parse().ok()?, in_slot(value)?);
        }
        let sum: u32 = slots.values().map(|weight: &Weight| u32::from(weight.percent)).sum();
        let pools: BTreeSet<Pool> = slots.values().map(Pool::of).collect();
        let generation = entries.get(GENERATION)?.parse().ok()?;
        let rules = if rules.is_empty() {
            None
        } else {
            Some(serde_json::from_slice(&unhex(&rules)?).ok()?)
        };
        let whole = sum == 0 || sum == u32::from(NUMBERS);
        (whole && pools.len() == slots.len()).then_some(Self { generation, slots, rules })
    }

    /// The whole map.
    pub(super) fn entries(&self) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        entries.insert(GENERATION.to_owned(), self.generation.to_string());
        let mut numbers = 0..NUMBERS;
        for (slot, weight) in &self.slots {
            let Weight { digest, version, percent, track } = weight;
            let share = format!("{digest} {version} {percent}");
            let share = match track {
                Some(track) => format!("{share} {track}"),
                None => share,
            };
            entries.insert(format!("{SLOT}{slot}"), share);
            for number in numbers.by_ref().take(usize::from(*percent)) {
                let beside = self.beside(weight);
                entries.insert(number.to_string(), format!("{}/{slot}{beside}", self.generation));
            }
        }
        let rules = self.rules.as_ref().and_then(|rules| serde_json::to_vec(rules).ok());
        let pieces = rules.iter().flat_map(|json| json.chunks(PIECE));
        for (n, piece) in pieces.enumerate() {
            entries.insert(format!("{RULES}{n:06}"), hex(piece));
        }
        entries
    }

    /// What a request has to know beside who serves it: that there are rules, and the cookie that keeps it there.
    fn beside(&self, weight: &Weight) -> String {
        let Some(rules) = &self.rules else { return String::new() };
        let affinity = rules.affinity.as_ref().filter(|affinity| affinity.keeps(weight.digest));
        let kept = affinity.map(|affinity| cookie(affinity, &Pool::of(weight)));
        format!("|rules|{}", kept.unwrap_or_default())
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

    /// What is wanted after these shares: versions stay where they are, new ones go to slots that nobody is in, or is no
    /// more. `busy` are the slots with requests under way.
    pub(super) fn next(
        &self,
        target: &HaproxyTarget,
        wanted: &Wanted<'_>,
        generation: u64,
        busy: &BTreeSet<u16>,
    ) -> Result<Self, ProviderError> {
        let pools = answering(wanted.weights, wanted.rules);
        let mut slots = self.slots.clone();
        for weight in slots.values_mut() {
            weight.percent = 0;
        }
        let now = self.answering();
        let mut free: Vec<u16> = target
            .slots()
            .filter(|slot| !busy.contains(slot))
            .filter(|slot| {
                let there = self.slots.get(slot).map(Pool::of);
                there.is_none_or(|pool| !now.contains(&pool) && !pools.contains(&pool))
            })
            .collect();
        // From the end: those that nobody was in first.
        free.sort_by_key(|slot| (!self.slots.contains_key(slot), std::cmp::Reverse(*slot)));
        for pool in pools {
            let slot = self.slot_of(&pool).or_else(|| free.pop());
            let slot = slot.ok_or_else(|| full(target))?;
            let share = wanted.weights.iter().find(|weight| Pool::of(weight) == pool);
            let known = slots.get(&slot).filter(|weight| Pool::of(weight) == pool);
            // Nobody says the version of one that headers alone bring requests to.
            let unnamed = Weight::new(pool.digest, semver::Version::new(0, 0, 0), 0);
            let weight = share.or(known).cloned().unwrap_or(unnamed);
            slots.insert(slot, weight);
        }
        Ok(Self { generation, slots, rules: wanted.rules.cloned() })
    }
}

/// Reads what an entry says of who is in a slot.
fn in_slot(value: &str) -> Option<Weight> {
    let mut words = value.split(' ');
    let mut word = || words.next();
    let digest = word()?.parse().ok()?;
    let version = word()?.parse().ok()?;
    let percent = word()?.parse().ok()?;
    let mut weight = Weight::new(digest, version, percent);
    if let Some(track) = word() {
        weight.track = Some(track.parse().ok()?);
    }
    Some(weight)
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) weights: &'a [Weight],
    pub(super) rules: Option<&'a TrafficRules>,
}

fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
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
    use release_core::model::{Affinity, Digest, HeaderRoute, HeaderRule};

    use super::*;

    fn weight(name: &str, percent: u8) -> Weight {
        Weight::new(Digest::of(name.as_bytes()), semver::Version::new(1, 0, 0), percent)
    }

    fn next(
        before: &Shares,
        wanted: &[Weight],
        generation: u64,
        busy: &BTreeSet<u16>,
    ) -> Result<Shares, ProviderError> {
        let wanted = Wanted { weights: wanted, rules: None };
        before.next(&target(), &wanted, generation, busy)
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
        let idle = BTreeSet::new();
        for percent in 0..=100 {
            let wanted = [weight("a", percent), weight("b", 100 - percent)];
            let shares = next(&Shares::default(), &wanted, 7, &idle).unwrap();
            let entries = shares.entries();
            let slot = shares.slot_of(&Pool::of(&wanted[0])).unwrap();
            let own = format!("7/{slot}");
            assert_eq!(
                entries.values().filter(|value| **value == own).count(),
                usize::from(percent)
            );
            assert_eq!(entries.keys().filter(|key| key.parse::<u8>().is_ok()).count(), 100);
            assert_eq!(Shares::read("x", 3, &entries).unwrap(), shares);
        }
    }

    #[test]
    fn versions_stay_in_their_slots_and_busy_slots_are_not_given_away() {
        let idle = BTreeSet::new();
        let one = next(&Shares::default(), &[weight("a", 100)], 1, &idle).unwrap();
        let two = next(&one, &[weight("a", 95), weight("b", 5)], 2, &idle).unwrap();
        assert_eq!(two.slot_of(&Pool::of(&weight("a", 0))), Some(0));
        let three = next(&two, &[weight("b", 100)], 3, &idle).unwrap();
        assert_eq!(three.weights(), [weight("b", 100)]);
        let four = next(&three, &[weight("c", 100)], 4, &BTreeSet::from([0])).unwrap();
        assert_eq!(four.slot_of(&Pool::of(&weight("c", 0))), Some(2));
        let busy = BTreeSet::from([0, 1]);
        let full = next(&four, &[weight("d", 100)], 5, &busy).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Conflict);
        let five = next(&four, &[weight("d", 100)], 5, &BTreeSet::from([0])).unwrap();
        assert_eq!(five.slot_of(&Pool::of(&weight("d", 0))), Some(1));
        assert_eq!(five.slot_of(&Pool::of(&weight("b", 0))), None);
        let nobody = next(&five, &[], 6, &idle).unwrap();
        assert_eq!((nobody.weights(), nobody.slots.len()), (vec![], 3));
        assert_eq!(Shares::read("x", 3, &nobody.entries()).unwrap(), nobody);
    }

    #[test]
    fn rules_and_tracks_are_read_again() {
        let track = weight("a", 40).on("baseline".parse().unwrap());
        let rule = HeaderRule::exact("x-canary", "\u{e9} ".repeat(100));
        let rules = TrafficRules {
            headers: vec![HeaderRoute { rule, to: Digest::of(b"b") }; 20],
            affinity: Some(Affinity::new("stay")),
            ..TrafficRules::default()
        };
        let wanted = Wanted { weights: &[weight("a", 60), track.clone()], rules: Some(&rules) };
        let shares = Shares::default().next(&target(), &wanted, 7, &BTreeSet::new()).unwrap();
        assert_eq!(Shares::read("x", 3, &shares.entries()).unwrap(), shares);
        assert!(Weight::same_shares(&shares.weights(), wanted.weights));
        let slots = [Pool::of(&weight("a", 0)), Pool::of(&track), Pool::whole(Digest::of(b"b"))];
        let slots: BTreeSet<_> = slots.iter().map(|pool| shares.slot_of(pool).unwrap()).collect();
        assert_eq!(slots.len(), 3);
        let (slot, tag) = (shares.slot_of(&Pool::of(&track)).unwrap(), Pool::of(&track).tag());
        let own = format!("7/{slot}|rules|stay={tag}; Path=/;");
        let numbers = shares.entries().into_values().filter(|value| value.starts_with(&own));
        assert_eq!(numbers.count(), 40);
        // Who is picked by headers keeps the slot, and who is not picked any more gives it away.
        let full = next(&shares, &[weight("c", 100)], 8, &BTreeSet::new());
        assert_eq!(full.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn only_who_keeps_clients_gives_them_a_cookie() {
        let [old, new] = [weight("a", 60), weight("b", 40)];
        let affinity = Some(Affinity::new("stay").with_only(new.digest));
        let rules = TrafficRules { affinity, ..TrafficRules::default() };
        let wanted = Wanted { weights: &[old.clone(), new.clone()], rules: Some(&rules) };
        let shares = Shares::default().next(&target(), &wanted, 7, &BTreeSet::new()).unwrap();
        assert_eq!(Shares::read("x", 3, &shares.entries()).unwrap(), shares);
        assert_eq!(shares.beside(&old), "|rules|");
        assert!(shares.beside(&new).starts_with("|rules|stay="));
        let entries = super::super::rules::entries(&shares).unwrap();
        let slot = shares.slot_of(&Pool::of(&new)).unwrap().to_string();
        let slots: Vec<_> = entries.into_iter().map(|(_, slot)| slot).collect();
        assert_eq!(slots, [slot]);
    }

    #[test]
    fn a_map_of_somebody_else_is_not_believed() {
        type Entries = BTreeMap<String, String>;
        let idle = BTreeSet::new();
        let shares =
            next(&Shares::default(), &[weight("a", 60), weight("b", 40)], 7, &idle).unwrap();
        let good = shares.entries();
        let spoiled = |change: &dyn Fn(&mut Entries)| {
            let mut entries = good.clone();
            change(&mut entries);
            Shares::read("x", 3, &entries).unwrap_err().kind()
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
        assert_eq!(Shares::read("x", 3, &BTreeMap::new()).unwrap(), Shares::default());
    }

    /// Found in review: with the map somebody's word was lost, too, on whose requests are in which slot, so that nobody waited for
    /// them.
    #[test]
    fn who_is_in_which_slot_outlasts_a_change_by_somebody_else() {
        let idle = BTreeSet::new();
        let [old, new] = [weight("a", 60), weight("b", 40)];
        let shares = next(&Shares::default(), &[old.clone(), new.clone()], 7, &idle).unwrap();
        let mut entries = shares.entries();
        entries.insert("17".into(), "7/1".into());
        let left = Shares::left(3, &entries);
        assert!(left.weights().is_empty());
        let back = next(&left, std::slice::from_ref(&Weight { percent: 100, ..old }), 8, &idle);
        let back = back.unwrap();
        assert_eq!(back.slot_of(&Pool::of(&new)), shares.slot_of(&Pool::of(&new)));
        entries.insert("slot/0".into(), "nonsense".into());
        assert_eq!(Shares::left(3, &entries).slots.len(), 1);
    }

    /// Found in review: the wanted version was believed to be in a slot that HAProxy does not have, and every change failed there.
    #[test]
    fn slots_that_are_not_there_and_second_ones_are_nobodys() {
        let idle = BTreeSet::new();
        let [old, new] = [weight("a", 60), weight("b", 40)];
        let shares = next(&Shares::default(), &[old.clone(), new.clone()], 7, &idle).unwrap();
        let (there, version) = (shares.slot_of(&Pool::of(&old)).unwrap(), &new.version);
        for (slot, digest) in [(9, weight("c", 0).digest), (3, new.digest), (2, new.digest)] {
            let mut entries = shares.entries();
            entries.insert(format!("slot/{slot}"), format!("{digest} {version} 0"));
            let read = Shares::read("x", 3, &entries).unwrap_err();
            assert_eq!(read.kind(), ErrorKind::Corrupt, "{slot}");
            let left = Shares::left(3, &entries);
            assert_eq!(left.slots.len(), 2, "{slot}: {left:?}");
            let wanted = Weight { percent: 100, digest, ..new.clone() };
            let after = next(&left, &[wanted], 8, &idle).unwrap();
            assert_eq!(after.slot_of(&Pool::of(&old)), Some(there), "{slot}");
            assert!(after.slots.keys().all(|slot| *slot < 3), "{slot}: {after:?}");
        }
    }
}
