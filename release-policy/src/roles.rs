//! Says which roles may give which commands.
//!
//! A table and nothing else: what it does not list, nobody may.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::RoleId;
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use serde::{Deserialize, Serialize};

use crate::canonical::Canonical;

/// Which roles may give which commands. Commands that are not listed are denied.
///
/// Commands are named as [`Command::name`](release_core::run::Command::name) does. Steps are none
/// of its business.
///
/// ```
/// use release_policy::Roles;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let roles = Roles::new()
///     .allow("pause", ["developer".parse()?, "release-manager".parse()?])
///     .allow("cancel", ["release-manager".parse()?]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles {
    allowed: BTreeMap<String, BTreeSet<RoleId>>,
}

impl Roles {
    /// A table that denies every command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets each of `roles` give `command`, besides those that may already.
    #[must_use]
    pub fn allow(
        mut self,
        command: impl Into<String>,
        roles: impl IntoIterator<Item = RoleId>,
    ) -> Self {
        self.allowed.entry(command.into()).or_default().extend(roles);
        self
    }

    /// The roles that may give `command`; none when it is not listed.
    pub fn may(&self, command: &str) -> impl Iterator<Item = &RoleId> {
        self.allowed.get(command).into_iter().flatten()
    }

    pub(crate) fn write(&self, all: Canonical) -> Canonical {
        all.list(self.allowed.iter(), |all, (command, roles)| {
            all.text(command).list(roles.iter(), |all, role| all.text(role.as_str()))
        })
    }
}

impl Policy for Roles {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }

    /// Permits whoever has one of the command's roles, and denies everybody else.
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let command = request.command.name();
        if self.may(command).any(|role| request.by.roles.contains(role)) {
            return Decision::permit();
        }
        let names: Vec<_> = self.may(command).map(RoleId::as_str).collect();
        let (text, lifted_by) = if names.is_empty() {
            let text = format!("no role may give the command `{command}`");
            (text, "whoever maintains the table of roles".to_owned())
        } else {
            let text = format!("{} has none of the roles {}", request.by, names.join(", "));
            (text, format!("somebody who is {}, or whoever grants roles", names.join(" or ")))
        };
        Decision::deny(vec![Reason::new(format!("roles/{command}"), text, lifted_by)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use release_core::model::{Principal, RunId, Timestamp};
    use release_core::run::Command;

    use super::*;

    fn ask(table: &Roles, command: &str, roles: &[&str]) -> Decision {
        let run: RunId = "r".parse().unwrap();
        let requester = Principal::human("ann".parse().unwrap());
        let by = roles.iter().fold(Principal::human("bob".parse().unwrap()), |by, role| {
            by.with_role(role.parse().unwrap())
        });
        let command = match command {
            "pause" => Command::Pause,
            "resume" => Command::Resume,
            "cancel" => Command::Cancel,
            "abandon" => Command::Abandon,
            "retry" => Command::Retry { step: "a".parse().unwrap() },
            other => panic!("no command of these tests: {other}"),
        };
        table.authorize(&CommandRequest::new(&run, &requester, &by, &command, Timestamp::default()))
    }

    fn table() -> Roles {
        let role = |name: &str| name.parse().unwrap();
        Roles::new()
            .allow("pause", [role("dev"), role("manager")])
            .allow("cancel", [role("manager")])
            .allow("abandon", [])
    }

    #[track_caller]
    fn check(command: &str, roles: &[&str], want: Option<&str>) {
        let got = match ask(&table(), command, roles) {
            Decision::Permit { .. } => None,
            Decision::Deny { reasons, .. } => Some(reasons[0].to_string()),
            other @ Decision::Wait { .. } => panic!("a table never waits: {other:?}"),
        };
        assert_eq!(got.as_deref(), want, "{command} by {roles:?}");
    }

    #[test]
    fn what_is_not_listed_is_denied() {
        check("pause", &["dev"], None);
        check("pause", &["other", "manager"], None);
        check("cancel", &["manager"], None);
        let lacks = "roles/cancel: bob has none of the roles manager (lifted by somebody who is \
                     manager, or whoever grants roles)";
        check("cancel", &["dev"], Some(lacks));
        check("cancel", &[], Some(lacks));
        let nobody = |command| {
            format!(
                "roles/{command}: no role may give the command `{command}` (lifted by whoever \
                 maintains the table of roles)"
            )
        };
        check("abandon", &["manager"], Some(&nobody("abandon")));
        check("retry", &["manager"], Some(&nobody("retry")));
    }

    proptest! {
        #[test]
        fn one_more_role_never_allows_less(have in prop::collection::vec("[a-c]", 0..3), more in "[a-c]") {
            let role = |name: &str| name.parse().unwrap();
            let table = Roles::new().allow("cancel", [role("a"), role("b")]);
            let fewer: Vec<_> = have.iter().map(String::as_str).collect();
            let all: Vec<_> = fewer.iter().copied().chain([more.as_str()]).collect();
            if ask(&table, "cancel", &fewer) == Decision::permit() {
                prop_assert_eq!(ask(&table, "cancel", &all), Decision::permit());
            }
        }
    }
}
