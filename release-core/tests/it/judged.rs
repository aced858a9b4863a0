//! What rollouts have to have: unlike sides are compared by nothing, and what is to judge judges somewhere.

use release_core::model::{
    Background, Canary, CanaryScale, CanaryStep, Definition, Experiment, Rolling, Strategy,
};
use release_core::plan::{Action, EdgeKind, plan};

use super::comparing::{comparing, definition};
use super::expansion::{edge, index};
use super::strategies::{minute, problems, refused, step};
use super::support::samples::{id, one_service};

#[test]
fn experiments_of_unequal_sides_are_refused() {
    let one = |step: CanaryStep| Strategy::Canary(Canary::new(vec![step]));
    let experiment = |share, replicas| Some(Experiment::new(share, replicas, minute()));
    let scale = |replicas| Some(CanaryScale::Replicas(replicas));
    for (strategy, why) in [
        (one(CanaryStep { experiment: experiment(50, 1), ..step(10) }), "from 10 to 49"),
        (one(CanaryStep { experiment: experiment(5, 1), ..step(10) }), "from 10 to 49"),
        (one(CanaryStep { experiment: experiment(20, 0), ..step(10) }), "replicas` is 0"),
        (one(CanaryStep { experiment: experiment(20, 5), ..step(10) }), "set `scale` to 1 to 4"),
        (
            one(CanaryStep { scale: scale(2), experiment: experiment(20, 1), ..step(10) }),
            "set `experiment.replicas` to 2",
        ),
        (one(CanaryStep { experiment: experiment(49, 1), ..step(10) }), "set `scale` to 2 to 4"),
        (one(CanaryStep { experiment: experiment(20, 1), ..step(60) }), "leaves no room"),
    ] {
        refused(strategy, why);
    }
}

#[test]
fn what_watches_begins_with_its_step_where_the_shares_stay_as_they_are() {
    let background = vec![Background { analysis: id("errors"), from_step: 2 }];
    let steps = vec![step(50), CanaryStep { bake: minute(), ..step(50) }];
    let definition = one_service(Strategy::Canary(Canary { background, ..Canary::new(steps) }));
    let plan = plan(&definition).unwrap();
    let watch = "prod/eu/api/background/errors";
    let begins = "prod/eu/api/weight-50-2/bake";
    assert_eq!(edge(&plan, begins, watch), Some(EdgeKind::Order));
    assert_eq!(edge(&plan, "prod/eu/api/weight-50", watch), None);
    let step = &plan.steps()[index(&plan, watch) as usize];
    let Action::Analyze { from, .. } = &step.action else { panic!("{step:?}") };
    assert_eq!(*from, Some(id(begins)));
}

/// By an analysis that compares versions, among the release's criteria.
fn compared(strategy: Strategy, replicas: u32) -> Definition {
    let mut definition = definition(strategy, comparing(|_| {}));
    let services = std::mem::take(&mut definition.services);
    definition.services = services.into_iter().map(|one| one.replicas(replicas)).collect();
    definition
}

#[test]
fn a_rollout_in_which_nothing_judges_is_refused() {
    let rolling = |batches| Strategy::Rolling(Rolling::new(batches));
    let about = |definition: &Definition| {
        let about = |problem: &String| problem.contains("would judge nothing");
        plan(definition).is_err() && problems(definition).iter().any(about)
    };
    // One instance makes one batch, after which the new version is alone.
    assert!(about(&compared(rolling(3), 1)));
    assert!(!about(&compared(rolling(3), 3)));
    let surging = Rolling { max_surge: Some(25.into()), ..Rolling::new(1) };
    assert!(about(&compared(Strategy::Rolling(surging), 3)));
}
