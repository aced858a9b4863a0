//! The events of a run, for whoever watches it: from the journal, then as they become durable.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio::sync::watch;

use super::EngineError;
use super::handle::{Progress, Recorded};
use crate::ids::RunId;
use crate::journal::{History, Journal};

/// The events of a run in order, none missing and none twice: first those that the journal has, then
/// each as it becomes durable. Whoever reads slowly gets the rest from the journal.
#[derive(Debug)]
pub struct Events {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) run: RunId,
    /// The last event that was handed out, or read and waits in `read`.
    pub(super) last: u64,
    pub(super) read: VecDeque<Arc<Recorded>>,
    pub(super) live: broadcast::Receiver<Arc<Recorded>>,
    pub(super) progress: watch::Receiver<Progress>,
    /// Whether the journal may have events that were neither read nor will come.
    pub(super) behind: bool,
}

impl Events {
    /// The next event; `None` once there are no more, because the run is over or is no longer driven
    /// ([`RunHandle::wait`](super::RunHandle::wait) tells which). Nothing is lost when this is dropped
    /// before it is done.
    ///
    /// # Errors
    /// [`EngineError`] when the journal cannot be read or is damaged.
    pub async fn next(&mut self) -> Result<Option<Arc<Recorded>>, EngineError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(Some(event));
            }
            if !self.journal.records() {
                return Ok(self.live().await);
            }
            // Asked before the journal is read: what ended before has all its events there.
            let ended = matches!(*self.progress.borrow(), Progress::Ended(_));
            if self.behind || ended {
                self.catch_up().await?;
                if ended && self.read.is_empty() {
                    return Ok(None);
                }
                continue;
            }
            tokio::select! {
                event = self.live.recv() => match event {
                    Ok(event) if event.seq <= self.last => {}
                    Ok(event) if event.seq == self.last + 1 => {
                        self.last += 1;
                        return Ok(Some(event));
                    }
                    _ => self.behind = true,
                },
                // When nobody can tell any more, the run is not driven any more.
                changed = self.progress.changed() => if changed.is_err() {
                    self.catch_up().await?;
                    return Ok(self.read.pop_front());
                },
            }
        }
    }

    /// The next event of those that were not missed, where nothing is recorded.
    async fn live(&mut self) -> Option<Arc<Recorded>> {
        loop {
            // Asked first: what ended before has all its events there.
            let ended = matches!(*self.progress.borrow(), Progress::Ended(_));
            match self.live.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Lagged(_)) => continue,
                Err(TryRecvError::Empty) if !ended => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
            tokio::select! {
                event = self.live.recv() => if let Ok(event) = event {
                    return Some(event);
                },
                changed = self.progress.changed() => if changed.is_err() {
                    return self.live.try_recv().ok();
                },
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), EngineError> {
        let records = self.journal.read(&self.run).await?;
        let history = History::verify(&self.run, &records)?;
        let seen = usize::try_from(self.last).unwrap_or(usize::MAX);
        for (fact, seq) in history.facts().iter().zip(1..).skip(seen) {
            self.read.push_back(Arc::new(Recorded { seq, at: fact.at, event: fact.event.clone() }));
            self.last = seq;
        }
        self.behind = false;
        Ok(())
    }
}
