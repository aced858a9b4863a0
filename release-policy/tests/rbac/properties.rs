//! What holds whatever the rules, the grants and the question.

use release_core::model::ChangeScope;
use std::collections::BTreeSet;

use proptest::prelude::*;
use release_policy::rbac::{Access, Action, Facts, Query, Role, Whom};

use crate::support::{ACTIONS, Dice, PEOPLE, ROLES, World, at, id, naive, role};

struct Asked {
    who: &'static str,
    action: Action,
    resource: ChangeScope,
    facts: Facts,
    second: i64,
}

impl Asked {
    fn new(dice: &mut Dice) -> Self {
        let (who, action) = (dice.pick(&PEOPLE), dice.pick(&ACTIONS));
        let (resource, facts) = (dice.resource(), dice.facts());
        Self { who, action, resource, facts, second: i64::try_from(dice.below(5)).unwrap() }
    }

    fn ask<T>(&self, with: impl FnOnce(&Query<'_>) -> T) -> T {
        let who = id(self.who);
        with(&Query::new(&who, self.action, &self.resource, at(self.second)).facts(&self.facts))
    }

    fn allowed(&self, access: &Access) -> bool {
        self.ask(|query| access.authorize(query).is_allowed())
    }
}

fn seeds() -> impl Strategy<Value = u64> {
    any::<u64>().no_shrink()
}

fn turn<T>(all: &mut [T], dice: &mut Dice) {
    let n = dice.below(all.len().max(1));
    all.rotate_left(n);
    if dice.one_in(2) {
        all.reverse();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn answers_are_those_of_a_naive_reading(seed in seeds()) {
        let mut dice = Dice(seed);
        let (world, asked) = (dice.world(), Asked::new(&mut dice));
        prop_assert_eq!(asked.allowed(&world.access()), asked.ask(|query| naive(&world, query)));
    }

    #[test]
    fn adding_a_deny_never_turns_deny_into_permit(seed in seeds()) {
        let mut dice = Dice(seed);
        let (mut world, asked) = (dice.world(), Asked::new(&mut dice));
        let before = asked.allowed(&world.access());
        world.denies.push(dice.deny("more"));
        prop_assert!(before || !asked.allowed(&world.access()));
    }

    /// A grant of a role that some rule forbids something to is no pure allow: such grants are left out.
    #[test]
    fn adding_an_allow_never_turns_permit_into_deny(seed in seeds()) {
        let mut dice = Dice(seed);
        let (mut world, asked) = (dice.world(), Asked::new(&mut dice));
        let before = asked.allowed(&world.access());
        let branding: BTreeSet<_> = world.denies.iter().flat_map(|deny| match &deny.whom {
            Whom::Any { roles, .. } => roles.clone(),
            Whom::Everyone | Whom::Kind(_) => BTreeSet::new(),
        }).collect();
        match dice.below(3) {
            0 => {
                let n = dice.below(world.roles.len());
                world.roles[n].permissions.push(dice.permission());
            }
            1 => world.roles.push(Role::new(role("more")).with(dice.permission())),
            _ => {
                let name = dice.pick(&ROLES);
                if !branding.contains(&role(name)) {
                    let n = dice.below(world.people.len());
                    world.people[n].grants.push(dice.grant(name));
                }
            }
        }
        prop_assert!(!before || asked.allowed(&world.access()));
    }

    #[test]
    fn order_never_matters(seed in seeds()) {
        let mut dice = Dice(seed);
        let (world, asked) = (dice.world(), Asked::new(&mut dice));
        let mut turned = world.clone();
        turn(&mut turned.people, &mut dice);
        turn(&mut turned.roles, &mut dice);
        turn(&mut turned.denies, &mut dice);
        turned.people.iter_mut().for_each(|who| turn(&mut who.grants, &mut dice));
        turned.roles.iter_mut().for_each(|role| turn(&mut role.permissions, &mut dice));
        let [one, two] = [world, turned].map(|world| world.access());
        prop_assert_eq!(one.rules().digest(), two.rules().digest());
        let answer = |access: &Access| asked.ask(|query| {
            let mut answer = access.authorize(query);
            // The order of grants is part of what the digest of a directory covers.
            answer.directory = None;
            (answer, access.who_can(query), access.why_not(query))
        });
        prop_assert_eq!(answer(&one), answer(&two));
    }

    #[test]
    fn without_permissions_everything_is_denied(seed in seeds()) {
        let mut dice = Dice(seed);
        let (mut world, asked) = (dice.world(), Asked::new(&mut dice));
        if dice.one_in(2) {
            world = World { roles: Vec::new(), denies: Vec::new(), ..world };
        } else {
            world.roles.iter_mut().for_each(|role| role.permissions.clear());
        }
        prop_assert!(!asked.allowed(&world.access()));
    }

    #[test]
    fn those_who_can_are_those_who_are_allowed(seed in seeds()) {
        let mut dice = Dice(seed);
        let (world, asked) = (dice.world(), Asked::new(&mut dice));
        let access = world.access();
        let can: BTreeSet<_> = asked.ask(|query| access.who_can(query)).unwrap().into_iter().collect();
        for who in PEOPLE {
            let asked = Asked { who, resource: asked.resource.clone(), facts: asked.facts.clone(), ..asked };
            prop_assert_eq!(can.contains(&id(who)), asked.allowed(&access), "{}", who);
        }
    }
}
