//! Engines that stop, are replaced or start again, and journals that fail them.

use release_core::engine::{EngineError, SendError};
use release_core::journal::{AppendError, Batch, DamageKind, History, Journal, MemoryJournal};
use release_core::model::{Digest, Strategy, Timestamp};
use release_core::plan::plan;
use release_core::port::BindingError;
use release_core::run::{Command, Event, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::engines::{command, events, run_id, settle, start};
use super::support::samples::{approval, chain, change, id, one_service, person, side_by_side};
use super::support::world::{Act, FlakyJournal, START, World, engine, memory};

/// The whole shop, stopped after every number of calls there is, and resumed by another engine.
#[tokio::test(start_paused = true)]
async fn an_engine_may_stop_anywhere_and_another_goes_on() {
    let mut definition = one_service(Strategy::Recreate);
    definition.notify = vec![id("ops")];
    let plan = plan(&definition).unwrap().freeze();
    let reference = settle(plan.clone(), |_| Act::Faithful).await.1.performed();
    for stop_at in 0..reference.len() {
        let journal = memory();
        let count = AtomicU32::new(0);
        // The call at which the engine stops takes effect, but nobody hears of it.
        let world = World::new(&journal, move |_| {
            let before = count.fetch_add(1, Ordering::Relaxed) as usize;
            if before == stop_at { Act::ApplyThenHang } else { Act::Faithful }
        });
        let first = engine(&journal, &world, "first");
        let handle = first.start_frozen(run_id(), plan.clone(), person("ann")).await.unwrap();
        let mut recorded = handle.events(0);
        while world.calls().len() <= stop_at {
            tokio::task::yield_now().await;
        }
        first.shutdown().await;
        assert_eq!(handle.wait().await, Err(EngineError::ShutDown));
        let mut seen = 0;
        while recorded.next().await.unwrap().is_some() {
            seen += 1;
        }
        assert_eq!(seen, events(&journal).await.len(), "watching ends with the driving");
        let second = engine(&journal, &world, "second");
        assert_eq!(second.open_runs().await.unwrap().len(), 1);
        let outcome = second.resume(&run_id()).await.unwrap().wait().await;
        assert_eq!(outcome, Ok(Outcome::Succeeded));
        assert_eq!(world.unannounced(), []);
        let twice: Vec<_> = world.by_key().into_iter().filter(|(_, count)| *count > 1).collect();
        assert_eq!(twice, [], "stopped at call {stop_at}");
        let mut performed = world.performed();
        let mut wanted = reference.clone();
        performed.sort();
        wanted.sort();
        assert_eq!(performed, wanted, "stopped at call {stop_at}");
        let taken = events(&journal).await;
        let taken =
            taken.iter().filter(|e| matches!(e, Event::TakenOver { engine } if engine == "second"));
        assert_eq!(taken.count(), 1);
        assert!(second.open_runs().await.unwrap().is_empty());
        // Over is over: nothing is written, nothing performed.
        let records = journal.read(&run_id()).await.unwrap().len();
        let again = engine(&journal, &world, "third").resume(&run_id()).await.unwrap();
        assert_eq!(again.wait().await, Ok(Outcome::Succeeded));
        assert_eq!(journal.read(&run_id()).await.unwrap().len(), records);
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_engine_is_fenced_and_performs_nothing_more() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let plan = chain(vec![change("a"), change("b").gate(approval("go")), change("c")]);
    let old = start(&journal, &world, plan).await;
    old.settled().await.unwrap();
    let new = engine(&journal, &world, "second").resume(&run_id()).await.unwrap();
    let approve = || command(Command::Approve { gate: id("go") }, "bob");
    // The old engine does not know yet. What it decides does not become durable, nor act.
    assert_eq!(old.send(approve()).await, Err(SendError::NotDriven));
    let fenced = old.wait().await.unwrap_err();
    let expected = AppendError::Fenced { run: run_id(), epoch: 1, stored: 2 };
    assert_eq!(fenced, EngineError::TakenOver(expected));
    assert_eq!(world.performed(), ["a"]);
    new.send(approve()).await.unwrap();
    assert_eq!(new.wait().await, Ok(Outcome::Succeeded));
    let epochs: Vec<_> = world.calls().iter().map(|call| call.epoch).collect();
    assert_eq!(epochs, [1, 2, 2]);
    assert!(world.by_key().values().all(|count| *count == 1));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_started_once() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let plan = chain(vec![change("a").gate(approval("go"))]);
    let handle = start(&journal, &world, plan.clone()).await;
    let again = engine(&journal, &world, "b").start_frozen(run_id(), plan, person("eve")).await;
    assert_eq!(again.unwrap_err(), EngineError::Exists { run: run_id() });
    handle.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded), "the first goes on");
    let missing = engine(&journal, &world, "b").resume(&id("other")).await;
    assert_eq!(missing.unwrap_err(), EngineError::NotFound { run: id("other") });
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_performed_is_not_begun() {
    let journal = memory();
    let error = BindingError { step: id("a"), problem: "no provider for `custom`".into() };
    let world = World::unbound(&journal, error.clone());
    let first = engine(&journal, &world, "first");
    let refused = first.start_frozen(run_id(), chain(vec![change("a")]), person("ann")).await;
    assert_eq!(refused.unwrap_err(), EngineError::Bindings(vec![error]));
    assert_eq!(journal.read(&run_id()).await.unwrap(), [], "nothing happened");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_journal_is_refused_with_its_record() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    start(&journal, &world, chain(vec![change("a").gate(approval("go"))]))
        .await
        .settled()
        .await
        .unwrap();
    let mut records = journal.read(&run_id()).await.unwrap();
    let mut bytes = records[1].bytes.to_vec();
    bytes[40] ^= 1;
    records[1].bytes = bytes.into();
    let copy: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let (run, blobs) = (run_id(), vec![]);
    copy.append(Batch { run, expected: 0, epoch: 1, records, blobs, finishes: false })
        .await
        .unwrap();
    let refused = engine(&copy, &world, "second").resume(&run_id()).await.unwrap_err();
    let EngineError::Damaged(damage) = &refused else { panic!("{refused}") };
    assert_eq!(damage.seq, 2);
    assert!(matches!(damage.kind, DamageKind::Changed { .. }));
    assert_eq!(copy.read(&run_id()).await.unwrap().len(), 2, "nothing was repaired");
}

#[tokio::test(start_paused = true)]
async fn without_its_plan_a_run_is_not_resumed() {
    let journal = FlakyJournal::without_blobs();
    let world = World::new(&journal, |_| Act::Faithful);
    let plan = chain(vec![change("a").gate(approval("go"))]);
    let digest: Digest = plan.digest();
    start(&journal, &world, plan).await.settled().await.unwrap();
    let refused = engine(&journal, &world, "second").resume(&run_id()).await.unwrap_err();
    let detail = "the journal does not have it".into();
    assert_eq!(refused, EngineError::PlanMissing { run: run_id(), digest, detail });
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_no_provider() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Hang);
    let first = engine(&journal, &world, "first");
    let plan = side_by_side((0..200).map(|n| change(&format!("s{n}"))).collect());
    let handle = first.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    let before: Timestamp = START;
    first.shutdown().await;
    assert_eq!(handle.wait().await, Err(EngineError::ShutDown));
    assert_eq!(handle.send(command(Command::Cancel, "bob")).await, Err(SendError::NotDriven));
    let last = journal.read(&run_id()).await.unwrap().pop().unwrap();
    let history = History::verify(&run_id(), &journal.read(&run_id()).await.unwrap()).unwrap();
    assert_eq!((history.facts().last().unwrap().at, last.epoch), (before, 1), "no time passed");
}
