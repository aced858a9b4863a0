//! The ledger of permits in the journal: read, decided on, appended behind what was read.

use std::sync::Arc;

use super::EngineError;
use crate::ids::RunId;
use crate::journal::{
    AppendError, Batch, Damage, DamageKind, Journal, LedgerHistory, Record, Sealer, ledger_stream,
    nth_stream,
};
use crate::limits::{Ledger, LedgerEvent};
use crate::time::Timestamp;

/// After so many records a stream of the ledger is full, unless it is told otherwise.
const FULL: u64 = 1000;

/// How the ledger that somebody has stands to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is what the records come to, up to where the next one goes.
    Stored,
    /// Nothing was read, or something was folded in that may not be stored.
    Open,
    /// The stream behind this one has no records, so this one has them.
    TurnedBack,
}

/// The ledger as an engine last read it, and where its next record goes. Pure: whoever has it reads and
/// appends.
#[derive(Debug, Clone)]
pub struct Pages {
    /// What the records come to.
    pub ledger: Ledger,
    /// The stream, from 1.
    nth: u64,
    sealer: Sealer,
    run: RunId,
    standing: Standing,
    full: u64,
}

impl Pages {
    /// Of which nothing was read, with stream `nth`, the newest that there is, or 1. Nothing for a number
    /// that no stream has.
    pub fn new(nth: u64) -> Option<Self> {
        let run = ledger_stream(nth)?;
        let (ledger, sealer) = (Ledger::new(), Sealer::new(&run));
        Some(Self { ledger, nth, sealer, run, standing: Standing::Open, full: FULL })
    }

    /// The same with streams that are full after so many records, at least 1. Whoever reads them need not
    /// know it.
    #[must_use]
    pub fn full_after(mut self, records: u64) -> Self {
        self.full = records.max(1);
        self
    }

    /// The stream that is to be read, or appended to.
    pub const fn stream(&self) -> &RunId {
        &self.run
    }

    /// How many records that stream has, as far as is known here.
    pub const fn seq(&self) -> u64 {
        self.sealer.seq()
    }

    /// Takes up what the stream has. Returns whether another is to be read as well: the next one, or the
    /// one before, where what was to begin this one was not stored.
    ///
    /// # Errors
    /// [`Damage`] names the first record that is not what was written.
    pub fn read(&mut self, records: &[Record]) -> Result<bool, Damage> {
        if records.is_empty() && self.nth > 1 {
            return self.read_nothing();
        }
        let history = LedgerHistory::verify(&self.run, records)?;
        let closed = history.is_closed();
        self.ledger = history.ledger;
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.sealer = Sealer::after(&self.run, count, 1, history.head);
        self.standing = Standing::Stored;
        if closed {
            self.turn_to(self.nth.saturating_add(1));
        }
        Ok(closed)
    }

    /// The stream has no records: what the one before came to is where it goes on.
    fn read_nothing(&mut self) -> Result<bool, Damage> {
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::TrustUnstored) {
            return Ok(false);
        }
        match self.standing {
            Standing::Stored => Ok(false),
            Standing::Open => {
                self.turn_to(self.nth.saturating_sub(1));
                self.standing = Standing::TurnedBack;
                Ok(true)
            }
            Standing::TurnedBack => {
                Err(Damage { run: self.run.clone(), seq: 1, kind: DamageKind::Empty })
            }
        }
    }

    /// What a stream that begins with the next record takes over.
    pub fn carried(&self) -> Option<Ledger> {
        self.begins().then(|| self.ledger.clone())
    }

    /// The batch of `events`, which were folded into the ledger already. A stream that begins takes over
    /// what was `carried`: the ledger before them. If it cannot be appended, the ledger has to be read
    /// again.
    pub fn batch(
        &mut self,
        events: &[LedgerEvent],
        carried: Option<Ledger>,
        at: Timestamp,
    ) -> Batch {
        let expected = self.sealer.seq();
        self.standing = Standing::Open;
        let mut records = Vec::with_capacity(events.len() + 2);
        if expected == 0 {
            let carried = carried.filter(|ledger| *ledger != Ledger::new()).map(Box::new);
            records.push(self.sealer.seal_entry(at, &LedgerEvent::Opened { carried }));
        }
        records.extend(events.iter().map(|event| self.sealer.seal_entry(at, event)));
        let finishes = self.sealer.seq() >= self.full;
        if finishes {
            let closed = LedgerEvent::Closed { records: self.sealer.seq() };
            records.push(self.sealer.seal_entry(at, &closed));
        }
        let (run, epoch) = (self.run.clone(), self.sealer.epoch());
        Batch { run, expected, epoch, records, blobs: Vec::new(), finishes }
    }

    /// The batch is stored; whether it was the last of its stream.
    pub fn stored(&mut self, finishes: bool) {
        self.standing = Standing::Stored;
        if finishes {
            self.turn_to(self.nth.saturating_add(1));
        }
    }

    fn turn_to(&mut self, nth: u64) {
        self.nth = nth;
        if let Some(next) = ledger_stream(nth) {
            self.sealer = Sealer::new(&next);
            self.run = next;
        }
    }

    /// Whether the next record begins a stream.
    const fn begins(&self) -> bool {
        self.sealer.seq() == 0
    }
}

/// The pages of a journal.
#[derive(Debug)]
pub(super) struct Stored {
    journal: Arc<dyn Journal>,
    pub(super) pages: Pages,
    /// Whether the ledger was read before.
    known: bool,
}

impl Stored {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Option<Self> {
        Some(Self { journal, pages: Pages::new(1)?, known: false })
    }

    /// Whether the ledger was read and is what was written, as far as is known.
    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    /// The ledger could not be read: another may have been begun, and is looked for next time.
    pub(super) const fn forget(&mut self) {
        self.known = false;
    }

    /// Reads what is stored.
    pub(super) async fn refresh(&mut self) -> Result<(), EngineError> {
        if !self.known {
            let heads = self.journal.heads().await?;
            let newest = heads.iter().filter_map(|head| nth_stream(&head.run)).max();
            if let Some(pages) = Pages::new(newest.unwrap_or(1)) {
                self.pages = pages;
            }
            self.known = true;
        }
        loop {
            let records = self.journal.read(self.pages.stream()).await?;
            if !self.pages.read(&records)? {
                return Ok(());
            }
        }
    }

    /// Appends events that were folded into the ledger already; see [`Pages::batch`].
    pub(super) async fn append(
        &mut self,
        events: &[LedgerEvent],
        carried: Option<Ledger>,
        at: Timestamp,
    ) -> Result<(), AppendError> {
        let batch = self.pages.batch(events, carried, at);
        let finishes = batch.finishes;
        self.journal.append(batch).await?;
        self.pages.stored(finishes);
        Ok(())
    }
}
