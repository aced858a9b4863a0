//! F35 where the ledger of permits cannot be read as it was written: rollbacks and people go on, all else
//! waits and says why, and a person can begin a new ledger that knows what runs have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use release_core::engine::{Engine, EngineError, RunHandle};
use release_core::journal::{
    AppendError, Batch, Head, Journal, LedgerHistory, MemoryJournal, ReadError, Record,
    ledger_stream,
};
use release_core::limits::{LedgerEvent, Limit, Per};
use release_core::model::{Digest, RunId, Span};
use release_core::plan::FrozenPlan;
use release_core::run::{Command, Event, Outcome, Rejected};

use super::support::desk::limits;
use super::support::engines::command;
use super::support::samples::{approval, chain, change, id, person};
use super::support::words::approve;
use super::support::world::{Act, TokioClock, World, pass};

/// A journal whose first stream of the ledger rots when it is told to.
#[derive(Debug, Default)]
struct Rots {
    inner: MemoryJournal,
    rotten: AtomicBool,
}

#[async_trait]
impl Journal for Rots {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        self.inner.append(batch).await
    }
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        if self.rotten.load(Ordering::SeqCst) && Some(run) == ledger_stream(1).as_ref() {
            return Err(ReadError::Damaged { detail: "a page is torn".into() });
        }
        self.inner.read(run).await
    }
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.inner.blob(digest).await
    }
    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.heads().await
    }
}

struct Place {
    rots: Arc<Rots>,
    world: Arc<World>,
}

impl Place {
    /// Steps called `hold…` are under way until they are told to leave off.
    fn new() -> Self {
        let rots = Arc::<Rots>::default();
        let journal: Arc<dyn Journal> = Arc::<Rots>::clone(&rots);
        let world = World::new(&journal, |call| {
            if call.step.starts_with("hold") { Act::ApplyUntilCancelled } else { Act::Faithful }
        });
        Self { rots, world }
    }

    /// An engine with one place for all steps.
    fn engine(&self) -> Engine {
        self.engine_with(Limit::new(id("all"), 1))
    }

    fn engine_with(&self, limit: Limit) -> Engine {
        let journal: Arc<dyn Journal> = Arc::<Rots>::clone(&self.rots);
        let engine = Engine::builder(journal, Arc::<World>::clone(&self.world) as _);
        engine.limits(limits(vec![limit])).clock(TokioClock::new()).build()
    }

    fn rot(&self, rotten: bool) {
        self.rots.rotten.store(rotten, Ordering::SeqCst);
    }

    /// How often a step was performed.
    fn performed(&self, step: &str) -> usize {
        self.world.performed().iter().filter(|performed| *performed == step).count()
    }
}

async fn start(engine: &Engine, run: &str, plan: FrozenPlan) -> RunHandle {
    engine.start_frozen(id(run), plan, person("ann")).await.unwrap()
}

fn one(step: &str) -> FrozenPlan {
    chain(vec![change(step).timeout(Span::secs(1_000_000))])
}

async fn a_while() {
    pass(Span::secs(100)).await;
}

/// Why the run's last step that was blocked is.
async fn held_by(engine: &Engine, run: &RunHandle) -> Vec<String> {
    let (history, _) = engine.load(run.run()).await.unwrap();
    let reasons = history.facts().iter().rev().find_map(|fact| match &fact.event {
        Event::StepBlocked { reasons, .. } => Some(reasons.clone()),
        _ => None,
    });
    reasons.unwrap_or_default().into_iter().map(|reason| reason.rule).collect()
}

#[tokio::test(start_paused = true)]
async fn f35_a_damaged_ledger_holds_no_look_no_cancel_and_no_rollback() {
    let place = Place::new();
    let first = place.engine();
    let plan = chain(vec![change("a"), change("b").gate(approval("go")), change("c")]);
    start(&first, "r", plan).await.settled().await.unwrap();
    first.shutdown().await;
    place.rot(true);
    let second = place.engine();
    let run = second.resume(&id("r")).await.unwrap();
    assert!(run.state().await.is_ok());
    run.send(command(Command::Cancel, "bob")).await.unwrap();
    let ended = tokio::select! {
        ended = run.wait() => ended,
        () = pass(Span::secs(3_600)) => panic!("it still rolls back after an hour"),
    };
    assert!(
        matches!(ended, Ok(Outcome::Cancelled { .. } | Outcome::RolledBack { .. })),
        "{ended:?}"
    );
    let (history, _) = second.load(&id("r")).await.unwrap();
    let back = |event: &Event| matches!(event, Event::RollbackStarted { .. });
    assert!(history.facts().iter().any(|fact| back(&fact.event)), "nothing was put back");
}

#[tokio::test(start_paused = true)]
async fn f35_what_a_damaged_ledger_holds_says_so_and_goes_on_once_it_is_restored() {
    let place = Place::new();
    let first = place.engine();
    start(&first, "before", one("a")).await.wait().await.unwrap();
    first.shutdown().await;
    place.rot(true);
    let second = place.engine();
    let run = start(&second, "r", one("b")).await;
    a_while().await;
    assert_eq!(place.performed("b"), 0);
    assert_eq!(held_by(&second, &run).await, ["limit/ledger"]);
    let damaged = EngineError::LedgerDamaged { detail: "a page is torn".into() };
    assert_eq!(second.ledger().await, Err(damaged.clone()));
    assert_eq!(second.usage().await, Err(damaged.clone()));
    let forced = second.force_release(&id("before"), person("bob"), "it is gone").await;
    assert_eq!(forced, Err(damaged));
    place.rot(false);
    assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
    assert!(second.ledger().await.unwrap().permits().is_empty());
}

#[tokio::test(start_paused = true)]
async fn f35_a_new_ledger_knows_what_runs_have_and_who_began_it() {
    let place = Place::new();
    let [first, other] = [(); 2].map(|()| place.engine());
    let holder = start(&first, "holder", one("hold")).await;
    let early = start(&other, "early", one("a")).await;
    a_while().await;
    assert_eq!((place.performed("hold"), place.performed("a")), (1, 0));
    let sound = first.renew_ledger(person("bob"), "to be sure").await;
    assert_eq!(sound, Err(EngineError::LedgerSound));
    place.rot(true);
    let (run, reason) = (id("limits-ledger.1"), Rejected::NoReason { command: "renew_ledger" });
    let unsaid = first.renew_ledger(person("bob"), " ").await;
    assert_eq!(unsaid, Err(EngineError::Refused { run, reason }));

    let renewal = first.renew_ledger(person("bob"), "the disk broke, no backup").await.unwrap();
    assert_eq!(renewal.reclaimed, [id::<RunId>("holder")]);
    assert_eq!((&renewal.stream, renewal.unread.len()), (&id("limits-ledger.2"), 0));
    let heads = place.rots.heads().await.unwrap();
    let old = heads.iter().find(|head| head.run.as_str() == "limits-ledger.1").unwrap();
    assert!(old.finished, "others may still write to the old ledger");
    let records = place.rots.read(&renewal.stream).await.unwrap();
    let history = LedgerHistory::verify(&renewal.stream, &records).unwrap();
    let renewed = LedgerEvent::Renewed {
        by: person("bob"),
        reason: "the disk broke, no backup".into(),
        lost: id("limits-ledger.1"),
    };
    assert_eq!(history.entries[1].1, renewed);
    assert!(history.entries.iter().any(|(_, e)| matches!(e, LedgerEvent::Reclaimed { .. })));

    // What is under way counts, with all engines: nobody else begins until it is over.
    let late = start(&first, "late", one("b")).await;
    a_while().await;
    assert_eq!((place.performed("a"), place.performed("b")), (0, 0));
    let ledger = other.ledger().await.unwrap();
    assert_eq!(ledger.permits().iter().map(|p| p.run.as_str()).collect::<Vec<_>>(), ["holder"]);
    holder.send(command(Command::Cancel, "bob")).await.unwrap();
    holder.wait().await.unwrap();
    assert_eq!(early.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(late.wait().await, Ok(Outcome::Succeeded));
    assert!(first.ledger().await.unwrap().permits().is_empty());
}

#[tokio::test(start_paused = true)]
async fn f35_a_new_ledger_knows_what_runs_have_begun_that_outlasts_their_steps() {
    let place = Place::new();
    let engine = place.engine_with(Limit { per: Per::Run, ..Limit::new(id("runs"), 1) });
    let begun = chain(vec![change("a"), change("b").gate(approval("go"))]);
    let begun = start(&engine, "begun", begun).await;
    begun.settled().await.unwrap();
    let waits = start(&engine, "waits", one("c")).await;
    a_while().await;
    place.rot(true);
    let renewal = engine.renew_ledger(person("bob"), "the disk broke").await.unwrap();
    assert_eq!(renewal.reclaimed, [id::<RunId>("begun")]);
    a_while().await;
    assert_eq!(place.performed("c"), 0, "two runs at once");
    begun.send(command(approve("go"), "bob")).await.unwrap();
    assert_eq!(begun.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(waits.wait().await, Ok(Outcome::Succeeded));
}
