//! Courses of runs: how they stop, what is taken back, and where there is no way back.

use release_core::model::{
    BlueGreen, Canary, CanaryStep, Gate, OnCancel, RollbackScope, Span, Strategy,
};
use release_core::plan::{
    Action, Compensation, EdgeKind, OnFailure, Place, Reach, Step, StepScope, Touched, Undo,
    UndoPhase, plan, rollback,
};
use release_core::port::{Decision, Reason};
use release_core::run::{Awaiting, Command, Event, Outcome, Phase, Rejected, Status};

use super::support::drive::{End, Run};
use super::support::samples::{
    approval, builder, chain, change, custom, deployment, id, one_service, one_way, shop,
    side_by_side,
};
use super::support::words::{approve, back, retry, started};

#[test]
fn a_cancel_rolls_back_and_cannot_be_cancelled() {
    let mut run = Run::start(&chain(vec![change("a"), change("b"), change("c")]));
    run.end("a", End::Good);
    run.command(Command::Cancel, "bob").unwrap();
    assert!(matches!(run.state.phase(), Phase::Stopping(_)));
    run.end("b", End::Good); // what is under way is awaited
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)));
    for command in [Command::Cancel, Command::Pause] {
        run.command(command, "bob").unwrap();
    }
    assert!(run.last(|e| matches!(e, Event::CommandDenied { .. })).is_some());
    run.end("rollback/b/custom", End::Good);
    run.end("rollback/a/custom", End::Good);
    assert!(matches!(run.state.outcome(), Some(Outcome::RolledBack { .. })));
    let statuses = ["a", "b", "c"].map(|step| run.status(step));
    assert_eq!(statuses, [Status::Compensated, Status::Compensated, Status::Cancelled]);
}

#[test]
fn f25_a_cancel_may_leave_things_as_they_are() {
    let mut plan = builder();
    plan.on_cancel(OnCancel::Leave);
    plan.step(change("a"));
    let mut run = Run::start(&plan.build().unwrap().freeze());
    run.command(Command::Cancel, "bob").unwrap();
    run.end("a", End::Good);
    assert!(matches!(run.state.outcome(), Some(Outcome::Cancelled { .. })));
    assert_eq!(run.status("a"), Status::Succeeded);
}

#[test]
fn an_unknown_outcome_is_looked_for_before_a_rollback_begins() {
    let mut run = Run::start(&side_by_side(vec![back(change("a")), change("b")]));
    run.end("b", End::Unknown);
    run.end("a", End::Permanent);
    assert!(matches!(run.state.phase(), Phase::Stopping(_)));
    run.next_effect();
    run.end("b", End::Absent);
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)), "{:?}", run.state);
    assert_eq!(started(&run).iter().filter(|s| s.starts_with("b ")).count(), 2, "no third");
}

#[test]
fn a_failed_rollback_step_waits_for_a_person_and_is_never_a_success() {
    let mut run = Run::start(&chain(vec![back(change("a"))]));
    run.end("a", End::Permanent);
    for _ in 0..5 {
        run.end("rollback/a/custom", End::Transient);
        run.next_effect();
    }
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("rollback/a/custom"))]);
    run.command(retry("rollback/a/custom"), "bob").unwrap();
    run.end("rollback/a/custom", End::Good);
    assert!(matches!(run.state.outcome(), Some(Outcome::RolledBack { .. })));
}

#[test]
fn an_abandoned_run_is_neither_a_success_nor_rolled_back() {
    let mut run = Run::start(&chain(vec![change("a").on_failure(OnFailure::Hold)]));
    let early = run.command(Command::Abandon, "bob");
    assert!(matches!(early, Err(Rejected::WrongPhase { .. })), "an effect is under way");
    run.end("a", End::Permanent);
    run.command(Command::Abandon, "bob").unwrap();
    assert!(matches!(run.state.outcome(), Some(Outcome::Abandoned { .. })));
    assert!(matches!(run.command(Command::Pause, "bob"), Err(Rejected::Finished { .. })));
}

#[test]
fn behind_a_point_of_no_return_people_decide() {
    let mut run = Run::start(&chain(vec![one_way("migrate"), back(change("a")), change("b")]));
    run.end("migrate", End::Good);
    run.end("a", End::Permanent);
    assert!(run.last(|e| matches!(e, Event::RollbackBlocked { .. })).is_some());
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("a"))]);
    run.command(retry("a"), "bob").unwrap();
    run.end("a", End::Good);
    run.end("b", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["migrate 1", "a 1", "a 2", "b 1"], "no attempt number comes twice");
}

/// Found here: only the first of two failed steps could be retried, and the run was stuck for good.
#[test]
fn behind_a_point_of_no_return_every_failed_step_can_be_retried() {
    for other in [back(change("b")), change("b")] {
        let mut run = Run::start(&side_by_side(vec![one_way("migrate"), back(change("a")), other]));
        run.end("migrate", End::Good);
        run.end("a", End::Permanent);
        run.end("b", End::Permanent);
        run.command(retry("a"), "bob").unwrap();
        run.end("a", End::Good);
        run.command(retry("b"), "bob").unwrap();
        run.end("b", End::Good);
        assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    }
}

/// Found here: a step that was rejected before its first attempt counted as touched.
#[test]
fn what_was_never_attempted_is_not_undone_and_is_no_point_of_no_return() {
    let gated = back(one_way("migrate")).gate(approval("go"));
    let mut run = Run::start(&chain(vec![change("a"), gated]));
    run.end("a", End::Good);
    run.command(Command::Reject { gate: id("go") }, "bob").unwrap();
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)), "{:?}", run.state.phase());
    assert_eq!(run.state.plan().rollback().unwrap().1.undoes, [0]);
    run.end("rollback/a/custom", End::Good);
    assert_eq!(run.status("migrate"), Status::Failed);
}

fn in_region(step: Step, region: &str) -> Step {
    let mut place = Place::new(id("prod"));
    place.region = Some(id(region));
    let mut step = step.on_failure(OnFailure::RollBack(RollbackScope::Region));
    step.scope = StepScope::of(place);
    step
}

/// Found here: the second region failed while the run stopped for the first, and stayed as it was
/// in a run that ended as rolled back.
#[test]
fn f31_regions_that_fail_together_are_rolled_back_together() {
    let regions = ["eu", "us", "ap"].map(|region| in_region(change(region), region));
    let mut run = Run::start(&side_by_side(regions.into()));
    run.end("ap", End::Good);
    run.end("eu", End::Permanent);
    run.end("us", End::Permanent);
    assert!(matches!(run.heal(10), Outcome::RolledBack { .. }));
    assert_eq!(["eu", "us"].map(|step| run.status(step)), [Status::Compensated; 2]);
}

#[test]
fn f31_a_region_rolls_back_alone() {
    let regions = ["eu", "us"].map(|region| in_region(change(region), region));
    let mut run = Run::start(&side_by_side(regions.into()));
    run.end("us", End::Good);
    run.end("eu", End::Permanent);
    assert!(matches!(run.heal(10), Outcome::RolledBack { .. }));
    assert_eq!(["eu", "us"].map(|step| run.status(step)), [Status::Compensated, Status::Succeeded]);
}

/// Found here: a plan may have a step of the very name that a rollback would give to one of its own.
#[test]
fn names_of_rollback_steps_do_not_meet_those_of_the_plan() {
    let mut run = Run::start(&chain(vec![change("rollback/b/custom"), back(change("b"))]));
    run.end("rollback/b/custom", End::Good);
    run.end("b", End::Permanent);
    let all: std::collections::BTreeSet<_> =
        (0..).map_while(|index| run.state.plan().get(index)).map(|step| &step.id).collect();
    assert_eq!(all.len(), run.state.plan().len(), "{all:?}");
}

/// Found here: a gate failed, and steps that were decided in the same turn started behind it.
#[test]
fn nothing_starts_in_the_turn_in_which_the_run_begins_to_stop() {
    let mut plan = builder();
    let gated = change("a").gate(approval("go"));
    plan.step(gated);
    plan.step(change("b").gate(Gate::Soak(Span::secs(1))));
    let mut run = Run::start(&plan.build().unwrap().freeze());
    run.command(Command::Pause, "bob").unwrap();
    run.command(Command::Reject { gate: id("go") }, "bob").unwrap();
    run.pass(Span::secs(5));
    run.command(Command::Resume, "bob").unwrap(); // both are due in one turn
    assert!(matches!(run.state.outcome(), Some(Outcome::Failed { .. })));
    assert_eq!(started(&run), [""; 0]);
}

#[test]
fn a_bad_analysis_brings_the_old_version_back() {
    let mut run = Run::start(&plan(&shop()).unwrap().freeze());
    for _ in 0..2_000 {
        let analysis = run.effects.keys().copied().find(|index| {
            matches!(run.state.plan().get(*index).unwrap().action, Action::Analyze { .. })
        });
        if let Some(index) = analysis {
            run.outcome(index, End::Bad);
            break;
        }
        if let Some(index) = run.effects.keys().next().copied() {
            run.outcome(index, End::Good);
        } else if !run.pass_to_next() {
            approve_as_cab(&mut run);
        }
    }
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)));
    let outcome = run.heal(500);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
}

fn approve_as_cab(run: &mut Run) {
    for by in ["bob", "eve"] {
        let by = super::support::samples::person(by).with_role(id("cab"));
        let directive =
            release_core::run::Directive::new(approve("production/cab"), by, "reviewed");
        run.input(&release_core::run::Input::Directive(directive)).unwrap();
    }
}

/// Found in review: one region's rollback left the other between two versions for good.
#[test]
fn no_target_is_left_between_two_versions() {
    let steps = vec![CanaryStep::new(20, Span::ZERO)];
    let mut definition =
        one_service(Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) }));
    definition.environments[0].regions = vec![id("eu"), id("us")];
    definition.stages[0].waves = vec![vec![id("eu"), id("us")]];
    definition.release.rollback.as_mut().unwrap().scope = RollbackScope::Region;
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ["artifacts/api/new", "artifacts/api/previous"] {
        run.end(step, End::Good);
    }
    for step in ["start", "ready"] {
        run.end(&format!("prod/eu/api/{step}"), End::Good);
        run.end(&format!("prod/us/api/{step}"), End::Good);
    }
    run.end("prod/us/api/weight-20", End::Good);
    run.end("prod/eu/api/weight-20", End::Permanent);
    assert!(matches!(run.heal(40), Outcome::RolledBack { .. }));
    for region in ["eu", "us"] {
        let routed = run.status(&format!("prod/{region}/api/weight-20"));
        assert_eq!(routed, Status::Compensated, "{region}");
    }
}

/// A release to `prod`, and then to `live`, whose artifacts are verified.
fn to_two(strategy: Strategy) -> Run {
    let mut definition = one_service(strategy);
    definition.environments.push(definition.environments[0].clone());
    definition.environments[1].id = id("live");
    definition.stages.push(definition.stages[0].clone());
    definition.stages[1].environment = id("live");
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ["artifacts/api/new", "artifacts/api/previous"] {
        run.end(step, End::Good);
    }
    run
}

/// Found in review: the old version was left running where the release had already arrived.
#[test]
fn what_has_arrived_elsewhere_is_tidied_up() {
    let steps = vec![CanaryStep::new(20, Span::ZERO)];
    let mut run =
        to_two(Strategy::Canary(Canary { keep_old: Span::secs(60), ..Canary::new(steps) }));
    let still = ["weight-20/still-routed", "weight-20/still-ready", "promote", "still-ready"];
    for step in ["start", "ready", "weight-20", "weight-20/errors"].into_iter().chain(still) {
        run.end(&format!("prod/eu/api/{step}"), End::Good);
    }
    assert_eq!(run.status("prod/eu/api/remove-old"), Status::Pending, "it is kept for a minute");
    run.end("live/eu/api/start", End::Permanent);
    let extension = run.state.plan().rollback().unwrap().1;
    let ids: Vec<_> = extension.steps.iter().map(|step| step.id.to_string()).collect();
    let kept = ["keep-old/bake", "keep-old/still-ready/probe"];
    let kept = kept.into_iter().chain(["remove-old/still-routed/confirm", "remove-old/scale"]);
    let kept: Vec<_> = kept.map(|step| format!("rollback/prod/eu/api/{step}")).collect();
    assert_eq!(ids[0], "rollback/live/eu/api/start/scale");
    assert_eq!(ids[1..], kept, "as long as it was to be");
    assert!(matches!(run.heal(40), Outcome::RolledBack { .. }));
    assert_eq!(run.status("prod/eu/api/promote"), Status::Succeeded);
}

/// Found in review: the second failure behind a point of no return ended the run.
#[test]
fn behind_a_point_of_no_return_a_step_can_be_retried_again_and_again() {
    let mut run = Run::start(&chain(vec![one_way("migrate"), back(change("a"))]));
    run.end("migrate", End::Good);
    for _ in 0..3 {
        run.end("a", End::Permanent);
        assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("a"))]);
        run.command(retry("a"), "bob").unwrap();
    }
    run.end("a", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
}

/// Found in review: a policy held a rollback.
#[test]
fn no_policy_holds_a_rollback() {
    #[derive(Debug)]
    struct NoWayBack;
    impl release_core::port::Policy for NoWayBack {
        fn admit(&self, asked: &release_core::port::Admission<'_>) -> Decision {
            if asked.step.id.as_str().starts_with("rollback/") {
                return Decision::deny(vec![Reason::new("no", "no way back", "nobody")]);
            }
            Decision::permit()
        }
        fn authorize(&self, _: &release_core::port::CommandRequest<'_>) -> Decision {
            Decision::permit()
        }
    }
    let plan = chain(vec![change("a"), back(change("b"))]);
    let mut run = Run::start_with(&plan, Box::new(NoWayBack), 100);
    run.end("a", End::Good);
    run.end("b", End::Permanent);
    assert!(matches!(run.heal(10), Outcome::RolledBack { .. }));
}

/// Found in review: a cancel before anything had changed said that it was rolled back.
#[test]
fn a_cancel_before_anything_changed_has_nothing_to_roll_back() {
    let mut run = Run::start(&plan(&shop()).unwrap().freeze());
    run.end("artifacts/db/new", End::Good);
    run.command(Command::Cancel, "bob").unwrap();
    assert!(matches!(run.heal(10), Outcome::Cancelled { .. }));
    assert!(run.state.plan().rollback().is_none());
}

/// Found in review: a removal that waited for its next attempt elsewhere was neither undone nor done.
#[test]
fn a_removal_elsewhere_that_failed_once_is_done_by_the_rollback() {
    let mut run = to_two(Strategy::BlueGreen(BlueGreen::default()));
    for step in ["preview", "ready", "switch", "errors", "still-routed", "still-ready"] {
        run.end(&format!("prod/eu/api/{step}"), End::Good);
    }
    for look in ["still-ready", "still-routed"] {
        run.end(&format!("prod/eu/api/remove-old/{look}"), End::Good);
    }
    run.end("prod/eu/api/remove-old", End::Transient);
    assert_eq!(run.status("prod/eu/api/remove-old"), Status::Waiting, "for its next attempt");
    run.end("live/eu/api/preview", End::Permanent);
    let extension = run.state.plan().rollback().unwrap().1;
    let ids: Vec<_> = extension.steps.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(
        ids,
        ["rollback/live/eu/api/preview/scale", "rollback/prod/eu/api/remove-old/scale"]
    );
}

/// Found in review: a rollback deployed what had never been begun elsewhere.
#[test]
fn what_was_never_begun_elsewhere_is_left_alone() {
    let mut plan = builder();
    let regions = ["eu", "us"].map(|region| {
        let group = plan.group(region, vec![]);
        let action = Action::Scale {
            deployment: deployment("api", "2.0.0"),
            replicas: 2,
            apart: None,
            metadata: None,
        };
        let undo = Compensation { action: custom("undo"), phase: UndoPhase::Remove };
        let step = Step::new(id(region), action).undo(Undo::Compensate(vec![undo])).group(group);
        plan.step(in_region(step, region).on_failure(OnFailure::RollBack(RollbackScope::Region)))
    });
    plan.edge(regions[0], regions[1], EdgeKind::Order);
    let plan = plan.build().unwrap().freeze();
    let reach = Reach::of(plan.plan(), plan.get(regions[0]).unwrap(), RollbackScope::Region);
    let touched = |index| if index == regions[0] { Touched::Yes } else { Touched::No };
    let extension = rollback(&plan, touched, &reach);
    let steps = extension.unwrap().steps;
    assert_eq!(
        steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(),
        ["rollback/eu/custom"]
    );
}
