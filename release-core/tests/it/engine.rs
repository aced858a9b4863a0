//! The engine, with tokio's clock standing still but when all is idle: faults of providers, of
//! journals and of engines, each with what is promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use release_core::engine::{EngineError, RunHandle, SendError, Settled};
use release_core::journal::{AppendError, Batch, DamageKind, History, Journal, MemoryJournal};
use release_core::model::{
    Approval, BlueGreen, Digest, Gate, RollbackScope, RunId, Span, Strategy, Timestamp,
};
use release_core::plan::{Action, EdgeKind, FrozenPlan, OnFailure, RetryPolicy, Step, plan};
use release_core::port::{BindingError, EffectError, Evidence, Measurement};
use release_core::run::{Awaiting, Command, Directive, Event, Mode, Outcome, Rejected, Status};

use super::support::samples::{
    approval, artifact, builder, chain, change, id, one_service, one_way, person, shop,
    side_by_side,
};
use super::support::world::{Act, Call, Fault, FlakyJournal, START, World, engine, memory, ratio};

fn run_id() -> RunId {
    id("run-1")
}

async fn start(journal: &Arc<dyn Journal>, world: &Arc<World>, plan: FrozenPlan) -> RunHandle {
    engine(journal, world, "first").start_frozen(run_id(), plan, person("ann")).await.unwrap()
}

/// Runs `plan` in a world that follows `script`, until nothing moves by itself.
async fn settle(
    plan: FrozenPlan,
    script: impl Fn(&Call) -> Act + Send + Sync + 'static,
) -> (RunHandle, Arc<World>, Settled) {
    let journal = memory();
    let world = World::new(&journal, script);
    let handle = start(&journal, &world, plan).await;
    let settled = handle.settled().await.unwrap();
    assert_eq!(world.unannounced(), [], "effects without a durable record");
    (handle, world, settled)
}

fn command(command: Command, by: &str) -> Directive {
    Directive::new(command, person(by), "because")
}

async fn events(journal: &Arc<dyn Journal>) -> Vec<Event> {
    let records = journal.read(&run_id()).await.unwrap();
    let history = History::verify(&run_id(), &records).unwrap();
    history.facts().iter().map(|fact| fact.event.clone()).collect()
}

fn back(step: Step) -> Step {
    step.on_failure(OnFailure::RollBack(RollbackScope::Release))
}

fn operator(step: &str) -> Settled {
    Settled::NeedsPerson(vec![Awaiting::Operator(id(step))])
}

#[tokio::test(start_paused = true)]
async fn a_release_succeeds_and_subscribers_see_what_the_journal_has() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let mut definition = shop();
    definition.stages[1].gates.remove(0);
    let handle = start(&journal, &world, plan(&definition).unwrap().freeze()).await;
    // One that reads as it goes, and one that began late and never looked until the end.
    let (mut early, mut late) = (handle.events(0), handle.events(3));
    let mut seen = Vec::new();
    while let Some(recorded) = early.next().await.unwrap() {
        seen.push(Event::clone(&recorded.event));
        assert_eq!(recorded.seq, seen.len() as u64);
    }
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let all = events(&journal).await;
    assert_eq!(seen, all);
    for (event, seq) in all.iter().zip(1..).skip(3) {
        let recorded = late.next().await.unwrap().expect("more");
        assert_eq!((recorded.seq, &recorded.event), (seq, event));
    }
    assert_eq!(late.next().await, Ok(None));
    assert_eq!(handle.events(0).next().await.unwrap().unwrap().seq, 1, "also once it is over");
    let paused = handle.send(command(Command::Pause, "ann")).await;
    assert_eq!(paused, Err(SendError::Finished(Outcome::Succeeded)));
    assert_eq!(world.unannounced(), []);
    assert!(world.by_key().values().all(|count| *count == 1), "{:?}", world.by_key());
    let heads = journal.heads().await.unwrap();
    assert!(heads[0].finished && heads[0].seq == all.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_again_after_a_pause() {
    let step = change("a").retry(RetryPolicy {
        max_attempts: 3,
        backoff: Span::secs(1),
        max_backoff: Span::secs(8),
    });
    let (handle, world, settled) = settle(chain(vec![step]), |call| match call.attempt {
        1 | 2 => Act::Fail(EffectError::transient("busy", "later")),
        _ => Act::Faithful,
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    assert_eq!(world.by_key(), [("run-1/a/0".to_owned(), 3)].into());
    assert!(handle.state().await.is_err(), "over is over");
}

/// A provider that asks for a pause gets it, within reason.
#[tokio::test(start_paused = true)]
async fn a_provider_is_left_alone_as_long_as_it_asks_for() {
    for (asked, least, most) in [(90, 90, 120), (1_000_000, 3600, 3700)] {
        let journal = memory();
        let world = World::new(&journal, move |call| match call.attempt {
            1 => Act::Fail(EffectError::transient("rate", "slow").after(Span::secs(asked))),
            _ => Act::Faithful,
        });
        let handle =
            start(&journal, &world, chain(vec![change("a").retry(RetryPolicy::attempts(2))])).await;
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
        let (history, _) = engine(&journal, &world, "x").load(&run_id()).await.unwrap();
        let took = history.facts().last().unwrap().at.since(START);
        assert!(took >= Span::secs(least) && took < Span::secs(most), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_given_up_at_its_deadline_and_looked_for() {
    let (_, world, settled) = settle(chain(vec![change("a")]), |call| match call.mode {
        Mode::Perform => Act::ApplyThenHang,
        Mode::Look => Act::Faithful,
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    let modes: Vec<_> = world.calls().iter().map(|call| call.mode).collect();
    assert_eq!(modes, [Mode::Perform, Mode::Look], "found, so not performed twice");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_dropped() {
    let plan = chain(vec![change("a"), change("b").gate(approval("go"))]);
    let (handle, world, _) = settle(plan, |call| match (call.attempt, call.mode) {
        (1, _) => Act::ApplyThenHang,
        (_, _) => Act::Faithful,
    })
    .await;
    assert!(handle.state().await.unwrap().outcome().is_none());
    assert_eq!((world.calls().len(), world.hanging()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hang_that_changed_nothing_is_performed_again_with_the_same_key() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let (_, world, settled) = settle(chain(vec![step]), |call| match call.attempt {
        1 => Act::Hang,
        _ => Act::Faithful,
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    assert_eq!(world.by_key(), [("run-1/a/0".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_found_out_waits_for_a_person_who_says() {
    for applied in [true, false] {
        let calls = AtomicU32::new(0);
        let (handle, world, settled) = settle(chain(vec![change("a"), change("b")]), move |call| {
            let first = calls.fetch_add(1, Ordering::Relaxed) < 2;
            if call.step == "a" && first { Act::Hang } else { Act::Faithful }
        })
        .await;
        assert_eq!(settled, operator("a"));
        let reconcile = Command::Reconcile { step: id("a"), applied };
        handle.send(command(reconcile, "bob")).await.unwrap();
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
        let performed = if applied { vec!["a", "b"] } else { vec!["a", "a", "b"] };
        assert_eq!(world.performed(), performed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_provider_is_an_unknown_outcome_and_hurts_nobody() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let (_, world, settled) = settle(side_by_side(vec![step, change("b")]), |call| {
        if call.step == "a" && call.attempt == 1 { Act::Panic } else { Act::Faithful }
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    let a: Vec<_> = world.calls().into_iter().filter(|call| call.step == "a").collect();
    let modes: Vec<_> = a.iter().map(|call| call.mode).collect();
    assert_eq!(
        modes,
        [Mode::Perform, Mode::Look, Mode::Perform],
        "looked for before it is repeated"
    );

    let (_, _, settled) = settle(chain(vec![change("a")]), |_| Act::Panic).await;
    assert_eq!(settled, operator("a"), "also a look may panic");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_lies_is_not_believed() {
    let other = artifact("api", "9.9.9").digest();
    let lies: [(&str, Evidence); 3] = [
        ("artifacts/api/new", Evidence::Artifact { digest: other, bytes: 1 }),
        ("prod/eu/api/start", Evidence::Instances { digest: other, running: 4 }),
        ("prod/eu/api/ready", Evidence::Done),
    ];
    for (step, lie) in lies {
        let plan = plan(&one_service(Strategy::Recreate)).unwrap().freeze();
        let (_, world, settled) =
            settle(
                plan,
                move |call| {
                    if call.step == step { Act::Say(lie.clone()) } else { Act::Faithful }
                },
            )
            .await;
        let Settled::Finished(outcome) = settled else { panic!("{settled:?}") };
        let rolled_back = matches!(outcome, Outcome::RolledBack { .. });
        assert_eq!(rolled_back, step != "artifacts/api/new", "{outcome}");
        assert!(rolled_back || matches!(outcome, Outcome::Failed { .. }), "{outcome}");
        let asked = world.performed().iter().filter(|name| *name == step).count();
        assert_eq!(asked, 1, "a liar is not asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn measurements_of_another_version_and_of_nothing_are_no_pass() {
    let other = artifact("api", "1.0.0").digest();
    let nothing = Measurement::NoData { reason: "silence".into() };
    for evidence in [ratio(other, 0.0, 1_000.0), Evidence::Measurement(nothing)] {
        let strategy = Strategy::BlueGreen(BlueGreen::default());
        let plan = plan(&one_service(strategy)).unwrap().freeze();
        let (_, world, settled) = settle(plan, move |call| {
            let analysis = call.step == "prod/eu/api/errors";
            if analysis { Act::Say(evidence.clone()) } else { Act::Faithful }
        })
        .await;
        let Settled::Finished(Outcome::RolledBack { cause }) = settled else {
            panic!("{settled:?}")
        };
        assert!(cause.to_string().contains("11 such measurements, 10 tolerated"), "{cause}");
        assert!(!world.performed().contains(&"prod/eu/api/remove-old".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_and_a_resume_goes_on() {
    let gated = change("b").gate(approval("go"));
    let (handle, world, _) = settle(chain(vec![change("a"), gated]), |_| Act::Faithful).await;
    handle.send(command(Command::Pause, "bob")).await.unwrap();
    handle.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    assert_eq!(handle.settled().await, Ok(Settled::NeedsPerson(vec![Awaiting::Resume])));
    assert_eq!(world.performed(), ["a"]);
    handle.send(command(Command::Resume, "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let late = handle.send(command(Command::Pause, "bob")).await;
    assert_eq!(late, Err(SendError::Finished(Outcome::Succeeded)));
}

#[tokio::test(start_paused = true)]
async fn the_requester_may_not_approve_and_that_is_on_record() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let two = Gate::Approval(Approval { quorum: 2, ..Approval::new(id("go")) });
    let handle = start(&journal, &world, chain(vec![change("a").gate(two)])).await;
    let approve = |by: &str| handle.send(command(Command::Approve { gate: id("go") }, by));
    let denied = approve("ann").await.unwrap_err();
    assert!(matches!(&denied, SendError::Rejected(Rejected::Denied { .. })), "{denied:?}");
    assert!(denied.to_string().contains("separation of duties"), "{denied}");
    let last = events(&journal).await.pop().unwrap();
    assert!(
        matches!(last, Event::CommandDenied { command, by, .. } if command == "approve" && by == person("ann"))
    );
    approve("bob").await.unwrap();
    approve("bob").await.unwrap();
    assert_eq!(
        handle.settled().await,
        Ok(Settled::NeedsPerson(vec![Awaiting::Approval(id("go"))]))
    );
    assert_eq!(world.performed(), [""; 0]);
    approve("eve").await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_brings_back_what_was_changed() {
    let plan = chain(vec![change("a"), back(change("b").gate(approval("go")))]);
    let (handle, world, _) = settle(plan, |_| Act::Faithful).await;
    handle.send(command(Command::Reject { gate: id("go") }, "bob")).await.unwrap();
    assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
    assert_eq!(world.performed(), ["a", "rollback/a/custom"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_rolls_back_and_is_denied_while_it_does() {
    let hold = change("b").on_failure(OnFailure::Hold);
    let (handle, world, settled) = settle(chain(vec![change("a"), hold]), |call| {
        let fails = call.step == "b" || (call.step.starts_with("rollback/b") && call.attempt <= 5);
        if fails { Act::Fail(EffectError::transient("busy", "later")) } else { Act::Faithful }
    })
    .await;
    assert_eq!(settled, operator("b"));
    handle.send(command(Command::Cancel, "bob")).await.unwrap();
    let stuck = handle.settled().await.unwrap();
    assert_eq!(stuck, operator("rollback/b/custom"), "five attempts, then a person");
    let denied = handle.send(command(Command::Cancel, "bob")).await.unwrap_err();
    assert!(matches!(denied, SendError::Rejected(Rejected::Denied { .. })), "{denied}");
    let state = handle.state().await.unwrap();
    assert_eq!(state.status(0), Some(Status::Succeeded), "not undone before what came after it");
    handle.send(command(Command::Retry { step: id("rollback/b/custom") }, "bob")).await.unwrap();
    assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
    assert_eq!(world.performed().last().unwrap(), "rollback/a/custom");
}

/// Nobody waits out the timeout of an effect that heeds its token: what it left is looked for, and put
/// back. What the rollback itself does is not cancelled.
#[tokio::test(start_paused = true)]
async fn effects_under_way_are_told_to_leave_off_when_the_run_stops() {
    let slow = change("a").timeout(Span::secs(3600));
    for failing in [true, false] {
        let plan = side_by_side(vec![slow.clone(), back(change("b"))]);
        let journal = memory();
        let world = World::new(&journal, move |call| match call.step.as_str() {
            "a" => Act::ApplyUntilCancelled,
            "b" if failing => Act::Fail(EffectError::permanent("no", "broken")),
            _ => Act::Faithful,
        });
        let handle = start(&journal, &world, plan).await;
        if !failing {
            handle.send(command(Command::Cancel, "bob")).await.unwrap();
        }
        assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
        let undone = world.performed();
        assert!(undone.contains(&"rollback/a/custom".to_owned()), "{undone:?}");
        let (history, _) = engine(&journal, &world, "x").load(&run_id()).await.unwrap();
        let took = history.facts().last().unwrap().at.since(START);
        assert!(took < Span::secs(60), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_point_of_no_return_the_run_waits_to_go_forward() {
    let broken = AtomicU32::new(1);
    let plan = chain(vec![one_way("migrate"), back(change("a"))]);
    let (handle, world, settled) = settle(plan, move |call| {
        if call.step == "a" && broken.swap(0, Ordering::Relaxed) == 1 {
            return Act::Fail(EffectError::permanent("no", "broken"));
        }
        Act::Faithful
    })
    .await;
    assert_eq!(settled, operator("a"));
    handle.send(command(Command::Retry { step: id("a") }, "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(world.performed(), ["migrate", "a", "a"]);
    assert_eq!(world.by_key().len(), 3, "asked for by hand, it is a new operation");
}

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

/// Every append fails once, in every way; the run stops with what is wrong, and is resumed.
#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_stops_the_run_and_loses_nothing() {
    let plan = plan(&one_service(Strategy::Recreate)).unwrap().freeze();
    let faults = [
        Fault::NoSpace,
        Fault::Unavailable,
        Fault::Unknown { stored: true },
        Fault::Unknown { stored: false },
    ];
    for fault in faults {
        for at in 1.. {
            let journal = FlakyJournal::failing_at(at, fault);
            let world = World::new(&journal, |_| Act::Faithful);
            let first = engine(&journal, &world, "first");
            let started = first.start_frozen(run_id(), plan.clone(), person("ann")).await;
            let failed = match started {
                Ok(handle) => handle.wait().await,
                Err(error) => Err(error),
            };
            if failed == Ok(Outcome::Succeeded) {
                assert!(at > 7, "{at} appends are too few");
                break; // fewer appends than that
            }
            let right = |error: &AppendError| match fault {
                Fault::NoSpace => matches!(error, AppendError::NoSpace { .. }),
                Fault::Unavailable => matches!(error, AppendError::Unavailable { .. }),
                Fault::Unknown { .. } => matches!(error, AppendError::Unknown { .. }),
            };
            assert!(matches!(&failed, Err(EngineError::Append(e)) if right(e)), "{failed:?}");
            assert_eq!(world.unannounced(), [], "{fault:?} at append {at}");
            let second = engine(&journal, &world, "second");
            let handle = match second.resume(&run_id()).await {
                Err(EngineError::NotFound { .. }) => {
                    assert_eq!((at, fault == Fault::Unknown { stored: true }), (1, false));
                    second.start_frozen(run_id(), plan.clone(), person("ann")).await
                }
                other => other,
            };
            assert_eq!(handle.unwrap().wait().await, Ok(Outcome::Succeeded), "{fault:?} at {at}");
            assert_eq!(world.unannounced(), [], "{fault:?} at append {at}");
            let twice: Vec<_> = world.by_key().into_iter().filter(|(_, n)| *n > 1).collect();
            assert_eq!(twice, [], "{fault:?} at append {at}");
        }
    }
}

/// Found here: the answer to a command came before the run had left what it waited for, and
/// whoever then asked what it waits for was told what it had waited for.
#[tokio::test(start_paused = true)]
async fn what_a_run_waits_for_is_never_told_from_before_a_command() {
    let mut plan = builder();
    let mut last = plan.step(Step::new(id("first"), Action::Sync).gate(approval("first")));
    for n in 0..9_000 {
        let next = plan.step(Step::new(id(&format!("s{n}")), Action::Sync));
        plan.edge(last, next, EdgeKind::Order);
        last = next;
    }
    let gated = plan.step(Step::new(id("second"), Action::Sync).gate(approval("second")));
    plan.edge(last, gated, EdgeKind::Order);
    let (handle, _, _) = settle(plan.build().unwrap().freeze(), |_| Act::Faithful).await;
    handle.send(command(Command::Approve { gate: id("first") }, "bob")).await.unwrap();
    let settled = handle.settled().await.unwrap();
    assert_eq!(settled, Settled::NeedsPerson(vec![Awaiting::Approval(id("second"))]));
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
