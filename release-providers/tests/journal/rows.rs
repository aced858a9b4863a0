//! Tables that contradict each other, as no hash chain tells.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use release_core::engine::EngineError;
use release_core::journal::{AppendError, History, Journal as _, ReadError, Sealer};
use release_core::model::Digest;
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
async fn a_record_that_nobody_appended_is_found_when_its_run_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    let sealers = ["a", "b", "c"].map(|name| (name, Sealer::new(&run(name))));
    let mut more = Vec::new();
    for (name, mut sealer) in sealers {
        journal.append(batch(name, 0, 1, records(&mut sealer, 1))).await.unwrap();
        more.push(batch(name, 1, 1, records(&mut sealer, 2)));
    }
    edit(
        &path,
        "INSERT INTO records (run_id, seq, epoch, hash, body, before) \
         SELECT run_id, 2, epoch, hash, body, place FROM records WHERE run_id = 2",
    );
    for batch in more {
        journal.append(batch).await.unwrap();
    }
    for name in ["a", "c"] {
        assert_eq!(journal.read(&run(name)).await.unwrap().len(), 3);
    }
    let found = journal.read(&run("b")).await.unwrap();
    let error = History::verify(&run("b"), &found).unwrap_err();
    assert_eq!(error.seq, 2, "{error}");
}

#[tokio::test]
async fn a_run_among_many_others_is_read_by_its_own_records() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path().join("journal.db")).unwrap();
    let mut sealers: Vec<_> = (0..40).map(|n| Sealer::new(&run(&format!("r{n}")))).collect();
    let mut all = vec![Vec::new(); sealers.len()];
    for round in 0..6 {
        for ((number, sealer), all) in (0_u64..).zip(&mut sealers).zip(&mut all) {
            let more = records(sealer, 1 + number % 3);
            let expected = all.len() as u64;
            all.extend_from_slice(&more);
            journal.append(batch(&format!("r{number}"), expected, 1, more)).await.unwrap();
        }
        assert_eq!(all[0].len(), round + 1);
    }
    for (number, all) in all.iter().enumerate() {
        assert!(journal.read(&run(&format!("r{number}"))).await.unwrap() == *all, "run {number}");
    }
    let edited = "UPDATE records SET run_id = 2 WHERE run_id = 1 AND seq = 3";
    edit(journal.path(), edited);
    let error = journal.read(&run("r0")).await.unwrap_err().to_string();
    assert!(error.contains("the place of record 3 of run `r0`"), "{error}");
}

/// What reading run `a` says after an edit of its row, whose checksum fits if `sealed`.
async fn read(edited: &str, sealed: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path()).await;
    edit(&path, &format!("UPDATE runs SET {edited} WHERE run = 'a'"));
    if sealed {
        seal(&path);
    }
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    assert!(journal.read(&run("b")).await.is_ok(), "the other run");
    let engine = engine(&journal, &Arc::<Counter>::default());
    match engine.resume(&run("a")).await.unwrap_err() {
        EngineError::Read(error @ ReadError::Damaged { .. }) => error.to_string(),
        other => panic!("{other}"),
    }
}

/// Makes the checksum of the row of run `a` fit what stands there.
fn seal(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql =
        "SELECT seq, epoch, lower(hex(hash)), finished, first, last FROM runs WHERE run = 'a'";
    let text = connection.query_row(sql, [], |row| {
        let (seq, epoch) = (row.get::<_, u64>(0)?, row.get::<_, u64>(1)?);
        let (hash, finished) = (row.get::<_, String>(2)?, row.get::<_, bool>(3)?);
        let (first, last) = (row.get::<_, i64>(4)?, row.get::<_, i64>(5)?);
        Ok(format!(
            "release.journal.head.v3\na {seq} {epoch} sha256:{hash} {finished} {first} {last}"
        ))
    });
    let seal = Digest::of(text.unwrap().as_bytes());
    connection.execute("UPDATE runs SET seal = ?1 WHERE run = 'a'", [seal.as_bytes()]).unwrap();
}

#[tokio::test]
async fn an_edited_row_of_a_run_is_found_by_its_checksum_and_by_its_last_record() {
    for edited in ["epoch = 7", "finished = 0"] {
        let text = read(edited, false).await;
        assert!(text.contains("the table of runs, run `a`"), "{edited}: {text}");
    }
    let text = read("epoch = 7", true).await;
    assert!(
        text.contains("has run `a` in epoch 7, but record 8, its last, is of epoch 1"),
        "{text}"
    );
    let text = read("finished = 0", true).await;
    assert!(text.contains("has run `a` as not over, but record 8, its last, ends it"), "{text}");
    let earlier = "seq = 7, hash = (SELECT hash FROM records WHERE run_id = 1 AND seq = 7)";
    let text = read(earlier, true).await;
    assert!(text.contains("must end with record 7"), "{text}");
}

#[tokio::test]
async fn an_open_run_that_is_called_over_is_still_open_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = Arc::new(SqliteJournal::open(&path).unwrap());
    journal.append(batch("a", 0, 1, records(&mut Sealer::new(&run("a")), 3))).await.unwrap();
    edit(&path, "UPDATE runs SET finished = 1");
    assert!(!journal.heads().await.unwrap()[0].finished);
    assert!(journal.read(&run("a")).await.is_err());
    seal(&path);
    let error = journal.read(&run("a")).await.unwrap_err().to_string();
    assert!(error.contains("as over, but record 3, its last, does not end it"), "{error}");
}

/// Every value of a row, and its name too.
#[tokio::test]
async fn f50_a_row_that_cannot_be_read_stops_its_run_alone_and_nobody_begins_it_anew() {
    for edited in
        ["hash = x'00'", "run = 'a b'", "run = 'aa'", "seq = -1", "epoch = -7", "seal = x''"]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let journal = SqliteJournal::open(&path).unwrap();
        for name in ["a", "b"] {
            let two = records(&mut Sealer::new(&run(name)), 2);
            journal.append(batch(name, 0, 1, two)).await.unwrap();
        }
        drop(journal);
        edit(&path, &format!("UPDATE runs SET {edited} WHERE run = 'a'"));
        let journal = Arc::new(SqliteJournal::open(&path).unwrap());
        assert_eq!(journal.read(&run("b")).await.unwrap().len(), 2, "{edited}");
        let error = journal.read(&run("a")).await.unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{edited}: {error}");
        let heads = journal.heads().await.unwrap();
        let open = |name: &str| heads.iter().any(|head| head.run == run(name) && !head.finished);
        assert!(open("a") && open("b"), "{edited}: {heads:?}");
        assert!(heads.is_sorted_by(|one, two| one.run < two.run), "{edited}: {heads:?}");
        let anew = records(&mut Sealer::new(&run("a")), 1);
        let error = journal.append(batch("a", 0, 1, anew)).await.unwrap_err();
        assert!(matches!(error, AppendError::Damaged { .. }), "{edited}: {error}");
        // Neither run is one that an engine could drive, and each is told by itself.
        let report = engine(&journal, &Arc::<Counter>::default()).resume_all().await.unwrap();
        let told: Vec<_> = report.not_resumed.iter().map(|not| not.run.to_string()).collect();
        assert!(told.contains(&"a".to_owned()) && told.contains(&"b".to_owned()), "{told:?}");
    }
}
