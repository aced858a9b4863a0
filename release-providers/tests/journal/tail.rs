//! Fault F2: a commit that was interrupted on its way to the disk.

use std::path::{Path, PathBuf};

use release_core::journal::{Journal as _, Record, Sealer};
use release_providers::sqlite::{OpenError, SqliteJournal};

use crate::support::{batch, beside, records, run};

const FRAME: u64 = 24 + 4096;

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// What a crash in the last commit leaves: the file, the whole log, and where in it that commit begins.
struct Crash {
    file: Vec<u8>,
    log: Vec<u8>,
    begins: u64,
    /// What was announced before, and what the last commit adds.
    durable: Vec<Record>,
    last: Vec<Record>,
}

async fn crash(folder: &Path) -> Crash {
    let path = folder.join("live.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let mut sealer = Sealer::new(&run("a"));
    let mut durable = Vec::new();
    for expected in 0..5 {
        let more = records(&mut sealer, 1);
        durable.extend_from_slice(&more);
        journal.append(batch("a", expected, 1, more)).await.unwrap();
    }
    let begins = std::fs::metadata(log_of(&path)).unwrap().len();
    let last = records(&mut sealer, 2);
    journal.append(batch("a", 5, 1, last.clone())).await.unwrap();
    let (file, log) = (std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap());
    assert!(log.len() as u64 >= begins + FRAME, "the last commit is in the log");
    Crash { file, log, begins, durable, last }
}

/// Opens what is left: the journal is as after the last commit that was whole. Returns what it tells.
async fn opens(folder: &Path, crash: &Crash, log: &[u8], whole: bool) -> Option<(u64, u64)> {
    let path = folder.join("copy.db");
    std::fs::write(&path, &crash.file).unwrap();
    let _ = std::fs::remove_file(beside(&path, "-head")); // of the copy before
    std::fs::write(log_of(&path), log).unwrap();
    let journal = SqliteJournal::open(&path).unwrap();
    let read = journal.read(&run("a")).await.unwrap();
    let all = [&crash.durable[..], &crash.last[..]].concat();
    assert!(read == if whole { &all[..] } else { &crash.durable[..] }, "{} records", read.len());
    let told = journal.tail_repaired().map(|tail| (tail.offset, tail.bytes));
    // It goes on from there, and nobody hears of it again.
    let last = read.last().unwrap();
    let more = records(&mut Sealer::after(&run("a"), last.seq, 1, last.hash), 1);
    journal.append(batch("a", last.seq, 1, more)).await.unwrap();
    drop(journal);
    let again = SqliteJournal::open(&path).unwrap();
    assert_eq!(again.tail_repaired(), None);
    assert_eq!(again.read(&run("a")).await.unwrap().len(), read.len() + 1);
    told
}

#[tokio::test]
async fn f2_a_commit_that_was_cut_anywhere_is_cut_off_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let crash = crash(folder.path()).await;
    let length = crash.log.len() as u64;
    let edges = (crash.begins..=length).step_by(usize::try_from(FRAME).unwrap());
    let near = edges.flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1, edge + 24]);
    let mut cuts: Vec<_> = (crash.begins..length).step_by(64).chain(near).collect();
    cuts.retain(|cut| (crash.begins..=length).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    assert!(cuts.len() > 60, "{}", cuts.len());
    for cut in cuts {
        let log = &crash.log[..usize::try_from(cut).unwrap()];
        let told = opens(folder.path(), &crash, log, cut == length).await;
        // A log that was cut between two commits is a log with fewer commits, and nothing tells.
        let torn = cut > crash.begins && cut < length;
        assert_eq!(told, torn.then(|| (crash.begins, cut - crash.begins)), "cut at {cut}");
    }
}

#[tokio::test]
async fn f2_a_commit_of_which_one_byte_did_not_arrive_is_cut_off_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let crash = crash(folder.path()).await;
    let begins = usize::try_from(crash.begins).unwrap();
    for at in (begins..crash.log.len()).step_by(509) {
        let mut log = crash.log.clone();
        log[at] ^= 0x10;
        let told = opens(folder.path(), &crash, &log, false).await;
        let (offset, bytes) = told.unwrap_or((crash.begins, 0));
        // A salt that is another one looks like the rest of an earlier log: only that is not told.
        let in_salt = (8..16).contains(&((at - begins) % usize::try_from(FRAME).unwrap()));
        assert!(offset == crash.begins && (bytes > 0 || in_salt), "byte {at}: {told:?}");
    }
}

#[tokio::test]
async fn f2_a_journal_that_was_closed_has_no_tail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    for expected in 0..3 {
        let journal = SqliteJournal::open(&path).unwrap();
        assert_eq!(journal.tail_repaired(), None);
        let before = journal.read(&run("a")).await.unwrap();
        let mut sealer = before.last().map_or_else(
            || Sealer::new(&run("a")),
            |last| Sealer::after(&run("a"), last.seq, 1, last.hash),
        );
        journal.append(batch("a", expected, 1, records(&mut sealer, 1))).await.unwrap();
        // Beside one that is open, and in use.
        assert_eq!(SqliteJournal::open(&path).unwrap().tail_repaired(), None);
    }
}

/// One flipped byte amid commits that were acknowledged, and a `-head` of an earlier time, as after a loss of
/// power: SQLite would take all that follows for nothing.
#[tokio::test]
async fn f3_a_damaged_commit_before_whole_ones_is_no_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.db");
    let journal = SqliteJournal::open(&path).unwrap();
    let mut sealer = Sealer::new(&run("a"));
    let (mut ends, mut head) = (Vec::new(), Vec::new());
    for expected in 0..10 {
        journal.append(batch("a", expected, 1, records(&mut sealer, 1))).await.unwrap();
        ends.push(usize::try_from(std::fs::metadata(log_of(&path)).unwrap().len()).unwrap());
        if expected == 0 {
            head = std::fs::read(beside(&path, "-head")).unwrap();
        }
    }
    let (file, log) = (std::fs::read(&path).unwrap(), std::fs::read(log_of(&path)).unwrap());
    let copy = folder.path().join("copy.db");
    let (mut refused, mut repaired) = (0, 0);
    for at in (ends[1]..log.len()).step_by(101) {
        let mut damaged = log.clone();
        damaged[at] ^= 1;
        std::fs::write(&copy, &file).unwrap();
        std::fs::write(log_of(&copy), &damaged).unwrap();
        std::fs::write(beside(&copy, "-head"), &head).unwrap();
        // In the last two commits nothing tells it from an interruption of the last one.
        let surely = at < ends[7];
        match SqliteJournal::open(&copy) {
            Err(OpenError::Damaged { detail, .. }) => {
                assert!(detail.contains("before commits that are whole"), "{detail}");
                assert_eq!(std::fs::read(log_of(&copy)).unwrap(), damaged, "nothing was changed");
                refused += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
            Ok(_) => {
                assert!(!surely, "byte {at} of {}: acknowledged commits are gone", log.len());
                repaired += 1;
            }
        }
    }
    assert!(refused > 100 && repaired > 10, "{refused} {repaired}");
}
