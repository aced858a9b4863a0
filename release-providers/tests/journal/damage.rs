//! Files that are not what was written: found, named, never repaired or guessed.

use std::path::Path;
use std::sync::Arc;

use release_core::engine::EngineError;
use release_core::journal::{DamageKind, History, Journal as _, Sealer};
use release_core::run::Outcome;
use release_providers::sqlite::{OpenError, SqliteJournal};

use crate::support::{Counter, ada, batch, engine, line, records, run};

/// A journal with one finished run of ten steps.
async fn written(path: &Path) {
    let journal = Arc::new(SqliteJournal::open(path).unwrap());
    let engine = engine(&journal, &Arc::default());
    let handle = engine.start(run("a"), line(10), ada()).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    engine.shutdown().await;
}

async fn resume(path: &Path) -> EngineError {
    let journal = Arc::new(SqliteJournal::open(path).unwrap());
    engine(&journal, &Arc::default()).resume(&run("a")).await.unwrap_err()
}

fn edit(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
}

/// The record that the error names.
fn named(error: &EngineError) -> (u64, &DamageKind) {
    match error {
        EngineError::Damaged(damage) => (damage.seq, &damage.kind),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_edited_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    edit(&path, "UPDATE records SET body = replace(body, 's3', 's4') WHERE seq = 9");
    let error = resume(&path).await;
    assert!(matches!(named(&error), (9, DamageKind::Changed { .. })), "{error}");
    assert!(error.to_string().contains("record 9 of run `a`"), "{error}");
}

/// Found in review: SQLite takes an empty file for a new database, and drops the log beside it. A
/// finished release ran again.
#[tokio::test]
async fn a_journal_that_was_cut_to_nothing_is_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    let engine = engine(&journal, &Arc::default());
    let handle = engine.start(run("a"), line(10), ada()).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    // As after a crash: what was written is in the log.
    let wal = folder.path().join("journal.db-wal");
    let copy = tempfile::tempdir().unwrap();
    let there = copy.path().join("journal.db");
    std::fs::copy(&wal, copy.path().join("journal.db-wal")).unwrap();
    assert!(std::fs::metadata(&wal).unwrap().len() > 0);
    let refused = |path: &Path, part: &str| {
        let error = SqliteJournal::open(path).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(&there, "it is missing, and its write-ahead log is there");
    std::fs::write(&there, "").unwrap();
    refused(&there, "it is empty, which no journal is");
    std::fs::remove_file(copy.path().join("journal.db-wal")).unwrap();
    refused(&there, "remove it");
    std::fs::remove_file(&there).unwrap();
    drop(SqliteJournal::open(&there).unwrap());
    drop(SqliteJournal::open(&there).unwrap());
}

#[tokio::test]
async fn an_edited_hash_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    edit(&path, "UPDATE records SET hash = zeroblob(32) WHERE seq = 4");
    assert_eq!(named(&resume(&path).await).0, 4);
}

#[tokio::test]
async fn removed_records_are_named_wherever_they_were() {
    for (removed, seq) in [(1, 1), (5, 5)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        written(&path).await;
        edit(&path, &format!("DELETE FROM records WHERE seq = {removed}"));
        assert_eq!(named(&resume(&path).await).0, seq);
    }
    // The chain cannot know that its end is missing; the table of runs does.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    edit(&path, "DELETE FROM records WHERE seq > 20");
    let error = resume(&path).await;
    assert!(matches!(error, EngineError::Read(_)), "{error}");
    assert!(
        error.to_string().contains("must end with record 22")
            && error.to_string().contains("record 20"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plan_that_is_not_the_pinned_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    edit(&path, "UPDATE blobs SET bytes = CAST(replace(CAST(bytes AS TEXT), 's3', 'sX') AS BLOB)");
    assert!(matches!(resume(&path).await, EngineError::PlanMissing { .. }));
}

#[tokio::test]
async fn a_file_that_is_cut_or_overwritten_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let cut = SqliteJournal::open(&path).unwrap_err();
    assert!(matches!(cut, OpenError::Damaged { .. }), "{cut}");

    let mut scribbled = whole.clone();
    let middle = scribbled.len() / 2;
    scribbled[middle..middle + 2048].fill(0xa5);
    std::fs::write(&path, &scribbled).unwrap();
    // Either the pages do not hang together any more, or a record is named.
    match SqliteJournal::open(&path) {
        Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{error}"),
        Ok(journal) => {
            let error = engine(&Arc::new(journal), &Arc::<Counter>::default())
                .resume(&run("a"))
                .await
                .unwrap_err();
            assert!(
                matches!(
                    error,
                    EngineError::Damaged(_)
                        | EngineError::Read(_)
                        | EngineError::PlanMissing { .. }
                ),
                "{error}"
            );
        }
    }
}

/// A documented limit, pinned: whoever needs to notice it keeps heads elsewhere.
#[tokio::test]
async fn a_cut_write_ahead_log_reads_as_fewer_commits_and_only_a_kept_head_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("journal.db"), folder.path().join("copy.db"));
    let journal = SqliteJournal::open(&path).unwrap();
    let mut sealer = Sealer::new(&run("a"));
    for expected in 0..10 {
        journal.append(batch("a", expected, 1, records(&mut sealer, 1))).await.unwrap();
    }
    let kept = journal.heads().await.unwrap().remove(0);
    let wal = |path: &Path| path.with_extension("db-wal");
    std::fs::copy(&path, &copy).unwrap();
    let whole = std::fs::read(wal(&path)).unwrap();
    std::fs::write(wal(&copy), &whole[..whole.len() * 3 / 4]).unwrap();

    let cut = SqliteJournal::open(&copy).unwrap();
    let read = cut.read(&run("a")).await.unwrap();
    assert!(!read.is_empty() && read.len() < 10, "{}", read.len());
    assert!(History::verify(&run("a"), &read).is_ok());
    assert!(!read.iter().any(|record| record.seq == kept.seq && record.hash == kept.hash));
}
