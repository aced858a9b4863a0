//! Who there is, which identities are one person, and who holds which role until when: a snapshot that
//! the host takes of its source of identities.
//!
//! Nothing here asks anybody. A snapshot has a version and a digest, so that a decision can say what it
//! was made from, and whoever cannot get a fresh one says so with [`DirectoryState`], which then denies.

mod error;
mod people;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    ChangeScope, Delegation, Digest, Identity, IdentitySnapshot, PrincipalId, PrincipalKind, Reach,
    RoleGrant, RoleId, Span, Timestamp,
};
use serde::{Deserialize, Serialize};

pub use self::error::DirectoryError;
pub(crate) use self::people::People;
use crate::canonical::Canonical;

/// A checked snapshot of identities, grants and delegations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IdentitySnapshot", into = "IdentitySnapshot")]
pub struct Directory {
    version: u64,
    taken_at: Timestamp,
    digest: Digest,
    identities: BTreeMap<PrincipalId, Identity>,
    delegations: Vec<Delegation>,
    /// Each account's person: the smallest id of their accounts. Machines are not in it.
    humans: BTreeMap<PrincipalId, PrincipalId>,
    /// Accounts that a role was ever granted or lent to.
    holders: BTreeMap<RoleId, BTreeSet<PrincipalId>>,
    /// By person.
    lent_to: BTreeMap<PrincipalId, Vec<usize>>,
}

impl Directory {
    /// A snapshot that was taken at `taken_at`; `version` is that of its source.
    ///
    /// # Errors
    /// [`DirectoryError`] names the first rule that is broken, and by whom.
    pub fn new(
        version: u64,
        taken_at: Timestamp,
        identities: impl IntoIterator<Item = Identity>,
        delegations: impl IntoIterator<Item = Delegation>,
    ) -> Result<Self, DirectoryError> {
        let mut named = BTreeMap::new();
        for identity in identities {
            let id = identity.id.clone();
            if named.insert(id.clone(), identity).is_some() {
                return Err(DirectoryError::Duplicate { id });
            }
        }
        let mut delegations: Vec<_> = delegations.into_iter().collect();
        delegations.sort_by(|a, b| {
            (&a.from, &a.role, a.starts, &a.to).cmp(&(&b.from, &b.role, b.starts, &b.to))
        });
        error::check_links(&named)?;
        let humans = people::join(&named);
        error::check_grants(&named, &humans)?;
        error::check_delegations(&named, &humans, &delegations)?;
        let mut holders: BTreeMap<RoleId, BTreeSet<PrincipalId>> = BTreeMap::new();
        let granted = named
            .values()
            .flat_map(|identity| identity.grants.iter().map(|grant| (&grant.role, &identity.id)));
        for (role, id) in granted.chain(delegations.iter().map(|lent| (&lent.role, &lent.to))) {
            holders.entry(role.clone()).or_default().insert(id.clone());
        }
        let mut lent_to: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, lent) in delegations.iter().enumerate() {
            let person = humans.get(&lent.to).unwrap_or(&lent.to);
            lent_to.entry(person.clone()).or_default().push(index);
        }
        let digest = digest(version, taken_at, &named, &delegations);
        Ok(Self {
            version,
            taken_at,
            digest,
            identities: named,
            delegations,
            humans,
            holders,
            lent_to,
        })
    }

    /// The version that its source gave it.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What a decision notes of the snapshot it was made from.
    pub const fn stamp(&self) -> DirectoryStamp {
        DirectoryStamp { version: self.version, digest: self.digest, taken_at: self.taken_at }
    }

    /// Whether it was read after `known` as far as one can tell: by the version of its source alone, unless the
    /// source broke its word and gave two contents one version.
    pub(crate) fn follows(&self, known: &Self) -> bool {
        let same = || self.identities == known.identities && self.delegations == known.delegations;
        match self.version.cmp(&known.version) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => self.taken_at >= known.taken_at || same(),
        }
    }

    /// An account, if it is known.
    pub fn identity(&self, id: &PrincipalId) -> Option<&Identity> {
        self.identities.get(id)
    }

    /// All accounts, by id.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.identities.values()
    }

    /// The person behind an account: the smallest id of all their accounts. A machine, and an account
    /// that is not known, is nobody but itself.
    pub fn human<'a>(&'a self, id: &'a PrincipalId) -> &'a PrincipalId {
        self.humans.get(id).unwrap_or(id)
    }

    /// Whether one person is behind both accounts: as whose they are, or in whose name they act.
    pub(crate) fn are_one(&self, one: &PrincipalId, two: &PrincipalId) -> bool {
        let two: BTreeSet<_> = self.behind(two).collect();
        self.behind(one).any(|person| two.contains(person))
    }

    fn behind<'a>(&'a self, id: &'a PrincipalId) -> impl Iterator<Item = &'a PrincipalId> {
        let acts_for = self.identity(id).into_iter().flat_map(|who| &who.acts_for);
        std::iter::once(id).chain(acts_for).map(|id| self.human(id))
    }

    /// Whether an account is known and a person's, active or not.
    pub(crate) fn is_person(&self, id: &PrincipalId) -> bool {
        self.humans.contains_key(id)
    }

    /// The roles of its own that an account holds at `at` over all of `scope`, without those lent to it.
    pub fn own_roles(
        &self,
        id: &PrincipalId,
        scope: &ChangeScope,
        at: Timestamp,
    ) -> BTreeSet<RoleId> {
        let active = self.identity(id).filter(|identity| identity.active);
        let held = active.into_iter().flat_map(|identity| identity.holds(scope, at));
        held.map(|grant| grant.role.clone()).collect()
    }

    /// The roles that were lent to an account and hold at `at`, each with who lent it: only while they
    /// are active and have the role themselves.
    pub fn lent_roles<'a>(
        &'a self,
        id: &'a PrincipalId,
        scope: &'a ChangeScope,
        at: Timestamp,
    ) -> impl Iterator<Item = (&'a RoleId, &'a PrincipalId)> {
        let active = self.identity(id).is_some_and(|identity| identity.active);
        self.lent(id)
            .filter(move |lent| {
                active
                    && lent.holds(at)
                    && self.own_roles(&lent.from, scope, at).contains(&lent.role)
            })
            .map(|lent| (&lent.role, &lent.from))
    }

    /// All roles an account can use at `at` over all of `scope`, its own and lent ones.
    pub fn roles(&self, id: &PrincipalId, scope: &ChangeScope, at: Timestamp) -> BTreeSet<RoleId> {
        let mut roles = self.own_roles(id, scope, at);
        roles.extend(self.lent_roles(id, scope, at).map(|(role, _)| role.clone()));
        roles
    }

    /// Whether an account can use one of these roles at `at`, its own or a lent one: over all of `scope` or,
    /// unless `whole`, over any part of it.
    pub(crate) fn has_one(
        &self,
        id: &PrincipalId,
        roles: &BTreeSet<RoleId>,
        (scope, whole): (&ChangeScope, bool),
        at: Timestamp,
    ) -> bool {
        if whole {
            return !self.roles(id, scope, at).is_disjoint(roles);
        }
        let has = |id: &PrincipalId, wanted: &dyn Fn(&RoleId) -> bool| {
            let active = self.identity(id).filter(|identity| identity.active);
            let grants = active.into_iter().flat_map(|identity| &identity.grants);
            grants
                .into_iter()
                .any(|grant| wanted(&grant.role) && grant.holds(at) && grant.reach.touches(scope))
        };
        let lent = |lent: &Delegation| {
            lent.holds(at)
                && roles.contains(&lent.role)
                && has(&lent.from, &|role| *role == lent.role)
        };
        let active = self.identity(id).is_some_and(|identity| identity.active);
        active && (has(id, &|role| roles.contains(role)) || self.lent(id).any(lent))
    }

    /// All that was ever lent, in an order that the content alone decides.
    pub fn delegations(&self) -> &[Delegation] {
        &self.delegations
    }

    /// Accounts that a role was ever granted or lent to; whether they hold it now is another question.
    pub(crate) fn holders(&self, role: &RoleId) -> impl Iterator<Item = &PrincipalId> {
        self.holders.get(role).into_iter().flatten()
    }

    /// What was ever lent to any account of the person behind one.
    pub(crate) fn lent_to_person(&self, id: &PrincipalId) -> impl Iterator<Item = &Delegation> {
        let indices = self.lent_to.get(self.human(id)).into_iter().flatten();
        indices.filter_map(|index| self.delegations.get(*index))
    }

    /// What was ever lent to an account.
    fn lent<'a>(&'a self, id: &'a PrincipalId) -> impl Iterator<Item = &'a Delegation> {
        self.lent_to_person(id).filter(move |lent| lent.to == *id)
    }

    /// Instants at which what an account may do can change by time alone.
    pub(crate) fn boundaries<'a>(
        &'a self,
        id: &'a PrincipalId,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let own = self.grant_bounds(id);
        let lent = self.lent_to_person(id).flat_map(|lent| {
            [lent.starts, lent.ends].into_iter().chain(self.grant_bounds(&lent.from))
        });
        own.chain(lent)
    }

    fn grant_bounds(&self, id: &PrincipalId) -> impl Iterator<Item = Timestamp> + '_ {
        let grants = self.identity(id).into_iter().flat_map(|identity| &identity.grants);
        grants.flat_map(|grant| [Some(grant.from), grant.until]).flatten()
    }
}

impl TryFrom<IdentitySnapshot> for Directory {
    type Error = DirectoryError;
    fn try_from(written: IdentitySnapshot) -> Result<Self, DirectoryError> {
        Self::new(written.version, written.taken_at, written.identities, written.delegations)
    }
}

impl From<Directory> for IdentitySnapshot {
    fn from(directory: Directory) -> Self {
        let Directory { version, taken_at, identities, delegations, .. } = directory;
        Self::new(version, taken_at, identities.into_values().collect(), delegations)
    }
}

fn digest(
    version: u64,
    taken_at: Timestamp,
    identities: &BTreeMap<PrincipalId, Identity>,
    delegations: &[Delegation],
) -> Digest {
    let ids = |all: Canonical, ids: &BTreeSet<PrincipalId>| {
        all.list(ids.iter(), |all, id| all.text(id.as_str()))
    };
    let instant = |all: Canonical, at: Timestamp| all.number(at.as_micros());
    let grant = |all: Canonical, grant: &RoleGrant| {
        let RoleGrant { role, reach, from, until, by, reason } = grant;
        let Reach { environment, service, region, train } = reach;
        all.text(role.as_str())
            .maybe(environment.as_ref(), |all, id| all.text(id.as_str()))
            .maybe(service.as_ref(), |all, id| all.text(id.as_str()))
            .maybe(region.as_ref(), |all, id| all.text(id.as_str()))
            .maybe(train.as_ref(), |all, id| all.text(id.as_str()))
            .number(from.as_micros())
            .maybe(*until, instant)
            .text(by.as_str())
            .text(reason)
    };
    Canonical::new("release/directory/2")
        .number(version)
        .number(taken_at.as_micros())
        .list(identities.values(), |all, identity| {
            let Identity { id, kind, active, linked, acts_for, grants } = identity;
            let human = matches!(kind, PrincipalKind::Human);
            let all = all.text(id.as_str()).number(i64::from(human)).number(i64::from(*active));
            ids(ids(all, linked), acts_for).list(grants.iter(), grant)
        })
        .list(delegations.iter(), |all, lent| {
            let Delegation { from, to, role, starts, ends, reason } = lent;
            let all = all.text(from.as_str()).text(to.as_str()).text(role.as_str());
            instant(instant(all, *starts), *ends).text(reason)
        })
        .finish()
}

/// What a decision notes of the snapshot it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryStamp {
    /// The version that its source gave it.
    pub version: u64,
    /// What identifies its content.
    pub digest: Digest,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// What the host knows of identities when it asks. A source that cannot be reached is a value, so that
/// nobody can forget it, and it denies.
#[derive(Debug, Clone, Copy)]
pub enum DirectoryState<'a> {
    /// A snapshot, as fresh as its instant says.
    Snapshot(&'a Directory),
    /// The source cannot be reached.
    Down {
        /// Since when.
        since: Timestamp,
    },
    /// There was never a snapshot.
    Unread,
}

/// Why a directory decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DirectoryFault {
    /// Nobody has read the source yet.
    #[error("nobody has read the directory yet")]
    Unread,
    /// The source cannot be reached.
    #[error("the directory is out of reach since {since}")]
    Down {
        /// Since when.
        since: Timestamp,
    },
    /// The snapshot is too old.
    #[error("the directory of {taken_at} is older than {at_most}")]
    Stale {
        /// When it was taken.
        taken_at: Timestamp,
        /// The greatest age allowed.
        at_most: Span,
    },
    /// The snapshot was taken after now: one of two clocks is wrong.
    #[error("the directory is of {taken_at}, which is yet to come")]
    Future {
        /// When it was taken.
        taken_at: Timestamp,
    },
}

impl<'a> DirectoryState<'a> {
    /// What identifies what is known: the snapshot, or since when there is none. Nothing, where nobody ever read one.
    pub(crate) fn input(self) -> Option<Digest> {
        match self {
            Self::Snapshot(directory) => Some(directory.digest),
            Self::Down { since } => {
                let down = Canonical::new("release/directory-down/1");
                Some(down.number(since.as_micros()).finish())
            }
            Self::Unread => None,
        }
    }

    /// The snapshot, unless it is missing, from the future, or `at_most` old or older.
    ///
    /// # Errors
    /// [`DirectoryFault`] says why there is none to go by.
    pub fn fresh(self, now: Timestamp, at_most: Span) -> Result<&'a Directory, DirectoryFault> {
        match self {
            Self::Unread => Err(DirectoryFault::Unread),
            Self::Down { since } => Err(DirectoryFault::Down { since }),
            Self::Snapshot(directory) => {
                let taken_at = directory.taken_at;
                if taken_at > now {
                    Err(DirectoryFault::Future { taken_at })
                } else if taken_at.plus(at_most) <= now {
                    Err(DirectoryFault::Stale { taken_at, at_most })
                } else {
                    Ok(directory)
                }
            }
        }
    }
}

/// A directory that was read before the one that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the directory of version {version}, taken at {taken_at}, is older than {known}, taken at {known_at}, which was \
     published before; read the source again"
)]
pub struct OlderDirectory {
    /// The version that was offered.
    pub version: u64,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The version that is known.
    pub known: u64,
    /// When that was taken.
    pub known_at: Timestamp,
}

impl OlderDirectory {
    pub(crate) fn check(offered: &Directory, newest: Option<&Directory>) -> Result<(), Self> {
        let Some(newest) = newest.filter(|newest| !offered.follows(newest)) else { return Ok(()) };
        let (is, known) = (offered.stamp(), newest.stamp());
        Err(Self {
            version: is.version,
            taken_at: is.taken_at,
            known: known.version,
            known_at: known.taken_at,
        })
    }
}
