//! What a run keeps in memory.

use std::sync::Arc;

use release_core::engine::Engine;
use release_core::journal::{Journal, MemoryJournal};
use release_core::model::Span;
use tokio::sync::mpsc;

use crate::recovery::Unfinished;
use crate::{Failure, Shape, plan, requester};

/// The bytes that a run of `n` steps in a chain keeps in memory for each, beside its plan, while half of
/// ten are done and all behind wait; as the system counts them, so `n` should be large.
///
/// # Errors
/// When the run does not get so far, or the system does not tell.
pub fn bytes_a_pending_step(n: usize) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = plan(Shape::Linear, n)?;
    runtime.block_on(async {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        let (sender, mut begun) = mpsc::unbounded_channel();
        let performer = Arc::new(Unfinished::new(sender));
        let engine = Engine::builder(journal, performer).grace(Span::ZERO).build();
        let before = resident()?;
        let run = engine.start_frozen("bench".parse()?, plan.clone(), requester()?).await?;
        begun.recv().await.ok_or("the run did not get so far")?;
        let after = resident()?;
        drop(run);
        engine.shutdown().await;
        Ok(after.saturating_sub(before) / n as u64)
    })
}

/// The bytes of this process that are in memory (`VmRSS` of proc(5)).
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}
