//! What stands between a run and the host's own code: a policy that panics, a clock that jumps, and effects
//! that are told to leave off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::engine::{Engine, EngineError, RunHandle, SendError};
use release_core::journal::Journal;
use release_core::model::Span;
use release_core::plan::FrozenPlan;
use release_core::port::{Admission, Clock, CommandRequest, Decision, Policy};
use release_core::run::{Awaiting, Command, Event, Mode, Outcome, Rejected};

use super::support::engines::{command, events, run_id};
use super::support::samples::{chain, change, id, person};
use super::support::words::back;
use super::support::world::{Act, START, TokioClock, World, memory};

/// Permits, or panics when it is told to.
#[derive(Debug, Clone)]
struct Brittle(Arc<AtomicBool>);

impl Policy for Brittle {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        assert!(!self.0.load(Ordering::SeqCst), "no such table");
        Decision::permit()
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        assert!(!self.0.load(Ordering::SeqCst), "no such table");
        Decision::permit()
    }
}

async fn start(
    journal: &Arc<dyn Journal>,
    plan: FrozenPlan,
    broken: &Arc<AtomicBool>,
    clock: &Arc<TokioClock>,
) -> (Engine, RunHandle) {
    let world = World::new(journal, |call| match &*call.step {
        "bad" => Act::Fail(release_core::port::EffectError::permanent("bad", "never")),
        _ => Act::Faithful,
    });
    let engine = Engine::builder(Arc::clone(journal), world)
        .policy(Brittle(Arc::clone(broken)))
        .clock(Arc::clone(clock) as Arc<dyn Clock>)
        .build();
    let handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    (engine, handle)
}

async fn reasons(handle: &RunHandle) -> Vec<String> {
    let state = handle.state().await.unwrap();
    let active = state.all_active().into_iter().flat_map(|(_, active)| active.reasons.clone());
    active.map(|reason| reason.to_string()).collect()
}

/// Found in review: a run whose policy panicked said that the engine was shut down.
#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_permits_nothing_and_hurts_nobody() {
    let (journal, broken, clock) = (memory(), Arc::new(AtomicBool::new(true)), TokioClock::new());
    let (_engine, handle) = start(&journal, chain(vec![change("a")]), &broken, &clock).await;
    handle.reconsider().await.unwrap();
    assert_eq!(
        reasons(&handle).await,
        ["policy/panic: the policy panicked: no such table (lifted by whoever mends the policy)"]
    );
    let denied = handle.send(command(Command::Pause, "bob")).await.unwrap_err();
    assert!(matches!(denied, SendError::Rejected(Rejected::Denied { .. })), "{denied}");
    broken.store(false, Ordering::SeqCst);
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded), "it is asked again by itself");
}

#[tokio::test(start_paused = true)]
async fn f16_while_the_clock_jumps_nothing_is_admitted_until_it_is_confirmed() {
    let (journal, broken, clock) = (memory(), Arc::default(), TokioClock::new());
    clock.jumps(Some(START.plus(Span::secs(1_000_000))));
    let (_engine, handle) = start(&journal, chain(vec![change("a")]), &broken, &clock).await;
    handle.reconsider().await.unwrap();
    let told = reasons(&handle).await;
    assert!(
        matches!(&told[..], [text] if text.starts_with("clock/anomaly: the wall clock says 2026-12-05")),
        "{told:?}"
    );
    assert_eq!(handle.state().await.unwrap().awaiting(), [Awaiting::Policy(id("a"))]);
    clock.jumps(None);
    handle.reconsider().await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn f16_a_clock_that_jumps_holds_no_rollback() {
    let (journal, broken, clock) = (memory(), Arc::default(), TokioClock::new());
    let plan = chain(vec![change("a"), back(change("bad"))]);
    let world = World::new(&journal, {
        let clock = Arc::clone(&clock);
        move |call| match &*call.step {
            "bad" => {
                clock.jumps(Some(START.plus(Span::secs(1_000_000))));
                Act::Fail(release_core::port::EffectError::permanent("bad", "never"))
            }
            _ => Act::Faithful,
        }
    });
    let engine =
        Engine::builder(Arc::clone(&journal), world).policy(Brittle(broken)).clock(clock).build();
    let handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
}

/// Found in review: effects were dropped before they could heed what they were told.
#[tokio::test(start_paused = true)]
async fn effects_may_leave_off_when_the_engine_shuts_down_and_what_they_say_is_kept() {
    let journal = memory();
    let world = World::new(&journal, |call| match call.mode {
        Mode::Perform if call.step == "a" => Act::ApplyUntilCancelled,
        _ => Act::Faithful,
    });
    let performer: Arc<dyn release_core::port::Performer> = Arc::clone(&world) as _;
    let engine = Engine::builder(Arc::clone(&journal), performer).clock(TokioClock::new()).build();
    let handle =
        engine.start_frozen(run_id(), chain(vec![change("a")]), person("ann")).await.unwrap();
    while world.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    engine.shutdown().await;
    assert_eq!(handle.wait().await, Err(EngineError::ShutDown));
    let last = events(&journal).await.pop().unwrap();
    let kept = matches!(&last, Event::OutcomeUnknown { error, .. } if error.kind == "cancelled");
    assert!(kept, "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn effects_that_do_not_leave_off_are_dropped_after_the_grace() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Hang);
    let clock = TokioClock::new();
    let engine = Engine::builder(Arc::clone(&journal), Arc::clone(&world) as _)
        .clock(Arc::clone(&clock) as _)
        .grace(Span::secs(7))
        .build();
    let plan = chain(vec![change("a").timeout(Span::secs(3600))]);
    let _handle = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    while world.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    engine.shutdown().await;
    assert_eq!((clock.now(), world.hanging()), (START.plus(Span::secs(7)), 0));
}
