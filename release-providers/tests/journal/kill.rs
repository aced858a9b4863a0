//! A process that is killed loses nothing that was announced. The witness is what it printed.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use release_core::journal::{History, Journal as _, Sealer};
use release_providers::sqlite::SqliteJournal;

use crate::support::{batch, records, run};

const VICTIM: &str = "RELEASE_TEST_VICTIM";

/// The process that is killed: it appends, and says what is stored.
#[expect(clippy::print_stdout, reason = "the test reads it")]
async fn victim(path: PathBuf) {
    let journal = SqliteJournal::open(path).unwrap();
    let before = journal.read(&run("a")).await.unwrap();
    let head = before.last().map(|last| (last.seq, last.hash));
    let mut sealer = head.map_or_else(
        || Sealer::new(&run("a")),
        |(seq, hash)| Sealer::after(&run("a"), seq, 1, hash),
    );
    for _ in 0..100_000 {
        let expected = sealer.seq();
        let more = records(&mut sealer, 3);
        journal.append(batch("a", expected, 1, more)).await.unwrap();
        println!("stored {}", sealer.seq());
    }
}

#[expect(clippy::disallowed_methods, reason = "how the test tells its victim")]
#[tokio::test]
async fn kill_nine_loses_nothing_that_was_announced() {
    // The test starts itself again as its own victim.
    if let Some(path) = std::env::var_os(VICTIM) {
        return victim(path.into()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut announced = 0;
    for round in 1..=12_usize {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["kill::kill_nine_loses_nothing_that_was_announced", "--exact", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let said =
            |line: String| line.strip_prefix("stored ").and_then(|seq| seq.parse::<u64>().ok());
        // Killed after another number of announcements each time, in the middle of whatever follows.
        let heard =
            lines.by_ref().filter_map(|line| said(line.unwrap())).take(round * 5).last().unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        announced =
            lines.map_while(Result::ok).filter_map(said).last().unwrap_or(heard).max(announced);

        let journal = SqliteJournal::open(&path).unwrap();
        let stored = journal.read(&run("a")).await.unwrap();
        assert!(stored.len() as u64 >= announced, "{} stored, {announced} announced", stored.len());
        assert_eq!(stored.len() % 3, 0, "a batch is stored as a whole or not at all");
        History::verify(&run("a"), &stored).unwrap();
    }
}
