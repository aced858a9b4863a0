//! What people may tell a run.

use crate::ids::{GateId, RunId, StepId};
use crate::model::{Digest, Principal};
use crate::port::Reason;

/// What people may tell a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Start nothing new. Does not stop a rollback.
    Pause,
    /// Start new steps again.
    Resume,
    /// Stop, and roll back if the plan says so. Does not stop a rollback.
    Cancel,
    /// Approve a gate.
    Approve {
        /// Which.
        gate: GateId,
    },
    /// Reject a gate: the step behind it fails.
    Reject {
        /// Which.
        gate: GateId,
    },
    /// Try a failed step again, as a new operation.
    Retry {
        /// Which.
        step: StepId,
    },
    /// Say whether an unknown effect took place.
    Reconcile {
        /// Of which step.
        step: StepId,
        /// Whether it did.
        applied: bool,
    },
    /// Give the run up where it stands, when it waits for a person.
    Abandon,
    /// Give the run up at once, whatever it does: the only command that stops a rollback. Whoever is told
    /// of rollbacks that are stuck is called. A policy should permit it in emergencies alone.
    #[doc(alias = "break-glass")]
    ForceAbandon,
    /// Let a run be resumed again that was taken over in vain too often
    /// ([`Engine::release_from_quarantine`](crate::engine::Engine::release_from_quarantine)).
    ReleaseQuarantine,
    /// Go on with another plan ([`Engine::migrate`](crate::engine::Engine::migrate), which has it).
    Migrate {
        /// The digest of the new plan.
        to: Digest,
    },
    /// Put back what the run changed, because a newer run is to take its place.
    Supersede {
        /// The newer run.
        run: RunId,
    },
}

impl Command {
    /// The command's name, as policies know it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Retry { .. } => "retry",
            Self::Reconcile { .. } => "reconcile",
            Self::Abandon => "abandon",
            Self::ForceAbandon => "force_abandon",
            Self::Supersede { .. } => "supersede",
            Self::ReleaseQuarantine => "release_quarantine",
            Self::Migrate { .. } => "migrate",
        }
    }
}

/// A command with who gives it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// What.
    pub command: Command,
    /// Who.
    pub by: Principal,
    /// Why; journaled.
    pub reason: String,
}

impl Directive {
    /// A command of `by`.
    pub fn new(command: Command, by: Principal, reason: impl Into<String>) -> Self {
        Self { command, by, reason: reason.into() }
    }
}

/// A command that makes no sense now. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The run is over.
    #[error("the run is over ({outcome}); start a new one")]
    Finished {
        /// How it ended.
        outcome: &'static str,
    },
    /// The plan has no such gate.
    #[error("the plan has no gate `{gate}`; name one of: {known}")]
    UnknownGate {
        /// What was named.
        gate: GateId,
        /// The gates that there are.
        known: String,
    },
    /// The plan has no such step.
    #[error("the plan has no step `{step}`; mend the name")]
    UnknownStep {
        /// What was named.
        step: StepId,
    },
    /// The step does not wait for this.
    #[error("step `{step}` is {status}; `{command}` needs a step that waits for it")]
    WrongState {
        /// The step.
        step: StepId,
        /// How it stands.
        status: String,
        /// What was tried.
        command: &'static str,
    },
    /// The run is not in a state for this.
    #[error("`{command}` is not possible while the run is {phase}; {help}")]
    WrongPhase {
        /// What was tried.
        command: &'static str,
        /// What the run does.
        phase: &'static str,
        /// What to do instead.
        help: &'static str,
    },
    /// A command that needs a reason, without one.
    #[error("`{command}` needs a reason; say why it cannot wait")]
    NoReason {
        /// What was tried.
        command: &'static str,
    },
    /// A reason that is longer than what is kept.
    #[error(
        "the reason has {bytes} bytes, and {limit} are kept; say it shorter, or where it stands"
    )]
    LongReason {
        /// How long it is, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Policy or the gate's own rules say no. The attempt was journaled.
    #[error("not permitted: {}", join(.reasons))]
    Denied {
        /// Why not.
        reasons: Vec<Reason>,
    },
}

fn join(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
