//! What a plan owes its definition, derived from the definition alone: dependencies, stages, and that
//! nobody is sent to what is not ready.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::model::{
    Definition, Digest, Rolling, Service, Stage, Strategy as Rollout, Tier, Turn,
};
use release_core::plan::{Action, Plan, PlanError, Step, plan};

use super::support::random;
use super::support::samples::{any, environment, id, set};

/// For each step, all steps on some way to it.
fn ancestors(plan: &Plan) -> Vec<BTreeSet<usize>> {
    let mut all = vec![BTreeSet::new(); plan.steps().len()];
    for at in plan.order().unwrap() {
        for edge in plan.edges().iter().filter(|edge| edge.to == at) {
            let from = edge.from as usize;
            let mut reached = all[from].clone();
            reached.insert(from);
            all[at as usize].extend(reached);
        }
    }
    all
}

/// The services that the release changes, by name.
fn changed(definition: &Definition) -> BTreeSet<&str> {
    let release = &definition.release;
    let new = release.versions.members.iter().filter(|(id, member)| {
        release.previous.get(id).map(|old| old.artifact.digest()) != Some(member.artifact.digest())
    });
    new.map(|(id, _)| id.as_str()).collect()
}

/// The changed services that `service` waits for, directly or behind services that stay as they are.
fn needs(definition: &Definition, service: &str) -> BTreeSet<String> {
    let changed = changed(definition);
    let mut direct: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for needing in &definition.services {
        direct.entry(needing.id.as_str()).or_default();
        for need in &needing.depends_on {
            let (own, other) = (needing.id.as_str(), need.service.as_str());
            match need.turn {
                Turn::Before if changed.contains(own) && changed.contains(other) => {
                    direct.entry(other).or_default().push(own);
                }
                Turn::Before => {}
                _ => direct.entry(own).or_default().push(other),
            }
        }
    }
    let (mut found, mut open) = (BTreeSet::new(), direct[service].clone());
    while let Some(needed) = open.pop() {
        if changed.contains(needed) {
            found.insert(needed.to_owned());
        } else {
            open.extend(&direct[needed]);
        }
    }
    found
}

/// The steps in one target that bring the new version in.
fn rollout<'a>(
    plan: &'a Plan,
    (environment, region, service): (&str, &str, &str),
) -> Vec<(usize, &'a Step)> {
    let here = |step: &Step| {
        step.scope.place().is_some_and(|place| {
            place.environment.as_str() == environment
                && place.region.as_ref().is_some_and(|r| r.as_str() == region)
                && place.service.as_ref().is_some_and(|s| s.as_str() == service)
        })
    };
    plan.steps().iter().enumerate().filter(|(_, step)| here(step) && !step.finale).collect()
}

fn check(definition: &Definition) {
    let plan = plan(definition).unwrap();
    let before = ancestors(&plan);
    let targets = |stage: usize| {
        let stage = &definition.stages[stage];
        let environment = definition.environments.iter().find(|e| e.id == stage.environment);
        let regions = environment.unwrap().regions.iter().map(ToString::to_string);
        let name = stage.environment.to_string();
        regions.map(move |region| (name.clone(), region)).collect::<Vec<_>>()
    };
    let changed = changed(definition);
    for stage in 0..definition.stages.len() {
        for (environment, region) in targets(stage) {
            for service in &changed {
                let own = rollout(&plan, (&environment, &region, service));
                assert!(own.len() >= 3, "{environment}/{region}/{service} is not rolled out");
                for needed in needs(definition, service) {
                    for (first, _) in rollout(&plan, (&environment, &region, &needed)) {
                        for (then, step) in &own {
                            assert!(before[*then].contains(&first), "{} before {needed}", step.id);
                        }
                    }
                }
                for (earlier, other) in (0..stage).flat_map(targets) {
                    for (first, _) in
                        changed.iter().flat_map(|s| rollout(&plan, (&earlier, &other, s)))
                    {
                        assert!(own.iter().all(|(then, _)| before[*then].contains(&first)));
                    }
                }
            }
        }
    }
    (0..plan.steps().len()).for_each(|at| serves_what_is_ready(&plan, &before, at));
}

/// Whoever is sent requests was started and found ready before; and the finale removes only what gets
/// no requests any more.
fn serves_what_is_ready(plan: &Plan, before: &[BTreeSet<usize>], at: usize) {
    let step = &plan.steps()[at];
    let earlier = || before[at].iter().map(|index| &plan.steps()[*index]);
    let in_group = |other: &&Step| other.group == step.group;
    match &step.action {
        Action::Route { weights, .. } => {
            let old = |digest: Digest| {
                let mut all = plan.steps().iter().filter(in_group);
                all.any(|s| matches!(&s.action, Action::Probe { deployment, .. } if deployment.artifact.digest() == digest))
            };
            for weight in weights.iter().filter(|weight| weight.percent > 0 && old(weight.digest)) {
                let ready = earlier().filter(in_group).any(|s| {
                    matches!(&s.action, Action::Probe { deployment, min_ready }
                        if deployment.artifact.digest() == weight.digest && *min_ready > 0)
                });
                assert!(ready, "{} sends requests to what nobody probed", step.id);
            }
        }
        Action::Scale { deployment, replicas: 0 } if step.finale => {
            let last = earlier().filter(in_group).filter_map(|s| match &s.action {
                Action::Route { weights, .. } => Some(weights),
                _ => None,
            });
            let gone = last.clone().any(|weights| {
                weights.iter().all(|weight| weight.digest != deployment.artifact.digest())
            });
            assert!(gone, "{} removes what still gets requests", step.id);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_dependency_of_a_definition_is_a_way_in_its_plan(definition in random::definition()) {
        check(&definition);
    }
}

/// `shop` needs `api`, and both go from their first version to their second.
fn pair(needs: Service) -> Definition {
    let mut release =
        release_core::model::Release::new(id("r-1"), set(&[("shop", "2.0.0"), ("api", "2.0.0")]));
    release.previous = set(&[("shop", "1.0.0"), ("api", "1.0.0")]);
    Definition::builder(id("train"), release)
        .service(Service::new(id("api"), id("team-a")))
        .service(needs)
        .environment(environment("prod", Tier::Test, &["eu"]))
        .stage(Stage::new(id("prod"), Rollout::Rolling(Rolling::new(1))))
        .build()
}

fn shop() -> Service {
    Service::new(id("shop"), id("team-b"))
}

/// All steps of one go before all steps of the other.
fn goes_first(definition: &Definition, first: &str, then: &str) {
    let plan = plan(definition).unwrap();
    let before = ancestors(&plan);
    let (one, other) =
        (rollout(&plan, ("prod", "eu", first)), rollout(&plan, ("prod", "eu", then)));
    assert!(!one.is_empty() && !other.is_empty());
    for (at, step) in other {
        assert!(one.iter().all(|(index, _)| before[at].contains(index)), "{}", step.id);
    }
}

#[test]
fn what_needs_another_goes_after_it_or_before_it_as_its_turn_says() {
    goes_first(&pair(shop().needs(id("api"), id(">=1"))), "api", "shop");
    let turned = pair(shop().needs_before(id("api"), id(">=1")));
    goes_first(&turned, "shop", "api");
    // And back: the new version of `api` is what needs the new one of `shop` now.
    let groups = plan(&turned).unwrap().groups().to_vec();
    let [shop, api] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!((shop.name.as_str(), shop.after.as_slice()), ("prod/eu/shop", &[][..]));
    assert_eq!((api.name.as_str(), api.after.as_slice()), ("prod/eu/api", &[0][..]));
    assert!(
        api.either.is_empty(),
        "the old version of `shop` does not do for the new one of `api`"
    );
}

#[test]
fn a_turn_is_none_where_only_one_of_the_two_changes() {
    for name in ["api", "shop"] {
        let mut definition = pair(shop().needs_before(id("api"), id(">=1")));
        definition
            .release
            .previous
            .members
            .insert(id(name), definition.release.versions.get(&id(name)).unwrap().clone());
        let plan = plan(&definition).unwrap();
        assert_eq!(plan.groups().len(), 1);
        assert!(plan.groups()[0].after.is_empty());
    }
}

#[test]
fn who_goes_first_gets_along_with_what_is_there_then() {
    let mut definition = pair(shop().needs_before(id("api"), id(">=1")));
    definition.release.previous = set(&[("shop", "1.0.0")]);
    let errors = plan(&definition).unwrap_err();
    let [error @ PlanError::NotBefore { .. }] = errors.0.as_slice() else { panic!("{errors}") };
    assert_eq!(
        error.to_string(),
        "`shop` is to change before `api`, and needs >=1 of it, but there is none then; let it go after (`turn: after`), or get along with both"
    );
}

#[test]
fn turns_that_go_round_in_a_circle_are_refused() {
    let mut definition = pair(shop().needs_before(id("api"), id(">=1")));
    let names = |definition: &Definition| match plan(definition).unwrap_err().0.as_slice() {
        [PlanError::Cycle { names, .. }] => names.clone(),
        other => panic!("{other:?}"),
    };
    definition.services[1].depends_on.push(any("api"));
    assert_eq!(names(&definition), ["api", "shop"]);
}
