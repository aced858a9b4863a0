//! Faults F5 to F7: a journal without room, out of reach, or that does not say what it did. The run
//! waits, starts nothing that is not durable, and goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use release_core::engine::{Engine, EngineError};
use release_core::journal::{AppendError, History, Journal};
use release_core::model::{Span, Strategy};
use release_core::plan::{OnFailure, RetryPolicy, plan};
use release_core::port::{Admission, CommandRequest, Decision, EffectError, Policy, Reason};
use release_core::run::{Command, Event, Mode, Outcome};

use super::support::engines::{command, events, run_id, start};
use super::support::samples::{approval, builder, chain, change, id, one_service, person};
use super::support::world::{Act, Fault, FlakyJournal, START, TokioClock, World, engine, memory};

/// Runs a whole release over `journal`; checks what has to hold whatever the journal did. Returns
/// whether the run could not even begin.
async fn sees_it_through(journal: &Arc<dyn Journal>, context: &str) -> Result<(), EngineError> {
    let plan = plan(&one_service(Strategy::Recreate)).unwrap().freeze();
    let world = World::new(journal, |_| Act::Faithful);
    let handle =
        engine(journal, &world, "first").start_frozen(run_id(), plan, person("ann")).await?;
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded), "{context}");
    assert_eq!(world.unannounced(), [], "{context}");
    let twice: Vec<_> = world.by_key().into_iter().filter(|(_, n)| *n > 1).collect();
    assert_eq!(twice, [], "{context}");
    let records = journal.read(&run_id()).await.unwrap();
    let history = History::verify(&run_id(), &records).unwrap();
    assert_eq!(history.epoch(), 1, "{context}: nobody else had to take it over");
    let ends = history.facts().iter().filter(|f| matches!(f.event, Event::RunFinished { .. }));
    assert_eq!(ends.count(), 1, "{context}");
    Ok(())
}

/// Every fault at every append, alone and several in a row, with reads that fail as well.
async fn at_every_append(fault: Fault) {
    let mut survived = 0;
    for at in 1..100 {
        for (row, blind) in [(1, 0), (3, 0), (1, 4)] {
            let context = format!("{fault:?} × {row} from append {at}, {blind} blind reads");
            let journal = FlakyJournal::failing((at..at + row).map(|at| (at, fault)), blind);
            match sees_it_through(&journal, &context).await {
                Ok(()) => survived += 1,
                // Whoever starts a run is there to be told.
                Err(error) => {
                    assert_eq!(at, 1, "{context}");
                    let told = matches!(error, EngineError::Append(_) | EngineError::Read(_));
                    assert!(told, "{context}: {error}");
                }
            }
        }
    }
    assert!(survived > 290, "{survived}");
}

#[tokio::test(start_paused = true)]
async fn f5_without_room_a_run_waits_and_goes_on_when_there_is_some() {
    at_every_append(Fault::NoSpace).await;
}

#[tokio::test(start_paused = true)]
async fn f6_a_run_outlasts_a_store_that_is_out_of_reach() {
    at_every_append(Fault::Unavailable).await;
}

#[tokio::test(start_paused = true)]
async fn f7_what_an_append_of_unknown_outcome_stored_is_not_stored_twice() {
    at_every_append(Fault::Unknown { stored: true }).await;
}

#[tokio::test(start_paused = true)]
async fn f7_what_an_append_of_unknown_outcome_did_not_store_is_not_taken_for_stored() {
    at_every_append(Fault::Unknown { stored: false }).await;
}

#[tokio::test(start_paused = true)]
async fn f7_an_append_that_is_stored_late_is_told_from_another_engine() {
    for at in 2..40 {
        let journal = FlakyJournal::failing_at(at, Fault::Late);
        sees_it_through(&journal, &format!("late append {at}")).await.unwrap();
    }
}

/// Outages, want of room and lost answers in any mixture, at any appends.
#[tokio::test(start_paused = true)]
async fn f6_a_run_outlasts_any_mixture_of_faults() {
    let faults = [
        Fault::NoSpace,
        Fault::Unavailable,
        Fault::Unknown { stored: true },
        Fault::Unknown { stored: false },
        Fault::Late,
    ];
    for seed in 0_u64..200 {
        // The middle bits of the multiples of an odd number look as good as random here.
        let draw = |n: u64| (seed * 1_000 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let failing = (2..60).filter(|at| draw(*at) % 3 == 0);
        let planned = failing.map(|at| (at, faults[usize::try_from(draw(at + 500) % 5).unwrap()]));
        let journal = FlakyJournal::failing(planned, u32::try_from(seed % 4).unwrap());
        sees_it_through(&journal, &format!("mixture {seed}")).await.unwrap();
    }
}

/// Denies everything once it is told to.
#[derive(Debug, Default, Clone)]
struct Freeze(Arc<AtomicBool>);

impl Policy for Freeze {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        if self.0.load(Ordering::SeqCst) {
            let reasons = vec![Reason::new("freeze", "it has begun", "time")];
            return Decision::wait(Some(START.plus(Span::secs(7200))), reasons);
        }
        Decision::permit()
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

/// A start that was decided before the outage, and never became durable, does not take place in a
/// freeze that began meanwhile.
#[tokio::test(start_paused = true)]
async fn f6_a_freeze_that_begins_during_an_outage_holds_what_was_decided_before() {
    let freeze = Freeze::default();
    // Append 1 creates the run, 2 starts `a`, 3 is its outcome and the start of `b`.
    let journal = FlakyJournal::failing((3..20).map(|at| (at, Fault::Unavailable)), 0);
    let begins = freeze.clone();
    let world = World::new(&journal, move |call| {
        if call.step == "a" {
            begins.0.store(true, Ordering::SeqCst);
        }
        Act::Faithful
    });
    // The policy permits `b` when it is first asked: it freezes only while the journal is away.
    let (asked, told) = (Arc::new(AtomicU32::new(0)), freeze.clone());
    let late = Late { asked: Arc::clone(&asked), freeze: told };
    let performer: Arc<dyn release_core::port::Performer> = Arc::<World>::clone(&world);
    let engine = Engine::builder(Arc::clone(&journal), performer)
        .policy(late)
        .clock(TokioClock::new())
        .build();
    let plan = chain(vec![change("a"), change("b")]);
    let handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let (history, _) = engine.load(&run_id()).await.unwrap();
    let started = history
        .facts()
        .iter()
        .find(|fact| matches!(&fact.event, Event::StepStarted { step, .. } if step.id == id("b")));
    assert!(started.unwrap().at >= START.plus(Span::secs(7200)), "{started:?}");
    assert!(asked.load(Ordering::SeqCst) >= 3, "a, b before the outage, and b again");
}

/// Permits the first two admissions, whatever the freeze says: it begins just behind them.
#[derive(Debug)]
struct Late {
    asked: Arc<AtomicU32>,
    freeze: Freeze,
}

impl Policy for Late {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        if self.asked.fetch_add(1, Ordering::SeqCst) < 2
            || request.now >= START.plus(Span::secs(7200))
        {
            return Decision::permit();
        }
        self.freeze.admit(request)
    }
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        self.freeze.authorize(request)
    }
}

/// Whoever gives a command during an outage is answered once it is durable, and it takes effect once.
#[tokio::test(start_paused = true)]
async fn f6_a_command_given_during_an_outage_is_answered_when_it_is_durable() {
    for fault in
        [Fault::Unavailable, Fault::Unknown { stored: true }, Fault::Unknown { stored: false }]
    {
        // Append 1 creates the run, 2 blocks `a`; 3 would be the approval.
        let journal = FlakyJournal::failing((3..8).map(|at| (at, fault)), 2);
        let world = World::new(&journal, |_| Act::Faithful);
        let handle = start(&journal, &world, chain(vec![change("a").gate(approval("go"))])).await;
        handle.settled().await.unwrap();
        handle.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
        let all = events(&journal).await;
        let approvals = all.iter().filter(|event| matches!(event, Event::Approved { .. })).count();
        assert_eq!(approvals, 1, "{fault:?}: durable when it is answered, and once");
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
        assert_eq!(world.performed(), ["a"]);
    }
}

/// An outage has no end, but the engine can be shut down in it.
#[tokio::test(start_paused = true)]
async fn f6_an_engine_can_be_shut_down_in_an_outage() {
    let journal = FlakyJournal::failing((2..10_000).map(|at| (at, Fault::Unavailable)), 0);
    let world = World::new(&journal, |_| Act::Faithful);
    let engine = engine(&journal, &world, "first");
    let plan = chain(vec![change("a")]);
    let handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    tokio::task::yield_now().await;
    engine.shutdown().await;
    assert_eq!(handle.wait().await, Err(EngineError::ShutDown));
    assert_eq!(world.performed(), [""; 0], "no effect without a durable record");
}

/// What was stored late was obeyed, and is answered so: it is not decided again, and nothing else is on
/// record. Whatever was decided for a person, and whether the late batch is found by the next append or the
/// one after.
#[tokio::test(start_paused = true)]
async fn f7_a_command_that_is_stored_late_is_answered_as_it_was_decided() {
    let [cancel, retry, reconcile] = [
        (Command::Cancel, "cancel_requested"),
        (Command::Retry { step: id("held") }, "retry_requested"),
        (Command::Reconcile { step: id("held"), applied: true }, "reconciled"),
    ];
    for (said, recorded) in [cancel, retry, reconcile] {
        let unknown = recorded == "reconciled";
        for faults in [vec![Fault::Late], vec![Fault::Unknown { stored: false }, Fault::Late]] {
            let context = format!("{recorded} after {faults:?}");
            let flaky = Arc::new(FlakyJournal::default());
            let journal: Arc<dyn Journal> = flaky.clone();
            let world = World::new(&journal, move |call| match (&*call.step, call.attempt) {
                ("held", 1) if unknown => Act::Fail(EffectError::unknown("lost", "no answer")),
                ("held", 1) => Act::Fail(EffectError::permanent("full", "no room")),
                ("held", 2) if unknown => Act::Fail(EffectError::permanent("mute", "cannot tell")),
                _ => Act::Faithful,
            });
            let mut plan = builder();
            plan.step(change("held").on_failure(OnFailure::Hold));
            plan.step(change("other").gate(approval("go")));
            let run = start(&journal, &world, plan.build().unwrap().freeze()).await;
            run.settled().await.unwrap();
            flaky.fail_next(faults);
            assert_eq!(run.send(command(said.clone(), "bob")).await, Ok(()), "{context}");
            let names: Vec<_> =
                events(&journal).await.iter().map(|e| e.name().to_owned()).collect();
            let count = |name: &str| names.iter().filter(|found| *found == name).count();
            assert_eq!(count(recorded), 1, "{context}: {names:?}");
            assert_eq!(count("command_denied"), 0, "{context}: {names:?}");
        }
    }
}

/// Somebody else's records in the way are never taken for one's own.
#[tokio::test(start_paused = true)]
async fn f14_an_engine_in_an_outage_finds_that_another_took_the_run_over() {
    for fault in [Fault::Unavailable, Fault::Unknown { stored: false }, Fault::Late] {
        let journal = FlakyJournal::failing_at(3, fault);
        let world = World::new(&journal, |_| Act::Faithful);
        let first = engine(&journal, &world, "first");
        let plan = chain(vec![change("a"), change("b"), change("c")]);
        let handle = first.start_frozen(run_id(), plan, person("ann")).await.unwrap();
        while events(&journal).await.len() < 2 || world.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        let second = engine(&journal, &world, "second").resume(&run_id()).await;
        let ended = handle.wait().await;
        match second {
            Ok(second) => {
                assert_eq!(second.wait().await, Ok(Outcome::Succeeded), "{fault:?}");
                let fenced = matches!(
                    &ended,
                    Err(EngineError::TakenOver(
                        AppendError::Fenced { .. } | AppendError::Conflict { .. }
                    ))
                );
                assert!(fenced, "{fault:?}: {ended:?}");
            }
            // The late append came first: then the first engine is still the only one.
            Err(EngineError::TakenOver(_)) => {
                assert_eq!(ended, Ok(Outcome::Succeeded), "{fault:?}");
            }
            Err(other) => panic!("{fault:?}: {other}"),
        }
        let twice: Vec<_> = world.by_key().into_iter().filter(|(_, n)| *n > 1).collect();
        assert_eq!(twice, [], "{fault:?}");
    }
}

/// Found in review: an attempt that was given up in a late append went on beside the next, and outlived
/// its run.
#[tokio::test(start_paused = true)]
async fn f7_what_a_late_append_gave_up_is_dropped() {
    let journal = FlakyJournal::failing_at(3, Fault::Late);
    let world = World::new(&journal, |call| match call.mode {
        Mode::Perform => Act::Hang,
        Mode::Look => Act::Faithful,
    });
    let step = change("a").timeout(Span::secs(2)).retry(RetryPolicy::attempts(3));
    let handle = start(&journal, &world, chain(vec![step])).await;
    assert!(matches!(handle.wait().await, Ok(Outcome::Failed { .. })));
    for _ in 0..10 {
        tokio::task::yield_now().await; // let what was dropped end
    }
    assert_eq!(world.hanging(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_shut_down_starts_nothing() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let engine = engine(&journal, &world, "first");
    engine.shutdown().await;
    let plan = chain(vec![change("a")]);
    let started = engine.start_frozen(run_id(), plan, person("ann")).await;
    assert_eq!(started.unwrap_err(), EngineError::ShutDown);
    assert_eq!(journal.heads().await.unwrap(), []);
    assert_eq!(engine.resume(&run_id()).await.unwrap_err(), EngineError::ShutDown);
}

/// Found in review: whoever asked for the state waited as long as the outage lasted.
#[tokio::test(start_paused = true)]
async fn in_an_outage_nobody_waits_for_a_state_that_nobody_knows() {
    let journal = FlakyJournal::failing((3..30).map(|at| (at, Fault::Unavailable)), 0);
    let world = World::new(&journal, |_| Act::Faithful);
    let plan = chain(vec![change("a"), change("b").gate(approval("go"))]);
    let engine = engine(&journal, &world, "first");
    let handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    let told = loop {
        match handle.state().await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    let sign = "the run waits for its journal: the journal is not available";
    assert!(told.to_string().starts_with(sign), "{told}");
    // What people tell it is heard once it works again.
    handle.send(command(Command::Pause, "bob")).await.unwrap();
    assert!(handle.state().await.unwrap().is_paused());
}
