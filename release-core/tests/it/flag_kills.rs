//! The kill switch: nothing holds it, it is on record, and no run turns on again what it switched off.

use std::sync::Arc;

use release_core::engine::{Engine, EngineError, Killed, NotKilled, Settled};
use release_core::flags::{FlagKey, FlagState};
use release_core::journal::{AppendError, DamageKind, Journal, is_reserved, verify_kill};
use release_core::model::Span;
use release_core::plan::plan;
use release_core::port::{Admission, CommandRequest, Decision, Performer, Policy};
use release_core::run::{Cause, Command, Event, Outcome};

use super::support::engines::{command, events, run_id};
use super::support::flags::{Deed, FlagWorld, before, engine, release};
use super::support::samples::{id, person};
use super::support::world::{Fault, FlakyJournal, TokioClock, memory, pass};

const FLAG: &str = "newCheckout";

async fn kill(engine: &Engine) -> Result<Killed, NotKilled> {
    engine.kill_flag(id("prod"), id(FLAG), person("eve"), "it burns").await
}

fn state(world: &FlagWorld) -> FlagState {
    world.flags()[&id::<FlagKey>(FLAG)]
}

/// Says no to everything.
#[derive(Debug)]
struct Closed;

impl Policy for Closed {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::Wait { until: None, reasons: vec![], inputs: None }
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::Deny { reasons: vec![], inputs: None }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_done_and_on_record_with_who_and_why() {
    let (journal, world) = (memory(), FlagWorld::new(|_| Deed::Faithful));
    world.by_hand(FLAG, FlagState::On);
    let engine = engine(&journal, &world, "e");
    let killed = kill(&engine).await.unwrap();
    assert_eq!(killed.reading.killed.as_deref(), Some("eve: it burns"));
    assert_eq!((killed.reading.state, state(&world)), (FlagState::Off, FlagState::Off));
    let stream = killed.recorded.unwrap();
    let again = kill(&engine).await.unwrap();
    assert_eq!(again.reading, killed.reading, "the first one counts");
    let all = engine.flag_kills().await.unwrap();
    assert_eq!(all.len(), 2);
    let first = all.iter().find(|kill| kill.stream == stream).unwrap();
    assert_eq!((&first.by, &*first.reason), (&person("eve"), "it burns"));
    assert_eq!(first.outcome, Some(Ok(killed.reading)));
    // It is no run, and nobody can begin one of that name.
    assert!(is_reserved(&stream) && engine.open_runs().await.unwrap().is_empty());
    let plan = plan(&release()).unwrap();
    let refused = engine.start(stream.clone(), plan, person("ann")).await.unwrap_err();
    assert_eq!(refused, EngineError::Reserved { run: stream.clone() });
    // Whoever changes a record is found out.
    let mut records = journal.read(&stream).await.unwrap();
    let text = String::from_utf8(records[0].bytes.to_vec()).unwrap().replace("eve", "bob");
    records[0].bytes = text.into();
    let damage = verify_kill(&stream, &records).unwrap_err();
    assert!(damage.seq == 1 && matches!(damage.kind, DamageKind::Changed { .. }), "{damage}");
    assert_eq!(verify_kill(&stream, &[]), Ok(None));
}

/// Frozen, not yet approved, paused, given up by its engine, or with an effect that hangs: a kill asks none of them.
#[tokio::test(start_paused = true)]
async fn neither_policies_nor_runs_hold_a_kill() {
    let (journal, world) = (memory(), FlagWorld::new(|_| Deed::Hold));
    let performer: Arc<dyn Performer> = Arc::<FlagWorld>::clone(&world);
    let closed = Engine::builder(Arc::clone(&journal), performer)
        .policy(Closed)
        .clock(TokioClock::new())
        .build();
    let plan = plan(&release()).unwrap();
    closed.start(run_id(), plan.clone(), person("ann")).await.unwrap();
    world.by_hand(FLAG, FlagState::On);
    kill(&closed).await.unwrap().recorded.unwrap();
    assert_eq!(state(&world), FlagState::Off);

    let open = engine(&journal, &world, "open");
    let handle = open.start(id("run-2"), plan.clone(), person("ann")).await.unwrap();
    while world.calls() == 0 {
        pass(Span::secs(1)).await;
    }
    handle.send(command(Command::Pause, "bob")).await.unwrap();
    world.by_hand(FLAG, FlagState::On);
    kill(&open).await.unwrap().recorded.unwrap();
    assert_eq!(state(&world), FlagState::Off);

    open.shutdown().await;
    world.by_hand(FLAG, FlagState::On);
    kill(&open).await.unwrap().recorded.unwrap();
    assert_eq!(state(&world), FlagState::Off);
    assert_eq!(
        open.start(id("run-3"), plan, person("ann")).await.unwrap_err(),
        EngineError::ShutDown
    );
}

/// While its effect `at` is under way, somebody kills the flag. Returns how the run settles.
async fn killed_at(at: usize) -> (Arc<FlagWorld>, Arc<dyn Journal>, Result<Outcome, EngineError>) {
    let how = move |call| if call == at { Deed::Hold } else { Deed::Faithful };
    let (journal, world) = (memory(), FlagWorld::new(how));
    let engine = engine(&journal, &world, "e");
    let plan = plan(&release()).unwrap();
    let handle = engine.start(run_id(), plan, person("ann")).await.unwrap();
    while world.calls() <= at {
        pass(Span::secs(1)).await;
    }
    kill(&engine).await.unwrap().recorded.unwrap();
    world.gate.add_permits(1);
    let settled = handle.settled().await.unwrap();
    if let Settled::NeedsPerson(_) = settled {
        handle.send(command(Command::Cancel, "bob")).await.unwrap();
    }
    let outcome = handle.wait().await;
    (world, journal, outcome)
}

/// At whatever step of the run the flag is killed: it is off from then on, and off in the end. A run that was still to turn it
/// on fails and puts everything else back; one that had done so goes on.
#[tokio::test(start_paused = true)]
async fn no_later_step_and_no_rollback_turns_on_what_was_killed() {
    let whole = FlagWorld::new(|_| Deed::Faithful);
    let journal = memory();
    let plan = plan(&release()).unwrap();
    let run = engine(&journal, &whole, "e").start(run_id(), plan, person("ann")).await.unwrap();
    assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
    let done = whole.done();
    let last_set = done.iter().rposition(|(_, what)| what == "flag newCheckout on").unwrap();
    for at in 0..whole.calls() {
        let (world, journal, outcome) = killed_at(at).await;
        assert_eq!(state(&world), FlagState::Off, "killed at {at}");
        let events = events(&journal).await;
        let failed = events.iter().find_map(|event| match event {
            Event::StepFailed { step, error, .. } => Some((step.id.as_str(), error)),
            _ => None,
        });
        if at <= last_set {
            let (step, error) = failed.unwrap();
            assert!(step.starts_with("prod/flags/newcheckout/share-"), "{step}");
            assert_eq!(error.kind, "flag_killed", "killed at {at}");
            assert!(error.message.contains("eve: it burns"), "{error}");
            let back =
                matches!(outcome, Ok(Outcome::RolledBack { cause: Cause::StepFailed { .. } }));
            assert!(back, "killed at {at}: {outcome:?}");
            assert_eq!(world.flags(), before(), "the others are as they were");
        } else {
            assert_eq!(outcome, Ok(Outcome::Succeeded), "killed at {at}");
        }
    }
}

/// It was on before the run, and is killed before the rollback that would restore that.
#[tokio::test(start_paused = true)]
async fn a_rollback_leaves_off_what_was_killed_and_says_so() {
    let how = |call| if call < 15 { Deed::Faithful } else { Deed::Hold };
    let (journal, world) = (memory(), FlagWorld::new(how));
    world.by_hand(FLAG, FlagState::Share { percent: 40 });
    let engine = engine(&journal, &world, "e");
    let plan = plan(&release()).unwrap();
    let handle = engine.start(run_id(), plan, person("ann")).await.unwrap();
    while state(&world) != FlagState::On {
        pass(Span::secs(1)).await;
    }
    kill(&engine).await.unwrap().recorded.unwrap();
    handle.send(command(Command::Cancel, "bob")).await.unwrap();
    world.gate.add_permits(100);
    assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
    assert_eq!(state(&world), FlagState::Off);
    let events = events(&journal).await;
    let said = events.iter().find_map(|event| match event {
        Event::StepSucceeded { step, because, .. }
            if step.id.as_str() == "rollback/prod/flags/newcheckout/share-100/restore_flag" =>
        {
            because.clone()
        }
        _ => None,
    });
    let wanted = "it was on for 40% before, was killed by eve: it burns, and stays off";
    assert_eq!(said.as_deref(), Some(wanted));
}

/// A journal that fails holds no kill; that there is no record is said.
#[tokio::test(start_paused = true)]
async fn without_its_record_a_flag_is_killed_all_the_same() {
    for fault in [Fault::NoSpace, Fault::Unavailable] {
        let (journal, world) =
            (FlakyJournal::failing_at(1, fault), FlagWorld::new(|_| Deed::Faithful));
        world.by_hand(FLAG, FlagState::On);
        let killed = kill(&engine(&journal, &world, "e")).await.unwrap();
        assert_eq!(state(&world), FlagState::Off);
        let error = killed.recorded.unwrap_err();
        let unstored =
            matches!(&error, AppendError::NoSpace { .. } | AppendError::Unavailable { .. });
        assert!(unstored, "{error:?}");
    }
    // Its order is on record, its end is not: it is seen to be open.
    let (journal, world) =
        (FlakyJournal::failing_at(2, Fault::Unavailable), FlagWorld::new(|_| Deed::Faithful));
    let engine = engine(&journal, &world, "e");
    kill(&engine).await.unwrap().recorded.unwrap_err();
    let all = engine.flag_kills().await.unwrap();
    assert!(matches!(&all[..], [kill] if kill.outcome.is_none()), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flag_that_is_not_known_to_be_off_is_said_not_to_be() {
    let (journal, world) = (memory(), FlagWorld::new(|_| Deed::Faithful));
    let engine = engine(&journal, &world, "e");
    let failed = engine.kill_flag(id("prod"), id("other"), person("eve"), "").await.unwrap_err();
    assert_eq!(failed.error.kind, "not_found");
    assert!(failed.to_string().contains("flag `other` of `prod` is not known to be off"));
    let all = engine.flag_kills().await.unwrap();
    assert_eq!(all[0].outcome, Some(Err(failed.error)));
    assert_eq!(failed.recorded, Ok(all[0].stream.clone()));
}
