//! What happens in a target, one thing after the other: requests come and go, instances start and stop, and a balancer follows
//! what it was told, or does not.

use std::collections::BTreeMap;

use release_core::model::Digest;
use release_core::plan::Weight;
use release_core::time::{Span, Timestamp};

use super::chance::Chance;
use super::model::{Counts, Load, Lost, Manner, Place, Says, Stop, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Starting,
    Ready,
    /// It is to go once nothing is sent there and nothing is under way.
    Draining,
    Gone,
}

#[derive(Debug)]
struct Instance {
    place: Place,
    stand: Stand,
    flights: u64,
}

#[derive(Debug)]
enum Happening {
    Arrives,
    Leaves(usize),
    IsReady(usize),
    /// The balancer takes over what is wanted by then, and who is ready.
    Follows,
    /// It takes over one setting; or who is ready alone.
    Takes(Option<Table>),
    GoesBad(Digest),
}

#[derive(Debug)]
pub(super) struct World {
    now: Timestamp,
    /// What is drawn for requests.
    chance: Chance,
    /// What is drawn for all else.
    pub(super) luck: Chance,
    agenda: BTreeMap<(Timestamp, u64), Happening>,
    next: u64,
    instances: Vec<Instance>,
    wishes: BTreeMap<Place, u32>,
    /// All of the traffic for the version from before.
    live: Weight,
    wanted: Table,
    table: Table,
    /// Whom the balancer sends requests to.
    known: BTreeMap<Place, Vec<usize>>,
    finished: BTreeMap<Place, Vec<(Timestamp, bool)>>,
    pub(super) manner: Manner,
    load: Load,
    bad: BTreeMap<Digest, usize>,
    never_ready: Option<Digest>,
    pub(super) counts: Counts,
    pub(super) stops: Vec<Stop>,
}

impl World {
    /// One version with `replicas` instances and all of the traffic.
    pub(super) fn new(
        seed: u64,
        now: Timestamp,
        (manner, load): (Manner, Load),
        (live, replicas): (Weight, u32),
    ) -> Self {
        let place = (live.digest, None);
        let instance = |_| Instance { place: place.clone(), stand: Stand::Ready, flights: 0 };
        let table = Table { weights: vec![live.clone()], rules: None };
        let mut world = Self {
            now,
            chance: Chance::new(seed, 1),
            luck: Chance::new(seed, 2),
            agenda: BTreeMap::new(),
            next: 0,
            instances: (0..replicas).map(instance).collect(),
            wishes: [(place, replicas)].into(),
            live,
            wanted: table.clone(),
            table,
            known: BTreeMap::new(),
            finished: BTreeMap::new(),
            manner,
            load,
            bad: BTreeMap::new(),
            never_ready: None,
            counts: Counts::default(),
            stops: Vec::new(),
        };
        world.known = world.ready_ones();
        world.plan(Span::ZERO, Happening::Arrives);
        world
    }

    /// Half of what a version answers is bad, after a while.
    pub(super) fn goes_bad(&mut self, after: Span, digest: Digest) {
        self.plan(after, Happening::GoesBad(digest));
    }

    /// No instance of a version is ever ready.
    pub(super) const fn is_never_ready(&mut self, digest: Digest) {
        self.never_ready = Some(digest);
    }

    fn plan(&mut self, after: Span, happening: Happening) {
        self.next += 1;
        self.agenda.insert((self.now.plus(after), self.next), happening);
    }

    /// Lets everything happen until `now`.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while let Some(first) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), happening) = first.remove_entry();
            self.now = at;
            match happening {
                Happening::Arrives => self.arrives(),
                Happening::Leaves(index) => self.leaves(index),
                Happening::IsReady(index) => {
                    if self.instances[index].stand == Stand::Starting {
                        self.instances[index].stand = Stand::Ready;
                        self.tell_who_is_ready();
                    }
                }
                Happening::Follows => self.takes(Some(self.wanted.clone())),
                Happening::Takes(table) => self.takes(table),
                Happening::GoesBad(digest) => {
                    self.bad.insert(digest, 50);
                }
            }
        }
        self.now = now;
    }

    fn arrives(&mut self) {
        let gap = self.chance.exponential(self.load.gap);
        self.plan(gap, Happening::Arrives);
        self.counts.behind += u64::from(self.table != self.wanted);
        let rules = self.table.rules.clone().unwrap_or_default();
        let marked = self.chance.happens(self.load.marked);
        let picked = rules.headers.first().filter(|_| marked).map(|route| (route.to, None));
        let by_share = |chance: &mut Chance| {
            let mut left = chance.below(100);
            let mut weights = self.table.weights.iter();
            let drawn = weights.find(|weight| {
                let here = left < usize::from(weight.percent);
                left = left.saturating_sub(usize::from(weight.percent));
                here
            });
            drawn.map(|weight| (weight.digest, weight.track.clone()))
        };
        let place = picked.or_else(|| by_share(&mut self.chance));
        let copied = rules.mirror.as_ref().filter(|mirror| {
            place.as_ref().is_some_and(|place| place.0 != mirror.to)
                && self.chance.happens(usize::from(mirror.percent))
        });
        let copied = copied.map(|mirror| mirror.to);
        self.send(place.as_ref());
        if let Some(to) = copied {
            self.send(Some(&(to, None)));
        }
    }

    fn send(&mut self, place: Option<&Place>) {
        self.counts.sent += 1;
        let known = place.and_then(|place| self.known.get(place));
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            self.counts.unready += 1;
            return;
        };
        let index = known[self.chance.below(known.len())];
        match self.instances[index].stand {
            Stand::Gone => self.counts.terminated += 1,
            Stand::Starting => self.counts.unready += 1,
            Stand::Ready | Stand::Draining => {
                self.instances[index].flights += 1;
                let slow = self.chance.happens(self.load.slow);
                let mean = if slow { self.load.long } else { self.load.mean };
                let takes = self.chance.exponential(mean);
                self.plan(takes, Happening::Leaves(index));
            }
        }
    }

    fn leaves(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        if instance.stand == Stand::Gone {
            return; // it was cut off
        }
        instance.flights -= 1;
        let place = instance.place.clone();
        let bad = self.bad.get(&place.0).copied().unwrap_or(1);
        let bad = self.chance.happens(bad);
        self.finished.entry(place).or_default().push((self.now, bad));
        self.counts.finished += 1;
        self.let_drained_go();
    }

    /// The balancer follows: from now on it sends requests by this table, to those who are ready now.
    fn takes(&mut self, table: Option<Table>) {
        if self.manner.stuck.is_some_and(|since| self.now >= since) {
            return;
        }
        if let Some(table) = table {
            self.table = table;
        }
        let mut shared = self.table.weights.iter();
        let new = shared.find(|weight| weight.digest != self.live.digest);
        if let (Some(percent), Some(new)) = (self.manner.bent, new) {
            let old = Weight { percent: 100 - percent, ..self.live.clone() };
            self.table.weights = vec![old, Weight { percent, ..new.clone() }];
        }
        self.known = self.ready_ones();
        self.let_drained_go();
    }

    fn ready_ones(&self) -> BTreeMap<Place, Vec<usize>> {
        let mut ready = BTreeMap::<Place, Vec<usize>>::new();
        for (index, instance) in self.instances.iter().enumerate() {
            if instance.stand == Stand::Ready {
                ready.entry(instance.place.clone()).or_default().push(index);
            }
        }
        ready
    }

    fn let_drained_go(&mut self) {
        for (index, instance) in self.instances.iter_mut().enumerate() {
            let known = |known: &Vec<usize>| known.contains(&index);
            if instance.stand == Stand::Draining
                && instance.flights == 0
                && !self.known.get(&instance.place).is_some_and(known)
            {
                instance.stand = Stand::Gone;
            }
        }
    }

    fn lag(&mut self) -> Span {
        let (from, to) = self.manner.lag;
        self.luck.span(from, to)
    }

    fn tell_who_is_ready(&mut self) {
        let lag = self.lag();
        let one_by_one = self.manner.each;
        self.plan(lag, if one_by_one { Happening::Takes(None) } else { Happening::Follows });
        self.catch_up(self.now);
    }

    /// What is lost of a call that sets shares.
    pub(super) fn loses(&mut self, table: &Table) -> Option<Lost> {
        if self.manner.loses_way_back && table.weights == [self.live.clone()] {
            self.manner.loses_way_back = false;
            return Some(Lost::Call);
        }
        let lost = [Lost::Call, Lost::Answer, Lost::Following, Lost::Setting];
        // No router may forget a setting while an earlier one has yet to take effect: nobody could see that.
        let forgets = self.manner.forgets && self.wanted == self.table;
        let kinds = if forgets { 4 } else { 3 };
        self.luck.happens(self.manner.loses).then(|| lost[self.luck.below(kinds)])
    }

    /// New shares are wanted, and nobody follows.
    pub(super) fn store(&mut self, table: Table) {
        self.wanted = table;
    }

    /// New shares are wanted.
    pub(super) fn set(&mut self, table: Table) {
        self.store(table.clone());
        let lag = self.lag();
        let one_by_one = self.manner.each;
        let takes = Happening::Takes(Some(table));
        self.plan(lag, if one_by_one { takes } else { Happening::Follows });
        self.catch_up(self.now);
    }

    /// The shares in effect as the balancer tells them.
    pub(super) fn told(&self) -> &Table {
        if self.manner.says == Says::Truth { &self.table } else { &self.wanted }
    }

    /// Requests under way as the balancer tells them.
    pub(super) fn flights(&self) -> BTreeMap<Place, u64> {
        let mut flights = BTreeMap::new();
        let shared = |place: &Place| {
            let mut weights = self.wanted.weights.iter();
            weights.any(|weight| (weight.digest, &weight.track) == (place.0, &place.1))
        };
        for instance in &self.instances {
            let told = self.manner.says != Says::AllIsWell || shared(&instance.place);
            if told && instance.stand != Stand::Gone {
                *flights.entry(instance.place.clone()).or_default() += instance.flights;
            }
        }
        flights
    }

    /// So many instances are wanted. None at all are stopped at once, and cut off whatever is under way there; where some are
    /// to stay, those that are to go get nothing any more first, and end what they have begun.
    pub(super) fn wish(&mut self, place: &Place, replicas: u32) {
        self.wishes.insert(place.clone(), replicas);
        if replicas == 0 {
            self.stop(place);
        }
        while self.staying(place) > replicas as usize {
            let (index, stand) = match self.last(place, Stand::Starting) {
                Some(index) => (index, Stand::Gone),
                None => (self.last(place, Stand::Ready).unwrap(), Stand::Draining),
            };
            self.instances[index].stand = stand;
        }
        while self.staying(place) < replicas as usize {
            match self.last(place, Stand::Draining) {
                Some(index) => self.instances[index].stand = Stand::Ready,
                None => self.start(place),
            }
        }
        self.tell_who_is_ready();
    }

    fn start(&mut self, place: &Place) {
        let index = self.instances.len();
        let stand = Stand::Starting;
        self.instances.push(Instance { place: place.clone(), stand, flights: 0 });
        if self.never_ready != Some(place.0) {
            let takes = self.luck.span(Span::millis(200), Span::secs(4));
            self.plan(takes, Happening::IsReady(index));
        }
    }

    fn stop(&mut self, place: &Place) {
        let there =
            |instance: &&mut Instance| instance.place == *place && instance.stand != Stand::Gone;
        let mut any = false;
        for instance in self.instances.iter_mut().filter(there) {
            self.counts.cut += instance.flights;
            instance.stand = Stand::Gone;
            any = true;
        }
        if any {
            let last = self.finished.get(place).and_then(|all| all.last()).map(|(at, _)| *at);
            self.stops.push(Stop { place: place.clone(), at: self.now, last });
        }
    }

    fn last(&self, place: &Place, stand: Stand) -> Option<usize> {
        self.instances.iter().rposition(|one| one.place == *place && one.stand == stand)
    }

    fn count(&self, place: &Place, stand: Stand) -> usize {
        let all = self.instances.iter();
        all.filter(|one| one.place == *place && one.stand == stand).count()
    }

    fn staying(&self, place: &Place) -> usize {
        self.count(place, Stand::Starting) + self.count(place, Stand::Ready)
    }

    /// What is wished, how many run, and how many of them are still to go.
    pub(super) fn running(&self, place: &Place) -> (Option<u32>, u32, bool) {
        let draining = self.count(place, Stand::Draining);
        let running = u32::try_from(self.staying(place) + draining).unwrap();
        (self.wishes.get(place).copied(), running, draining > 0)
    }

    /// Each instance, and whether it is ready.
    pub(super) fn health(&self, place: &Place) -> Vec<(usize, bool)> {
        let all = self.instances.iter().enumerate();
        let there = all.filter(|(_, one)| one.place == *place && one.stand != Stand::Gone);
        there.map(|(index, one)| (index, one.stand == Stand::Ready)).collect()
    }

    /// How many requests a place finished since then: bad ones, and all.
    pub(super) fn measured(&self, place: &Place, since: Timestamp) -> (u32, u32) {
        let all = self.finished.get(place).map_or(&[][..], |all| &all[..]);
        let window = &all[all.partition_point(|(at, _)| *at <= since)..];
        let bad = window.iter().filter(|(_, bad)| *bad).count();
        (u32::try_from(bad).unwrap(), u32::try_from(window.len()).unwrap())
    }
}
