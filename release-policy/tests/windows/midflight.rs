//! What becomes of steps as a freeze begins, told by what the engine does with them.

use release_core::model::{Principal, Timestamp};
use release_core::plan::{
    Action, Compensation, EdgeKind, FrozenPlan, Place, Plan, Step, StepScope, Undo, UndoPhase,
};
use release_core::port::Evidence;
use release_core::run::{EffectOutcome, Event, Fact, Input, RunState, Turn, turn};
use release_policy::Windows;
use release_policy::window::OnStart;

use super::support::{all, at, between, freeze, name};

fn custom(capability: &str) -> Action {
    Action::Custom { capability: capability.into(), input: serde_json::Value::Null }
}

fn deploy(environment: &str) -> Step {
    let back = Compensation { action: custom("undeploy"), phase: UndoPhase::Remove };
    Step::new(name(&format!("{environment}/api")), custom("deploy"))
        .scope(StepScope::of(Place::new(name(environment))))
        .undo(Undo::Compensate(vec![back]))
}

/// QA and then production, of no rollout or both of one.
fn plan(group: Option<&str>) -> FrozenPlan {
    let mut plan = Plan::builder(name("web"), name("rel"));
    let group = group.map(|group| plan.group(group, Vec::new()));
    let in_group = |step: Step| Step { group, ..step };
    let qa = plan.step(in_group(deploy("qa")));
    let production = plan.step(in_group(deploy("production")));
    plan.edge(qa, production, EdgeKind::Order);
    plan.build().unwrap().freeze()
}

/// What happens as QA is done, while production has been frozen since QA began.
fn after_qa(group: Option<&str>, on_start: OnStart) -> Vec<Event> {
    let (begun, done) = ("2026-03-02T08:00", "2026-03-02T12:30");
    let frozen = freeze("frozen", between("2026-03-02T12:00", "2026-03-02T18:00"));
    let windows = all([frozen.in_environment(name("production")).on_start(on_start)]);
    let plan = plan(group);
    let event = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        requester: Principal::human(name("ann")),
        supersedes: None,
        policy: None,
    };
    let created: Timestamp = at(begun);
    let mut state = RunState::create(name("r"), plan, &Fact { at: created, event }).unwrap();
    let ask = |state: &mut RunState, input: Option<&Input>, now: &str, windows: &Windows| {
        turn(state, input, &Turn::new(at(now), 7, windows), 100).unwrap()
    };
    let first = ask(&mut state, None, begun, &windows);
    assert!(first.iter().any(|event| matches!(event, Event::StepStarted { .. })), "{first:?}");
    let outcome = EffectOutcome::Performed(Ok(Evidence::Done));
    ask(&mut state, Some(&Input::Outcome { step: 0, attempt: 1, outcome }), done, &windows)
}

fn starts(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::StepStarted { .. }))
}

fn fails(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::StepFailed { .. }))
}

/// Steps without a group are no rollout: what one has done carries no other through a freeze.
#[test]
fn a_freeze_that_lets_finish_holds_a_step_of_no_rollout() {
    let alone = after_qa(None, OnStart::Finish);
    assert!(!starts(&alone), "production began in the midst of its freeze: {alone:?}");
    let together = after_qa(Some("web"), OnStart::Finish);
    assert!(starts(&together), "one rollout goes on: {together:?}");
}

/// Nor is one taken back for what another has done.
#[test]
fn a_freeze_that_reverts_takes_nothing_back_for_a_step_of_no_rollout() {
    let alone = after_qa(None, OnStart::Revert);
    assert!(!fails(&alone) && !starts(&alone), "nothing has begun in production: {alone:?}");
    let together = after_qa(Some("web"), OnStart::Revert);
    assert!(fails(&together), "one rollout goes back: {together:?}");
}
