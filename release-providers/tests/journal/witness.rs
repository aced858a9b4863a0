//! Where the latest commits are: in the file after an orderly end, and witnessed beside it always.

use std::path::{Path, PathBuf};

use release_core::journal::{History, Journal as _, Sealer};
use release_providers::sqlite::{OpenError, SqliteJournal};

use crate::support::{batch, beside, records, run};

/// Appends to run `a` until it has `count` records, one a commit.
async fn append(journal: &SqliteJournal, sealer: &mut Sealer, count: u64) {
    while sealer.seq() < count {
        let expected = sealer.seq();
        journal.append(batch("a", expected, 1, records(sealer, 1))).await.unwrap();
    }
}

/// Copies a journal with those of its companions, as a kill of its process would leave it.
fn copy(path: &Path, name: &str, ends: &[&str]) -> PathBuf {
    let to = path.with_file_name(name);
    std::fs::copy(path, &to).unwrap();
    for end in ends {
        std::fs::copy(beside(path, end), beside(&to, end)).unwrap();
    }
    to
}

async fn length(path: &Path) -> usize {
    let read = SqliteJournal::open(path).unwrap().read(&run("a")).await.unwrap();
    assert!(read.is_empty() || History::verify(&run("a"), &read).is_ok());
    read.len()
}

#[tokio::test]
async fn after_an_orderly_end_the_file_alone_is_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    append(&journal, &mut Sealer::new(&run("a")), 10).await;
    journal.read(&run("a")).await.unwrap();
    drop(journal);
    assert!(!beside(&path, "-wal").exists(), "nothing stays in the log");
    assert_eq!(length(&copy(&path, "alone.db", &[])).await, 10);
}

#[tokio::test]
async fn the_log_is_moved_while_others_have_the_journal_open_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let other = SqliteJournal::open(&path).unwrap();
    let journal = SqliteJournal::open(&path).unwrap();
    append(&journal, &mut Sealer::new(&run("a")), 10).await;
    let killed = copy(&path, "killed.db", &["-wal", "-head"]);
    drop(journal);
    assert_eq!(length(&copy(&path, "alone.db", &[])).await, 10);
    drop(other);
    let _opened = SqliteJournal::open(&killed).unwrap();
    assert_eq!(length(&copy(&killed, "opened.db", &[])).await, 10);
}

#[tokio::test]
async fn f4_a_log_that_was_cut_or_removed_after_a_kill_is_refused_and_the_run_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    append(&journal, &mut Sealer::new(&run("a")), 10).await;
    let whole = std::fs::read(beside(&path, "-wal")).unwrap();
    let cuts = [0, 1, whole.len() / 4, whole.len() / 2, whole.len() - 1];
    for (number, cut) in cuts.into_iter().enumerate() {
        let killed = copy(&path, &format!("cut-{number}.db"), &["-head"]);
        std::fs::write(beside(&killed, "-wal"), &whole[..cut]).unwrap();
        let error = SqliteJournal::open(&killed).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{cut}: {error}");
        let text = error.to_string();
        assert!(text.contains("record 10 of run `a`"), "{text}");
        assert!(text.contains(&format!("remove `{}`", beside(&killed, "-head").display())));
        assert_eq!(std::fs::read(beside(&killed, "-wal")).unwrap(), whole[..cut], "changed");
        // What it says is what to do for whoever means it.
        std::fs::remove_file(beside(&killed, "-head")).unwrap();
        assert!(length(&killed).await < 10);
    }
    let killed = copy(&path, "removed.db", &["-head"]);
    assert!(matches!(SqliteJournal::open(&killed), Err(OpenError::Damaged { .. })));
    assert_eq!(length(&copy(&path, "kept.db", &["-wal", "-head"])).await, 10);
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    append(&journal, &mut Sealer::new(&run("a")), 10).await;
    let killed = copy(&path, "killed.db", &["-wal", "-head"]);
    let mut log = std::fs::read(beside(&killed, "-wal")).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    std::fs::write(beside(&killed, "-wal"), &log).unwrap();
    assert!(matches!(SqliteJournal::open(&killed), Err(OpenError::Damaged { .. })));
    assert_eq!(std::fs::read(beside(&killed, "-wal")).unwrap(), log, "what follows can be saved");
}

/// A crash between a commit and its note, and one that loses the note: never a false alarm.
#[tokio::test]
async fn a_witness_that_is_behind_or_unreadable_alarms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let mut sealer = Sealer::new(&run("a"));
    append(&journal, &mut sealer, 5).await;
    let behind = std::fs::read(beside(&path, "-head")).unwrap();
    append(&journal, &mut sealer, 10).await;
    for (number, text) in [&behind[..], &behind[..100], &[0; 512], b""].into_iter().enumerate() {
        let killed = copy(&path, &format!("killed-{number}.db"), &["-wal"]);
        std::fs::write(beside(&killed, "-head"), text).unwrap();
        assert_eq!(length(&killed).await, 10);
    }
    // One that knows another journal than this is another matter.
    let other = folder.path().join("other.db");
    drop(SqliteJournal::open(&other).unwrap());
    std::fs::write(beside(&other, "-head"), behind).unwrap();
    let error = SqliteJournal::open(&other).unwrap_err();
    assert!(error.to_string().contains("record 5 of run `a`"), "{error}");
}

#[tokio::test]
async fn a_journal_that_vanished_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    append(&SqliteJournal::open(&path).unwrap(), &mut Sealer::new(&run("a")), 1).await;
    std::fs::remove_file(&path).unwrap();
    let error = SqliteJournal::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("journal.db-head` beside it is not"), "{error}");
    assert!(!path.exists(), "nothing was made");
}
