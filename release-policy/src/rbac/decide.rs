//! Whether somebody may do something.

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::model::{ChangeScope, PrincipalId, Timestamp};

use super::access::{Access, Book, Brand, Held, Subject};
use super::condition::all_hold;
use super::{
    Action, Answer, Condition, ConditionError, Denied, Deny, Facts, Granted, Miss, Missed, Whom,
};
use crate::directory::{Directory, DirectoryFault};

static NOTHING: Facts = Facts::new();

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Query<'a> {
    /// Who.
    pub principal: &'a PrincipalId,
    /// What.
    pub action: Action,
    /// On what.
    pub resource: &'a ChangeScope,
    /// The decision's instant.
    pub at: Timestamp,
    /// What is known besides, for rules with conditions.
    pub facts: &'a Facts,
    /// Who asked for the change, if it is known. What they lent counts for nothing in their own change.
    pub requester: Option<&'a PrincipalId>,
}

impl<'a> Query<'a> {
    /// Whether `principal` may do `action` on `resource` at `at`, with no facts and nobody who asked.
    pub const fn new(
        principal: &'a PrincipalId,
        action: Action,
        resource: &'a ChangeScope,
        at: Timestamp,
    ) -> Self {
        Self { principal, action, resource, at, facts: &NOTHING, requester: None }
    }

    /// The same with these facts.
    #[must_use]
    pub const fn facts(mut self, facts: &'a Facts) -> Self {
        self.facts = facts;
        self
    }

    /// The same for a change that `requester` asked for.
    #[must_use]
    pub const fn requested_by(mut self, requester: &'a PrincipalId) -> Self {
        self.requester = Some(requester);
        self
    }

    /// The same asked by somebody else.
    pub(super) const fn by(mut self, principal: &'a PrincipalId) -> Self {
        self.principal = principal;
        self
    }
}

/// A rule that forbids, and why.
#[derive(Debug)]
pub(super) struct Hit<'a> {
    pub(super) deny: usize,
    /// The role that it forbids because of, unless it means the person.
    pub(super) because: Option<&'a Brand>,
    pub(super) error: Option<ConditionError>,
}

/// That a rule forbids, and why it could not be judged, if that is why.
#[derive(Debug)]
pub(super) struct Forbids(pub(super) Option<ConditionError>);

/// How conditions are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judging {
    /// By the facts of the query.
    Facts,
    /// Facts are not known yet: what might allow does, and what might not forbid does not.
    Leniently,
}

impl Access {
    /// Whether somebody may do something, with all reasons.
    pub fn authorize(&self, query: &Query<'_>) -> Answer {
        let stamp = self.directory().map(Directory::stamp);
        let mut answer = Answer::undecided(&self.book.rules, stamp);
        if let Err(fault) = self.fresh(query.at) {
            answer.denied.push(Denied::Directory { fault });
            return answer;
        }
        match self.subject(query.principal) {
            None => answer.denied.push(Denied::Unknown),
            Some(subject) => {
                if !subject.active {
                    answer.denied.push(Denied::Inactive);
                }
                self.judge(subject, query, &mut answer);
            }
        }
        answer
    }

    /// The accounts that may do what is asked, whoever asks.
    ///
    /// # Errors
    /// [`DirectoryFault`] when nobody knows who may do what.
    pub fn who_can(&self, query: &Query<'_>) -> Result<Vec<PrincipalId>, DirectoryFault> {
        self.fresh(query.at)?;
        let allowed = |who: &&Subject| self.allows(who, &query.by(&who.id), Judging::Facts);
        Ok(self.subjects.iter().filter(allowed).map(|who| who.id.clone()).collect())
    }

    fn judge(&self, subject: &Subject, query: &Query<'_>, answer: &mut Answer) {
        self.book
            .judge(subject, query, answer, |held| self.lender_miss(held, query, Judging::Facts));
    }

    /// Whether a known, fresh account is allowed it.
    pub(super) fn allows(&self, who: &Subject, query: &Query<'_>, judging: Judging) -> bool {
        who.active
            && who.held.iter().any(|held| {
                self.book.miss(held, query, judging).is_none()
                    && self.lender_miss(held, query, judging).is_none()
            })
            && self.book.hits(who, query, judging).next().is_none()
    }

    /// Why what was lent does not help: it never reaches beyond what the lender may do.
    pub(super) fn lender_miss(
        &self,
        held: &Held,
        query: &Query<'_>,
        judging: Judging,
    ) -> Option<Miss> {
        let lender = self.subject(&held.lent.as_ref()?.from)?;
        let asked = query.requester.and_then(|id| self.subject(id));
        let by_lender = asked.is_some_and(|who| {
            who.person == lender.person || who.acts_for.contains(&lender.person)
        });
        let id = || lender.id.clone();
        if by_lender {
            return Some(Miss::LenderAsked { lender: id() });
        }
        let denied = self.book.hits(lender, &query.by(&lender.id), judging).next().is_some();
        denied.then(|| Miss::LenderDenied { lender: id() })
    }
}

impl Book {
    /// Adds what allows and what forbids.
    pub(super) fn judge(
        &self,
        subject: &Subject,
        query: &Query<'_>,
        answer: &mut Answer,
        lender_miss: impl Fn(&Held) -> Option<Miss>,
    ) {
        let mut forbidden: Vec<_> = self.hits(subject, query, Judging::Facts).collect();
        forbidden.sort_by_key(|hit| hit.deny);
        forbidden.dedup_by_key(|hit| hit.deny);
        answer.denied.extend(forbidden.into_iter().filter_map(|hit| {
            let Deny { id, reason, owner, .. } = self.denies.get(hit.deny)?;
            let (rule, reason, owner) = (id.clone(), reason.clone(), owner.clone());
            Some(Denied::Rule { rule, reason, owner, error: hit.error })
        }));
        let mut missed = BTreeSet::new();
        for held in &subject.held {
            // Nobody waits for the time of a role whose lender could not help then either.
            let miss = match self.miss(held, query, Judging::Facts) {
                time @ Some(Miss::NotYet { .. } | Miss::Ended { .. } | Miss::Never { .. }) => {
                    lender_miss(held).or(time)
                }
                miss => miss.or_else(|| lender_miss(held)),
            };
            match miss {
                None => answer.granted.push(Granted {
                    grant: Arc::clone(&held.grant),
                    lent_by: held.lent.as_ref().map(|lent| lent.from.clone()),
                    until: held.until(),
                }),
                Some(why) => {
                    if self.might(held, query.action) {
                        missed.insert(Missed { role: held.grant.role.clone(), why });
                    }
                }
            }
        }
        answer.granted.sort_by(|a, b| a.key().cmp(&b.key()));
        if answer.granted.is_empty() {
            answer.missed = missed.into_iter().collect();
        }
    }

    /// Whether a role could allow an action, somewhere and sometime. A role without rules might.
    fn might(&self, held: &Held, action: Action) -> bool {
        let role = held.role.and_then(|at| self.roles.get(at));
        role.is_none_or(|role| role.permissions.iter().any(|may| may.actions.contains(&action)))
    }

    /// The rules that forbid it. A rule that forbids for several reasons comes several times.
    pub(super) fn hits<'a>(
        &'a self,
        subject: &'a Subject,
        query: &'a Query<'_>,
        judging: Judging,
    ) -> impl Iterator<Item = Hit<'a>> {
        let general = self.general(query.action, query.resource);
        let general = general.chain(subject.named.iter().copied());
        let general = general.filter(move |at| {
            let kind = self.denies.get(*at).map(|deny| &deny.whom);
            !matches!(kind, Some(Whom::Kind(kind)) if *kind != subject.kind)
        });
        let branded = subject.branded.iter().filter(move |brand| {
            let held = &brand.held;
            // An account that is asked about as if it were active counts as active.
            let active = brand.active || held.account == subject.id;
            active && held.holds(query.at) && held.grant.reach.touches(query.resource)
        });
        let all = general.map(|deny| (deny, None));
        let all = all.chain(branded.map(|brand| (brand.deny, Some(brand))));
        all.filter_map(move |(deny, because)| {
            let Forbids(error) = self.forbids(deny, query, judging)?;
            Some(Hit { deny, because, error })
        })
    }

    /// Whether a rule forbids what is asked to those whom it means.
    pub(super) fn forbids(
        &self,
        deny: usize,
        query: &Query<'_>,
        judging: Judging,
    ) -> Option<Forbids> {
        let deny = self.denies.get(deny)?;
        let concerns = deny.actions.contains(&query.action)
            && deny.holds(query.at)
            && deny.reach.touches(query.resource);
        if !concerns {
            return None;
        }
        if deny.when.is_empty() {
            return Some(Forbids(None));
        }
        match judging {
            Judging::Leniently => None,
            Judging::Facts => match all_hold(&deny.when, query.facts) {
                Ok(true) => Some(Forbids(None)),
                Ok(false) => None,
                Err(error) => Some(Forbids(Some(error))),
            },
        }
    }

    /// Why a role that somebody holds does not allow what is asked; lenders are not asked.
    pub(super) fn miss(&self, held: &Held, query: &Query<'_>, judging: Judging) -> Option<Miss> {
        if held.role.is_none() {
            return Some(Miss::Undefined);
        }
        // Time alone is told where time alone is missing: nobody waits for what will not help then.
        if !held.grant.reach.covers(query.resource) {
            return Some(Miss::OutOfReach);
        }
        if let Some(miss) = self.role_miss(held.role?, query, judging) {
            return Some(miss);
        }
        let (from, until) = (held.from(), held.until());
        match until {
            Some(at) if at <= query.at => Some(Miss::Ended { at }),
            Some(ends) if ends <= from => Some(Miss::Never { ends }),
            _ => (query.at < from).then_some(Miss::NotYet { from }),
        }
    }

    /// Why a role does not allow what is asked, whoever holds it.
    pub(super) fn role_miss(
        &self,
        role: usize,
        query: &Query<'_>,
        judging: Judging,
    ) -> Option<Miss> {
        let mut worst = Miss::OutOfReach;
        for permission in self.roles.get(role).into_iter().flat_map(|role| &role.permissions) {
            let covers = permission.actions.contains(&query.action)
                && permission.reach.covers(query.resource);
            if !covers {
                continue;
            }
            match judge(&permission.when, query, judging) {
                Ok(true) => return None,
                Ok(false) => worst = worst.max(Miss::Condition),
                Err(error) => worst = worst.max(Miss::Error { error: error.to_string() }),
            }
        }
        Some(worst)
    }
}

fn judge(when: &[Condition], query: &Query<'_>, judging: Judging) -> Result<bool, ConditionError> {
    match judging {
        Judging::Facts => all_hold(when, query.facts),
        Judging::Leniently => Ok(true),
    }
}
