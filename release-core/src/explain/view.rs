//! What an explanation is made with, beside the records of the run.

use super::obstacle::{Obstacle, ObstacleKind};
use crate::limits::{Ledger, Request, damaged};
use crate::port::{ClockAnomaly, Policy};
use crate::run::{Permits, RunState, Turn};
use crate::time::Timestamp;

/// What an explanation is made with, beside the records of the run: the instant, the policy, the clock
/// and the platform's limits.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct View<'a> {
    pub(super) at: Timestamp,
    policy: &'a dyn Policy,
    anomaly: Option<ClockAnomaly>,
    limits: Option<(&'a Permits, Result<&'a Ledger, &'a str>)>,
}

impl<'a> View<'a> {
    /// At this instant, with this policy, a clock that is right, and nothing known of limits.
    pub const fn new(at: Timestamp, policy: &'a dyn Policy) -> Self {
        Self { at, policy, anomaly: None, limits: None }
    }

    /// Sets what is wrong with the clock: nothing that goes forward is admitted while something is.
    pub const fn anomaly(mut self, anomaly: Option<ClockAnomaly>) -> Self {
        self.anomaly = anomaly;
        self
    }

    /// Sets what the run has of the platform's limits, and the ledger of permits, or what is wrong with
    /// it. Without, explanations tell of limits only what the run was told.
    pub const fn limits(
        mut self,
        permits: &'a Permits,
        ledger: Result<&'a Ledger, &'a str>,
    ) -> Self {
        self.limits = Some((permits, ledger));
        self
    }

    pub(super) const fn not_before(mut self, at: Timestamp) -> Self {
        if at.as_micros() > self.at.as_micros() {
            self.at = at;
        }
        self
    }

    pub(super) fn turn(&self) -> Turn<'a> {
        let permits = self.limits.map(|(permits, _)| permits);
        Turn { permits, anomaly: self.anomaly, ..Turn::new(self.at, 0, self.policy) }
    }

    pub(super) const fn sees_limits(&self) -> bool {
        self.limits.is_some()
    }

    /// The limits and quotas in the way of the step at `index`: all of them.
    pub(super) fn permits(&self, state: &RunState, index: u32) -> Option<Obstacle> {
        let (permits, ledger) = self.limits?;
        let wants = permits.wants(state, index);
        if wants.is_empty() {
            return None;
        }
        let ledger = match ledger {
            Ok(ledger) => ledger,
            // It holds no rollback.
            Err(_) if state.plan().in_rollback(index) => return None,
            Err(detail) => {
                let reasons = vec![damaged(detail)];
                return Some(Obstacle::new(ObstacleKind::Permits { reasons }));
            }
        };
        let (claim, team, class) = permits.claim(state, index);
        let request = Request { claim, epoch: u64::MAX, engine: String::new(), team, class, wants };
        let why = ledger.why_would_wait(&request, self.at)?;
        let obstacle = Obstacle::new(ObstacleKind::Permits { reasons: why.reasons() });
        Some(obstacle.not_before(why.not_before()))
    }
}
