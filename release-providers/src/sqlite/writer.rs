//! The one thread that writes. It takes all that waits, stores it in one transaction, and syncs
//! once: the sync itself is the time in which the next transaction gathers, so a lone run waits for
//! nobody and many runs share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use release_core::journal::{AppendError, Batch, Head, Stored};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::reserve::Reserve;
use super::schema::checkpoint;
use super::witness::{Seen, Witness};
use super::{head, seal_of};

/// Most batches in one transaction.
const BATCHES: usize = 1024;

type Answer = Result<(), AppendError>;

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
            let _ = job.answer.send(answer);
        }
    }
    // So that the file alone is the journal. Who cannot wait for others leaves it to the last of them.
    checkpoint(connection);
}

/// Has the last record that was committed witnessed; for good if a run has begun.
fn note(witness: &mut Witness, jobs: &[Job], answers: &[Answer]) {
    let stored =
        || jobs.iter().zip(answers).filter(|(_, answer)| answer.is_ok()).map(|(job, _)| &job.batch);
    let last = stored().rev().find_map(|batch| Some((batch, batch.records.last()?)));
    if let Some((batch, record)) = last {
        let seen = Seen { run: batch.run.clone(), seq: record.seq, hash: record.hash };
        witness.note(&seen, stored().any(|batch| batch.expected == 0));
    }
}

/// Stores what can be stored; where there is no room, what begins nothing new gets the reserve.
fn store_jobs(connection: &Connection, reserve: &mut Reserve, jobs: &[Job]) -> Vec<Answer> {
    let answers = if reserve.is_spent() && !reserve.rebuild(connection) {
        let detail =
            "the reserve is used up, and there is no room to set it aside again".to_owned();
        let refused = AppendError::NoSpace { detail };
        jobs.iter().map(|_| Err(refused.clone())).collect()
    } else {
        store_all(connection, jobs.iter().map(|job| &job.batch))
    };
    let no_room = |answer: &Answer| matches!(answer, Err(AppendError::NoSpace { .. }));
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
    mut answers: Vec<Answer>,
) -> Vec<Answer> {
    let no_room = |answer: &Answer| matches!(answer, Err(AppendError::NoSpace { .. }));
    let open = jobs.iter().zip(&mut answers).filter(|(_, answer)| no_room(answer));
    let (batches, slots): (Vec<_>, Vec<_>) = open
        .map(|(job, answer)| (&job.batch, answer))
        .filter(|(batch, _)| !batch.begins_anew())
        .unzip();
    if !batches.is_empty() && reserve.release(connection) {
        let again = store_all(connection, batches.into_iter());
        reserve.close(connection);
        for (slot, answer) in slots.into_iter().zip(again) {
            *slot = answer;
        }
    }
    answers
}

/// Stores what can be stored. Batches that are fenced, in conflict or cannot be stored leave the
/// others alone; when the transaction is lost, so are all.
fn store_all<'a>(
    connection: &Connection,
    batches: impl ExactSizeIterator<Item = &'a Batch>,
) -> Vec<Answer> {
    let count = batches.len();
    let failed = |error: &AppendError| vec![Err(error.clone()); count];
    if let Err(e) = connection.execute_batch("BEGIN IMMEDIATE") {
        return failed(&append_error(&e, false));
    }
    let mut answers = Vec::with_capacity(count);
    for batch in batches {
        match store_or_undo(connection, batch) {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                // What matters is the first error; without a transaction there is nothing to undo.
                let _ = connection.execute_batch("ROLLBACK");
                return failed(&error);
            }
        }
    }
    if let Err(e) = connection.execute_batch("COMMIT") {
        let _ = connection.execute_batch("ROLLBACK");
        return failed(&append_error(&e, true));
    }
    answers
}

/// Stores one batch of a transaction, or leaves nothing of it there.
///
/// # Errors
/// When the whole transaction is lost.
fn store_or_undo(connection: &Connection, batch: &Batch) -> Result<Answer, AppendError> {
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
        (Err(e), Ok(())) => Err(append_error(&e, false)),
    }
}

fn store(connection: &Connection, batch: &Batch) -> rusqlite::Result<Answer> {
    let run = batch.run.as_str();
    let mut find = connection.prepare_cached(
        "SELECT run, seq, epoch, hash, finished, seal, run_id FROM runs WHERE run = ?1",
    )?;
    let found = find.query_row([run], |row| Ok((head(row)?, row.get::<_, i64>(6)?))).optional()?;
    let found = match found {
        None => None,
        Some((Some((head, true)), id)) => {
            let Head { seq, epoch, finished, .. } = head;
            Some((id, Stored { seq, epoch, finished }))
        }
        Some(_) => {
            let detail = format!("the table of runs is not what was written at run `{run}`");
            return Ok(Err(AppendError::Damaged { detail }));
        }
    };
    if let Err(refused) = batch.check(found.map(|(_, stored)| stored).unwrap_or_default()) {
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
    let Some(last) = batch.records.last() else { return Ok(Ok(())) };
    let new = Head {
        run: batch.run.clone(),
        seq: last.seq,
        epoch: batch.epoch,
        hash: last.hash,
        finished: batch.finishes,
    };
    let seal = seal_of(&new);
    let Head { seq, epoch, hash, finished, .. } = &new;
    let head = params![run, seq, epoch, hash.as_bytes(), finished, seal.as_bytes()];
    let id = if let Some((id, _)) = found {
        let sql = "UPDATE runs SET seq = ?2, epoch = ?3, hash = ?4, finished = ?5, seal = ?6 WHERE run = ?1";
        connection.prepare_cached(sql)?.execute(head)?;
        id
    } else {
        let sql = "INSERT INTO runs (run, seq, epoch, hash, finished, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        connection.prepare_cached(sql)?.insert(head)?
    };
    let sql = "INSERT INTO records (run_id, seq, epoch, hash, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(sql)?;
    for (record, body) in batch.records.iter().zip(bodies) {
        insert.execute(params![id, record.seq, record.epoch, record.hash.as_bytes(), body])?;
    }
    Ok(Ok(()))
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
