//! What explanations read of a state beside its public face.

use super::admit::{Admit, Missing, admit, missing};
use super::decide::Turn;
use super::event::WakeUp;
use super::state::{Phase, RunState, Status, Timer, Wait};
use crate::model::{Approval, Judge};
use crate::plan::{Action, Extension, OnFailure};
use crate::time::Timestamp;

/// Most steps that are looked at to find a place in the queue.
const MOST_CONTENDERS: u32 = 1_000;

/// How the votes on a gate stand.
#[derive(Debug)]
pub(crate) enum Counted {
    /// Enough approve.
    Enough,
    /// Approvals that count, fewer than the quorum.
    Lacking(u32),
    /// Somebody rejected it: who, and why.
    Rejected(String),
}

/// Effects under way leave no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    /// How many effects may be under way.
    pub(crate) limit: u32,
    /// How many are.
    pub(crate) in_flight: u32,
    /// How many steps come first, as far as that was counted.
    pub(crate) ahead: u32,
}

impl RunState {
    /// How the votes on a gate stand.
    pub(crate) fn counted(&self, wanted: &Approval, now: Timestamp) -> Counted {
        match missing(self, wanted, now) {
            Missing::Nothing => Counted::Enough,
            Missing::Rejected(text) => Counted::Rejected(text),
            Missing::Approvals { have, .. } => Counted::Lacking(have),
        }
    }

    /// Whether the steps behind the one at `index` need not wait for it any more.
    pub(crate) fn is_done(&self, index: u32) -> bool {
        match self.status(index) {
            Some(Status::Succeeded | Status::Compensated) => true,
            Some(Status::Failed) => {
                self.plan.step(index).on_failure == OnFailure::Continue || self.is_given_up(index)
            }
            Some(Status::Cancelled) => self.is_given_up(index),
            _ => false,
        }
    }

    /// Whether the step at `index` was given up with a part that is left behind, so that nobody waits for it.
    pub(crate) fn is_given_up(&self, index: u32) -> bool {
        self.is_left(index) && self.active(index).is_none()
    }

    /// Whether the step at `index` calls people, and nobody has been called.
    pub(crate) fn is_idle_page(&self, index: u32) -> bool {
        let is_page = |(base, extension): (u32, &Extension)| {
            index.checked_sub(base).is_some_and(|place| extension.pages.contains(&place))
        };
        self.status(index) == Some(Status::Pending) && self.plan.rollback().is_some_and(is_page)
    }

    /// Whether effects under way, and those that come first, leave no room for the step at `index` at
    /// `turn.now`, once nothing else holds it.
    pub(crate) fn lacks_a_place(&self, index: u32, turn: &Turn<'_>) -> Option<Places> {
        if self.plan.step(index).action.is_pure() {
            return None;
        }
        let free = self.free();
        let (mut ahead, mut admitted) = (0_u32, 0_u32);
        for (other, looks) in self.contenders(index, turn.now) {
            if ahead == MOST_CONTENDERS {
                admitted = free; // too many to ask about each
                break;
            }
            ahead += 1;
            if admitted < free && (looks || matches!(admit(self, other, turn), Admit::Yes { .. })) {
                admitted += 1;
            }
        }
        let (limit, in_flight) = (self.plan.plan().max_parallel(), self.in_flight);
        (admitted >= free).then_some(Places { limit, in_flight, ahead })
    }

    /// The steps that take a place before the one at `index` does if all that wait for places may start
    /// at `at`, and whether each only looks. In the order in which `advance` asks them.
    fn contenders(&self, index: u32, at: Timestamp) -> impl Iterator<Item = (u32, bool)> {
        let mine = self.active(index).and_then(|active| match &active.wait {
            Wait::Blocked(WakeUp::Approval { .. } | WakeUp::Policy | WakeUp::Permit) => {
                Some((Timer::Start, at, index))
            }
            wait => self.timer(index, wait),
        });
        let stopping = matches!(self.phase, Phase::Stopping(_));
        let timers = [Timer::Measure, Timer::Look, Timer::Start].into_iter();
        let timers = timers.filter(move |timer| !stopping || *timer == Timer::Look);
        let due = timers.flat_map(move |timer| {
            let due = self.timers.of(timer).take_while(move |(due, _)| *due <= at);
            due.map(move |(due, other)| (timer, due, other))
        });
        let due = due.take_while(move |other| mine.is_none_or(|mine| *other < mine));
        let due = due.map(|(timer, _, other)| (other, timer == Timer::Look));
        let ready = self.ready.iter().take_while(move |_| mine.is_none() && !stopping);
        let ready = ready.take_while(move |other| **other != index).map(|other| (*other, false));
        due.chain(ready)
    }

    /// The good measurements that the analysis at `index` still needs, if it is one.
    pub(crate) fn measurements_left(&self, index: u32) -> Option<u32> {
        let Action::Analyze { analysis, .. } = &self.plan.step(index).action else { return None };
        let measured = self.active(index).map(|active| &active.measured);
        let taken = match &analysis.judge {
            // How many looks it takes until versions that are compared differ enough, nobody knows before.
            Judge::Sequential(_) => return Some(1),
            Judge::Cusum(_) | Judge::Scorecard(_) => {
                measured.map_or(0, |measured| measured.undetermined)
            }
            Judge::Threshold(_) | Judge::BurnRate(_) | Judge::Objectives(_) => {
                measured.map_or(0, |measured| measured.good)
            }
        };
        Some(analysis.count.saturating_sub(taken))
    }
}
