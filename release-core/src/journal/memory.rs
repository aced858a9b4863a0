//! A journal in memory: for tests, and for hosts that need no durability.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{AppendError, Batch, Head, Journal, ReadError, Record, Stored as Known};
use crate::ids::RunId;
use crate::model::Digest;

/// A journal in memory, with the same checks as a durable one.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    runs: BTreeMap<RunId, (Head, Log)>,
    blobs: BTreeMap<Digest, Arc<[u8]>>,
}

/// Records in parts, so that appending moves none of the earlier ones.
#[derive(Debug, Default)]
struct Log(Vec<Vec<Record>>);

impl Log {
    /// Most records that are kept together.
    const PART: usize = 1024;

    fn append(&mut self, records: Vec<Record>) {
        match self.0.last_mut() {
            Some(part) if part.capacity() - part.len() >= records.len() => part.extend(records),
            last => {
                let twice = last.map_or(0, |part| part.len() * 2).min(Self::PART);
                let mut part = Vec::with_capacity(twice.max(records.len()));
                part.extend(records);
                self.0.push(part);
            }
        }
    }
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
        let there = runs.get_mut(&batch.run);
        batch.check(there.as_ref().map_or_else(Known::default, |(head, _)| Known {
            seq: head.seq,
            epoch: head.epoch,
            finished: head.finished,
        }))?;
        let Batch { run, epoch, records, blobs: fresh, finishes, .. } = batch;
        for (digest, bytes) in fresh {
            blobs.entry(digest).or_insert(bytes);
        }
        let Some(last) = records.last() else { return Ok(()) };
        let (seq, hash) = (last.seq, last.hash);
        if let Some((head, log)) = there {
            (head.seq, head.epoch, head.hash, head.finished) = (seq, epoch, hash, finishes);
            log.append(records);
        } else {
            let head = Head { run: run.clone(), seq, epoch, hash, finished: finishes };
            runs.insert(run, (head, Log(vec![records])));
        }
        Ok(())
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        Ok(self.stored().runs.get(run).map(|(_, log)| log.0.concat()).unwrap_or_default())
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        Ok(self.stored().blobs.get(&digest).cloned())
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        Ok(self.stored().runs.values().map(|(head, _)| head.clone()).collect())
    }
}
