//! What is wrong with a rule.

use std::collections::BTreeMap;

use release_core::model::RoleId;

use super::{Condition, Deny, Role, Whom};

/// The most conditions of one rule.
pub const MAX_CONDITIONS: usize = 32;
/// The longest name of a rule or a fact, in bytes.
pub const MAX_NAME: usize = 128;

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Two roles have one name.
    #[error("roles/{role}: there are two roles of this name; rename or join them")]
    DuplicateRole {
        /// The role.
        role: RoleId,
    },
    /// Two rules that forbid have one name.
    #[error("denies/{rule}: there are two rules of this name; rename one")]
    DuplicateDeny {
        /// The rule.
        rule: String,
    },
    /// It says nothing.
    #[error("{rule}: it names no actions; name some or remove it")]
    NoActions {
        /// The rule.
        rule: String,
    },
    /// It forbids nobody anything.
    #[error("{rule}: it names nobody; name principals or roles, or `everyone`")]
    Nobody {
        /// The rule.
        rule: String,
    },
    /// It names a role that there is not: a misspelt one would forbid nobody anything.
    #[error("{rule}: there is no role `{role}`; mend the name, or define the role")]
    UnknownRole {
        /// The rule.
        rule: String,
        /// The role.
        role: RoleId,
    },
    /// It is over before it begins.
    #[error("{rule}: it ends before it begins; mend its instants")]
    Empty {
        /// The rule.
        rule: String,
    },
    /// Nobody would know why.
    #[error("{rule}: it has no reason; say why")]
    NoReason {
        /// The rule.
        rule: String,
    },
    /// A name is empty, too long or unprintable.
    #[error("{rule}: `{name}` is no name; use 1 to {MAX_NAME} printable characters without spaces")]
    Name {
        /// The rule.
        rule: String,
        /// The name, shortened and escaped.
        name: String,
    },
    /// It asks too much.
    #[error("{rule}: it has {count} conditions, of at most {MAX_CONDITIONS}; split it")]
    TooManyConditions {
        /// The rule.
        rule: String,
        /// How many.
        count: usize,
    },
}

pub(super) fn check_role(role: &Role) -> Result<(), RuleError> {
    for (index, permission) in role.permissions.iter().enumerate() {
        let name = || format!("roles/{}/permissions/{index}", role.id);
        if permission.actions.is_empty() {
            return Err(RuleError::NoActions { rule: name() });
        }
        check_conditions(&permission.when, name)?;
    }
    Ok(())
}

pub(super) fn check_deny(deny: &Deny, roles: &BTreeMap<RoleId, Role>) -> Result<(), RuleError> {
    check_name(&deny.id, || "denies".to_owned())?;
    let rule = || format!("denies/{}", deny.id);
    if deny.actions.is_empty() {
        return Err(RuleError::NoActions { rule: rule() });
    }
    if let Whom::Any { principals, roles: named } = &deny.whom {
        if principals.is_empty() && named.is_empty() {
            return Err(RuleError::Nobody { rule: rule() });
        }
        if let Some(role) = named.iter().find(|role| !roles.contains_key(*role)) {
            return Err(RuleError::UnknownRole { rule: rule(), role: role.clone() });
        }
    }
    if let (Some(from), Some(until)) = (deny.from, deny.until)
        && until <= from
    {
        return Err(RuleError::Empty { rule: rule() });
    }
    if deny.reason.trim().is_empty() {
        return Err(RuleError::NoReason { rule: rule() });
    }
    check_conditions(&deny.when, rule)
}

fn check_conditions(all: &[Condition], rule: impl Fn() -> String) -> Result<(), RuleError> {
    let count = all.len();
    if count > MAX_CONDITIONS {
        return Err(RuleError::TooManyConditions { rule: rule(), count });
    }
    all.iter().try_for_each(|condition| check_name(&condition.fact, &rule))
}

fn check_name(name: &str, rule: impl Fn() -> String) -> Result<(), RuleError> {
    let printable = name.chars().all(|c| c.is_ascii_graphic());
    if name.is_empty() || name.len() > MAX_NAME || !printable {
        let name = name.escape_default().take(MAX_NAME).collect();
        return Err(RuleError::Name { rule: rule(), name });
    }
    Ok(())
}
