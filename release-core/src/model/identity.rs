//! Who there is, and who holds which role until when, as a source of identities tells it.
//!
//! Plain data: `release-policy` checks it and answers questions by it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ChangeScope, PrincipalKind, Reach};
use crate::ids::{PrincipalId, RoleId};
use crate::time::Timestamp;

/// An account of a person or a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its stable id.
    pub id: PrincipalId,
    /// Whether a person or a machine uses it.
    pub kind: PrincipalKind,
    /// Whether it may be used; accounts of people who left are kept and are not active.
    #[serde(default = "yes")]
    pub active: bool,
    /// Other accounts of the same person. Saying it on one side is enough.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub linked: BTreeSet<PrincipalId>,
    /// The people in whose name a machine acts: what it asks for, they asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub acts_for: BTreeSet<PrincipalId>,
    /// The roles it was granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<RoleGrant>,
}

const fn yes() -> bool {
    true
}

impl Identity {
    /// An active account of a person, without roles.
    pub const fn human(id: PrincipalId) -> Self {
        Self::new(id, PrincipalKind::Human)
    }

    /// An active account of a machine, without roles.
    pub const fn service(id: PrincipalId) -> Self {
        Self::new(id, PrincipalKind::Service)
    }

    const fn new(id: PrincipalId, kind: PrincipalKind) -> Self {
        Self {
            id,
            kind,
            active: true,
            linked: BTreeSet::new(),
            acts_for: BTreeSet::new(),
            grants: Vec::new(),
        }
    }

    /// Adds a grant.
    #[must_use]
    pub fn with(mut self, grant: RoleGrant) -> Self {
        self.grants.push(grant);
        self
    }

    /// The grants of its own that hold at `at` and cover all of `scope`.
    pub fn holds(&self, scope: &ChangeScope, at: Timestamp) -> impl Iterator<Item = &RoleGrant> {
        self.grants.iter().filter(move |grant| grant.holds(at) && grant.reach.covers(scope))
    }
}

/// A role that somebody was given: from its begin until just before its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleGrant {
    /// The role.
    pub role: RoleId,
    /// How far it reaches.
    #[serde(default)]
    pub reach: Reach,
    /// The first instant at which it holds.
    pub from: Timestamp,
    /// The first instant at which it no longer holds, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who gave it.
    pub by: PrincipalId,
    /// Why.
    pub reason: String,
}

impl RoleGrant {
    /// A grant without end that reaches everywhere.
    pub fn new(role: RoleId, from: Timestamp, by: PrincipalId, reason: impl Into<String>) -> Self {
        Self { role, reach: Reach::default(), from, until: None, by, reason: reason.into() }
    }

    /// Whether it holds at `at`.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A role that somebody lends to somebody else for a while. What was lent cannot be lent on, and it never
/// outlasts the right of whoever lent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Who lends.
    pub from: PrincipalId,
    /// Who may use it meanwhile.
    pub to: PrincipalId,
    /// The role.
    pub role: RoleId,
    /// The first instant at which it holds.
    pub starts: Timestamp,
    /// The first instant at which it no longer holds.
    pub ends: Timestamp,
    /// Why.
    pub reason: String,
}

impl Delegation {
    /// Whether it holds at `at`.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.starts <= at && at < self.ends
    }
}

/// All identities, grants and delegations at one instant, as their source tells them; not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct IdentitySnapshot {
    /// The version that its source gives it: another one for other content, and never a smaller one than before.
    pub version: u64,
    /// When its source was read.
    pub taken_at: Timestamp,
    /// All accounts, also those that are no longer active.
    pub identities: Vec<Identity>,
    /// All that was lent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegations: Vec<Delegation>,
}

impl IdentitySnapshot {
    /// What a source told.
    pub const fn new(
        version: u64,
        taken_at: Timestamp,
        identities: Vec<Identity>,
        delegations: Vec<Delegation>,
    ) -> Self {
        Self { version, taken_at, identities, delegations }
    }
}
