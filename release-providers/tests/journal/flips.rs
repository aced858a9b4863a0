//! Fault F3: a byte of the file is another one than was written. It is found, or it is none that counts.

use std::path::Path;
use std::sync::Arc;

use release_core::journal::{Batch, Head, History, Journal as _, Record, Sealer};
use release_core::model::Digest;
use release_providers::sqlite::SqliteJournal;

use crate::support::{batch, beside, end, records, run};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Everything that a journal tells.
#[derive(Debug, PartialEq)]
struct Told {
    heads: Vec<Head>,
    runs: Vec<Vec<Record>>,
}

fn content() -> (Digest, Arc<[u8]>) {
    let bytes: Arc<[u8]> = b"what the plan of these runs would be".as_slice().into();
    (Digest::of(&bytes), bytes)
}

/// Three runs, one of them over.
async fn write(path: &Path) -> Told {
    let journal = SqliteJournal::open(path).unwrap();
    for (name, finishes) in NAMES.into_iter().zip([true, false, false]) {
        let mut sealer = Sealer::new(&run(name));
        let first = batch(name, 0, 1, records(&mut sealer, 2));
        journal.append(Batch { blobs: vec![content()], ..first }).await.unwrap();
        let last = if finishes { end(&mut sealer) } else { records(&mut sealer, 1) };
        let last = batch(name, 2, 1, last);
        journal.append(Batch { finishes, ..last }).await.unwrap();
    }
    let heads = journal.heads().await.unwrap();
    let mut runs = Vec::new();
    for name in NAMES {
        runs.push(journal.read(&run(name)).await.unwrap());
    }
    Told { heads, runs }
}

/// Which of the runs are found to be damaged; all when the file is refused. Panics when something else is
/// told than was written, and nobody could know.
async fn damaged(path: &Path, written: &Told, at: usize) -> [bool; 3] {
    let Ok(journal) = SqliteJournal::open(path) else { return [true; 3] };
    let Ok(heads) = journal.heads().await else { return [true; 3] };
    let mut found = [false; 3];
    for (place, name) in NAMES.into_iter().enumerate() {
        let name = run(name);
        let known = written.heads.iter().find(|head| head.run == name);
        let same = heads.iter().find(|head| head.run == name) == known;
        let read = journal.read(&name).await;
        found[place] = match &read {
            Err(_) => true,
            Ok(read) if *read == written.runs[place] => false,
            Ok(read) => History::verify(&name, read).is_err(),
        };
        let whole = read.is_ok_and(|read| read == written.runs[place]);
        assert!(found[place] || (whole && same), "byte {at}: run `{name}` is told otherwise");
    }
    let (digest, bytes) = content();
    match journal.blob(digest).await {
        Ok(Some(read)) if Digest::of(&read) == digest => assert_eq!(read, bytes),
        _ => found = [true; 3], // whoever needs it is told so
    }
    found
}

/// Bytes that may count: all but those inside of long rows of zeros, of which some do as well.
fn worth_a_flip(file: &[u8]) -> Vec<usize> {
    let near =
        |at: usize| file[at.saturating_sub(16)..(at + 16).min(file.len())].iter().any(|b| *b != 0);
    (0..file.len()).filter(|at| near(*at) || at % 257 == 0).collect()
}

#[tokio::test]
async fn f3_every_flipped_byte_of_the_file_is_found_or_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.db");
    let written = write(&path).await;
    assert!(!path.with_extension("db-wal").exists(), "an orderly end moves the log into the file");
    let golden = std::fs::read(&path).unwrap();
    let copy = folder.path().join("flipped.db");
    let (mut alone, mut silent, mut all) = ([0; 3], 0, 0);
    let places = worth_a_flip(&golden);
    for (nth, at) in places.iter().copied().enumerate() {
        let mut file = golden.clone();
        file[at] ^= [0x01, 0x20, 0x80][nth % 3];
        std::fs::write(&copy, &file).unwrap();
        let found = damaged(&copy, &written, at).await;
        match found.iter().filter(|damaged| **damaged).count() {
            0 => silent += 1,
            1 => alone[found.iter().position(|damaged| *damaged).unwrap()] += 1,
            _ => all += 1,
        }
        for log in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(copy.with_extension(log));
        }
    }
    // Damage of one run is that run's alone, and most of what is there counts.
    assert!(alone.iter().all(|count| *count > 500), "{alone:?} alone, {all} all, {silent} none");
}

/// The bit that would end a run for good, found in the file alone.
#[tokio::test]
async fn f3_a_run_that_a_flipped_bit_ended_is_still_open_and_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    write(&path).await;
    for edit in ["finished = 1", "epoch = 0", "seq = 2", "run = 'bb'"] {
        for old in [&path, &beside(&path, "-head")] {
            std::fs::remove_file(old).unwrap();
        }
        write(&path).await;
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute(&format!("UPDATE runs SET {edit} WHERE run = 'b'"), []).unwrap();
        drop(connection);
        let journal = SqliteJournal::open(&path).unwrap();
        let heads = journal.heads().await.unwrap();
        let head = &heads[1];
        assert!(!head.finished, "{edit}");
        let error = journal.read(&head.run).await.unwrap_err();
        assert!(error.to_string().contains("the table of runs"), "{edit}: {error}");
        let mut sealer = Sealer::after(&head.run, 3, 1, head.hash);
        let more = Batch { run: head.run.clone(), ..batch("b", 3, 1, records(&mut sealer, 1)) };
        assert!(journal.append(more).await.is_err(), "{edit}");
        assert_eq!(journal.read(&run("c")).await.unwrap().len(), 3, "others are as before");
    }
}
