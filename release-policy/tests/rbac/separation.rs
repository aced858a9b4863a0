//! Who could be requester, approver and deployer of one change: found statically.

use release_core::model::{ChangeScope, Identity, Reach};
use std::collections::BTreeSet;

use proptest::prelude::*;
use release_policy::rbac::{Action, Conflict, Deny, Duty, Query, Role, Whom};

use crate::support::{ACTIONS, Dice, World, at, deny, grant, id, lend, naive, person, role};

fn world(people: Vec<Identity>) -> World {
    let roles = vec![
        Role::new(role("dev")).may([Action::Request]),
        Role::new(role("lead")).may([Action::Approve]),
        Role::new(role("ops")).may([Action::Deploy]),
    ];
    World { people, lent: Vec::new(), roles, denies: Vec::new() }
}

fn conflicts(world: &World) -> Vec<Conflict> {
    world.access().separation_of_duties(&Duty::usual(), at(0)).unwrap()
}

fn people(world: &World) -> Vec<String> {
    conflicts(world).iter().map(|conflict| conflict.person.to_string()).collect()
}

#[test]
fn who_holds_all_three_is_found_with_the_grants() {
    let all = world(vec![person("ann", &["dev", "lead", "ops"]), person("bob", &["dev", "ops"])]);
    let found = conflicts(&all);
    assert_eq!(found.len(), 1);
    let parts: Vec<_> = found[0]
        .parts
        .iter()
        .map(|part| {
            format!("{}: {} {} as {}", part.duty, part.account, part.action, part.grant.role)
        })
        .collect();
    let wanted = [
        "requester: ann request as dev",
        "approver: ann approve as lead",
        "deployer: ann deploy as ops",
    ];
    assert_eq!(parts, wanted);
}

#[test]
fn linked_accounts_loans_and_machines_make_no_difference() {
    let mut linked = world(vec![person("ann", &["dev"]), person("ann-2", &["lead", "ops"])]);
    assert!(people(&linked).is_empty());
    linked.people[1].linked.insert(id("ann"));
    assert_eq!(people(&linked), ["ann"]);

    let mut lent = world(vec![person("ann", &["dev", "ops"]), person("bob", &["lead"])]);
    assert!(people(&lent).is_empty());
    lent.lent.push(lend("bob", "ann", "lead"));
    assert_eq!(people(&lent), ["ann"]);
    assert_eq!(conflicts(&lent)[0].parts[1].lent_by, Some(id("bob")));

    let bot = Identity::service(id("bot")).with(grant("ops"));
    let mut machine = world(vec![person("ann", &["dev", "lead"]), bot]);
    assert!(people(&machine).is_empty());
    machine.people[1].acts_for.insert(id("ann"));
    assert_eq!(people(&machine), ["ann"]);
}

#[test]
fn it_must_be_one_change_at_one_time() {
    let environment = |name: &str| Reach::environment(name.parse().unwrap());
    let mut apart = world(vec![person("ann", &["dev", "lead", "ops"])]);
    apart.people[0].grants[1].reach = environment("qa");
    apart.people[0].grants[2].reach = environment("production");
    assert!(people(&apart).is_empty());
    apart.people[0].grants[2].reach = environment("qa");
    assert_eq!(conflicts(&apart)[0].change.environment, Some("qa".parse().unwrap()));

    let mut later = world(vec![person("ann", &["dev", "lead", "ops"])]);
    later.people[0].grants[1].until = Some(at(50));
    later.people[0].grants[2].from = at(50);
    assert!(people(&later).is_empty());
    later.people[0].grants[2].from = at(49);
    assert_eq!(conflicts(&later)[0].at, at(49));
}

#[test]
fn what_is_forbidden_is_no_conflict() {
    let mut all = world(vec![person("ann", &["dev", "lead", "ops"])]);
    let requesters = || Whom::roles([role("dev")]);
    all.denies = vec![deny("no-self", requesters(), Action::Approve)];
    assert!(people(&all).is_empty());
    // A hole in place, and one in time.
    all.denies[0].reach = Reach::environment("production".parse().unwrap());
    assert_ne!(conflicts(&all)[0].change.environment, Some("production".parse().unwrap()));
    all.denies =
        vec![Deny { until: Some(at(70)), ..deny("no-self", requesters(), Action::Approve) }];
    assert_eq!(conflicts(&all)[0].at, at(70));
}

/// All changes of one of each, with names that rules know and one that none does.
fn changes() -> Vec<ChangeScope> {
    let mut all = Vec::new();
    for environment in ["qa", "production", "x"] {
        for service in ["api", "web", "x"] {
            for region in ["eu", "x"] {
                for train in ["web", "x"] {
                    let change = ChangeScope::new(environment.parse().unwrap());
                    let change = change.of_service(service.parse().unwrap());
                    let change = change.in_region(region.parse().unwrap());
                    all.push(change.of_train(train.parse().unwrap()));
                }
            }
        }
    }
    all
}

fn brute_force(world: &World, duties: &[Duty]) -> BTreeSet<String> {
    let linked = world.people[2].linked.contains(&id("ann"));
    let person =
        |name: &str| if linked && name == "cyd" { "ann".to_owned() } else { name.to_owned() };
    let mut found = BTreeSet::new();
    let all = changes();
    for who in &world.people {
        let whom = person(who.id.as_str());
        let accounts = world.people.iter().filter(|one| {
            (person(one.id.as_str()) == whom && one.acts_for.is_empty())
                || one.acts_for.iter().any(|id| person(id.as_str()) == whom)
        });
        let accounts: Vec<_> = accounts.collect();
        let can = (0..8).any(|second| {
            all.iter().any(|change| {
                duties.iter().all(|duty| {
                    accounts.iter().any(|account| {
                        duty.actions.iter().any(|action| {
                            naive(world, &Query::new(&account.id, *action, change, at(second)))
                        })
                    })
                })
            })
        });
        if can {
            found.insert(whom);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_finds_those_that_trying_everything_finds(seed in any::<u64>().no_shrink()) {
        let mut dice = Dice(seed);
        let mut world = dice.world();
        world.roles.iter_mut().flat_map(|role| &mut role.permissions).for_each(|may| may.when.clear());
        world.denies.iter_mut().for_each(|deny| deny.when.clear());
        let duties = ACTIONS.map(|action| Duty::new(action.name(), [action]));
        let duties = if dice.one_in(2) { &duties[..] } else { &duties[1..] };
        let found = world.access().separation_of_duties(duties, at(0)).unwrap();
        for Conflict { change, at, parts, .. } in &found {
            for part in parts {
                prop_assert!(naive(&world, &Query::new(&part.account, part.action, change, *at)));
            }
        }
        let found: BTreeSet<_> = found.iter().map(|conflict| conflict.person.to_string()).collect();
        prop_assert_eq!(found, brute_force(&world, duties), "{:#?}", world);
    }
}
