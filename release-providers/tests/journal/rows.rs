//! Tables that contradict each other, as no hash chain tells.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use release_core::engine::EngineError;
use release_core::journal::{AppendError, Journal as _, ReadError, Sealer};
use release_core::run::Outcome;
use release_providers::sqlite::{OpenError, SqliteJournal};

use crate::support::{Counter, ada, batch, engine, line, records, run};

/// A journal with the finished runs `a` and `b`.
async fn written(folder: &Path) -> PathBuf {
    let path = folder.join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    let engine = engine(&journal, &Arc::default());
    for name in ["a", "b"] {
        let handle = engine.start(run(name), line(3), ada()).await.unwrap();
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    }
    engine.shutdown().await;
    path
}

fn edit(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
}

#[tokio::test]
async fn a_run_whose_row_was_removed_is_named_and_not_performed_again() {
    for (gone, id) in [("a", 1), ("b", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path()).await;
        edit(&path, &format!("DELETE FROM runs WHERE run = '{gone}'"));
        let error = SqliteJournal::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        let text = format!("record 1 belongs to run {id} (`{gone}`), which is not there");
        assert!(error.to_string().contains(&text), "{error}");
    }
}

#[tokio::test]
async fn a_row_that_is_removed_while_the_journal_is_open_gives_its_place_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    let journal = SqliteJournal::open(&path).unwrap();
    edit(&path, "DELETE FROM runs WHERE run = 'b'");
    let mut sealer = Sealer::new(&run("c"));
    journal.append(batch("c", 0, 1, records(&mut sealer, 2))).await.unwrap();
    assert_eq!(journal.read(&run("c")).await.unwrap().len(), 2);
    drop(journal);
    let error = SqliteJournal::open(&path).unwrap_err();
    assert!(error.to_string().contains("run 2 (`b`)"), "{error}");
}

#[tokio::test]
async fn a_record_in_the_way_of_a_batch_is_damage_and_hinders_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    let sealers = ["a", "b", "c"].map(|name| (name, Sealer::new(&run(name))));
    let mut more = Vec::new();
    for (name, mut sealer) in sealers {
        journal.append(batch(name, 0, 1, records(&mut sealer, 1))).await.unwrap();
        more.push((name, batch(name, 1, 1, records(&mut sealer, 2))));
    }
    edit(
        &path,
        "INSERT INTO records SELECT run_id, 3, epoch, hash, body FROM records WHERE run_id = 2",
    );
    // At once, so that they share transactions.
    let mut tasks = tokio::task::JoinSet::new();
    for (name, batch) in more {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move { (name, journal.append(batch).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (name, answer) = done.unwrap();
        let damaged = matches!(answer, Err(AppendError::Damaged { .. }));
        assert_eq!((damaged, answer.is_ok()), (name == "b", name != "b"), "{name}: {answer:?}");
    }
    for (name, length) in [("a", 3), ("c", 3)] {
        assert_eq!(journal.read(&run(name)).await.unwrap().len(), length);
    }
    assert!(matches!(journal.read(&run("b")).await, Err(ReadError::Damaged { .. })));
}

/// What reading run `a` says after the edit.
async fn read(sql: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    edit(&path, sql);
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    assert!(journal.read(&run("b")).await.is_ok(), "the other run");
    // Whoever resumes all that is open is told.
    let engine = engine(&journal, &Arc::<Counter>::default());
    if !sql.contains("epoch") {
        let open = engine.open_runs().await.unwrap();
        assert_eq!(open.iter().map(|head| head.run.as_str()).collect::<Vec<_>>(), ["a"]);
    }
    match engine.resume(&run("a")).await.unwrap_err() {
        EngineError::Read(error @ ReadError::Damaged { .. }) => error.to_string(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_edited_row_of_a_run_contradicts_its_last_record() {
    let text = read("UPDATE runs SET epoch = 7 WHERE run = 'a'").await;
    assert!(
        text.contains("has run `a` in epoch 7, but record 8, its last, is of epoch 1"),
        "{text}"
    );
    let text = read("UPDATE runs SET finished = 0 WHERE run = 'a'").await;
    assert!(text.contains("has run `a` as not over, but record 8, its last, ends it"), "{text}");
    let text = read(
        "UPDATE runs SET seq = 7, hash = (SELECT hash FROM records WHERE run_id = 1 AND seq = 7) \
         WHERE run = 'a'",
    )
    .await;
    assert!(text.contains("must end with record 7"), "{text}");
}

#[tokio::test]
async fn an_open_run_that_is_called_over_is_still_resumed_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    journal.append(batch("a", 0, 1, records(&mut Sealer::new(&run("a")), 3))).await.unwrap();
    edit(&path, "UPDATE runs SET finished = 1");
    assert!(!journal.heads().await.unwrap()[0].finished);
    let error = journal.read(&run("a")).await.unwrap_err().to_string();
    assert!(error.contains("as over, but record 3, its last, does not end it"), "{error}");
}
