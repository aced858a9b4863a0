//! In-memory engines, one thread each. A step adds one to a counter and returns nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_dag::Graph as AsyncDag;
use dag_exec::{DagBuilder, Executor, ExecutorConfig};
use steno::{ActionContext, ActionError, ActionRegistry, SagaDag, SagaId, SagaName, SagaType};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::Failure;
use crate::graph::{Graph, Shape};

/// What one run of one engine took.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) build: Duration,
    pub(crate) run: Duration,
}

/// Of the thread that samples. steno walks a chain by recursion, and 10,000 nodes overflow 8 MiB.
pub(crate) const STACK_BYTES: usize = 512 << 20;

/// Returns how many nodes `engine` is given at most, so that a sample ends in seconds.
///
/// steno's time doubles with every stage of two.
pub(crate) fn most_nodes(engine: &str, shape: Shape) -> usize {
    match (engine, shape) {
        ("steno", Shape::Staged) => 40,
        _ => usize::MAX,
    }
}

/// Builds and runs `graph` once, and fails unless each of its nodes ran exactly once.
pub(crate) fn sample(engine: &str, graph: &Graph) -> Result<Sample, Failure> {
    let ran = Arc::new(AtomicU64::new(0));
    let sample = match engine {
        "joinset" => joinset(graph, &ran)?,
        "dag_exec" => dag_exec(graph, &ran)?,
        "async_dag" => async_dag(graph, &ran)?,
        "steno" => steno(graph, &ran)?,
        _ => return Err(format!("no engine is called `{engine}`").into()),
    };
    let (ran, nodes) = (ran.load(Ordering::Relaxed), graph.len() as u64);
    if ran != nodes {
        return Err(format!("{engine} ran {ran} steps of {nodes}").into());
    }
    Ok(sample)
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().build()?)
}

/// The yardstick: as many bare tasks as the graph has nodes, all spawned, then all joined.
fn joinset(graph: &Graph, ran: &Arc<AtomicU64>) -> Result<Sample, Failure> {
    let runtime = runtime()?;
    let begun = Instant::now();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..graph.len() {
            let ran = Arc::clone(ran);
            tasks.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
        }
        while let Some(task) = tasks.join_next().await {
            task?;
        }
        Ok::<_, Failure>(())
    })?;
    Ok(Sample { build: Duration::ZERO, run: begun.elapsed() })
}

/// Its sequential executor, the faster of its two for steps without work.
fn dag_exec(graph: &Graph, ran: &Arc<AtomicU64>) -> Result<Sample, Failure> {
    let begun = Instant::now();
    let mut builder = DagBuilder::<usize, (), String>::new();
    for (node, predecessors) in graph.predecessors.iter().enumerate() {
        let ran = Arc::clone(ran);
        builder
            .add_task(node, predecessors.clone(), move |_: &[Arc<()>]| {
                ran.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .map_err(|error| format!("dag_exec: {error:?}"))?;
    }
    let dag = builder.build().map_err(|error| format!("dag_exec: {error:?}"))?;
    let (executor, sinks) = (Executor::new(ExecutorConfig::default()), graph.sinks());
    let build = begun.elapsed();
    let begun = Instant::now();
    let outputs = executor.run_sequential(&dag, sinks);
    let run = begun.elapsed();
    outputs.map_err(|error| format!("dag_exec: {error:?}"))?;
    Ok(Sample { build, run })
}

/// One future that polls all ready steps; nothing is spawned. A step takes one input a predecessor.
fn async_dag(graph: &Graph, ran: &Arc<AtomicU64>) -> Result<Sample, Failure> {
    let begun = Instant::now();
    let mut dag = AsyncDag::new();
    let mut nodes = Vec::with_capacity(graph.len());
    for predecessors in &graph.predecessors {
        let ran = Arc::clone(ran);
        let step = async move {
            ran.fetch_add(1, Ordering::Relaxed);
        };
        let node = match predecessors.len() {
            0 => dag.add_task(move || step),
            1 => dag.add_task(move |(): ()| step),
            2 => dag.add_task(move |(): (), (): ()| step),
            3 => dag.add_task(move |(): (), (): (), (): ()| step),
            more => return Err(format!("async_dag is given at most 3 in-edges, not {more}").into()),
        };
        for (input, &predecessor) in (0_u8..).zip(predecessors) {
            dag.update_dependency(nodes[predecessor], node, input)
                .map_err(|error| format!("async_dag: {error:?}"))?;
        }
        nodes.push(node);
    }
    let (build, runtime) = (begun.elapsed(), runtime()?);
    let begun = Instant::now();
    runtime.block_on(dag.run());
    Ok(Sample { build, run: begun.elapsed() })
}

/// What steno calls the types of one application.
#[derive(Debug)]
struct NoOps;

impl SagaType for NoOps {
    type ExecContextType = AtomicU64;
}

async fn no_op(context: ActionContext<NoOps>) -> Result<(), ActionError> {
    context.user_data().fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// A saga on the store that keeps nothing. Creating the saga counts as building it.
fn steno(graph: &Graph, ran: &Arc<AtomicU64>) -> Result<Sample, Failure> {
    let stages = graph.stages().ok_or("steno's builder knows stages only, not a random graph")?;
    runtime()?.block_on(async {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let sec = steno::sec(log, Arc::new(steno::InMemorySecStore::new()));
        let begun = Instant::now();
        let action = steno::new_action_noop_undo("no_op", no_op);
        let mut registry = ActionRegistry::new();
        registry.register(Arc::clone(&action));
        let mut builder = steno::DagBuilder::new(SagaName::new("peers"));
        let node = |n: &usize| steno::Node::action(format!("n{n}"), "step", action.as_ref());
        for stage in &stages {
            builder.append_parallel(stage.iter().map(node).collect());
        }
        if stages.last().is_some_and(|stage| stage.len() > 1) {
            // A saga must end in one node, whose output is the saga's. A constant runs no action.
            builder.append(steno::Node::constant("end", serde_json::Value::Null));
        }
        let dag = Arc::new(SagaDag::new(builder.build()?, serde_json::Value::Null));
        let id = SagaId::new_v4();
        let outcome = sec.saga_create(id, Arc::clone(ran), dag, Arc::new(registry)).await?;
        let build = begun.elapsed();
        let begun = Instant::now();
        sec.saga_start(id).await?;
        let outcome = outcome.await;
        let run = begun.elapsed();
        sec.shutdown().await;
        outcome.kind.map_err(|error| format!("steno: {error:?}"))?;
        Ok(Sample { build, run })
    })
}
