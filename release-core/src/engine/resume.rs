//! Takes runs over: one, or all that are open, of which none can hold up another.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _, stream};

use super::driver::Driver;
use super::effect::panic_text;
use super::{Engine, EngineError, RunHandle, handle, rules};
use crate::ids::RunId;
use crate::journal::Sealer;
use crate::model::Principal;
use crate::plan::FrozenPlan;
use crate::run::{Command, Directive, Input, Rejected, RunState};

/// Most runs that are read at once. Journals commit together what is appended at once.
const AT_ONCE: usize = 64;

/// What came of resuming all open runs.
#[derive(Debug)]
#[must_use = "it says which runs nobody drives"]
pub struct ResumeReport {
    /// The runs that are driven now, in the order of their ids.
    pub resumed: Vec<RunHandle>,
    /// The runs that are not, in the order of their ids.
    pub not_resumed: Vec<NotResumed>,
}

/// A run that was not resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotResumed {
    /// The run.
    pub run: RunId,
    /// Why.
    pub error: EngineError,
}

impl ResumeReport {
    /// The runs that wait for somebody to release them.
    pub fn quarantined(&self) -> impl Iterator<Item = &RunId> {
        let quarantined = |not: &&NotResumed| matches!(not.error, EngineError::Quarantined { .. });
        self.not_resumed.iter().filter(quarantined).map(|not| &not.run)
    }
}

/// An open run as its journal says.
pub(super) struct Open {
    pub(super) state: RunState,
    /// The plan that it was created with.
    base: FrozenPlan,
    /// Of whoever takes it over next.
    pub(super) sealer: Sealer,
}

/// A run that was found in the journal.
pub(super) enum Found {
    Open(Box<Open>),
    Over(RunHandle),
}

impl Engine {
    /// Resumes a run from its journal, taking it over from whoever drove it before.
    ///
    /// Effects that were under way are looked for before anything else. A run that is over is not
    /// touched; its handle tells how it ended.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Damaged`] when the journal is not what was written or
    /// is not understood as it was (nothing is then repaired or guessed), [`EngineError::Quarantined`]
    /// when the run was taken over in vain too often, or what the journal says.
    pub async fn resume(&self, run: &RunId) -> Result<RunHandle, EngineError> {
        let open = match self.find(run).await? {
            Found::Over(handle) => return Ok(handle),
            Found::Open(open) => open,
        };
        let recoveries = open.state.recoveries();
        if rules::is_poison(recoveries, self.shared.max_recoveries) {
            return Err(EngineError::Quarantined { run: run.clone(), recoveries });
        }
        self.shared.performer.check(open.state.plan().plan()).map_err(EngineError::Bindings)?;
        let mut driver = self.take_over(*open)?;
        driver.begin(Vec::new()).await?;
        Ok(self.drive(driver))
    }

    /// Resumes all runs that are not over, each by itself: one that is damaged, quarantined, or that
    /// cannot be performed here is reported, and hinders no other. Takes time in proportion to what the
    /// open runs have recorded.
    ///
    /// # Errors
    /// When the journal cannot tell which runs are open, or the engine was shut down.
    pub async fn resume_all(&self) -> Result<ResumeReport, EngineError> {
        self.check_open()?;
        let open = self.open_runs().await?;
        let each = open.into_iter().map(|head| self.resume_guarded(head.run));
        let mut all: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (mut resumed, mut not_resumed) = (Vec::with_capacity(all.len()), Vec::new());
        for (run, result) in all {
            match result {
                Ok(handle) => resumed.push(handle),
                Err(error) => {
                    tracing::warn!(%run, %error, "the run is not resumed");
                    not_resumed.push(NotResumed { run, error });
                }
            }
        }
        Ok(ResumeReport { resumed, not_resumed })
    }

    /// Resumes a run that is quarantined. Who asked for it and why is journaled; the policy is asked
    /// whether they may (`release_quarantine`) before anything is touched.
    ///
    /// # Errors
    /// [`EngineError::Refused`] when the policy denies it, which is on record, or no reason is given,
    /// [`EngineError::NotQuarantined`] when it is not; the run is then as before, with whoever drives it.
    /// And as for [`Engine::resume`].
    pub async fn release_from_quarantine(
        &self,
        run: &RunId,
        by: Principal,
        reason: &str,
    ) -> Result<RunHandle, EngineError> {
        let open = match self.find(run).await? {
            Found::Over(handle) => return Ok(handle),
            Found::Open(open) => open,
        };
        let directive = Directive::new(Command::ReleaseQuarantine, by, reason);
        let open = self.permitted(*open, &directive).await?;
        let (recoveries, most) = (open.state.recoveries(), self.shared.max_recoveries);
        if !rules::is_poison(recoveries, most) {
            return Err(EngineError::NotQuarantined { run: run.clone(), recoveries, most });
        }
        self.shared.performer.check(open.state.plan().plan()).map_err(EngineError::Bindings)?;
        let mut driver = self.take_over(open)?;
        driver.decide(Input::Directive(directive), None)?;
        match driver.rejected() {
            None => {}
            // The policy has changed its mind just now.
            Some(Rejected::Denied { .. }) => {
                return Err(self.refused(run, driver.pending.pop()).await);
            }
            Some(reason) => return Err(EngineError::Refused { run: run.clone(), reason }),
        }
        driver.begin(Vec::new()).await?;
        Ok(self.drive(driver))
    }

    async fn resume_guarded(&self, run: RunId) -> (RunId, Result<RunHandle, EngineError>) {
        let resumed = AssertUnwindSafe(self.resume(&run)).catch_unwind().await;
        let resumed = resumed.unwrap_or_else(|panic| {
            let detail = format!("resuming it panicked: {}", panic_text(&*panic));
            Err(EngineError::Internal { run: run.clone(), detail })
        });
        (run, resumed)
    }

    pub(super) async fn find(&self, run: &RunId) -> Result<Found, EngineError> {
        self.check_open()?;
        let (history, base) = self.load(run).await?;
        let state = history.state(base.clone(), None)?;
        if let Some(outcome) = state.outcome() {
            let journal = Arc::clone(&self.shared.journal);
            return Ok(Found::Over(handle::finished(run.clone(), journal, outcome.clone())));
        }
        let (seq, epoch) = (history.facts().len() as u64, history.epoch().saturating_add(1));
        let sealer = Sealer::after(run, seq, epoch, history.head());
        Ok(Found::Open(Box::new(Open { state, base, sealer })))
    }

    /// A driver that has decided to take the run over, which is not durable yet.
    pub(super) fn take_over(&self, open: Open) -> Result<Driver, EngineError> {
        let Open { state, base, sealer } = open;
        let mut driver = Driver::new(self, base, state, sealer);
        driver.read_clock();
        driver.decide(Input::TakeOver { engine: self.shared.name.clone() }, None)?;
        Ok(driver)
    }
}
