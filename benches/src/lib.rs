//! What the benchmarks share: graphs of steps that do nothing, and ways to run them.
//!
//! Steps are effects: each is announced in the journal, performed in a task of its own and its
//! outcome is journaled. Only the performer does nothing but count.

mod durable;
mod footprint;
mod large;
mod latency;
mod memory;
pub mod plugin;
pub mod policy;
mod recovery;
mod seal;
mod shape;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use release_core::model::{IdError, Principal, StepId};
use release_core::plan::{Action, EdgeKind, FrozenPlan, Plan, PlanErrors, Step, Undo};
use release_core::port::{
    AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer,
};

pub use durable::{Durable, raw_appends, sqlite_inserts, store_alone};
pub use footprint::bytes_a_pending_step;
pub use large::definition;
pub use latency::{explanations, percentile, turns};
pub use memory::{Setup, engine_run, join_set};
pub use recovery::{Replay, resume};
pub use seal::{Sealing, sealings};
pub use shape::Shape;

/// What can go wrong in a benchmark.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Performs every step by counting it.
#[derive(Debug, Default)]
pub struct Counter {
    performed: AtomicU64,
}

impl Counter {
    /// A counter at 0.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// How many effects were performed since the last call.
    pub fn take(&self) -> u64 {
        self.performed.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Performer for Counter {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }

    async fn perform(&self, _: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        self.performed.fetch_add(1, Ordering::Relaxed);
        Ok(Evidence::Done)
    }

    async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
        Ok(Observed::NotApplied)
    }
}

/// A frozen plan of `n` steps in this shape, each an effect.
///
/// # Errors
/// None that is known: ids and edges are made to be right.
pub fn plan(shape: Shape, n: usize) -> Result<FrozenPlan, Failure> {
    let custom = || Action::Custom { capability: "noop".into(), input: serde_json::Value::Null };
    let undo = Undo::point_of_no_return("does nothing", "lead".parse()?);
    plan_of(shape, n, |id| Step::new(id, custom()).undo(undo.clone()))
}

/// A frozen plan of `n` steps in this shape, none of which has an effect.
///
/// # Errors
/// As [`plan`].
pub fn pure_plan(shape: Shape, n: usize) -> Result<FrozenPlan, Failure> {
    plan_of(shape, n, |id| Step::new(id, Action::Sync))
}

/// How many steps of `plan` are effects.
pub fn effects(plan: &FrozenPlan) -> u64 {
    plan.plan().steps().iter().filter(|step| !step.action.is_pure()).count() as u64
}

fn plan_of(shape: Shape, n: usize, step: impl Fn(StepId) -> Step) -> Result<FrozenPlan, Failure> {
    let mut builder = Plan::builder("bench".parse().map_err(id)?, "bench".parse().map_err(id)?);
    builder.max_steps(n);
    for index in 0..n {
        builder.step(step(StepId::new(format!("s{index}"))?));
    }
    shape.edges(n, |from, to| builder.edge(from, to, EdgeKind::Order));
    Ok(builder.build().map_err(faults)?.freeze())
}

fn id(error: IdError) -> Failure {
    error.into()
}

fn faults(errors: PlanErrors) -> Failure {
    errors.into()
}

/// Whoever asks for the runs.
///
/// # Errors
/// None that is known.
pub fn requester() -> Result<Principal, Failure> {
    Ok(Principal::service("bench".parse::<release_core::model::PrincipalId>()?))
}

/// Runs `work` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let value = work.await;
    (start.elapsed(), value)
}

/// Runs `work` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub fn timed_blocking<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed(), value)
}
