//! The least that would have to change, beside trying everything.

use proptest::prelude::*;
use release_core::model::{
    ChangeScope, Identity, PrincipalId, PrincipalKind, Reach, RoleGrant, Timestamp,
};
use release_policy::rbac::{Access, Action, Change, Permission, Query};

use crate::support::{ACTIONS, Dice, PEOPLE, World, at, id};

/// As far as a change, whatever it is narrowed down to.
fn reach(scope: &ChangeScope) -> Reach {
    let service = (scope.services.len() == 1).then(|| scope.services.first().unwrap().clone());
    Reach {
        environment: scope.environment.clone(),
        service,
        region: scope.region.clone(),
        train: scope.train.clone(),
    }
}

fn find<'a>(world: &'a mut World, id: &PrincipalId) -> Option<&'a mut Identity> {
    world.people.iter_mut().find(|who| who.id == *id)
}

fn apply(
    world: &mut World,
    change: &Change,
    action: Action,
    resource: &ChangeScope,
    now: Timestamp,
) {
    match change {
        Change::Register { id } => world.people.push(Identity::human(id.clone())),
        Change::Activate { id } => find(world, id).unwrap().active = true,
        Change::Grant { to, role } => {
            let Some(who) = find(world, to) else { return };
            let mut grant = RoleGrant::new(role.clone(), now, id("hr"), "asked for");
            grant.reach = reach(resource);
            who.grants.push(grant);
        }
        Change::Revoke { from, role, since, lent_by: None } => {
            let grants = &mut find(world, from).unwrap().grants;
            let found = grants.iter().position(|grant| grant.role == *role && grant.from == *since);
            // Taken back together: grants of one role that begin together are one to the reader.
            assert!(found.is_some(), "{change:?}");
            grants.retain(|grant| grant.role != *role || grant.from != *since);
        }
        Change::Revoke { from, role, since, lent_by: Some(lender) } => world.lent.retain(|lent| {
            lent.to != *from || lent.role != *role || lent.starts != *since || lent.from != *lender
        }),
        Change::Permit { role } => {
            let role = world.roles.iter_mut().find(|one| one.id == *role).unwrap();
            let (actions, reach) = ([action].into(), reach(resource));
            role.permissions.push(Permission { actions, reach, when: Vec::new() });
        }
        Change::Lift { rule } => world.denies.retain(|deny| deny.id != *rule),
        other => panic!("not of these tests: {other:?}"),
    }
}

/// Everything that could be changed.
fn universe(world: &World, who: &str) -> Vec<Change> {
    let account = world.people.iter().find(|one| one.id.as_str() == who);
    let mut all = Vec::new();
    match account {
        None => all.push(Change::Register { id: id(who) }),
        Some(_) => all.push(Change::Activate { id: id(who) }),
    }
    let machine = account.is_some_and(|one| matches!(one.kind, PrincipalKind::Service));
    let linked = world.people[2].linked.contains(&id("ann"));
    let person =
        |name: &str| if linked && name == "cyd" { "ann".to_owned() } else { name.to_owned() };
    for one in &world.people {
        let behind = person(one.id.as_str()) == person(who)
            || (machine
                && account
                    .unwrap()
                    .acts_for
                    .iter()
                    .any(|id| person(id.as_str()) == person(one.id.as_str())));
        if !behind {
            continue;
        }
        all.extend(one.grants.iter().map(|grant| Change::Revoke {
            from: one.id.clone(),
            role: grant.role.clone(),
            since: grant.from,
            lent_by: None,
        }));
        let lent = world.lent.iter().filter(|lent| lent.to == one.id);
        all.extend(lent.map(|lent| Change::Revoke {
            from: one.id.clone(),
            role: lent.role.clone(),
            since: lent.starts,
            lent_by: Some(lent.from.clone()),
        }));
    }
    for role in &world.roles {
        all.push(Change::Grant { to: id(who), role: role.id.clone() });
        all.push(Change::Permit { role: role.id.clone() });
    }
    all.extend(world.denies.iter().map(|deny| Change::Lift { rule: deny.id.clone() }));
    all.sort();
    all.dedup();
    all
}

/// Whether any `left` more changes, from the `next` on, allow it.
fn some(
    all: &[Change],
    left: usize,
    chosen: &mut Vec<Change>,
    works: &dyn Fn(&[Change]) -> bool,
) -> bool {
    if left == 0 {
        return works(chosen);
    }
    all.iter().enumerate().any(|(at, change)| {
        chosen.push(change.clone());
        let found = some(&all[at + 1..], left - 1, chosen, works);
        chosen.pop();
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_changes_allow_it_and_fewer_never_do(seed in any::<u64>().no_shrink()) {
        let mut dice = Dice(seed);
        let mut world = dice.world();
        // Whoever has two grants of one role that begin together would lose both at once.
        for who in &mut world.people {
            who.grants.dedup_by(|a, b| a.role == b.role && a.from == b.from);
        }
        let who = if dice.one_in(9) { "new" } else { dice.pick(&PEOPLE) };
        let (action, facts) = (dice.pick(&ACTIONS), dice.facts());
        let mut resource = dice.resource();
        if resource.services.len() == 2 {
            resource.services.pop_last();
        }
        let now = at(i64::try_from(dice.below(5)).unwrap());
        let principal = id(who);
        let allowed = |access: &Access| {
            let query = Query::new(&principal, action, &resource, now).facts(&facts);
            access.authorize(&query).is_allowed()
        };
        let works = |changes: &[Change]| {
            let mut changed = world.clone();
            // An account comes before what is given to it.
            let registered = |change: &&Change| matches!(change, Change::Register { .. });
            let all = changes.iter().filter(registered);
            let all = all.chain(changes.iter().filter(|change| !registered(change)));
            all.for_each(|change| apply(&mut changed, change, action, &resource, now));
            changed.try_access().is_some_and(|access| allowed(&access))
        };
        let access = world.access();
        let query = Query::new(&principal, action, &resource, now).facts(&facts);
        let found = access.why_not(&query).unwrap();
        prop_assert_eq!(found.is_empty(), allowed(&access));
        prop_assert!(works(&found), "{:?} is not enough in {:#?}", found, world);
        let all = universe(&world, who);
        for fewer in 0..found.len() {
            prop_assert!(!some(&all, fewer, &mut Vec::new(), &works), "{} would do, not {:?}: {:#?}", fewer, found, world);
        }
    }
}
