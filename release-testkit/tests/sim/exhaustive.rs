//! Small cases, every course of them.

use release_core::model::Span;
use release_core::plan::{Action, Compensation, EdgeKind, FrozenPlan, Plan, Step, Undo, UndoPhase};
use release_testkit::fixtures::literal;
use release_testkit::sim::{FaultPlan, Providers, Sim, days, invariants};

fn custom(capability: &str) -> Action {
    Action::Custom { capability: capability.into(), input: serde_json::Value::Null }
}

fn two_steps() -> FrozenPlan {
    let mut plan = Plan::builder(literal("train"), literal("r-1"));
    let change = |name: &str| {
        let action = custom(&format!("undo-{name}"));
        let undo = Undo::Compensate(vec![Compensation { action, phase: UndoPhase::Remove }]);
        Step::new(literal(name), custom("change")).undo(undo)
    };
    let (one, two) = (plan.step(change("one")), plan.step(change("two")));
    plan.edge(one, two, EdgeKind::Order);
    plan.build().unwrap().freeze()
}

#[test]
fn every_course_of_two_steps_with_unknown_outcomes_is_green() {
    let sim = Sim::new(0)
        .departs(Span::ZERO, two_steps())
        .providers(Providers::new().latency(Span::secs(1), Span::secs(1)))
        .faults(FaultPlan::parse("provider.custom: apply-then-timeout 1%").unwrap())
        .run_for(days(1))
        .check(invariants::all());
    let explored = sim.explore(400);
    assert!(explored.failure.is_none(), "{explored:?}");
    assert!(explored.complete && explored.courses > 3, "{explored:?}");
}
