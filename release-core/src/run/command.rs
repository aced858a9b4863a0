//! What people may tell a run.

use crate::ids::{GateId, RunId, ServiceId, StepId, TopicId};
use crate::model::{Digest, Principal, Signal};
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
    /// Take back one's own approval of a gate: from the next admission on it does not count. What has begun goes on.
    #[doc(alias = "revoke")]
    Withdraw {
        /// Which.
        gate: GateId,
    },
    /// Reject a gate: the step behind it fails.
    Reject {
        /// Which.
        gate: GateId,
    },
    /// Try a failed step again, as a new operation.
    ///
    /// Of an analysis, that is a new attempt, which goes by nothing that was measured before. For a comparison of versions it is a new test,
    /// with all of its chance to find a version worse that is not: [`alpha`](crate::model::Sequential::alpha) bounds one attempt, and
    /// `k` retries in a run bound it by `(k + 1) * alpha`. To look again until it passes makes a pass worth less as well.
    Retry {
        /// Which.
        step: StepId,
    },
    /// End a bake before its time, whichever it is: of a canary's step, of a preview, of a version that is kept. What was to follow
    /// it follows now, with all that is judged and looked at before; no step is left out. An analysis that measures from the
    /// bake's start has had less time for that.
    ///
    /// Of a version that is kept (a step called `keep-old`) this stops the old version now. Where the router counts requests under way,
    /// the end of these is waited for all the same. Where it does not, as behind a gateway of Kubernetes, that bake is the only drain:
    /// requests under way are cut off.
    #[doc(alias = "promote")]
    EndBake {
        /// Of which step.
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
    /// Leave a member of the train behind: what of it is not done is given up, what it changed is put back
    /// everywhere, and the others go on without it. Needs a reason.
    #[doc(alias = "exclude")]
    Descope {
        /// Which.
        service: ServiceId,
    },
    /// Keep something with the run that hosts and policies go by, such as a vote or a finding. It changes
    /// nothing by itself; at most 64 KiB, 32 levels deep, and [`MAX_NOTES`](super::MAX_NOTES) a run.
    #[doc(alias = "attest")]
    Note {
        /// What it is about.
        topic: TopicId,
        /// What is said.
        content: serde_json::Value,
    },
    /// Tell of an incident, an alert or a failed health check outside of the run. It does what the release planned for that
    /// ([`RollbackTrigger::Signal`](crate::model::RollbackTrigger::Signal)): goes back, or holds. What nobody planned for is
    /// journaled, and changes nothing.
    #[doc(alias = "incident")]
    Signal {
        /// Which.
        signal: Box<Signal>,
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
            Self::Withdraw { .. } => "withdraw",
            Self::Reject { .. } => "reject",
            Self::Retry { .. } => "retry",
            Self::EndBake { .. } => "end_bake",
            Self::Reconcile { .. } => "reconcile",
            Self::Abandon => "abandon",
            Self::ForceAbandon => "force_abandon",
            Self::Descope { .. } => "descope",
            Self::Supersede { .. } => "supersede",
            Self::Note { .. } => "note",
            Self::Signal { .. } => "signal",
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
    /// Whoever wants to take back an approval has not given one.
    #[error(
        "{by} has not approved `{gate}`, and so takes nothing back; only who gave an approval can"
    )]
    NothingToWithdraw {
        /// The gate.
        gate: GateId,
        /// Who tried.
        by: Principal,
    },
    /// The plan has no such step.
    #[error("the plan has no step `{step}`; mend the name")]
    UnknownStep {
        /// What was named.
        step: StepId,
    },
    /// The plan changes no such service.
    #[error("the plan changes no service `{service}`; name one of: {known}")]
    UnknownService {
        /// What was named.
        service: ServiceId,
        /// The services that it changes.
        known: String,
    },
    /// Others of the train need the new version of a member that was to be left behind.
    #[error(
        "`{service}` cannot be left behind, because {} its new version; descope {} first, or cancel the run",
        they_need(.dependents), them(.dependents)
    )]
    Needed {
        /// The member.
        service: ServiceId,
        /// Those that need its new version and are not left behind themselves.
        dependents: Vec<ServiceId>,
    },
    /// Nobody would be left of the train.
    #[error("`{service}` is the last member of the train; cancel the run instead")]
    LastMember {
        /// The member.
        service: ServiceId,
    },
    /// A member that cannot be left behind, because what it did cannot be put back.
    #[error(
        "`{service}` cannot be left behind: `{step}` is a point of no return ({justification}); mend what failed and retry it, or abandon the run"
    )]
    NoWayBack {
        /// The member.
        service: ServiceId,
        /// What it passed.
        step: StepId,
        /// Why it was acceptable that it cannot be undone.
        justification: String,
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
    /// A note is too large or too deep to be kept.
    #[error("the note about `{topic}` {problem}; keep it elsewhere, and its digest here")]
    BadNote {
        /// What it is about.
        topic: TopicId,
        /// What is wrong with it.
        problem: String,
    },
    /// The run has as many notes as it can.
    #[error("the run has {limit} notes, and takes no more")]
    TooManyNotes {
        /// The most that a run can have.
        limit: usize,
    },
    /// A signal that nobody could look up, or that is about no place.
    #[error("the signal {problem}")]
    BadSignal {
        /// What is wrong with it, and how to mend it.
        problem: String,
    },
    /// The run was told of as many signals as it can.
    #[error(
        "the run was told of {limit} signals, and takes no more; cancel it, if it is the cause"
    )]
    TooManySignals {
        /// The most that a run can have.
        limit: usize,
    },
    /// Policy or the gate's own rules say no. The attempt was journaled.
    #[error("not permitted: {}", join(.reasons))]
    Denied {
        /// Why not.
        reasons: Vec<Reason>,
    },
}

fn quoted(services: &[ServiceId]) -> String {
    services.iter().map(|service| format!("`{service}`")).collect::<Vec<_>>().join(", ")
}

fn they_need(services: &[ServiceId]) -> String {
    format!("{} need{}", quoted(services), if services.len() == 1 { "s" } else { "" })
}

fn them(services: &[ServiceId]) -> &'static str {
    if services.len() == 1 { "it" } else { "them" }
}

fn join(reasons: &[Reason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
