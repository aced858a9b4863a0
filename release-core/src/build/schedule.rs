//! Which worker does what, and when, so that all is done early.
//!
//! The problem is hard (R. L. Graham, «Bounds on multiprocessing timing anomalies», 1969): an optimum cannot be found in reasonable
//! time. Whoever is free begins what may begin and has the longest way behind it; then all is pushed to the right and to the left
//! again, in the order of its ends and beginnings, for as long as that helps (K. Y. Li and R. J. Willis, 1992); then with ways that
//! are varied by lot.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::dag::Dag;
use crate::run::digest::spread;

/// How many numbers are looked at at most, for all that is tried.
const WORK: usize = 4_000_000;
/// How often it is tried at most with varied ways.
const TRIES: usize = 16;

/// What is to be done, in microseconds.
#[derive(Debug)]
pub(super) struct Jobs<'a> {
    pub(super) dag: &'a Dag,
    pub(super) takes: &'a [u64],
    /// Before when none may begin.
    pub(super) opens: &'a [u64],
}

/// When each begins, and who does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timetable {
    pub(super) begins: Vec<u64>,
    pub(super) worker: Vec<u32>,
    pub(super) makespan: u64,
}

impl Jobs<'_> {
    fn take(&self, node: u32) -> u64 {
        self.takes.get(node as usize).copied().unwrap_or(0)
    }

    fn open(&self, node: u32) -> u64 {
        self.opens.get(node as usize).copied().unwrap_or(0)
    }

    /// Before when nobody can be done: the longest way, and what all workers have to do together.
    pub(super) fn bound(&self, workers: u32) -> u64 {
        let tails = self.dag.tails(self.takes);
        let ways = (0..).zip(&tails).map(|(node, tail)| self.open(node).saturating_add(*tail));
        let all: u128 = self.takes.iter().map(|take| u128::from(*take)).sum();
        let first = (0..).take(self.dag.len()).map(|node| self.open(node)).min().unwrap_or(0);
        let shared = all.div_ceil(u128::from(workers.max(1))).saturating_add(first.into());
        ways.max().unwrap_or(0).max(u64::try_from(shared).unwrap_or(u64::MAX))
    }

    /// The best timetable that was found. More workers never make it longer.
    pub(super) fn timetable(&self, workers: u32, seed: u64) -> Timetable {
        let mut best = self.with_exactly(workers, seed);
        // With more workers, the same rule may end later (Graham's anomalies). Then some of them have nothing to do.
        for fewer in (1..workers).rev() {
            if self.bound(fewer) >= best.makespan {
                break; // and with fewer still, too
            }
            let other = self.with_exactly(fewer, seed);
            if other.makespan < best.makespan {
                best = other;
            }
        }
        best
    }

    fn with_exactly(&self, workers: u32, seed: u64) -> Timetable {
        let bound = self.bound(workers);
        let tails = self.dag.tails(self.takes);
        let mut best = self.improved(self.list(workers, &tails), workers, bound);
        let tries = (WORK / (self.dag.len() + 1)).min(TRIES);
        let mut state = seed;
        for _ in 0..tries {
            if best.makespan <= bound {
                break;
            }
            let varied: Vec<u64> = tails
                .iter()
                .map(|tail| {
                    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    tail.saturating_add((tail / 4).saturating_mul(spread(state) >> 48) >> 16)
                })
                .collect();
            let other = self.improved(self.list(workers, &varied), workers, bound);
            if other.makespan < best.makespan {
                best = other;
            }
        }
        best
    }

    /// The same, pushed to the right and back to the left for as long as it gets shorter.
    fn improved(&self, mut best: Timetable, workers: u32, bound: u64) -> Timetable {
        while best.makespan > bound {
            let end = |node: u32| {
                best.begins.get(node as usize).copied().unwrap_or(0).saturating_add(self.take(node))
            };
            let ends: Vec<u64> = (0..).take(self.dag.len()).map(end).collect();
            // What ends last begins first when time is turned round.
            let right = self.run(workers, &ends, true);
            let latest = right.begins.iter().zip(self.takes);
            let begins: Vec<u64> =
                latest.map(|(begin, take)| begin.saturating_add(*take)).collect();
            let left = self.run(workers, &begins, false);
            if left.makespan >= best.makespan {
                break;
            }
            best = left;
        }
        best
    }

    fn list(&self, workers: u32, priority: &[u64]) -> Timetable {
        self.run(workers, priority, false)
    }

    /// Whoever is free begins the one of the greatest priority among those that may begin. `back`: time runs backwards, and nothing
    /// has to be open.
    fn run(&self, workers: u32, priority: &[u64], back: bool) -> Timetable {
        let needs = |node| if back { self.dag.after(node) } else { self.dag.before(node) };
        let frees = |node| if back { self.dag.before(node) } else { self.dag.after(node) };
        let of = |node: u32| priority.get(node as usize).copied().unwrap_or(0);
        let open = |node: u32| if back { 0 } else { self.open(node) };
        let nodes = self.dag.len();
        let mut waits: Vec<usize> = (0..).take(nodes).map(|node| needs(node).len()).collect();
        let mut table = Timetable { begins: vec![0; nodes], worker: vec![0; nodes], makespan: 0 };
        let mut free: BTreeSet<u32> = (0..workers.max(1)).collect();
        let mut ready: BinaryHeap<(u64, Reverse<u32>)> = BinaryHeap::new();
        // Instants at which something happens: somebody ends (with the worker), or something opens.
        let mut events: BinaryHeap<Reverse<(u64, u32, Option<u32>)>> = BinaryHeap::new();
        for (node, count) in (0_u32..).zip(&waits) {
            if *count == 0 {
                events.push(Reverse((open(node), node, None)));
            }
        }
        while let Some(Reverse((now, _, _))) = events.peek().copied() {
            while let Some(Reverse((at, node, worker))) = events.peek().copied() {
                if at > now {
                    break;
                }
                events.pop();
                let Some(worker) = worker else {
                    ready.push((of(node), Reverse(node)));
                    continue;
                };
                free.insert(worker);
                for next in frees(node) {
                    let Some(count) = waits.get_mut(*next as usize) else { continue };
                    *count -= 1;
                    if *count == 0 {
                        events.push(Reverse((open(*next).max(now), *next, None)));
                    }
                }
            }
            while let Some(worker) = free.first().copied() {
                let Some((_, Reverse(node))) = ready.pop() else { break };
                free.remove(&worker);
                let end = now.saturating_add(self.take(node));
                table.set(node, now, worker, end);
                events.push(Reverse((end, node, Some(worker))));
            }
        }
        table
    }
}

impl Timetable {
    fn set(&mut self, node: u32, begin: u64, worker: u32, end: u64) {
        let slots = self.begins.get_mut(node as usize).zip(self.worker.get_mut(node as usize));
        if let Some((slot, who)) = slots {
            *slot = begin;
            *who = worker;
        }
        self.makespan = self.makespan.max(end);
    }
}
