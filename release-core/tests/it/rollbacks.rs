//! The way back: computed before it is needed, in an order that never leaves users unserved.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::model::{RollbackScope, Strategy};
use release_core::plan::{
    Action, Blocked, Extension, FrozenPlan, OnFailure, Place, Plan, Reach, Step, StepScope,
    Touched, Undo, UndoPhase, plan, rollback,
};

use super::support::random;
use super::support::samples::{builder, chain, change, id, one_service, one_way, shop};

fn all(plan: &FrozenPlan, touched: &BTreeSet<u32>) -> Result<Extension, Blocked> {
    let yes = |index| if touched.contains(&index) { Touched::Done } else { Touched::No };
    rollback(plan, yes, &Reach::Release)
}

fn everything(plan: &FrozenPlan) -> BTreeSet<u32> {
    (0..u32::try_from(plan.len()).unwrap()).collect()
}

/// The first `count` steps in an order in which they can run.
fn prefix(plan: &FrozenPlan, count: usize) -> BTreeSet<u32> {
    let order = plan.plan().order().unwrap();
    let count = count % (order.len() + 1);
    order.into_iter().take(count).collect()
}

/// Which steps of `extension` come before which, along all edges.
fn reach(extension: &Extension) -> Vec<BTreeSet<u32>> {
    let mut before: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); extension.steps.len()];
    let mut waiting: Vec<usize> = vec![0; extension.steps.len()];
    extension.edges.iter().for_each(|edge| waiting[edge.to as usize] += 1);
    let mut ready: Vec<u32> =
        (0..).zip(&waiting).filter(|(_, n)| **n == 0).map(|(i, _)| i).collect();
    let mut done = 0;
    while let Some(at) = ready.pop() {
        done += 1;
        for edge in extension.edges.iter().filter(|edge| edge.from == at) {
            let mut reached = before[at as usize].clone();
            reached.insert(at);
            before[edge.to as usize].extend(reached);
            waiting[edge.to as usize] -= 1;
            if waiting[edge.to as usize] == 0 {
                ready.push(edge.to);
            }
        }
    }
    assert_eq!(done, extension.steps.len(), "a cycle in {extension:#?}");
    before
}

/// The compensation that a step of a rollback performs: found by its action and target.
fn phases(plan: &Plan, undone: &BTreeSet<u32>) -> BTreeMap<(Option<u32>, String), UndoPhase> {
    let mut phases = BTreeMap::new();
    for step in undone.iter().map(|index| &plan.steps()[*index as usize]) {
        let Undo::Compensate(compensations) = &step.undo else { continue };
        for compensation in compensations {
            let action = serde_json::to_string(&compensation.action).unwrap();
            phases.insert((step.group, action), compensation.phase);
        }
    }
    phases
}

fn group_of(plan: &Plan, step: &Step) -> Option<u32> {
    let place = step.scope.place()?;
    let name =
        format!("{}/{}/{}", place.environment, place.region.as_ref()?, place.service.as_ref()?);
    let at = plan.groups().iter().position(|group| group.name == name)?;
    Some(u32::try_from(at).unwrap())
}

fn check(plan: &FrozenPlan, touched: &BTreeSet<u32>) {
    let extension = all(plan, touched).unwrap();
    let before = reach(&extension);
    assert_eq!(extension.undoes.iter().copied().collect::<BTreeSet<_>>(), *touched);
    let plan = plan.plan();
    let wanted = phases(plan, touched);
    let mut found = BTreeMap::new();
    for (index, step) in (0_u32..).zip(&extension.steps) {
        if matches!(step.action, Action::Notify { .. }) {
            assert_eq!(step.on_failure, OnFailure::Continue);
            let all = extension.steps.len() - extension.pages.len() - 1;
            let behind = if extension.pages.contains(&index) { 0 } else { all };
            assert_eq!(before[index as usize].len(), behind, "last of all, or when called");
            continue;
        }
        assert_eq!(step.on_failure, OnFailure::Hold, "{}", step.id);
        let key = (group_of(plan, step), serde_json::to_string(&step.action).unwrap());
        assert!(wanted.contains_key(&key), "{} undoes nothing", step.id);
        assert_eq!(found.insert(key.clone(), index), None, "{} is done twice", step.id);
    }
    // In its group, every earlier phase is behind each.
    for ((group, action), at) in &found {
        let phase = wanted[&(*group, action.clone())];
        for (other, _) in wanted.iter().filter(|((g, _), other)| g == group && **other < phase) {
            let name = &extension.steps[*at as usize].id;
            assert!(before[*at as usize].contains(&found[other]), "{name} before its turn");
        }
    }
    assert_eq!(found.len(), wanted.len(), "every compensation once");
    for (at, group) in (0_u32..).zip(plan.groups()) {
        for needed in &group.after {
            let of = |group: u32| {
                found.iter().filter(move |((g, _), _)| *g == Some(group)).map(|(_, i)| *i)
            };
            let back = found.iter().filter(|(key, _)| key.0 == Some(at));
            let back = back.filter(|(key, _)| wanted[key] <= UndoPhase::Remove).map(|(_, at)| *at);
            for (one, other) in back.flat_map(|one| of(*needed).map(move |other| (one, other))) {
                assert!(before[other as usize].contains(&one), "{} is still needed", group.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_prefix_of_any_definition_can_be_undone_in_a_safe_order(
        definition in random::definition(), count in proptest::num::usize::ANY,
    ) {
        let plan = plan(&definition).unwrap().freeze();
        check(&plan, &prefix(&plan, count));
    }

    /// The groups and the points of no return of plans made by hand.
    #[test]
    fn any_prefix_of_any_plan_is_undone_or_blocked(
        plan in random::dag(), count in proptest::num::usize::ANY,
    ) {
        let touched = prefix(&plan, count);
        let one_way = |index: &u32| {
            matches!(plan.get(*index).unwrap().undo, Undo::PointOfNoReturn { .. })
        };
        match all(&plan, &touched) {
            Ok(extension) => {
                assert!(!touched.iter().any(one_way));
                reach(&extension);
                let wanted = phases(plan.plan(), &touched);
                // Those who are told, and those who are called when it is stuck.
                let notes = if wanted.is_empty() { 0 } else { 2 * plan.plan().notify().len() };
                assert_eq!(extension.steps.len(), wanted.len() + notes);
            }
            Err(Blocked { step, .. }) => {
                assert!(touched.iter().filter(|i| one_way(i)).any(|i| plan.get(*i).unwrap().id == step));
            }
        }
    }
}

#[test]
fn phases_go_from_capacity_to_removal() {
    let plan = plan(&one_service(Strategy::Recreate)).unwrap().freeze();
    let extension = all(&plan, &everything(&plan)).unwrap();
    let table: Vec<_> =
        extension.steps.iter().map(|step| format!("{}: {}", step.id, step.action)).collect();
    assert_eq!(
        table,
        [
            // Where the strategy stops the old version first, the two may not bear each other.
            "rollback/prod/eu/api/start/scale: scale 2.0.0 to 0",
            "rollback/prod/eu/api/stop-old/scale: scale 1.0.0 to 4",
            "rollback/prod/eu/api/serve/probe: 4 × 1.0.0 ready",
            "rollback/prod/eu/api/serve/route: route 100%→1.0.0",
        ]
    );
}

#[test]
fn dependents_go_back_first_and_notes_come_last() {
    let plan = plan(&shop()).unwrap().freeze();
    let extension = all(&plan, &everything(&plan)).unwrap();
    let at = |name: &str| extension.steps.iter().position(|step| step.id.as_str() == name).unwrap();
    let before = reach(&extension);
    let index = |name: &str| u32::try_from(at(name)).unwrap();
    let first_of_api = &before[at("rollback/staging/eu/api/start/scale")];
    assert!(first_of_api.contains(&index("rollback/staging/eu/web/serve/route")));
    // What is only kept and removed then holds up nobody.
    let first_of_api = &before[at("rollback/production/eu/api/remove-old/scale")];
    assert!(first_of_api.contains(&index("rollback/production/eu/web/promote/route")));
    assert!(!first_of_api.contains(&index("rollback/production/eu/web/start/scale")));
    assert_eq!(at("rollback/notify/ops"), extension.steps.len() - 2);
    assert_eq!(extension.pages, [u32::try_from(at("rollback/page/ops")).unwrap()]);
}

#[test]
fn a_scope_limits_what_is_undone() {
    let plan = plan(&shop()).unwrap().freeze();
    let trigger = plan.find(&id("production/us/api/promote")).unwrap();
    let trigger = plan.get(trigger).unwrap();
    let undone = |scope| {
        let extension =
            rollback(&plan, |_| Touched::Done, &Reach::of(plan.plan(), trigger, scope)).unwrap();
        let places = extension.steps.iter().filter_map(|step| step.scope.place());
        places
            .filter_map(|place| Some(format!("{}/{}", place.environment, place.region.as_ref()?)))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(undone(RollbackScope::Region), ["production/us"]);
    assert_eq!(
        undone(RollbackScope::Environment),
        ["production/ap", "production/eu", "production/us"]
    );
    assert_eq!(undone(RollbackScope::Release).len(), 4);
}

/// A strategy of one's own, in another crate, places its steps with setters alone.
#[test]
fn steps_by_hand_are_rolled_back_by_their_scope_and_group() {
    let mut plan = builder();
    let mut place = |region: &str, after: Vec<u32>| {
        let mut place = Place::new(id("prod"));
        place.region = Some(id(region));
        place.service = Some(id("api"));
        let group = plan.group(region, after);
        plan.step(change(region).scope(StepScope::of(place)).group(group));
        group
    };
    let eu = place("eu", vec![]);
    place("us", vec![eu]);
    let plan = plan.build().unwrap().freeze();
    let undone = |scope| {
        let extension = rollback(
            &plan,
            |_| Touched::Done,
            &Reach::of(plan.plan(), plan.get(1).unwrap(), scope),
        )
        .unwrap();
        extension.steps.iter().map(|step| step.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(undone(RollbackScope::Region), ["rollback/us/custom"]);
    assert_eq!(undone(RollbackScope::Environment), ["rollback/us/custom", "rollback/eu/custom"]);
}

#[test]
fn nothing_touched_is_nothing_to_do() {
    let plan = chain(vec![one_way("a"), change("b")]);
    let extension = all(&plan, &BTreeSet::new()).unwrap();
    assert_eq!((extension.steps.len(), extension.undoes.len()), (0, 0));
}

#[test]
fn a_point_of_no_return_blocks_what_lies_behind_it() {
    let plan = chain(vec![change("a"), one_way("b"), change("c")]);
    all(&plan, &BTreeSet::from([0])).unwrap();
    let blocked = all(&plan, &BTreeSet::from([0, 1, 2])).unwrap_err();
    assert_eq!(
        blocked.to_string(),
        "`b` is a point of no return (rows are dropped); roll forward: mend what failed and retry \
         it, or abandon the run"
    );
}

#[test]
fn long_names_and_equal_names_stay_names() {
    let long = change(&"x".repeat(320));
    let plan = chain(vec![long, change("a/b"), change("a")]);
    let extension = all(&plan, &everything(&plan)).unwrap();
    let names: BTreeSet<_> = extension.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}
