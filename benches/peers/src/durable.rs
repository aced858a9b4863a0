//! duroxide on its own `SQLite` provider, on a file: linear workflows of no-op activities.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime, RuntimeOptions};
use duroxide::{
    ActivityContext, Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::Failure;

/// Far above what any sample needs; reaching it means that a run is stuck.
const PATIENCE: Duration = Duration::from_mins(5);
/// Steps of the one run that warms the connections up.
const WARM_UP_STEPS: usize = 5;

/// Times `samples` times how long `runs` workflows of `steps` steps take that start together.
///
/// The clock stops when the last workflow reaches its end, before duroxide commits this end: its
/// client learns of it by polling up to 100 ms apart, which would measure the client. That each
/// workflow was indeed recorded as completed is checked afterwards.
pub(crate) fn duroxide(
    poll: Option<Duration>,
    runs: usize,
    steps: usize,
    samples: usize,
) -> Result<Vec<Duration>, Failure> {
    // Otherwise duroxide installs a subscriber of its own, which writes between our JSON lines.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::ERROR)
        .try_init()?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(
        async {
            let mut bench = Bench::start(poll).await?;
            bench.sample("warm-up", 1, WARM_UP_STEPS).await?;
            let mut times = Vec::new();
            for nth in 0..samples {
                times.push(bench.sample(&format!("sample-{nth}"), runs, steps).await?);
            }
            bench.runtime.shutdown(None).await;
            Ok(times)
        },
    )
}

/// A running duroxide with one workflow, whose input is its number of steps.
struct Bench {
    runtime: Arc<Runtime>,
    client: Client,
    /// Steps that ran since somebody last looked.
    ran: Arc<AtomicUsize>,
    /// The id of each workflow that reached its end; twice if duroxide repeats its last turn.
    ended: UnboundedReceiver<String>,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn start(poll: Option<Duration>) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("duroxide.db");
        File::create(&file)?; // its provider opens only what exists
        let store =
            Arc::new(SqliteProvider::new(&format!("sqlite:{}", file.display()), None).await?);
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        let activities = ActivityRegistry::builder()
            .register("no_op", move |_: ActivityContext, _: String| {
                count.fetch_add(1, Ordering::Relaxed);
                async { Ok(String::new()) }
            })
            .build();
        let (end, ended) = unbounded_channel();
        let workflow = move |context: OrchestrationContext, steps: String| {
            let end = end.clone();
            async move {
                let steps = steps.parse::<usize>().map_err(|error| error.to_string())?;
                for _ in 0..steps {
                    context.schedule_activity("no_op", "").await?;
                }
                end.send(context.instance_id()).map_err(|error| error.to_string())?;
                Ok(String::new())
            }
        };
        let workflows = OrchestrationRegistry::builder().register("linear", workflow).build();
        let mut options = RuntimeOptions::default();
        if let Some(poll) = poll {
            options.dispatcher_min_poll_interval = poll;
        }
        let runtime =
            Runtime::start_with_options(store.clone(), activities, workflows, options).await;
        Ok(Self { runtime, client: Client::new(store), ran, ended, _directory: directory })
    }

    async fn sample(&mut self, name: &str, runs: usize, steps: usize) -> Result<Duration, Failure> {
        let ids: Vec<String> = (0..runs).map(|run| format!("{name}-{run}")).collect();
        let mut running: BTreeSet<String> = ids.iter().cloned().collect();
        self.ran.store(0, Ordering::Relaxed);
        let begun = Instant::now();
        for id in &ids {
            self.client.start_orchestration(id, "linear", steps.to_string()).await?;
        }
        while !running.is_empty() {
            let ended = tokio::time::timeout(PATIENCE, self.ended.recv()).await?;
            running.remove(&ended.ok_or("duroxide stopped")?);
        }
        let taken = begun.elapsed();
        for id in &ids {
            match self.client.wait_for_orchestration(id, PATIENCE).await? {
                OrchestrationStatus::Completed { .. } => {}
                other => return Err(format!("workflow {id} ended as {other:?}").into()),
            }
        }
        // At least once is what duroxide promises, so a repeated step is no error.
        let (ran, wanted) = (self.ran.load(Ordering::Relaxed), runs * steps);
        if ran < wanted {
            return Err(format!("duroxide ran {ran} steps of {wanted}").into());
        }
        Ok(taken)
    }
}
