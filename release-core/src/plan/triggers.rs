//! The triggers of a release's rollback criteria that are no analysis of one place: error budgets that are watched over a whole
//! rollout, health checks, traffic that is not any more as it was set, and signals from outside.

use super::build::SignalRule;
use super::strategy::{self, Rollout, RolloutStrategy, Site, StrategyError};
use super::{Action, OnFailure, PlanBuilder, PlanError};
use crate::model::{Definition, Judge, RollbackCriteria, RollbackTrigger, Stage};

/// Finds triggers that could never be.
pub(super) fn check(definition: &Definition, errors: &mut Vec<PlanError>) {
    let triggers = definition.release.rollback.iter().flat_map(|criteria| &criteria.triggers);
    for trigger in triggers {
        match trigger {
            RollbackTrigger::StepFailed
            | RollbackTrigger::Unhealthy
            | RollbackTrigger::Drift
            | RollbackTrigger::Analysis(_) => {}
            RollbackTrigger::SloBurn(id) => {
                let known = definition.analyses.iter().find(|analysis| analysis.id == *id);
                match known.map(|analysis| &analysis.judge) {
                    Some(Judge::BurnRate(_)) => {}
                    Some(_) => {
                        let problem = "is named by the trigger `slo_burn` and is not judged by `burn_rate`; give it that judge, or name it by the trigger `analysis`";
                        let (analysis, problem) = (id.clone(), problem.to_owned());
                        errors.push(PlanError::BadRule { analysis, problem });
                    }
                    None => {
                        let place = "`release.rollback.triggers`".to_owned();
                        errors.push(PlanError::UnknownAnalysis { place, analysis: id.clone() });
                    }
                }
            }
            RollbackTrigger::Signal(on) => {
                if on.source.as_ref().is_some_and(|source| source.trim().is_empty()) {
                    errors.push(PlanError::EmptySource { kind: on.kind });
                }
            }
        }
    }
}

/// Expands `strategy` at `site`, with what watches over all of it.
pub(super) fn expand(
    strategy: &dyn RolloutStrategy,
    stage: &Stage,
    site: &Site<'_>,
) -> Result<Rollout, StrategyError> {
    let mut rollout = strategy::expand(strategy, stage, site)?;
    let Some(criteria) = site.rollback else { return Ok(rollout) };
    if site.production && site.old.is_some() {
        watch(&mut rollout, site, criteria)?;
    }
    let named = |trigger| criteria.triggers.contains(&trigger);
    let (unhealthy, drift) = (named(RollbackTrigger::Unhealthy), named(RollbackTrigger::Drift));
    for step in &mut rollout.steps {
        let back = match &step.action {
            // Of the old version, nothing is to be learnt of the new one.
            Action::Probe { deployment, .. } => unhealthy && *deployment == site.new,
            Action::Confirm { .. } => drift,
            _ => false,
        };
        if back {
            step.on_failure = OnFailure::RollBack(criteria.scope);
        }
    }
    Ok(rollout)
}

/// From the first traffic on until the rollout is through, what burns the error budget takes it back. One that the strategy
/// watches by itself, perhaps from a later step on, is watched once, and from then on.
fn watch(
    rollout: &mut Rollout,
    site: &Site<'_>,
    criteria: &RollbackCriteria,
) -> Result<(), StrategyError> {
    let first = rollout.steps.iter().position(|step| matches!(step.action, Action::Route { .. }));
    for trigger in &criteria.triggers {
        let RollbackTrigger::SloBurn(id) = trigger else { continue };
        // One that the strategy begins later is watched twice, by the same name, if it stays.
        rollout.beside.retain(|watch| {
            !matches!(&watch.step.action, Action::Analyze { analysis, .. } if analysis.id == *id)
        });
        rollout.watch(site, id, first)?;
    }
    Ok(())
}

/// Writes down in the plan what is done about signals.
pub(super) fn signals(criteria: Option<&RollbackCriteria>, builder: &mut PlanBuilder) {
    let Some(criteria) = criteria else { return };
    for trigger in &criteria.triggers {
        if let RollbackTrigger::Signal(on) = trigger {
            builder.signal(SignalRule { on: on.clone(), scope: criteria.scope });
        }
    }
}
