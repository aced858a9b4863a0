//! What the store does beyond the promises of `Journal`, which release-testkit/tests/journals.rs puts
//! to the test: batches share commits, and other files are left alone.

use std::sync::Arc;

use release_core::journal::{AppendError, Journal as _, Sealer};
use release_providers::sqlite::{OpenError, SQLITE_FORMAT, SqliteJournal};

use crate::support::{batch, records, run};

#[tokio::test]
async fn a_batch_that_is_refused_leaves_its_neighbours_alone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(SqliteJournal::open(folder.path().join("journal.db")).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u64 {
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let name = format!("r{number}");
            // Every other batch is refused: for a conflict, or for an epoch that SQLite cannot keep.
            let (expected, epoch) = match number % 4 {
                1 => (7, 1),
                3 => (0, u64::MAX),
                _ => (0, 1),
            };
            let mut sealer = Sealer::after(&run(&name), 0, epoch, Sealer::new(&run(&name)).head());
            let batch = batch(&name, expected, epoch, records(&mut sealer, 2));
            (number, journal.append(batch).await)
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, answer) = done.unwrap();
        let as_due = match number % 4 {
            1 => matches!(answer, Err(AppendError::Conflict { .. })),
            3 => matches!(answer, Err(AppendError::Malformed { .. })),
            _ => answer.is_ok(),
        };
        assert!(as_due, "{number}: {answer:?}");
    }
    assert_eq!(journal.heads().await.unwrap().len(), 100);
    assert!(journal.commits() < 100, "200 appends at once took {} commits", journal.commits());
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

    let folder_itself = SqliteJournal::open(folder.path()).unwrap_err();
    assert!(matches!(folder_itself, OpenError::NotAJournal { .. }), "{folder_itself}");

    let missing = SqliteJournal::open(folder.path().join("no/such/folder/journal.db")).unwrap_err();
    assert!(
        matches!(missing, OpenError::Open { .. }) && missing.to_string().contains("folder exists")
    );
}

#[test]
fn f45_other_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    drop(SqliteJournal::open(&path).unwrap());
    for other in [SQLITE_FORMAT + 1, 1, 0] {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", other).unwrap();
        drop(connection);
        let refused = SqliteJournal::open(&path).unwrap_err();
        let named =
            matches!(refused, OpenError::UnsupportedVersion { found, .. } if found == other);
        assert!(named, "{refused}");
    }
}
