//! How often a plugin failed, and what follows. Pure.

use std::collections::VecDeque;

use release_core::model::Span;
use release_core::time::Timestamp;

use super::RestartPolicy;

/// How often a plugin failed.
#[derive(Debug)]
pub(super) struct Record {
    policy: RestartPolicy,
    /// Faults within the window.
    faults: VecDeque<Timestamp>,
    /// Failures since a call succeeded.
    in_a_row: u32,
    /// Not to be started before.
    not_before: Option<Timestamp>,
}

impl Record {
    pub(super) const fn new(policy: RestartPolicy) -> Self {
        Self { policy, faults: VecDeque::new(), in_a_row: 0, not_before: None }
    }

    /// A fault at `now`; says how many there are when that is too many.
    pub(super) fn fault(&mut self, now: Timestamp) -> Option<u32> {
        self.faults.push_back(now);
        let most = usize::try_from(self.policy.faults.max(1)).unwrap_or(usize::MAX);
        while self.faults.len() > most
            || self.faults.front().is_some_and(|at| now.since(*at) > self.policy.window)
        {
            self.faults.pop_front();
        }
        let faults = u32::try_from(self.faults.len()).unwrap_or(u32::MAX);
        (faults >= self.policy.faults.max(1)).then_some(faults)
    }

    /// It ended at `now` without being asked to.
    pub(super) fn ended(&mut self, now: Timestamp) {
        let doublings = self.in_a_row.min(32);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let first = self.policy.first_pause.as_duration();
        let pause = first.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        let pause = pause.min(self.policy.longest_pause.as_duration());
        self.not_before = Some(now.plus(Span::from(pause)));
    }

    /// A call succeeded.
    pub(super) const fn succeeded(&mut self) {
        self.in_a_row = 0;
    }

    /// When it may be started again, if it is to wait.
    pub(super) const fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Forgets everything.
    pub(super) fn forgive(&mut self) {
        *self = Self::new(self.policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn record() -> Record {
        Record::new(RestartPolicy {
            first_pause: Span::millis(100),
            longest_pause: Span::millis(1_000),
            faults: 3,
            window: Span::secs(10),
        })
    }

    #[test]
    fn f39_so_many_faults_within_the_window_are_too_many() {
        let mut record = record();
        assert_eq!(record.fault(at(0)), None);
        assert_eq!(record.fault(at(1)), None);
        assert_eq!(record.fault(at(10_001)), None, "the first is forgotten");
        assert_eq!(record.fault(at(10_001)), Some(3));
        record.forgive();
        assert_eq!(record.fault(at(10_002)), None);
    }

    #[test]
    fn f36_pauses_double_until_a_call_succeeds() {
        let mut record = record();
        assert_eq!(record.not_before(), None);
        for pause in [100, 200, 400, 800, 1_000, 1_000] {
            record.ended(at(5));
            assert_eq!(record.not_before(), Some(at(5 + pause)));
        }
        record.succeeded();
        record.ended(at(7));
        assert_eq!(record.not_before(), Some(at(107)));
        for _ in 0..100 {
            record.ended(at(0));
        }
        assert_eq!(record.not_before(), Some(at(1_000)));
    }
}
