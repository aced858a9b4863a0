//! The steps that started or are blocked, and are not done, and their timers. They come and go with
//! every step of the hot path: hence a slab, and a set for each kind of timer.

use std::collections::BTreeSet;

use super::digest::active_hash;
use super::state::{Active, Timer};
use crate::time::Timestamp;

/// Marks a step that is not in the set.
const NONE: u32 = u32::MAX;

/// Active steps by their place in the plan. Costs 4 bytes for each step of the plan; finding, adding
/// and removing one takes the same time however many there are.
#[derive(Debug, Clone, Default)]
pub(super) struct ActiveSet {
    /// For each step its place in `slots`, or [`NONE`].
    places: Vec<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    /// Places of `slots` that may have changed since they were counted.
    changed: Vec<u32>,
    /// The sum of the hashes of all active steps, as they were when they were counted.
    sum: u64,
}

#[derive(Debug, Clone)]
struct Slot {
    step: u32,
    active: Active,
    /// What it adds to the sum; 0 as long as it is not counted.
    hash: u64,
    changed: bool,
}

impl ActiveSet {
    /// Makes room for the steps of a plan of `steps` steps.
    pub(super) fn resize(&mut self, steps: usize) {
        self.places.resize(steps, NONE);
    }

    pub(super) fn get(&self, step: u32) -> Option<&Active> {
        let place = *self.places.get(step as usize)?;
        self.slots.get(place as usize)?.as_ref().map(|slot| &slot.active)
    }

    pub(super) fn get_mut(&mut self, step: u32) -> Option<&mut Active> {
        let place = *self.places.get(step as usize)?;
        let slot = self.slots.get_mut(place as usize)?.as_mut()?;
        if !slot.changed {
            slot.changed = true;
            self.changed.push(place);
        }
        Some(&mut slot.active)
    }

    pub(super) fn insert(&mut self, step: u32, active: Active) {
        if let Some(present) = self.get_mut(step) {
            *present = active;
            return;
        }
        let Some(place) = self.places.get_mut(step as usize) else { return };
        let slot = Some(Slot { step, active, hash: 0, changed: true });
        if let Some(free) = self.free.pop() {
            *place = free;
            if let Some(empty) = self.slots.get_mut(free as usize) {
                *empty = slot;
            }
        } else {
            *place = u32::try_from(self.slots.len()).unwrap_or(NONE);
            self.slots.push(slot);
        }
        self.changed.push(*place);
    }

    pub(super) fn remove(&mut self, step: u32) -> Option<Active> {
        let place = std::mem::replace(self.places.get_mut(step as usize)?, NONE);
        let slot = self.slots.get_mut(place as usize)?.take()?;
        self.sum = self.sum.wrapping_sub(slot.hash);
        self.free.push(place);
        Some(slot.active)
    }

    pub(super) fn clear(&mut self) {
        for slot in self.slots.drain(..).flatten() {
            if let Some(place) = self.places.get_mut(slot.step as usize) {
                *place = NONE;
            }
        }
        self.free.clear();
        self.changed.clear();
        self.sum = 0;
    }

    /// Counts what has changed. Until then the sum is that of before.
    pub(super) fn count(&mut self) {
        for place in self.changed.drain(..) {
            let slot = self.slots.get_mut(place as usize).and_then(Option::as_mut);
            // What was removed has left the sum, and what came in its place stands here again.
            let Some(slot) = slot.filter(|slot| slot.changed) else { continue };
            let hash = active_hash(slot.step, &slot.active);
            self.sum = self.sum.wrapping_sub(slot.hash).wrapping_add(hash);
            (slot.hash, slot.changed) = (hash, false);
        }
    }

    /// The sum of the hashes of all active steps.
    pub(super) const fn sum(&self) -> u64 {
        self.sum
    }

    /// All active steps, in the order of the plan.
    pub(super) fn in_order(&self) -> Vec<(u32, &Active)> {
        let mut all: Vec<_> =
            self.slots.iter().flatten().map(|slot| (slot.step, &slot.active)).collect();
        all.sort_unstable_by_key(|(step, _)| *step);
        all
    }
}

/// Instants at which active steps are looked at, each once; by kind, so that those that cannot lead
/// to anything in the present phase are passed over at once, however many they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers([Instants; Timer::ALL.len()]);

impl Timers {
    pub(super) fn insert(&mut self, (timer, at, step): (Timer, Timestamp, u32)) {
        if let Some(instants) = self.0.get_mut(timer as usize) {
            instants.insert((at, step));
        }
    }

    pub(super) fn remove(&mut self, (timer, at, step): (Timer, Timestamp, u32)) {
        if let Some(instants) = self.0.get_mut(timer as usize) {
            instants.remove((at, step));
        }
    }

    pub(super) fn clear(&mut self) {
        self.0 = Default::default();
    }

    /// Whether there is none of one kind.
    pub(super) fn none_of(&self, timer: Timer) -> bool {
        self.0.get(timer as usize).is_none_or(|instants| instants.first.is_none())
    }

    /// The instants of one kind, in order.
    pub(super) fn of(&self, timer: Timer) -> impl Iterator<Item = (Timestamp, u32)> {
        self.0
            .get(timer as usize)
            .into_iter()
            .flat_map(|instants| instants.first.into_iter().chain(instants.rest.iter().copied()))
    }
}

/// A set in order, whose first element is no part of the tree: a set that goes to and fro between none
/// and one, as that of a run's only effect does, allocates nothing.
#[derive(Debug, Clone, Default)]
struct Instants {
    first: Option<(Timestamp, u32)>,
    /// All behind the first; empty when there is none.
    rest: BTreeSet<(Timestamp, u32)>,
}

impl Instants {
    fn insert(&mut self, new: (Timestamp, u32)) {
        match self.first {
            Some(first) if first < new => drop(self.rest.insert(new)),
            Some(first) if first > new => {
                self.rest.insert(first);
                self.first = Some(new);
            }
            _ => self.first = Some(new),
        }
    }

    fn remove(&mut self, old: (Timestamp, u32)) {
        if self.first == Some(old) {
            self.first = self.rest.pop_first();
        } else {
            self.rest.remove(&old);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn instants_are_an_ordered_set(changes in proptest::collection::vec((0_i64..8, 0_u32..3, any::<bool>()), 0..64)) {
            let (mut ours, mut set) = (Timers::default(), BTreeSet::new());
            for (at, step, insert) in changes {
                let at = Timestamp::from_micros(at);
                if insert {
                    ours.insert((Timer::Look, at, step));
                    set.insert((at, step));
                } else {
                    ours.remove((Timer::Look, at, step));
                    set.remove(&(at, step));
                }
                prop_assert_eq!(ours.none_of(Timer::Look), set.is_empty());
                prop_assert!(ours.of(Timer::Look).eq(set.iter().copied()));
                prop_assert!(ours.none_of(Timer::Bake));
            }
        }
    }
}
