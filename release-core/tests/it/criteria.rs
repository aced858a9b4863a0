//! The release's rollback criteria: no way past them, and what a failing one does.

use release_core::model::{
    Analysis, BlueGreen, Canary, CanaryStep, RollbackScope, RollbackTrigger, Rolling, Span,
    Strategy, Tier,
};
use release_core::plan::{Action, OnFailure, Plan, Step, plan};
use release_core::run::{Cause, Event, Outcome};

use super::support::drive::{End, Run};
use super::support::samples::{approval, error_rate, id, one_service, set};

fn strategies() -> [Strategy; 4] {
    let steps = vec![CanaryStep::new(10, Span::ZERO)];
    [
        Strategy::Recreate,
        Strategy::Rolling(Rolling {
            max_unavailable: 0.into(),
            bake: Span::ZERO,
            ..Rolling::new(2)
        }),
        Strategy::BlueGreen(BlueGreen::default()),
        Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) }),
    ]
}

/// Found in review: `recreate` replaced production and nobody looked at the criteria.
#[test]
fn in_production_every_strategy_is_taken_back_by_a_failing_criterion() {
    for strategy in strategies() {
        let mut definition = one_service(strategy.clone());
        let criteria = definition.release.rollback.as_mut().unwrap();
        criteria.triggers = vec![RollbackTrigger::Analysis(id("errors"))];
        let mut run = Run::start(&plan(&definition).unwrap().freeze());
        while !run.effects.is_empty() && run.state.plan().rollback().is_none() {
            let step = *run.effects.keys().next().unwrap();
            run.outcome(step, End::Bad); // of measurements; all else is good
        }
        let outcome = run.heal(100);
        let Outcome::RolledBack { cause: Cause::StepFailed { step, .. } } = &outcome else {
            panic!("{strategy:?}: {outcome}")
        };
        assert!(step.id.as_str().ends_with("/errors"), "{strategy:?}: {outcome}");
    }
}

#[test]
fn a_first_deployment_is_judged_by_no_analysis() {
    for strategy in strategies() {
        let mut definition = one_service(strategy);
        definition.release.previous = set(&[]);
        assert_eq!(judged(&plan(&definition).unwrap()), []);
    }
}

/// Found in review: nothing to do asked people to approve it, and said that it went live.
#[test]
fn a_release_that_changes_nothing_succeeds_at_once_and_says_so() {
    for notify in [vec![], vec![id("ops")]] {
        let mut definition = one_service(Strategy::Recreate);
        definition.release.previous = definition.release.versions.clone();
        definition.stages[0].gates = vec![approval("cab")];
        definition.notify.clone_from(&notify);
        let plan = plan(&definition).unwrap();
        assert!(plan.changes_nothing());
        let actions: Vec<_> = plan.steps().iter().map(|step| step.action.clone()).collect();
        let message = "r-1 of shop: nothing to do, every service is as wanted already".to_owned();
        let told =
            notify.into_iter().map(|channel| Action::Notify { channel, message: message.clone() });
        assert_eq!(actions, told.collect::<Vec<_>>());
        assert_eq!(Run::start(&plan.freeze()).heal(2), Outcome::Succeeded);
    }
    assert!(!plan(&one_service(Strategy::Recreate)).unwrap().changes_nothing());
}

/// Outside production nobody may be there to give load, and no data is never a pass.
#[test]
fn recreate_outside_production_measures_nothing() {
    let mut definition = one_service(Strategy::Recreate);
    definition.environments[0].tier = Tier::Staging;
    let plan = plan(&definition).unwrap();
    assert_eq!(judged(&plan), []);
}

/// All analyses of one bake measure from its start, however long the one before them takes; without a
/// bake, from the change of shares. The journal keeps these instants.
#[test]
fn analyses_measure_from_the_start_of_their_bake() {
    let mut canary = Canary {
        steps: vec![CanaryStep::new(10, Span::secs(60)), CanaryStep::new(50, Span::ZERO)],
        keep_old: Span::ZERO,
        ..Canary::default()
    };
    canary.steps[0].analyses = vec![id("latency")];
    let mut definition = one_service(Strategy::Canary(canary));
    definition.analyses.push(Analysis { id: id("latency"), ..error_rate() });
    let plan = plan(&definition).unwrap().freeze();
    let from = |step: &str| match &plan.get(plan.find(&id(step)).unwrap()).unwrap().action {
        Action::Analyze { from, .. } => from.as_ref().unwrap().as_str().to_owned(),
        other => panic!("{other}"),
    };
    let analyses = [
        ("prod/eu/api/weight-10/latency", "prod/eu/api/weight-10/bake"),
        ("prod/eu/api/weight-10/errors", "prod/eu/api/weight-10/bake"),
        ("prod/eu/api/weight-50/errors", "prod/eu/api/weight-50"),
    ];
    for (analysis, wanted) in analyses {
        assert_eq!(from(analysis), wanted);
    }

    let mut run = Run::start(&plan);
    let mut checked = 0;
    while checked < analyses.len() {
        run.next_effect();
        let next = *run.effects.keys().next().unwrap();
        let step = plan.get(next).unwrap().id.clone();
        if let Some((_, from)) = analyses.iter().find(|(name, _)| *name == step.as_str()) {
            let began = run.facts.iter().rfind(
                |fact| matches!(&fact.event, Event::StepStarted { step, .. } if step.id == id(from)),
            );
            let began = began.unwrap().at;
            assert_eq!(run.state.window_start(next), began);
            run.take_over(); // another engine, from the journal
            assert_eq!(run.state.window_start(next), began);
            checked += 1;
        }
        run.end(step.as_str(), End::Good);
    }
}

/// A step made by hand that measures from nowhere is an error, not a window of its own choosing.
#[test]
fn an_analysis_measures_from_a_bake_or_a_change_of_shares_alone() {
    let plan = plan(&one_service(Strategy::Canary(Canary {
        steps: vec![CanaryStep::new(10, Span::ZERO)],
        keep_old: Span::ZERO,
        ..Canary::default()
    })))
    .unwrap();
    let mut steps = plan.steps().to_vec();
    let analysis = steps.iter_mut().find_map(|step| match &mut step.action {
        Action::Analyze { from, .. } => Some(from),
        _ => None,
    });
    *analysis.unwrap() = Some(id("prod/eu/api/ready"));
    let mut builder = Plan::builder(id("t"), id("r"));
    for step in steps {
        builder.step(Step { group: None, ..step });
    }
    let errors = builder.build().unwrap_err().to_string();
    assert!(
        errors.contains("measures from the start of `prod/eu/api/ready`, which is no bake"),
        "{errors}"
    );
}

/// Each analysis step, and what its failure does.
fn judged(plan: &Plan) -> Vec<(&str, OnFailure)> {
    let steps = plan.steps().iter().filter(|s| matches!(s.action, Action::Analyze { .. }));
    steps.map(|step| (step.id.as_str(), step.on_failure)).collect()
}

/// Found in review: steps with analyses of their own were a way past the release's criteria.
#[test]
fn analyses_of_a_stage_come_on_top_of_the_criteria() {
    let own = |names: &[&str]| names.iter().map(|name| id(name)).collect::<Vec<_>>();
    let both = ["latency", "errors"].map(|name| Analysis { id: id(name), ..error_rate() });
    let back = OnFailure::RollBack(RollbackScope::Environment);
    let mut canary = one_service(Strategy::Canary(Canary {
        steps: vec![
            CanaryStep { analyses: own(&["latency"]), ..CanaryStep::new(10, Span::ZERO) },
            CanaryStep { analyses: own(&["errors", "latency"]), ..CanaryStep::new(50, Span::ZERO) },
        ],
        keep_old: Span::ZERO,
        ..Canary::default()
    }));
    canary.analyses = both.to_vec();
    let spec = BlueGreen { analyses: own(&["latency"]), ..BlueGreen::default() };
    let mut green = one_service(Strategy::BlueGreen(spec));
    green.analyses = both.to_vec();
    for (triggers, latency) in [
        (vec![RollbackTrigger::Analysis(id("errors"))], OnFailure::Hold),
        (["errors", "latency"].map(|name| RollbackTrigger::Analysis(id(name))).to_vec(), back),
        (vec![RollbackTrigger::StepFailed, RollbackTrigger::Analysis(id("errors"))], back),
    ] {
        for definition in [&mut canary, &mut green] {
            definition.release.rollback.as_mut().unwrap().triggers.clone_from(&triggers);
        }
        let plan_of = |definition| plan(definition).unwrap();
        assert_eq!(
            judged(&plan_of(&canary)),
            [
                ("prod/eu/api/weight-10/latency", latency),
                ("prod/eu/api/weight-10/errors", back),
                ("prod/eu/api/weight-50/errors", back),
                ("prod/eu/api/weight-50/latency", latency),
            ],
            "{triggers:?}"
        );
        assert_eq!(
            judged(&plan_of(&green)),
            [("prod/eu/api/latency", latency), ("prod/eu/api/errors", back)]
        );
    }
}
