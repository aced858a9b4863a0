//! The durable record of a run: the port, the format and its hash chain, and a store in memory.
//!
//! A record is JSON, hashed exactly as it is stored, together with the hash of the one before. So
//! anybody can verify a run with nothing but its records and SHA-256:
//!
//! ```text
//! {"v":1,"run":"r-1","seq":2,"epoch":1,"at":"2026-11-23T14:00:00.000000Z","state":"0f…","event":{…}}
//! hash 0 = SHA-256("release.journal.v1\n")
//! hash n = SHA-256(the 32 bytes of hash n-1 ‖ the bytes of record n)
//! ```
//!
//! The last record of each batch has the [digest](crate::run::StateDigest) of the state that its writer
//! was in behind it. The chain shows that what is read is what was written; the digest, that it is
//! understood as it was. A replay that comes to another state stops there
//! ([`DamageKind::Diverged`]), and nothing is decided from what would be a guess.

mod anew;
mod damage;
mod kills;
mod ledger;
mod memory;
mod off;
mod quick;
mod wire;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use damage::{Damage, DamageKind};
pub use kills::{is_kill, kill_stream, verify_kill};
#[cfg(feature = "driver")]
pub(crate) use ledger::nth_stream;
pub use ledger::{LedgerHistory, is_reserved, ledger_stream};
pub use memory::MemoryJournal;
pub use off::NoJournal;
pub use wire::{History, JOURNAL_VERSION, Sealer};

use crate::ids::RunId;
use crate::model::Digest;

/// The greatest epoch that a writer may have. Stores keep their numbers with a sign.
pub const MAX_EPOCH: u64 = i64::MAX.unsigned_abs();

/// Stores records durably, in order, for one writer a run at a time.
///
/// The expected sequence and the epoch are checked in the same transaction that stores the records:
/// a lease alone is no fencing. That goes for all tasks that share a handle, and for all handles of
/// one store, also in other processes (`handles_fence_each_other`).
///
/// Every promise below is a case of `release_testkit::conformance::journal`, whose name it gives.
/// Whoever writes a store proves it with `release_testkit::journal_conformance!`.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Stores all of a batch or nothing, and returns once it would survive a loss of power.
    ///
    /// # Contract
    /// - After `Ok` all records and all blobs of the batch are there, and whoever begins to read
    ///   from now on gets them (`batch_is_stored_whole`), also after the store was closed and opened
    ///   again (`reopening_loses_nothing`); what is checked is remembered just as long
    ///   (`reopening_forgets_no_check`).
    /// - After an error other than [`AppendError::Unknown`] nothing has changed: there are no
    ///   records, no blobs, no head and no epoch of the batch (`refused_batch_leaves_nothing`,
    ///   `want_of_room_stores_nothing`). After `Unknown` it is there as a whole or not at all
    ///   (`interrupted_append_is_whole_or_absent`).
    /// - A batch is refused exactly when [`Batch::check`] refuses it, with that answer
    ///   (`checks_come_in_order`). A run that is unknown is at sequence 0, in epoch 0
    ///   (`expected_sequence_is_checked`).
    /// - A lower epoch than the stored is fenced, whatever it expects (`older_epoch_is_fenced`), for
    ///   good (`fenced_epoch_stays_fenced`). A higher one takes the run over, however much higher
    ///   (`higher_epoch_takes_over`).
    /// - After a batch that [finishes](Batch::finishes) its run the run takes nothing more, not even
    ///   a batch without records (`finished_run_takes_nothing`).
    /// - Runs know nothing of each other: sequence, epoch and end are each run's own
    ///   (`runs_do_not_disturb_each_other`).
    /// - Storing content again, for the same run or another, changes nothing and is no error
    ///   (`blob_twice_is_one`).
    /// - A batch may have 10,000 records (`large_batch_survives`), and content a mebibyte
    ///   (`large_blob_survives`); how much more is up to the store.
    ///
    /// # Without records
    /// A batch without records is checked as any other, and its blobs are stored. It makes no run
    /// and takes no epoch (`empty_batch_changes_nothing`): both are told by records, and whoever
    /// reads them must come to the same result as the store. For the same reason a run is not
    /// finished without a record: such a batch is malformed.
    ///
    /// # Concurrency
    /// Of many appends that expect the same sequence of a run exactly one is stored
    /// (`one_of_many_appenders_wins`), whatever the handles (`one_of_many_handles_wins`); appends to
    /// different runs do not hinder each other (`concurrent_runs_get_all_their_records`).
    ///
    /// # Cancellation
    /// Dropping the future leaves the batch stored as a whole or not at all, perhaps only a little
    /// later. An append of the same batch tells: it is stored now, or it is in conflict with itself
    /// (`dropped_append_is_whole_or_absent`).
    ///
    /// # Errors
    /// [`AppendError`]; only with [`AppendError::Unknown`] may the batch have been stored.
    async fn append(&self, batch: Batch) -> Result<(), AppendError>;

    /// Whether it takes records. One that does not ([`NoJournal`]) is not asked to append any.
    fn records(&self) -> bool {
        true
    }

    /// All records of a run in order, as stored; empty when there is no such run
    /// (`unknown_run_is_empty`).
    ///
    /// # Contract
    /// Sequence, epoch, hash and every byte are what was appended (`records_come_back_as_written`),
    /// so what was sealed verifies (`sealed_records_verify`). Of each batch all records are seen or
    /// none, also while it is stored (`reads_see_whole_batches`).
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError>;

    /// Content that came with a batch, by its digest; `None` when none did (`unknown_blob_is_none`).
    ///
    /// # Contract
    /// Every byte is what was appended (`blobs_come_back_as_written`).
    ///
    /// # Errors
    /// [`ReadError`].
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError>;

    /// The heads of all runs (`heads_tell_the_ends`), in the order of their ids, byte by byte
    /// (`heads_are_in_order_of_ids`).
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
    /// Its hash, which goes into that of the next.
    pub hash: Digest,
    /// The record itself: JSON, and so UTF-8.
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
    /// Content that the records refer to by digest. Stores take the digest at its word; who reads
    /// the content checks it.
    pub blobs: Vec<(Digest, Arc<[u8]>)>,
    /// Whether the run is over with this batch, which then has a record that says so.
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
    /// The [`AppendError`] to answer with. What comes first in this list is answered, whatever else
    /// there is:
    ///
    /// 1. `Fenced`: the epoch is lower than the stored one, which the answer names.
    /// 2. `Conflict`: the expected sequence is not the stored one, which the answer names.
    /// 3. `Finished`: the run is over.
    /// 4. `Malformed`: the epoch is beyond [`MAX_EPOCH`], the batch finishes the run without a
    ///    record, or a record is not the next, of another epoch, or not UTF-8
    ///    (`malformed_batch_is_refused`).
    pub fn check(&self, stored: Stored) -> Result<(), AppendError> {
        let run = || self.run.clone();
        #[cfg(planted_bugs)]
        if (crate::planted::is(crate::planted::Bug::NoFencing) && self.epoch < stored.epoch)
            || (crate::planted::is(crate::planted::Bug::NoSequence) && self.epoch == stored.epoch)
        {
            return Ok(());
        }
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
        match self.fault() {
            Some(detail) => Err(AppendError::Malformed { run: run(), detail }),
            None => Ok(()),
        }
    }

    /// What is wrong with the batch itself, wherever it goes.
    fn fault(&self) -> Option<String> {
        if self.epoch > MAX_EPOCH {
            return Some(format!("epoch {} is greater than {MAX_EPOCH}", self.epoch));
        }
        if self.finishes && self.records.is_empty() {
            return Some("no record says that the run is over".to_owned());
        }
        self.records.iter().zip(self.expected.saturating_add(1)..).find_map(|(record, seq)| {
            if record.seq != seq || record.epoch != self.epoch {
                return Some(format!(
                    "record {} of epoch {} stands where record {seq} of epoch {} belongs",
                    record.seq, record.epoch, self.epoch
                ));
            }
            let text = std::str::from_utf8(&record.bytes);
            text.err().map(|error| format!("record {seq} is no JSON: {error}"))
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
    #[error(
        "there is no room in the journal ({detail}); make room: a run under way goes on by itself then"
    )]
    NoSpace {
        /// What the store said.
        detail: String,
    },
    /// The store cannot be reached or refuses to work. Nothing was stored.
    #[error(
        "the journal is not available ({detail}); mend it: a run under way goes on by itself then"
    )]
    Unavailable {
        /// What the store said.
        detail: String,
    },
    /// What is stored is not what was written, and in the way of the batch. Nothing was stored.
    #[error("the journal is damaged: {detail}; restore it from a backup, nothing was changed")]
    Damaged {
        /// What the store said.
        detail: String,
    },
    /// It is not known whether the batch was stored; read it again before anything else.
    #[error(
        "the journal did not say whether it stored the batch ({detail}); a run under way reads it again by itself"
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

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: Stored = Stored { seq: 2, epoch: 3, finished: false };

    fn record(seq: u64, epoch: u64, bytes: &'static [u8]) -> Record {
        Record { seq, epoch, hash: Digest::of(bytes), bytes: Bytes::from_static(bytes) }
    }

    fn batch(expected: u64, epoch: u64, seqs: &[u64]) -> Batch {
        let records = seqs.iter().map(|seq| record(*seq, epoch, b"{}")).collect();
        let run = RunId::new("r").unwrap();
        Batch { run, expected, epoch, records, blobs: vec![], finishes: false }
    }

    #[track_caller]
    fn refused(batch: &Batch, stored: Stored, text: &str) {
        let refused = batch.check(stored).unwrap_err().to_string();
        assert!(refused.contains(text), "{refused}");
    }

    #[test]
    fn what_follows_is_taken() {
        for good in [batch(2, 3, &[3, 4]), batch(2, 9, &[3]), batch(2, MAX_EPOCH, &[])] {
            assert_eq!(good.check(STORED), Ok(()));
        }
        assert_eq!(batch(0, 1, &[1]).check(Stored::default()), Ok(()));
    }

    #[test]
    fn what_does_not_follow_is_refused_for_its_first_reason() {
        let over = Stored { finished: true, ..STORED };
        refused(&batch(0, 2, &[7]), over, "taken over in epoch 3; this writer has epoch 2");
        refused(&batch(0, 3, &[7]), over, "is at record 2, not 0");
        refused(&batch(2, 3, &[7]), over, "is over");
        refused(&batch(2, 3, &[]), over, "is over");
        refused(&batch(2, 3, &[7]), STORED, "record 7 of epoch 3 stands where record 3 of epoch 3");
        refused(&batch(2, 3, &[3, 3]), STORED, "record 3 of epoch 3 stands where record 4");
        refused(&batch(2, MAX_EPOCH + 1, &[3]), STORED, "epoch 9223372036854775808 is greater");
        let mut wrong = batch(2, 4, &[3, 4]);
        wrong.records[1].epoch = 3;
        refused(&wrong, STORED, "record 4 of epoch 3 stands where record 4 of epoch 4 belongs");
        wrong.records[1] = record(4, 4, b"\xff");
        refused(&wrong, STORED, "record 4 is no JSON: invalid utf-8");
        let over = Batch { finishes: true, ..batch(2, 3, &[]) };
        refused(&over, STORED, "no record says that the run is over");
    }
}
