//! Finds who could do alone what is meant to take several people.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::model::{ChangeScope, PrincipalId, Reach, RoleGrant, Timestamp};
use serde::{Deserialize, Serialize};

use super::access::{Access, Held, Subject};
use super::decide::Judging;
use super::{Action, Query};
use crate::directory::DirectoryFault;

/// A part in a change, and the actions of which any one is enough to play it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duty {
    /// Its name, for example `approver`.
    pub name: String,
    /// The actions.
    pub actions: BTreeSet<Action>,
}

impl Duty {
    /// A part that any of `actions` plays.
    pub fn new(name: impl Into<String>, actions: impl IntoIterator<Item = Action>) -> Self {
        Self { name: name.into(), actions: actions.into_iter().collect() }
    }

    /// Requester, approver and deployer.
    pub fn usual() -> [Self; 3] {
        [
            Self::new("requester", [Action::Request]),
            Self::new("approver", [Action::Approve]),
            Self::new("deployer", [Action::Deploy, Action::Advance, Action::Migrate]),
        ]
    }
}

/// Somebody who could play all parts in one change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The person, or the machine that acts for nobody.
    pub person: PrincipalId,
    /// A change in which they could.
    pub change: ChangeScope,
    /// When they could.
    pub at: Timestamp,
    /// How, in the order of the duties.
    pub parts: Vec<ConflictPart>,
}

/// How somebody plays one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictPart {
    /// The part.
    pub duty: String,
    /// By which account.
    pub account: PrincipalId,
    /// By which action.
    pub action: Action,
    /// By which grant.
    pub grant: Arc<RoleGrant>,
    /// Who lent it, unless it is their own.
    pub lent_by: Option<PrincipalId>,
}

/// One way to play a part: an account, an action, and a role that allows it within a reach.
#[derive(Debug, Clone)]
struct Way<'a> {
    duty: &'a Duty,
    account: &'a Subject,
    action: Action,
    held: &'a Held,
    reach: Reach,
}

impl Access {
    /// Everybody who could play all of `duties` in one change at `from` or at any time after it, each with
    /// one way to do so: over linked accounts, lent roles and machines that act for them.
    ///
    /// Nobody is missing from it: what a condition might allow is taken as allowed, and what it might not
    /// forbid as not forbidden. Snapshots of the directory are taken as they are now, however long that is.
    ///
    /// # Errors
    /// [`DirectoryFault`] when nobody knows who may do what at `from`.
    pub fn separation_of_duties(
        &self,
        duties: &[Duty],
        from: Timestamp,
    ) -> Result<Vec<Conflict>, DirectoryFault> {
        self.fresh(from)?;
        let mut people: BTreeMap<&PrincipalId, Vec<&Subject>> = BTreeMap::new();
        for subject in self.subjects.iter().filter(|who| who.active) {
            let behind = if subject.acts_for.is_empty() {
                std::iter::once(&subject.person).collect()
            } else {
                subject.acts_for.iter().collect::<Vec<_>>()
            };
            for person in behind {
                people.entry(person).or_default().push(subject);
            }
        }
        let conflicts = people.into_iter().filter_map(|(person, accounts)| {
            let ways: Vec<_> = duties.iter().map(|duty| self.ways(duty, &accounts)).collect();
            let possible = !ways.is_empty() && ways.iter().all(|ways| !ways.is_empty());
            let mut chosen = Vec::new();
            let found = possible
                .then(|| self.choose(&ways, &Reach::default(), from, &mut chosen))
                .flatten();
            found.map(|(change, at)| Conflict {
                person: person.clone(),
                change,
                at,
                parts: parts(&chosen),
            })
        });
        Ok(conflicts.collect())
    }

    /// All ways in which any of these accounts plays a part, wherever and whenever.
    fn ways<'a>(&'a self, duty: &'a Duty, accounts: &[&'a Subject]) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        for account in accounts {
            for held in &account.held {
                let role = held.role.and_then(|at| self.book.roles.get(at));
                for permission in role.into_iter().flat_map(|role| &role.permissions) {
                    let Some(reach) = permission.reach.intersect(&held.grant.reach) else {
                        continue;
                    };
                    for action in permission.actions.intersection(&duty.actions) {
                        let (action, reach) = (*action, reach.clone());
                        ways.push(Way { duty, account, action, held, reach });
                    }
                }
            }
        }
        ways
    }

    /// Chooses one way for each part, so that all reach over one change at one time. Leaves the choice in
    /// `chosen`.
    fn choose<'a>(
        &self,
        parts: &[Vec<Way<'a>>],
        within: &Reach,
        from: Timestamp,
        chosen: &mut Vec<Way<'a>>,
    ) -> Option<(ChangeScope, Timestamp)> {
        let Some((first, rest)) = parts.split_first() else {
            return self.witness(chosen, within, from);
        };
        for way in first {
            let Some(reach) = within.intersect(&way.reach) else { continue };
            let from = from.max(way.held.from());
            chosen.push(way.clone());
            // What ended before the last of them begins is of no use.
            let lasts = |way: &Way<'_>| way.held.until().is_none_or(|until| from < until);
            if chosen.iter().all(lasts)
                && let Some(found) = self.choose(rest, &reach, from, chosen)
            {
                return Some(found);
            }
            chosen.pop();
        }
        None
    }

    /// A change within a reach, and an instant, at which nothing forbids any of the chosen ways.
    fn witness(
        &self,
        chosen: &[Way<'_>],
        within: &Reach,
        from: Timestamp,
    ) -> Option<(ChangeScope, Timestamp)> {
        let until = chosen.iter().filter_map(|way| way.held.until()).min();
        let instants = self.instants(chosen, from, until);
        // The smallest changes are the ones that the most reaches over and the least forbids.
        let changes = self.smallest_changes(within);
        instants.into_iter().find_map(|at| {
            let free = |change: &&ChangeScope| {
                chosen.iter().all(|way| {
                    let query = Query::new(&way.account.id, way.action, change, at);
                    let lender = self.lender_miss(way.held, &query, Judging::Leniently);
                    let mut hits = self.book.hits(way.account, &query, Judging::Leniently);
                    lender.is_none() && hits.next().is_none()
                })
            };
            changes.iter().find(free).map(|change| (change.clone(), at))
        })
    }

    /// The begin, and every end of something that may forbid.
    fn instants(
        &self,
        chosen: &[Way<'_>],
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> BTreeSet<Timestamp> {
        let denies = self.book.denies.iter().filter_map(|deny| deny.until);
        let lenders = chosen.iter().filter_map(|way| way.held.lent.as_ref());
        let lenders = lenders.filter_map(|lent| self.subject(&lent.from));
        let people = chosen.iter().map(|way| way.account).chain(lenders);
        let brands = people.flat_map(|who| &who.branded).filter_map(|brand| brand.held.until());
        let ends = denies.chain(brands);
        let inside = |at: &Timestamp| from < *at && until.is_none_or(|until| *at < until);
        std::iter::once(from).chain(ends.filter(inside)).collect()
    }

    /// One change for each way in which rules and grants that forbid can tell changes apart.
    fn smallest_changes(&self, within: &Reach) -> Vec<ChangeScope> {
        let reaches = || self.book.denies.iter().map(|deny| &deny.reach).chain(self.branding());
        let environments =
            values(within.environment.as_ref(), reaches().filter_map(|r| r.environment.as_ref()));
        let services =
            values(within.service.as_ref(), reaches().filter_map(|r| r.service.as_ref()));
        let regions = values(within.region.as_ref(), reaches().filter_map(|r| r.region.as_ref()));
        let trains = values(within.train.as_ref(), reaches().filter_map(|r| r.train.as_ref()));
        let mut all = Vec::new();
        for environment in &environments {
            for service in &services {
                for region in &regions {
                    for train in &trains {
                        let mut change = ChangeScope::new(environment.clone());
                        change.services.insert(service.clone());
                        change.region = Some(region.clone());
                        change.train = Some(train.clone());
                        all.push(change);
                    }
                }
            }
        }
        all
    }

    fn branding(&self) -> impl Iterator<Item = &Reach> {
        self.subjects.iter().flat_map(|who| &who.branded).map(|brand| &brand.held.grant.reach)
    }
}

/// The one that is asked for; or all that are named, and one that is not.
fn values<'a, T>(only: Option<&T>, named: impl Iterator<Item = &'a T>) -> Vec<T>
where
    T: Clone + Ord + std::fmt::Display + std::str::FromStr + 'a,
{
    if let Some(only) = only {
        return vec![only.clone()];
    }
    let named: BTreeSet<_> = named.cloned().collect();
    // One name more than there are: one of them is free.
    let free = (0..=named.len()).filter_map(|n| format!("any-{n}").parse::<T>().ok());
    let free = free.into_iter().find(|name| !named.contains(name));
    named.iter().cloned().chain(free).collect()
}

fn parts(chosen: &[Way<'_>]) -> Vec<ConflictPart> {
    let part = |way: &Way<'_>| ConflictPart {
        duty: way.duty.name.clone(),
        account: way.account.id.clone(),
        action: way.action,
        grant: Arc::clone(&way.held.grant),
        lent_by: way.held.lent.as_ref().map(|lent| lent.from.clone()),
    };
    chosen.iter().map(part).collect()
}
