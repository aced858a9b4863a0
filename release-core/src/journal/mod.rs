//! The durable record of a run: the port, the format and its hash chain, and a store in memory.
//!
//! A record is JSON, hashed exactly as it is stored, together with the hash of the one before. So
//! anybody can verify a run with nothing but its records and SHA-256:
//!
//! ```text
//! {"v":1,"run":"r-1","seq":2,"epoch":1,"at":"2026-11-23T14:00:00.000000Z","event":{…}}
//! hash 0 = SHA-256("release.journal.v1\n")
//! hash n = SHA-256(the 32 bytes of hash n-1 ‖ the bytes of record n)
//! ```

mod memory;
mod wire;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use memory::MemoryJournal;
pub use wire::{Damage, DamageKind, History, JOURNAL_VERSION, Sealer};

use crate::ids::RunId;
use crate::model::Digest;

/// Stores records durably, in order, for one writer a run at a time.
///
/// The expected sequence and the epoch are checked in the same transaction that stores the records:
/// a lease alone is no fencing.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Stores all of a batch or nothing, and returns once it would survive a loss of power.
    ///
    /// # Errors
    /// [`AppendError`]; only with [`AppendError::Unknown`] may the batch have been stored.
    async fn append(&self, batch: Batch) -> Result<(), AppendError>;

    /// All records of a run in order, as stored; empty when there is no such run.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError>;

    /// Content that came with a batch, by its digest.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError>;

    /// The heads of all runs, in the order of their ids.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn heads(&self) -> Result<Vec<Head>, ReadError>;
}

/// One stored record.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the run, from 1.
    pub seq: u64,
    /// The epoch of its writer.
    pub epoch: u64,
    /// Its hash, which the next record names.
    pub hash: Digest,
    /// The record itself.
    pub bytes: Bytes,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.seq, String::from_utf8_lossy(&self.bytes))
    }
}

/// Records that are stored together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose.
    pub run: RunId,
    /// The sequence of the last record that the writer knows; 0 for a new run.
    pub expected: u64,
    /// The writer's epoch. A higher one than the stored takes the run over, a lower one is fenced.
    pub epoch: u64,
    /// The records; the first has the sequence `expected + 1`.
    pub records: Vec<Record>,
    /// Content that the records refer to by digest. Storing the same content again changes nothing.
    pub blobs: Vec<(Digest, Arc<[u8]>)>,
    /// Whether the run is over with this batch.
    pub finishes: bool,
}

/// What a store knows of a run when a batch for it comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// The sequence of its last record; 0 when there is no such run.
    pub seq: u64,
    /// The epoch of its last writer; 0 when there is no such run.
    pub epoch: u64,
    /// Whether it is over.
    pub finished: bool,
}

impl Batch {
    /// Whether the batch may be stored where `stored` is what is there. Stores ask this, and change
    /// nothing if it may not, in the transaction in which they would store it.
    ///
    /// # Errors
    /// The [`AppendError`] to answer with: `Fenced`, `Conflict`, `Finished` or `Malformed`, in this
    /// order.
    pub fn check(&self, stored: Stored) -> Result<(), AppendError> {
        let run = || self.run.clone();
        if self.epoch < stored.epoch {
            return Err(AppendError::Fenced {
                run: run(),
                epoch: self.epoch,
                stored: stored.epoch,
            });
        }
        if self.expected != stored.seq {
            let (expected, actual) = (self.expected, stored.seq);
            return Err(AppendError::Conflict { run: run(), expected, actual });
        }
        if stored.finished {
            return Err(AppendError::Finished { run: run() });
        }
        let wrong = self
            .records
            .iter()
            .zip(self.expected + 1..)
            .find(|(record, seq)| record.seq != *seq || record.epoch != self.epoch);
        wrong.map_or(Ok(()), |(record, seq)| {
            let detail = format!(
                "record {} of epoch {} stands where record {seq} of epoch {} belongs",
                record.seq, record.epoch, self.epoch
            );
            Err(AppendError::Malformed { run: run(), detail })
        })
    }
}

/// The end of a run's records, and whether more are to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The run.
    pub run: RunId,
    /// The sequence of its last record.
    pub seq: u64,
    /// The epoch of its last writer.
    pub epoch: u64,
    /// The hash of its last record.
    pub hash: Digest,
    /// Whether the run is over.
    pub finished: bool,
}

/// A batch that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Somebody else wrote in between.
    #[error(
        "run `{run}` is at record {actual}, not {expected}; another writer was faster, so read it again"
    )]
    Conflict {
        /// The run.
        run: RunId,
        /// What the writer knew.
        expected: u64,
        /// What is stored.
        actual: u64,
    },
    /// Another engine has taken the run over.
    #[error(
        "run `{run}` was taken over in epoch {stored}; this writer has epoch {epoch} and must stop"
    )]
    Fenced {
        /// The run.
        run: RunId,
        /// The writer's epoch.
        epoch: u64,
        /// The stored epoch.
        stored: u64,
    },
    /// The run is over. Nothing was stored.
    #[error("run `{run}` is over, and nothing can be added to it; start a new run")]
    Finished {
        /// The run.
        run: RunId,
    },
    /// The records do not follow each other, or cannot be stored. Nothing was stored.
    #[error("the batch for run `{run}` is malformed: {detail}; let a `Sealer` make its records")]
    Malformed {
        /// The run.
        run: RunId,
        /// What is wrong.
        detail: String,
    },
    /// There is no room. Nothing was stored.
    #[error("there is no room in the journal ({detail}); make room, then resume the run")]
    NoSpace {
        /// What the store said.
        detail: String,
    },
    /// The store cannot be reached or refuses to work. Nothing was stored.
    #[error("the journal is not available ({detail}); mend it, then resume the run")]
    Unavailable {
        /// What the store said.
        detail: String,
    },
    /// It is not known whether the batch was stored; read it again before anything else.
    #[error(
        "the journal did not say whether it stored the batch ({detail}); resume the run, which reads it again"
    )]
    Unknown {
        /// What the store said.
        detail: String,
    },
}

/// Records that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store cannot be reached or refuses to work.
    #[error("the journal is not available ({detail}); mend it, then try again")]
    Unavailable {
        /// What the store said.
        detail: String,
    },
    /// What is stored is not what was written.
    #[error("the journal is damaged: {detail}; restore it from a backup, nothing was changed")]
    Damaged {
        /// What is wrong, and where.
        detail: String,
    },
}
