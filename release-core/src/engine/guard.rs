//! A policy that cannot hurt the engine, and that admits nothing while nobody knows what time it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::effect::panic_text;
use crate::port::{Admission, Clock, ClockAnomaly, CommandRequest, Decision, Policy, Reason};

/// The host's policy, guarded. A policy that panics has not permitted anything: steps wait and are asked
/// about again, commands are denied.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) policy: Arc<dyn Policy>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Policy for Guarded {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let decision = catch_unwind(AssertUnwindSafe(|| self.policy.admit(request)));
        let decision = decision.unwrap_or_else(|panic| {
            let reasons = vec![panicked(&panic_text(&*panic))];
            Decision::Wait { until: None, reasons }
        });
        held_while_in_doubt(decision, self.clock.anomaly())
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let decision = catch_unwind(AssertUnwindSafe(|| self.policy.authorize(request)));
        decision.unwrap_or_else(|panic| Decision::Deny {
            reasons: vec![panicked(&panic_text(&*panic))],
        })
    }
}

/// What a policy's `decision` comes to while something is wrong with the clock: no permit.
pub fn held_while_in_doubt(decision: Decision, anomaly: Option<ClockAnomaly>) -> Decision {
    let Some(anomaly) = anomaly else { return decision };
    let held = Reason::new(
        "clock/anomaly",
        anomaly.to_string(),
        "a clock that is right again, or whoever confirms it",
    );
    match decision {
        Decision::Permit => Decision::Wait { until: None, reasons: vec![held] },
        Decision::Wait { reasons: mut all, .. } => {
            all.push(held);
            Decision::Wait { until: None, reasons: all }
        }
        Decision::Deny { mut reasons } => {
            reasons.push(held);
            Decision::Deny { reasons }
        }
    }
}

fn panicked(message: &str) -> Reason {
    let text = format!("the policy panicked: {message}");
    Reason::new("policy/panic", text, "whoever mends the policy")
}
