//! Names and instants.

use release_core::model::{Identity, RoleGrant, Span, Timestamp};
use release_policy::directory::Directory;

pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
    name.parse().unwrap()
}

pub(crate) fn minute(minute: u64) -> Timestamp {
    Timestamp::default().plus(Span::secs(60 * minute))
}

/// People with roles, everywhere and for ever.
pub(crate) fn directory(people: &[(&str, &[&str])]) -> Directory {
    let grant = |role: &&str| RoleGrant::new(id(role), Timestamp::default(), id("root"), "as ever");
    let people = people.iter().map(|(name, roles)| {
        roles.iter().map(grant).fold(Identity::human(id(name)), Identity::with)
    });
    Directory::new(1, Timestamp::default(), people, []).unwrap()
}
