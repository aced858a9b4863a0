//! Gates of plans, by the directory of the day: whoever approved counts as who and what they are now.
//!
//! The engine counts accounts that had a role when they approved. Where a book has a directory, more is known:
//! which accounts are one person, and who has left or lost a role since.

use std::collections::BTreeSet;

use release_core::model::{
    Approval, Delegation, Gate, Principal, PrincipalId, PrincipalKind, Span,
};
use release_core::port::{Admission, Decision, Inputs, Reason, ReasonKind};

use super::admit::scope;
use crate::directory::{Directory, DirectoryState};

/// What the directory says of the gates before a step: a permit, where nobody keeps one.
pub(crate) fn at_gates(
    request: &Admission<'_>,
    directory: DirectoryState<'_>,
    max_age: Span,
) -> Decision {
    let Some((state, _)) = request.at else { return Decision::permit() };
    let gates = request.step.gates.iter().filter_map(|gate| match gate {
        Gate::Approval(wanted) => Some(wanted),
        _ => None,
    });
    let mut gates = gates.peekable();
    if matches!(directory, DirectoryState::Unread) || gates.peek().is_none() {
        return Decision::permit();
    }
    let directory = match directory.fresh(request.now, max_age) {
        Ok(directory) => directory,
        Err(fault) => {
            let lifted_by = "whoever runs the directory";
            let reason = Reason::new("gate/directory", fault.to_string(), lifted_by);
            return Decision::deny(vec![reason.kind(ReasonKind::Error)]);
        }
    };
    let counting = Counting { request, directory };
    let lacking = |wanted: &Approval| counting.lacking(wanted, state.approvals_of(&wanted.id));
    let reasons: Vec<_> = gates.filter_map(lacking).collect();
    let digest = Some(directory.stamp().digest);
    let decision =
        if reasons.is_empty() { Decision::permit() } else { Decision::wait(None, reasons) };
    decision.from_inputs(Inputs { directory: digest, ..Inputs::default() })
}

struct Counting<'a> {
    request: &'a Admission<'a>,
    directory: &'a Directory,
}

impl Counting<'_> {
    /// What is missing, if fewer people count than are needed.
    fn lacking(&self, wanted: &Approval, approvals: &[Principal]) -> Option<Reason> {
        let out = if wanted.requester_may_approve { BTreeSet::new() } else { self.behind() };
        let (mut people, mut borrowed, mut dropped) = (BTreeSet::new(), Vec::new(), Vec::new());
        for by in approvals {
            match self.counts(wanted, &by.id, &out) {
                Ok(Voice { person, lenders }) if lenders.is_empty() => {
                    people.insert(person);
                }
                Ok(voice) => borrowed.push(voice),
                Err(why) => dropped.push(format!("; {by} {why}")),
            }
        }
        // What was lent speaks for who lent it, not besides their own word.
        let own = people.clone();
        let speaks = |voice: &Voice<'_>| voice.lenders.iter().any(|from| !own.contains(from));
        people.extend(borrowed.iter().filter(|voice| speaks(voice)).map(|voice| voice.person));
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

    /// The people behind the requester, and those whose right they asked with.
    fn behind(&self) -> BTreeSet<&PrincipalId> {
        let (id, now) = (&self.request.requester.id, self.request.now);
        let acts_for = self.directory.identity(id).into_iter().flat_map(|who| &who.acts_for);
        let lent = self.directory.lent_to_person(id).filter(|lent| lent.holds(now));
        let all = std::iter::once(id).chain(acts_for).chain(lent.map(|lent| &lent.from));
        all.map(|id| self.directory.human(id)).collect()
    }

    /// The person who counts, or why nobody does.
    fn counts<'a>(
        &'a self,
        wanted: &Approval,
        by: &'a PrincipalId,
        out: &BTreeSet<&PrincipalId>,
    ) -> Result<Voice<'a>, &'static str> {
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
        if wanted.roles.is_empty() || wanted.roles.iter().any(|role| own.contains(role)) {
            return Ok(Voice { person, lenders: BTreeSet::new() });
        }
        // The loans themselves, since what they are of outlives the question.
        let holds = |lent: &&Delegation| {
            let theirs = self.directory.own_roles(&lent.from, &here, now);
            lent.to == *by
                && lent.holds(now)
                && wanted.roles.contains(&lent.role)
                && theirs.contains(&lent.role)
        };
        let lent = self.directory.lent_to_person(by).filter(holds);
        let lenders = lent.map(|lent| self.directory.human(&lent.from));
        let lenders: BTreeSet<_> = lenders.filter(|from| !out.contains(from)).collect();
        if lenders.is_empty() {
            return Err("has none of its roles here any more");
        }
        Ok(Voice { person, lenders })
    }
}

/// Somebody who counts, and whose right they use if it is not their own.
struct Voice<'a> {
    person: &'a PrincipalId,
    lenders: BTreeSet<&'a PrincipalId>,
}
