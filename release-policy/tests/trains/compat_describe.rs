//! What a catalogue says of versions orders the plan of a definition.

use std::collections::BTreeMap;

use proptest::prelude::*;
use release_core::model::{
    Definition, Environment, Release, Rolling, Service, ServiceId, Stage, Strategy as Rollout, Tier,
};
use release_core::plan::{Group, PlanError, plan};
use release_policy::compat::{Catalogue, NoOrder, Offer, Versions};

use super::super::support::id;
use super::runs::set;
use super::{all_sets, catalogue, fits, requirement, version};

/// A release from one set to another in one place, which says nothing of needs itself.
fn definition(live: &Versions, target: &Versions) -> Definition {
    let of = |versions: &Versions| {
        let texts: Vec<_> =
            versions.iter().map(|(id, at)| (id.to_string(), at.to_string())).collect();
        let all: Vec<_> = texts.iter().map(|(id, at)| (id.as_str(), at.as_str())).collect();
        set(&all)
    };
    let mut release = Release::new(id("r-1"), of(target));
    release.previous = of(live);
    let environment = Environment {
        id: id("production"),
        tier: Tier::Staging,
        owner: id("sre"),
        regions: vec![id("eu")],
    };
    let stage = Stage::new(id("production"), Rollout::Rolling(Rolling::new(1)));
    let builder = Definition::builder(id("train"), release).environment(environment).stage(stage);
    let services = target.keys().map(|name| Service::new(name.clone(), id("team")));
    services.fold(builder, release_core::model::DefinitionBuilder::service).build()
}

/// The groups that a group comes after, by any way.
fn before(groups: &[Group], of: usize) -> Vec<usize> {
    let mut all: Vec<usize> = groups[of].after.iter().map(|one| *one as usize).collect();
    let more: Vec<_> = all.iter().flat_map(|one| before(groups, *one)).collect();
    all.extend(more);
    all
}

/// Whether services need each other in a circle.
fn round(catalogue: &Catalogue, set: &Versions) -> bool {
    let needs = |name: &ServiceId| -> Vec<ServiceId> {
        catalogue.needs(name, &set[name]).into_iter().flatten().map(|(on, _)| on.clone()).collect()
    };
    set.keys().any(|start| {
        let (mut open, mut seen) = (needs(start), Vec::new());
        while let Some(next) = open.pop() {
            if next == *start {
                return true;
            }
            if !seen.contains(&next) {
                open.extend(needs(&next));
                seen.push(next);
            }
        }
        false
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    /// Each change comes after those that have to come before it, and the plan is refused where there is no order.
    #[test]
    fn a_plan_keeps_to_the_turns_of_its_catalogue(
        catalogue in catalogue(),
        (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let sets: Vec<_> = all_sets(&catalogue).into_iter().filter(|set| fits(&catalogue, set)).collect();
        // A release takes no service away.
        let live = from.get(&sets);
        let stays = |set: &&Versions| !set.is_empty() && live.keys().all(|id| set.contains_key(id));
        let targets: Vec<_> = sets.iter().filter(stays).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let target = *to.get(&targets);
        let described = catalogue.describe(definition(live, target)).unwrap();
        let planned = plan(&described);
        // Services that need each other, as they shall be, are none of a definition.
        let mutual = |error: &PlanError| matches!(error, PlanError::Cycle { what: "services", .. });
        let refused = matches!(&planned, Err(errors) if errors.0.iter().any(mutual));
        if refused {
            prop_assert!(round(&catalogue, target), "{described:?}");
            return Ok(());
        }
        let turns = match catalogue.turns(live, target).map_err(|why| *why) {
            Ok(turns) => turns,
            Err(NoOrder::Knot(_)) => {
                prop_assert!(planned.is_err(), "{described:?}");
                return Ok(());
            }
            Err(why) => panic!("both sets fit: {why}"),
        };
        let plan = planned.map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        let groups = plan.groups();
        let place: BTreeMap<&str, usize> =
            groups.iter().zip(0..).filter_map(|(group, at)| Some((group.name.rsplit('/').next()?, at))).collect();
        for turn in turns {
            let (sooner, later) = (place[turn.sooner.as_str()], place[turn.later.as_str()]);
            prop_assert!(before(groups, later).contains(&sooner), "{}", turn);
            // Nobody is left behind without what it cannot do without.
            prop_assert!(!groups[later].either.iter().any(|one| *one as usize == sooner), "{}", turn);
        }
    }
}

#[test]
fn what_the_catalogue_lacks_is_named_and_prereleases_are_understood() {
    let offer = |name: &str, text: &str| Offer::new(id(name), version(text));
    let catalogue = Catalogue::new([
        offer("api", "2.0.0"),
        offer("api", "3.0.0-rc.1"),
        offer("shop", "2.0.0").needing(id("api"), requirement("^2")),
        offer("shop", "3.0.0"),
    ])
    .unwrap();
    let versions =
        |all: [(&str, &str); 2]| all.map(|(name, text)| (id(name), version(text))).into();
    let (live, target): (Versions, Versions) = (
        versions([("api", "2.0.0"), ("shop", "2.0.0")]),
        versions([("api", "3.0.0-rc.1"), ("shop", "3.0.0")]),
    );
    let plan = plan(&catalogue.describe(definition(&live, &target)).unwrap()).unwrap();
    let names: Vec<_> = plan.groups().iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["production/eu/shop", "production/eu/api"]);

    let stranger = versions([("api", "4.0.0"), ("shop", "9.0.0")]);
    let unknown = catalogue.describe(definition(&stranger, &target)).unwrap_err();
    let told: Vec<_> =
        unknown.iter().map(|one| (one.service.as_str(), one.version.to_string())).collect();
    assert_eq!(told, [("api", "4.0.0".into()), ("shop", "9.0.0".into())]);
}
