//! Runs that are taken up again, and journals that are read again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::journal::{History, Journal as _};
use release_core::model::{Digest, RunId, Span};
use release_core::plan::{FrozenPlan, Plan};
use release_core::port::{
    AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer,
};
use release_core::run::Outcome;
use release_providers::sqlite::SqliteJournal;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::{Counter, Failure, Shape, plan, requester, timed, timed_blocking};

/// Steps of a run that is open.
const STEPS: usize = 10;
/// Which of them is under way.
const UNDER_WAY: &str = "s5";

/// Performs half of the steps, and is never done with the one after.
#[derive(Debug)]
pub(crate) struct Unfinished(mpsc::UnboundedSender<()>);

impl Unfinished {
    /// Tells `begun` that it has got so far.
    pub(crate) const fn new(begun: mpsc::UnboundedSender<()>) -> Self {
        Self(begun)
    }
}

#[async_trait]
impl Performer for Unfinished {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }

    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        if command.step().id.as_str() == UNDER_WAY {
            let _ = self.0.send(()); // whoever waits for it may be gone
            std::future::pending::<()>().await;
        }
        Ok(Evidence::Done)
    }

    async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
        std::future::pending().await
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// How long it takes to find and take over `runs` open runs of ten steps, each in the middle, from a
/// SQLite file in `folder`: read, verified, folded, and the takeover durable.
///
/// # Errors
/// When not every run is driven again.
pub fn resume(folder: &Path, runs: usize) -> Result<Duration, Failure> {
    let file = folder.join(format!("open-{runs}.db"));
    let plan = plan(Shape::Linear, STEPS)?;
    let build = |journal| {
        let (sender, begun) = mpsc::unbounded_channel();
        let engine = Engine::builder(journal, Arc::new(Unfinished(sender)));
        (engine.grace(Span::ZERO).build(), begun)
    };
    let first = runtime()?;
    first.block_on(async {
        let (engine, mut begun) = build(Arc::new(SqliteJournal::open(&file)?));
        let mut starting = tokio::task::JoinSet::new();
        for number in 0..runs {
            let (engine, plan, requester) = (engine.clone(), plan.clone(), requester()?);
            let run = RunId::new(format!("run-{number}"))?;
            starting.spawn(async move { engine.start_frozen(run, plan, requester).await });
        }
        while let Some(started) = starting.join_next().await {
            started??;
        }
        for _ in 0..runs {
            begun.recv().await.ok_or("a run did not get so far")?;
        }
        engine.shutdown().await;
        Ok::<(), Failure>(())
    })?;
    drop(first);
    let second = runtime()?;
    second.block_on(async {
        let journal = Arc::new(SqliteJournal::open(&file)?);
        let (engine, _begun) = build(Arc::<SqliteJournal>::clone(&journal));
        let (took, report) = timed(engine.resume_all()).await;
        let report = report?;
        if report.resumed.len() != runs || !report.not_resumed.is_empty() {
            return Err("not every run is driven again".into());
        }
        engine.shutdown().await;
        Ok(took)
    })
}

/// A run whose journal is read again.
#[derive(Debug)]
pub struct Replay {
    folder: tempfile::TempDir,
    plan: FrozenPlan,
    runtime: Runtime,
    /// How many events it has.
    pub events: u64,
}

impl Replay {
    /// Makes a run of about `events` events in a SQLite file.
    ///
    /// # Errors
    /// When the run does not succeed.
    pub fn make(events: usize) -> Result<Self, Failure> {
        let (folder, runtime) = (tempfile::tempdir()?, runtime()?);
        let plan = plan(Shape::Wide, events / 2)?;
        let events = runtime.block_on(async {
            let journal = Arc::new(SqliteJournal::open(folder.path().join("replay.db"))?);
            let engine =
                Engine::builder(Arc::<SqliteJournal>::clone(&journal), Counter::new()).build();
            let handle = engine.start_frozen("bench".parse()?, plan.clone(), requester()?).await?;
            if handle.wait().await? != Outcome::Succeeded {
                return Err(Failure::from("the run did not succeed"));
            }
            Ok(journal.heads().await?.iter().map(|head| head.seq).sum::<u64>())
        })?;
        Ok(Self { folder, plan, runtime, events })
    }

    /// Reads it: verified, decoded, and folded into a state.
    ///
    /// # Errors
    /// When it is not what was written.
    pub fn ours(&self) -> Result<Duration, Failure> {
        let journal = SqliteJournal::open(self.folder.path().join("replay.db"))?;
        let run = "bench".parse()?;
        self.runtime.block_on(async {
            let (took, state) = timed(async {
                let records = journal.read(&run).await?;
                let history = History::verify(&run, &records)?;
                Ok::<_, Failure>(history.state(self.plan.clone(), None)?)
            })
            .await;
            if state?.outcome() != Some(&Outcome::Succeeded) {
                return Err("the run did not succeed".into());
            }
            Ok(took)
        })
    }

    /// The same rows by a bare scan, each hashed with the hash before and compared.
    ///
    /// # Errors
    /// When a hash is another.
    pub fn bare(&self) -> Result<Duration, Failure> {
        let file = Connection::open(self.folder.path().join("replay.db"))?;
        let mut scan =
            file.prepare("SELECT hash, body FROM records WHERE run_id = 1 ORDER BY seq")?;
        let (took, count) = timed_blocking(|| {
            let mut rows = scan.query([])?;
            let mut before = Digest::of(b"release.journal.v1\n").as_bytes().to_vec();
            let mut count = 0_u64;
            while let Some(row) = rows.next()? {
                let (hash, body) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_bytes()?);
                let mut hasher = Sha256::new();
                hasher.update(&before);
                hasher.update(body);
                if hasher.finalize().as_slice() != hash {
                    return Err(Failure::from("a hash is another"));
                }
                before.clear();
                before.extend_from_slice(hash);
                count += 1;
            }
            Ok::<u64, Failure>(count)
        });
        if count? != self.events {
            return Err("not every row was seen".into());
        }
        Ok(took)
    }
}
