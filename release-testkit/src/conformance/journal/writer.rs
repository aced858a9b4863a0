//! A writer of a run: seals records as the engine does, and knows what must be there afterwards.

use std::sync::Arc;

use release_core::journal::{Batch, Head, Record, Sealer};
use release_core::model::{Digest, Principal, RunId, Timestamp};
use release_core::run::Event;

use crate::fixtures;

/// Writes one run. A clone writes the same run in the same epoch: another writer, or one who knows
/// what would be there if a batch were stored.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    run: RunId,
    sealer: Sealer,
    /// Whether its epoch has begun: an epoch begins with the record that says who took over.
    begun: bool,
    written: Vec<Record>,
}

impl Writer {
    /// The first writer of a run, in epoch 1.
    pub(super) fn new(run: &str) -> Self {
        let run = fixtures::literal(run);
        Self { sealer: Sealer::new(&run), run, begun: true, written: Vec::new() }
    }

    /// One who takes the run over with `epoch`, where this writer is.
    pub(super) fn heir(&self, epoch: u64) -> Self {
        self.at(self.sealer.seq(), epoch)
    }

    /// One of `epoch` who believes that the run is at sequence `seq`.
    pub(super) fn at(&self, seq: u64, epoch: u64) -> Self {
        let sealer = Sealer::after(&self.run, seq, epoch, self.sealer.head());
        Self { sealer, begun: seq == 0, ..self.clone() }
    }

    /// The next `count` records, as a batch.
    pub(super) fn next(&mut self, count: u64) -> Batch {
        let first = self.sealer.seq();
        self.says((1..=count).map(|number| format!("pause {}", first + number)))
    }

    /// The next records, whose texts these are (but for the first of a run or of an epoch).
    pub(super) fn says(&mut self, texts: impl IntoIterator<Item = impl Into<String>>) -> Batch {
        let expected = self.sealer.seq();
        let records: Vec<_> = texts.into_iter().map(|text| self.seal(text.into())).collect();
        self.written.extend_from_slice(&records);
        let (run, epoch) = (self.run.clone(), self.sealer.epoch());
        Batch { run, expected, epoch, records, blobs: Vec::new(), finishes: false }
    }

    fn seal(&mut self, text: String) -> Record {
        let by: Principal = fixtures::robot();
        let event = if self.sealer.seq() == 0 {
            Event::RunCreated {
                plan: Digest::of(b"plan"),
                definition: None,
                supersedes: None,
                requester: by,
            }
        } else if self.begun {
            Event::Paused { by, reason: text }
        } else {
            Event::TakenOver { engine: text }
        };
        self.begun = true;
        self.sealer.seal(Timestamp::from_micros(1_795_000_000_000_000), &event)
    }

    /// The run.
    pub(super) const fn run(&self) -> &RunId {
        &self.run
    }

    /// The sequence of the last record.
    pub(super) const fn seq(&self) -> u64 {
        self.sealer.seq()
    }

    /// All records of the run, if all that was written was stored.
    pub(super) fn written(&self) -> &[Record] {
        &self.written
    }

    /// The head of the run, if all that was written was stored.
    pub(super) fn head(&self, finished: bool) -> Head {
        let (seq, epoch) = (self.sealer.seq(), self.sealer.epoch());
        Head { run: self.run.clone(), seq, epoch, hash: self.sealer.head(), finished }
    }
}

/// Content and its digest.
pub(super) fn content(bytes: impl Into<Vec<u8>>) -> (Digest, Arc<[u8]>) {
    let bytes = bytes.into();
    (Digest::of(&bytes), bytes.into())
}

/// A batch that comes with content.
pub(super) fn with<const N: usize>(batch: Batch, blobs: [&[u8]; N]) -> Batch {
    Batch { blobs: blobs.map(content).into(), ..batch }
}

/// A batch that ends its run.
pub(super) fn last(batch: Batch) -> Batch {
    Batch { finishes: true, ..batch }
}
