//! Which strategies are recommended for what, and that what is recommended can be planned.

use release_core::model::{Metric, Selector, Span, Strategy};
use release_core::plan::{Action, plan};
use release_policy::recommend::{Capacity, Change, Coexistence, Recommendation, Slo, recommend};
use release_testkit::fixtures::one_service;

fn slo(per_second: f64) -> Slo {
    Slo::new(0.999, Span::secs(28 * 24 * 3600), per_second)
}

fn names(ranked: &[Recommendation]) -> Vec<(&str, bool)> {
    ranked.iter().map(|found| (found.name, found.fits())).collect()
}

#[test]
fn the_least_burn_comes_first_and_what_does_not_fit_last_with_reasons() {
    let change = Change::new(Coexistence::Serve);
    let ranked = recommend(&change, &slo(500.0), &Capacity::new(8).spare(8)).unwrap();
    let found = names(&ranked);
    assert_eq!((found[0], found[4].1), (("canary", true), false), "{found:?}");
    let shadow = ranked.iter().find(|found| found.name == "shadow").unwrap();
    let obstacles = ["requests may not be processed twice", "the router copies no requests"];
    assert_eq!(shadow.obstacles, obstacles);
    // Where copies do no harm, nobody need meet a bad version at all.
    let mut capacity = Capacity::new(8).spare(8);
    capacity.mirrors = true;
    let ranked = recommend(&change.repeatable(), &slo(500.0), &capacity).unwrap();
    assert_eq!(names(&ranked)[0], ("shadow", true));
    assert!(ranked[0].cost.burn_if_bad < ranked[1].cost.burn_if_bad);
}

#[test]
fn versions_that_exclude_each_other_are_exchanged_with_an_outage() {
    let change = Change::new(Coexistence::None);
    let ranked = recommend(&change, &slo(500.0), &Capacity::new(4).spare(4)).unwrap();
    let fitting: Vec<_> = ranked.iter().filter(|found| found.fits()).map(|f| f.name).collect();
    assert_eq!(fitting, ["recreate"]);
    assert!(ranked[0].cost.burn_for_certain > 0.0);
    // With next to nothing left, even that does not fit.
    let spent = slo(500.0).left(1e-6);
    let ranked = recommend(&change, &spent, &Capacity::new(4).spare(4)).unwrap();
    assert!(ranked.iter().all(|found| !found.fits()));
    let why = ranked.iter().find(|f| f.name == "recreate").unwrap().obstacles.join(" ");
    assert!(why.contains("% of the error budget, and 0.0 % are left"), "{why}");
}

#[test]
fn without_spare_instances_some_have_to_be_missing() {
    let change = Change::new(Coexistence::Serve);
    let ranked = recommend(&change, &slo(500.0), &Capacity::new(4).missing(1)).unwrap();
    let fitting: Vec<_> = ranked.iter().filter(|found| found.fits()).map(|f| f.name).collect();
    assert_eq!(fitting, ["rolling", "recreate"]);
    let Strategy::Rolling(rolling) = &ranked[0].strategy else { panic!("{:?}", ranked[0]) };
    assert_eq!((rolling.max_unavailable, rolling.max_surge), (1.into(), Some(0.into())));
}

#[test]
fn a_canary_is_not_recommended_where_it_would_find_nothing() {
    let change = Change::new(Coexistence::Serve);
    let ranked = recommend(&change, &slo(0.05), &Capacity::new(4).spare(4)).unwrap();
    let canary = ranked.iter().find(|found| found.name == "canary").unwrap();
    assert!(canary.obstacles[0].contains("are not found within 1h"), "{canary}");
    // More traffic finds it sooner, at a smaller share.
    let of = |rate: f64| {
        let ranked = recommend(&change, &slo(rate), &Capacity::new(4).spare(4)).unwrap();
        let canary = ranked.into_iter().find(|found| found.name == "canary").unwrap();
        assert!(canary.fits(), "{canary}");
        (canary.cost.exposed, canary.cost.duration)
    };
    let (few, many) = (of(1_000.0), of(100_000.0));
    assert!(many.0 <= few.0 && many.1 < few.1, "{few:?} {many:?}");
}

#[test]
fn what_is_recommended_can_be_planned() {
    let change = Change::new(Coexistence::Serve).repeatable();
    for (replicas, regions) in [(1, 1), (2, 1), (3, 3), (8, 5), (100, 1)] {
        let mut capacity = Capacity::new(replicas).spare(replicas).missing(1).places(regions);
        capacity.mirrors = true;
        // Places share the chance of a false alarm: the more there are, the more has to be seen.
        for found in recommend(&change, &slo(2_000.0), &capacity).unwrap() {
            assert!(found.fits(), "{found}");
            let failures = Metric::Ratio {
                numerator: Selector::series("errors"),
                denominator: Selector::series("requests"),
            };
            let found = found.measured(&failures);
            let mut definition = one_service(found.strategy.clone(), replicas);
            let names = ["eu", "us", "ap", "sa", "af"].map(|name| name.parse().unwrap());
            let names = names.into_iter().take(regions as usize);
            let environments = definition.environments.iter_mut();
            environments.for_each(|environment| environment.regions = names.clone().collect());
            for stage in &mut definition.stages {
                stage.waves = vec![names.clone().collect()];
            }
            definition.analyses.extend(found.analyses.iter().cloned());
            let plan =
                plan(&definition).unwrap_or_else(|errors| panic!("{}: {errors}", found.name));
            // What was priced is what judges: nothing is recommended that would find nothing.
            let judged = plan.steps().iter().filter_map(|step| match &step.action {
                Action::Analyze { analysis, .. } => Some((step, analysis)),
                _ => None,
            });
            let mut priced = 0;
            for (step, analysis) in judged.filter(|(_, of)| of.id.as_str().starts_with("failures"))
            {
                priced += 1;
                assert_eq!(analysis.metric, failures, "{}", step.id);
            }
            let found_by: Vec<_> = plan.power();
            assert_eq!(found_by.len(), if found.name == "canary" { priced } else { 0 });
            let comparisons = u32::try_from(found_by.len()).unwrap();
            let enough = found_by.iter().all(|(_, power)| power.suffices(comparisons));
            assert!(enough, "{found_by:?}");
            assert_eq!(priced > 0, found.name != "recreate", "{}", found.name);
        }
    }
}

#[test]
fn numbers_that_are_none_are_refused_by_name() {
    let (change, slo, capacity) = (Change::new(Coexistence::Serve), slo(1.0), Capacity::new(1));
    let field = |change: Change, slo: Slo, capacity: Capacity| {
        recommend(&change, &slo, &capacity).unwrap_err().field
    };
    assert_eq!(field(change.failing(1.5), slo, capacity), "failure_probability");
    assert_eq!(field(change, slo.left(f64::NAN), capacity), "budget_left");
    let mut bad = slo;
    bad.objective = 1.0;
    assert_eq!(field(change, bad, capacity), "objective");
    (bad.objective, bad.per_second) = (0.9, f64::INFINITY);
    assert_eq!(field(change, bad, capacity), "per_second");
    assert_eq!(field(change, slo, Capacity::new(0)), "replicas");
}
