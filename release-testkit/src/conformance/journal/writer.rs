//! A writer of a run: seals records as the engine does, and knows what must be there afterwards.

use std::sync::Arc;

use release_core::journal::{Batch, Head, Record, Sealer};
use release_core::model::{Digest, Principal, RunId, Timestamp};
use release_core::run::{Event, Outcome};

use crate::fixtures;

/// When everything happens, in microseconds since 1970.
const AT: i64 = 1_795_000_000_000_000;

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
        let records = texts.into_iter().map(|text| self.seal(text.into())).collect();
        self.batch(records, false)
    }

    /// The next `count` records, as a batch that ends the run.
    pub(super) fn ends(&mut self, count: u64) -> Batch {
        let mut records: Vec<_> = (1..count).map(|_| self.seal("pause".into())).collect();
        let over = Event::RunFinished { outcome: Outcome::Succeeded };
        records.push(self.sealer.seal(Timestamp::from_micros(AT), &over));
        self.batch(records, true)
    }

    fn batch(&mut self, records: Vec<Record>, finishes: bool) -> Batch {
        let expected = self.sealer.seq() - records.len() as u64;
        self.written.extend_from_slice(&records);
        let (run, epoch) = (self.run.clone(), self.sealer.epoch());
        Batch { run, expected, epoch, records, blobs: Vec::new(), finishes }
    }

    fn seal(&mut self, text: String) -> Record {
        let by: Principal = fixtures::robot();
        let event = if self.sealer.seq() == 0 {
            Event::RunCreated {
                plan: Digest::of(b"plan"),
                definition: None,
                supersedes: None,
                policy: None,
                requester: by,
            }
        } else if self.begun {
            Event::Paused { by, reason: text }
        } else {
            Event::TakenOver { engine: text }
        };
        self.begun = true;
        self.sealer.seal(Timestamp::from_micros(AT), &event)
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
