//! The least that would have to change for somebody to be allowed something.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{PrincipalId, PrincipalKind, RoleId, Timestamp};
use serde::Serialize;

use super::access::{Access, Brand, Held, Subject};
use super::decide::Judging;
use super::{Deny, Query};

/// The most roles that forbid one person something and whose loss is weighed against lifting rules; of more,
/// the rest is only lifted. The search doubles with each.
pub const MAX_FORBIDDING_ROLES: usize = 8;

/// One thing that somebody could change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// Take a fresh snapshot of the directory, and ask again.
    RefreshDirectory,
    /// Open an account.
    Register {
        /// Which.
        id: PrincipalId,
    },
    /// Let an account be used again.
    Activate {
        /// Which.
        id: PrincipalId,
    },
    /// Give a role over all of the resource, from now on.
    Grant {
        /// To whom.
        to: PrincipalId,
        /// The role.
        role: RoleId,
    },
    /// Take a grant or a loan of a role back.
    Revoke {
        /// From whom.
        from: PrincipalId,
        /// The role.
        role: RoleId,
        /// Since when it is held: of the grant, or of the loan.
        since: Timestamp,
        /// Who lent it, unless it is their own.
        lent_by: Option<PrincipalId>,
    },
    /// Let a role do the action over all of the resource, without conditions.
    Permit {
        /// The role.
        role: RoleId,
    },
    /// Remove a rule that forbids.
    Lift {
        /// The rule.
        rule: String,
    },
}

/// A rule that forbids it: to them in person, or because of these roles.
#[derive(Debug, Default)]
struct Obstacle {
    in_person: bool,
    because: BTreeSet<RoleId>,
}

struct Search<'a> {
    access: &'a Access,
    who: &'a Subject,
    query: &'a Query<'a>,
    obstacles: BTreeMap<usize, Obstacle>,
    /// Roles by whose permission it could be done, each with the rules that forbid it to whoever has it.
    helpful: Vec<(&'a RoleId, BTreeSet<usize>)>,
    /// All roles, in the same way.
    any: Vec<(&'a RoleId, BTreeSet<usize>)>,
}

impl Access {
    /// A smallest set of changes after which it would be allowed; empty when it is already. Of several as
    /// small, the one that changes the fewest rules. `None` when no role is defined, so that rules have to be
    /// written first.
    ///
    /// What is considered: opening accounts, giving roles, taking back roles that forbid, letting roles do
    /// more, and removing rules that forbid. Conditions are judged by the facts of the query.
    pub fn why_not(&self, query: &Query<'_>) -> Option<Vec<Change>> {
        if self.fresh(query.at).is_err() {
            return Some(vec![Change::RefreshDirectory]);
        }
        let known = self.subject(query.principal);
        let id = || query.principal.clone();
        let stranger = Subject::new(id(), PrincipalKind::Human);
        let mut changes = match known {
            None => vec![Change::Register { id: id() }],
            Some(who) if !who.active => vec![Change::Activate { id: id() }],
            Some(_) => Vec::new(),
        };
        let who = known.unwrap_or(&stranger);
        changes.extend(Search::new(self, who, query).shortest()?);
        changes.sort();
        Some(changes)
    }
}

impl<'a> Search<'a> {
    fn new(access: &'a Access, who: &'a Subject, query: &'a Query<'a>) -> Self {
        let book = &access.book;
        let mut obstacles: BTreeMap<usize, Obstacle> = BTreeMap::new();
        for hit in book.hits(who, query, Judging::Facts) {
            let obstacle = obstacles.entry(hit.deny).or_default();
            match hit.because {
                None => obstacle.in_person = true,
                Some(brand) => {
                    obstacle.because.insert(brand.held.grant.role.clone());
                }
            }
        }
        let any: Vec<_> = book
            .roles
            .iter()
            .map(|role| {
                let forbids = |at: &usize| book.forbids(*at, query, Judging::Facts).is_some();
                (&role.id, book.denies_of_role(&role.id).filter(forbids).collect())
            })
            .collect();
        let helps = |at: &usize| book.role_miss(*at, query, Judging::Facts).is_none();
        let helpful = any.iter().enumerate().filter(|(at, _)| helps(at));
        let helpful = helpful.map(|(_, role)| role.clone()).collect();
        Self { access, who, query, obstacles, helpful, any }
    }

    fn shortest(&self) -> Option<Vec<Change>> {
        let forbidding: BTreeSet<_> =
            self.obstacles.values().flat_map(|obstacle| &obstacle.because).collect();
        let forbidding: Vec<_> = forbidding.into_iter().take(MAX_FORBIDDING_ROLES).collect();
        let ways = 0..1_u32 << forbidding.len();
        let found = ways.filter_map(|way| {
            let lost = forbidding.iter().enumerate().filter(|(at, _)| way >> at & 1 == 1);
            self.without(&lost.map(|(_, role)| *role).collect())
        });
        found.min_by(|a, b| cost(a).cmp(&cost(b)))
    }

    /// The least to do when these roles are taken back.
    fn without(&self, lost: &BTreeSet<&RoleId>) -> Option<Vec<Change>> {
        let remains = |obstacle: &Obstacle| {
            obstacle.in_person || obstacle.because.iter().any(|role| !lost.contains(role))
        };
        let lifted = self.obstacles.iter().filter(|(_, obstacle)| remains(obstacle));
        let lifted: BTreeSet<_> = lifted.map(|(at, _)| *at).collect();
        let revoked = self.brands().filter(|brand| lost.contains(&brand.held.grant.role));
        let mut changes: BTreeSet<_> = revoked.map(|brand| revoke(&brand.held)).collect();
        changes.extend(lifted.iter().filter_map(|at| self.lift(*at)));
        let more = self.allow(&lifted, &changes)?;
        changes.extend(more);
        Some(changes.into_iter().collect())
    }

    /// Roles held here and now that rules forbid something because of.
    fn brands(&self) -> impl Iterator<Item = &Brand> {
        let concerns = |brand: &&Brand| {
            let held = &brand.held;
            (brand.active || held.account == self.who.id)
                && held.holds(self.query.at)
                && held.grant.reach.touches(self.query.resource)
        };
        self.who.branded.iter().filter(concerns)
    }

    /// The least that allows it, once these rules are lifted and these roles are taken back.
    fn allow(&self, lifted: &BTreeSet<usize>, gone: &BTreeSet<Change>) -> Option<Vec<Change>> {
        let book = &self.access.book;
        let mut permits = Vec::new();
        for held in self.who.held.iter().filter(|held| !gone.contains(&revoke(held))) {
            let reaches = held.role.is_some()
                && held.holds(self.query.at)
                && held.grant.reach.covers(self.query.resource);
            if !reaches || !self.lender_may(held, lifted) {
                continue;
            }
            if book.miss(held, self.query, Judging::Facts).is_none() {
                return Some(Vec::new());
            }
            permits.push(vec![Change::Permit { role: held.grant.role.clone() }]);
        }
        let grant = |(role, forbids): &(&RoleId, BTreeSet<usize>)| {
            let to = self.who.id.clone();
            let lifts = forbids.difference(lifted).filter_map(|at| self.lift(*at));
            let role = (*role).clone();
            lifts.chain([Change::Grant { to, role }]).collect::<Vec<_>>()
        };
        let grants = self.helpful.iter().map(grant);
        let both = self.any.iter().map(|role| {
            let permit = Change::Permit { role: role.0.clone() };
            grant(role).into_iter().chain([permit]).collect()
        });
        grants.chain(permits).chain(both).min_by(|a, b| cost(a).cmp(&cost(b)))
    }

    /// Whether a lender, if there is one, may do it once these rules are lifted.
    fn lender_may(&self, held: &Held, lifted: &BTreeSet<usize>) -> bool {
        let access = self.access;
        match access.lender_miss(held, self.query, Judging::Facts) {
            None => true,
            Some(super::Miss::LenderDenied { lender }) => {
                access.subject(&lender).is_some_and(|who| {
                    let query = self.query.by(&who.id);
                    let mut hits = access.book.hits(who, &query, Judging::Facts);
                    hits.all(|hit| lifted.contains(&hit.deny))
                })
            }
            Some(_) => false,
        }
    }

    fn lift(&self, deny: usize) -> Option<Change> {
        let deny: &Deny = self.access.book.denies.get(deny)?;
        Some(Change::Lift { rule: deny.id.clone() })
    }
}

fn revoke(held: &Held) -> Change {
    let lent = held.lent.as_ref();
    Change::Revoke {
        from: held.account.clone(),
        role: held.grant.role.clone(),
        since: lent.map_or(held.grant.from, |lent| lent.starts),
        lent_by: lent.map(|lent| lent.from.clone()),
    }
}

/// Fewest first; then fewest changes of rules; then by name.
fn cost(changes: &[Change]) -> (usize, usize, &[Change]) {
    let rules = changes
        .iter()
        .filter(|change| matches!(change, Change::Lift { .. } | Change::Permit { .. }));
    (changes.len(), rules.count(), changes)
}
