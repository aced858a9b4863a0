//! What is critical: a chain of which nothing can be late without the last of it being late as well.
//!
//! In the critical path method all activities with the least slack are critical (J. E. Kelley and M. R. Walker, «Critical-path planning and
//! scheduling», 1959). Where teams work at different hours that is not enough: a night or a freeze between two of them may take up what
//! the first is late. So a chain is made of those links alone that nothing takes up.

use std::cmp::Reverse;

use release_core::model::ActivityId;

use super::Calendar;
use super::hours::Hours;
use super::reckon::{Blocked, forwards};
use super::solve::Early;

/// When everything can be.
pub(super) struct Times<'a> {
    pub(super) hours: &'a Hours,
    pub(super) early: &'a [Early],
    /// When each has to begin and be done at the latest.
    pub(super) late: &'a [(i64, i64)],
    pub(super) slacks: &'a [i64],
}

/// The best chain that ends with an activity.
#[derive(Debug, Clone, Copy)]
struct Chain {
    /// When the first of it begins.
    begins: i64,
    length: usize,
    before: Option<usize>,
    /// When the last of it is done if it begins the least later than at the earliest.
    delayed: i64,
    /// When it is done if it begins the least later than at the latest.
    overdue: i64,
}

impl Calendar {
    /// The chain of activities with the least slack that ends last; of several the one that begins first, then the longest, then the first
    /// by names: so it does not matter in which order a calendar lists them.
    pub(super) fn critical(&self, times: &Times<'_>) -> Vec<usize> {
        let least = times.slacks.iter().min();
        let mut chains: Vec<Option<Chain>> = vec![None; self.order.len()];
        for number in &self.order {
            if times.slacks.get(*number) == least
                && let Some(chain) = self.chain(*number, &chains, times)
                && let Some(own) = chains.get_mut(*number)
            {
                *own = Some(chain);
            }
        }
        let finish = |number: usize| times.early.get(number).map(|early| early.finish);
        let rank = |number: usize, chain: &Chain| {
            (Reverse(finish(number)), chain.begins, Reverse(chain.length), self.name(number))
        };
        let all = chains.iter().enumerate().filter_map(|(number, chain)| Some((number, (*chain)?)));
        let latest = all.min_by(|(one, a), (two, b)| rank(*one, a).cmp(&rank(*two, b)));
        let before = |number: &usize| chains.get(*number).copied().flatten()?.before;
        let mut path: Vec<usize> =
            std::iter::successors(latest.map(|(number, _)| number), before).collect();
        path.reverse();
        path
    }

    fn name(&self, number: usize) -> Option<&ActivityId> {
        self.spec.activities.get(number).map(|activity| &activity.id)
    }

    fn chain(&self, number: usize, chains: &[Option<Chain>], times: &Times<'_>) -> Option<Chain> {
        let blocked = times.hours.blocked(number);
        let (early, work) = (times.early.get(number)?, self.work(number));
        let (latest, _) = *times.late.get(number)?;
        let begins = early.start;
        let alone = Chain {
            begins,
            length: 1,
            before: None,
            delayed: later(blocked, begins, work),
            overdue: later(blocked, latest, work),
        };
        let longer = self.before.get(number)?.iter().filter_map(|before| {
            let chain = chains.get(*before).copied().flatten()?;
            // Both have to be so: what is late moves this one, and what is too late makes this one too late.
            let moved = forwards(blocked, chain.delayed.max(early.asked), work).1 > early.finish;
            let binds = moved && chain.overdue > latest;
            let (length, before) = (chain.length + 1, Some(*before));
            binds.then_some(Chain { begins: chain.begins, length, before, ..alone })
        });
        let rank = |chain: &Chain| {
            (chain.begins, Reverse(chain.length), chain.before.and_then(|at| self.name(at)))
        };
        [alone].into_iter().chain(longer).min_by(|a, b| rank(a).cmp(&rank(b)))
    }
}

/// When work is done that begins the least later than at `start`.
fn later(blocked: Blocked<'_>, start: i64, work: i64) -> i64 {
    if work == 0 {
        return start.saturating_add(1);
    }
    let (_, begins) = forwards(blocked, start, 1);
    forwards(blocked, begins, work).1
}
