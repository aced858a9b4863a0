//! What is admitted while nobody knows what time it is: nothing that goes forward.

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
