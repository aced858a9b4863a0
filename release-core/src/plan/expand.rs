//! Turns a sound definition into steps.

mod flags;
mod size;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use super::strategy::{self, Site};
use super::{
    Action, Deployment, EdgeKind, Line, OnFailure, Place, Plan, PlanBuilder, PlanError, PlanErrors,
    RetryPolicy, Step, StepScope, Undo, check, compare, graph,
};
use crate::ids::{AnalysisId, GateId, IdError, RegionId, ServiceId, StepId};
use crate::model::{
    Analysis, Definition, Environment, Gate, RollbackScope, Service, Stage, Target, Tier,
};

/// Checks `definition` and expands it into a plan.
///
/// Stages follow each other; in a stage, wave follows wave; in a region, a service follows those
/// that it needs. A service whose artifact does not change gets no steps. The old versions of a
/// stage are removed once the whole set is verified in all of the stage's regions.
///
/// When no service changes, there is nothing to agree to, to deploy or to measure: the plan has no
/// stages and no gates, only tells the channels of `notify` so, and a run of it succeeds at once
/// ([`Plan::changes_nothing`]). So a train may depart again without harm.
///
/// The same definition always gives the same plan, byte for byte.
///
/// # Errors
/// [`PlanErrors`] with every fault of the definition, not the first alone.
pub fn plan(definition: &Definition) -> Result<Plan, PlanErrors> {
    plan_with(definition, |_| {})
}

/// As [`plan`], with a say on the plan's limits.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(
    definition: &Definition,
    configure: impl FnOnce(&mut PlanBuilder),
) -> Result<Plan, PlanErrors> {
    let errors = check::check(definition);
    if !errors.is_empty() {
        return Err(PlanErrors(errors));
    }
    let mut expansion = Expansion::new(definition);
    configure(&mut expansion.builder);
    let stages = if expansion.services.is_empty() { &[][..] } else { &definition.stages };
    let size = expansion.size(stages).map_err(id_error)?;
    expansion.builder.reserve(size)?;
    expansion.artifacts().map_err(id_error)?;
    for stage in stages {
        expansion.stage(stage).map_err(id_error)?;
    }
    expansion.notifications().map_err(id_error)?;
    debug_assert_eq!(expansion.builder.len(), size, "steps are counted as they are made");
    compare::share_out(expansion.builder.steps_mut());
    expansion.builder.build()
}

fn id_error(error: IdError) -> PlanErrors {
    PlanErrors(vec![PlanError::Id(error)])
}

struct Expansion<'a> {
    definition: &'a Definition,
    /// The services that change, each after those that it needs.
    services: Arc<[Change<'a>]>,
    environments: BTreeMap<&'a crate::ids::EnvironmentId, &'a Environment>,
    analyses: BTreeMap<&'a AnalysisId, Arc<Analysis>>,
    criteria: Vec<AnalysisId>,
    builder: PlanBuilder,
    /// What the next stage waits for.
    frontier: Vec<u32>,
    /// What the end of the run waits for besides.
    loose_ends: Vec<u32>,
}

/// A service that changes.
struct Change<'a> {
    service: &'a Service,
    /// What it needs of the services that change, also through others that do not.
    needs: BTreeSet<&'a ServiceId>,
    /// Those of `needs` of which the version from before would do as well.
    either: BTreeSet<&'a ServiceId>,
}

impl<'a> Expansion<'a> {
    fn new(definition: &'a Definition) -> Self {
        let release = &definition.release;
        let criteria = check::criteria(definition).into_iter().cloned().collect();
        let mut builder = Plan::builder(definition.train.clone(), release.id.clone());
        builder.definition(definition.digest());
        builder.on_cancel(release.on_cancel);
        builder.priority(release.priority);
        builder.notify(definition.notify.clone());
        builder.roll_forward_only(release.roll_forward_only.clone());
        Self {
            definition,
            services: changed_in_order(definition).into(),
            environments: definition.environments.iter().map(|e| (&e.id, e)).collect(),
            analyses: definition.analyses.iter().map(|a| (&a.id, Arc::new(a.clone()))).collect(),
            criteria,
            builder,
            frontier: Vec::new(),
            loose_ends: Vec::new(),
        }
    }

    /// Before anything moves: what shall run and what a rollback would need can both be had.
    fn artifacts(&mut self) -> Result<(), IdError> {
        for Change { service, .. } in Arc::clone(&self.services).iter() {
            for (name, member) in self.verified(&service.id) {
                let id = StepId::new(format!("artifacts/{}/{name}", service.id))?;
                let action = Action::VerifyArtifact { artifact: member.artifact.clone() };
                let step = Step::new(id, action).retry(RetryPolicy::attempts(3));
                self.frontier.push(self.builder.step(step));
            }
        }
        Ok(())
    }

    /// What is verified of a service, with what it is called: the version from before only where it is to
    /// be returned to.
    fn verified(
        &self,
        service: &ServiceId,
    ) -> impl Iterator<Item = (&'static str, &'a crate::model::Member)> + use<'a> {
        let release = &self.definition.release;
        let one_way = release.roll_forward_only.as_ref().is_some_and(|a| a.concerns(service));
        let previous = (!one_way).then(|| release.previous.get(service)).flatten();
        let new = release.versions.get(service).map(|member| ("new", member));
        new.into_iter().chain(previous.map(|member| ("previous", member)))
    }

    fn stage(&mut self, stage: &'a Stage) -> Result<(), IdError> {
        let Some(environment) = self.environments.get(&stage.environment).copied() else {
            return Ok(());
        };
        let name = &environment.id;
        let mut enter = sync(format!("{name}/enter"), environment)?;
        enter.gates = prefixed(name.as_str(), &stage.gates)?;
        let mut gate = self.meet(enter, EdgeKind::Sync);
        let waves: Vec<Vec<RegionId>> = if stage.waves.is_empty() {
            environment.regions.iter().map(|region| vec![region.clone()]).collect()
        } else {
            stage.waves.clone()
        };
        self.line(stage, &waves);
        let before = self.flags_before((stage, environment), gate)?;
        self.frontier.extend(before.last());
        let (mut finales, mut done) = (Vec::new(), Vec::new());
        for (wave, number) in waves.iter().zip(1_usize..) {
            for region in wave {
                let at = (stage, environment, region);
                done.extend(self.region(at, gate, &before, &mut finales)?);
            }
            let label = match wave.as_slice() {
                [only] => only.to_string(),
                _ => wave_name(number, environment),
            };
            self.frontier.push(gate);
            gate =
                self.meet(sync(format!("{name}/{label}/verified"), environment)?, EdgeKind::Sync);
        }
        let ends = self.flags_after((stage, environment), gate, &done)?;
        let behind: Vec<_> = ends.iter().map(|end| (*end, EdgeKind::Sync)).collect();
        for finale in finales {
            let last = self.chain(finale, &behind);
            self.loose_ends.extend(last);
        }
        self.frontier = ends;
        Ok(())
    }

    /// What is said of regions beyond the order of their steps.
    fn line(&mut self, stage: &Stage, waves: &[Vec<RegionId>]) {
        let stop_after = stage.stop_after_failed_regions.and_then(NonZeroU32::new);
        let criteria = self.definition.release.rollback.as_ref();
        if stop_after.is_some() || criteria.is_some_and(|c| c.scope == RollbackScope::Wave) {
            let environment = stage.environment.clone();
            self.builder.line(Line { environment, waves: waves.to_vec(), stop_after });
        }
    }

    /// Without a version to return to, nothing that is changed can be undone.
    fn one_way<'s>(&self, service: &ServiceId, steps: impl Iterator<Item = &'s mut Step>) {
        let acknowledged = self.definition.release.roll_forward_only.as_ref();
        let Some(acknowledged) = acknowledged.filter(|a| a.concerns(service)) else { return };
        for step in steps.filter(|step| step.action.mutates()) {
            step.undo = Undo::PointOfNoReturn { justification: acknowledged.justification() };
        }
    }

    fn region(
        &mut self,
        (stage, environment, region): (&Stage, &Environment, &RegionId),
        gate: u32,
        before: &flags::Before<'_>,
        finales: &mut Vec<Vec<Step>>,
    ) -> Result<Vec<flags::Done<'a>>, IdError> {
        // The last step and the group of each service in this region.
        let mut done: BTreeMap<&ServiceId, (Option<u32>, u32)> = BTreeMap::new();
        for Change { service, needs, either } in Arc::clone(&self.services).iter() {
            let target = Target::new(environment.id.clone(), region.clone(), service.id.clone());
            let needed: Vec<_> = needs.iter().filter_map(|id| done.get(id)).copied().collect();
            let mut after: Vec<u32> = needed.iter().map(|(_, group)| *group).collect();
            after.extend(before.of(&service.id).map(|(_, group)| group));
            let either = either.iter().filter_map(|id| Some(done.get(id)?.1)).collect();
            let group = self.builder.group_with(target.to_string(), after, either);
            let Some(site) = self.site((stage, environment), service, &target, group) else {
                continue;
            };
            let mut rollout = strategy::expand(&stage.strategy, &site)?;
            self.one_way(&service.id, rollout.steps.iter_mut().chain(&mut rollout.finale));
            let mut waits = vec![(gate, EdgeKind::Sync)];
            waits.extend(before.of(&service.id).map(|(last, _)| (last, EdgeKind::Sync)));
            waits.extend(
                needed.iter().filter_map(|(last, _)| Some(((*last)?, EdgeKind::Dependency))),
            );
            let last = self.chain(rollout.steps, &waits);
            done.insert(&service.id, (last, group));
            self.frontier.extend(last);
            if !rollout.finale.is_empty() {
                finales.push(rollout.finale);
            }
        }
        Ok(done.into_iter().map(|(service, (last, group))| (service, last, group)).collect())
    }

    fn site(
        &self,
        (stage, environment): (&Stage, &Environment),
        service: &Service,
        target: &Target,
        group: u32,
    ) -> Option<Site<'_>> {
        let release = &self.definition.release;
        let deployment = |member: &crate::model::Member| Deployment {
            target: target.clone(),
            artifact: member.artifact.clone(),
            version: member.version.clone(),
        };
        let place = Place {
            environment: target.environment.clone(),
            region: Some(target.region.clone()),
            service: Some(target.service.clone()),
            team: Some(service.owner.clone()),
            semaphores: service.semaphores.clone(),
            runbook: service.runbook.clone(),
        };
        Some(Site {
            new: deployment(release.versions.get(&service.id)?),
            old: release.previous.get(&service.id).map(deployment),
            replicas: service.replicas,
            scope: StepScope::of(place),
            group,
            rollback: release.rollback.as_ref(),
            timeout: stage.step_timeout,
            attempts: stage.attempts,
            analyses: &self.analyses,
            criteria: &self.criteria,
            production: environment.tier == Tier::Production,
        })
    }

    fn notifications(&mut self) -> Result<(), IdError> {
        self.frontier.append(&mut self.loose_ends);
        for channel in &self.definition.notify {
            let (release, train) = (&self.definition.release.id, &self.definition.train);
            let message = if self.services.is_empty() {
                format!("{release} of {train}: nothing to do, every service is as wanted already")
            } else {
                format!("{release} of {train} is live")
            };
            let action = Action::Notify { channel: channel.clone(), message };
            let mut step = Step::new(StepId::new(format!("notify/{channel}"))?, action);
            step.retry = RetryPolicy::attempts(3);
            step.on_failure = OnFailure::Continue;
            let at = self.builder.step(step);
            self.frontier.iter().for_each(|from| self.builder.edge(*from, at, EdgeKind::Sync));
        }
        Ok(())
    }

    /// Adds `step` after the whole frontier, which it replaces.
    fn meet(&mut self, step: Step, why: EdgeKind) -> u32 {
        let at = self.builder.step(step);
        for from in self.frontier.drain(..) {
            self.builder.edge(from, at, why);
        }
        at
    }

    /// Adds steps each after the one before, the first after all of `waits`; returns the last.
    fn chain(&mut self, steps: Vec<Step>, waits: &[(u32, EdgeKind)]) -> Option<u32> {
        let mut last = None;
        for step in steps {
            let at = self.builder.step(step);
            match last {
                None => waits.iter().for_each(|(from, why)| self.builder.edge(*from, at, *why)),
                Some(before) => self.builder.edge(before, at, EdgeKind::Order),
            }
            last = Some(at);
        }
        last
    }
}

/// A name for a wave of several regions that is none of theirs.
fn wave_name(number: usize, environment: &Environment) -> String {
    let mut name = format!("wave-{number}");
    while environment.regions.iter().any(|region| region.as_str() == name) {
        name.push_str("-all");
    }
    name
}

fn sync(id: String, environment: &Environment) -> Result<Step, IdError> {
    let place = Place::new(environment.id.clone());
    let mut step = Step::new(StepId::new(id)?, Action::Sync);
    step.scope = StepScope::of(place);
    Ok(step)
}

/// The same gates, with `prefix` before the ids of approvals, so that they are unique in the plan.
pub(super) fn prefixed(prefix: &str, gates: &[Gate]) -> Result<Vec<Gate>, IdError> {
    let own = |gate: &Gate| match gate {
        Gate::Approval(approval) => {
            let id = GateId::new(format!("{prefix}/{}", approval.id))?;
            Ok(Gate::Approval(crate::model::Approval { id, ..approval.clone() }))
        }
        Gate::Soak(_) | Gate::NotBefore(_) => Ok(gate.clone()),
    };
    gates.iter().map(own).collect()
}

/// The services whose artifact changes, each after those that it needs; ties in the order of the
/// definition.
fn changed_in_order(definition: &Definition) -> Vec<Change<'_>> {
    let index: BTreeMap<&ServiceId, u32> =
        definition.services.iter().map(|s| &s.id).zip(0..).collect();
    let edges: Vec<(u32, u32)> = definition
        .services
        .iter()
        .zip(0..)
        .flat_map(|(service, to)| {
            let from = service.depends_on.iter().filter_map(|d| index.get(&d.service));
            from.map(move |from| (*from, to))
        })
        .collect();
    let release = &definition.release;
    let artifact = |set: &crate::model::VersionSet, id: &ServiceId| {
        set.get(id).map(|member| member.artifact.digest())
    };
    let is_new = |service: &Service| {
        let new = artifact(&release.versions, &service.id);
        new.is_some() && new != artifact(&release.previous, &service.id)
    };
    // What stands behind a service that does not change: whoever needs it needs that.
    let mut behind: BTreeMap<&ServiceId, BTreeSet<&ServiceId>> = BTreeMap::new();
    let mut changed = Vec::new();
    let order = graph::stable_order(definition.services.len(), &edges);
    for service in order.into_iter().filter_map(|at| definition.services.get(at as usize)) {
        let mut needs = BTreeSet::new();
        for dependency in &service.depends_on {
            match behind.get(&dependency.service) {
                Some(through) => needs.extend(through),
                None => {
                    needs.insert(&dependency.service);
                }
            }
        }
        if is_new(service) {
            let asks = |id: &&ServiceId| {
                let mut named = service.depends_on.iter().filter(|d| d.service == **id);
                let before = release.previous.get(id);
                !named.all(|d| before.is_some_and(|member| d.version.matches(&member.version)))
            };
            let either = needs.iter().copied().filter(|id| !asks(id)).collect();
            changed.push(Change { service, needs, either });
        } else {
            behind.insert(&service.id, needs);
        }
    }
    changed
}
