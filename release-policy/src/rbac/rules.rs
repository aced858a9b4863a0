//! The rules: what each role may do, and what nobody may who is named.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, PrincipalId, PrincipalKind, Reach, RoleId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Action, Condition, RuleError};

/// A set of permissions that can be granted together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name.
    pub id: RoleId,
    /// What it allows. A role may allow nothing, to be named by rules that forbid and by quorums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
}

impl Role {
    /// A role that allows nothing yet.
    pub const fn new(id: RoleId) -> Self {
        Self { id, permissions: Vec::new() }
    }

    /// Allows these actions everywhere, besides what it allows already.
    #[must_use]
    pub fn may(self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.may_within(Reach::default(), actions)
    }

    /// Allows these actions within `reach`, besides what it allows already.
    #[must_use]
    pub fn may_within(self, reach: Reach, actions: impl IntoIterator<Item = Action>) -> Self {
        let actions = actions.into_iter().collect();
        self.with(Permission { actions, reach, when: Vec::new() })
    }

    /// Adds a permission.
    #[must_use]
    pub fn with(mut self, permission: Permission) -> Self {
        self.permissions.push(permission);
        self
    }
}

/// Actions that are allowed within a reach. What is granted is what lies within the permission's reach *and*
/// that of the grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// The actions.
    pub actions: BTreeSet<Action>,
    /// How far it reaches.
    #[serde(default)]
    pub reach: Reach,
    /// What must be so besides. What cannot be judged does not allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

/// Something that is forbidden, whoever allows it. It concerns a change as soon as it touches any part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// The rule's name.
    pub id: String,
    /// To whom.
    pub whom: Whom,
    /// What.
    pub actions: BTreeSet<Action>,
    /// Where.
    #[serde(default)]
    pub reach: Reach,
    /// From when on, if not ever since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first instant at which it no longer holds, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What must be so besides. What cannot be judged is forbidden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Who can lift it.
    pub owner: PrincipalId,
    /// Why.
    pub reason: String,
}

impl Deny {
    /// Forbids `actions` everywhere and always; refine with the fields.
    pub fn new(
        id: impl Into<String>,
        whom: Whom,
        actions: impl IntoIterator<Item = Action>,
        owner: PrincipalId,
        reason: impl Into<String>,
    ) -> Self {
        let (id, reason) = (id.into(), reason.into());
        let (actions, reach) = (actions.into_iter().collect(), Reach::default());
        Self { id, whom, actions, reach, from: None, until: None, when: Vec::new(), owner, reason }
    }

    /// Whether it holds at `at`.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// Whom a rule forbids something. It is people who are forbidden, not accounts: whoever is named is forbidden
/// with all accounts that are linked, and so is a machine that acts for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// Everybody.
    Everyone,
    /// All people, or all machines.
    Kind(PrincipalKind),
    /// Whoever is any of these, or holds any of these roles over any part of the change.
    Any {
        /// Accounts.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        principals: BTreeSet<PrincipalId>,
        /// Roles, own or lent.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        roles: BTreeSet<RoleId>,
    },
}

impl Whom {
    /// These accounts.
    pub fn principals(all: impl IntoIterator<Item = PrincipalId>) -> Self {
        Self::Any { principals: all.into_iter().collect(), roles: BTreeSet::new() }
    }

    /// Whoever holds one of these roles.
    pub fn roles(all: impl IntoIterator<Item = RoleId>) -> Self {
        Self::Any { principals: BTreeSet::new(), roles: all.into_iter().collect() }
    }
}

/// Checked rules. Their order never matters, and no two have one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Rules {
    pub(super) roles: BTreeMap<RoleId, Role>,
    pub(super) denies: BTreeMap<String, Deny>,
    digest: Digest,
}

/// The rules as they are written down, not yet checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    denies: Vec<Deny>,
}

impl Rules {
    /// Checks roles and what is forbidden. No rules at all deny everything.
    ///
    /// # Errors
    /// [`RuleError`] names the rule that cannot be used.
    pub fn new(
        roles: impl IntoIterator<Item = Role>,
        denies: impl IntoIterator<Item = Deny>,
    ) -> Result<Self, RuleError> {
        let mut named = BTreeMap::new();
        for mut role in roles {
            super::error::check_role(&role)?;
            role.permissions.sort();
            role.permissions.dedup();
            let id = role.id.clone();
            if named.insert(id.clone(), role).is_some() {
                return Err(RuleError::DuplicateRole { role: id });
            }
        }
        let mut forbidden = BTreeMap::new();
        for mut deny in denies {
            super::error::check_deny(&deny, &named)?;
            deny.when.sort();
            let id = deny.id.clone();
            if forbidden.insert(id.clone(), deny).is_some() {
                return Err(RuleError::DuplicateDeny { rule: id });
            }
        }
        let digest = super::digest::of(&named, &forbidden);
        Ok(Self { roles: named, denies: forbidden, digest })
    }

    /// What identifies their content, in whatever order they were written.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// What is forbidden, by name.
    pub fn denies(&self) -> impl Iterator<Item = &Deny> {
        self.denies.values()
    }
}

impl TryFrom<Written> for Rules {
    type Error = RuleError;
    fn try_from(written: Written) -> Result<Self, RuleError> {
        Self::new(written.roles, written.denies)
    }
}

impl From<Rules> for Written {
    fn from(rules: Rules) -> Self {
        let Rules { roles, denies, digest: _ } = rules;
        Self { roles: roles.into_values().collect(), denies: denies.into_values().collect() }
    }
}
