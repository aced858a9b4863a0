//! What a plan says beforehand of the way back: each change is undone or accepted as one that is not, and what is to judge the release
//! can be judged.

use proptest::prelude::*;
use release_core::model::{
    Analysis, Background, Canary, CanaryStep, Metric, Span, Strategy, Target, VersionSet,
};
use release_core::plan::{
    Action, CriterionUnobservable, Plan, PlanError, PlanErrors, Recorded, Step, Undo, UndoPhase,
    plan,
};
use release_core::port::Measurement;
use release_core::time::Timestamp;

use super::support::looks::{finite, part};
use super::support::random;
use super::support::samples::{artifact, builder, custom, error_rate, id, one_service};

fn errors(plan: &Plan, change: impl FnMut(&mut Step)) -> Vec<PlanError> {
    plan.clone().with_steps(change).map_or_else(|PlanErrors(errors)| errors, |_| Vec::new())
}

/// Takes away what undoes each step, one compensation after the other, and all of it.
fn each_compensation_is_missed(plan: &Plan) {
    assert_eq!(errors(plan, |_| {}), []);
    for step in plan.steps().iter().filter(|step| step.action.mutates()) {
        let without = |undo: Undo| {
            errors(plan, |other| {
                if other.id == step.id {
                    other.undo = undo.clone();
                }
            })
        };
        assert_eq!(without(Undo::Undeclared), [PlanError::NoUndo { step: step.id.clone() }]);
        let all = step.undo.compensations();
        let compensates = all
            .iter()
            .enumerate()
            .filter(|(_, one)| one.action.mutates() && one.phase != UndoPhase::Tell);
        for (at, _) in compensates {
            let mut fewer = all.to_vec();
            fewer.remove(at);
            let found = without(Undo::Compensate(fewer));
            // And whatever leaves it to that one.
            assert!(found.contains(&PlanError::NotUndone { step: step.id.clone() }), "{step:?}");
            let only = |error: &PlanError| matches!(error, PlanError::NotUndone { .. });
            assert!(found.iter().all(only), "{found:?}");
        }
    }
    // Nobody is left who puts it back, and each says that another does.
    let found = errors(plan, |step| {
        if step.action.mutates() {
            step.undo = Undo::Nothing;
        }
    });
    let typed =
        |step: &&Step| step.action.mutates() && !matches!(step.action, Action::Custom { .. });
    let each = plan.steps().iter().filter(typed);
    let each: Vec<_> = each.map(|step| PlanError::NotUndone { step: step.id.clone() }).collect();
    assert_eq!(found, each);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_compensation_of_a_planned_release_can_be_left_out(definition in random::definition()) {
        each_compensation_is_missed(&plan(&definition).unwrap());
    }

    #[test]
    fn no_compensation_of_a_plan_by_hand_can_be_left_out(plan in random::dag()) {
        each_compensation_is_missed(plan.plan());
    }
}

#[test]
fn a_point_of_no_return_is_accepted_by_somebody_for_a_reason() {
    let with = |undo: Undo| {
        let mut plan = builder();
        plan.step(Step::new(id("contract"), custom("contract")).undo(undo));
        plan.build()
    };
    let reason = || "rows are dropped".to_owned();
    let nobody = with(Undo::PointOfNoReturn { justification: reason(), approver: None });
    let step = || id("contract");
    assert_eq!(nobody.unwrap_err().0, [PlanError::NoApprover { step: step() }]);
    let why = with(Undo::point_of_no_return(" ", id("lead")));
    assert_eq!(why.unwrap_err().0, [PlanError::NoJustification { step: step() }]);
    let frozen = with(Undo::point_of_no_return(reason(), id("lead"))).unwrap().freeze();
    let read = Plan::decode(frozen.bytes()).unwrap();
    assert_eq!(read.plan(), frozen.plan());
    // A plan of before, of which nobody said who accepts it, is still read.
    let text = String::from_utf8(frozen.bytes().to_vec()).unwrap();
    let before = text.replace(r#","approver":"lead""#, "");
    assert_ne!(before, text);
    let read = Plan::decode(before.as_bytes()).unwrap();
    let undo = &read.plan().steps()[0].undo;
    assert_eq!(undo, &Undo::PointOfNoReturn { justification: reason(), approver: None });
}

/// A canary that is judged by a share of errors among 100 requests or more, and by a number of the moment.
fn watched() -> Plan {
    let errors = Analysis { min_samples: 100, ..error_rate() };
    let mut load = error_rate();
    (load.id, load.metric) = (id("load"), Metric::Query { query: "load".into() });
    load.judge = release_core::model::Judge::Threshold(
        release_core::model::Threshold::new(load.success().unwrap())
            .of(release_core::model::Unit::Number),
    );
    load.fresh_for = Some(Span::secs(60));
    let step = CanaryStep {
        analyses: vec![id("errors"), id("load")],
        ..CanaryStep::new(50, Span::secs(60))
    };
    let mut definition = one_service(Strategy::Canary(Canary::new(vec![step])));
    definition.analyses = vec![errors, load];
    plan(&definition).unwrap()
}

#[test]
fn what_is_to_judge_a_release_can_be_judged_on_what_was_recorded() {
    let plan = watched();
    let judged = plan.steps().iter().filter(|step| matches!(step.action, Action::Analyze { .. }));
    assert!(judged.count() >= 2);
    let now = Timestamp::default().plus(Span::secs(3_600));
    let old = artifact("api", "1.0.0").digest();
    let of = |measurement| Some(Recorded { version: old, at: now, measurement });
    let load = |ago: u64| {
        let at = Timestamp::from_micros(now.as_micros() - i64::try_from(ago * 1_000_000).unwrap());
        of(Measurement::Value { digest: old, value: finite(0.01), at })
    };
    let good = |_: &Target, metric: &Metric| match metric {
        Metric::Query { .. } => load(30),
        _ => of(part(old, 1.0, 100.0)),
    };
    assert_eq!(plan.observable(good), Ok(()));

    let missing = |errors: &dyn Fn() -> Option<Recorded>, ago: u64| {
        let found = plan.observable(|_, metric| match metric {
            Metric::Query { .. } => load(ago),
            _ => errors(),
        });
        let of = |one: CriterionUnobservable| {
            assert_eq!(one.target, Target::new(id("prod"), id("eu"), id("api")));
            assert_eq!(one.metric, 1);
            assert!(one.to_string().contains(&one.why), "{one}");
            (one.analysis.to_string(), one.why)
        };
        found.unwrap_err().into_iter().map(of).collect::<Vec<_>>()
    };
    let other = artifact("api", "0.9.0").digest();
    for (why, errors) in [
        ("nothing was recorded", None),
        ("silence", of(Measurement::NoData { reason: "silence".into() })),
        ("not sha256", of(part(other, 1.0, 100.0))),
        ("there were 99 samples of the 100 that it needs", of(part(old, 1.0, 99.0))),
        ("cannot be counts", of(part(old, -1.0, 100.0))),
        ("no measurement of a ratio", load(0)),
    ] {
        let found = missing(&|| errors.clone(), 30);
        let [(analysis, told)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(analysis, "errors");
        assert!(told.contains(why), "{told}");
    }
    let both = missing(&|| None, 61);
    let [errors, (analysis, told)] = both.as_slice() else { panic!("{both:?}") };
    assert_eq!((errors.0.as_str(), analysis.as_str()), ("errors", "load"));
    assert!(told.contains("1m 1s old"), "{told}");
    // What is only told stops nothing, and is not asked after.
    let dry = plan.with_steps(|step| {
        if let Action::Analyze { analysis, .. } = &mut step.action {
            let told = Analysis { dry_run: true, ..Analysis::clone(analysis) };
            *analysis = std::sync::Arc::new(told);
        }
    });
    assert_eq!(dry.unwrap().observable(|_, _| None), Ok(()));
}

#[test]
fn what_is_to_judge_tells_whom_it_replaces_and_how_far_back_it_looks() {
    let (plan, before) = (watched(), artifact("api", "1.0.0").digest());
    let told = |plan: &Plan| {
        let all = plan.criteria().into_iter();
        all.map(|one| (one.analysis.id.to_string(), one.number, one.window)).collect::<Vec<_>>()
    };
    // A bake of a minute, and a second for each of eleven looks, ten of which may be without data.
    let looks = Span::secs(60 + 11);
    assert_eq!(told(&plan), [("errors".to_owned(), 1, looks), ("load".to_owned(), 1, looks)]);
    for one in plan.criteria() {
        assert_eq!(one.before, Some((before, &id("1.0.0"))));
        assert_eq!(one.deployment.version.to_string(), "2.0.0");
        let Action::Analyze { analysis, .. } = &one.step.action else { panic!("{:?}", one.step) };
        assert_eq!(analysis.id, one.analysis.id);
    }

    // In the background, all bakes of the place count, and not what keeps the old version afterwards.
    let mut canary =
        Canary::new(vec![CanaryStep::new(20, Span::secs(30)), CanaryStep::new(50, Span::secs(60))]);
    canary.keep_old = Span::secs(3_600);
    canary.background = vec![Background { analysis: id("errors"), from_step: 1 }];
    let in_background = self::plan(&one_service(Strategy::Canary(canary))).unwrap();
    assert_eq!(told(&in_background), [("errors".to_owned(), 1, Span::secs(30 + 60 + 11))]);

    // Where nothing served before, nothing is judged.
    let mut first = one_service(Strategy::Recreate);
    first.release.previous = VersionSet::new();
    assert_eq!(self::plan(&first).unwrap().criteria().len(), 0);
}
