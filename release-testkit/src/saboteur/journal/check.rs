//! Checks in which one thing is wrong.

use release_core::journal::{AppendError, Batch, Stored};

use super::store::Disk;
use super::{JournalFault, SabotagedJournal};
use crate::fakes::lock;

impl SabotagedJournal {
    /// As [`Batch::check`], but for the fault.
    pub(super) fn check(&self, disk: &Disk, batch: &Batch) -> Result<(), AppendError> {
        let stored = disk.stored(&self.key(&batch.run));
        if self.fault == JournalFault::RefusesKnownBlobs
            && batch.blobs.iter().any(|(digest, _)| disk.blobs.contains_key(digest))
        {
            let detail = "UNIQUE constraint failed: blobs.digest".to_owned();
            return Err(AppendError::Unavailable { detail });
        }
        if self.fault == JournalFault::TakesOnlyNextEpoch
            && stored.epoch > 0
            && batch.epoch > stored.epoch + 1
        {
            let (run, epoch, stored) = (batch.run.clone(), batch.epoch, stored.epoch);
            return Err(AppendError::Fenced { run, epoch, stored });
        }
        let believed = self.believed(disk, batch, stored);
        self.looked_at(batch).check(believed).map_err(|refused| self.answered(refused))
    }

    /// What it takes for stored.
    fn believed(&self, disk: &Disk, batch: &Batch, stored: Stored) -> Stored {
        let seq = match self.fault {
            JournalFault::IgnoresExpected => batch.expected,
            JournalFault::TakesSequencesAhead => stored.seq.max(batch.expected),
            JournalFault::ChecksEndFirst if stored.finished => batch.expected,
            _ => stored.seq,
        };
        let epoch = match self.fault {
            JournalFault::IgnoresEpoch => 0,
            JournalFault::FencesOnlyConflicts if batch.expected == stored.seq => 0,
            JournalFault::ChecksSequenceFirst if batch.expected != stored.seq => 0,
            JournalFault::ChecksEndFirst if stored.finished => 0,
            JournalFault::FencesOnce if batch.epoch < stored.epoch => {
                let fenced = &mut lock(&self.memory).fenced;
                if fenced.contains(&batch.run) {
                    0
                } else {
                    fenced.push(batch.run.clone());
                    stored.epoch
                }
            }
            JournalFault::SharesEpochs => {
                disk.heads().iter().map(|head| head.epoch).max().unwrap_or(0)
            }
            _ => stored.epoch,
        };
        let finished = match self.fault {
            JournalFault::TakesEmptyAfterEnd if batch.records.is_empty() => false,
            JournalFault::TakesHeirsAfterEnd if batch.epoch > stored.epoch => false,
            _ => stored.finished,
        };
        let seen = lock(&self.memory).seen.get(&batch.run).copied();
        match (self.fault, seen) {
            (JournalFault::ChecksItsMemory, Some(seen)) => seen,
            _ => Stored { seq, epoch, finished },
        }
    }

    /// What it looks at of a batch.
    fn looked_at(&self, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        match self.fault {
            JournalFault::ChecksFirstRecordOnly => batch.records.truncate(1),
            JournalFault::IgnoresRecordEpochs => {
                batch.records.iter_mut().for_each(|record| record.epoch = batch.epoch);
            }
            JournalFault::TakesEndWithoutRecord => batch.finishes = false,
            _ => {}
        }
        batch
    }

    /// What it answers with.
    fn answered(&self, refused: AppendError) -> AppendError {
        match (self.fault, refused) {
            (JournalFault::NamesExpectedAsActual, AppendError::Conflict { run, expected, .. }) => {
                AppendError::Conflict { run, expected, actual: expected }
            }
            (JournalFault::NamesOwnEpoch, AppendError::Fenced { run, epoch, .. }) => {
                AppendError::Fenced { run, epoch, stored: epoch }
            }
            (_, refused) => refused,
        }
    }
}
