//! Whose word counts now: by the directory of now, whatever was true when they said it.
//!
//! Approvals and the votes of a board are judged by the same code.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ChangeScope, PrincipalId, PrincipalKind, RoleId, Span, Timestamp};

use super::facts::Statement;
use super::outcome::{Invalid, Unfit};
use super::policy::{Doer, Parties, Party};
use super::subject::Subject;
use crate::directory::{Directory, People};

/// All that says whether somebody's word counts.
#[derive(Debug)]
pub(crate) struct Eligibility<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) people: People<'a>,
    excluded: BTreeMap<&'a PrincipalId, Party>,
    scope: &'a ChangeScope,
    now: Timestamp,
}

/// The roles of a statement that hold, then and now.
#[derive(Debug, Default)]
pub(crate) struct Standing<'a> {
    pub(crate) own: BTreeSet<RoleId>,
    /// Each with the person who lent it.
    pub(crate) lent: Vec<(RoleId, &'a PrincipalId)>,
}

impl<'a> Eligibility<'a> {
    pub(crate) fn new(
        directory: &'a Directory,
        parties: &'a Parties,
        exclude: &BTreeSet<Doer>,
        scope: &'a ChangeScope,
        statements: impl Iterator<Item = &'a Statement>,
        now: Timestamp,
    ) -> Self {
        let links = statements.flat_map(|said| said.linked.iter().map(|other| (&said.by, other)));
        let people = People::new(directory, links);
        let mut excluded = BTreeMap::new();
        let mut add = |id: &'a PrincipalId, party| {
            excluded.entry(people.human(id)).or_insert(party);
        };
        for (id, party) in parties.accounts() {
            let is_out = match party {
                Party::Requester | Party::Delegator | Party::Author => true,
                Party::Executor => exclude.contains(&Doer::Executor),
                Party::Builder => exclude.contains(&Doer::Builder),
            };
            if is_out {
                add(id, party);
                let behind = directory.identity(id).into_iter().flat_map(|who| &who.acts_for);
                behind.for_each(|person| add(person, party));
            }
        }
        for lent in directory.lent_to_person(&parties.requester) {
            if lent.starts <= now && lent.ends > parties.requested_at {
                add(&lent.from, Party::Delegator);
            }
        }
        Self { directory, people, excluded, scope, now }
    }

    /// What the person behind an account is to the change, if that keeps them from approving.
    pub(crate) fn party(&self, id: &'a PrincipalId) -> Option<Party> {
        self.excluded.get(self.people.human(id)).copied()
    }

    /// Whether an account is known, active and a person's.
    pub(crate) fn person(&self, id: &PrincipalId) -> Result<(), Unfit> {
        let invalid = |reason| Err(Unfit::Invalidated { reason });
        match self.directory.identity(id) {
            None => invalid(Invalid::Unknown),
            Some(who) if matches!(who.kind, PrincipalKind::Service) => Err(Unfit::Machine),
            Some(who) if !who.active => invalid(Invalid::Inactive),
            Some(_) => Ok(()),
        }
    }

    /// The roles that an account can use now, with those lent by people who may speak here.
    pub(crate) fn roles(&self, id: &'a PrincipalId) -> Standing<'a> {
        let own = self.directory.own_roles(id, self.scope, self.now);
        let lent = self.directory.lent_roles(id, self.scope, self.now);
        let lent = lent
            .filter(|(role, from)| !own.contains(*role) && self.party(from).is_none())
            .map(|(role, from)| (role.clone(), self.people.human(from)))
            .collect();
        Standing { own, lent }
    }

    /// What a statement gives, or why it does not count: the roles that it was made with and that still
    /// hold.
    pub(crate) fn standing(
        &self,
        said: &'a Statement,
        subject: &Subject,
        valid_for: Span,
    ) -> Result<Standing<'a>, Unfit> {
        let ends = expires(said, valid_for);
        if said.at > self.now {
            return Err(Unfit::NotYet { at: said.at });
        }
        if ends <= self.now {
            return Err(Unfit::Expired { at: ends });
        }
        let changed: BTreeSet<_> = said.bound_to.changed(subject).collect();
        if !changed.is_empty() {
            return Err(Unfit::Stale { changed });
        }
        self.person(&said.by)?;
        if let Some(party) = self.party(&said.by) {
            return Err(Unfit::Excluded { party });
        }
        let mut roles = self.roles(&said.by);
        roles.own.retain(|role| said.roles.contains(role));
        roles.lent.retain(|(role, _)| said.roles.contains(role));
        Ok(roles)
    }

    /// Why a statement that still stands fits nowhere: its roles are gone, or never were.
    pub(crate) fn without_role(
        &self,
        said: &'a Statement,
        asked: impl Fn(&RoleId) -> bool,
    ) -> Unfit {
        let Standing { own, lent } = self.roles(&said.by);
        let holds = |role: &RoleId| own.contains(role) || lent.iter().any(|(held, _)| held == role);
        let lost = said.roles.iter().filter(|role| asked(role) && !holds(role));
        let lost: BTreeSet<_> = lost.cloned().collect();
        if lost.is_empty() {
            Unfit::NoRole
        } else {
            Unfit::Invalidated { reason: Invalid::RoleRevoked { lost } }
        }
    }
}

/// The first instant at which a statement no longer holds.
pub(crate) fn expires(said: &Statement, valid_for: Span) -> Timestamp {
    said.expires.min(said.at.plus(valid_for))
}

/// People who have a say, each with the roles they bring and the statements that bring them.
#[derive(Debug, Default)]
pub(crate) struct Voices<'a> {
    pub(crate) all: Vec<Voice<'a>>,
}

/// One person, with all that their accounts bring.
#[derive(Debug)]
pub(crate) struct Voice<'a> {
    pub(crate) human: &'a PrincipalId,
    /// Each role with the first statement that brings it.
    pub(crate) roles: BTreeMap<RoleId, u64>,
    /// The first statement.
    pub(crate) first: u64,
}

impl<'a> Voices<'a> {
    /// Brings statements together by person. A lent role speaks for who lent it: not besides their own
    /// word.
    pub(crate) fn new(standing: Vec<(&'a PrincipalId, u64, Standing<'a>)>) -> Self {
        let own: BTreeSet<_> = standing
            .iter()
            .flat_map(|(human, _, roles)| roles.own.iter().map(|role| (*human, role.clone())))
            .collect();
        let mut voices: BTreeMap<&PrincipalId, Voice<'_>> = BTreeMap::new();
        for (human, seq, Standing { own: held, lent }) in standing {
            let lent =
                lent.into_iter().filter(|(role, from)| !own.contains(&(*from, role.clone())));
            let roles = held.into_iter().chain(lent.map(|(role, _)| role));
            let voice = voices.entry(human).or_insert_with(|| Voice {
                human,
                roles: BTreeMap::new(),
                first: seq,
            });
            for role in roles {
                voice.roles.entry(role).or_insert(seq);
            }
        }
        Self { all: voices.into_values().collect() }
    }
}
