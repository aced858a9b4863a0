//! What a plan owes its definition, derived from the definition alone: dependencies, stages, and that
//! nobody is sent to what is not ready.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::model::{
    Definition, Dependency, Digest, Member, Rolling, Service, Stage, Strategy as Rollout, Tier,
};
use release_core::plan::{Action, Plan, PlanError, Step, plan};

use super::support::random;
use super::support::samples::{environment, id, set};

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
            let both = changed.contains(own) && changed.contains(other);
            let stands = definition.release.previous.get(&needing.id).is_some();
            let fits = |new: &Member| need.before().matches(&new.version);
            let before = !definition.release.versions.get(&need.service).is_some_and(fits);
            if both && stands && before {
                direct.entry(other).or_default().push(own);
            } else {
                direct.entry(own).or_default().push(other);
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
        Action::Scale { deployment, replicas: 0, .. } if step.finale => {
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

/// The new `shop` gets along with both versions of `api`; the one from before with this range.
fn turned(previously: &str) -> Definition {
    let need = Dependency::new(id("api"), id(">=1")).previously(id(previously));
    pair(shop().needing(need))
}

#[test]
fn what_needs_another_goes_after_it_or_before_it_as_it_gets_along_with_it() {
    goes_first(&pair(shop().needs(id("api"), id(">=1"))), "api", "shop");
    goes_first(&turned(">=1, <3"), "api", "shop");
    let turned = turned("^1");
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

/// Each version says what it needs: the new one the new, the one from before the one from before.
#[test]
fn versions_that_need_each_other_are_sound_before_and_after() {
    let strict = |version: &str, previously: &str| {
        pair(shop().needing(Dependency::new(id("api"), id(version)).previously(id(previously))))
    };
    let plan_of = |definition: &Definition| plan(definition).map(|plan| plan.groups().to_vec());
    let groups = plan_of(&strict("^2", ">=1")).unwrap();
    assert_eq!(groups.last().unwrap().name, "prod/eu/shop");
    assert!(
        groups.last().unwrap().either.is_empty(),
        "the old `api` does not do for the new `shop`"
    );
    let alone = pair(shop().needs(id("api"), id("^2")));
    assert!(matches!(
        plan_of(&alone).unwrap_err().0.as_slice(),
        [PlanError::Incompatible { set: "previous", .. }]
    ));
    let errors = plan_of(&strict("^2", "^1")).unwrap_err();
    let [error @ PlanError::Knot { .. }] = errors.0.as_slice() else { panic!("{errors}") };
    assert_eq!(
        error.to_string(),
        "neither `shop` nor `api` can change first: the version of `shop` from before does not get along with the new `api`, and its new version needs ^2, but there is 1.0.0 before; go over a version that gets along with both"
    );
}

#[test]
fn a_turn_is_none_where_only_one_of_the_two_changes() {
    let mut definition = turned("^1");
    let new = definition.release.versions.get(&id("shop")).unwrap().clone();
    definition.release.previous.members.insert(id("shop"), new);
    let plan = plan(&definition).unwrap();
    assert_eq!(plan.groups().len(), 1);
    assert!(plan.groups()[0].after.is_empty());
}

/// `cart` needs `shop`, which needs `api`, these ranges in their new versions; and `cart` from before needs the `api` from before.
fn three(ranges: [&str; 2]) -> Definition {
    let [of_shop, of_api] = ranges.map(id);
    let mut definition =
        pair(shop().needing(Dependency::new(id("api"), of_api).previously(id("*"))));
    let cart = Service::new(id("cart"), id("team-c"))
        .needing(Dependency::new(id("shop"), of_shop).previously(id("*")))
        .needing(Dependency::new(id("api"), id("*")).previously(id("^1")));
    definition.services.push(cart);
    let release = &mut definition.release;
    release.versions.members.extend(set(&[("cart", "2.0.0")]).members);
    release.previous.members.extend(set(&[("cart", "1.0.0")]).members);
    definition
}

#[test]
fn turns_that_go_round_in_a_circle_are_refused_where_needs_ask_for_them() {
    let errors = plan(&three(["^2", "^2"])).unwrap_err();
    let [PlanError::Cycle { what, names }] = errors.0.as_slice() else { panic!("{errors}") };
    assert_eq!(
        (*what, names.as_slice()),
        ("changes of services", &["api", "cart", "shop"].map(String::from)[..])
    );
    // Where one of them gets along with both versions of what it needs, it need not come after it.
    for ranges in [["^2", "*"], ["*", "^2"], ["*", "*"]] {
        goes_first(&three(ranges), "cart", "api");
    }
    // Others keep to what is needed first.
    let mut more = three(["*", "*"]);
    more.services.push(Service::new(id("web"), id("team-d")).needs(id("db"), id(">=1")));
    more.services.push(Service::new(id("db"), id("team-d")));
    let release = &mut more.release;
    release.versions.members.extend(set(&[("web", "2.0.0"), ("db", "2.0.0")]).members);
    release.previous.members.extend(set(&[("web", "1.0.0"), ("db", "1.0.0")]).members);
    goes_first(&more, "db", "web");
    goes_first(&more, "cart", "api");
    goes_first(&three(["^2", "*"]), "shop", "cart");
    goes_first(&three(["*", "^2"]), "api", "shop");
}

/// What was said of a version that is there no more is not asked of the one that stays.
#[test]
fn what_stays_needs_before_and_after_what_it_needs_now() {
    let mut definition =
        pair(shop().needing(Dependency::new(id("api"), id("^2")).previously(id("^1"))));
    let new = |definition: &Definition, name: &str| {
        definition.release.versions.get(&id(name)).unwrap().clone()
    };
    let stays = new(&definition, "shop");
    definition.release.previous.members.insert(id("shop"), stays);
    let errors = plan(&definition).unwrap_err();
    assert!(
        matches!(errors.0.as_slice(), [PlanError::Incompatible { set: "previous", .. }]),
        "{errors}"
    );
    let stays = new(&definition, "api");
    definition.release.previous.members.insert(id("api"), stays);
    plan(&definition).unwrap();
}
