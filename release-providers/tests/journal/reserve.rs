//! The reserve: on a full disk what is under way is still told and put back, and nothing new begins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::journal::{AppendError, Batch, Head, Journal, ReadError, Record, Sealer};
use release_core::model::{Digest, RunId, Timestamp};
use release_core::plan::{Action, Compensation, EdgeKind, Plan, Step, Undo, UndoPhase};
use release_core::port::{Evidence, Performer};
use release_core::run::{Command, Directive, Event, Mode, Outcome, StepRef};
use release_providers::sqlite::{SqliteJournal, SqliteOptions};
use tokio::sync::Semaphore;

use crate::support::{Counter, ada, batch, beside, records, run};

const TIGHT: SqliteOptions = SqliteOptions::new().with_max_pages(48).with_reserve_pages(16);

fn step() -> StepRef {
    StepRef { index: 0, id: "s0".parse().unwrap() }
}

/// A batch that begins an effect, or tells of one.
fn next(sealer: &mut Sealer, begins: bool) -> Batch {
    let expected = sealer.seq();
    let event = if begins {
        Event::StepStarted { step: step(), attempt: 1, mode: Mode::Perform, basis: None }
    } else {
        let because = Some("x".repeat(200));
        Event::StepSucceeded {
            step: step(),
            evidence: Evidence::Done,
            because,
            basis: None,
            finding: None,
        }
    };
    let record = sealer.seal(Timestamp::from_micros(1), &event);
    batch("a", expected, 1, vec![record])
}

#[tokio::test]
async fn f5_on_a_full_disk_what_became_of_effects_is_stored_and_nothing_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open_with(&path, TIGHT).unwrap();
    let mut sealer = Sealer::new(&run("a"));
    journal.append(batch("a", 0, 1, records(&mut sealer, 1))).await.unwrap();
    let full = loop {
        let mut tried = sealer.clone();
        match journal.append(next(&mut tried, true)).await {
            Ok(()) => sealer = tried,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, AppendError::NoSpace { .. }), "{full}");
    for _ in 0..64 {
        journal.append(next(&mut sealer, false)).await.unwrap();
        let mut tried = sealer.clone();
        let refused = journal.append(next(&mut tried, true)).await;
        assert!(matches!(refused, Err(AppendError::NoSpace { .. })), "{refused:?}");
    }
    let stored = sealer.seq();
    drop(journal);
    let journal = SqliteJournal::open(&path).unwrap();
    assert_eq!(journal.read(&run("a")).await.unwrap().len() as u64, stored);
    journal.append(next(&mut sealer, true)).await.expect("there is room again");
}

#[tokio::test]
async fn f5_the_reserve_is_given_up_and_set_aside_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let reserve = beside(&path, "-reserve");
    let size = || std::fs::metadata(&reserve).map(|file| file.len()).ok();
    let journal = SqliteJournal::open_with(&path, TIGHT).unwrap();
    assert_eq!(size(), Some(16 * 4096));
    let mut sealer = Sealer::new(&run("a"));
    journal.append(batch("a", 0, 1, records(&mut sealer, 1))).await.unwrap();
    loop {
        let mut tried = sealer.clone();
        if journal.append(next(&mut tried, true)).await.is_err() {
            break;
        }
        sealer = tried;
    }
    assert_eq!(size(), Some(16 * 4096), "what begins something does not get it");
    journal.append(next(&mut sealer, false)).await.unwrap();
    assert_eq!(size(), None, "it was needed");
    // The next to come sets it aside again first; where that fails, nothing new begins.
    std::fs::create_dir(&reserve).unwrap();
    let mut tried = sealer.clone();
    let refused = journal.append(next(&mut tried, true)).await;
    assert!(
        matches!(&refused, Err(AppendError::NoSpace { detail }) if detail.contains("reserve")),
        "{refused:?}"
    );
    journal.append(next(&mut sealer, false)).await.unwrap();
    std::fs::remove_dir(&reserve).unwrap();
    drop(journal);
    let journal = SqliteJournal::open_with(&path, TIGHT.with_max_pages(96)).unwrap();
    assert_eq!(size(), Some(16 * 4096));
    journal.append(next(&mut sealer, true)).await.unwrap();
}

/// `n` changes one after the other, each of which can be undone.
fn undoable(n: u32) -> Plan {
    let act = |capability: String| Action::Custom { capability, input: serde_json::Value::Null };
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    for index in 0..n {
        let undo = Compensation { action: act(format!("undo-{index}")), phase: UndoPhase::Remove };
        let step = Step::new(format!("s{index}").parse().unwrap(), act("noop".into()));
        plan.step(step.undo(Undo::Compensate(vec![undo])));
        if index > 0 {
            plan.edge(index - 1, index, EdgeKind::Order);
        }
    }
    plan.build().unwrap()
}

/// Says how often there was no room.
#[derive(Debug)]
struct Watched {
    inner: SqliteJournal,
    refused: Semaphore,
}

#[async_trait]
impl Journal for Watched {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let answer = self.inner.append(batch).await;
        if matches!(answer, Err(AppendError::NoSpace { .. })) {
            self.refused.add_permits(1);
        }
        answer
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

/// The disk is full in the middle of a run: what was performed is told, and a rollback gets to its end.
#[tokio::test]
async fn f5_on_a_full_disk_a_run_tells_what_it_did_and_can_be_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().with_max_pages(120).with_reserve_pages(60);
    let inner = SqliteJournal::open_with(folder.path().join("journal.db"), options).unwrap();
    let journal = Arc::new(Watched { inner, refused: Semaphore::new(0) });
    let counter = Arc::<Counter>::default();
    let (store, performer): (Arc<dyn Journal>, Arc<dyn Performer>) =
        (Arc::<Watched>::clone(&journal), Arc::<Counter>::clone(&counter));
    let engine = Engine::builder(store, performer).build();
    let handle = engine.start(run("a"), undoable(800), ada()).await.unwrap();
    // The first refusal is of an outcome together with what follows; the second of what follows alone.
    journal.refused.acquire_many(2).await.unwrap().forget();
    let records = journal.read(&run("a")).await.unwrap();
    let count = |name: &str| {
        let name = format!("\"type\":\"{name}\"");
        let has = |record: &&Record| String::from_utf8_lossy(&record.bytes).contains(&name);
        records.iter().filter(has).count() as u64
    };
    let told = count("step_succeeded");
    assert!(told > 0 && told < 800, "{told}");
    assert_eq!(count("step_started"), told, "nothing is under way that was not told");
    assert_eq!(counter.performed.load(Ordering::SeqCst), told);
    handle.send(Directive::new(Command::Cancel, ada(), "the disk is full")).await.unwrap();
    let outcome = handle.wait().await.unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(counter.performed.load(Ordering::SeqCst), 2 * told, "each was undone, once");
}
