//! Runs that go on with another plan: on record, and only where nothing has to be guessed.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::engine::EngineError;
use release_core::ids::StepId;
use release_core::journal::{DamageKind, Journal};
use release_core::plan::{Edge, EdgeKind, FrozenPlan, Plan, Step};
use release_core::report::RunReport;
use release_core::run::{
    Command, Event, IllegalTransition, NotMigrated, Outcome, Phase, Rejected, Status,
};
use std::sync::Arc;

use super::run_laws::{happen, happening};
use super::support::drive::{Run, snapshot};
use super::support::engines::{command, events, run_id, start};
use super::support::random;
use super::support::samples::{approval, builder, chain, change, id, one_way, person};
use super::support::world::{Act, World, engine, memory};

/// The same steps and edges, with the steps in another order, and perhaps one step more.
fn reordered(plan: &FrozenPlan, shift: usize, more: bool) -> FrozenPlan {
    let plan = plan.plan();
    let count = plan.steps().len();
    let mut new = builder();
    new.max_parallel(plan.max_parallel()).on_cancel(plan.on_cancel());
    new.notify(plan.notify().to_vec());
    for group in plan.groups() {
        new.group(group.name.clone(), group.after.clone());
    }
    for place in 0..count {
        new.step(plan.steps()[(place + shift) % count].clone());
    }
    let place = |old: u32| u32::try_from((old as usize + count - shift % count) % count).unwrap();
    for Edge { from, to, why } in plan.edges() {
        new.edge(place(*from), place(*to), *why);
    }
    if more {
        let last = new.step(one_way("one-more"));
        new.edge(0, last, EdgeKind::Order);
    }
    new.build().unwrap().freeze()
}

/// How every step stands that is done, one way or the other.
fn done(run: &Run) -> BTreeMap<StepId, Status> {
    let plan = run.state.plan();
    let steps = plan.plan().steps().iter().zip(0..);
    steps
        .map(|(step, index)| (step.id.clone(), run.state.status(index).unwrap()))
        .filter(|(_, status)| matches!(status, Status::Succeeded | Status::Failed))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// What was done stays done, all laws hold, and the run ends, whatever happened before and after.
    #[test]
    fn a_migrated_run_keeps_what_was_done_and_all_laws(
        plan in random::dag(), shift in 0_usize..9, more in proptest::bool::ANY,
        before in vec(happening(), 0..25), after in vec(happening(), 0..15),
    ) {
        let mut run = Run::start(&plan);
        for happening in &before {
            happen(&mut run, happening);
        }
        let new = reordered(&plan, shift, more);
        let (forward, there) = (*run.state.phase() == Phase::Forward, done(&run));
        match run.migrate(&new) {
            Ok(()) => {
                prop_assert!(forward || new.digest() == plan.digest());
                prop_assert_eq!(run.state.plan().digest(), new.digest());
                let now = done(&run);
                for (step, status) in there {
                    prop_assert_eq!(now.get(&step), Some(&status), "{}", step);
                }
            }
            Err(NotMigrated::WrongPhase { .. }) => prop_assert!(!forward),
            Err(other) => prop_assert!(false, "{}", other),
        }
        for happening in &after {
            happen(&mut run, happening);
        }
        run.heal(800);
    }

    /// The plan that a run has already is no migration.
    #[test]
    fn migrating_to_the_same_plan_changes_nothing(
        plan in random::dag(), before in vec(happening(), 0..25),
    ) {
        let (mut one, mut other) = (Run::start(&plan), Run::start(&plan));
        for happening in &before {
            happen(&mut one, happening);
            happen(&mut other, happening);
        }
        let same = Plan::decode(plan.bytes()).unwrap();
        if one.state.outcome().is_none() {
            one.migrate(&same).unwrap();
            other.take_over();
            prop_assert_eq!(one.state.digest(), other.state.digest());
            prop_assert_eq!(&one.facts[one.facts.len() - 1], &other.facts[other.facts.len() - 1]);
        }
    }
}

/// `a` is done and `b` waits for an approval.
fn half_done() -> Run {
    let mut run = Run::start(&gated());
    run.end("a", super::support::drive::End::Good);
    run
}

fn gated() -> FrozenPlan {
    chain(vec![change("a"), change("b").gate(approval("go")), change("c")])
}

#[track_caller]
fn refused(steps: Vec<Step>, text: &str) {
    let mut run = half_done();
    let phase = run.state.phase().clone();
    let error = run.migrate(&chain(steps)).unwrap_err();
    assert_eq!(error.to_string(), text);
    assert_eq!(*run.state.phase(), phase);
    assert_eq!(run.state.plan().digest(), gated().digest());
}

#[test]
fn every_step_that_is_in_the_way_is_named() {
    refused(
        vec![change("b"), change("c")],
        "the new plan does not continue what has begun: it lacks `a`;",
    );
    refused(
        vec![one_way("a").on_failure(release_core::plan::OnFailure::Hold), change("b")],
        "the new plan does not continue what has begun: it changes `a`;",
    );
    refused(
        vec![change("z"), change("a"), change("b")],
        "the new plan does not continue what has begun: it puts steps that are not done before `a`;",
    );
    let mut cancelled = half_done();
    cancelled.command(Command::Cancel, "bob").unwrap();
    let error = cancelled.migrate(&chain(vec![change("a")])).unwrap_err();
    assert!(matches!(error, NotMigrated::WrongPhase { .. }), "{error}");
}

#[test]
fn approvals_were_given_to_the_plan_of_before() {
    let plan = chain(vec![change("a"), change("b").gate(approval("go")), change("c")]);
    let mut run = Run::start(&plan);
    run.command(Command::Approve { gate: id("go") }, "bob").unwrap();
    let new = [change("a"), change("b").gate(approval("go")), change("c"), change("d")];
    run.migrate(&chain(new.to_vec())).unwrap();
    run.next_effect();
    run.end("a", super::support::drive::End::Good);
    assert_eq!(run.status("b"), Status::Waiting, "asks again");
}

/// Whoever does not have the new plan cannot fold on, and guesses nothing.
#[test]
fn without_the_new_plan_nobody_reads_on() {
    let mut run = half_done();
    let new = chain(vec![change("a"), change("x")]);
    run.migrate(&new).unwrap();
    let replay = |plan: FrozenPlan| release_core::run::RunState::replay(run_id(), plan, &run.facts);
    let missing = IllegalTransition::PlanNotGiven { plan: new.digest() };
    assert_eq!(replay(gated()).unwrap_err(), missing);
    let state = replay(gated().with_later(vec![new])).unwrap();
    assert_eq!(state.digest(), run.state.digest());
    assert_eq!(snapshot(&state).len(), snapshot(&run.state).len());
}

async fn half_driven(journal: &Arc<dyn Journal>) -> Arc<World> {
    let world = World::new(journal, |_| Act::Faithful);
    start(journal, &world, gated()).await.settled().await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_with_another_plan_and_so_does_whoever_resumes_it() {
    let journal = memory();
    let world = half_driven(&journal).await;
    let new = chain(vec![change("a"), change("x").gate(approval("go")), change("y")]);
    let second = engine(&journal, &world, "second");
    let plan = new.plan().clone();
    let by = person("bob");
    let handle = second.migrate(&run_id(), plan.clone(), by.clone(), "c is gone").await.unwrap();
    handle.settled().await.unwrap();
    second.shutdown().await;
    let third = engine(&journal, &world, "third");
    let handle = third.resume(&run_id()).await.unwrap();
    handle.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(world.performed(), ["a", "x", "y"]);
    let migrated = Event::PlanMigrated {
        from: gated().digest(),
        to: new.digest(),
        kept: 1,
        by: by.clone(),
        reason: "c is gone".into(),
    };
    assert!(events(&journal).await.contains(&migrated));
    let (history, all) = third.load(&run_id()).await.unwrap();
    let report = RunReport::new(&history, all).unwrap();
    assert_eq!(report.plan, new.digest());
    let steps: Vec<_> = report.steps.iter().map(|s| (s.id.as_str(), s.attempts)).collect();
    assert_eq!(steps, [("a", 1), ("x", 1), ("y", 1)]);
    assert!(report.repeated().is_empty());
    // Over is over.
    let over = third.migrate(&run_id(), plan, by, "again").await.unwrap_err();
    assert!(over.to_string().contains("this one is over"), "{over}");
    // Without the new plan, the record is named that needs it.
    let damage = history.state(gated(), None).unwrap_err();
    assert!(matches!(damage.kind, DamageKind::Illegal(IllegalTransition::PlanNotGiven { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_migrated_is_as_before() {
    let journal = memory();
    let world = half_driven(&journal).await;
    let before = events(&journal).await;
    let second = engine(&journal, &world, "second");
    let lacks = chain(vec![change("b")]).plan().clone();
    let error = second.migrate(&run_id(), lacks, person("bob"), "try").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "run `run-1` does not go on with that plan: the new plan does not continue what has begun: it lacks `a`;"
    );
    let good = || chain(vec![change("a")]).plan().clone();
    let error = second.migrate(&run_id(), good(), person("bob"), "").await.unwrap_err();
    let reason = Rejected::NoReason { command: "migrate" };
    assert_eq!(error, EngineError::Refused { run: run_id(), reason });
    assert_eq!(events(&journal).await, before, "nothing was recorded");
}
