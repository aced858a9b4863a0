//! The simulated journal: one log a run, checked as every store checks, with writes that can be torn,
//! lost, late or of unknown outcome. What was written is on the disk only once it is synced: a loss of
//! power takes the rest.

use release_core::journal::{AppendError, Batch, Record, Stored};

/// The records of one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) records: Vec<Record>,
    /// When each was stored, in ticks of the simulation.
    pub(super) ticks: Vec<u64>,
    stored: Stored,
    /// How many records a loss of power leaves, and what is known of the run with them.
    synced: (usize, Stored),
    /// What a crash left of a batch, as bytes: the batch's length, and what of it reached the disk.
    torn: Option<Torn>,
    /// How often a torn tail was cut off.
    pub(super) repaired: u32,
}

#[derive(Debug, Clone)]
struct Torn {
    batch: Batch,
    frames: Vec<u8>,
    tick: u64,
}

impl Log {
    /// Writes a batch, or says why not. Readers see it; it is durable once it is [synced](Self::sync).
    pub(super) fn append(&mut self, batch: Batch, tick: u64) -> Result<(), AppendError> {
        batch.check(self.stored)?;
        // Where `check` did not look at the sequence, what was there is overwritten.
        let kept = usize::try_from(batch.expected).unwrap_or(usize::MAX);
        self.records.truncate(kept);
        self.ticks.truncate(kept);
        self.ticks.resize(self.ticks.len() + batch.records.len(), tick);
        self.records.extend(batch.records);
        self.stored = Stored {
            seq: u64::try_from(self.records.len()).unwrap_or(u64::MAX),
            epoch: batch.epoch,
            finished: self.stored.finished || batch.finishes,
        };
        Ok(())
    }

    /// All that is written survives a loss of power from now on.
    pub(super) const fn sync(&mut self) {
        self.synced = (self.records.len(), self.stored);
    }

    /// The power fails: what was not synced is gone.
    pub(super) fn lose_unsynced(&mut self) {
        let (count, stored) = self.synced;
        self.records.truncate(count);
        self.ticks.truncate(count);
        self.stored = stored;
    }

    /// What there is, as it is checked.
    pub(super) const fn stored(&self) -> Stored {
        self.stored
    }

    /// How many bytes a batch has on disk.
    pub(super) fn bytes_of(batch: &Batch) -> usize {
        frames(batch).len()
    }

    /// The power fails after `bytes` of a batch.
    pub(super) fn tear(&mut self, batch: Batch, bytes: usize, tick: u64) {
        let mut frames = frames(&batch);
        frames.truncate(bytes);
        self.torn = Some(Torn { batch, frames, tick });
    }

    /// Opens the log after a crash: a batch of which not every byte is there was never stored, and is
    /// cut off.
    pub(super) fn open(&mut self) {
        let Some(Torn { batch, frames, tick }) = self.torn.take() else { return };
        if whole(&frames, batch.records.len()) {
            // It was taken when it was written; nobody wrote in between.
            let _ = self.append(batch, tick);
            self.sync();
        } else if !frames.is_empty() {
            self.repaired += 1;
        }
    }
}

/// A batch on disk: for each record its length, its hash and its bytes.
fn frames(batch: &Batch) -> Vec<u8> {
    let mut frames = Vec::new();
    for record in &batch.records {
        frames.extend(u32::try_from(record.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        frames.extend(record.hash.as_bytes());
        frames.extend(&record.bytes);
    }
    frames
}

/// Whether `frames` has all of `count` records.
fn whole(mut frames: &[u8], count: usize) -> bool {
    for _ in 0..count {
        let Some((length, rest)) = frames.split_first_chunk::<4>() else { return false };
        let length = u32::from_be_bytes(*length) as usize;
        match rest.get(32 + length..) {
            Some(rest) => frames = rest,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use release_core::journal::Sealer;
    use release_core::model::Timestamp;
    use release_core::run::Event;

    use super::*;

    fn next(sealer: &mut Sealer, reason: &str) -> Batch {
        let (run, expected) = ("r".parse().unwrap(), sealer.seq());
        let event = Event::Paused { by: crate::fixtures::operator(), reason: reason.into() };
        let records = vec![sealer.seal(Timestamp::from_micros(1), &event)];
        Batch { run, expected, epoch: 1, records, blobs: Vec::new(), finishes: false }
    }

    #[test]
    fn f4_a_loss_of_power_leaves_the_last_durable_prefix() {
        let (mut log, mut sealer) = (Log::default(), Sealer::new(&"r".parse().unwrap()));
        for text in ["one", "two"] {
            log.append(next(&mut sealer, text), 1).unwrap();
        }
        log.sync();
        let (durable, after) = (log.records.clone(), sealer.clone());
        log.append(next(&mut sealer, "lost"), 2).unwrap();
        assert_eq!(log.records.len(), 3, "readers see what is written");
        log.lose_unsynced();
        assert_eq!((&log.records, log.ticks.len()), (&durable, 2));
        // Whoever goes on from the durable prefix is not in conflict with what was lost.
        let mut sealer = after;
        log.append(next(&mut sealer, "again"), 3).unwrap();
        log.sync();
        log.lose_unsynced();
        assert_eq!(log.records.len(), 3);
    }
}
