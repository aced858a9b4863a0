//! Whether a step may start: its gates and the policy, all of them together, now.

use super::command::Rejected;
use super::decide::Turn;
use super::event::WakeUp;
use super::gates::Given;
use super::state::RunState;
use crate::bounds;
use crate::ids::GateId;
use crate::model::{Approval, Gate, Principal, RollbackScope};
use crate::plan::{OnFailure, Step};
use crate::port::{Admission, Basis, Decision, EffectError, Inputs, Reason, ReasonKind};
use crate::time::Timestamp;

/// The kind of the error of a step before which a gate was rejected.
pub(super) const REJECTED: &str = "rejected";

/// Whether a step may start.
#[derive(Debug)]
pub(super) enum Admit {
    Yes { basis: Option<Box<Basis>> },
    NotYet { reasons: Vec<Reason>, wake: WakeUp, inputs: Option<Box<Inputs>> },
    Never { error: EffectError, back: Option<RollbackScope> },
}

pub(super) fn admit(state: &RunState, index: u32, turn: &Turn<'_>) -> Admit {
    let step = state.plan.step(index);
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::LatchAdmission)
        && state.active(index).is_some_and(|active| active.attempt > 0)
    {
        return Admit::Yes { basis: None };
    }
    let Held { mut reasons, approval, mut instant } = match at_gates(state, index, turn) {
        Ok(held) => held,
        Err(error) => return Admit::Never { error, back: None },
    };
    let mut held = false;
    let measures_again = state.measures_again(index);
    // No policy can hold a rollback: it is not even asked. Nor is it when an analysis measures again.
    let going_back = state.plan.in_rollback(index);
    #[cfg(planted_bugs)]
    let going_back = going_back && !crate::planted::is(crate::planted::Bug::HoldRollback);
    let (mut basis, mut inputs) = (None, None);
    if !going_back && !measures_again {
        match asked(state, index, turn) {
            Ok(stood_on) => basis = stood_on,
            Err(refusal) if refusal.reverts() => return refusal.revert(step),
            Err(Refusal { until, reasons: why, inputs: made_from, .. }) => {
                // An answer that claims to change now or earlier names no instant.
                match until.filter(|until| *until > turn.now) {
                    Some(until) => instant = instant.max(Some(until)),
                    None => held = true,
                }
                reasons.extend(why);
                inputs = made_from;
            }
        }
    }
    let wake = match (approval, held, instant) {
        (Some(gate), _, _) => WakeUp::Approval { gate },
        (None, true, _) => WakeUp::Policy,
        (None, false, Some(at)) => WakeUp::Instant { at },
        // Permits come last: who may not start holds none.
        (None, false, None) => match turn.permits.and_then(|p| p.lacking(state, index)) {
            Some(lacking) => {
                reasons = lacking;
                WakeUp::Permit
            }
            None => return Admit::Yes { basis },
        },
    };
    Admit::NotYet { reasons, wake, inputs }
}

/// What gates hold, by themselves.
#[derive(Default)]
struct Held {
    reasons: Vec<Reason>,
    /// The first gate that lacks approvals.
    approval: Option<GateId>,
    /// The last instant.
    instant: Option<Timestamp>,
}

/// What its own gates say, and those that were passed for it. An error, if one of them was rejected.
fn at_gates(state: &RunState, index: u32, turn: &Turn<'_>) -> Result<Held, EffectError> {
    let since = state.active(index).map_or(turn.now, |active| active.since);
    let mut held = Held::default();
    for gate in &state.plan.step(index).gates {
        match gate {
            Gate::Approval(wanted) => held.people(state, wanted, turn)?,
            Gate::Soak(span) => held.until(since.plus(*span), "soak", turn),
            Gate::NotBefore(at) => held.until(*at, "not_before", turn),
        }
    }
    for wanted in state.passed_before(index) {
        held.people(state, wanted, turn)?;
    }
    Ok(held)
}

impl Held {
    fn people(
        &mut self,
        state: &RunState,
        wanted: &Approval,
        turn: &Turn<'_>,
    ) -> Result<(), EffectError> {
        match missing(state, wanted, turn.now) {
            Missing::Nothing => {}
            Missing::Rejected(text) => return Err(EffectError::permanent(REJECTED, text)),
            Missing::Approvals { reason, .. } => {
                self.reasons.push(reason);
                self.approval.get_or_insert_with(|| wanted.id.clone());
            }
        }
        Ok(())
    }

    fn until(&mut self, at: Timestamp, rule: &str, turn: &Turn<'_>) {
        if at > turn.now {
            let text = format!("not before {at}");
            self.reasons.push(Reason::new(format!("gate/{rule}"), text, "time"));
            self.instant = self.instant.max(Some(at));
        }
    }
}

/// What a policy said that did not permit.
struct Refusal {
    denies: bool,
    until: Option<Timestamp>,
    reasons: Vec<Reason>,
    inputs: Option<Box<Inputs>>,
}

impl Refusal {
    /// Whether what has begun is to be taken back.
    fn reverts(&self) -> bool {
        self.denies && self.reasons.iter().any(|why| why.kind == ReasonKind::Revert)
    }

    fn revert(self, step: &Step) -> Admit {
        let reverting = self.reasons.iter().filter(|why| why.kind == ReasonKind::Revert);
        let text: Vec<_> = reverting.map(|why| format!("{}: {}", why.rule, why.text)).collect();
        let error = bounds::error(&EffectError::permanent("policy_reverts", text.join("; ")));
        let back = match step.on_failure {
            OnFailure::RollBack(scope) => scope,
            OnFailure::Fail | OnFailure::Hold | OnFailure::Continue => RollbackScope::Region,
        };
        Admit::Never { error, back: Some(back) }
    }
}

/// Asks the policy, and tells what its permit stands on.
fn asked(state: &RunState, index: u32, turn: &Turn<'_>) -> Result<Option<Box<Basis>>, Refusal> {
    let request = Admission::of(state, index, state.plan.step(index), turn.now);
    let Some(decision) = turn.admission(&request) else { return Ok(None) };
    let refusal = match decision {
        Decision::Permit { grants, inputs } => return Ok(Basis::of(grants, inputs)),
        #[cfg(planted_bugs)]
        Decision::Deny { .. } if crate::planted::is(crate::planted::Bug::IgnoreDeny) => {
            return Ok(None);
        }
        Decision::Wait { until, reasons, inputs } => {
            Refusal { denies: false, until, reasons, inputs }
        }
        Decision::Deny { reasons, inputs } => {
            Refusal { denies: true, until: None, reasons, inputs }
        }
    };
    #[cfg(planted_bugs)]
    if crate::planted::is(crate::planted::Bug::IgnorePolicy) {
        return Ok(None);
    }
    Err(refusal)
}

#[derive(Debug)]
pub(super) enum Missing {
    Nothing,
    /// How many count so far, and what that lacks.
    Approvals {
        have: u32,
        reason: Reason,
    },
    Rejected(String),
}

/// Approvals are counted anew at every admission.
pub(super) fn missing(state: &RunState, wanted: &Approval, now: Timestamp) -> Missing {
    let Some(gate) = state.gates.get(&wanted.id) else {
        return lacks(wanted, 0, &[]);
    };
    if let Some(text) = &gate.rejected {
        return Missing::Rejected(format!("gate `{}` was {text}", wanted.id));
    }
    let counts = |given: &&Given| refusals(state, wanted, &given.by).is_empty();
    let (over, hold): (Vec<_>, Vec<_>) =
        gate.approvals.iter().filter(counts).partition(|given| given.is_over(wanted, now));
    if hold.len() >= wanted.quorum as usize {
        return Missing::Nothing;
    }
    lacks(wanted, hold.len(), &over)
}

/// `over` are those that have ended.
fn lacks(wanted: &Approval, have: usize, over: &[&Given]) -> Missing {
    let roles: Vec<_> = wanted.roles.iter().map(ToString::to_string).collect();
    let who =
        if roles.is_empty() { "anybody but the requester".to_owned() } else { roles.join(" or ") };
    let over = over.iter().filter_map(|given| Some((&given.by, given.ends(wanted)?)));
    let over: Vec<_> = over.map(|(by, at)| format!("; that of {by} ended at {at}")).collect();
    let text = format!("{have} of {} approvals of `{}`{}", wanted.quorum, wanted.id, over.concat());
    let reason = Reason::new(rule(wanted), text, format!("an approval by {who}"));
    Missing::Approvals { have: u32::try_from(have).unwrap_or(u32::MAX), reason }
}

/// Whether an approval would count.
#[derive(Debug)]
pub(super) enum Approving {
    Counts,
    /// The same principal approved before: one person is one approval.
    CountsAlready,
    Refused(Vec<Reason>),
}

pub(super) fn may_approve(
    state: &RunState,
    id: &GateId,
    by: &Principal,
    now: Timestamp,
) -> Result<Approving, Rejected> {
    let wanted = known_gate(state, id)?;
    let reasons = refusals(state, wanted, by);
    if !reasons.is_empty() {
        return Ok(Approving::Refused(reasons));
    }
    let mut before = state.approvals_of(id).iter().filter(|given| given.by.id == by.id);
    let before = before.any(|given| !given.is_over(wanted, now));
    #[cfg(planted_bugs)]
    let before = before && !crate::planted::is(crate::planted::Bug::CountTwice);
    Ok(if before { Approving::CountsAlready } else { Approving::Counts })
}

pub(super) fn known_gate<'a>(state: &'a RunState, id: &GateId) -> Result<&'a Approval, Rejected> {
    let approvals = || {
        let gates = state.plan.plan().steps().iter().flat_map(|step| &step.gates);
        gates.filter_map(Gate::approval)
    };
    approvals().find(|approval| approval.id == *id).ok_or_else(|| {
        let known: Vec<_> = approvals().take(20).map(|approval| approval.id.to_string()).collect();
        Rejected::UnknownGate { gate: id.clone(), known: known.join(", ") }
    })
}

fn refusals(state: &RunState, wanted: &Approval, by: &Principal) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let own = !wanted.requester_may_approve && by.id == state.requester.id;
    #[cfg(planted_bugs)]
    let own = own && !crate::planted::is(crate::planted::Bug::ApproveOwn);
    if own {
        let text = format!("{by} requested this run (separation of duties)");
        reasons.push(Reason::new(rule(wanted), text, "an approval by somebody else"));
    }
    reasons.extend(lacks_role(wanted, by));
    reasons
}

pub(super) fn lacks_role(wanted: &Approval, by: &Principal) -> Option<Reason> {
    if wanted.roles.is_empty() || wanted.roles.iter().any(|role| by.roles.contains(role)) {
        return None;
    }
    let roles: Vec<_> = wanted.roles.iter().map(ToString::to_string).collect();
    let text = format!("{by} has none of the roles {}", roles.join(", "));
    Some(Reason::new(rule(wanted), text, "whoever grants roles"))
}

fn rule(wanted: &Approval) -> String {
    format!("gate/{}", wanted.id)
}
