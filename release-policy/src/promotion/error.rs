//! What is wrong with a pipeline or with facts about promotions.

use std::fmt;

use release_core::model::{EnvironmentId, GateId, Span, Timestamp, WaiverId};

use crate::approval::QuorumError;

/// All that is wrong with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineErrors(pub Vec<PipelineError>);

impl fmt::Display for PipelineErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(PipelineError::to_string).collect();
        f.write_str(&all.join("\n"))
    }
}

impl std::error::Error for PipelineErrors {}

/// One thing that is wrong with a pipeline, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stage `{stage}`{}: {problem}", gate_name(gate.as_ref()))]
pub struct PipelineError {
    /// The stage.
    pub stage: EnvironmentId,
    /// The criterion, if it is one.
    pub gate: Option<GateId>,
    /// What is wrong.
    pub problem: PipelineProblem,
}

fn gate_name(gate: Option<&GateId>) -> String {
    gate.map(|gate| format!(", criterion `{gate}`")).unwrap_or_default()
}

impl PipelineError {
    pub(super) fn of(
        stage: &EnvironmentId,
        gate: Option<&GateId>,
        problem: PipelineProblem,
    ) -> Self {
        Self { stage: stage.clone(), gate: gate.cloned(), problem }
    }
}

/// What is wrong with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineProblem {
    /// Nothing can ever come into it.
    #[error("nothing can come into it; make it `direct`, or name stages it takes from")]
    NoSource,
    /// A soak time says nothing without stages to soak in.
    #[error("it asks for a soak of {0} and takes from no stage; name stages, or leave it out")]
    SoakWithoutStages(Span),
    /// It takes from itself.
    #[error("it takes from itself; name another stage")]
    OwnSource,
    /// It takes from a stage that is not there.
    #[error("it takes from `{0}`, which is no stage of this pipeline; add it or mend the name")]
    UnknownSource(EnvironmentId),
    /// Two stages have one environment.
    #[error("it stands twice; remove one")]
    DuplicateStage,
    /// Two criteria of a stage have one name.
    #[error("another criterion of the stage has the same name; rename one")]
    DuplicateCriterion,
    /// It would have failed as it begins.
    #[error("it is waited for no time at all; give `within` a length, or leave it out")]
    NoTime,
    /// Evidence would be too old as it comes in.
    #[error("its evidence is too old at once; give it an age above zero")]
    NoAge,
    /// A quorum that cannot be used.
    #[error("{0}")]
    Quorum(#[from] QuorumError),
    /// A name made for a criterion is too long.
    #[error("{0}")]
    Name(#[from] release_core::model::IdError),
    /// It is one of too many.
    #[error("it is one of more than {} stages; split the pipeline", super::MAX_STAGES)]
    TooManyStages,
    /// It is one of too many.
    #[error("it is one of more than {} criteria; join some", super::MAX_CRITERIA)]
    TooManyCriteria,
}

/// A fact that cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It is older than the one before.
    #[error("promotion/order: a fact of {at} comes after one of {last}; give facts in their order")]
    Order {
        /// Its instant.
        at: Timestamp,
        /// That of the one before.
        last: Timestamp,
    },
    /// An override that waives nothing.
    #[error("promotion/override: `{0}` names no condition that it waives; name them")]
    WaivesNothing(WaiverId),
    /// An override that is over as it begins.
    #[error("promotion/override: `{id}` ends at {until}, not after it was given; mend the instant")]
    Empty {
        /// Which.
        id: WaiverId,
        /// Its end.
        until: Timestamp,
    },
    /// An override without a reason.
    #[error("promotion/override: `{0}` gives no reason; say why")]
    NoReason(WaiverId),
    /// Another override has its name.
    #[error("promotion/override: another override is called `{0}`; rename it")]
    Duplicate(WaiverId),
    /// There is none to take back.
    #[error("promotion/override: there is no override `{0}` to take back; mend the name")]
    Unknown(WaiverId),
}
