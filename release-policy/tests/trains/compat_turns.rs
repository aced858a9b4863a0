//! Which of two changes goes first, beside all orders that there are; and plans for all regions at once.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use release_core::model::{RegionId, ServiceId};
use release_policy::compat::{Catalogue, Change, Fleet, NoPlan, NoPlans, Offer, Step, Versions};

use super::super::support::id;
use super::{REQUIREMENTS, all_sets, catalogue, fits, requirement, unmet, version, wish};

fn permutations(all: &[ServiceId]) -> Vec<Vec<ServiceId>> {
    if all.is_empty() {
        return vec![Vec::new()];
    }
    let each = all.iter().flat_map(|first| {
        let rest: Vec<_> = all.iter().filter(|one| *one != first).cloned().collect();
        permutations(&rest).into_iter().map(move |mut order| {
            order.insert(0, first.clone());
            order
        })
    });
    each.collect()
}

fn change(now: &mut Versions, target: &Versions, service: &ServiceId) {
    match target.get(service) {
        Some(version) => now.insert(service.clone(), version.clone()),
        None => now.remove(service),
    };
}

/// Whether the changes in this order leave nothing unmet that was met.
fn keeps(catalogue: &Catalogue, live: &Versions, target: &Versions, order: &[ServiceId]) -> bool {
    let (before, mut now) = (unmet(catalogue, live), live.clone());
    order.iter().all(|service| {
        change(&mut now, target, service);
        unmet(catalogue, &now).is_subset(&before)
    })
}

fn changed(live: &Versions, target: &Versions) -> Vec<ServiceId> {
    let all = live.keys().chain(target.keys());
    let mut all: Vec<_> = all.filter(|id| live.get(*id) != target.get(*id)).cloned().collect();
    all.sort();
    all.dedup();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn an_order_keeps_every_need_met_just_when_it_keeps_to_the_turns(
        catalogue in catalogue(),
        (from, to) in (any::<Index>(), any::<Index>()),
    ) {
        let sets = all_sets(&catalogue);
        let (live, target) = (from.get(&sets), to.get(&sets));
        let turns = match catalogue.turns(live, target) {
            Ok(turns) => turns,
            Err(why) => {
                prop_assert_eq!(catalogue.order(live, target), Err(why));
                return Ok(());
            }
        };
        for order in permutations(&changed(live, target)) {
            let at = |service: &ServiceId| order.iter().position(|one| one == service).unwrap();
            let keeps_to = turns.iter().all(|turn| at(&turn.sooner) < at(&turn.later));
            prop_assert_eq!(keeps_to, keeps(&catalogue, live, target, &order), "{:?}", order);
        }
        let before = unmet(&catalogue, live);
        for turn in &turns {
            // Each is needed: where the later one changes first, just that need is not met any more.
            let mut wrong = live.clone();
            change(&mut wrong, target, &turn.later);
            let need = &turn.need;
            let need = (need.service.clone(), need.version.clone(), need.needs.clone());
            prop_assert!(unmet(&catalogue, &wrong).contains(&need) && !before.contains(&need), "{}", turn);
            let (owner, of) = if turn.needing_first() { (&turn.sooner, live) } else { (&turn.later, target) };
            prop_assert_eq!(of.get(owner), Some(&turn.need.version));
            prop_assert_eq!(owner, &turn.need.service);
        }
        let pairs: Vec<_> = turns.iter().map(|turn| (&turn.later, &turn.sooner)).collect();
        prop_assert!(pairs.is_sorted() && pairs.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn all_regions_are_planned_as_each_is(
        catalogue in catalogue(),
        regions in proptest::collection::vec(any::<Index>(), 0..6),
        (nth, text) in (0..4_usize, 0..REQUIREMENTS.len()),
    ) {
        let sets = all_sets(&catalogue);
        let fleet: Fleet = regions.iter().enumerate()
            .map(|(nth, set)| (id(&format!("r-{nth}")), set.get(&sets).clone()))
            .collect();
        let wish = wish(nth, text);
        let (mut plans, mut refused) = (BTreeMap::new(), BTreeMap::<RegionId, NoPlan>::new());
        for (region, live) in &fleet {
            match catalogue.plan(live, &wish) {
                Ok(plan) => drop(plans.insert(region.clone(), plan)),
                Err(why) => drop(refused.insert(region.clone(), why)),
            }
        }
        let expected = if refused.is_empty() { Ok(plans) } else { Err(NoPlans { regions: refused }) };
        prop_assert_eq!(catalogue.plan_all(&fleet, &wish), expected);
    }
}

/// Regions in which all needs are met, and a wish for all of them; and in which region the next change is made.
type Wished = (Catalogue, Vec<Index>, (usize, usize), Vec<Index>);

fn wished() -> impl Strategy<Value = Wished> {
    let regions = proptest::collection::vec(any::<Index>(), 2..5);
    let wish = (0..4_usize, 0..REQUIREMENTS.len());
    (catalogue(), regions, wish, proptest::collection::vec(any::<Index>(), 16))
}

/// Makes the changes of all regions one after the other, each region's in their order. How many there were; none: there is no plan.
fn carried_out(
    (catalogue, regions, (nth, text), turns): Wished,
) -> Result<Option<usize>, TestCaseError> {
    let fitting: Vec<_> =
        all_sets(&catalogue).into_iter().filter(|set| fits(&catalogue, set)).collect();
    let each = regions.iter().enumerate();
    let mut fleet: Fleet =
        each.map(|(nth, set)| (id(&format!("r-{nth}")), set.get(&fitting).clone())).collect();
    let wish = wish(nth, text);
    let Ok(plans) = catalogue.plan_all(&fleet, &wish) else { return Ok(None) };
    prop_assert_eq!(plans.len(), fleet.len());
    let open = plans.iter().map(|(region, plan)| (region.clone(), plan.order.steps.clone().into()));
    let mut open: Vec<(RegionId, VecDeque<Step>)> = open.collect();
    let (mut made, mut turns) = (0, turns.iter().cycle());
    while !open.is_empty() {
        let at = turns.next().unwrap().index(open.len());
        let (region, steps) = &mut open[at];
        let Some(step) = steps.pop_front() else {
            open.remove(at);
            continue;
        };
        let live = fleet.get_mut(region).unwrap();
        let change = match &step.to {
            Some(version) => Change::to(step.service.clone(), version.clone()),
            None => Change::removal(step.service.clone()),
        };
        // The policy of the engine lets it begin, as the region stands then.
        let here: Fleet = [(region.clone(), live.clone())].into();
        prop_assert_eq!(catalogue.admit(&here, &change), Ok(()));
        step.apply(live);
        made += 1;
        for (region, live) in &fleet {
            prop_assert!(fits(&catalogue, live), "after {step} in {region}: {live:?}");
        }
    }
    for (region, live) in &fleet {
        prop_assert_eq!(Some(live), plans.get(region).map(|plan| &plan.target));
        prop_assert!(
            wish.iter().all(|(id, text)| live.get(id).is_some_and(|one| text.matches(one)))
        );
    }
    Ok(Some(made))
}

#[test]
fn any_accepted_plan_keeps_every_need_met_in_every_state_of_every_region() {
    let config =
        ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() };
    let (accepted, changes) = (Cell::new(0), Cell::new(0));
    let done = TestRunner::new(config).run(&wished(), |wished| {
        if let Some(made) = carried_out(wished)? {
            accepted.set(accepted.get() + 1);
            changes.set(changes.get() + made);
        }
        Ok(())
    });
    done.unwrap();
    // There were plans, and changes in them.
    assert!(
        accepted.get() > 500 && changes.get() > 500,
        "{accepted:?} plans with {changes:?} changes"
    );
}

/// `api` goes from 2 to 3, which needs a newer `db`; `shop` 2 needs the old `api`, and `shop` 3 gets along with both.
fn shops() -> Catalogue {
    let offer = |name: &str, text: &str| Offer::new(id(name), version(text));
    Catalogue::new([
        offer("db", "1.0.0"),
        offer("db", "1.1.0"),
        offer("api", "2.0.0"),
        offer("api", "3.0.0").needing(id("db"), requirement("^1.1")),
        offer("shop", "2.0.0").needing(id("api"), requirement("^2")),
        offer("shop", "3.0.0").needing(id("api"), requirement(">=2, <4")),
    ])
    .unwrap()
}

fn deployed(versions: &[(&str, &str)]) -> Versions {
    versions.iter().map(|(name, text)| (id(name), version(text))).collect()
}

#[test]
fn turns_go_both_ways_and_say_for_which_need() {
    let live = deployed(&[("db", "1.0.0"), ("api", "2.0.0"), ("shop", "2.0.0")]);
    let target = deployed(&[("db", "1.1.0"), ("api", "3.0.0"), ("shop", "3.0.0")]);
    let turns = shops().turns(&live, &target).unwrap();
    let told: Vec<_> = turns.iter().map(|turn| (turn.to_string(), turn.needing_first())).collect();
    assert_eq!(
        told,
        [
            ("`db` before `api`, since otherwise `api` 3.0.0 needs `db` ^1.1, and there is 1.0.0".into(), false),
            ("`shop` before `api`, since otherwise `shop` 2.0.0 needs `api` ^2, and there is 3.0.0".into(), true),
        ]
    );
    let text = serde_json::to_string(&turns).unwrap();
    assert_eq!(serde_json::from_str::<Vec<release_policy::compat::TurnOf>>(&text).unwrap(), turns);
}

#[test]
fn a_region_without_a_plan_is_named_and_what_is_the_same_is_said_once() {
    let catalogue = shops();
    let ready = deployed(&[("db", "1.0.0"), ("api", "2.0.0"), ("shop", "2.0.0")]);
    let fleet = |bad: &Versions| -> Fleet {
        [("eu-west", &ready), ("us-east", bad), ("us-west", bad)]
            .map(|(region, live)| (id(region), live.clone()))
            .into()
    };
    let wish = [(id("api"), requirement("^3"))].into();
    let plans = catalogue.plan_all(&fleet(&ready), &wish).unwrap();
    assert_eq!(plans.len(), 3);
    assert!(plans.values().all(|plan| plan.order.steps.len() == 3));
    // Nobody knows what `job` needs, so that nothing else may change beside it.
    let mut bad = ready.clone();
    bad.insert(id("job"), version("1.0.0"));
    let refused = catalogue.plan_all(&fleet(&bad), &wish).unwrap_err();
    assert_eq!(
        refused.regions.keys().collect::<Vec<_>>(),
        [&id::<RegionId>("us-east"), &id("us-west")]
    );
    let why = &refused.regions[&id::<RegionId>("us-east")];
    assert_eq!(refused.to_string(), format!("in `us-east`, `us-west`: {why}"));
}
