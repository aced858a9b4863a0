//! Waves of so many regions that not all divisions can be looked at: found step by step. What is refused here as impossible is shown to
//! be so; what was only not found is said to be that.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use release_core::model::Timestamp;

use super::{Setting, WaveError, WavePlan};

/// How many beginnings are kept of each number of waves: half of them the soonest, half those with the most regions.
const KEPT: usize = 16;
/// With how many regions of each order waves are begun.
const SEEDS: usize = 6;
/// How many waves are tried altogether.
const MOST_TRIED: usize = 20_000;

/// Waves with which a plan begins.
#[derive(Debug, Clone)]
struct Begun {
    done: u64,
    at: Timestamp,
    waves: Vec<u64>,
}

/// How the first region of a wave is chosen.
#[derive(Debug, Clone, Copy)]
enum Pick {
    /// The one that can begin soonest, of several the first of the order.
    Soonest,
    /// The so manieth of the order that may follow, whenever it can begin.
    Nth(usize),
}

impl Setting<'_> {
    /// Wave by wave as many as may follow: straight on in some orders, and the plan that ends first; where all of these come to a
    /// dead end, from the best of many beginnings.
    pub(super) fn by_steps(&self, start: Timestamp) -> Result<WavePlan, WaveError> {
        if let Some(why) = self.impossible(start) {
            return Err(why);
        }
        let (orders, begun) = (self.orders(), Begun { done: 0, at: start, waves: Vec::new() });
        let picks = [Pick::Soonest, Pick::Nth(0)];
        let ways = orders.iter().flat_map(|order| picks.map(|pick| (order, pick)));
        let straight = ways.filter_map(|(order, pick)| self.straight(&begun, order, pick));
        match straight.min_by_key(|found| found.at) {
            Some(found) => Ok(self.told(&found, start)),
            None => self.widely(begun, &orders).map(|found| self.told(&found, start)),
        }
    }

    /// What shows that there are no waves, in whatever order.
    ///
    /// Whoever is in the wave after so many others has no more users than the rules allow after all that can be done in so many, and
    /// does not begin before these were watched.
    fn impossible(&self, start: Timestamp) -> Option<WaveError> {
        let rules = self.rules;
        let first = self.all * u128::from(rules.first_percent);
        let (mut can, mut from, mut most, mut bake) = (0_u64, start, first, rules.first_bake);
        while can != self.everything() {
            let left = self.everything() & !can;
            let follow = self.of(left).filter(|(_, region)| u128::from(region.users) * 100 <= most);
            let follow = follow.fold(0_u64, |set, (number, _)| set | 1 << number);
            let ids = |set: u64| self.of(set).map(|(_, region)| region.id.clone()).collect();
            if follow == 0 {
                return Some(WaveError::Stuck { regions: ids(left) });
            }
            let nobody = self.of(follow).filter(|(n, _)| self.hours.first(*n, from).is_none());
            let nobody = nobody.fold(0_u64, |set, (number, _)| set | 1 << number);
            if nobody != 0 {
                let (regions, attended) = (ids(nobody), rules.attended);
                return Some(WaveError::NobodyThere { regions, attended, from });
            }
            can |= follow;
            most = self.users(can) * u128::from(rules.growth_percent);
            from = from.plus(rules.rollout).plus(bake);
            bake = rules.bake;
        }
        None
    }

    /// Orders in which regions are taken: those with many users first, those that have to begin first, those with many partners first,
    /// and those with few users first.
    fn orders(&self) -> Vec<Vec<usize>> {
        let all: Vec<_> = self.of(self.everything()).collect();
        let users = |number: usize| all.get(number).map_or(0, |(_, region)| region.users);
        let last = |number: usize| {
            let hours = all.get(number).and_then(|(_, region)| region.on_call.last());
            hours.map_or(i64::MAX, |(_, ends)| ends.as_micros())
        };
        let partners = |number: usize| self.partners.get(number).map_or(0, |set| set.count_ones());
        let sorted = |key: &dyn Fn(usize) -> (i64, Reverse<u64>)| {
            let mut order: Vec<usize> = (0..all.len()).collect();
            order.sort_by_key(|number| key(*number));
            order
        };
        vec![
            sorted(&|number| (0, Reverse(users(number)))),
            sorted(&|number| (last(number), Reverse(users(number)))),
            sorted(&|number| (-i64::from(partners(number)), Reverse(users(number)))),
            sorted(&|number| (0, Reverse(u64::MAX - users(number)))),
        ]
    }

    /// A wave that may follow, and when: with one region, and as many others as can begin with it.
    fn following(&self, begun: &Begun, order: &[usize], pick: Pick) -> Option<(Timestamp, u64)> {
        let Begun { done, at: since, .. } = *begun;
        let last = begun.waves.last().map_or(0, |last| self.users(*last));
        let open = || order.iter().copied().filter(|number| done >> number & 1 == 0);
        let mut alone = open()
            .filter(|number| self.allowed(done, 1 << number))
            .filter_map(|number| Some((self.hours.first(number, since)?, number)));
        let (at, first) = match pick {
            Pick::Soonest => alone.min_by_key(|(at, _)| *at)?,
            Pick::Nth(nth) => alone.nth(nth)?,
        };
        let joins = |wave: u64, other: usize| {
            let more = wave | 1 << other;
            let fits = self.allowed(done, more) && self.hours.is_there(other, at);
            if fits { more } else { wave }
        };
        let wave = open().fold(1 << first, joins);
        self.large_enough(done, wave, last).then_some((at, wave))
    }

    fn with(&self, begun: &Begun, (begins, wave): (Timestamp, u64)) -> Begun {
        let waves = begun.waves.iter().copied().chain([wave]).collect();
        Begun { done: begun.done | wave, at: self.baked(begun.done, begins), waves }
    }

    fn straight(&self, begun: &Begun, order: &[usize], pick: Pick) -> Option<Begun> {
        let mut begun = begun.clone();
        while begun.done != self.everything() {
            begun = self.with(&begun, self.following(&begun, order, pick)?);
        }
        Some(begun)
    }

    /// From many beginnings at once, of which those are kept that promise most.
    fn widely(&self, begun: Begun, orders: &[Vec<usize>]) -> Result<Begun, WaveError> {
        let (mut tried, mut furthest, mut best) = (0, 0_u64, None::<Begun>);
        let picks = || [Pick::Soonest].into_iter().chain((0..SEEDS).map(Pick::Nth));
        let mut kept = vec![begun];
        while !kept.is_empty() && tried < MOST_TRIED {
            let mut next: BTreeMap<u64, Begun> = BTreeMap::new();
            let ways = orders.iter().flat_map(|order| picks().map(move |pick| (order, pick)));
            for (begun, (order, pick)) in
                kept.iter().flat_map(|begun| ways.clone().map(move |way| (begun, way)))
            {
                tried += 1;
                let Some(wave) = self.following(begun, order, pick) else { continue };
                let more = self.with(begun, wave);
                if more.done.count_ones() > furthest.count_ones() {
                    furthest = more.done;
                }
                if more.done == self.everything() {
                    best = best.into_iter().chain([more]).min_by_key(|found| found.at);
                } else if !self.lost(&more) {
                    let known = next.entry(more.done).or_insert_with(|| more.clone());
                    if more.at < known.at {
                        *known = more;
                    }
                }
            }
            kept = promising(next.into_values().collect());
        }
        best.ok_or_else(|| {
            let left = self.of(self.everything() & !furthest);
            WaveError::NoneFound { regions: left.map(|(_, region)| region.id.clone()).collect() }
        })
    }

    /// Whether it is too late already for a region that is left.
    fn lost(&self, begun: &Begun) -> bool {
        let mut left = self.of(self.everything() & !begun.done);
        left.any(|(number, _)| self.hours.first(number, begun.at).is_none())
    }

    fn told(&self, found: &Begun, start: Timestamp) -> WavePlan {
        let (mut done, mut since, mut waves) = (0_u64, start, Vec::new());
        for set in &found.waves {
            let Some(wave) = self.wave(done, *set, since) else { break };
            (done, since) = (done | set, wave.baked);
            waves.push(wave);
        }
        WavePlan { waves, shortest: false }
    }
}

/// The beginnings that promise most, without those that have less done and later.
fn promising(mut all: Vec<Begun>) -> Vec<Begun> {
    all.sort_by_key(|begun| (begun.at, Reverse(begun.done.count_ones())));
    let mut kept: Vec<Begun> = Vec::new();
    for begun in all {
        if !kept.iter().any(|sooner| begun.done & !sooner.done == 0) {
            kept.push(begun);
        }
    }
    let mut most = kept.split_off(kept.len().min(KEPT / 2));
    most.sort_by_key(|begun| (Reverse(begun.done.count_ones()), begun.at));
    kept.extend(most.into_iter().take(KEPT / 2));
    kept
}
