//! The books of a run: what is ready, what is active, what waits for which instant.

use super::event::WakeUp;
use super::state::{Active, RunState, Status, Wait};

#[cfg(planted_bugs)]
pub(super) fn has_no_timer(wait: &Wait) -> bool {
    use crate::planted::{Bug, is};
    (is(Bug::NoTimer) && matches!(wait, Wait::Attempt { .. }))
        || (is(Bug::NoDeadline) && matches!(wait, Wait::Outcome { .. }))
}

impl RunState {
    pub(super) fn complete(&mut self, index: u32) {
        self.remaining = self.remaining.saturating_sub(1);
        if !self.left.is_empty() && self.plan.in_rollback(index) {
            self.one_less_to_take_back(index);
        }
        let mut nth = 0;
        while let Some(next) = self.plan.successor(index, nth) {
            nth += 1;
            let ready = self.waits_less(next);
            #[cfg(planted_bugs)]
            let ready = self.ready_by_a_bug(next, ready);
            // What was given up stays so, whatever it waited for.
            if ready && (self.left.is_empty() || self.status(next) == Some(Status::Pending)) {
                self.enqueue(next);
            }
        }
    }

    #[cfg(planted_bugs)]
    fn ready_by_a_bug(&self, next: u32, ready: bool) -> bool {
        use crate::planted::{Bug, is};
        let waits = self.waits.get(next as usize).copied().unwrap_or(0);
        let sync = self.plan.step(next).action == crate::plan::Action::Sync;
        let ready = ready
            || (is(Bug::IgnorePredecessor) && !sync && waits <= 1)
            || (is(Bug::SyncEarly) && sync);
        ready && self.status(next) == Some(Status::Pending)
    }

    /// A predecessor of the step at `index` is done; whether it was the last.
    pub(super) fn waits_less(&mut self, index: u32) -> bool {
        let Some(waits) = self.waits.get_mut(index as usize) else { return false };
        *waits = waits.saturating_sub(1);
        self.sums.waits_less(index);
        *waits == 0
    }

    pub(super) fn enqueue_roots(&mut self, from: usize) {
        let range = u32::try_from(from).unwrap_or(u32::MAX)
            ..u32::try_from(self.plan.len()).unwrap_or(u32::MAX);
        for index in range {
            let waits = self.plan.in_degree(index);
            self.waits.push(waits);
            #[cfg(planted_bugs)]
            let waits = if from > 0 && crate::planted::is(crate::planted::Bug::RollbackUnordered) {
                0
            } else {
                waits
            };
            if waits == 0 {
                self.enqueue(index);
            }
        }
    }

    pub(super) fn enqueue(&mut self, index: u32) {
        self.set_status(index, Status::Ready);
        if self.plan.step(index).action.is_pure() {
            self.ready_pure.push_back(index);
        } else {
            self.ready.push_back(index);
        }
    }

    /// Steps leave their queue in order, so this is the front but for hand-made journals.
    pub(super) fn unqueue(&mut self, index: u32) {
        let pure = self.plan.step(index).action.is_pure();
        let queue = if pure { &mut self.ready_pure } else { &mut self.ready };
        if queue.front() == Some(&index) {
            queue.pop_front();
        } else if let Some(at) = queue.iter().position(|other| *other == index) {
            queue.remove(at);
        }
    }

    pub(super) fn insert_active(&mut self, index: u32, active: Active) {
        self.count(&active.wait, 1);
        if let Some(timer) = self.timer(index, &active.wait) {
            self.timers.insert(timer);
        }
        self.active.insert(index, active);
    }

    pub(super) fn remove_active(&mut self, index: u32) {
        if let Some(active) = self.active.remove(index) {
            self.forget(index, &active.wait);
        }
    }

    pub(super) fn set_wait(&mut self, index: u32, wait: Wait) {
        if self.active.get(index).is_none() {
            return;
        }
        let timer = self.timer(index, &wait);
        self.count(&wait, 1);
        let Some(active) = self.active.get_mut(index) else { return };
        let old = std::mem::replace(&mut active.wait, wait);
        self.forget(index, &old);
        if let Some(timer) = timer {
            self.timers.insert(timer);
        }
    }

    /// Nobody waits in this way any more.
    pub(super) fn forget(&mut self, index: u32, wait: &Wait) {
        self.count(wait, -1);
        if let Some(timer) = self.timer(index, wait) {
            self.timers.remove(timer);
        }
    }

    pub(super) fn count(&mut self, wait: &Wait, by: i32) {
        match wait {
            Wait::Outcome { .. } => self.in_flight = self.in_flight.saturating_add_signed(by),
            Wait::Look { .. } => self.looking = self.looking.saturating_add_signed(by),
            Wait::Blocked(WakeUp::Policy) => self.held = self.held.saturating_add_signed(by),
            Wait::Bake { .. }
            | Wait::Attempt { .. }
            | Wait::Measurement { .. }
            | Wait::Blocked(_)
            | Wait::Operator { .. } => {}
        }
    }
}
