//! Why a run cannot be started, resumed or driven on.

use crate::ids::RunId;
use crate::journal::{AppendError, Damage, ReadError};
use crate::model::Digest;
use crate::plan::CriterionUnobservable;
use crate::port::BindingError;
use crate::run::{IllegalTransition, NotMigrated, Rejected};

/// Why a run cannot be started, resumed or driven on. The run itself is as its journal says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Steps that nobody here can perform.
    #[error("{} of the plan's steps cannot be performed here: {}", .0.len(), list(.0))]
    Bindings(Vec<BindingError>),
    /// What may stop the release or take it back could not be judged.
    #[error("{} of the plan's criteria could not be judged, and nobody would watch the release by them: {}", .0.len(), list(.0))]
    Unobservable(Vec<CriterionUnobservable>),
    /// There is a run of this name already.
    #[error("run `{run}` exists already; resume it, or choose another name")]
    Exists {
        /// The run.
        run: RunId,
    },
    /// There is no run of this name.
    #[error("the journal has no run `{run}`; mend the name, or start it")]
    NotFound {
        /// The run.
        run: RunId,
    },
    /// The journal is not what was written.
    #[error(
        "the journal is damaged and the run is not continued: {0}; restore the journal from a backup"
    )]
    Damaged(#[from] Damage),
    /// The plan that the run pins cannot be had.
    #[error(
        "run `{run}` pins plan {digest}, which cannot be had ({detail}); restore the journal from a backup"
    )]
    PlanMissing {
        /// The run.
        run: RunId,
        /// The plan.
        digest: Digest,
        /// What is wrong with it.
        detail: String,
    },
    /// Another engine drives the run now.
    #[error("another engine took the run over: {0}")]
    TakenOver(#[source] AppendError),
    /// The journal does not take what happened. The run stops here and can be resumed.
    #[error("the run stopped, because its journal does not take what happened: {0}")]
    Append(#[source] AppendError),
    /// The run was taken over too often without getting anywhere. It is left alone until somebody
    /// releases it; no other run is affected.
    #[error(
        "run `{run}` is quarantined: it was taken over {recoveries} times in a row without getting anywhere; find out what it does to its engines, then let `Engine::release_from_quarantine` resume it"
    )]
    Quarantined {
        /// The run.
        run: RunId,
        /// How often it was taken over in vain.
        recoveries: u32,
    },
    /// A run was to be released from a quarantine in which it is not. It is as before.
    #[error(
        "run `{run}` is not quarantined: it was taken over {recoveries} times in a row without getting anywhere, and {most} would be too often; let `Engine::resume` drive it"
    )]
    NotQuarantined {
        /// The run.
        run: RunId,
        /// How often it was taken over in vain.
        recoveries: u32,
        /// With how often it would be quarantined.
        most: u32,
    },
    /// What was asked for was refused. The run is as before, and so is whoever drives it.
    #[error("run `{run}` is left as it is: {reason}")]
    Refused {
        /// The run.
        run: RunId,
        /// Why.
        reason: Rejected,
    },
    /// A run cannot go on with another plan. It is as before.
    #[error("run `{run}` does not go on with that plan: {reason}")]
    NotMigrated {
        /// The run.
        run: RunId,
        /// Why.
        reason: NotMigrated,
    },
    /// An older run does not make way for a newer one.
    #[error(
        "run `{older}` does not make way for `{run}` ({detail}); see it to an end that leaves nothing half done, or start the newer run by itself"
    )]
    NotSuperseded {
        /// The older run.
        older: RunId,
        /// The newer run, which was not started.
        run: RunId,
        /// Why.
        detail: String,
    },
    /// A name that is not free for runs.
    #[error(
        "run `{run}` cannot be called so: the ledger of permits has such names; choose another"
    )]
    Reserved {
        /// The name.
        run: RunId,
    },
    /// The ledger of permits is not what was written. Rollbacks go on; nothing else starts that a limit
    /// binds.
    #[error(
        "the ledger of permits is damaged ({detail}), and but for rollbacks nothing starts that a limit binds; restore the journal from a backup, or begin a new ledger with `Engine::renew_ledger`"
    )]
    LedgerDamaged {
        /// What is wrong with it.
        detail: String,
    },
    /// A ledger of permits that can be read is not replaced.
    #[error("the ledger of permits can be read, so no new one was begun; use it as it is")]
    LedgerSound,
    /// The engine has no limits.
    #[error("the engine was built without limits; give it some with `EngineBuilder::limits`")]
    NoLimits,
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The engine was shut down. The run can be resumed.
    #[error("the engine was shut down; resume the run with another engine")]
    ShutDown,
    /// A fault of this library; please report it.
    #[error("internal fault in run `{run}`: {detail}; please report it")]
    Internal {
        /// The run.
        run: RunId,
        /// What went wrong.
        detail: String,
    },
}

impl EngineError {
    pub(super) fn internal(run: &RunId, illegal: &IllegalTransition) -> Self {
        Self::Internal { run: run.clone(), detail: illegal.to_string() }
    }
}

impl From<AppendError> for EngineError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. }
            | AppendError::Fenced { .. }
            | AppendError::Finished { .. } => Self::TakenOver(error),
            AppendError::NoSpace { .. }
            | AppendError::Unavailable { .. }
            | AppendError::Unknown { .. }
            | AppendError::Damaged { .. }
            | AppendError::Malformed { .. } => Self::Append(error),
        }
    }
}

fn list(errors: &[impl ToString]) -> String {
    const SHOWN: usize = 5;
    let mut text =
        errors.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if errors.len() > SHOWN {
        text.push_str("; …");
    }
    text
}
