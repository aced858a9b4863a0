//! Courses of runs, one by one: each is a rule that people rely on, or a fault that was found.

use release_core::model::{Canary, CanaryStep, Gate, OnCancel, RollbackScope, Span, Strategy};
use release_core::plan::{
    Action, FrozenPlan, OnFailure, Place, RetryPolicy, Step, StepScope, plan,
};
use release_core::port::{Decision, Reason};
use release_core::run::{Awaiting, Command, Event, Mode, Outcome, Phase, Rejected, Status, WakeUp};

use super::support::drive::{End, Run};
use super::support::samples::{
    approval, builder, chain, change, custom, id, one_service, one_way, shop, side_by_side,
};

fn back(step: Step) -> Step {
    step.on_failure(OnFailure::RollBack(RollbackScope::Release))
}

fn retry(step: &str) -> Command {
    Command::Retry { step: id(step) }
}

fn approve(gate: &str) -> Command {
    Command::Approve { gate: id(gate) }
}

fn reconcile(step: &str, applied: bool) -> Command {
    Command::Reconcile { step: id(step), applied }
}

fn failures(run: &Run) -> Vec<String> {
    run.facts
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::StepFailed { step, error, .. } => Some(format!("{} {}", step.id, error.kind)),
            _ => None,
        })
        .collect()
}

fn started(run: &Run) -> Vec<String> {
    run.facts
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::StepStarted { step, attempt, mode: Mode::Perform } => {
                Some(format!("{} {attempt}", step.id))
            }
            Event::StepStarted { step, attempt, mode: Mode::Look } => {
                Some(format!("{} {attempt} look", step.id))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn steps_run_in_order_and_the_run_succeeds() {
    let mut run =
        Run::start(&chain(vec![change("a"), Step::new(id("b"), Action::Sync), change("c")]));
    run.end("a", End::Good);
    assert_eq!((run.status("b"), run.status("c")), (Status::Succeeded, Status::Running));
    run.end("c", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["a 1", "c 1"]);
}

#[test]
fn a_transient_failure_is_tried_again_up_to_the_limit() {
    let step = change("a").retry(RetryPolicy::attempts(3));
    let mut run = Run::start(&chain(vec![step]));
    for _ in 0..2 {
        run.end("a", End::Transient);
        assert!(matches!(run.state.awaiting()[..], [Awaiting::Instant(_)]));
        run.next_effect();
    }
    run.end("a", End::Transient);
    assert!(matches!(run.state.outcome(), Some(Outcome::Failed { .. })));
    assert_eq!(started(&run), ["a 1", "a 2", "a 3"]);
}

#[test]
fn an_unknown_outcome_is_looked_for_and_found() {
    let mut run = Run::start(&chain(vec![change("a")]));
    run.pass(Span::secs(60)); // the step's timeout
    assert!(
        run.last(|e| matches!(e, Event::OutcomeUnknown { error, .. } if error.kind == "timeout"))
            .is_some()
    );
    run.next_effect();
    run.end("a", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["a 1", "a 2 look"]);
}

/// «Known not to have happened: perform it, at once and without counting a failure.»
#[test]
fn a_look_that_finds_nothing_counts_as_no_failure() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let mut run = Run::start(&chain(vec![step]));
    run.end("a", End::Unknown); // the only failure so far
    run.next_effect();
    run.end("a", End::Absent);
    run.end("a", End::Transient);
    assert_eq!(failures(&run), ["a busy"], "two failures are the limit");

    let mut run = Run::start(&chain(vec![change("a")])); // one attempt
    run.take_over();
    run.end("a", End::Absent);
    run.end("a", End::Unknown);
    run.next_effect();
    run.end("a", End::Good); // also a step that is tried once is looked for once
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(started(&run), ["a 1", "a 2 look", "a 3", "a 4 look"]);
}

/// Nobody performs again and again what never takes effect.
#[test]
fn performing_and_looking_in_vain_ends_with_a_person() {
    let mut run = Run::start(&chain(vec![change("a").retry(RetryPolicy::attempts(3))]));
    for _ in 0..3 {
        run.end("a", End::Unknown);
        run.next_effect();
        run.end("a", End::Absent);
    }
    run.end("a", End::Unknown);
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("a"))]);
}

#[test]
fn what_cannot_be_found_out_waits_for_a_person() {
    let mut run = Run::start(&chain(vec![change("a"), change("b")]));
    run.end("a", End::Unknown);
    run.next_effect();
    run.end("a", End::Unknown);
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("a"))]);
    // Performing an unknown effect once more under a new key could double it (law 3).
    let refused = run.command(retry("a"), "bob");
    assert!(matches!(refused, Err(Rejected::WrongState { .. })), "{refused:?}");
    run.command(reconcile("a", true), "bob").unwrap();
    assert_eq!((run.status("a"), run.status("b")), (Status::Succeeded, Status::Running));
}

#[test]
fn what_a_person_says_did_not_happen_is_performed_again_with_the_same_key() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let mut run = Run::start(&chain(vec![step]));
    for _ in 0..3 {
        run.end("a", End::Unknown);
        run.next_effect();
    }
    run.command(reconcile("a", false), "bob").unwrap();
    assert_eq!((run.status("a"), run.state.generation(0)), (Status::Running, 0));
    // It begins anew: what was counted before was cleared up by the person.
    run.end("a", End::Transient);
    assert_eq!(failures(&run), [""; 0]);
    run.next_effect();
    run.end("a", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn a_held_step_is_retried_as_a_new_operation() {
    let mut run = Run::start(&chain(vec![change("a").on_failure(OnFailure::Hold)]));
    run.end("a", End::Permanent);
    assert_eq!(
        (run.status("a"), run.state.awaiting()),
        (Status::Failed, vec![Awaiting::Operator(id("a"))])
    );
    assert!(matches!(run.command(reconcile("a", true), "bob"), Err(Rejected::WrongState { .. })));
    run.command(retry("a"), "bob").unwrap();
    assert_eq!((run.status("a"), run.state.generation(0)), (Status::Running, 1));
    assert_eq!(run.heal(5), Outcome::Succeeded);
}

#[test]
fn a_pause_starts_nothing_and_a_resume_goes_on() {
    let mut run = Run::start(&chain(vec![change("a"), change("b")]));
    run.command(Command::Pause, "bob").unwrap();
    run.end("a", End::Good);
    assert_eq!((run.status("b"), run.state.awaiting()), (Status::Ready, vec![Awaiting::Resume]));
    assert!(run.state.needs_a_person());
    run.command(Command::Resume, "bob").unwrap();
    assert_eq!(run.status("b"), Status::Running);
    assert_eq!(run.command(Command::Resume, "bob").unwrap(), [], "twice is once");
}

#[test]
fn approvals_need_a_quorum_of_others_than_the_requester() {
    let Gate::Approval(mut two) = approval("go") else { panic!("an approval") };
    two.quorum = 2;
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(two))]));
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
    let denied = run.command(approve("go"), "ann").unwrap();
    assert!(matches!(&denied[..], [Event::CommandDenied { .. }]), "{denied:?}");
    run.command(approve("go"), "bob").unwrap();
    assert_eq!(run.command(approve("go"), "bob").unwrap(), [], "one person is one approval");
    assert_eq!(run.status("a"), Status::Waiting);
    run.command(approve("go"), "eve").unwrap();
    assert_eq!(run.status("a"), Status::Running);
    let unknown = run.command(approve("no-such-gate"), "eve").unwrap_err();
    assert_eq!(unknown.to_string(), "the plan has no gate `no-such-gate`; name one of: go");
}

#[test]
fn an_approval_needs_one_of_the_roles() {
    let Gate::Approval(mut cab) = approval("cab") else { panic!("an approval") };
    cab.roles = vec![id("cab"), id("sre")];
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(cab))]));
    assert!(matches!(run.command(approve("cab"), "bob").unwrap()[0], Event::CommandDenied { .. }));
    let by = super::support::samples::person("bob").with_role(id("sre"));
    let directive = release_core::run::Directive::new(approve("cab"), by, "fine");
    run.input(&release_core::run::Input::Directive(directive)).unwrap();
    assert_eq!(run.status("a"), Status::Running);
}

#[test]
fn a_rejected_gate_fails_its_step_at_once_whichever_gate_it_is() {
    for rejected in ["first", "second"] {
        let step = change("a").gate(approval("first")).gate(approval("second"));
        let mut run = Run::start(&chain(vec![step]));
        run.command(Command::Reject { gate: id(rejected) }, "bob").unwrap();
        assert_eq!(failures(&run), ["a rejected"], "gate {rejected}");
    }
}

#[test]
fn reasons_are_told_anew_with_every_approval() {
    let step = change("a").gate(approval("first")).gate(approval("second"));
    let mut run = Run::start(&chain(vec![step]));
    let events = run.command(approve("second"), "bob").unwrap();
    let Event::StepBlocked { reasons, wake, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((reasons.len(), wake), (1, &WakeUp::Approval { gate: id("first") }));
}

#[test]
fn time_gates_hold_until_their_instant() {
    let soak = change("a").gate(Gate::Soak(Span::secs(30)));
    let not_before = change("b").gate(Gate::NotBefore(id("2026-11-23T14:01:00Z")));
    let mut run = Run::start(&side_by_side(vec![soak, not_before]));
    run.pass(Span::secs(29));
    assert_eq!((run.status("a"), run.status("b")), (Status::Waiting, Status::Waiting));
    run.pass(Span::secs(1));
    assert_eq!((run.status("a"), run.status("b")), (Status::Running, Status::Waiting));
    run.pass(Span::secs(30));
    assert_eq!(run.status("b"), Status::Running);
}

#[test]
fn no_more_effects_are_under_way_than_allowed() {
    let mut plan = builder();
    plan.max_parallel(2);
    for n in 0..5 {
        plan.step(change(&format!("s{n}")).gate(Gate::Soak(Span::secs(1))));
    }
    let mut run = Run::start(&plan.build().unwrap().freeze());
    run.pass(Span::secs(1)); // five gates open at once; the driver checks the limit
    assert_eq!(run.state.in_flight(), 2);
    run.take_over();
    assert_eq!(run.state.in_flight(), 2);
    assert_eq!(run.heal(20), Outcome::Succeeded);
}

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
fn a_cancel_may_leave_things_as_they_are() {
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

#[test]
fn a_gate_is_rejected_by_those_who_have_its_role() {
    let mut gate = release_core::model::Approval::new(id("go"));
    gate.roles = vec![id("cab")];
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(gate))]));
    let refused = run.command(Command::Reject { gate: id("go") }, "bob");
    assert!(refused.is_ok() && run.last(|e| matches!(e, Event::CommandDenied { .. })).is_some());
    assert_eq!(run.state.awaiting(), [Awaiting::Approval(id("go"))]);
}

/// Found here: a step that was rejected before its first attempt counted as touched.
#[test]
fn what_was_never_attempted_is_not_undone_and_is_no_point_of_no_return() {
    let gated = back(one_way("migrate")).gate(approval("go"));
    let mut run = Run::start(&chain(vec![change("a"), gated]));
    run.end("a", End::Good);
    run.command(Command::Reject { gate: id("go") }, "bob").unwrap();
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)), "{:?}", run.state.phase());
    assert_eq!(run.state.plan().extension().unwrap().undoes, [0]);
    run.end("rollback/a/custom", End::Good);
    assert_eq!(run.status("migrate"), Status::Failed);
}

fn in_region(step: Step, region: &str) -> Step {
    let place = Place { environment: id("prod"), region: Some(id(region)), service: None };
    let mut step = step.on_failure(OnFailure::RollBack(RollbackScope::Region));
    step.scope = StepScope::of(place);
    step
}

/// Found here: the second region failed while the run stopped for the first, and stayed as it was
/// in a run that ended as rolled back.
#[test]
fn regions_that_fail_together_are_rolled_back_together() {
    let regions = ["eu", "us", "ap"].map(|region| in_region(change(region), region));
    let mut run = Run::start(&side_by_side(regions.into()));
    run.end("ap", End::Good);
    run.end("eu", End::Permanent);
    run.end("us", End::Permanent);
    assert!(matches!(run.heal(10), Outcome::RolledBack { .. }));
    assert_eq!(["eu", "us"].map(|step| run.status(step)), [Status::Compensated; 2]);
}

#[test]
fn a_region_rolls_back_alone() {
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
fn a_failure_may_be_ignored() {
    let plan = chain(vec![change("a").on_failure(OnFailure::Continue), change("b")]);
    let mut run = Run::start(&plan);
    run.end("a", End::Permanent);
    run.end("b", End::Good);
    assert_eq!((run.state.outcome(), run.status("a")), (Some(&Outcome::Succeeded), Status::Failed));
}

#[test]
fn evidence_that_does_not_fit_is_no_success() {
    let mut run = Run::start(&plan(&one_service(Strategy::Recreate)).unwrap().freeze());
    run.end("artifacts/api/new", End::Garbage);
    assert_eq!(failures(&run), ["artifacts/api/new identity_mismatch"]);
    let mut run = Run::start(&chain(vec![Step::new(id("a"), Action::Sync), change("b")]));
    run.end("b", End::Garbage);
    assert_eq!(failures(&run), ["b wrong_evidence"]);
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

#[test]
fn a_wide_plan_costs_each_step_the_same() {
    let fan = |width: usize| -> FrozenPlan {
        let mut plan = builder();
        plan.max_parallel(u32::MAX);
        for n in 0..width {
            plan.step(
                Step::new(id(&format!("s{n}")), custom("x"))
                    .undo(release_core::plan::Undo::Compensate(vec![])),
            );
        }
        plan.build().unwrap().freeze()
    };
    // Not a measurement: 30,000 steps finish in the time of a test only if none walks the plan.
    let plan = fan(30_000);
    let fact = release_core::run::Fact {
        at: super::support::world::START,
        event: Event::RunCreated {
            plan: plan.digest(),
            definition: None,
            requester: super::support::samples::person("ann"),
        },
    };
    let mut state = release_core::run::RunState::create(id("r"), plan, &fact).unwrap();
    let turn = release_core::run::Turn {
        now: super::support::world::START,
        draw: 0,
        policy: &release_core::port::PermitAll,
    };
    let events = release_core::run::turn(&mut state, None, &turn, usize::MAX).unwrap();
    assert_eq!(events.len(), 30_000);
    for index in 0..30_000 {
        let outcome =
            release_core::run::EffectOutcome::Performed(Ok(release_core::port::Evidence::Done));
        let input = release_core::run::Input::Outcome { step: index, attempt: 1, outcome };
        release_core::run::turn(&mut state, Some(&input), &turn, 1_000).unwrap();
    }
    assert_eq!(state.outcome(), Some(&Outcome::Succeeded));
}

/// Found in review: one region's rollback left the other between two versions for good.
#[test]
fn no_target_is_left_between_two_versions() {
    let steps = vec![CanaryStep::new(20, Span::ZERO)];
    let mut definition = one_service(Strategy::Canary(Canary { steps, keep_old: Span::ZERO }));
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

/// Found in review: the old version was left running where the release had already arrived.
#[test]
fn what_has_arrived_elsewhere_is_tidied_up() {
    let steps = vec![CanaryStep::new(20, Span::ZERO)];
    let mut definition = one_service(Strategy::Canary(Canary { steps, keep_old: Span::secs(60) }));
    definition.environments.push(definition.environments[0].clone());
    definition.environments[1].id = id("live");
    definition.stages.push(definition.stages[0].clone());
    definition.stages[1].environment = id("live");
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ["artifacts/api/new", "artifacts/api/previous"] {
        run.end(step, End::Good);
    }
    for step in ["start", "ready", "weight-20", "weight-20/errors", "promote"] {
        run.end(&format!("prod/eu/api/{step}"), End::Good);
    }
    assert_eq!(run.status("prod/eu/api/remove-old"), Status::Pending, "it is kept for a minute");
    run.end("live/eu/api/start", End::Permanent);
    let extension = run.state.plan().extension().unwrap();
    let ids: Vec<_> = extension.steps.iter().map(|step| step.id.to_string()).collect();
    assert_eq!(ids, ["rollback/live/eu/api/start/scale", "rollback/prod/eu/api/remove-old/scale"]);
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

/// Found in review: the run waited for a person because of a message that was slow.
#[test]
fn nobody_is_asked_about_a_step_that_may_fail() {
    let mut run =
        Run::start(&chain(vec![change("a").on_failure(OnFailure::Continue), change("b")]));
    run.end("a", End::Unknown);
    assert!(run.pass_to_next(), "it is looked for");
    run.end("a", End::Unknown);
    assert_eq!((run.status("a"), run.status("b")), (Status::Failed, Status::Running));
}

/// Found in review: a policy held a rollback.
#[test]
fn no_policy_holds_a_rollback() {
    #[derive(Debug)]
    struct NoWayBack;
    impl release_core::port::Policy for NoWayBack {
        fn admit(&self, asked: &release_core::port::Admission<'_>) -> Decision {
            if asked.step.id.as_str().starts_with("rollback/") {
                return Decision::Deny {
                    reasons: vec![Reason::new("no", "no way back", "nobody")],
                };
            }
            Decision::Permit
        }
        fn authorize(&self, _: &release_core::port::CommandRequest<'_>) -> Decision {
            Decision::Permit
        }
    }
    let plan = chain(vec![change("a"), back(change("b"))]);
    let mut run = Run::start_with(&plan, Box::new(NoWayBack), 100);
    run.end("a", End::Good);
    run.end("b", End::Permanent);
    assert!(matches!(run.heal(10), Outcome::RolledBack { .. }));
}

/// Found in review: a plan that was read without `Plan::decode` was not checked, and could wait for
/// itself.
#[test]
fn a_plan_that_waits_for_itself_cannot_be_read() {
    let plan = chain(vec![change("a"), change("b")]);
    let json = String::from_utf8(plan.bytes().to_vec()).unwrap();
    let cyclic = json.replace(r#"{"from":0,"to":1}"#, r#"{"from":0,"to":1},{"from":1,"to":0}"#);
    assert_ne!(cyclic, json);
    let refused = serde_json::from_str::<release_core::plan::Plan>(&cyclic).unwrap_err();
    assert!(refused.to_string().contains("a → b → a"), "{refused}");
    assert!(release_core::plan::Plan::decode(cyclic.as_bytes()).is_err());
}
