//! Waves of so few regions that all divisions are looked at.

use std::cmp::Reverse;

use release_core::model::{RegionId, Timestamp};

use super::hours::Joint;
use super::{Setting, WaveError, WavePlan, WaveRegion, WaveRules};

/// How a set of regions is done: when, in how many waves, and with which waves.
#[derive(Debug, Clone, Copy)]
struct Reached {
    done: u64,
    at: Timestamp,
    waves: u32,
    /// What it follows, by its number; the beginning follows nothing.
    before: Option<usize>,
    /// Users who have it after each wave, summed over all waves.
    exposed: u128,
    /// How many users the last wave reached, where that counts for the next.
    last: u128,
}

impl Reached {
    /// Sooner is better, then more waves, which are smaller, and then such as begin with few users.
    const fn rank(&self) -> (Timestamp, Reverse<u32>, u128) {
        (self.at, Reverse(self.waves), self.exposed)
    }

    /// Whether there is no reason to go on with the other: whatever may follow that may follow this, and no later.
    fn beats(&self, other: &Self) -> bool {
        self.at <= other.at && self.last <= other.last && self.rank() <= other.rank()
    }
}

/// All ways that are worth going on with.
struct Ways {
    all: Vec<Reached>,
    /// Of each set of regions those that no other beats.
    best: Vec<Vec<usize>>,
}

impl Ways {
    fn add(&mut self, reached: Reached) {
        let Some(best) = usize::try_from(reached.done).ok().and_then(|set| self.best.get_mut(set))
        else {
            return;
        };
        let all = &self.all;
        let known = |number: &usize| all.get(*number);
        if best.iter().filter_map(known).any(|other| other.beats(&reached)) {
            return;
        }
        best.retain(|number| known(number).is_some_and(|other| !reached.beats(other)));
        best.push(self.all.len());
        self.all.push(reached);
    }

    fn of(&self, set: u64) -> Vec<usize> {
        let best = usize::try_from(set).ok().and_then(|set| self.best.get(set));
        best.cloned().unwrap_or_default()
    }
}

impl Setting<'_> {
    /// The plan that ends first, or why there is none. Where there is one but for
    /// [`never_smaller`](WaveRules::never_smaller), that is why.
    pub(super) fn exactly(&self, start: Timestamp) -> Result<WavePlan, WaveError> {
        let joint = Joint::of(&self.hours);
        self.shortest(start, &joint).map_err(|left| {
            let rules = WaveRules { never_smaller: false, ..self.rules };
            let (partners, hours) = (self.partners.clone(), self.hours.clone());
            let lax = Setting { rules, partners, hours, ..*self };
            match (self.rules.never_smaller, lax.shortest(start, &joint)) {
                (true, Ok(_)) => WaveError::Smaller { regions: self.names(left.0) },
                (true, Err((left, from))) => lax.left_over(left, from),
                (false, _) => self.left_over(left.0, left.1),
            }
        })
    }

    /// Which set is done how soon at the earliest, and after how small a last wave where that counts: what is done sooner allows whatever
    /// is allowed later, and what follows a small wave may be small. If there is none, what is left of the furthest that one comes to, and
    /// from when on.
    fn shortest(&self, start: Timestamp, joint: &Joint<'_>) -> Result<WavePlan, (u64, Timestamp)> {
        let everything = self.everything();
        let sets = usize::try_from(everything).unwrap_or(0) + 1;
        let mut ways = Ways { all: Vec::new(), best: vec![Vec::new(); sets] };
        ways.add(Reached { done: 0, at: start, waves: 0, before: None, exposed: 0, last: 0 });
        // A set comes after all of its parts.
        for done in 0..everything {
            let from = ways.of(done);
            let left = everything & !done;
            let mut wave = if from.is_empty() { 0 } else { left };
            while wave != 0 {
                if self.allowed(done, wave) {
                    for number in &from {
                        self.follow(&mut ways, joint, (*number, wave));
                    }
                }
                wave = (wave - 1) & left;
            }
        }
        let found = ways.of(everything).into_iter().filter_map(|number| ways.all.get(number));
        let Some(found) = found.min_by_key(|reached| reached.rank()) else {
            let furthest = ways
                .all
                .iter()
                .max_by_key(|reached| (reached.done.count_ones(), Reverse(reached.rank())));
            let (done, from) = furthest.map_or((0, start), |reached| (reached.done, reached.at));
            return Err((everything & !done, from));
        };
        let mut waves = Vec::new();
        let mut reached = found;
        while let Some(before) = reached.before.and_then(|number| ways.all.get(number)) {
            waves.extend(self.wave(before.done, reached.done & !before.done, before.at));
            reached = before;
        }
        waves.reverse();
        Ok(WavePlan { waves, shortest: true })
    }

    /// Adds what is reached by this wave after a way, if that can be.
    fn follow(&self, ways: &mut Ways, joint: &Joint<'_>, (number, wave): (usize, u64)) {
        let Some(&Reached { done, at, waves, exposed, last, .. }) = ways.all.get(number) else {
            return;
        };
        if !self.large_enough(done, wave, last) {
            return;
        }
        let Some(begins) = joint.first(wave, at) else { return };
        let baked = self.baked(done, begins);
        let done = done | wave;
        let exposed = exposed + self.users(done);
        let last = if self.rules.never_smaller { self.users(wave) } else { 0 };
        let before = Some(number);
        ways.add(Reached { done, at: baked, waves: waves + 1, before, exposed, last });
    }

    fn names(&self, set: u64) -> Vec<RegionId> {
        self.of(set).map(|(_, region)| region.id.clone()).collect()
    }

    /// Why no wave of those that are left follows when the others are done, and that is as many as can be: whatever may go alone has
    /// nobody there. Of those that may not, only such are named with it as have nobody there either.
    fn left_over(&self, left: u64, from: Timestamp) -> WaveError {
        let done = self.everything() & !left;
        let alone = |(number, _): &(usize, &WaveRegion)| self.allowed(done, 1 << number);
        if self.of(left).any(|one| alone(&one)) {
            let nobody =
                self.of(left).filter(|(number, _)| self.hours.first(*number, from).is_none());
            let nobody = nobody.fold(0_u64, |set, (number, _)| set | 1 << number);
            let (regions, attended) = (self.names(nobody), self.rules.attended);
            return WaveError::NobodyThere { regions, attended, from };
        }
        WaveError::Stuck { regions: self.names(left) }
    }
}
