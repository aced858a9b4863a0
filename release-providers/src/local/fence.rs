//! Refuses writers that were taken over: remembers the highest epoch of every run, durably.
//!
//! By the run's name alone, so names of runs are unique on a root: a run of the same name on another
//! journal (a second tenant, or a backup that was restored) is taken for an older writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::RunId;
use serde::{Deserialize, Serialize};

use super::files::write_record;
use super::platform::Inner;
use super::record::{FORMAT, known_format};
use crate::{Context, ErrorKind, ProviderError};

/// `fences/<run>.json`: the highest epoch in which a run's writer has called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fence {
    #[serde(deserialize_with = "known_format")]
    format: u16,
    run: RunId,
    epoch: u64,
}

/// The highest epochs by run. Held while one is raised, so that memory and file agree.
#[derive(Debug)]
pub(super) struct Fences(tokio::sync::Mutex<BTreeMap<RunId, u64>>);

impl Fences {
    pub(super) fn new(found: Vec<Fence>) -> Self {
        let epochs = found.into_iter().map(|fence| (fence.run, fence.epoch)).collect();
        Self(tokio::sync::Mutex::new(epochs))
    }
}

/// Who asks for a change, and under which key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) key: String,
    /// `None` outside of runs: such a caller has no epoch, and no fence.
    pub(super) run: Option<RunId>,
    pub(super) epoch: u64,
}

impl Caller {
    pub(super) fn of(cx: &Context) -> Self {
        Self { key: cx.key.clone(), run: cx.run.clone(), epoch: cx.epoch }
    }

    /// The platform itself, for `operation`.
    pub(super) fn itself(operation: &'static str) -> Self {
        Self { key: operation.to_owned(), run: None, epoch: 0 }
    }
}

impl Inner {
    /// Refuses a caller whose run a newer one has taken over; a newer one is remembered before
    /// anything is done for it. Only for whoever has the target's turn: what waited in the queue
    /// when the run was taken over is refused too.
    pub(super) async fn fence(
        self: &Arc<Self>,
        operation: &'static str,
        caller: &Caller,
    ) -> Result<(), ProviderError> {
        let Some(run) = &caller.run else { return Ok(()) };
        let mut epochs = self.fences.0.lock().await;
        let known = epochs.get(run).copied();
        if known == Some(caller.epoch) {
            return Ok(());
        }
        if let Some(known) = known.filter(|known| caller.epoch < *known) {
            let text = "a newer writer has taken this run over; stop, nothing was changed (if there \
                        is none, because the journal was restored or another run has this name: give \
                        the run another name; or stop the platform, remove the fence file, open again)";
            return Err(ProviderError::new(ErrorKind::Fenced, operation, text)
                .with_context("run", run)
                .with_context("epoch", caller.epoch)
                .with_context("newest", known)
                .with_context("fence", self.paths.fence(run).display()));
        }
        let path = self.paths.fence(run);
        let fence = Fence { format: FORMAT, run: run.clone(), epoch: caller.epoch };
        self.blocking(operation, move || write_record(operation, &path, &fence)).await?;
        epochs.insert(run.clone(), caller.epoch);
        Ok(())
    }
}
