//! Begins a new ledger of permits where the one that there is cannot be read as it was written.

use std::sync::Arc;

use super::ledger::{Pages, Stored};
use super::limiter::{Message, damage};
use super::resume::NotResumed;
use super::{Engine, EngineError, desk};
use crate::ids::RunId;
use crate::journal::{AppendError, Batch, Head, Sealer, nth_stream};
use crate::limits::{LedgerEvent, Request};
use crate::model::Principal;
use crate::run::Rejected;
use crate::time::Timestamp;

/// How often others may be faster in writing to the old ledger before it is given up.
const ATTEMPTS: u32 = 16;

/// What came of beginning a new ledger of permits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it says which runs the new ledger knows nothing of"]
pub struct LedgerRenewal {
    /// The stream that begins it.
    pub stream: RunId,
    /// The runs that have something in it, as their own records say, in the order of their ids.
    pub reclaimed: Vec<RunId>,
    /// Open runs whose records could not be read: what they may have under way counts for no limit.
    pub unread: Vec<NotResumed>,
}

/// What open runs have by their own records.
struct Found {
    requests: Vec<Request>,
    unread: Vec<NotResumed>,
    /// The latest instant in any of them.
    latest: Timestamp,
}

impl Engine {
    /// Begins a new ledger of permits, because the one that there is is damaged and no backup of it will
    /// be restored. Nobody writes to the old one any more. The new one begins with who asked for it and
    /// why, the engine's limits, and what every open run has by its own records: what may be under way,
    /// and what it has begun of regions and of itself. That may be more than there is; then nothing is
    /// granted until enough was given back. Other engines on the journal find it by themselves.
    ///
    /// Lost is who waited since when (all ask anew), and what was charged to quotas by what is over. A step
    /// that was granted its permits just before and has no record of its begin yet is not seen.
    ///
    /// # Errors
    /// [`EngineError::LedgerSound`] when the ledger can be read, [`EngineError::Refused`] without a reason,
    /// [`EngineError::NoLimits`], or what the journal says; no new ledger was begun then.
    pub async fn renew_ledger(
        &self,
        by: Principal,
        reason: impl Into<String>,
    ) -> Result<LedgerRenewal, EngineError> {
        self.check_open()?;
        let limits = self.shared.limits.clone().ok_or(EngineError::NoLimits)?;
        let reason = reason.into();
        let Some(mut stored) = Stored::new(Arc::clone(&self.shared.journal)) else {
            return Err(EngineError::NoLimits);
        };
        let Err(error) = stored.refresh().await else { return Err(EngineError::LedgerSound) };
        if damage(&error).is_none() {
            return Err(error);
        }
        let lost = stored.pages.stream().clone();
        if reason.trim().is_empty() {
            let reason = Rejected::NoReason { command: "renew_ledger" };
            return Err(EngineError::Refused { run: lost, reason });
        }
        let newest = self.close_streams().await?;
        let found = self.in_use().await?;
        let Some(mut pages) = Pages::new(newest.saturating_add(1)) else {
            return Err(EngineError::LedgerSound);
        };
        let mut events = vec![
            LedgerEvent::Renewed { by, reason, lost },
            LedgerEvent::Configured { limits: (*limits).clone() },
        ];
        let mut reclaimed: Vec<_> = found.requests.iter().map(|r| r.claim.run.clone()).collect();
        reclaimed.dedup();
        let requests = found.requests.into_iter();
        events.extend(requests.map(|request| LedgerEvent::Reclaimed { request }));
        let at = self.shared.clock.now().max(found.latest);
        self.begin_with(&mut pages, &events, at).await?;
        // The engine's own task reads it at once; others when they write or look.
        if let Some(limiter) = self.shared.limiter() {
            let (reply, _) = tokio::sync::oneshot::channel();
            let _ = limiter.send(Message::Look { reply });
        }
        let (stream, unread) = (pages.stream().clone(), found.unread);
        Ok(LedgerRenewal { stream, reclaimed, unread })
    }

    /// Closes all streams of the old ledger, so that nobody who still knows it decides by it. Returns the
    /// number of the newest.
    async fn close_streams(&self) -> Result<u64, EngineError> {
        let mut left = ATTEMPTS;
        loop {
            let heads = self.shared.journal.heads().await?;
            let streams = heads.into_iter().filter_map(|head| Some((nth_stream(&head.run)?, head)));
            let streams: Vec<_> = streams.collect();
            let newest = streams.iter().map(|(nth, _)| *nth).max().unwrap_or(1);
            let Some(error) = self.close_each(streams.iter().map(|(_, head)| head)).await? else {
                return Ok(newest);
            };
            left = left.saturating_sub(1);
            if left == 0 {
                return Err(error.into());
            }
        }
    }

    /// Returns in what others were faster, if they were.
    async fn close_each(
        &self,
        streams: impl Iterator<Item = &Head>,
    ) -> Result<Option<AppendError>, EngineError> {
        for head in streams.filter(|head| !head.finished) {
            let mut sealer = Sealer::after(&head.run, head.seq, head.epoch, head.hash);
            let closed = LedgerEvent::Closed { records: head.seq };
            let records = vec![sealer.seal_entry(self.shared.clock.now(), &closed)];
            let (run, expected, epoch) = (head.run.clone(), head.seq, head.epoch);
            let batch = Batch { run, expected, epoch, records, blobs: Vec::new(), finishes: true };
            match self.shared.journal.append(batch).await {
                // What refuses this refuses all that anybody adds.
                Ok(()) | Err(AppendError::Finished { .. } | AppendError::Damaged { .. }) => {}
                Err(error @ (AppendError::Conflict { .. } | AppendError::Fenced { .. })) => {
                    return Ok(Some(error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// What open runs have by their own records.
    async fn in_use(&self) -> Result<Found, EngineError> {
        let (requests, unread) = (Vec::new(), Vec::new());
        let mut found = Found { requests, unread, latest: Timestamp::default() };
        let mut open = self.open_runs().await?;
        open.sort_by(|one, other| one.run.cmp(&other.run));
        for Head { run, .. } in open {
            let state = match self.load(&run).await {
                Ok((history, plan)) => history
                    .state(plan, None)
                    .map(|state| (history.epoch(), state))
                    .map_err(EngineError::from),
                Err(error) => Err(error),
            };
            match state {
                Ok((epoch, state)) => {
                    let writer = (self.shared.unique.as_str(), epoch);
                    let permits = self.shared.permits_for(&state);
                    let held = permits.map(|permits| desk::in_use(&permits, &state, writer));
                    found.requests.extend(held.into_iter().flatten());
                    found.latest = found.latest.max(state.now());
                }
                Err(error) => {
                    tracing::warn!(%run, %error, "what the run has is not known");
                    found.unread.push(NotResumed { run, error });
                }
            }
        }
        Ok(found)
    }

    async fn begin_with(
        &self,
        pages: &mut Pages,
        events: &[LedgerEvent],
        at: Timestamp,
    ) -> Result<(), EngineError> {
        for event in events {
            let folded = pages.ledger.evolve(at, event);
            folded.map_err(|illegal| EngineError::Internal {
                run: pages.stream().clone(),
                detail: illegal.to_string(),
            })?;
        }
        let batch = pages.batch(events, None, at);
        let head = batch.records.last().map(|record| record.hash);
        match self.shared.journal.append(batch).await {
            Ok(()) => Ok(()),
            Err(AppendError::Conflict { .. } | AppendError::Finished { .. }) => {
                Err(EngineError::LedgerSound) // somebody else was faster
            }
            Err(error @ AppendError::Unknown { .. }) => {
                let records = self.shared.journal.read(pages.stream()).await?;
                let stored = records.iter().any(|record| Some(record.hash) == head);
                if stored { Ok(()) } else { Err(error.into()) }
            }
            Err(error) => Err(error.into()),
        }
    }
}
