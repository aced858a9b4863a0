//! What is wrong with a directory.

use std::collections::BTreeMap;

use release_core::model::{Delegation, Identity, PrincipalId, PrincipalKind, RoleId};

type Identities = BTreeMap<PrincipalId, Identity>;
type Humans = BTreeMap<PrincipalId, PrincipalId>;

/// A directory that cannot be used, with the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Two accounts have one id.
    #[error("directory/unique: there are two accounts `{id}`; rename or remove one")]
    Duplicate {
        /// The id.
        id: PrincipalId,
    },
    /// A person is linked to an account that is not there.
    #[error(
        "directory/links: `{id}` refers to `{other}`, which is no account; add it or remove the link"
    )]
    Unknown {
        /// Who refers.
        id: PrincipalId,
        /// To whom.
        other: PrincipalId,
    },
    /// A link between a person and a machine would make both one voter.
    #[error(
        "directory/links: `{id}` and `{other}` are not both accounts of people; use `acts_for` to say in whose name a machine acts"
    )]
    LinkedMachine {
        /// Who refers.
        id: PrincipalId,
        /// To whom.
        other: PrincipalId,
    },
    /// Only machines act in somebody's name; people delegate.
    #[error("directory/acts_for: `{id}` is a person and acts for `{other}`; write a delegation")]
    PersonActsFor {
        /// Who refers.
        id: PrincipalId,
        /// To whom.
        other: PrincipalId,
    },
    /// A grant ends before it begins.
    #[error(
        "directory/grants: the grant of `{role}` to `{id}` ends before it begins; mend its instants"
    )]
    EmptyGrant {
        /// To whom.
        id: PrincipalId,
        /// The role.
        role: RoleId,
    },
    /// Somebody granted a role to themselves.
    #[error("directory/grants: `{id}` was granted `{role}` by themselves; somebody else must")]
    SelfGranted {
        /// To whom.
        id: PrincipalId,
        /// The role.
        role: RoleId,
    },
    /// A delegation ends before it begins.
    #[error(
        "directory/delegations: the delegation of `{role}` from `{from}` to `{to}` ends before it begins; mend its instants"
    )]
    EmptyDelegation {
        /// Who lends.
        from: PrincipalId,
        /// To whom.
        to: PrincipalId,
        /// The role.
        role: RoleId,
    },
    /// Somebody lends a role to themselves, maybe to another account.
    #[error(
        "directory/delegations: `{from}` and `{to}` are one person, who cannot lend `{role}` to themselves"
    )]
    DelegationToSelf {
        /// Who lends.
        from: PrincipalId,
        /// To whom.
        to: PrincipalId,
        /// The role.
        role: RoleId,
    },
    /// A machine lends, or is lent, a role.
    #[error("directory/delegations: `{id}` is a machine; roles are lent from person to person")]
    DelegationOfMachine {
        /// The machine.
        id: PrincipalId,
    },
    /// One right would get two voices.
    #[error(
        "directory/delegations: `{from}` lends `{role}` to `{one}` and to `{two}` at the same time; end one before the other begins"
    )]
    DelegatedTwice {
        /// Who lends.
        from: PrincipalId,
        /// The role.
        role: RoleId,
        /// To whom.
        one: PrincipalId,
        /// To whom else.
        two: PrincipalId,
    },
}

fn is_machine(identity: &Identity) -> bool {
    matches!(identity.kind, PrincipalKind::Service)
}

pub(super) fn check_links(identities: &Identities) -> Result<(), DirectoryError> {
    for identity in identities.values() {
        let id = &identity.id;
        for other in identity.linked.iter().chain(&identity.acts_for) {
            if !identities.contains_key(other) {
                return Err(DirectoryError::Unknown { id: id.clone(), other: other.clone() });
            }
        }
        for other in &identity.linked {
            if is_machine(identity) || identities.get(other).is_some_and(is_machine) {
                return Err(DirectoryError::LinkedMachine { id: id.clone(), other: other.clone() });
            }
        }
        if let (false, Some(other)) = (is_machine(identity), identity.acts_for.first()) {
            return Err(DirectoryError::PersonActsFor { id: id.clone(), other: other.clone() });
        }
    }
    Ok(())
}

pub(super) fn check_grants(identities: &Identities, humans: &Humans) -> Result<(), DirectoryError> {
    for identity in identities.values() {
        let id = &identity.id;
        for grant in &identity.grants {
            let role = || grant.role.clone();
            if grant.until.is_some_and(|until| until <= grant.from) {
                return Err(DirectoryError::EmptyGrant { id: id.clone(), role: role() });
            }
            if same(humans, &grant.by, id) {
                return Err(DirectoryError::SelfGranted { id: id.clone(), role: role() });
            }
        }
    }
    Ok(())
}

/// `delegations` are sorted by who lends what since when.
pub(super) fn check_delegations(
    identities: &Identities,
    humans: &Humans,
    delegations: &[Delegation],
) -> Result<(), DirectoryError> {
    // By person and role, however many accounts it is lent from: the last end so far, and to whom.
    let mut lent: BTreeMap<_, Vec<&Delegation>> = BTreeMap::new();
    for delegation in delegations {
        let Delegation { from, to, role, starts, ends, .. } = delegation;
        for id in [from, to] {
            match identities.get(id) {
                None => {
                    let other = id.clone();
                    return Err(DirectoryError::Unknown { id: from.clone(), other });
                }
                Some(identity) if is_machine(identity) => {
                    return Err(DirectoryError::DelegationOfMachine { id: id.clone() });
                }
                Some(_) => {}
            }
        }
        let (from, to, role) = (from.clone(), to.clone(), role.clone());
        if same(humans, &from, &to) {
            return Err(DirectoryError::DelegationToSelf { from, to, role });
        }
        if ends <= starts {
            return Err(DirectoryError::EmptyDelegation { from, to, role });
        }
        let person = humans.get(&from).unwrap_or(&from).clone();
        lent.entry((person, role)).or_default().push(delegation);
    }
    for ((_, role), mut all) in lent {
        all.sort_by_key(|lent| lent.starts);
        for (one, two) in all.iter().zip(all.iter().skip(1)) {
            if two.starts < one.ends {
                let (from, one, two) = (one.from.clone(), one.to.clone(), two.to.clone());
                return Err(DirectoryError::DelegatedTwice { from, role, one, two });
            }
        }
    }
    Ok(())
}

fn same(humans: &Humans, one: &PrincipalId, two: &PrincipalId) -> bool {
    one == two || humans.get(one).is_some_and(|human| humans.get(two) == Some(human))
}
