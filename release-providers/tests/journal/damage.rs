//! Files that are not what was written: found, named, never repaired or guessed.

use std::path::Path;
use std::sync::Arc;

use release_core::engine::EngineError;
use release_core::journal::{DamageKind, Journal as _, Sealer};
use release_core::run::Outcome;
use release_providers::sqlite::{OpenError, SqliteJournal, SqliteOptions};

use crate::support::{Counter, ada, batch, beside, engine, line, records, run};

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
async fn f3_an_edited_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    edit(&path, "UPDATE records SET body = replace(body, 's3', 's4') WHERE seq = 9");
    let error = resume(&path).await;
    assert!(matches!(named(&error), (9, DamageKind::Changed { .. })), "{error}");
    assert!(error.to_string().contains("record 9 of run `a`"), "{error}");
}

#[tokio::test]
async fn f3_an_edited_hash_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    edit(&path, "UPDATE records SET hash = zeroblob(32) WHERE seq = 4");
    assert_eq!(named(&resume(&path).await).0, 4);
}

#[tokio::test]
async fn f3_removed_records_are_named_wherever_they_were() {
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
    // What is wrong is that it was edited, whatever stands in it now.
    for (old, new) in
        [("s3", "sX"), ("plan/v1", "plan/v2"), ("\"on_cancel\"", "\"on_cancle\""), ("{", "[")]
    {
        let replaced = format!("replace(CAST(bytes AS TEXT), '{old}', '{new}')");
        edit(&path, &format!("UPDATE blobs SET bytes = CAST({replaced} AS BLOB)"));
        let error = resume(&path).await;
        assert!(matches!(error, EngineError::PlanMissing { .. }), "{error}");
        assert!(error.to_string().contains("what is stored under it has the digest"), "{error}");
    }
}

#[tokio::test]
async fn f3_a_file_that_is_cut_or_overwritten_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    written(&path).await;
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let cut = SqliteJournal::open(&path).unwrap_err();
    assert!(matches!(cut, OpenError::Damaged { .. }), "{cut}");
    let half = format!("it has {} of its {} bytes", whole.len() / 2, whole.len());
    assert!(cut.to_string().contains(&half), "{cut}");

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

#[tokio::test]
async fn a_journal_that_lost_its_bytes_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    // With the log: the file of a process that was killed.
    let (live, copy) = (folder.path().join("live.db"), folder.path().join("copy.db"));
    let journal = SqliteJournal::open(&live).unwrap();
    let mut sealer = Sealer::new(&run("a"));
    journal.append(batch("a", 0, 1, records(&mut sealer, 1))).await.unwrap();
    std::fs::copy(beside(&live, "-wal"), beside(&copy, "-wal")).unwrap();
    let log = std::fs::read(beside(&copy, "-wal")).unwrap();
    assert!(!log.is_empty());
    for cut in [false, true] {
        if cut {
            std::fs::write(&copy, "").unwrap();
        }
        let error = SqliteJournal::open(&copy).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("copy.db-wal` beside it is not"), "{error}");
        assert_eq!(std::fs::read(beside(&copy, "-wal")).unwrap(), log, "nothing was changed");
    }
    // And without: an orderly end has moved it into the file.
    written(&path).await;
    std::fs::remove_file(beside(&path, "-head")).unwrap();
    std::fs::write(&path, "").unwrap();
    let error = SqliteJournal::open(&path).unwrap_err();
    assert_eq!(error, OpenError::Empty { path: path.clone() });
    assert!(error.to_string().contains("remove it if you mean to begin anew"), "{error}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "nothing was changed");
}

#[tokio::test]
async fn a_journal_that_lost_its_log_before_it_was_ever_moved_is_still_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("journal.db"), folder.path().join("copy.db"));
    let _journal = SqliteJournal::open(&path).unwrap();
    std::fs::copy(&path, &copy).unwrap(); // without the log
    drop(SqliteJournal::open_with(&copy, SqliteOptions::default().must_exist()).unwrap());
    // The tables are in the file from its first moment; without them it is damaged.
    let connection = rusqlite::Connection::open(&copy).unwrap();
    connection.execute_batch("DROP TABLE records").unwrap();
    drop(connection);
    let error = SqliteJournal::open(&copy).unwrap_err();
    assert!(error.to_string().contains("tables are missing"), "{error}");
    // No database at all that somebody made beforehand.
    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("VACUUM").unwrap();
    assert!(SqliteJournal::open(&foreign).is_err());
}

#[test]
fn a_journal_that_must_be_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let known = SqliteOptions::default().must_exist();
    let error = SqliteJournal::open_with(&path, known).unwrap_err();
    assert_eq!(error, OpenError::Missing { path: path.clone() });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    drop(SqliteJournal::open(&path).unwrap());
    drop(SqliteJournal::open_with(&path, known).unwrap());
}

#[test]
fn many_that_open_a_new_journal_at_once_all_get_the_same_one_and_leave_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let open = || drop(SqliteJournal::open(&path).unwrap());
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(open))));
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains(".new-")));
}
