//! Runs over the journal: syncs a step, many runs at once, want of room and after.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use release_core::engine::EngineError;
use release_core::journal::AppendError;
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

#[tokio::test]
async fn a_full_disk_stops_a_run_and_room_lets_it_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let counter = Arc::<Counter>::default();
    {
        let options = SqliteOptions::default().with_max_pages(40);
        let journal = Arc::new(SqliteJournal::open_with(&path, options).unwrap());
        let engine = engine(&journal, &counter);
        let handle = engine.start(run("a"), line(400), ada()).await.unwrap();
        let error = handle.wait().await.unwrap_err();
        assert!(matches!(error, EngineError::Append(AppendError::NoSpace { .. })), "{error}");
        engine.shutdown().await;
    }
    let before = counter.performed.load(Ordering::SeqCst);
    assert!((1..400).contains(&before));
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    let engine = engine(&journal, &counter);
    let handle = engine.resume(&run("a")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    // Only the step whose outcome could not be stored is performed again, under the same key.
    assert_eq!(counter.performed.load(Ordering::SeqCst), 401);
}
