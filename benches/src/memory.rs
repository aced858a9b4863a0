//! Runs in memory: through the whole engine, and as bare tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use release_core::engine::Engine;
use release_core::journal::{Journal, MemoryJournal, NoJournal};
use release_core::plan::FrozenPlan;
use release_core::run::Outcome;
use tokio::task::JoinSet;

use crate::{Counter, Failure, effects, requester, timed};

/// How the engine is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Whether there is a journal: hash-chained, in memory.
    pub journal: bool,
    /// Whether effects are polled once before they get a task.
    pub poll_first: bool,
}

impl Setup {
    /// As hosts get it that say nothing.
    pub const DEFAULT: Self = Self { journal: true, poll_first: false };

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match (self.journal, self.poll_first) {
            (true, false) => "journal, a task each",
            (true, true) => "journal, polled first",
            (false, false) => "no journal, a task each",
            (false, true) => "no journal, polled first",
        }
    }
}

/// Runs `plan` through the engine on a runtime of one thread, and says how long it took. Checks that
/// every step was performed and, if there is a journal, journaled.
///
/// # Errors
/// When a step was not performed, not journaled, or the run did not succeed.
pub fn engine_run(plan: &FrozenPlan, setup: Setup) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let journal: Arc<dyn Journal> =
        if setup.journal { Arc::new(MemoryJournal::new()) } else { Arc::new(NoJournal) };
    let counter = Counter::new();
    let engine = Engine::builder(Arc::clone(&journal), Arc::<Counter>::clone(&counter))
        .poll_effects_first(setup.poll_first)
        .build();
    let (steps, effects) = (plan.len() as u64, effects(plan));
    runtime.block_on(async {
        let (run, requester, plan) = ("bench".parse()?, requester()?, plan.clone());
        let (took, outcome) =
            timed(async { engine.start_frozen(run, plan, requester).await?.wait().await }).await;
        let events = journal.heads().await?.iter().map(|head| head.seq).sum::<u64>();
        let wanted = if setup.journal { steps + effects + 2 } else { 0 };
        if outcome? != Outcome::Succeeded || counter.take() != effects || events != wanted {
            return Err("not every step was performed and journaled once".into());
        }
        Ok(took)
    })
}

/// Spawns `n` bare tasks and joins them: the limit for whoever runs one task a step.
///
/// # Errors
/// When a task did not run.
pub fn join_set(n: usize) -> Result<Duration, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counter = Arc::new(AtomicU64::new(0));
    let (took, ()) = runtime.block_on(timed(async {
        let mut tasks = JoinSet::new();
        for _ in 0..n {
            let counter = Arc::clone(&counter);
            tasks.spawn(async move {
                counter.fetch_add(1, Ordering::Relaxed);
            });
        }
        while tasks.join_next().await.is_some() {}
    }));
    if counter.load(Ordering::Relaxed) != n as u64 {
        return Err("not every task ran".into());
    }
    Ok(took)
}
