//! What the journal keeps, and whom it refuses.

use std::sync::Arc;

use release_core::journal::{AppendError, History, Journal as _, Sealer};
use release_core::model::Digest;
use release_providers::sqlite::{OpenError, SqliteJournal, SqliteOptions};

use crate::support::{batch, records, run};

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut sealer = Sealer::new(&run("a"));
    let blob: Arc<[u8]> = Arc::from(&b"plan"[..]);
    let written = records(&mut sealer, 3);
    {
        let journal = SqliteJournal::open(&path).unwrap();
        let mut batch = batch("a", 0, 1, written.clone());
        batch.blobs.push((Digest::of(&blob), Arc::clone(&blob)));
        journal.append(batch).await.unwrap();
    }
    let journal = SqliteJournal::open(&path).unwrap();
    let read = journal.read(&run("a")).await.unwrap();
    assert_eq!(read, written);
    assert_eq!(History::verify(&run("a"), &read).unwrap().head(), sealer.head());
    assert_eq!(journal.blob(Digest::of(&blob)).await.unwrap(), Some(blob));
    assert_eq!(journal.blob(Digest::of(b"other")).await.unwrap(), None);
    let heads = journal.heads().await.unwrap();
    assert_eq!((heads.len(), heads[0].seq, heads[0].finished), (1, 3, false));
}

#[tokio::test]
async fn a_stale_writer_is_refused_in_the_same_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    // Two journals on one file: two processes.
    let (mine, theirs) = (SqliteJournal::open(&path).unwrap(), SqliteJournal::open(&path).unwrap());
    let mut sealer = Sealer::new(&run("a"));
    mine.append(batch("a", 0, 1, records(&mut sealer, 2))).await.unwrap();

    let mut stale = Sealer::new(&run("a"));
    let again = mine.append(batch("a", 0, 1, records(&mut stale, 1))).await;
    assert_eq!(again, Err(AppendError::Conflict { run: run("a"), expected: 0, actual: 2 }));

    let mut heir = Sealer::after(&run("a"), 2, 2, sealer.head());
    theirs.append(batch("a", 2, 2, records(&mut heir, 1))).await.unwrap();
    let fenced = mine.append(batch("a", 3, 1, records(&mut sealer, 1))).await;
    assert_eq!(fenced, Err(AppendError::Fenced { run: run("a"), epoch: 1, stored: 2 }));
    assert_eq!(
        mine.read(&run("a")).await.unwrap().len(),
        3,
        "nothing of a refused batch is stored"
    );
}

#[tokio::test]
async fn a_batch_that_is_refused_leaves_its_neighbours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(SqliteJournal::open(folder.path().join("journal.db")).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u64 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let name = format!("r{number}");
            let expected = number % 2 * 7; // every other batch is in conflict
            let mut sealer = Sealer::new(&run(&name));
            let answer = journal.append(batch(&name, expected, 1, records(&mut sealer, 2))).await;
            (number, answer)
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, answer) = done.unwrap();
        assert_eq!(answer.is_ok(), number % 2 == 0, "{number}: {answer:?}");
    }
    assert_eq!(journal.heads().await.unwrap().len(), 100);
    assert!(journal.commits() < 100, "200 appends at once took {} commits", journal.commits());
}

#[tokio::test]
async fn want_of_room_is_an_answer_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut sealer = Sealer::new(&run("a"));
    let mut stored = 0;
    {
        let journal =
            SqliteJournal::open_with(&path, SqliteOptions::default().with_max_pages(24)).unwrap();
        let refused = loop {
            let before = sealer.clone();
            let more = records(&mut sealer, 20);
            match journal.append(batch("a", stored, 1, more)).await {
                Ok(()) => stored += 20,
                Err(error) => {
                    sealer = before;
                    break error;
                }
            }
        };
        assert!(matches!(&refused, AppendError::NoSpace { .. }), "{refused:?}");
        assert!(stored > 0 && refused.to_string().contains("make room"));
        assert_eq!(journal.read(&run("a")).await.unwrap().len() as u64, stored);
    }
    // With room again, it goes on behind what was stored.
    let journal = SqliteJournal::open(&path).unwrap();
    journal.append(batch("a", stored, 1, records(&mut sealer, 20))).await.unwrap();
    assert!(History::verify(&run("a"), &journal.read(&run("a")).await.unwrap()).is_ok());
}

#[test]
fn files_that_are_no_journal_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let before = std::fs::read(&other).unwrap();
    assert!(matches!(SqliteJournal::open(&other), Err(OpenError::NotAJournal { .. })));
    assert_eq!(std::fs::read(&other).unwrap(), before);

    let text = folder.path().join("text.db");
    std::fs::write(&text, "not a database at all, but long enough to look at ".repeat(40)).unwrap();
    assert!(matches!(SqliteJournal::open(&text), Err(OpenError::NotAJournal { .. })));

    let missing = SqliteJournal::open(folder.path().join("no/such/folder/journal.db")).unwrap_err();
    assert!(
        matches!(missing, OpenError::Open { .. }) && missing.to_string().contains("folder exists")
    );
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    drop(SqliteJournal::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let refused = SqliteJournal::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::UnsupportedVersion { found: 2, .. }), "{refused}");
}
