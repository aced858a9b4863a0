//! What a run waits for, as those read it who have to see to it.

use super::event::WakeUp;
use super::state::{Phase, RunState, Timer, Wait};
use crate::ids::{GateId, StepId};
use crate::time::Timestamp;

/// What a run that is not over waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaiting {
    /// The time to come.
    Instant(Timestamp),
    /// The outcome of this step's effect.
    Outcome(StepId),
    /// An approval of this gate.
    Approval(GateId),
    /// Another answer of the policy, which holds this step without naming an instant.
    Policy(StepId),
    /// The permits of this step, which others have.
    Permit(StepId),
    /// Somebody who retries or reconciles this step.
    Operator(StepId),
    /// Somebody who resumes the run.
    Resume,
}

impl RunState {
    /// The next instant at which something has to be decided, if there is one.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        Timer::ALL.into_iter().filter_map(|timer| self.first_of(timer)).min()
    }

    /// Whether something will be decided at some instant other than that a bake is over.
    pub(super) fn wakes_besides_bakes(&self) -> bool {
        let mut timers = Timer::ALL.into_iter().filter(|timer| *timer != Timer::Bake);
        timers.any(|timer| self.first_of(timer).is_some())
    }

    fn first_of(&self, timer: Timer) -> Option<Timestamp> {
        if self.timers.none_of(timer) {
            return None;
        }
        self.timers_of(timer, Timestamp::from_micros(i64::MAX)).next().map(|(at, _)| at)
    }

    /// Whether a policy holds a step without naming an instant, so that it has to be asked again from
    /// time to time ([`Input::Reconsider`](super::Input::Reconsider)).
    pub const fn asks_policy(&self) -> bool {
        self.held > 0
    }

    /// Everything that a run that is not over waits for; never empty unless it is over or can go on
    /// at once.
    pub fn awaiting(&self) -> Vec<Awaiting> {
        let mut all = Vec::new();
        if self.outcome().is_some() {
            return all;
        }
        let id = |index| self.plan.step(index).id.clone();
        all.extend(self.next_wakeup().map(Awaiting::Instant));
        for (index, active) in self.active.in_order() {
            if self.is_passed_over(index) {
                continue;
            }
            match &active.wait {
                Wait::Outcome { .. } => all.push(Awaiting::Outcome(id(index))),
                Wait::Operator { .. } => all.push(Awaiting::Operator(id(index))),
                Wait::Blocked(WakeUp::Policy) => {
                    // What only people can give is waited for from people, whoever said that it is missing.
                    let lacking: Vec<_> = self.uncounted(index, &active.reasons).collect();
                    if lacking.len() < active.reasons.len() || lacking.is_empty() {
                        all.push(Awaiting::Policy(id(index)));
                    }
                    all.extend(lacking.iter().map(|(at, _)| Awaiting::Approval(at.id.clone())));
                }
                Wait::Blocked(WakeUp::Permit) => all.push(Awaiting::Permit(id(index))),
                Wait::Blocked(WakeUp::Approval { gate }) => {
                    all.push(Awaiting::Approval(gate.clone()));
                }
                Wait::Bake { .. }
                | Wait::Attempt { .. }
                | Wait::Measurement { .. }
                | Wait::Look { .. }
                | Wait::Blocked(WakeUp::Instant { .. }) => {}
            }
        }
        if self.paused && matches!(self.phase, Phase::Forward) {
            all.push(Awaiting::Resume);
        }
        all
    }

    /// Whether only a person can move the run on.
    pub fn needs_a_person(&self) -> bool {
        let people = |waiting: &Awaiting| match waiting {
            Awaiting::Approval(_) | Awaiting::Operator(_) | Awaiting::Resume => true,
            Awaiting::Instant(_)
            | Awaiting::Outcome(_)
            | Awaiting::Policy(_)
            | Awaiting::Permit(_) => false,
        };
        let awaiting = self.awaiting();
        !awaiting.is_empty() && awaiting.iter().all(people)
    }
}
