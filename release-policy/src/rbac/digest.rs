//! The digest of rules, the same in whatever order they were written.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, PrincipalKind, Reach, RoleId};

use super::{Action, Condition, Deny, Fact, Permission, Role, Test, Whom};
use crate::canonical::Canonical;

pub(super) fn of(roles: &BTreeMap<RoleId, Role>, denies: &BTreeMap<String, Deny>) -> Digest {
    Canonical::new("release/rbac/1")
        .list(roles.values(), |all, role| {
            let Role { id, permissions } = role;
            all.text(id.as_str()).list(permissions.iter(), |all, permission| {
                let Permission { actions, reach: within, when } = permission;
                conditions(reach(named(all, actions), within), when)
            })
        })
        .list(denies.values(), |all, deny| {
            let Deny { id, whom: to, actions, reach: within, from, until, when, owner, reason } =
                deny;
            let all = reach(named(whom(all.text(id), to), actions), within)
                .maybe(*from, |all, at| all.number(at.as_micros()))
                .maybe(*until, |all, at| all.number(at.as_micros()));
            conditions(all, when).text(owner.as_str()).text(reason)
        })
        .finish()
}

fn named(all: Canonical, actions: &BTreeSet<Action>) -> Canonical {
    all.list(actions.iter(), |all, action| all.text(action.name()))
}

pub(super) fn reach(all: Canonical, reach: &Reach) -> Canonical {
    let Reach { environment, service, region, train } = reach;
    all.maybe(environment.as_ref(), |all, id| all.text(id.as_str()))
        .maybe(service.as_ref(), |all, id| all.text(id.as_str()))
        .maybe(region.as_ref(), |all, id| all.text(id.as_str()))
        .maybe(train.as_ref(), |all, id| all.text(id.as_str()))
}

fn whom(all: Canonical, whom: &Whom) -> Canonical {
    match whom {
        Whom::Everyone => all.text("everyone"),
        Whom::Kind(PrincipalKind::Human) => all.text("human"),
        Whom::Kind(PrincipalKind::Service) => all.text("service"),
        Whom::Any { principals, roles } => all
            .text("any")
            .list(principals.iter(), |all, id| all.text(id.as_str()))
            .list(roles.iter(), |all, id| all.text(id.as_str())),
    }
}

fn conditions(all: Canonical, when: &[Condition]) -> Canonical {
    all.list(when.iter(), |all, Condition { fact, must }| {
        let all = all.text(fact);
        match must {
            Test::Be(Fact::Text(text)) => all.text("text").text(text),
            Test::Be(Fact::Number(number)) => all.text("number").number(*number),
            Test::Be(Fact::Flag(flag)) => all.text("flag").number(i64::from(*flag)),
            Test::BeAtMost(most) => all.text("at most").number(*most),
            Test::BeAtLeast(least) => all.text("at least").number(*least),
        }
    })
}
