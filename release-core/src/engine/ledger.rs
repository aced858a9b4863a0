//! The ledger of permits in the journal: read, decided on, appended behind what was read.

use std::sync::Arc;

use super::EngineError;
use crate::ids::RunId;
use crate::journal::{
    AppendError, Batch, Journal, LedgerHistory, Sealer, ledger_stream, nth_stream,
};
use crate::limits::{Ledger, LedgerEvent};
use crate::time::Timestamp;

/// After so many records a stream of the ledger is full.
const FULL: u64 = 1000;

/// The ledger as this engine last read it, and where its next record goes.
#[derive(Debug)]
pub(super) struct Stored {
    journal: Arc<dyn Journal>,
    pub(super) ledger: Ledger,
    /// The stream, from 1; 0 before the ledger was read.
    nth: u64,
    sealer: Sealer,
    run: RunId,
}

impl Stored {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Option<Self> {
        let run = ledger_stream(1)?;
        let (ledger, sealer) = (Ledger::new(), Sealer::new(&run));
        Some(Self { journal, ledger, nth: 0, sealer, run })
    }

    /// Reads what is stored.
    pub(super) async fn refresh(&mut self) -> Result<(), EngineError> {
        if self.nth == 0 {
            let heads = self.journal.heads().await?;
            self.nth = heads.iter().filter_map(|head| nth_stream(&head.run)).max().unwrap_or(1);
        } else if self.begins() && self.nth > 1 {
            self.nth -= 1; // what the next takes over
        }
        loop {
            let Some(run) = ledger_stream(self.nth) else { return Ok(()) };
            let records = self.journal.read(&run).await?;
            let history = LedgerHistory::verify(&run, &records)?;
            if records.is_empty() && self.nth > 1 {
                return Ok(()); // the one before is closed, and this is where it goes on
            }
            let closed = history.is_closed();
            self.ledger = history.ledger;
            self.sealer = Sealer::after(&run, records.len() as u64, 1, history.head);
            self.run = run;
            if !closed {
                return Ok(());
            }
            self.turn_the_page();
        }
    }

    /// Appends events that were folded into the ledger already. A stream that begins takes over what was
    /// `carried`: the ledger before them. If they cannot be appended, the ledger has to be read again.
    pub(super) async fn append(
        &mut self,
        events: &[LedgerEvent],
        carried: Option<Ledger>,
        at: Timestamp,
    ) -> Result<(), AppendError> {
        let expected = self.sealer.seq();
        let mut records = Vec::with_capacity(events.len() + 2);
        if expected == 0 {
            let carried = carried.filter(|ledger| *ledger != Ledger::new()).map(Box::new);
            records.push(self.sealer.seal_entry(at, &LedgerEvent::Opened { carried }));
        }
        records.extend(events.iter().map(|event| self.sealer.seal_entry(at, event)));
        let finishes = self.sealer.seq() >= FULL;
        if finishes {
            let closed = LedgerEvent::Closed { records: self.sealer.seq() };
            records.push(self.sealer.seal_entry(at, &closed));
        }
        let (run, epoch) = (self.run.clone(), self.sealer.epoch());
        let batch = Batch { run, expected, epoch, records, blobs: Vec::new(), finishes };
        self.journal.append(batch).await?;
        if finishes {
            self.turn_the_page();
        }
        Ok(())
    }

    fn turn_the_page(&mut self) {
        self.nth = self.nth.saturating_add(1);
        if let Some(next) = ledger_stream(self.nth) {
            self.sealer = Sealer::new(&next);
            self.run = next;
        }
    }

    /// Whether the next record begins a stream.
    pub(super) const fn begins(&self) -> bool {
        self.sealer.seq() == 0
    }
}
