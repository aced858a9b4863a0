//! A journal in memory: for tests, and for hosts that need no durability.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{AppendError, Batch, Head, Journal, ReadError, Record};
use crate::ids::RunId;
use crate::model::Digest;

/// A journal in memory, with the same checks as a durable one.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    /// Records as they came, batch by batch, so that appending moves none of the earlier ones.
    runs: BTreeMap<RunId, (Head, Vec<Vec<Record>>)>,
    blobs: BTreeMap<Digest, Arc<[u8]>>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every critical section leaves `Stored` whole, so a poisoned lock can be used on.
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let mut stored = self.stored();
        let Stored { runs, blobs } = &mut *stored;
        let Batch { run, expected, epoch, records, blobs: fresh, finishes } = batch;
        let (actual, owner) = runs.get(&run).map_or((0, 0), |(head, _)| (head.seq, head.epoch));
        if epoch < owner {
            return Err(AppendError::Fenced { run, epoch, stored: owner });
        }
        if expected != actual {
            return Err(AppendError::Conflict { run, expected, actual });
        }
        for (digest, bytes) in fresh {
            blobs.entry(digest).or_insert(bytes);
        }
        let Some(last) = records.last() else { return Ok(()) };
        let head =
            Head { run: run.clone(), seq: last.seq, epoch, hash: last.hash, finished: finishes };
        match runs.get_mut(&run) {
            Some((old, all)) => {
                *old = head;
                all.push(records);
            }
            None => {
                runs.insert(run, (head, vec![records]));
            }
        }
        Ok(())
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        Ok(self.stored().runs.get(run).map(|(_, batches)| batches.concat()).unwrap_or_default())
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(self.stored().blobs.get(&digest).cloned())
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        Ok(self.stored().runs.values().map(|(head, _)| head.clone()).collect())
    }
}
