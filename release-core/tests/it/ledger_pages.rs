//! F35 where the ledger of permits begins a new stream, and the journal fails just then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::engine::ledger::Pages;
use release_core::journal::{
    AppendError, Batch, Damage, DamageKind, Head, Journal, MemoryJournal, ReadError, Record,
    ledger_stream,
};
use release_core::limits::{Ledger, LedgerEvent, Limit, Limits};
use release_core::model::{Digest, RunId, Span};
use release_core::run::Outcome;

use super::support::desk::limits;
use super::support::samples::{chain, change, id, person};
use super::support::world::{Act, Fault, START, TokioClock, World, pass};

/// A journal that fails once: when the second stream of the ledger is to begin.
#[derive(Debug)]
struct FailsAtTheTurn {
    inner: MemoryJournal,
    fault: Fault,
    failed: AtomicBool,
}

impl FailsAtTheTurn {
    fn by(fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: MemoryJournal::new(), fault, failed: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Journal for FailsAtTheTurn {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let begins = Some(&batch.run) == ledger_stream(2).as_ref() && batch.expected == 0;
        if !begins || self.failed.swap(true, Ordering::SeqCst) {
            return self.inner.append(batch).await;
        }
        let detail = "once".to_owned();
        match self.fault {
            Fault::NoSpace => Err(AppendError::NoSpace { detail }),
            Fault::Unavailable => Err(AppendError::Unavailable { detail }),
            Fault::Unknown { stored: true } => {
                self.inner.append(batch).await?;
                Err(AppendError::Unknown { detail })
            }
            Fault::Unknown { stored: false } | Fault::Late => Err(AppendError::Unknown { detail }),
        }
    }
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        self.inner.read(run).await
    }
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.inner.blob(digest).await
    }
    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.heads().await
    }
}

/// Steps that fill the first stream of the ledger.
const MANY: usize = 400;

fn engine(journal: &Arc<FailsAtTheTurn>, world: &Arc<World>, limits: &Limits) -> Engine {
    let journal: Arc<dyn Journal> = Arc::<FailsAtTheTurn>::clone(journal);
    let engine = Engine::builder(journal, Arc::<World>::clone(world) as _);
    engine.limits(limits.clone()).clock(TokioClock::new()).build()
}

#[tokio::test(start_paused = true)]
async fn f35_a_new_stream_that_cannot_be_stored_loses_no_permit_and_breaks_no_limit() {
    let faults = [
        Fault::NoSpace,
        Fault::Unavailable,
        Fault::Unknown { stored: false },
        Fault::Unknown { stored: true },
    ];
    for fault in faults {
        let journal = FailsAtTheTurn::by(fault);
        let port: Arc<dyn Journal> = Arc::<FailsAtTheTurn>::clone(&journal);
        let hold = |call: &super::support::world::Call| call.step.starts_with("hold");
        let world =
            World::new(&port, move |call| if hold(call) { Act::Hang } else { Act::Faithful });
        let limits = limits(vec![Limit::new(id("all"), 1)]);
        let [first, second] = [(); 2].map(|()| engine(&journal, &world, &limits));
        let many = chain((0..MANY).map(|nth| change(&format!("s{nth}"))).collect());
        let run = first.start_frozen(id("many"), many, person("ann")).await.unwrap();
        assert_eq!(run.wait().await, Ok(Outcome::Succeeded), "{fault:?}");
        assert!(journal.failed.load(Ordering::SeqCst), "the fault struck");
        for (engine, name) in [(&first, "hold-1"), (&second, "hold-2")] {
            let plan = chain(vec![change(name).timeout(Span::secs(1_000_000))]);
            engine.start_frozen(id(name), plan, person("ann")).await.unwrap();
            pass(Span::secs(100)).await;
        }
        assert_eq!(world.hanging(), 1, "{fault:?}");
        let ledgers = (first.ledger().await, second.ledger().await);
        assert!(ledgers.0 == ledgers.1 && ledgers.0.is_ok(), "{fault:?}");
        let heads = journal.heads().await.unwrap();
        assert!(heads.iter().any(|head| Some(&head.run) == ledger_stream(2).as_ref()));
    }
}

fn configured(capacity: u32) -> LedgerEvent {
    LedgerEvent::Configured { limits: limits(vec![Limit::new(id("all"), capacity)]) }
}

/// What one append makes of the pages; the batch, which is not stored yet.
fn decided(pages: &mut Pages, event: LedgerEvent) -> Batch {
    let carried = pages.carried();
    pages.ledger.evolve(START, &event).unwrap();
    pages.batch(&[event], carried, START)
}

#[test]
fn what_was_decided_and_not_stored_is_forgotten_when_the_pages_are_read_again() {
    let mut pages = Pages::new(1).unwrap().full_after(1);
    let first = decided(&mut pages, configured(1));
    assert!(first.finishes);
    pages.stored(true);
    let stored = pages.ledger.clone();
    for _ in 0..2 {
        decided(&mut pages, configured(2)); // and that cannot be stored
        assert_ne!(pages.ledger, stored);
        assert_eq!(pages.read(&[]), Ok(true), "the stream before is to be read");
        assert_eq!(pages.stream(), &ledger_stream(1).unwrap());
        assert_eq!(pages.read(&first.records), Ok(true));
        assert_eq!(pages.stream(), &ledger_stream(2).unwrap());
        assert_eq!(pages.read(&[]), Ok(false));
        assert_eq!((&pages.ledger, pages.seq()), (&stored, 0));
        assert_eq!(pages.carried().as_ref(), Some(&stored));
    }
}

#[test]
fn a_ledger_whose_streams_are_gone_is_damaged_and_not_empty() {
    let mut pages = Pages::new(3).unwrap();
    assert_eq!(pages.read(&[]), Ok(true));
    let run = ledger_stream(2).unwrap();
    assert_eq!(pages.read(&[]), Err(Damage { run, seq: 1, kind: DamageKind::Empty }));
    assert_eq!(Pages::new(1).unwrap().read(&[]), Ok(false), "a ledger that never began is empty");
    assert_eq!(pages.ledger, Ledger::new());
}
