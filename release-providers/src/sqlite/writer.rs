//! The one thread that writes. It takes all that waits, stores it in one transaction, and syncs
//! once: the sync itself is the time in which the next transaction gathers, so a lone run waits for
//! nobody and many runs share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use release_core::journal::{AppendError, Batch, Head, Record, Stored};
use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::oneshot;

use super::read::{Known, RunRow, seal_of};
use super::reserve::Reserve;
use super::schema::checkpoint;
use super::witness::{Seen, Witness};

/// Most batches in one transaction.
const BATCHES: usize = 1024;

type Answer = Result<(), AppendError>;
/// What became of a batch, and the place of its last record.
type Placed = Result<Option<i64>, AppendError>;

#[derive(Debug)]
struct Job {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

/// The handle of the thread that writes. Dropping it waits until all that was sent is stored.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        mut witness: Witness,
        mut reserve: Reserve,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = channel();
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let work = move || work(&connection, &mut witness, &mut reserve, &inbox, &counter);
        let thread = Builder::new().name("release-journal".into()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), commits })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) async fn append(&self, batch: Batch) -> Answer {
        let (answer, stored) = oneshot::channel();
        let job = Job { batch, answer };
        let sent = self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok());
        if sent.is_none() {
            let detail = "its thread has ended".into();
            return Err(AppendError::Unavailable { detail });
        }
        stored.await.unwrap_or_else(|_| {
            let detail = "its thread ended while it was storing".into();
            Err(AppendError::Unknown { detail })
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been answered to those who waited.
            let _ = thread.join();
        }
    }
}

fn work(
    connection: &Connection,
    witness: &mut Witness,
    reserve: &mut Reserve,
    inbox: &Receiver<Job>,
    commits: &AtomicU64,
) {
    let mut jobs = Vec::new();
    while let Ok(first) = inbox.recv() {
        jobs.push(first);
        jobs.extend(inbox.try_iter().take(BATCHES - 1));
        let answers = store_jobs(connection, reserve, &jobs);
        if answers.iter().any(Result::is_ok) {
            commits.fetch_add(1, Ordering::Relaxed);
            note(witness, &jobs, &answers);
        }
        for (job, answer) in jobs.drain(..).zip(answers) {
            // A caller that went away is no fault.
            let _ = job.answer.send(answer.map(drop));
        }
    }
    // So that the file alone is the journal. Who cannot wait for others leaves it to the last of them.
    checkpoint(connection);
}

/// Has the last record that was committed witnessed; for good if a run has begun.
fn note(witness: &mut Witness, jobs: &[Job], answers: &[Placed]) {
    let stored = || {
        let all = jobs.iter().zip(answers);
        all.filter_map(|(job, answer)| Some((&job.batch, (*answer.as_ref().ok()?)?)))
    };
    let last = stored().next_back();
    if let Some((batch, record, place)) = last.and_then(|(b, p)| Some((b, b.records.last()?, p))) {
        let (run, seq, hash) = (batch.run.clone(), record.seq, record.hash);
        let begun = stored().any(|(batch, _)| batch.expected == 0);
        witness.note(&Seen { run, seq, hash, place }, begun);
    }
}

/// Stores what can be stored; where there is no room, what begins nothing new gets the reserve.
fn store_jobs(connection: &Connection, reserve: &mut Reserve, jobs: &[Job]) -> Vec<Placed> {
    let answers = if reserve.is_spent() && !reserve.rebuild(connection) {
        let detail =
            "the reserve is used up, and there is no room to set it aside again".to_owned();
        let refused = AppendError::NoSpace { detail };
        jobs.iter().map(|_| Err(refused.clone())).collect()
    } else {
        store_all(connection, &jobs.iter().map(|job| &job.batch).collect::<Vec<_>>())
    };
    let no_room = |answer: &Placed| matches!(answer, Err(AppendError::NoSpace { .. }));
    if answers.iter().any(no_room) {
        with_reserve(connection, reserve, jobs, answers)
    } else {
        answers
    }
}

fn with_reserve(
    connection: &Connection,
    reserve: &mut Reserve,
    jobs: &[Job],
    mut answers: Vec<Placed>,
) -> Vec<Placed> {
    let no_room = |answer: &Placed| matches!(answer, Err(AppendError::NoSpace { .. }));
    let open = jobs.iter().zip(&mut answers).filter(|(_, answer)| no_room(answer));
    let (batches, slots): (Vec<_>, Vec<_>) = open
        .map(|(job, answer)| (&job.batch, answer))
        .filter(|(batch, _)| !batch.begins_anew())
        .unzip();
    if !batches.is_empty() && reserve.release(connection) {
        let again = store_all(connection, &batches);
        reserve.close(connection);
        for (slot, answer) in slots.into_iter().zip(again) {
            *slot = answer;
        }
    }
    answers
}

/// Stores what can be stored. Batches that are fenced, in conflict or cannot be stored leave the
/// others alone; when the transaction is lost, so are all.
fn store_all(connection: &Connection, batches: &[&Batch]) -> Vec<Placed> {
    // What is refused wrote nothing, so that almost never a part of a transaction has to be undone:
    // only once something else went wrong each batch gets a part of its own.
    let plain = |batch: &Batch| store(connection, batch).map_err(|e| append_error(&e, false));
    let apart = |batch: &Batch| store_or_undo(connection, batch);
    let stored = match transact(connection, batches, plain) {
        Err(Failed::Storing(_)) => transact(connection, batches, apart),
        other => other,
    };
    stored.unwrap_or_else(|(Failed::Storing(error) | Failed::Transaction(error))| {
        vec![Err(error); batches.len()]
    })
}

/// Why a transaction is lost.
enum Failed {
    /// A batch could not be stored.
    Storing(AppendError),
    /// It could not begin, or not end.
    Transaction(AppendError),
}

/// Stores all batches in one transaction, or none.
fn transact(
    connection: &Connection,
    batches: &[&Batch],
    store: impl Fn(&Batch) -> Result<Placed, AppendError>,
) -> Result<Vec<Placed>, Failed> {
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN IMMEDIATE").map_err(|e| Failed::Transaction(append_error(&e, false)))?;
    // What matters is the first error; without a transaction there is nothing to undo.
    let undo = || drop(run("ROLLBACK"));
    let answers = batches.iter().map(|batch| store(batch)).collect::<Result<Vec<_>, _>>();
    let answers = answers.map_err(|error| {
        undo();
        Failed::Storing(error)
    })?;
    run("COMMIT").map_err(|e| {
        undo();
        Failed::Transaction(append_error(&e, true))
    })?;
    Ok(answers)
}

/// Stores one batch of a transaction, or leaves nothing of it there.
///
/// # Errors
/// When the whole transaction is lost.
fn store_or_undo(connection: &Connection, batch: &Batch) -> Result<Placed, AppendError> {
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("SAVEPOINT batch").map_err(|e| append_error(&e, false))?;
    let (answer, end) = match store(connection, batch) {
        Ok(answer) => (answer, "RELEASE batch"),
        Err(e) => (Err(append_error(&e, false)), "ROLLBACK TO batch"),
    };
    // Some errors make SQLite roll everything back by itself: then this one fails too.
    match (run(end), answer) {
        (Ok(()), answer) => Ok(answer),
        (Err(_), Err(first)) => Err(first),
        (Err(e), Ok(_)) => Err(append_error(&e, false)),
    }
}

/// Stores one batch, and returns the place of its last record, if it has any.
fn store(connection: &Connection, batch: &Batch) -> rusqlite::Result<Placed> {
    let run = batch.run.as_str();
    let found = match RunRow::find(connection, &batch.run)? {
        Known::Nothing => None,
        Known::Row(row) => Some(row),
        Known::Other => {
            let detail = format!("the table of runs is not what was written at run `{run}`");
            return Ok(Err(AppendError::Damaged { detail }));
        }
    };
    let stored = found.as_ref().map_or_else(Stored::default, |row| {
        let Head { seq, epoch, finished, .. } = row.head;
        Stored { seq, epoch, finished }
    });
    if let Err(refused) = batch.check(stored) {
        return Ok(Err(refused));
    }
    let bodies: Result<Vec<_>, _> =
        batch.records.iter().map(|record| std::str::from_utf8(&record.bytes)).collect();
    let Ok(bodies) = bodies else {
        let detail = "a record is JSON, and so UTF-8".to_owned();
        return Ok(Err(AppendError::Malformed { run: batch.run.clone(), detail }));
    };
    for (digest, bytes) in &batch.blobs {
        let sql = "INSERT OR IGNORE INTO blobs (digest, bytes) VALUES (?1, ?2)";
        connection.prepare_cached(sql)?.execute(params![digest.as_bytes(), &**bytes])?;
    }
    let Some(last) = batch.records.last() else { return Ok(Ok(None)) };
    write(connection, batch, last, found, &bodies).map(|place| Ok(Some(place)))
}

/// Writes a batch that may be stored, and returns the place of its last record.
fn write(
    connection: &Connection,
    batch: &Batch,
    last: &Record,
    found: Option<RunRow>,
    bodies: &[&str],
) -> rusqlite::Result<i64> {
    // A new run gets its row first, so that its records can name it.
    let (id, mut before) = if let Some(row) = &found {
        (row.id, Some(row.places.1))
    } else {
        let sql = "INSERT INTO runs (run, seq, epoch, hash, finished, first, last, seal) \
                   VALUES (?1, 0, 0, x'', 0, 0, 0, x'')";
        (connection.prepare_cached(sql)?.insert([batch.run.as_str()])?, None)
    };
    let mut first = found.map(|row| row.places.0);
    let sql = "INSERT INTO records (run_id, seq, epoch, hash, body, before) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut insert = connection.prepare_cached(sql)?;
    for (record, body) in batch.records.iter().zip(bodies) {
        let Record { seq, epoch, hash, .. } = record;
        let place = insert.insert(params![id, seq, epoch, hash.as_bytes(), body, before])?;
        before = Some(place);
        first.get_or_insert(place);
    }
    let (seq, hash) = (last.seq, last.hash);
    let places = (first.unwrap_or_default(), before.unwrap_or_default());
    let (run, epoch, finished) = (batch.run.clone(), batch.epoch, batch.finishes);
    let seal = seal_of(&Head { run, seq, epoch, hash, finished }, places);
    let (hash, seal) = (hash.as_bytes(), seal.as_bytes());
    let sql = "UPDATE runs SET seq = ?2, epoch = ?3, hash = ?4, finished = ?5, first = ?6, last = ?7, \
               seal = ?8 WHERE run_id = ?1";
    let row = params![id, seq, epoch, hash, finished, places.0, places.1, seal];
    connection.prepare_cached(sql)?.execute(row)?;
    Ok(places.1)
}

/// A commit that failed for another reason than want of room may or may not be on the disk.
fn append_error(error: &rusqlite::Error, committing: bool) -> AppendError {
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => AppendError::NoSpace { detail },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            AppendError::Unavailable { detail }
        }
        _ if committing => AppendError::Unknown { detail },
        // Only what nobody ever wrote can be in the way of a batch that follows the row of its run.
        Some(
            ErrorCode::ConstraintViolation | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase,
        ) => AppendError::Damaged { detail },
        _ => AppendError::Unavailable { detail },
    }
}
