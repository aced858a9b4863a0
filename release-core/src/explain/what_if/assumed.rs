//! A policy that takes assumed approvals for granted.

use crate::ids::{GateId, PrincipalId};
use crate::model::{Approval, Principal};
use crate::port::{Admission, CommandRequest, Decision, Policy};
use crate::run::{Command, Directive};

const PREFIX: &str = "assumed-";

/// As many approvals as a gate wants, of people who have its roles and whom nobody knows.
pub(super) fn approvals(wanted: &Approval) -> impl Iterator<Item = Directive> {
    let ids = (1..=wanted.quorum).filter_map(|n| PrincipalId::new(format!("{PREFIX}{n}")).ok());
    ids.map(|id| {
        let by = wanted.roles.iter().cloned().fold(Principal::human(id), Principal::with_role);
        Directive::new(Command::Approve { gate: wanted.id.clone() }, by, "assumed")
    })
}

fn is_assumed(by: &Principal) -> bool {
    by.id.as_str().starts_with(PREFIX)
}

/// What a policy says that knows people, but for those who are assumed: it is taken for granted that they may
/// approve, and that their approvals count.
#[derive(Debug)]
pub(super) struct Assumed<'a>(pub(super) &'a dyn Policy);

impl Assumed<'_> {
    /// The gates before a step that assumed approvals make full.
    fn full<'b>(request: &Admission<'b>) -> impl Iterator<Item = &'b GateId> + use<'b> {
        let state = request.at.map(|(state, _)| state);
        let full = move |wanted: &&Approval| {
            let given = state.map_or(&[][..], |state| state.approvals_of(&wanted.id));
            given.iter().filter(|given| is_assumed(&given.by)).count() >= wanted.quorum as usize
        };
        request.gates().filter(full).map(|wanted| &wanted.id)
    }
}

impl Policy for Assumed<'_> {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.0.admit(request)
    }

    fn opens(&self, request: &Admission<'_>) -> Decision {
        let decision = self.0.opens(request);
        let full: Vec<_> = Self::full(request).collect();
        if decision.is_permit() || full.is_empty() {
            return decision;
        }
        if full.len() == request.gates().count() {
            return Decision::permit();
        }
        match decision {
            Decision::Wait { until, mut reasons, inputs } => {
                let about = |rule: &str| {
                    full.iter().any(|id| rule.strip_prefix("gate/") == Some(id.as_str()))
                };
                reasons.retain(|why| !about(&why.rule));
                if reasons.is_empty() {
                    return Decision::permit();
                }
                Decision::Wait { until, reasons, inputs }
            }
            other => other,
        }
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        match self.0.authorize(request) {
            Decision::Deny { .. } if is_assumed(request.by) => Decision::permit(),
            decision => decision,
        }
    }
}
