//! Runs over the journal: syncs a step, many runs at once, want of room and after.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::journal::{AppendError, Batch, Head, Journal, ReadError, Record};
use release_core::model::{Digest, RunId};
use release_core::port::Performer;
use release_core::run::Outcome;
use release_providers::sqlite::{SqliteJournal, SqliteOptions};

use crate::support::{Counter, ada, engine, line, run};

#[tokio::test]
async fn a_linear_run_takes_one_commit_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(SqliteJournal::open(folder.path().join("journal.db")).unwrap());
    let engine = engine(&journal, &Arc::default());
    let handle = engine.start(run("a"), line(100), ada()).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    // One for the creation, one for the first start; then the end of a step and the start of the
    // next go together.
    assert_eq!(journal.commits(), 102);
}

#[tokio::test]
async fn runs_at_once_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(SqliteJournal::open(folder.path().join("journal.db")).unwrap());
    let counter = Arc::<Counter>::default();
    let engine = engine(&journal, &counter);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let engine = engine.clone();
        tasks.spawn(async move {
            let handle = engine.start(run(&format!("r{number}")), line(50), ada()).await?;
            handle.wait().await
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap(), Ok(Outcome::Succeeded));
    }
    assert_eq!(counter.performed.load(Ordering::SeqCst), 64 * 50);
    let commits = journal.commits();
    assert!(commits * 4 < 64 * 50, "{commits} commits for {} steps", 64 * 50);
    assert!(engine.open_runs().await.unwrap().is_empty());
}

/// A store on a disk that is full, and to which somebody gives room once it has said so.
#[derive(Debug)]
struct Crowded {
    path: PathBuf,
    inner: tokio::sync::Mutex<Option<SqliteJournal>>,
    refused: AtomicU64,
}

#[async_trait]
impl Journal for Crowded {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let mut inner = self.inner.lock().await;
        let answer = inner.as_ref().unwrap().append(batch).await;
        if matches!(answer, Err(AppendError::NoSpace { .. }))
            && self.refused.fetch_add(1, Ordering::SeqCst) == 2
        {
            drop(inner.take()); // closed before it is opened with room
            *inner = Some(SqliteJournal::open(&self.path).unwrap());
        }
        answer
    }
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        self.inner.lock().await.as_ref().unwrap().read(run).await
    }
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.inner.lock().await.as_ref().unwrap().blob(digest).await
    }
    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.lock().await.as_ref().unwrap().heads().await
    }
}

#[tokio::test]
async fn f5_on_a_full_disk_a_run_waits_for_room_and_performs_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let counter = Arc::<Counter>::default();
    let options = SqliteOptions::default().with_max_pages(80).with_reserve_pages(40);
    let full = SqliteJournal::open_with(&path, options).unwrap();
    let inner = tokio::sync::Mutex::new(Some(full));
    let journal = Arc::new(Crowded { path, inner, refused: AtomicU64::new(0) });
    let (store, performer): (Arc<dyn Journal>, Arc<dyn Performer>) =
        (Arc::<Crowded>::clone(&journal), Arc::<Counter>::clone(&counter));
    let engine = Engine::builder(store, performer).build();
    let handle = engine.start(run("a"), line(400), ada()).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(journal.refused.load(Ordering::SeqCst), 3, "it was full");
    assert_eq!(counter.performed.load(Ordering::SeqCst), 400, "none twice");
}
