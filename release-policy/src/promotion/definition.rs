//! A definition of the engine as a pipeline, as far as it says what a pipeline needs.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    AnalysisId, Definition, Environment, EnvironmentId, Gate, GateId, RollbackTrigger, Stage,
    Strategy, Tier,
};

use super::error::{PipelineError, PipelineErrors, PipelineProblem};
use super::pipeline::{Condition, Criterion, Pipeline, Sources, StageSpec, Value};
use crate::approval::{Anyone, ApprovalPolicy, Expression, OfRole, Quorum};

impl Pipeline {
    /// The pipeline of a definition: its stages in a row, the first one direct. Its gates are the entry criteria, and
    /// the analyses by which a stage is judged are its exit criteria.
    ///
    /// Its gates have no deadlines, so that the analysis tells of each. An environment that is not defined counts as
    /// production. Analyses that are not defined are left out: the plan's own checks tell of them.
    ///
    /// # Errors
    /// [`PipelineErrors`] names the stages and gates that make no pipeline.
    pub fn of(definition: &Definition) -> Result<Self, PipelineErrors> {
        let environments: BTreeMap<_, _> = definition
            .environments
            .iter()
            .map(|environment| (&environment.id, environment))
            .collect();
        let (mut stages, mut errors) = (Vec::new(), Vec::new());
        let mut before: Option<&EnvironmentId> = None;
        for stage in &definition.stages {
            let environment = environments.get(&stage.environment).copied();
            stages.push(one(definition, stage, environment, before, &mut errors));
            before = Some(&stage.environment);
        }
        match Self::new(stages) {
            Ok(pipeline) if errors.is_empty() => Ok(pipeline),
            Ok(_) => Err(PipelineErrors(errors)),
            Err(PipelineErrors(more)) => Err(PipelineErrors([errors, more].concat())),
        }
    }
}

fn one(
    definition: &Definition,
    stage: &Stage,
    environment: Option<&Environment>,
    before: Option<&EnvironmentId>,
    errors: &mut Vec<PipelineError>,
) -> StageSpec {
    let id = &stage.environment;
    let mut sources =
        before.map_or_else(Sources::direct, |before| Sources::one_of([before.clone()]));
    let tier = environment.map_or(Tier::Production, |environment| environment.tier);
    let mut entry = Vec::new();
    let preview = match &stage.strategy {
        Strategy::BlueGreen(spec) => spec.gates.as_slice(),
        _ => &[],
    };
    for (gate, number) in stage.gates.iter().chain(preview).zip(1..) {
        let condition = match gate {
            // A soak of the first stage has nothing to soak in, and one before a switch is no matter of sources.
            Gate::Soak(span) if before.is_some() && number <= stage.gates.len() => {
                sources.soak = sources.soak.max(*span);
                continue;
            }
            Gate::NotBefore(at) => {
                named(id, &format!("not-before-{number}")).map(|id| (id, Condition::NotBefore(*at)))
            }
            Gate::Approval(approval) => {
                let id = &approval.id;
                people(approval.quorum, &approval.roles.iter().cloned().collect::<BTreeSet<_>>())
                    .map(|policy| (id.clone(), Condition::Approval(Box::new(policy))))
                    .map_err(|problem| PipelineError::of(&stage.environment, Some(id), problem))
            }
            _ => continue,
        };
        match condition {
            Ok((id, condition)) => entry.push(Criterion::new(id, condition)),
            Err(error) => errors.push(error),
        }
    }
    let triggers = definition.release.rollback.iter().flat_map(|criteria| &criteria.triggers);
    let rollback: BTreeSet<_> = triggers.cloned().collect();
    let mut exit = Vec::new();
    for analysis in judged_by(stage, tier, &rollback) {
        let Some(spec) = definition.analyses.iter().find(|spec| spec.id == *analysis) else {
            continue;
        };
        // A measurement is of one run of the stage: it takes as long as its rounds do, each of which may wait for a sample.
        let round = spec.fresh_for.map_or(spec.interval, |fresh| fresh.max(spec.interval));
        let rounds =
            spec.count.saturating_add(spec.failure_limit).saturating_add(spec.inconclusive_limit);
        let within = round.as_duration().saturating_mul(rounds.max(1)).into();
        // What compares versions has no limit of its own that a promotion could go by: the run's verdict is its own.
        let Some(bound) = spec.success() else { continue };
        let value = Value { analysis: analysis.clone(), bound, max_age: within };
        match named(id, analysis.as_str()) {
            Ok(id) => exit.push(Criterion::new(id, Condition::Value(value)).within(within)),
            Err(error) => errors.push(error),
        }
    }
    StageSpec { entry, exit, rollback, ..StageSpec::new(id.clone(), tier, sources) }
}

fn named(stage: &EnvironmentId, name: &str) -> Result<GateId, PipelineError> {
    let name = format!("{stage}/{name}");
    name.parse().map_err(|error| PipelineError::of(stage, None, PipelineProblem::Name(error)))
}

/// So many different people, each of whom has one of the roles.
fn people(
    n: u32,
    roles: &BTreeSet<release_core::model::RoleId>,
) -> Result<ApprovalPolicy, PipelineProblem> {
    let expression = match (roles.first(), roles.len()) {
        (None, _) => Expression::Anyone(Anyone { n }),
        (Some(role), 1) => Expression::OfRole(OfRole { role: role.clone(), n }),
        _ => {
            let one = |role: &release_core::model::RoleId| {
                Expression::OfRole(OfRole { role: role.clone(), n: 1 })
            };
            let any = Expression::AnyOf(roles.iter().map(one).collect());
            let times = usize::try_from(n).unwrap_or(usize::MAX).min(crate::approval::MAX_PARTS);
            Expression::AllOf(vec![any; times])
        }
    };
    Ok(ApprovalPolicy::new(Quorum::new(expression)?))
}

/// The analyses by which a version is judged in a stage.
fn judged_by<'a>(
    stage: &'a Stage,
    tier: Tier,
    rollback: &'a BTreeSet<RollbackTrigger>,
) -> BTreeSet<&'a AnalysisId> {
    let own: Vec<_> = match &stage.strategy {
        Strategy::BlueGreen(spec) => spec.analyses.iter().collect(),
        Strategy::Canary(spec) => spec.steps.iter().flat_map(|step| &step.analyses).collect(),
        _ => Vec::new(),
    };
    let criteria = rollback.iter().filter_map(|trigger| match trigger {
        RollbackTrigger::Analysis(id) | RollbackTrigger::SloBurn(id) => Some(id),
        RollbackTrigger::StepFailed
        | RollbackTrigger::Unhealthy
        | RollbackTrigger::Signal(_)
        | RollbackTrigger::Drift => None,
    });
    let everywhere = tier == Tier::Production || !matches!(stage.strategy, Strategy::Recreate);
    own.into_iter().chain(criteria.filter(|_| everywhere)).collect()
}
