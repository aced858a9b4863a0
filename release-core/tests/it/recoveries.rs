//! Runs that are taken over: all that are open, and those that bring their engines down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use release_core::engine::{Engine, EngineError};
use release_core::journal::{Batch, DamageKind, History, Journal, Sealer};
use release_core::port::{Admission, CommandRequest, Decision, Performer, Policy, Reason};
use release_core::run::{Event, Outcome, Rejected, StateDigest};

use super::support::engines::{events, run_id, start};
use super::support::samples::{approval, chain, change, id, person};
use super::support::world::{Act, TokioClock, World, engine, memory};

/// An engine that quarantines after `limit` recoveries.
fn impatient(journal: &Arc<dyn Journal>, world: &Arc<World>, limit: u32) -> Engine {
    let performer: Arc<dyn Performer> = Arc::<World>::clone(world);
    Engine::builder(Arc::clone(journal), performer)
        .clock(TokioClock::new())
        .max_recoveries(limit)
        .build()
}

/// Stops the engine as soon as it has an effect under way, as a crash would.
async fn crash_at_the_first_call(engine: &Engine, world: &World) {
    let before = world.calls().len();
    while world.calls().len() == before {
        tokio::task::yield_now().await;
    }
    engine.shutdown().await;
}

/// What brings engines down: its effect never ends, and looking for it does not either. Until it is
/// healed.
fn poison(journal: &Arc<dyn Journal>) -> (Arc<World>, Arc<AtomicBool>) {
    let healed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&healed);
    let script = move |_: &_| if flag.load(Ordering::SeqCst) { Act::Faithful } else { Act::Hang };
    (World::new(journal, script), healed)
}

/// Takes the run over in vain until it is quarantined; returns how often that was possible.
async fn poisoned(journal: &Arc<dyn Journal>, world: &Arc<World>, limit: u32) -> u32 {
    let first = impatient(journal, world, limit);
    let plan = chain(vec![change("a"), change("b")]);
    first.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    crash_at_the_first_call(&first, world).await;
    for count in 0..100 {
        let engine = impatient(journal, world, limit);
        match engine.resume(&run_id()).await {
            Ok(_) => crash_at_the_first_call(&engine, world).await,
            Err(EngineError::Quarantined { run, recoveries }) => {
                assert_eq!((run, recoveries), (run_id(), count));
                return count;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never quarantined");
}

#[tokio::test(start_paused = true)]
async fn f50_a_run_that_brings_its_engines_down_is_quarantined_until_somebody_releases_it() {
    let journal = memory();
    let (world, healed) = poison(&journal);
    assert_eq!(poisoned(&journal, &world, 3).await, 3);
    let engine = impatient(&journal, &world, 3);
    let report = engine.resume_all().await.unwrap();
    assert_eq!(report.quarantined().collect::<Vec<_>>(), [&run_id()]);
    assert_eq!(report.not_resumed.len(), 1);
    let text = report.not_resumed[0].error.to_string();
    assert!(text.contains("taken over 3 times in a row without getting anywhere"), "{text}");
    let before = events(&journal).await.len();
    let nothing = engine.release_from_quarantine(&run_id(), person("bob"), " ").await;
    let reason = Rejected::NoReason { command: "release_quarantine" };
    assert_eq!(nothing.unwrap_err(), EngineError::Refused { run: run_id(), reason });
    assert_eq!(events(&journal).await.len(), before, "nothing was recorded");
    healed.store(true, Ordering::SeqCst);
    let handle =
        engine.release_from_quarantine(&run_id(), person("bob"), "mended the node").await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let all = events(&journal).await;
    let released =
        Event::QuarantineReleased { by: person("bob"), reason: "mended the node".into() };
    assert_eq!(all.iter().filter(|event| **event == released).count(), 1);
    assert_eq!(world.unannounced(), []);
}

/// Nobody may do anything but ask for runs.
#[derive(Debug)]
struct Strict;

impl Policy for Strict {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::deny(vec![Reason::new("strict", "no", "nobody")])
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_release_a_run_is_on_record() {
    let journal = memory();
    let (world, _) = poison(&journal);
    poisoned(&journal, &world, 2).await;
    let before = events(&journal).await;
    let performer: Arc<dyn Performer> = Arc::<World>::clone(&world);
    let strict = Engine::builder(Arc::clone(&journal), performer)
        .policy(Strict)
        .clock(TokioClock::new())
        .max_recoveries(2)
        .build();
    let denied = strict.release_from_quarantine(&run_id(), person("eve"), "please").await;
    let EngineError::Refused { reason: Rejected::Denied { .. }, .. } = denied.unwrap_err() else {
        panic!("not denied");
    };
    let mut after = events(&journal).await;
    let last = after.pop().unwrap();
    assert!(
        matches!(&last, Event::CommandDenied { command, .. } if command == "release_quarantine"),
        "{last:?}"
    );
    assert_eq!(after, before, "nobody took it over");
    let still = strict.resume(&run_id()).await.unwrap_err();
    assert!(matches!(still, EngineError::Quarantined { .. }), "{still}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_only_waits_is_never_quarantined() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let plan = chain(vec![change("a").gate(approval("go"))]);
    start(&journal, &world, plan).await.settled().await.unwrap();
    for _ in 0..20 {
        let engine = impatient(&journal, &world, 1);
        engine.resume(&run_id()).await.unwrap().settled().await.unwrap();
        engine.shutdown().await;
    }
    let (history, plan) = impatient(&journal, &world, 1).load(&run_id()).await.unwrap();
    assert_eq!(history.epoch(), 21);
    assert_eq!(history.state(plan, None).unwrap().recoveries(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_done_begins_the_count_anew() {
    let journal = memory();
    // Each engine sees one step through, and goes down in the next.
    let world = World::new(&journal, |call| match call.mode {
        release_core::run::Mode::Look => Act::Faithful,
        release_core::run::Mode::Perform => Act::ApplyThenHang,
    });
    let steps: Vec<_> = (0..8).map(|n| change(&format!("s{n}"))).collect();
    let first = impatient(&journal, &world, 1);
    first.start_frozen(run_id(), chain(steps), person("ann")).await.unwrap();
    crash_at_the_first_call(&first, &world).await;
    for done in 1..8 {
        let engine = impatient(&journal, &world, 1);
        engine.resume(&run_id()).await.unwrap();
        while world.performed().len() == done {
            tokio::task::yield_now().await; // the look, and the next step
        }
        engine.shutdown().await;
    }
    let outcome = impatient(&journal, &world, 1).resume(&run_id()).await.unwrap().wait().await;
    assert_eq!(outcome, Ok(Outcome::Succeeded));
}

/// As an engine would have written it whose code comes to another state: its chain is sound.
async fn written_by_other_code(journal: &Arc<dyn Journal>, from: &str, to: &str) {
    let records = journal.read(&id(from)).await.unwrap();
    let history = History::verify(&id(from), &records).unwrap();
    let mut sealer = Sealer::new(&id(to));
    let state = Some(StateDigest::from_bits(7));
    let facts = history.facts().iter();
    let records: Vec<_> = facts.map(|fact| sealer.seal_with(fact.at, &fact.event, state)).collect();
    let (run, blobs) = (id(to), vec![]);
    let batch = Batch { run, expected: 0, epoch: 1, records, blobs, finishes: false };
    journal.append(batch).await.unwrap();
}

const OPEN: usize = 10_000;

/// 10,000 open runs are resumed; one that is poisoned and one that is not understood hinder none.
#[tokio::test(start_paused = true)]
async fn f50_all_open_runs_are_resumed_and_bad_ones_hinder_none() {
    let journal = memory();
    let (poison, _) = poison(&journal);
    poisoned(&journal, &poison, 2).await;
    let world = World::new(&journal, |_| Act::Faithful);
    let first = engine(&journal, &world, "first");
    let plan = chain(vec![change("a").gate(approval("go"))]);
    for number in 0..OPEN {
        let run = id(&format!("open-{number:05}"));
        first.start_frozen(run, plan.clone(), person("ann")).await.unwrap();
    }
    first.shutdown().await;
    written_by_other_code(&journal, "open-00000", "other-code").await;

    let second = impatient(&journal, &world, 2);
    let report = second.resume_all().await.unwrap();
    assert_eq!(report.resumed.len(), OPEN);
    assert!(report.resumed.is_sorted_by(|one, other| one.run() < other.run()));
    assert_eq!(report.quarantined().collect::<Vec<_>>(), [&run_id()]);
    let [diverged, quarantined] = &report.not_resumed[..] else { panic!("{report:?}") };
    assert_eq!((&diverged.run, &quarantined.run), (&id("other-code"), &run_id()));
    let EngineError::Damaged(damage) = &diverged.error else { panic!("{}", diverged.error) };
    assert!(matches!(damage.kind, DamageKind::Diverged { .. }) && damage.seq == 1, "{damage}");
    // They are driven: each takes commands.
    let approve = || {
        let gate = id("go");
        let command = release_core::run::Command::Approve { gate };
        release_core::run::Directive::new(command, person("bob"), "because")
    };
    for handle in report.resumed.iter().step_by(997) {
        handle.send(approve()).await.unwrap();
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    }
}

/// A performer that panics when it is asked about one plan.
#[derive(Debug)]
struct Touchy(Arc<World>);

#[async_trait::async_trait]
impl Performer for Touchy {
    fn check(
        &self,
        plan: &release_core::plan::Plan,
    ) -> Result<(), Vec<release_core::port::BindingError>> {
        assert!(plan.steps().len() != 3, "three steps are too many");
        self.0.check(plan)
    }
    async fn perform(
        &self,
        command: &release_core::port::AuthorizedCommand,
    ) -> Result<release_core::port::Evidence, release_core::port::EffectError> {
        self.0.perform(command).await
    }
    async fn observe(
        &self,
        command: &release_core::port::AuthorizedCommand,
    ) -> Result<release_core::port::Observed, release_core::port::EffectError> {
        self.0.observe(command).await
    }
}

#[tokio::test(start_paused = true)]
async fn f50_a_panic_while_a_run_is_resumed_hinders_no_other() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let first = engine(&journal, &world, "first");
    for steps in 1..=5 {
        let steps: Vec<_> =
            (0..steps).map(|n| change(&format!("s{n}")).gate(approval(&format!("g{n}")))).collect();
        let run = id(&format!("run-of-{}", steps.len()));
        first.start_frozen(run, chain(steps), person("ann")).await.unwrap();
    }
    first.shutdown().await;
    let second =
        Engine::builder(Arc::clone(&journal), Arc::new(Touchy(Arc::clone(&world)))).build();
    // In a task of its own: the future can be sent to another thread.
    let report =
        tokio::task::JoinSet::from_iter([async move { second.resume_all().await.unwrap() }])
            .join_all()
            .await
            .remove(0);
    assert_eq!(report.resumed.len(), 4);
    let [bad] = &report.not_resumed[..] else { panic!("{report:?}") };
    assert_eq!(bad.run, id("run-of-3"));
    assert!(bad.error.to_string().contains("three steps are too many"), "{}", bad.error);
}
