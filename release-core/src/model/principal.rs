//! Who acts.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PrincipalId, RoleId};

/// Whether a person or a machine acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    Human,
    /// A service account.
    Service,
}

/// Somebody or something that acts, as the host authenticated it.
///
/// Principals stand in journals. Records say their format, and a field that this version does not know
/// makes a record unreadable
/// ([`DamageKind::Unreadable`](crate::journal::DamageKind::Unreadable)) rather than being lost: whoever
/// acted would be told wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// A stable id; one person has one, whatever their role.
    pub id: PrincipalId,
    /// Person or machine.
    pub kind: PrincipalKind,
    /// The roles that the host vouches for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleId>,
}

impl Principal {
    /// A person without roles.
    pub const fn human(id: PrincipalId) -> Self {
        Self { id, kind: PrincipalKind::Human, roles: BTreeSet::new() }
    }

    /// A service account without roles.
    pub const fn service(id: PrincipalId) -> Self {
        Self { id, kind: PrincipalKind::Service, roles: BTreeSet::new() }
    }

    /// Adds a role.
    #[must_use]
    pub fn with_role(mut self, role: RoleId) -> Self {
        self.roles.insert(role);
        self
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
