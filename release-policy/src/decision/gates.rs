//! Gates of plans, by the directory of the day: whoever approved counts as who and what they are now.
//!
//! The engine counts accounts that had a role when they approved. Where a book has a directory, more is known:
//! which accounts are one person, and who has left or lost a role since.

use std::collections::BTreeSet;

use release_core::model::{Approval, Gate, Principal, PrincipalId, PrincipalKind, Span};
use release_core::port::{Admission, Decision, Reason, ReasonKind};

use super::admit::scope;
use crate::directory::{Directory, DirectoryState};

/// What the directory says of the gates before a step; nothing, where there is none.
pub(super) fn at_gates(
    request: &Admission<'_>,
    directory: DirectoryState<'_>,
    max_age: Span,
) -> Option<Decision> {
    let (state, _) = request.at?;
    let gates = request.step.gates.iter().filter_map(|gate| match gate {
        Gate::Approval(wanted) => Some(wanted),
        _ => None,
    });
    let mut gates = gates.peekable();
    if matches!(directory, DirectoryState::Unread) || gates.peek().is_none() {
        return None;
    }
    let directory = match directory.fresh(request.now, max_age) {
        Ok(directory) => directory,
        Err(fault) => {
            let lifted_by = "whoever runs the directory";
            let reason = Reason::new("gate/directory", fault.to_string(), lifted_by);
            return Some(Decision::deny(vec![reason.kind(ReasonKind::Error)]));
        }
    };
    let counting = Counting { request, directory };
    let lacking = |wanted: &Approval| counting.lacking(wanted, state.approvals_of(&wanted.id));
    let reasons: Vec<_> = gates.filter_map(lacking).collect();
    Some(if reasons.is_empty() { Decision::permit() } else { Decision::wait(None, reasons) })
}

struct Counting<'a> {
    request: &'a Admission<'a>,
    directory: &'a Directory,
}

impl Counting<'_> {
    /// What is missing, if fewer people count than are needed.
    fn lacking(&self, wanted: &Approval, approvals: &[Principal]) -> Option<Reason> {
        let out = if wanted.requester_may_approve { BTreeSet::new() } else { self.behind() };
        let (mut people, mut dropped) = (BTreeSet::new(), Vec::new());
        for by in approvals {
            match self.counts(wanted, &by.id, &out) {
                Ok(person) => {
                    people.insert(person);
                }
                Err(why) => dropped.push(format!("; {by} {why}")),
            }
        }
        let (have, quorum) = (people.len(), wanted.quorum);
        if u32::try_from(have).is_ok_and(|have| have >= quorum) {
            return None;
        }
        let names: Vec<_> = wanted.roles.iter().map(ToString::to_string).collect();
        let who = if names.is_empty() { "somebody else".into() } else { names.join(" or ") };
        let id = &wanted.id;
        let text = format!("{have} of {quorum} people approve `{id}` by now{}", dropped.concat());
        let lifted_by = format!("an approval by {who}");
        Some(Reason::new(format!("gate/{id}"), text, lifted_by).kind(ReasonKind::Missing))
    }

    /// The people behind the requester.
    fn behind(&self) -> BTreeSet<&PrincipalId> {
        let id = &self.request.requester.id;
        let acts_for = self.directory.identity(id).into_iter().flat_map(|who| &who.acts_for);
        std::iter::once(id).chain(acts_for).map(|id| self.directory.human(id)).collect()
    }

    /// The person who counts, or why nobody does.
    fn counts<'a>(
        &'a self,
        wanted: &Approval,
        by: &'a PrincipalId,
        out: &BTreeSet<&PrincipalId>,
    ) -> Result<&'a PrincipalId, &'static str> {
        let identity = self.directory.identity(by).ok_or("has no account any more")?;
        if matches!(identity.kind, PrincipalKind::Service) {
            return Err("is a machine");
        }
        if !identity.active {
            return Err("may not use the account any more");
        }
        let person = self.directory.human(by);
        if out.contains(person) {
            return Err("is the requester");
        }
        let (here, now) =
            (scope(self.request.step.scope.place(), self.request.train()), self.request.now);
        let own = self.directory.own_roles(by, &here, now);
        let lent = self.directory.lent_roles(by, &here, now);
        let mut lent = lent.filter(|(_, from)| !out.contains(self.directory.human(from)));
        let has = wanted.roles.is_empty()
            || wanted.roles.iter().any(|role| own.contains(role))
            || lent.any(|(role, _)| wanted.roles.contains(role));
        if has { Ok(person) } else { Err("has none of its roles here any more") }
    }
}
