//! What a permit stands on, as the step starts: leaves that still hold, for the run as it is.

use crate::model::Digest;
use crate::port::{Admission, CommandRequest, Decision, Grant, Reason, ReasonKind};
use crate::time::Timestamp;

/// A permit stands only on leaves that hold at that instant and are for this run as it is: whatever a
/// policy kept from an earlier answer, it is no latch.
pub(super) fn leased(decision: Decision, request: &Admission<'_>) -> Decision {
    held(decision, request.now, request.plan(), request.pinned)
}

/// The same of a command.
pub(super) fn leased_command(decision: Decision, request: &CommandRequest<'_>) -> Decision {
    held(decision, request.now, request.plan(), request.pinned)
}

fn held(
    decision: Decision,
    now: Timestamp,
    plan: Option<Digest>,
    pinned: Option<Digest>,
) -> Decision {
    let Decision::Permit { grants, inputs } = decision else { return decision };
    let mut lapsed = Vec::new();
    for Grant { rule, valid_until, bound_to } in &grants {
        let ended = valid_until.filter(|until| *until <= now);
        let other = |bound: Option<Digest>, is: Option<Digest>| bound.is_some() && bound != is;
        let text = match ended {
            Some(at) => format!("its leave ended at {at}"),
            None if other(bound_to.plan, plan) => "its leave was given for another plan".to_owned(),
            None if other(bound_to.policy, pinned) => {
                "its leave was given under other rules than those that the run pins".to_owned()
            }
            None => continue,
        };
        let reason = Reason::new(rule.clone(), text, "a new leave of the same rule");
        lapsed.push(reason.kind(ReasonKind::Missing));
    }
    if lapsed.is_empty() {
        return Decision::Permit { grants, inputs };
    }
    Decision::Wait { until: None, reasons: lapsed, inputs }
}
