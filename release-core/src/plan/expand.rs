//! Turns a sound definition into steps.

pub(super) mod changes;
mod flags;
mod size;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use self::changes::Change;
use super::planner::Planner;
use super::strategy::{Known, RolloutStrategy, Site, StrategyError, Watch};
use super::{
    Action, Deployment, EdgeKind, Line, OnFailure, Place, Plan, PlanBuilder, PlanError, PlanErrors,
    RetryPolicy, Step, StepScope, Undo, check, compare, triggers,
};
use crate::ids::{AnalysisId, GateId, IdError, RegionId, ServiceId, StepId};
use crate::model::{
    Analysis, Definition, Environment, FlagMoment, Gate, Release, RollbackScope, Stage, Target,
    Tier, VersionSet,
};

/// Plans `definition`, with the strategies that are ours: as a [`Planner`] that demands nothing beyond a sound definition.
///
/// This is for whoever looks at a plan and does not run it, and for definitions that were written before planners demanded more.
/// Who plans what is going to run takes [`Planner::new`], which refuses in production what nobody measured before users get
/// it.
///
/// # Errors
/// As [`Planner::plan`], but for that.
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
    Planner::new().measured_before_traffic(false).plan_with(definition, configure)
}

/// Checks `definition` and expands it.
pub(super) fn expand(
    definition: &Definition,
    strategies: &[Option<Known<'_>>],
    mut errors: Vec<PlanError>,
    configure: impl FnOnce(&mut PlanBuilder),
) -> Result<Plan, PlanErrors> {
    errors.extend(check::check(definition, strategies));
    if !errors.is_empty() {
        return Err(PlanErrors(errors));
    }
    let mut expansion = Expansion::new(definition);
    configure(&mut expansion.builder);
    let stages = if expansion.services.is_empty() { &[][..] } else { &definition.stages };
    let stages = || stages.iter().zip(strategies.iter().flatten().map(Known::get)).zip(1..);
    let (mut size, mut refused) = (expansion.size(), Vec::new());
    for ((stage, strategy), number) in stages() {
        match expansion.size_of(stage, strategy) {
            Ok(steps) => size = size.saturating_add(steps),
            Err(error) => refused.extend(strategy_error(error, stage, number).0),
        }
    }
    if !refused.is_empty() {
        return Err(PlanErrors(refused));
    }
    expansion.builder.reserve(size)?;
    expansion.artifacts().map_err(id_error)?;
    for ((stage, strategy), number) in stages() {
        if let Some(word) = &stage.unmeasured {
            expansion.builder.unmeasured(stage.environment.clone(), word.clone());
        }
        let expanded = expansion.stage(stage, strategy);
        expanded.map_err(|error| strategy_error(error, stage, number))?;
    }
    expansion.notifications().map_err(id_error)?;
    // A strategy of the host's own may make more of one place than of another.
    let ours = strategies.iter().flatten().all(|known| matches!(known, Known::Ours(_)));
    if !ours || !definition.analyses.is_empty() {
        compare::share_out(expansion.builder.steps_mut());
    }
    debug_assert!(
        !ours || expansion.builder.len() == size,
        "{} steps are not {size}, as they were counted",
        expansion.builder.len()
    );
    expansion.builder.build()
}

fn id_error(error: IdError) -> PlanErrors {
    PlanErrors(vec![PlanError::Id(error)])
}

fn strategy_error(error: StrategyError, stage: &Stage, number: usize) -> PlanErrors {
    match error {
        StrategyError::Id(error) => id_error(error),
        StrategyError::Refused(problem) => {
            let environment = stage.environment.clone();
            PlanErrors(vec![PlanError::BadStrategy { stage: number, environment, problem }])
        }
    }
}

struct Expansion<'a> {
    definition: &'a Definition,
    /// The services that change, each after those that go first.
    services: Arc<[Change<'a>]>,
    environments: BTreeMap<&'a crate::ids::EnvironmentId, &'a Environment>,
    analyses: BTreeMap<&'a AnalysisId, Arc<Analysis>>,
    criteria: Vec<AnalysisId>,
    builder: PlanBuilder,
    /// What the next stage waits for.
    frontier: Vec<u32>,
    /// What the end of the run waits for besides.
    loose_ends: Vec<u32>,
    /// Room for the steps of the next rollout.
    room: Vec<Step>,
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
        triggers::signals(release.rollback.as_ref(), &mut builder);
        Self {
            definition,
            services: changes::in_order(definition).into(),
            environments: definition.environments.iter().map(|e| (&e.id, e)).collect(),
            analyses: definition.analyses.iter().map(|a| (&a.id, Arc::new(a.clone()))).collect(),
            criteria,
            builder,
            frontier: Vec::new(),
            loose_ends: Vec::new(),
            room: Vec::new(),
        }
    }

    /// Before anything moves: what shall run and what a rollback would need can both be had.
    fn artifacts(&mut self) -> Result<(), IdError> {
        for change in Arc::clone(&self.services).iter() {
            for (name, member) in self.verified(change) {
                let id = StepId::new(format!("artifacts/{}/{name}", change.service.id))?;
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
        change: &Change<'a>,
    ) -> impl Iterator<Item = (&'static str, &'a crate::model::Member)> + use<'a> {
        let acknowledged = self.definition.release.roll_forward_only.as_ref();
        let one_way = acknowledged.is_some_and(|a| a.concerns(&change.service.id));
        let old = change.old.filter(|_| !one_way);
        [("new", change.new)].into_iter().chain(old.map(|member| ("previous", member)))
    }

    fn stage(
        &mut self,
        stage: &'a Stage,
        strategy: &dyn RolloutStrategy,
    ) -> Result<(), StrategyError> {
        let Some(environment) = self.environments.get(&stage.environment).copied() else {
            return Ok(());
        };
        let name = &environment.id;
        let mut enter = sync(format!("{name}/enter"), environment)?;
        enter.gates = prefixed(name.as_str(), &stage.gates)?;
        if enter.is_gated() {
            enter.on_failure = self.on_failure();
        }
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
        let mut gates = stage.wave_gates.iter();
        for (wave, number) in waves.iter().zip(1_usize..) {
            let label = match wave.as_slice() {
                [only] => only.to_string(),
                _ => wave_name(number, environment),
            };
            if let Some(gates) = gates.next().filter(|gates| !gates.is_empty()) {
                let path = format!("{name}/{label}");
                let mut enter = sync(format!("{path}/enter"), environment)?;
                (enter.gates, enter.on_failure) = (prefixed(&path, gates)?, self.on_failure());
                self.frontier.push(gate);
                gate = self.meet(enter, EdgeKind::Sync);
            }
            for region in wave {
                let at = (stage, strategy, environment, region);
                done.extend(self.region(at, gate, &before, &mut finales)?);
            }
            self.frontier.push(gate);
            gate =
                self.meet(sync(format!("{name}/{label}/verified"), environment)?, EdgeKind::Sync);
        }
        let ends = self.flags_after((stage, environment), gate, &done)?;
        let behind: Vec<_> = ends.iter().map(|end| (*end, EdgeKind::Sync)).collect();
        for mut finale in finales {
            let last = self.chain(&mut finale, &behind);
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
            step.undo =
                Undo::point_of_no_return(acknowledged.justification(), acknowledged.by.clone());
        }
    }

    fn region(
        &mut self,
        (stage, strategy, environment, region): (
            &Stage,
            &dyn RolloutStrategy,
            &Environment,
            &RegionId,
        ),
        gate: u32,
        before: &flags::Before<'_>,
        finales: &mut Vec<Vec<Step>>,
    ) -> Result<Vec<flags::Done<'a>>, StrategyError> {
        let services = Arc::clone(&self.services);
        let last_flags = stage.flags.iter().any(|change| change.when == FlagMoment::After);
        // The last steps and the group of each service in this region.
        let mut done: Vec<(Vec<u32>, u32)> = Vec::with_capacity(services.len());
        for change in services.iter() {
            let service = change.service;
            let target = Target::new(environment.id.clone(), region.clone(), service.id.clone());
            let needed = || change.needs.iter().filter_map(|place| done.get(*place));
            let mut after: Vec<u32> = needed().map(|(_, group)| *group).collect();
            after.extend(before.of(&service.id).map(|(_, group)| group));
            let either = change.either.iter().filter_map(|place| Some(done.get(*place)?.1));
            let path = path_of(&target);
            let group = self.builder.group_with(path.clone(), after, either.collect());
            let room = std::mem::take(&mut self.room);
            let site = self.site((stage, strategy, environment), change, (&target, path), group);
            site.room.replace(room);
            let mut rollout = triggers::expand(strategy, stage, &site)?;
            self.one_way(&service.id, rollout.steps.iter_mut().chain(&mut rollout.finale));
            let mut waits = vec![(gate, EdgeKind::Sync)];
            waits.extend(before.of(&service.id).map(|(last, _)| (last, EdgeKind::Sync)));
            let last = needed().flat_map(|(last, _)| last);
            waits.extend(last.map(|last| (*last, EdgeKind::Dependency)));
            let first = self.builder.len();
            let mut last: Vec<u32> = self.chain(&mut rollout.steps, &waits).into_iter().collect();
            self.room = rollout.steps;
            last.extend(self.watches(rollout.beside, first, &waits));
            self.frontier.extend(&last);
            done.push((last, group));
            if !rollout.finale.is_empty() {
                finales.push(rollout.finale);
            }
        }
        if !last_flags {
            return Ok(Vec::new()); // nobody asks
        }
        let each = services.iter().map(|change| &change.service.id).zip(done);
        let each = each.map(|(service, (last, group))| (service, last, group));
        let mut each: Vec<flags::Done<'a>> = each.collect();
        each.sort_unstable_by_key(|(service, ..)| *service);
        Ok(each)
    }

    /// Adds what goes on beside the steps from index `first` on; returns those that it is over with.
    fn watches(&mut self, beside: Vec<Watch>, first: usize, waits: &[(u32, EdgeKind)]) -> Vec<u32> {
        let mut watches = Vec::new();
        for Watch { after, step } in beside {
            let chain = self.builder.steps_mut().iter().skip(first);
            let begun = after.and_then(|after| chain.clone().position(|step| step.id == after));
            let begun = begun.and_then(|at| u32::try_from(first + at).ok());
            let at = self.builder.step(step);
            match begun {
                Some(begun) => self.builder.edge(begun, at, EdgeKind::Order),
                None => waits.iter().for_each(|(from, why)| self.builder.edge(*from, at, *why)),
            }
            watches.push(at);
        }
        watches
    }

    fn site(
        &self,
        (stage, strategy, environment): (&Stage, &dyn RolloutStrategy, &Environment),
        change: &Change<'_>,
        (target, path): (&Target, String),
        group: u32,
    ) -> Site<'_> {
        let (release, service) = (&self.definition.release, change.service);
        let deployment = |member: &crate::model::Member| {
            let (artifact, version) = (member.artifact.clone(), member.version.clone());
            Arc::new(Deployment { target: target.clone(), artifact, version })
        };
        let place = Place {
            environment: target.environment.clone(),
            region: Some(target.region.clone()),
            service: Some(target.service.clone()),
            team: Some(service.owner.clone()),
            semaphores: service.semaphores.clone(),
            runbook: service.runbook.clone(),
        };
        Site {
            path,
            new: deployment(change.new),
            old: change.old.map(deployment),
            replicas: service.replicas,
            scope: StepScope::of(place),
            group,
            rollback: release.rollback.as_ref(),
            timeout: stage.step_timeout,
            attempts: stage.attempts,
            analyses: &self.analyses,
            criteria: &self.criteria,
            production: environment.tier == Tier::Production,
            returns: self.returns(stage, &service.id),
            keep_new: strategy.keeps_new_after_abort(),
            apart: strategy.anti_affinity(),
            roles: strategy.roles(),
            room: RefCell::default(),
        }
    }

    /// Whether `service` goes back to a version that was live a short while ago.
    fn returns(&self, stage: &Stage, service: &ServiceId) -> bool {
        returns(&self.definition.release, stage, service)
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
    fn chain(&mut self, steps: &mut Vec<Step>, waits: &[(u32, EdgeKind)]) -> Option<u32> {
        let mut last = None;
        for step in steps.drain(..) {
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

/// A target in words.
fn path_of(target: &Target) -> String {
    let names = [target.environment.as_str(), target.region.as_str(), target.service.as_str()];
    names.join("/")
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

/// Whether a release brings `service` back to a version that was live in `stage` a short while ago.
pub(super) fn returns(release: &Release, stage: &Stage, service: &ServiceId) -> bool {
    if release.recent.is_empty() {
        return false;
    }
    let digest = |set: &VersionSet| set.get(service).map(|member| member.artifact.digest());
    let new = digest(&release.versions);
    let recent = release.recent.iter().take(stage.rollback_window as usize);
    new.is_some() && recent.map(digest).any(|recent| recent == new)
}
