//! A newer run takes the place of one in flight: one recorded decision, and never two versions at once.

use std::sync::Arc;

use release_core::engine::{Engine, EngineError};
use release_core::journal::Journal;
use release_core::model::{OnCancel, RunId};
use release_core::plan::{Action, EdgeKind, Plan, Step};
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Cause, Command, Event, Outcome, Replaced};

use super::support::engines::{command, events, run_id, start};
use super::support::samples::{approval, builder, chain, change, id, one_way, person};
use super::support::world::{Act, TokioClock, World, engine, memory};

fn newer() -> RunId {
    id("run-2")
}

/// The older run has changed `a` and waits for an approval before `b`.
fn older() -> release_core::plan::FrozenPlan {
    chain(vec![change("a"), change("b").gate(approval("go"))])
}

fn plan_of(step: &str) -> Plan {
    let mut plan = builder();
    plan.step(change(step));
    plan.build().unwrap()
}

async fn events_of(journal: &Arc<dyn Journal>, run: &RunId) -> Vec<Event> {
    let records = journal.read(run).await.unwrap();
    let history = release_core::journal::History::verify(run, &records).unwrap();
    history.facts().iter().map(|fact| fact.event.clone()).collect()
}

async fn supersede(
    engine: &Engine,
    older: &release_core::engine::RunHandle,
) -> Result<release_core::engine::RunHandle, EngineError> {
    engine.supersede(older, newer(), plan_of("x"), person("eve"), "v3 mends v2").await
}

#[tokio::test(start_paused = true)]
async fn a_newer_run_starts_from_what_was_verified() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let old = start(&journal, &world, older()).await;
    old.settled().await.unwrap();
    let engine = engine(&journal, &world, "second");
    let new = supersede(&engine, &old).await.unwrap();
    assert_eq!(new.wait().await, Ok(Outcome::Succeeded));
    // Only once the older run's changes are taken back does the newer one begin.
    assert_eq!(world.performed(), ["a", "rollback/a/custom", "x"]);
    let Outcome::RolledBack { cause } = old.wait().await.unwrap() else { panic!("not taken back") };
    assert!(matches!(&cause, Cause::Superseded { run, by, reason }
        if *run == newer() && *by == person("eve") && reason == "v3 mends v2"));
    let decisions = events(&journal).await;
    let decisions = decisions.iter().filter(|e| matches!(e, Event::Superseded { .. }));
    assert_eq!(decisions.count(), 1);
    let first = &events_of(&journal, &newer()).await[0];
    let of_one = Replaced::of([run_id()]);
    assert!(matches!(first, Event::RunCreated { supersedes, .. } if *supersedes == of_one));
}

/// Two runs are under way, and one newer one replaces both: one decision of each, and the newer one begins once, when both are back.
#[tokio::test(start_paused = true)]
async fn several_runs_make_way_for_one() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let first = start(&journal, &world, older()).await;
    first.settled().await.unwrap();
    let engine = engine(&journal, &world, "second");
    let other = chain(vec![change("c"), change("d").gate(approval("go"))]);
    let other = engine.start_frozen(id("run-0"), other, person("ann")).await.unwrap();
    other.settled().await.unwrap();
    let both = [&first, &other];
    let new = engine.supersede_all(&both, newer(), plan_of("x"), person("eve"), "v3 mends both");
    assert_eq!(new.await.unwrap().wait().await, Ok(Outcome::Succeeded));
    let performed = world.performed();
    let (last, before) = performed.split_last().unwrap();
    assert_eq!(last, "x");
    for back in ["rollback/a/custom", "rollback/c/custom"] {
        assert!(before.iter().any(|step| step == back), "{performed:?}");
    }
    for run in [run_id(), id("run-0")] {
        let decisions = events_of(&journal, &run).await;
        let decisions = decisions
            .iter()
            .filter(|e| matches!(e, Event::Superseded { run, .. } if *run == newer()));
        assert_eq!(decisions.count(), 1);
    }
    let created = &events_of(&journal, &newer()).await[0];
    let replaced = Replaced::of([run_id(), id("run-0")]);
    assert!(matches!(created, Event::RunCreated { supersedes, .. } if *supersedes == replaced));
    let written = serde_json::to_value(created).unwrap();
    assert_eq!(written["supersedes"], serde_json::json!(["run-0", "run-1"]));
}

/// Of two runs one does not give way: nothing is started, and asked again it is still so.
#[tokio::test(start_paused = true)]
async fn where_one_of_several_does_not_make_way_nothing_is_started() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let steps = vec![one_way("migrate"), change("b").gate(approval("go"))];
    let stuck = start(&journal, &world, chain(steps)).await;
    stuck.settled().await.unwrap();
    let engine = engine(&journal, &world, "second");
    let other = chain(vec![change("c"), change("d").gate(approval("go"))]);
    let other = engine.start_frozen(id("run-0"), other, person("ann")).await.unwrap();
    other.settled().await.unwrap();
    for _ in 0..2 {
        let both = [&other, &stuck];
        let new = engine.supersede_all(&both, newer(), plan_of("x"), person("eve"), "v3").await;
        let refused = new.unwrap_err();
        assert!(
            matches!(&refused, EngineError::NotSuperseded { older, .. } if *older == run_id()),
            "{refused}"
        );
    }
    other.wait().await.unwrap();
    assert_eq!(world.performed(), ["migrate", "c", "rollback/c/custom"]);
    assert!(journal.read(&newer()).await.unwrap().is_empty(), "the newer run was not started");
}

/// Asked again after everything is done, nothing is decided twice: the newer run exists.
#[tokio::test(start_paused = true)]
async fn asked_again_nothing_is_decided_twice() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let old = start(&journal, &world, older()).await;
    old.settled().await.unwrap();
    // The decision is durable, and then the host is gone before the newer run is there.
    let decide = Command::Supersede { run: newer() };
    old.send(command(decide, "eve")).await.unwrap();
    old.wait().await.unwrap();
    let engine = engine(&journal, &world, "second");
    let old = engine.resume(&run_id()).await.unwrap();
    supersede(&engine, &old).await.unwrap().wait().await.unwrap();
    let again = supersede(&engine, &old).await;
    assert_eq!(again.unwrap_err(), EngineError::Exists { run: newer() });
    assert_eq!(world.performed(), ["a", "rollback/a/custom", "x"]);
    let decisions = events(&journal).await;
    let decisions = decisions.iter().filter(|e| matches!(e, Event::Superseded { .. }));
    assert_eq!(decisions.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_over_makes_way_at_once() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let old = start(&journal, &world, chain(vec![change("a")])).await;
    assert_eq!(old.wait().await, Ok(Outcome::Succeeded));
    let engine = engine(&journal, &world, "second");
    supersede(&engine, &old).await.unwrap().wait().await.unwrap();
    assert_eq!(world.performed(), ["a", "x"]);
}

/// What is half done and cannot be taken back is not built upon unseen.
#[tokio::test(start_paused = true)]
async fn behind_a_point_of_no_return_a_newer_run_is_refused() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let steps = vec![one_way("migrate"), change("b").gate(approval("go"))];
    let old = start(&journal, &world, chain(steps)).await;
    old.settled().await.unwrap();
    let engine = engine(&journal, &world, "second");
    let refused = supersede(&engine, &old).await.unwrap_err();
    assert!(
        matches!(&refused, EngineError::NotSuperseded { older, run, .. }
        if *older == run_id() && *run == newer()),
        "{refused}"
    );
    assert_eq!(world.performed(), ["migrate"]);
    assert!(journal.read(&newer()).await.unwrap().is_empty(), "the newer run was not started");
}

/// A cancel that leaves things as they are leaves something half done.
#[tokio::test(start_paused = true)]
async fn what_a_cancel_left_in_place_is_no_ground_to_build_on() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let mut plan = builder();
    plan.on_cancel(OnCancel::Leave);
    let a = plan.step(change("a"));
    let b = plan.step(change("b").gate(approval("go")));
    plan.edge(a, b, EdgeKind::Order);
    let old = start(&journal, &world, plan.build().unwrap().freeze()).await;
    old.settled().await.unwrap();
    old.send(command(Command::Cancel, "bob")).await.unwrap();
    assert!(matches!(old.wait().await, Ok(Outcome::Cancelled { .. })));
    let engine = engine(&journal, &world, "second");
    let refused = supersede(&engine, &old).await.unwrap_err();
    assert!(matches!(refused, EngineError::NotSuperseded { .. }), "{refused}");
}

/// A plan of a note `n`, the change `b` behind an approval, and perhaps the change `c` behind another, with
/// the steps at these places.
fn noted(places: [&str; 2], more: bool) -> Plan {
    let mut plan = builder();
    plan.on_cancel(OnCancel::Leave);
    let note = Action::Notify { channel: id("ops"), message: "begun".into() };
    let at = places.map(|name| match name {
        "n" => plan.step(Step::new(id("n"), note.clone())),
        _ => plan.step(change(name).gate(approval("go"))),
    });
    let (n, b) = if places[0] == "n" { (at[0], at[1]) } else { (at[1], at[0]) };
    plan.edge(n, b, EdgeKind::Order);
    if more {
        let c = plan.step(change("c").gate(approval("more")));
        plan.edge(b, c, EdgeKind::Order);
    }
    plan.build().unwrap()
}

/// What was changed is looked up in the plan of then: steps stand elsewhere in the one of before.
#[tokio::test(start_paused = true)]
async fn a_migrated_run_that_left_changes_does_not_make_way() {
    for changes in [true, false] {
        let journal = memory();
        let world = World::new(&journal, |_| Act::Faithful);
        let engine = engine(&journal, &world, "first");
        let old = engine.start(run_id(), noted(["n", "b"], false), person("ann")).await.unwrap();
        old.settled().await.unwrap();
        let new = noted(["b", "n"], true);
        let old = engine.migrate(&run_id(), new, person("bob"), "reorder").await.unwrap();
        old.settled().await.unwrap();
        if changes {
            old.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
            old.settled().await.unwrap();
        }
        old.send(command(Command::Cancel, "bob")).await.unwrap();
        assert!(matches!(old.wait().await, Ok(Outcome::Cancelled { .. })));
        let newer = supersede(&engine, &old).await;
        if changes {
            assert_eq!(world.performed(), ["n", "b"]);
            assert!(matches!(newer, Err(EngineError::NotSuperseded { .. })), "{newer:?}");
        } else {
            newer.unwrap().wait().await.unwrap();
            assert_eq!(world.performed(), ["n", "x"]);
        }
    }
}

#[derive(Debug)]
struct NobodySupersedes;

impl Policy for NobodySupersedes {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        if request.command.name() == "supersede" {
            let reasons = vec![Reason::new("rbac/supersede", "only release managers", "a manager")];
            return Decision::deny(reasons);
        }
        Decision::permit()
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_forbid_it_and_the_older_run_goes_on() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let performer = Arc::clone(&world) as _;
    let strict = Engine::builder(Arc::clone(&journal), performer).policy(NobodySupersedes);
    let strict = strict.clock(TokioClock::new()).build();
    let old = strict.start_frozen(run_id(), older(), person("ann")).await.unwrap();
    old.settled().await.unwrap();
    let refused = supersede(&strict, &old).await.unwrap_err();
    assert!(refused.to_string().contains("only release managers"), "{refused}");
    old.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    assert_eq!(old.wait().await, Ok(Outcome::Succeeded));
}
