//! What is admitted while nobody knows what time it is: nothing that goes forward. And what is not known of
//! the world, until a person says.

use super::state::{Active, Phase, RunState, Wait};
use crate::port::{ClockAnomaly, Decision, Reason};

/// What a policy's `decision` comes to while something is wrong with the clock: no permit.
pub fn held_while_in_doubt(decision: Decision, anomaly: Option<ClockAnomaly>) -> Decision {
    let Some(anomaly) = anomaly else { return decision };
    let held = Reason::new(
        "clock/anomaly",
        anomaly.to_string(),
        "a clock that is right again, or whoever confirms it",
    );
    match decision {
        Decision::Permit { inputs, .. } => {
            Decision::Wait { until: None, reasons: vec![held], inputs }
        }
        Decision::Wait { mut reasons, inputs, .. } => {
            reasons.push(held);
            Decision::Wait { until: None, reasons, inputs }
        }
        Decision::Deny { mut reasons, inputs } => {
            reasons.push(held);
            Decision::Deny { reasons, inputs }
        }
    }
}

impl RunState {
    /// Whether the step at `index` changes something, nobody knows whether it took effect, and only a person
    /// can tell. Until somebody did, it may still be under way.
    pub(super) fn is_in_doubt(&self, index: u32) -> bool {
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::DropParked) {
            return false;
        }
        let parked = |active: &Active| active.wait == Wait::Operator { unknown: true };
        self.active.get(index).is_some_and(parked) && self.plan.step(index).action.mutates()
    }

    /// Whether a run that stops waits for the step at `index` no more: it starts nothing anew, and asks nobody.
    pub(crate) fn is_passed_over(&self, index: u32) -> bool {
        let under_way = |active: &Active| matches!(active.wait, Wait::Outcome { .. });
        matches!(self.phase, Phase::Stopping(_))
            && !self.active.get(index).is_some_and(under_way)
            && !self.is_in_doubt(index)
    }

    /// Whether a person has to say of some step whether it took effect.
    pub(super) fn waits_for_a_word(&self) -> bool {
        self.active.in_order().into_iter().any(|(index, _)| self.is_in_doubt(index))
    }
}
