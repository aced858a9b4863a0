//! Whoever may not move a run to another plan, or out of its quarantine, does not stop it either.

use std::sync::Arc;

use release_core::engine::{Engine, EngineError, RunHandle};
use release_core::journal::{History, Journal};
use release_core::model::Span;
use release_core::plan::FrozenPlan;
use release_core::port::{Admission, CommandRequest, Decision, Performer, Policy, Reason};
use release_core::run::{Command, Event, Outcome, Rejected};

use super::support::engines::{command, events, run_id};
use super::support::samples::{approval, chain, change, person};
use super::support::words::approve;
use super::support::world::{Act, TokioClock, World, memory};

/// Eve may do nothing.
#[derive(Debug)]
struct NotEve;

impl Policy for NotEve {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        if request.by.id == person("eve").id {
            return Decision::deny(vec![Reason::new("rbac", "eve may do nothing", "nobody")]);
        }
        Decision::permit()
    }
}

fn strict(journal: &Arc<dyn Journal>, world: &Arc<World>) -> Engine {
    let performer: Arc<dyn Performer> = Arc::<World>::clone(world);
    Engine::builder(Arc::clone(journal), performer).policy(NotEve).clock(TokioClock::new()).build()
}

/// `slow` is under way for hours beside `b`, which waits for an approval.
fn plan() -> FrozenPlan {
    let mut plan = super::support::samples::builder();
    plan.step(change("slow").timeout(Span::secs(100_000)));
    plan.step(change("b").gate(approval("go")));
    plan.build().unwrap().freeze()
}

#[derive(Debug, Clone, Copy)]
enum Asks {
    ToMigrate,
    ToRelease,
}

impl Asks {
    async fn of(self, engine: &Engine, by: &str) -> Result<RunHandle, EngineError> {
        match self {
            Self::ToMigrate => {
                let plan = chain(vec![change("other")]).plan().clone();
                engine.migrate(&run_id(), plan, person(by), "mine").await
            }
            Self::ToRelease => engine.release_from_quarantine(&run_id(), person(by), "mine").await,
        }
    }
}

/// Eve asks, through the engine that drives the run or through another: whoever drives it goes on, with
/// what it has under way, and finds the denial on record.
#[tokio::test(start_paused = true)]
async fn whoever_is_denied_leaves_the_run_with_whoever_drives_it() {
    for asks in [Asks::ToMigrate, Asks::ToRelease] {
        for (elsewhere, times) in [(false, 1), (true, 1), (true, 3)] {
            let context = format!("{asks:?}, through another engine: {elsewhere}, {times} times");
            let journal = memory();
            let world = World::new(&journal, |call| match call.step.as_str() {
                "slow" => Act::ApplyUntilCancelled,
                _ => Act::Faithful,
            });
            let driving = strict(&journal, &world);
            let run = driving.start_frozen(run_id(), plan(), person("ann")).await.unwrap();
            while world.calls().is_empty() {
                tokio::task::yield_now().await;
            }
            let other = strict(&journal, &world);
            let asked = if elsewhere { &other } else { &driving };
            for _ in 0..times {
                let error = asks.of(asked, "eve").await.unwrap_err();
                let denied =
                    matches!(&error, EngineError::Refused { reason: Rejected::Denied { .. }, .. });
                assert!(denied, "{context}: {error}");
            }
            run.send(command(approve("go"), "bob")).await.expect(&context);
            run.send(command(Command::Cancel, "bob")).await.expect(&context);
            let outcome = run.wait().await.expect(&context);
            assert!(matches!(outcome, Outcome::RolledBack { .. }), "{context}: {outcome:?}");
            let all = events(&journal).await;
            let count = |is: fn(&Event) -> bool| all.iter().filter(|event| is(event)).count();
            assert_eq!(count(|e| matches!(e, Event::CommandDenied { .. })), times, "{context}");
            assert_eq!(count(|e| matches!(e, Event::TakenOver { .. })), 0, "{context}");
            assert_eq!(count(|e| matches!(e, Event::Approved { .. })), 1, "{context}");
            assert!(world.by_key().values().all(|calls| *calls == 1), "{context}");
            assert_eq!(world.unannounced(), [], "{context}");
        }
    }
}

/// A run that nobody drives at the moment is as it was: its denial counts as no attempt to drive it.
#[tokio::test(start_paused = true)]
async fn a_denial_of_a_run_that_nobody_drives_takes_nothing_over() {
    for asks in [Asks::ToMigrate, Asks::ToRelease] {
        let journal = memory();
        let world = World::new(&journal, |_| Act::Faithful);
        let first = strict(&journal, &world);
        first.start_frozen(run_id(), plan(), person("ann")).await.unwrap().settled().await.unwrap();
        first.shutdown().await;
        let second = strict(&journal, &world);
        asks.of(&second, "eve").await.unwrap_err();
        let records = journal.read(&run_id()).await.unwrap();
        let history = History::verify(&run_id(), &records).unwrap();
        assert_eq!(history.epoch(), 1, "{asks:?}");
        let last = &history.facts().last().unwrap().event;
        assert!(
            matches!(last, Event::CommandDenied { by, .. } if *by == person("eve")),
            "{last:?}"
        );
        let run = second.resume(&run_id()).await.unwrap();
        run.send(command(approve("go"), "bob")).await.unwrap();
        assert_eq!(run.wait().await, Ok(Outcome::Succeeded), "{asks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_run_that_is_quarantined_is_released() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let first = strict(&journal, &world);
    let run = first.start_frozen(run_id(), plan(), person("ann")).await.unwrap();
    run.settled().await.unwrap();
    let before = events(&journal).await;
    let error = Asks::ToRelease.of(&strict(&journal, &world), "bob").await.unwrap_err();
    assert_eq!(error, EngineError::NotQuarantined { run: run_id(), recoveries: 0, most: 100 });
    assert!(error.to_string().contains("let `Engine::resume` drive it"), "{error}");
    assert_eq!(events(&journal).await, before, "nothing was recorded");
    run.send(command(approve("go"), "bob")).await.expect("it is still driven");
    assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
    let over = Asks::ToRelease.of(&first, "bob").await.unwrap();
    assert_eq!(over.wait().await, Ok(Outcome::Succeeded), "over is over");
}
