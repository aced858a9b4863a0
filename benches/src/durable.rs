//! Runs over SQLite, and SQLite alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use release_core::engine::Engine;
use release_core::model::RunId;
use release_core::plan::FrozenPlan;
use release_core::run::Outcome;
use release_providers::sqlite::SqliteJournal;
use rusqlite::Connection;
use tokio::runtime::Runtime;

use crate::{Counter, Failure, requester, timed};

/// An engine over a journal in a fresh SQLite file.
#[derive(Debug)]
pub struct Durable {
    runtime: Runtime,
    engine: Engine,
    journal: Arc<SqliteJournal>,
    counter: Arc<Counter>,
    started: u64,
}

impl Durable {
    /// Opens a journal in `folder`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let journal = Arc::new(SqliteJournal::open(folder.join("journal.db"))?);
        let counter = Counter::new();
        let engine =
            Engine::builder(Arc::<SqliteJournal>::clone(&journal), Arc::<Counter>::clone(&counter))
                .build();
        Ok(Self { runtime, engine, journal, counter, started: 0 })
    }

    /// Runs `plan` `runs` times at once; returns the time and the number of commits.
    ///
    /// # Errors
    /// When a run does not succeed or a step was not performed once.
    pub fn run(&mut self, plan: &FrozenPlan, runs: u64) -> Result<(Duration, u64), Failure> {
        let before = self.journal.commits();
        let first = self.started;
        self.started += runs;
        let engine = &self.engine;
        let (took, result) = self.runtime.block_on(timed(async {
            let mut tasks = tokio::task::JoinSet::new();
            for number in first..first + runs {
                let (engine, plan, requester) = (engine.clone(), plan.clone(), requester()?);
                let run = RunId::new(format!("run-{number}"))?;
                tasks.spawn(async move {
                    engine.start_frozen(run, plan, requester).await?.wait().await
                });
            }
            while let Some(outcome) = tasks.join_next().await {
                if outcome?? != Outcome::Succeeded {
                    return Err(Failure::from("a run did not succeed"));
                }
            }
            Ok(())
        }));
        result?;
        if self.counter.take() != runs * plan.len() as u64 {
            return Err("not every step was performed once".into());
        }
        Ok((took, self.journal.commits() - before))
    }
}

/// Inserts `rows` rows of `bytes` bytes, `batch` of them in a transaction, with the durability of
/// our journal; returns the time.
///
/// # Errors
/// When SQLite does not give that durability, or fails.
pub fn sqlite_inserts(
    folder: &Path,
    rows: u64,
    batch: u64,
    bytes: usize,
) -> Result<Duration, Failure> {
    let connection = Connection::open(folder.join(format!("bare-{rows}-{batch}.db")))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if (synchronous, mode.as_str()) != (2, "wal") {
        return Err("SQLite does not give the durability that was asked for".into());
    }
    connection.execute_batch(
        "DROP TABLE IF EXISTS t; CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)",
    )?;
    let body = vec![7_u8; bytes];
    let (took, result): (_, rusqlite::Result<()>) = crate::timed_blocking(|| {
        let mut left = rows;
        while left > 0 {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut insert = connection.prepare_cached("INSERT INTO t (body) VALUES (?1)")?;
            for _ in 0..left.min(batch) {
                insert.execute([&body])?;
            }
            left -= left.min(batch);
            connection.execute_batch("COMMIT")?;
        }
        Ok(())
    });
    result?;
    let stored: u64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?;
    if stored != rows {
        return Err("not every row was stored".into());
    }
    Ok(took)
}

/// Appends `rows` rows of `bytes` bytes to a file that is there already, each synced by itself: the limit
/// for whoever makes each step durable; returns the time.
///
/// # Errors
/// When the disk fails.
pub fn raw_appends(folder: &Path, rows: u64, bytes: usize) -> Result<Duration, Failure> {
    use std::io::{Seek as _, Write as _};
    let row = vec![7_u8; bytes];
    let mut file = std::fs::File::create(folder.join("raw"))?;
    for _ in 0..rows {
        file.write_all(&row)?;
    }
    file.rewind()?;
    file.sync_all()?;
    let (took, result): (_, std::io::Result<()>) = crate::timed_blocking(|| {
        for _ in 0..rows {
            file.write_all(&row)?;
            file.sync_data()?;
        }
        Ok(())
    });
    result?;
    Ok(took)
}

/// Appends what `runs` linear runs of `steps` steps record to a [`SqliteJournal`], all runs at once and
/// without an engine; returns the time. What it lacks to the time of the engine is the engine's.
///
/// # Errors
/// When a batch is not stored.
pub fn store_alone(folder: &Path, runs: u64, steps: u64) -> Result<Duration, Failure> {
    use release_core::journal::{Batch, Journal as _, Sealer};
    use release_core::port::Evidence;
    use release_core::run::{Event, Mode, StepRef};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let file = tempfile::Builder::new().suffix(".db").tempdir_in(folder)?;
    let journal = Arc::new(SqliteJournal::open(file.path().join("alone.db"))?);
    let step = StepRef { index: 7, id: "s7".parse()? };
    let done = Event::StepSucceeded {
        step: step.clone(),
        evidence: Evidence::Done,
        because: None,
        basis: None,
        finding: None,
    };
    let started = Event::StepStarted { step, attempt: 1, mode: Mode::Perform, basis: None };
    let at: release_core::model::Timestamp = "2026-11-26T12:00:00Z".parse()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..runs {
            let run = RunId::new(format!("run-{number}"))?;
            let mut sealer = Sealer::new(&run);
            let mut batches = Vec::new();
            for _ in 0..=steps {
                let expected = sealer.seq();
                let records = [&done, &started].map(|event| sealer.seal(at, event)).to_vec();
                let (run, blobs, finishes) = (run.clone(), Vec::new(), false);
                batches.push(Batch { run, expected, epoch: 1, records, blobs, finishes });
            }
            let journal = Arc::clone(&journal);
            tasks.spawn(async move {
                for batch in batches {
                    journal.append(batch).await?;
                }
                Ok::<(), release_core::journal::AppendError>(())
            });
        }
        let (took, result) = timed(async {
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Ok::<(), Failure>(())
        })
        .await;
        result?;
        Ok(took)
    })
}
