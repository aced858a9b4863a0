//! Gates of plans, by the directory of the day: whoever approved counts as who and what they are now.
//!
//! The engine counts accounts that had a role when they approved. Where a book has a directory, more is known:
//! which accounts are one person, and who has left or lost a role since. Where there are rights, they say who may
//! approve.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    Approval, ChangeScope, Delegation, Principal, PrincipalId, PrincipalKind, Span, Timestamp,
};
use release_core::port::{Admission, Decision, Inputs, Reason, ReasonKind};
use release_core::run::Given;

use super::admit::scope;
use crate::approval::Fits;
use crate::directory::{Directory, DirectoryFault, DirectoryState};
use crate::rbac::{Action, Rbac};

/// Who is known, and who may approve: what approvals at gates are judged by.
pub(crate) struct Judges<'a> {
    pub(crate) directory: DirectoryState<'a>,
    /// From which age on the directory decides nothing.
    pub(crate) max_age: Span,
    /// All of them have to let somebody approve.
    pub(crate) rights: Vec<&'a Rbac>,
}

/// What the directory and the rights say of the gates before a step: a permit, where nobody keeps any.
pub(crate) fn at_gates(request: &Admission<'_>, judges: &Judges<'_>, inputs: Inputs) -> Decision {
    let Some((state, _)) = request.at else { return Decision::permit() };
    let unread = matches!(judges.directory, DirectoryState::Unread);
    if request.gates().next().is_none() || unread && judges.rights.is_empty() {
        return Decision::permit();
    }
    let directory = match judges.directory.fresh(request.now, judges.max_age) {
        Ok(directory) => Some(directory),
        // Then accounts are all that is known.
        Err(DirectoryFault::Unread) => None,
        Err(fault) => return fails(fault.to_string(), "whoever runs the directory", inputs),
    };
    let requester = &request.requester.id;
    let own = request.gates().all(|wanted| wanted.requester_may_approve);
    if directory.is_some_and(|known| known.identity(requester).is_none()) && !own {
        let text = format!(
            "the directory has no account {requester}, who asked for this, so that nobody can tell who else they are"
        );
        return fails(text, "whoever opens accounts", inputs);
    }
    let here = scope(request.step.scope.place(), request.train());
    let (rights, since) = (&judges.rights[..], state.created_at());
    let counting = Counting { request, directory, rights, here, since };
    let lacking = |wanted: &Approval| counting.lacking(wanted, state.approvals_of(&wanted.id));
    let reasons: Vec<_> = request.gates().filter_map(lacking).collect();
    let decision =
        if reasons.is_empty() { Decision::permit() } else { Decision::wait(None, reasons) };
    decision.from_inputs(inputs)
}

fn fails(text: String, lifted_by: &str, inputs: Inputs) -> Decision {
    let reason = Reason::new("gate/directory", text, lifted_by).kind(ReasonKind::Error);
    Decision::deny(vec![reason]).from_inputs(inputs)
}

struct Counting<'a> {
    request: &'a Admission<'a>,
    directory: Option<&'a Directory>,
    rights: &'a [&'a Rbac],
    here: ChangeScope,
    /// When the run was created.
    since: Timestamp,
}

impl Counting<'_> {
    /// What is missing, if fewer people count than are needed.
    fn lacking(&self, wanted: &Approval, approvals: &[Given]) -> Option<Reason> {
        let out = if wanted.requester_may_approve { BTreeSet::new() } else { self.behind() };
        let (mut people, mut dropped) = (BTreeSet::new(), Vec::new());
        let mut borrowed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let now = self.request.now;
        for given in approvals {
            let by = &given.by;
            if let Some(at) = given.ends(wanted).filter(|at| *at <= now) {
                dropped.push(format!("; {by} approved until {at}"));
                continue;
            }
            match self.counts(wanted, by, &out) {
                Ok(Voice { person, lenders: None }) => {
                    people.insert(person);
                }
                Ok(Voice { person, lenders: Some(lenders) }) => {
                    borrowed.entry(person).or_default().extend(lenders);
                }
                Err(why) => dropped.push(format!("; {by} {why}")),
            }
        }
        let (have, quorum) = (people.len() + speakers(&people, borrowed), wanted.quorum);
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

    fn human<'b>(&'b self, id: &'b PrincipalId) -> &'b PrincipalId {
        self.directory.map_or(id, |directory| directory.human(id))
    }

    /// The people behind the requester, and those whose right they could have asked with since the run was created.
    fn behind(&self) -> BTreeSet<&PrincipalId> {
        let (id, now) = (&self.request.requester.id, self.request.now);
        let known = self.directory.into_iter();
        let acts_for = known.clone().filter_map(|known| known.identity(id));
        let acts_for = acts_for.flat_map(|who| &who.acts_for);
        let lent = known.flat_map(|known| known.lent_to_person(id));
        let lent = lent.filter(|lent| lent.starts <= now && lent.ends > self.since);
        let all = std::iter::once(id).chain(acts_for).chain(lent.map(|lent| &lent.from));
        all.map(|id| self.human(id)).collect()
    }

    /// The person who counts, or why nobody does.
    fn counts<'a>(
        &'a self,
        wanted: &Approval,
        by: &'a Principal,
        out: &BTreeSet<&PrincipalId>,
    ) -> Result<Voice<'a>, &'static str> {
        if let Some(directory) = self.directory {
            let identity = directory.identity(&by.id).ok_or("has no account any more")?;
            if matches!(identity.kind, PrincipalKind::Service) {
                return Err("is a machine");
            }
            if !identity.active {
                return Err("may not use the account any more");
            }
        }
        let person = self.human(&by.id);
        if out.contains(person) {
            return Err("is the requester");
        }
        let by_role = self.by_role(wanted, by, out)?;
        let by_right = self.by_right(by, out)?;
        // What somebody needs to have been lent, of the two, they speak with for who lent it.
        Ok(Voice { person, lenders: by_role.or(by_right) })
    }

    /// Who lent the role that a gate asks for; nobody, if it is their own or none is asked for.
    fn by_role<'a>(
        &'a self,
        wanted: &Approval,
        by: &'a Principal,
        out: &BTreeSet<&PrincipalId>,
    ) -> Result<Lenders<'a>, &'static str> {
        const NONE: &str = "has none of its roles here any more";
        let now = self.request.now;
        let asked = |roles: &BTreeSet<_>| wanted.roles.iter().any(|role| roles.contains(role));
        let Some(directory) = self.directory else {
            let has = wanted.roles.is_empty() || asked(&by.roles);
            return if has { Ok(None) } else { Err(NONE) };
        };
        if wanted.roles.is_empty() || asked(&directory.own_roles(&by.id, &self.here, now)) {
            return Ok(None);
        }
        // The loans themselves, since what they are of outlives the question.
        let holds = |lent: &&Delegation| {
            let theirs = directory.own_roles(&lent.from, &self.here, now);
            lent.to == by.id
                && lent.holds(now)
                && wanted.roles.contains(&lent.role)
                && theirs.contains(&lent.role)
        };
        let lent = directory.lent_to_person(&by.id).filter(holds);
        let lenders = lent.map(|lent| directory.human(&lent.from));
        let lenders: BTreeSet<_> = lenders.filter(|from| !out.contains(from)).collect();
        if lenders.is_empty() { Err(NONE) } else { Ok(Some(lenders)) }
    }

    /// Who lent the right to approve; nobody, if it is their own or there are no rights.
    fn by_right<'a>(
        &'a self,
        by: &Principal,
        out: &BTreeSet<&PrincipalId>,
    ) -> Result<Lenders<'a>, &'static str> {
        let mut lenders: Lenders<'a> = None;
        for rights in self.rights {
            let Admission { requester, now, .. } = *self.request;
            let answer = rights.ask(by, requester, Action::Approve, &self.here, now);
            if !answer.is_allowed() {
                return Err("may not approve here any more");
            }
            let lent: Option<BTreeSet<_>> =
                answer.granted.iter().map(|granted| granted.lent_by.as_ref()).collect();
            let Some(lent) = lent else { continue };
            // The same accounts, as this directory has them.
            let known = self.directory.map(|known| {
                let from = lent.iter().filter_map(|id| known.identity(id));
                from.map(|who| known.human(&who.id)).collect::<BTreeSet<_>>()
            });
            let from = known.unwrap_or_default().into_iter().filter(|id| !out.contains(id));
            let from: BTreeSet<_> = from.collect();
            let both = match lenders {
                Some(others) => others.intersection(&from).copied().collect(),
                None => from,
            };
            if both.is_empty() {
                return Err("may approve only for who asked for this");
            }
            lenders = Some(both);
        }
        Ok(lenders)
    }
}

/// How many more people speak with what was lent to them: each for a lender of their own, who says nothing
/// themselves.
fn speakers(
    own: &BTreeSet<&PrincipalId>,
    mut borrowed: BTreeMap<&PrincipalId, BTreeSet<&PrincipalId>>,
) -> usize {
    borrowed.retain(|person, _| !own.contains(person));
    let lenders: BTreeSet<_> =
        borrowed.values().flatten().filter(|from| !own.contains(*from)).collect();
    let (lenders, voices): (Vec<_>, Vec<_>) =
        (lenders.into_iter().collect(), borrowed.values().collect());
    let fits = |lender: usize, voice: usize| {
        let of = lenders.get(lender).zip(voices.get(voice));
        of.is_some_and(|(lender, voice)| voice.contains(*lender))
    };
    Fits::new(lenders.len(), voices.len(), fits).assign(voices.len()).filled()
}

/// The people whose right somebody uses; `None`: their own.
type Lenders<'a> = Option<BTreeSet<&'a PrincipalId>>;

/// Somebody who counts, and whose right they use if it is not their own.
struct Voice<'a> {
    person: &'a PrincipalId,
    lenders: Lenders<'a>,
}
