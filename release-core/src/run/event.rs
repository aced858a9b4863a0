//! What can happen in a run. Append-only: variants and fields are added, never changed.

use serde::{Deserialize, Serialize};

pub(super) use super::outcome::{Cause, Outcome};
use super::replaced::Replaced;
use super::signal::SignalAnswer;
pub use super::wake::WakeUp;
use crate::analysis::Finding;
use crate::ids::{GateId, RunId, ServiceId, StepId, TopicId};
use crate::model::{Digest, Principal, RollbackScope, Signal};
use crate::plan::{Action, Extension, FrozenPlan};
use crate::port::{Basis, EffectError, Evidence, Inputs, Reason};
use crate::time::Timestamp;

/// Something that happened in a run. Every change of state is one event, and an audit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The run exists and pins its plan.
    RunCreated {
        /// The plan's digest.
        plan: Digest,
        /// The digest of the definition that the plan was made from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        definition: Option<Digest>,
        /// Who asked for it.
        requester: Principal,
        /// The runs in whose place it was started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        supersedes: Option<Replaced>,
        /// The digest of the rules that it pins: what they allow, they allow until its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Digest>,
    },
    /// An engine took the run over; what was under way has an unknown outcome.
    TakenOver {
        /// The engine, as its host calls it.
        engine: String,
    },
    /// A run that was taken over in vain too often may be resumed again.
    QuarantineReleased {
        /// Who released it.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// The run goes on with another plan. Steps are the same if their ids are; approvals are void.
    PlanMigrated {
        /// The plan until then.
        from: Digest,
        /// The plan from now on; it is stored as the first one is.
        to: Digest,
        /// How many steps were touched before, and stand in both.
        kept: u32,
        /// Who decided it.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// An effect is about to be brought about, or looked for.
    StepStarted {
        /// The step.
        step: StepRef,
        /// Which attempt, from 1.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        attempt: u32,
        /// Whether it acts or only looks.
        #[serde(default, skip_serializing_if = "Mode::is_perform")]
        mode: Mode,
        /// What the policy's permit stood on, if it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        basis: Option<Box<Basis>>,
    },
    /// A step is done, and what was observed is what was asked for.
    StepSucceeded {
        /// The step.
        step: StepRef,
        /// What was observed.
        #[serde(default, skip_serializing_if = "is_done")]
        evidence: Evidence,
        /// Why that counts as success, where it is not plain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
        /// By whose leave, and from what, it was permitted; of a step without an effect, which never starts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        basis: Option<Box<Basis>>,
        /// What a judge that compares versions found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finding: Option<Box<Finding>>,
    },
    /// An analysis took one measurement and will take another.
    StepMeasured {
        /// The step.
        step: StepRef,
        /// What was measured.
        evidence: Evidence,
        /// What this measurement alone says.
        verdict: Verdict,
        /// Why.
        because: String,
        /// When the next is taken.
        next: Timestamp,
        /// What a judge that compares versions found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finding: Option<Box<Finding>>,
    },
    /// An attempt failed without effect; another follows.
    StepRetried {
        /// The step.
        step: StepRef,
        /// What failed.
        error: EffectError,
        /// When the next attempt starts.
        at: Timestamp,
    },
    /// Nobody knows whether an attempt took effect; it is looked for before anything else.
    OutcomeUnknown {
        /// The step.
        step: StepRef,
        /// Why it is unknown.
        error: EffectError,
        /// When it is looked for.
        at: Timestamp,
    },
    /// It cannot be found out whether an attempt took effect: a person must say.
    NeedsReconcile {
        /// The step.
        step: StepRef,
        /// Why it is unknown.
        error: EffectError,
    },
    /// A step may not start yet.
    StepBlocked {
        /// The step.
        step: StepRef,
        /// Why: all reasons, not the first.
        reasons: Vec<Reason>,
        /// What it waits for.
        wake: WakeUp,
        /// What the policy's answer was made from, if it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Box<Inputs>>,
    },
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: StepRef,
        /// What failed.
        error: EffectError,
        /// What was observed, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Evidence>,
        /// How far it is rolled back, where a policy wants that; otherwise the plan says what follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<RollbackScope>,
        /// Whether people decide what follows, whatever the plan says: what was found is no reason to take anything back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hold: bool,
        /// What a judge that compares versions found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finding: Option<Box<Finding>>,
    },
    /// Somebody approved a gate.
    Approved {
        /// The gate.
        gate: GateId,
        /// Who.
        by: Principal,
        /// What they said.
        reason: String,
    },
    /// Somebody took back their approval of a gate.
    ApprovalWithdrawn {
        /// The gate.
        gate: GateId,
        /// Who.
        by: Principal,
        /// What they said.
        reason: String,
    },
    /// Somebody rejected a gate.
    Rejected {
        /// The gate.
        gate: GateId,
        /// Who.
        by: Principal,
        /// What they said.
        reason: String,
    },
    /// Nothing new starts until the run is resumed.
    Paused {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// New steps start again.
    Resumed {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// The run is to stop.
    CancelRequested {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A newer run takes its place: what it changed is put back first, so that the newer one starts from
    /// versions that were verified together.
    Superseded {
        /// The newer run.
        run: RunId,
        /// Who decided it.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// The run is given up at once, a rollback under way included.
    AbandonForced {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A step of a rollback failed for good, and something else is tried instead, as a new operation.
    AlternateChosen {
        /// The step.
        step: StepRef,
        /// What failed.
        error: EffectError,
        /// What is tried instead.
        action: Action,
        /// When.
        at: Timestamp,
    },
    /// A rollback cannot go on by itself: people are called.
    RollbackStuck {
        /// The steps that wait for a person.
        steps: Vec<StepRef>,
    },
    /// A failed step is to be tried again, as a new operation.
    RetryRequested {
        /// The step.
        step: StepRef,
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A person ended a bake before its time: from now on the step waits no more.
    BakeEnded {
        /// The step.
        step: StepRef,
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A person says whether an unknown effect took place.
    Reconciled {
        /// The step.
        step: StepRef,
        /// Whether it did.
        applied: bool,
        /// Who.
        by: Principal,
        /// How they know.
        reason: String,
    },
    /// Somebody tried what they may not do.
    CommandDenied {
        /// What they tried.
        command: String,
        /// Who.
        by: Principal,
        /// Why not.
        reasons: Vec<Reason>,
        /// What the policy's answer was made from, if it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<Box<Inputs>>,
    },
    /// Somebody said something that hosts and policies go by.
    Noted {
        /// What it is about.
        topic: TopicId,
        /// What was said.
        #[serde(serialize_with = "crate::bounds::in_order")]
        content: serde_json::Value,
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// Somebody told of an incident or an alert.
    Signalled {
        /// Of which.
        signal: Box<Signal>,
        /// What the run does about it.
        answer: SignalAnswer,
        /// Who.
        by: Principal,
        /// What they said.
        reason: String,
    },
    /// A member of the train is left behind: the others go on without it.
    Descoped {
        /// The member.
        service: ServiceId,
        /// Who decided it.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// Nothing of a part that is left behind is under way any more: what it changed is put back, by these
    /// steps, while the others go on.
    TakeBackStarted {
        /// Why it is left behind.
        because: String,
        /// The steps, computed from the plan and what had happened; which part it is.
        extension: Box<Extension>,
    },
    /// What was changed is put back, by these steps.
    RollbackStarted {
        /// Why.
        cause: Cause,
        /// The steps, computed from the plan and what had happened.
        extension: Box<Extension>,
    },
    /// A rollback is not possible any more.
    RollbackBlocked {
        /// Why it was wanted.
        cause: Cause,
        /// The point of no return that was passed.
        step: StepId,
        /// Why it was acceptable that it cannot be undone.
        justification: String,
    },
    /// The run is over.
    RunFinished {
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// A stable word for it: the `type` of its record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run_created",
            Self::TakenOver { .. } => "taken_over",
            Self::QuarantineReleased { .. } => "quarantine_released",
            Self::PlanMigrated { .. } => "plan_migrated",
            Self::StepStarted { .. } => "step_started",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepMeasured { .. } => "step_measured",
            Self::StepRetried { .. } => "step_retried",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::NeedsReconcile { .. } => "needs_reconcile",
            Self::StepBlocked { .. } => "step_blocked",
            Self::StepFailed { .. } => "step_failed",
            Self::Approved { .. } => "approved",
            Self::ApprovalWithdrawn { .. } => "approval_withdrawn",
            Self::Rejected { .. } => "rejected",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::Superseded { .. } => "superseded",
            Self::AbandonForced { .. } => "abandon_forced",
            Self::AlternateChosen { .. } => "alternate_chosen",
            Self::RollbackStuck { .. } => "rollback_stuck",
            Self::RetryRequested { .. } => "retry_requested",
            Self::BakeEnded { .. } => "bake_ended",
            Self::Reconciled { .. } => "reconciled",
            Self::CommandDenied { .. } => "command_denied",
            Self::Noted { .. } => "noted",
            Self::Signalled { .. } => "signalled",
            Self::Descoped { .. } => "descoped",
            Self::TakeBackStarted { .. } => "take_back_started",
            Self::RollbackStarted { .. } => "rollback_started",
            Self::RollbackBlocked { .. } => "rollback_blocked",
            Self::RunFinished { .. } => "run_finished",
        }
    }

    /// The step that it is about, if it is about one.
    pub const fn step(&self) -> Option<&StepRef> {
        match self {
            Self::StepStarted { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepMeasured { step, .. }
            | Self::StepRetried { step, .. }
            | Self::OutcomeUnknown { step, .. }
            | Self::NeedsReconcile { step, .. }
            | Self::StepBlocked { step, .. }
            | Self::StepFailed { step, .. }
            | Self::AlternateChosen { step, .. }
            | Self::RetryRequested { step, .. }
            | Self::BakeEnded { step, .. }
            | Self::Reconciled { step, .. } => Some(step),
            Self::RunCreated { .. }
            | Self::TakenOver { .. }
            | Self::QuarantineReleased { .. }
            | Self::PlanMigrated { .. }
            | Self::Approved { .. }
            | Self::ApprovalWithdrawn { .. }
            | Self::Rejected { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::CancelRequested { .. }
            | Self::Superseded { .. }
            | Self::AbandonForced { .. }
            | Self::RollbackStuck { .. }
            | Self::CommandDenied { .. }
            | Self::Noted { .. }
            | Self::Signalled { .. }
            | Self::Descoped { .. }
            | Self::TakeBackStarted { .. }
            | Self::RollbackStarted { .. }
            | Self::RollbackBlocked { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

const fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}

fn is_done(evidence: &Evidence) -> bool {
    *evidence == Evidence::Done
}

/// Names a step twice: by its place in the plan, for machines, and by its id, for people. Folding
/// checks that both agree, so that a journal is never read with another plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRef {
    /// Its place in the plan.
    #[serde(rename = "n")]
    pub index: u32,
    /// Its id.
    pub id: StepId,
}

impl StepRef {
    pub(crate) fn of(plan: &FrozenPlan, index: u32) -> Self {
        Self { index, id: plan.step(index).id.clone() }
    }
}

/// Whether an attempt acts or only looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It acts.
    #[default]
    Perform,
    /// It only looks whether an earlier attempt took effect.
    Look,
}

impl Mode {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_perform(&self) -> bool {
        *self == Self::Perform
    }
}

/// What one measurement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within the limit.
    Pass,
    /// Beyond the limit.
    Fail,
    /// No data, too little, or of another version: never a pass.
    Inconclusive,
    /// There is data, and more of it has to tell: neither harm nor health is shown yet, or no sample came since the last look.
    Undetermined,
}
