//! Probabilistic concurrency testing: an order of what happens that is unlikely by chance alone.

use std::collections::BTreeMap;

use release_core::model::{Span, Timestamp};

use super::chance::Chance;
use super::machine::{Happening, Machine};

/// Who chooses what happens first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub enum Scheduler {
    /// Chance, evenly: each thing happens at its time, and of those at one instant any is first.
    #[default]
    Uniform,
    /// Probabilistic concurrency testing; see [`Pct`].
    Pct(Pct),
}

/// Probabilistic concurrency testing (S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte, «A Randomized
/// Scheduler with Probabilistic Guarantees of Finding Bugs», ASPLOS 2010). Every actor (a driver of a run, a
/// step's provider, a person, a desk of permits, the host) has a random priority, and of all that may happen
/// the one of the highest goes first. At `depth - 1` random points the one that goes has its priority lowered
/// below all others.
///
/// A bug that needs `d` orderings of `n` actors in `k` steps is found with a probability of at least
/// `1 / (n · k^(d - 1))` a seed. What may happen is what is due within a span, so that whoever is of low
/// priority is late by that span at most; time is never turned back for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Pct {
    depth: u32,
    steps: u32,
    within: Span,
}

impl Pct {
    /// For bugs of this many orderings, at least 1. Of simulations of about 1000 steps, where everybody can
    /// be late by a minute.
    pub const fn depth(depth: u32) -> Self {
        Self { depth, steps: 1000, within: Span::secs(60) }
    }

    /// Sets in how many steps the priorities change.
    pub const fn steps(mut self, steps: u32) -> Self {
        self.steps = steps;
        self
    }

    /// Sets by how much everybody can be late.
    pub const fn within(mut self, within: Span) -> Self {
        self.within = within;
        self
    }
}

/// Who does what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Actor {
    Host,
    Journal,
    Driver(usize, usize),
    Desk(usize),
    Provider(usize, u32),
    Person(usize),
}

/// The priorities of a simulation under way.
#[derive(Debug, Clone)]
pub(super) struct Priorities {
    pct: Pct,
    of: BTreeMap<Actor, u64>,
    /// The steps at which somebody's priority is lowered, in order.
    changes: Vec<u32>,
    step: u32,
}

impl Priorities {
    pub(super) fn new(scheduler: Scheduler, chance: &mut Chance) -> Option<Self> {
        let Scheduler::Pct(pct) = scheduler else { return None };
        let mut changes: Vec<u32> =
            (1..pct.depth).map(|_| 1 + chance.pick(pct.steps.max(1))).collect();
        changes.sort_unstable();
        Some(Self { pct, of: BTreeMap::new(), changes, step: 0 })
    }

    /// Higher goes first. Those that were lowered are below all others, the later the lower.
    fn of(&mut self, actor: Actor, chance: &mut Chance) -> u64 {
        *self.of.entry(actor).or_insert_with(|| chance.draw() | 1 << 63)
    }

    fn goes(&mut self, actor: Actor) {
        self.step += 1;
        let reached = self.changes.iter().filter(|at| **at == self.step).count();
        if reached > 0 {
            let left = self.changes.iter().filter(|at| **at > self.step).count();
            self.of.insert(actor, u64::try_from(left).unwrap_or(0));
        }
    }
}

impl Machine<'_> {
    fn actor(&self, happening: &Happening) -> Actor {
        match happening {
            Happening::Wake { engine, run, .. }
            | Happening::Answered { engine, run, .. }
            | Happening::Rested { engine, run, .. } => Actor::Driver(*engine, *run),
            Happening::Provider { call, .. } => match self.calls.get(*call) {
                Some(call) => Actor::Provider(call.run, call.step),
                None => Actor::Host,
            },
            Happening::Desk { engine, .. } => Actor::Desk(*engine),
            Happening::Human { run, .. } => Actor::Person(*run),
            Happening::Late { .. } | Happening::LateEntries { .. } => Actor::Journal,
            _ => Actor::Host,
        }
    }

    /// Takes out of what may happen, in order, what an actor of the highest priority does first.
    pub(super) fn by_priority(&mut self, mut first: super::machine::Due) -> super::machine::Due {
        let Some(mut priorities) = self.priorities.take() else { return first };
        // Whoever is due longest is due by then, so that nobody waits for ever.
        let until: Timestamp = first.0.plus(priorities.pct.within);
        let mut due = vec![first];
        while let Some(next) = self.next_until(until) {
            due.push(next);
        }
        let mut best: Option<(u64, usize)> = None;
        for (at, (_, _, number)) in due.iter().enumerate() {
            let actor = self.what(*number).map_or(Actor::Host, |what| self.actor(what));
            let priority = priorities.of(actor, &mut self.chance);
            if best.is_none_or(|(of, _)| priority > of) {
                best = Some((priority, at));
            }
        }
        if let Some((_, at)) = best {
            first = due.remove(at);
        }
        let actor = self.what(first.2).map_or(Actor::Host, |what| self.actor(what));
        priorities.goes(actor);
        self.put_back(due);
        self.priorities = Some(priorities);
        first
    }
}
