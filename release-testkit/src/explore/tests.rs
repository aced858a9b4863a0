//! What the explorer looks at, where no strategy is needed to show it.

use std::collections::BTreeSet;

use release_core::model::{BlueGreen, Definition, Strategy};
use release_core::plan::{Action, Deployment, Weight, plan};

use super::breach::Breach;
use super::is_new;
use super::node::Node;
use super::world::World;
use crate::fixtures::{self, Shop};

fn definition() -> Definition {
    fixtures::one_service(Strategy::BlueGreen(BlueGreen::default()), 4)
}

/// Gives the old version so many percent of the traffic, and the new one the rest.
fn route(old: u8) -> Action {
    let share = |version, percent| {
        Weight::new(fixtures::digest("api", version), fixtures::version(version), percent)
    };
    let weights = vec![share(Shop::OLD, old), share(Shop::NEW, 100 - old)];
    Action::Route { target: fixtures::target("api"), weights, rules: None }
}

/// Found in review: what broke was looked at behind whether the state was seen before, and is none of what tells states apart.
#[test]
fn what_broke_on_the_way_to_a_state_counts_though_that_was_seen_before() {
    let definition = definition();
    let world = World::before(&definition);
    let mut node = Node::begin(plan(&definition).unwrap().freeze(), world, 0).unwrap();
    let mut seen = BTreeSet::new();
    assert!(is_new(&mut seen, &node).unwrap());
    assert!(!is_new(&mut seen, &node).unwrap());
    let broken = Breach::Stuck("on the way".into());
    node.breach = Some(broken.clone());
    assert_eq!(is_new(&mut seen, &node).unwrap_err().breach, broken);
}

/// Found in review: no end looked at who is dead.
#[test]
fn traffic_on_the_dead_is_found_but_where_they_were_left_alone() {
    let mut world = World::before(&definition());
    let deployment = Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", Shop::OLD),
        version: fixtures::version(Shop::OLD),
    };
    world.look(&Action::Probe { deployment: deployment.into(), min_ready: 4 });
    assert!(world.dies(true));
    assert_eq!(world.left_dead("cancelled", false), None);
    assert!(matches!(world.left_dead("succeeded", true), Some(Breach::Dead { .. })));
    world.apply(&route(50));
    let found = world.left_dead("cancelled", false);
    assert!(matches!(found, Some(Breach::Dead { .. })), "{found:?}");
    // It was seen ready just before it died.
    assert_eq!(world.unready(&route(100), 0), None);
    let found = world.revived(&route(100));
    assert!(matches!(found, Some(Breach::Dead { .. })), "{found:?}");
    assert_eq!(world.revived(&route(25)), None);
    assert!(world.dies(false));
    assert_eq!(world.revived(&route(100)), None);
    assert_eq!(world.left_dead("succeeded", true), None);
}
