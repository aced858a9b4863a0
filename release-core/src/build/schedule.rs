//! Which worker does what, and when, so that all is done early.
//!
//! The problem is hard (R. L. Graham, «Bounds on multiprocessing timing anomalies», 1969): an optimum cannot be found in reasonable
//! time. Whoever is free begins what may begin and has the longest way behind it; then all is pushed to the right and to the left
//! again, in the order of its ends and beginnings, for as long as that helps (K. Y. Li and R. J. Willis, 1992); then with ways that
//! are varied by lot. Fewer workers are tried, too, as far as they may be done earlier; altogether only so much is tried.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::dag::Dag;
use crate::run::digest::spread;

/// How many numbers and needs are passed at most, in all lists together that are made with all counts of workers. At least one list
/// is always made.
const WORK: usize = 4_000_000;
/// How often it is tried at most with varied ways, for each count of workers.
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

/// Before when nobody can be done.
#[derive(Debug)]
struct Bounds {
    /// The longest way.
    way: u64,
    /// Each instant at which something opens, and how long all takes together that cannot begin before.
    later: Vec<(u64, u128)>,
}

impl Bounds {
    /// For so many workers; with fewer it is never earlier.
    fn of(&self, workers: u32) -> u64 {
        let shared = self.later.iter().map(|(at, all)| {
            let share = all.div_ceil(u128::from(workers.max(1)));
            at.saturating_add(u64::try_from(share).unwrap_or(u64::MAX))
        });
        shared.max().unwrap_or(0).max(self.way)
    }
}

impl Jobs<'_> {
    fn take(&self, node: u32) -> u64 {
        self.takes.get(node as usize).copied().unwrap_or(0)
    }

    fn open(&self, node: u32) -> u64 {
        self.opens.get(node as usize).copied().unwrap_or(0)
    }

    /// Before when nobody can be done: the longest way, and for each instant at which something opens, what cannot begin before and
    /// all workers have to do together.
    pub(super) fn bound(&self, workers: u32) -> u64 {
        self.bounds().of(workers)
    }

    fn bounds(&self) -> Bounds {
        let mut earliest = vec![0_u64; self.dag.len()];
        for node in self.dag.order() {
            let ends = self.dag.before(*node).iter().map(|need| {
                let begin = earliest.get(*need as usize).copied().unwrap_or(0);
                begin.saturating_add(self.take(*need))
            });
            let begin = ends.max().unwrap_or(0).max(self.open(*node));
            if let Some(slot) = earliest.get_mut(*node as usize) {
                *slot = begin;
            }
        }
        let mut work: Vec<(u64, u64)> =
            earliest.into_iter().zip(self.takes.iter().copied()).collect();
        let way = work.iter().map(|(begin, take)| begin.saturating_add(*take)).max().unwrap_or(0);
        work.sort_unstable();
        let mut openings = self.opens.to_vec();
        openings.sort_unstable();
        openings.dedup();
        let (mut all, mut later) = (0_u128, Vec::with_capacity(openings.len()));
        for at in openings.into_iter().rev() {
            while let Some((_, take)) = work.pop_if(|(begin, _)| *begin >= at) {
                all += u128::from(take);
            }
            later.push((at, all));
        }
        Bounds { way, later }
    }

    /// The best timetable that was found. More workers never make it longer, unless so much is to be done that not all fewer of them
    /// can be tried within [`WORK`].
    pub(super) fn timetable(&self, workers: u32, seed: u64) -> Timetable {
        Search::new(self).best(workers, seed)
    }

    /// Whoever is free begins the one of the greatest priority among those that may begin. `back`: time runs backwards, and nothing
    /// has to be open. Tells also how many numbers and needs were passed.
    fn run(&self, workers: u32, priority: &[u64], back: bool) -> (Timetable, usize) {
        let needs = |node| if back { self.dag.after(node) } else { self.dag.before(node) };
        let frees = |node| if back { self.dag.before(node) } else { self.dag.after(node) };
        let of = |node: u32| priority.get(node as usize).copied().unwrap_or(0);
        let open = |node: u32| if back { 0 } else { self.open(node) };
        let nodes = self.dag.len();
        let mut waits: Vec<usize> = (0..).take(nodes).map(|node| needs(node).len()).collect();
        let mut table = Timetable { begins: vec![0; nodes], worker: vec![0; nodes], makespan: 0 };
        let mut steps = 0;
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
                steps += 1 + frees(node).len();
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
        (table, steps)
    }
}

/// A search for timetables, and what it cost up to now.
#[derive(Debug)]
struct Search<'a> {
    jobs: &'a Jobs<'a>,
    bounds: Bounds,
    /// How long the longest way is that begins with each.
    tails: Vec<u64>,
    /// How many numbers and needs may be passed.
    work: usize,
    /// So many were, in all lists.
    steps: Cell<usize>,
}

impl<'a> Search<'a> {
    fn new(jobs: &'a Jobs<'a>) -> Self {
        let tails = jobs.dag.tails(jobs.takes);
        Self { jobs, bounds: jobs.bounds(), tails, work: WORK, steps: Cell::new(0) }
    }

    fn best(&self, workers: u32, seed: u64) -> Timetable {
        let mut best = self.with_exactly(workers, seed);
        // With more workers, the same rule may end later (Graham's anomalies). Then some of them have nothing to do.
        for fewer in (1..workers).rev() {
            if self.bounds.of(fewer) >= best.makespan || self.lists_left() == 0 {
                break; // with fewer still, nobody is done earlier, either
            }
            let other = self.with_exactly(fewer, seed);
            if other.makespan < best.makespan {
                best = other;
            }
        }
        best
    }

    /// So many lists may still be made.
    fn lists_left(&self) -> usize {
        self.work.saturating_sub(self.steps.get()) / self.jobs.dag.size().max(1)
    }

    fn with_exactly(&self, workers: u32, seed: u64) -> Timetable {
        let bound = self.bounds.of(workers);
        let mut best = self.improved(self.list(workers, &self.tails, false), workers, bound);
        let mut state = seed;
        for _ in 0..TRIES {
            if best.makespan <= bound || self.lists_left() == 0 {
                break;
            }
            let varied: Vec<u64> = self
                .tails
                .iter()
                .map(|tail| {
                    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    tail.saturating_add((tail / 4).saturating_mul(spread(state) >> 48) >> 16)
                })
                .collect();
            let other = self.improved(self.list(workers, &varied, false), workers, bound);
            if other.makespan < best.makespan {
                best = other;
            }
        }
        best
    }

    /// The same, pushed to the right and back to the left for as long as it gets shorter.
    fn improved(&self, mut best: Timetable, workers: u32, bound: u64) -> Timetable {
        while best.makespan > bound && self.lists_left() >= 2 {
            let ends = best.begins.iter().zip(self.jobs.takes);
            let ends: Vec<u64> = ends.map(|(begin, take)| begin.saturating_add(*take)).collect();
            // What ends last begins first when time is turned round.
            let right = self.list(workers, &ends, true);
            let latest = right.begins.iter().zip(self.jobs.takes);
            let begins: Vec<u64> =
                latest.map(|(begin, take)| begin.saturating_add(*take)).collect();
            let left = self.list(workers, &begins, false);
            if left.makespan >= best.makespan {
                break;
            }
            best = left;
        }
        best
    }

    fn list(&self, workers: u32, priority: &[u64], back: bool) -> Timetable {
        let (table, steps) = self.jobs.run(workers, priority, back);
        self.steps.set(self.steps.get().saturating_add(steps));
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Between one second and sixty.
    fn takes(many: u64) -> Vec<u64> {
        (0..many).map(|number| SECOND + spread(number) % (59 * SECOND)).collect()
    }

    fn keeps(jobs: &Jobs<'_>, workers: u32, table: &Timetable) {
        let begin = |node: u32| table.begins[node as usize];
        let end = |node: u32| begin(node) + jobs.take(node);
        let mut order: Vec<u32> = (0..).take(jobs.dag.len()).collect();
        order.sort_by_key(|node| (begin(*node), end(*node)));
        let mut busy = vec![0; workers as usize];
        for node in order {
            assert!(begin(node) >= jobs.open(node));
            assert!(jobs.dag.before(node).iter().all(|need| end(*need) <= begin(node)));
            let until: &mut u64 = &mut busy[table.worker[node as usize] as usize];
            assert!(*until <= begin(node));
            *until = end(node);
        }
        assert_eq!(busy.into_iter().max(), Some(table.makespan));
    }

    /// A timetable that can be kept, and the steps that it took to find it; it is the same the next time.
    fn searched(jobs: &Jobs<'_>, workers: u32) -> (Timetable, usize) {
        let search = Search::new(jobs);
        let table = search.best(workers, 7);
        keeps(jobs, workers, &table);
        assert_eq!(jobs.timetable(workers, 7), table);
        (table, search.steps.get())
    }

    #[test]
    fn where_most_opens_late_no_count_is_tried_that_cannot_win() {
        let (dag, takes) = (Dag::new(20_000, &[]).unwrap(), takes(20_000));
        let open = |number| if number < 2_000 { 0 } else { 3_600 * SECOND };
        let opens: Vec<u64> = (0..20_000).map(open).collect();
        let jobs = Jobs { dag: &dag, takes: &takes, opens: &opens };
        let (table, steps) = searched(&jobs, 256);
        assert!(steps <= WORK, "{steps}");
        assert!(jobs.bound(255) >= table.makespan, "with one worker fewer it cannot end earlier");
        let alone = Search::new(&jobs);
        assert_eq!(alone.with_exactly(256, 7), table);
        assert_eq!(alone.steps.get(), steps);
    }

    #[test]
    fn however_many_counts_may_win_only_so_much_is_tried() {
        // Layers of 257 that take a second each, and between them one that waits for all of a layer and takes no time: with 129 workers
        // each layer takes two seconds, as with 256, and no bound says so. There are 19,866 of them.
        let (layers, wide) = (77_u32, 257_u32);
        let all = layers * (wide + 1);
        let mut pairs = Vec::new();
        for between in (wide..all).step_by(wide as usize + 1) {
            pairs.extend((between - wide..between).map(|before| (before, between)));
            let next = between + 1..(between + 1 + wide).min(all);
            pairs.extend(next.map(|after| (between, after)));
        }
        let dag = Dag::new(all as usize, &pairs).unwrap();
        let take = |number| if number % (wide + 1) == wide { 0 } else { SECOND };
        let takes: Vec<u64> = (0..all).map(take).collect();
        let opens = vec![0; all as usize];
        let jobs = Jobs { dag: &dag, takes: &takes, opens: &opens };
        let (table, steps) = searched(&jobs, 256);
        assert_eq!(table.makespan, 2 * u64::from(layers) * SECOND);
        assert!(jobs.bound(129) < table.makespan);
        assert!(steps <= WORK, "{steps}");
    }

    #[test]
    fn a_hundred_thousand_are_scheduled_in_so_many_steps() {
        // A thousand chains of a hundred each, of which every third may begin only after an hour.
        let many = 100_000_u32;
        let pairs: Vec<(u32, u32)> = (1_000..many).map(|number| (number - 1_000, number)).collect();
        let dag = Dag::new(many as usize, &pairs).unwrap();
        let takes = takes(many.into());
        let open =
            |number: u32| if (number % 1_000).is_multiple_of(3) { 3_600 * SECOND } else { 0 };
        let opens: Vec<u64> = (0..many).map(open).collect();
        let jobs = Jobs { dag: &dag, takes: &takes, opens: &opens };
        let (table, steps) = searched(&jobs, 64);
        assert!(steps <= WORK, "{steps}");
        assert!(10 * table.makespan <= 11 * jobs.bound(64));
    }

    #[test]
    fn one_list_is_made_even_where_it_is_too_much() {
        // Two have to be done by one of two workers, which no bound says.
        let dag = Dag::new(3, &[]).unwrap();
        let (takes, opens) = ([2, 2, 2], [0, 0, 0]);
        let jobs = Jobs { dag: &dag, takes: &takes, opens: &opens };
        let made = |work| {
            let search = Search { work, ..Search::new(&jobs) };
            let table = search.best(2, 7);
            keeps(&jobs, 2, &table);
            assert_eq!(table.makespan, 4);
            search.steps.get()
        };
        assert_eq!(made(0), 3);
        assert_eq!(made(8), 6, "the third would pass a ninth number");
        assert!(made(WORK) > 30);
    }
}
