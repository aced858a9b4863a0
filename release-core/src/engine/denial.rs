//! Whoever may not is refused and put on record, and whoever drives the run goes on.
//!
//! The policy is asked before the run is taken over, so that nobody stops a run who may not move it. The
//! record of a denial starts nothing and changes nothing of the state. So it is the one record that is
//! appended in the epoch of the writer that is there: that one finds it at its next append, reads, and
//! decides anew ([`rules::only_denials`](super::rules::only_denials)).

use super::resume::{Found, Open};
use super::{Engine, EngineError, rules};
use crate::ids::RunId;
use crate::journal::{AppendError, Batch, Sealer};
use crate::run::{Directive, Event, Rejected, RunState, Turn, denial};
use crate::time::Timestamp;

/// How often a denial is appended behind what the run's writer appends meanwhile.
const TRIES: u32 = 16;

impl Engine {
    /// Asks the policy about a directive for a run that is not taken over yet.
    ///
    /// # Errors
    /// [`EngineError::Refused`]; a denial is then on record.
    pub(super) async fn permitted(
        &self,
        open: Open,
        directive: &Directive,
    ) -> Result<Open, EngineError> {
        let (now, anomaly) = (self.instant(&open.state), self.shared.clock.read().1);
        let turn = Turn { anomaly, ..Turn::new(now, 0, &*self.shared.policy) };
        let run = open.state.run();
        match denial(&open.state, directive, &turn) {
            Ok(None) => Ok(open),
            Ok(denied) => Err(self.refused(run, denied).await),
            Err(reason) => Err(EngineError::Refused { run: run.clone(), reason }),
        }
    }

    /// Puts a denial on record, in the epoch of whoever drives the run, and says why it was refused.
    pub(super) async fn refused(&self, run: &RunId, denied: Option<Event>) -> EngineError {
        let Some(event @ Event::CommandDenied { reasons, .. }) = &denied else {
            return EngineError::Internal { run: run.clone(), detail: "a denial is lost".into() };
        };
        let reason = Rejected::Denied { reasons: reasons.clone() };
        if let Err(error) = self.put_on_record(run, event).await {
            tracing::error!(%run, %error, "a denied command is not on record");
        }
        EngineError::Refused { run: run.clone(), reason }
    }

    async fn put_on_record(&self, run: &RunId, denied: &Event) -> Result<(), EngineError> {
        let mut last = AppendError::Finished { run: run.clone() };
        for _ in 0..TRIES {
            let Found::Open(open) = self.find(run).await? else { break };
            let batch = self.record_of(*open, denied)?;
            let head = batch.records.last().map(|record| record.hash);
            match self.shared.journal.append(batch).await {
                Ok(()) => return Ok(()),
                Err(error @ AppendError::Unknown { .. }) => {
                    let (history, _) = self.load(run).await?;
                    if history.hashes().iter().any(|hash| Some(*hash) == head) {
                        return Ok(());
                    }
                    last = error;
                }
                Err(error @ (AppendError::Conflict { .. } | AppendError::Fenced { .. })) => {
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// The batch with one denial behind what is stored.
    fn record_of(&self, mut open: Open, denied: &Event) -> Result<Batch, EngineError> {
        let run = open.state.run().clone();
        let now = self.instant(&open.state);
        open.state.evolve(now, denied).map_err(|illegal| EngineError::internal(&run, &illegal))?;
        let (expected, epoch) = (open.sealer.seq(), open.sealer.epoch().saturating_sub(1));
        let mut sealer = Sealer::after(&run, expected, epoch, open.sealer.head());
        let records = sealer.batch(now, std::slice::from_ref(denied), open.state.digest());
        let blobs = Vec::new();
        Ok(Batch { run, expected, epoch, records, blobs, finishes: false })
    }

    fn instant(&self, state: &RunState) -> Timestamp {
        let wall = self.shared.clock.read().0;
        rules::decision_time(wall, state.now(), state.now())
    }
}
