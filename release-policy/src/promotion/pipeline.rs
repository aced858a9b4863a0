//! Stages with their sources and their entry and exit criteria, as they are written and as they are checked.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    AnalysisId, Bound, EnvironmentId, GateId, RollbackTrigger, Span, Tier, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::error::{PipelineError, PipelineErrors, PipelineProblem};
use super::sampling::Sampling;
use crate::approval::ApprovalPolicy;

/// The most stages of one pipeline.
pub const MAX_STAGES: usize = 1_000;
/// The most criteria at one side of a stage.
pub const MAX_CRITERIA: usize = 256;

/// One condition on entering or leaving a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// What evidence and findings call it by; unique in its stage.
    pub id: GateId,
    /// What must hold.
    pub condition: Condition,
    /// How long it is waited for; then what is not met counts as failed. Sampling has its own timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

impl Criterion {
    /// A condition that is waited for without end.
    pub const fn new(id: GateId, condition: Condition) -> Self {
        Self { id, condition, within: None }
    }

    /// Sets how long it is waited for.
    #[must_use]
    pub const fn within(mut self, span: Span) -> Self {
        self.within = Some(span);
        self
    }
}

/// What must hold. Exhaustive on purpose: a forgotten case would be a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Checks are good for a while without a break.
    Sampling(Sampling),
    /// The last sample of the check that the criterion is named after is good, and younger than this. One that is
    /// missing or too old is inconclusive.
    Fresh(Span),
    /// A measured value keeps a limit.
    Value(Value),
    /// People agree.
    Approval(Box<ApprovalPolicy>),
    /// Not before this instant.
    NotBefore(Timestamp),
    /// Only before this instant.
    NotAfter(Timestamp),
}

/// A limit of a measured value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// What is measured.
    pub analysis: AnalysisId,
    /// The limit.
    pub bound: Bound,
    /// From which age on a value says nothing.
    pub max_age: Span,
}

/// How many of several stages are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[doc(alias = "availabilityStrategy")]
pub enum Availability {
    /// Every one.
    All,
    /// At least one.
    #[default]
    OneOf,
}

/// From where a version set may come into a stage (`sources` in Kargo).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// Straight from where artifacts are made: a warehouse, a registry.
    #[serde(default)]
    pub direct: bool,
    /// From these stages, once it is verified there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stages: BTreeSet<EnvironmentId>,
    /// How many of the stages are needed.
    #[serde(default)]
    pub availability: Availability,
    /// How long it must have been in those stages without a break, verified (`requiredSoakTime`).
    #[serde(default)]
    pub soak: Span,
}

impl Sources {
    /// Straight from where artifacts are made.
    pub fn direct() -> Self {
        Self { direct: true, ..Self::default() }
    }

    /// From at least one of these stages.
    pub fn one_of(stages: impl IntoIterator<Item = EnvironmentId>) -> Self {
        Self { stages: stages.into_iter().collect(), ..Self::default() }
    }

    /// From these stages, all of them.
    pub fn all_of(stages: impl IntoIterator<Item = EnvironmentId>) -> Self {
        Self { availability: Availability::All, ..Self::one_of(stages) }
    }

    /// Sets the soak time.
    #[must_use]
    pub const fn soak(mut self, span: Span) -> Self {
        self.soak = span;
        self
    }
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// The environment, which names the stage.
    pub environment: EnvironmentId,
    /// How much care it needs.
    pub tier: Tier,
    /// From where version sets may come.
    pub sources: Sources,
    /// What must hold before one enters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entry: Vec<Criterion>,
    /// What must hold before it counts as verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit: Vec<Criterion>,
    /// What takes it back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub rollback: BTreeSet<RollbackTrigger>,
}

impl StageSpec {
    /// A stage without criteria.
    pub const fn new(environment: EnvironmentId, tier: Tier, sources: Sources) -> Self {
        Self {
            environment,
            tier,
            sources,
            entry: Vec::new(),
            exit: Vec::new(),
            rollback: BTreeSet::new(),
        }
    }

    /// Adds an entry criterion.
    #[must_use]
    pub fn enter(mut self, criterion: Criterion) -> Self {
        self.entry.push(criterion);
        self
    }

    /// Adds an exit criterion.
    #[must_use]
    pub fn leave(mut self, criterion: Criterion) -> Self {
        self.exit.push(criterion);
        self
    }

    /// Adds what takes it back.
    #[must_use]
    pub fn rolls_back_on(mut self, trigger: RollbackTrigger) -> Self {
        self.rollback.insert(trigger);
        self
    }
}

/// A pipeline as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    stages: Vec<StageSpec>,
    #[serde(default = "five_minutes")]
    lease: Span,
}

const fn five_minutes() -> Span {
    Span::secs(5 * 60)
}

/// Stages that name each other rightly. Whether they make sense together is for [`analyse`](super::analyse) to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Pipeline {
    stages: BTreeMap<EnvironmentId, StageSpec>,
    order: Vec<EnvironmentId>,
    lease: Span,
}

impl Pipeline {
    /// Checks stages. A pass that nothing else ends holds for five minutes.
    ///
    /// # Errors
    /// [`PipelineErrors`] has all that is wrong, each with its stage and criterion.
    pub fn new(stages: impl IntoIterator<Item = StageSpec>) -> Result<Self, PipelineErrors> {
        Written { stages: stages.into_iter().collect(), lease: five_minutes() }.try_into()
    }

    /// Sets how long a pass holds that nothing else ends.
    #[must_use]
    pub const fn lease(mut self, span: Span) -> Self {
        self.lease = span;
        self
    }

    /// The stages, in the order in which they were written.
    pub fn stages(&self) -> impl Iterator<Item = &StageSpec> {
        self.order.iter().filter_map(|id| self.stages.get(id))
    }

    /// A stage by its environment.
    pub fn stage(&self, environment: &EnvironmentId) -> Option<&StageSpec> {
        self.stages.get(environment)
    }

    /// The end of a pass at `now` that nothing else ends.
    pub(super) fn lease_from(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lease)
    }

    /// All stages from which something can come into `stage`, directly or by others.
    pub fn upstream(&self, stage: &EnvironmentId) -> BTreeSet<&EnvironmentId> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<_> = self.stage(stage).into_iter().collect();
        while let Some(stage) = open.pop() {
            for source in &stage.sources.stages {
                if seen.insert(source) {
                    open.extend(self.stage(source));
                }
            }
        }
        seen
    }
}

impl From<Pipeline> for Written {
    fn from(pipeline: Pipeline) -> Self {
        let Pipeline { mut stages, order, lease } = pipeline;
        Self { stages: order.iter().filter_map(|id| stages.remove(id)).collect(), lease }
    }
}

impl TryFrom<Written> for Pipeline {
    type Error = PipelineErrors;
    fn try_from(written: Written) -> Result<Self, PipelineErrors> {
        let mut errors = Vec::new();
        let Written { stages, lease } = written;
        if let Some(one) = stages.get(MAX_STAGES) {
            errors.push(PipelineError::of(&one.environment, None, PipelineProblem::TooManyStages));
            return Err(PipelineErrors(errors));
        }
        let names: BTreeSet<_> = stages.iter().map(|stage| stage.environment.clone()).collect();
        for stage in &stages {
            check(stage, &names, &mut errors);
        }
        let (mut by_name, mut order) = (BTreeMap::new(), Vec::new());
        for stage in stages {
            let id = stage.environment.clone();
            if by_name.insert(id.clone(), stage).is_some() {
                errors.push(PipelineError::of(&id, None, PipelineProblem::DuplicateStage));
            }
            order.push(id);
        }
        if errors.is_empty() {
            Ok(Self { stages: by_name, order, lease })
        } else {
            Err(PipelineErrors(errors))
        }
    }
}

fn check(stage: &StageSpec, names: &BTreeSet<EnvironmentId>, errors: &mut Vec<PipelineError>) {
    let StageSpec { environment, tier: _, sources, entry, exit, rollback: _ } = stage;
    let mut fault = |gate, problem| errors.push(PipelineError::of(environment, gate, problem));
    if !sources.direct && sources.stages.is_empty() {
        fault(None, PipelineProblem::NoSource);
    }
    if sources.soak > Span::ZERO && sources.stages.is_empty() {
        fault(None, PipelineProblem::SoakWithoutStages(sources.soak));
    }
    for source in &sources.stages {
        if source == environment {
            fault(None, PipelineProblem::OwnSource);
        } else if !names.contains(source) {
            fault(None, PipelineProblem::UnknownSource(source.clone()));
        }
    }
    for side in [entry, exit] {
        if let Some(one) = side.get(MAX_CRITERIA) {
            fault(Some(&one.id), PipelineProblem::TooManyCriteria);
        }
    }
    let mut seen = BTreeSet::new();
    for criterion in entry.iter().chain(exit) {
        let id = Some(&criterion.id);
        if !seen.insert(&criterion.id) {
            fault(id, PipelineProblem::DuplicateCriterion);
        }
        if criterion.within == Some(Span::ZERO) {
            fault(id, PipelineProblem::NoTime);
        }
        let age = match &criterion.condition {
            Condition::Fresh(age) => Some(*age),
            Condition::Value(value) => Some(value.max_age),
            Condition::Sampling(_)
            | Condition::Approval(_)
            | Condition::NotBefore(_)
            | Condition::NotAfter(_) => None,
        };
        if age == Some(Span::ZERO) {
            fault(id, PipelineProblem::NoAge);
        }
    }
}
