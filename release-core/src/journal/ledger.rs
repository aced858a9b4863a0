//! The stored form of the ledger of permits: streams of records as those of runs, under names that no
//! run can have.

use super::wire::{open, origin, unreadable};
use super::{Damage, DamageKind, Record, Sealer};
use crate::ids::RunId;
use crate::limits::{Ledger, LedgerEvent};
use crate::model::Digest;
use crate::time::Timestamp;

/// What the names of streams of the ledger begin with.
const PREFIX: &str = "limits-ledger.";

/// The name of stream number `nth` of the ledger of permits, from 1.
///
/// Not all of the ledger is in one stream, so that reading it takes the same time however old it is:
/// each begins with what the one before it came to.
pub fn ledger_stream(nth: u64) -> Option<RunId> {
    RunId::new(format!("{PREFIX}{nth}")).ok()
}

/// The number of a stream of the ledger; `None` for a run.
#[cfg(feature = "driver")]
pub(crate) fn nth_stream(run: &RunId) -> Option<u64> {
    run.as_str().strip_prefix(PREFIX)?.parse().ok()
}

/// Whether a name is not free for runs, because the ledger of permits or kills of flags have names of this kind.
pub fn is_reserved(run: &RunId) -> bool {
    run.as_str().starts_with(PREFIX) || super::is_kill(run)
}

impl Sealer {
    /// Seals one event of the ledger that happened at `at`.
    pub fn seal_entry(&mut self, at: Timestamp, event: &LedgerEvent) -> Record {
        self.seal_json(at, None, |bytes| {
            // INVARIANT: events serialise without fail: string keys, numbers, no custom errors.
            let written = serde_json::to_writer(bytes, event);
            debug_assert!(written.is_ok(), "{written:?}");
        })
    }
}

/// A verified stream of the ledger of permits, decoded and folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHistory {
    /// What happened, in order, and when.
    pub entries: Vec<(Timestamp, LedgerEvent)>,
    /// What followed from it.
    pub ledger: Ledger,
    /// The hash of the last record.
    pub head: Digest,
}

impl LedgerHistory {
    /// Verifies the chain of `records`, decodes and folds them. A stream without records is empty.
    ///
    /// # Errors
    /// [`Damage`] names the first record that is not what was written, or cannot be.
    pub fn verify(run: &RunId, records: &[Record]) -> Result<Self, Damage> {
        let entries = Vec::with_capacity(records.len());
        let mut history = Self { entries, ledger: Ledger::new(), head: origin() };
        for (record, seq) in records.iter().zip(1_u64..) {
            let damage = |kind| Damage { run: run.clone(), seq, kind };
            let (at, event) = entry(run, record, seq, history.head).map_err(damage)?;
            let legal = history.ledger.evolve(at, &event);
            legal.map_err(|illegal| damage(DamageKind::Entry(illegal)))?;
            history.entries.push((at, event));
            history.head = record.hash;
        }
        Ok(history)
    }

    /// Whether the stream is full, and the next goes on.
    pub fn is_closed(&self) -> bool {
        matches!(self.entries.last(), Some((_, LedgerEvent::Closed { .. })))
    }
}

fn entry(
    run: &RunId,
    record: &Record,
    seq: u64,
    prev: Digest,
) -> Result<(Timestamp, LedgerEvent), DamageKind> {
    let envelope = open(run, record, seq, prev)?;
    let event = serde_json::from_str(envelope.event.get()).map_err(unreadable)?;
    // Every stream begins in the same way.
    if (seq == 1) != matches!(event, LedgerEvent::Opened { .. }) {
        let found = "a stream that does not begin with its opening".to_owned();
        return Err(DamageKind::Misplaced { found });
    }
    Ok((envelope.at, event))
}
