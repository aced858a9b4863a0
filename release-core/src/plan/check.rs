//! Finds what is wrong with a definition, all of it at once.

mod flags;

use std::collections::{BTreeMap, BTreeSet};

use super::expand::changes::{self, Turns};
use super::strategy::{self, Called, Known, RolloutStrategy};
use super::{PlanError, compare, durations, graph, triggers};
use crate::ids::{AnalysisId, ServiceId};
use crate::model::{
    Definition, Environment, Gate, RollbackTrigger, Service, Span, Stage, Tier, VersionSet,
};

/// All faults of `definition`; empty when it can be planned.
pub(super) fn check(definition: &Definition, strategies: &[Option<Known<'_>>]) -> Vec<PlanError> {
    let mut errors = Vec::new();
    duplicates(definition, &mut errors);
    services(definition, &mut errors);
    versions(definition, &mut errors);
    analyses(definition, strategies, &mut errors);
    stages(definition, strategies, &mut errors);
    durations::check(definition, strategies, &mut errors);
    errors
}

fn duplicates(definition: &Definition, errors: &mut Vec<PlanError>) {
    let mut check = |what: &'static str, ids: Vec<String>| {
        let mut seen = BTreeSet::new();
        for id in ids {
            if !seen.insert(id.clone()) {
                errors.push(PlanError::Duplicate { what, id });
            }
        }
    };
    check("service", definition.services.iter().map(|s| s.id.to_string()).collect());
    check("environment", definition.environments.iter().map(|e| e.id.to_string()).collect());
    for environment in &definition.environments {
        let regions =
            environment.regions.iter().map(|r| format!("{}/{r}", environment.id)).collect();
        check("region", regions);
    }
    check("analysis", definition.analyses.iter().map(|a| a.id.to_string()).collect());
    check("channel in `notify`", definition.notify.iter().map(ToString::to_string).collect());
    check("stage", definition.stages.iter().map(|s| s.environment.to_string()).collect());
}

fn services(definition: &Definition, errors: &mut Vec<PlanError>) {
    let known: BTreeSet<&ServiceId> = definition.services.iter().map(|s| &s.id).collect();
    for service in &definition.services {
        if service.replicas == 0 {
            errors.push(PlanError::NoReplicas { service: service.id.clone() });
        }
        for dependency in &service.depends_on {
            if !known.contains(&dependency.service) {
                errors.push(PlanError::UnknownService {
                    place: format!("service `{}`", service.id),
                    service: dependency.service.clone(),
                });
            }
        }
    }
    let turns = Turns::of(definition);
    let found = circles(definition, &turns.declared(), "services", errors);
    if !found {
        circles(definition, &turns.asked(), "changes of services", errors);
    }
}

/// Tells where these edges go round in circles, if they do.
fn circles(
    definition: &Definition,
    edges: &[(u32, u32)],
    what: &'static str,
    errors: &mut Vec<PlanError>,
) -> bool {
    let cycles = graph::order(definition.services.len(), edges).err().unwrap_or_default();
    let found = !cycles.is_empty();
    for cycle in cycles {
        // An edge leads from what goes first to who waits for it; people read it the other way round.
        let name = |at: &u32| definition.services.get(*at as usize).map(|s| s.id.to_string());
        let mut names: Vec<_> = cycle.iter().rev().filter_map(name).collect();
        if let Some(first) =
            names.iter().enumerate().min_by_key(|(_, name)| *name).map(|(at, _)| at)
        {
            names.rotate_left(first);
        }
        errors.push(PlanError::Cycle { what, names });
    }
    found
}

fn versions(definition: &Definition, errors: &mut Vec<PlanError>) {
    let release = &definition.release;
    if release.versions.members.is_empty() {
        errors.push(PlanError::EmptyVersionSet);
    }
    let known: BTreeMap<&ServiceId, &Service> =
        definition.services.iter().map(|s| (&s.id, s)).collect();
    for (name, set) in
        [("release.versions", &release.versions), ("release.previous", &release.previous)]
    {
        for service in set.members.keys().filter(|id| !known.contains_key(id)) {
            errors.push(PlanError::UnknownService { place: name.into(), service: service.clone() });
        }
    }
    if let Some(acknowledged) = &release.roll_forward_only {
        for service in acknowledged.services.iter().filter(|id| !known.contains_key(id)) {
            let place = "release.roll_forward_only".into();
            errors.push(PlanError::UnknownService { place, service: service.clone() });
        }
        if acknowledged.reason.trim().is_empty() {
            errors.push(PlanError::NoReason { by: acknowledged.by.clone() });
        }
    }
    // A rollback leads to the previous set, so that set has to hold together as well; services that are
    // not released stay as they are.
    let mut after = release.previous.clone();
    after.members.extend(release.versions.members.clone());
    compatible((definition, &known), &after, "new", errors);
    compatible((definition, &known), &release.previous, "previous", errors);
    knots(definition, errors);
}

/// What goes before what it needs runs beside the version of that from before.
fn knots(definition: &Definition, errors: &mut Vec<PlanError>) {
    for service in &definition.services {
        for need in &service.depends_on {
            let found = definition.release.previous.get(&need.service).map(|old| &old.version);
            let fits = found.is_some_and(|found| need.version.matches(found));
            if !fits && changes::is_before(definition, service, &need.service) {
                errors.push(PlanError::Knot {
                    service: service.id.clone(),
                    dependency: need.service.clone(),
                    wanted: need.version.clone(),
                    found: found.cloned(),
                });
            }
        }
    }
}

/// What runs at the same time has to hold together.
fn compatible(
    (definition, known): (&Definition, &BTreeMap<&ServiceId, &Service>),
    set: &VersionSet,
    name: &'static str,
    errors: &mut Vec<PlanError>,
) {
    for service in set.members.keys().filter_map(|id| known.get(id)) {
        let before = name == "previous" && changes::is_new(definition, &service.id);
        for dependency in &service.depends_on {
            let wanted = if before { dependency.before() } else { &dependency.version };
            match set.get(&dependency.service) {
                Some(member) if wanted.matches(&member.version) => {}
                Some(member) => errors.push(PlanError::Incompatible {
                    service: service.id.clone(),
                    dependency: dependency.service.clone(),
                    wanted: wanted.clone(),
                    found: member.version.clone(),
                    set: name,
                }),
                None if name == "new" && known.contains_key(&dependency.service) => {
                    errors.push(PlanError::MissingDependency {
                        service: service.id.clone(),
                        dependency: dependency.service.clone(),
                    });
                }
                None => {}
            }
        }
    }
}

/// The stages with their strategies, as far as those are known, and their numbers, counted from 1.
pub(super) fn strategic<'a>(
    definition: &'a Definition,
    strategies: &'a [Option<Known<'a>>],
) -> impl Iterator<Item = (usize, &'a Stage, &'a dyn RolloutStrategy)> {
    let known = definition.stages.iter().zip(strategies).zip(1..);
    known.filter_map(|((stage, known), number)| Some((number, stage, known.as_ref()?.get())))
}

fn analyses(
    definition: &Definition,
    strategies: &[Option<Known<'_>>],
    errors: &mut Vec<PlanError>,
) {
    for analysis in definition.analyses.iter().filter(|analysis| analysis.count == 0) {
        errors.push(PlanError::EmptyAnalysis { analysis: analysis.id.clone() });
    }
    definition.analyses.iter().for_each(|analysis| compare::check_rule(analysis, errors));
    compare::check_places(definition, strategies, errors);
    compare::check_dry_runs(definition, errors);
    triggers::check(definition, errors);
    let known: BTreeSet<&AnalysisId> = definition.analyses.iter().map(|a| &a.id).collect();
    let mut need = |place: &str, ids: &[&AnalysisId]| {
        let mut seen = BTreeSet::new();
        for id in ids {
            let (place, analysis) = (place.to_owned(), AnalysisId::clone(id));
            if !known.contains(id) {
                errors.push(PlanError::UnknownAnalysis { place, analysis });
            } else if !seen.insert(id) {
                errors.push(PlanError::RepeatedAnalysis { place, analysis });
            }
        }
    };
    let criteria = criteria(definition);
    need("`release.rollback`", &criteria);
    for stage in &definition.stages {
        let place = format!("`before_traffic` of stage `{}`", stage.environment);
        need(&place, &stage.before_traffic.iter().collect::<Vec<_>>());
    }
    for (_, stage, strategy) in strategic(definition, strategies) {
        for judged in strategy.judged() {
            need(&format!("stage `{}`", stage.environment), &judged.analyses);
        }
    }
    for (number, stage, strategy) in strategic(definition, strategies) {
        let environment = &stage.environment;
        let production = definition
            .environments
            .iter()
            .any(|other| other.id == *environment && other.tier == Tier::Production);
        if !strategy.judges_outside_production() && !production {
            continue;
        }
        let taken = strategy.names();
        let judged = strategy.judged();
        let all: BTreeSet<_> = judged.iter().flat_map(|judged| &judged.analyses).copied().collect();
        for analysis in all.into_iter().chain(criteria.iter().copied()).collect::<BTreeSet<_>>() {
            let again = [strategy::READY_AGAIN, strategy::OLD_READY_AGAIN, strategy::ROUTED_AGAIN];
            if taken.contains(&analysis.as_str()) || again.contains(&analysis.as_str()) {
                let (environment, analysis) = (environment.clone(), analysis.clone());
                errors.push(PlanError::ReservedAnalysis { stage: number, environment, analysis });
            }
        }
    }
}

/// The analyses among the release's criteria.
pub(super) fn criteria(definition: &Definition) -> Vec<&AnalysisId> {
    let triggers = definition.release.rollback.iter().flat_map(|criteria| &criteria.triggers);
    triggers
        .filter_map(|trigger| match trigger {
            RollbackTrigger::Analysis(id) => Some(id),
            RollbackTrigger::StepFailed
            | RollbackTrigger::Unhealthy
            | RollbackTrigger::SloBurn(_)
            | RollbackTrigger::Signal(_)
            | RollbackTrigger::Drift => None,
        })
        .collect()
}

fn stages(definition: &Definition, strategies: &[Option<Known<'_>>], errors: &mut Vec<PlanError>) {
    if definition.stages.is_empty() {
        errors.push(PlanError::NoStages);
    }
    let environments: BTreeMap<_, _> = definition.environments.iter().map(|e| (&e.id, e)).collect();
    for (stage, number) in definition.stages.iter().zip(1..) {
        match environments.get(&stage.environment) {
            None => {
                let environment = stage.environment.clone();
                errors.push(PlanError::UnknownEnvironment { stage: number, environment });
            }
            Some(environment) => regions(stage, environment, definition, errors),
        }
        gates(&stage.gates, errors);
        stage.wave_gates.iter().for_each(|list| gates(list, errors));
        hooks(stage, number, errors);
        if stage.unmeasured.as_ref().is_some_and(|word| word.reason.trim().is_empty()) {
            let problem = "`unmeasured` has no `reason`; say why users may get a version of which nothing was measured, or leave it out and name an analysis in `before_traffic`".into();
            let environment = stage.environment.clone();
            errors.push(PlanError::BadStrategy { stage: number, environment, problem });
        }
        flags::check((stage, number), definition, errors);
        if stage.attempts == 0 {
            let problem = "`attempts` is 0 and nothing would be tried; set 1 or more".into();
            let environment = stage.environment.clone();
            errors.push(PlanError::BadStrategy { stage: number, environment, problem });
        }
    }
    for (number, stage, strategy) in strategic(definition, strategies) {
        strategy.gates().into_iter().for_each(|list| gates(list, errors));
        if let Some(problem) = strategy.problem() {
            let environment = stage.environment.clone();
            errors.push(PlanError::BadStrategy { stage: number, environment, problem });
        }
    }
}

fn hooks(stage: &Stage, number: usize, errors: &mut Vec<PlanError>) {
    let mut seen = BTreeSet::new();
    for hook in &stage.hooks {
        if !seen.insert(&hook.id) {
            let id = format!("{}/{}", stage.environment, hook.id);
            errors.push(PlanError::Duplicate { what: "hook", id });
        }
        let Some(problem) = Called::from(hook).problem("hook") else { continue };
        let environment = stage.environment.clone();
        errors.push(PlanError::BadStrategy { stage: number, environment, problem });
    }
}

fn regions(
    stage: &Stage,
    environment: &Environment,
    definition: &Definition,
    errors: &mut Vec<PlanError>,
) {
    if environment.regions.is_empty() {
        errors.push(PlanError::NoRegions { environment: environment.id.clone() });
    }
    let criteria = definition.release.rollback.as_ref().is_some_and(|c| !c.triggers.is_empty());
    if environment.tier == Tier::Production && !criteria {
        errors.push(PlanError::NoRollbackCriteria { environment: environment.id.clone() });
    }
    if let Some(problem) = stop_problem(stage, environment, criteria) {
        let number = definition.stages.iter().position(|s| s.environment == stage.environment);
        let (stage, environment) = (number.map_or(1, |at| at + 1), environment.id.clone());
        errors.push(PlanError::BadStrategy { stage, environment, problem });
    }
    let waves = if stage.waves.is_empty() { environment.regions.len() } else { stage.waves.len() };
    if stage.wave_gates.len() > waves {
        let environment = stage.environment.clone();
        let gates = stage.wave_gates.len();
        errors.push(PlanError::GatesOfNoWave { environment, gates, waves });
    }
    if stage.waves.is_empty() {
        return;
    }
    let mut seen = BTreeSet::new();
    for region in stage.waves.iter().flatten() {
        if !environment.regions.contains(region) {
            let environment = environment.id.clone();
            errors.push(PlanError::UnknownRegion { environment, region: region.clone() });
        }
        if !seen.insert(region) {
            let id = format!("{}/{region}", environment.id);
            errors.push(PlanError::Duplicate { what: "region in `waves`", id });
        }
    }
    for region in environment.regions.iter().filter(|region| !seen.contains(region)) {
        let environment = environment.id.clone();
        errors.push(PlanError::RegionWithoutWave { environment, region: region.clone() });
    }
}

fn stop_problem(stage: &Stage, environment: &Environment, criteria: bool) -> Option<String> {
    let after = stage.stop_after_failed_regions?;
    let most = environment.regions.len();
    if after == 0 {
        return Some("`stop_after_failed_regions` is 0; set 1 or more, or leave it out".into());
    }
    if u32::try_from(most).is_ok_and(|most| after > most) {
        return Some(format!(
            "`stop_after_failed_regions` is {after}, and there are {most} regions; set {most} or fewer"
        ));
    }
    (!criteria).then(|| {
        "`stop_after_failed_regions` needs `release.rollback`, which says what a failure is".into()
    })
}

fn gates(gates: &[Gate], errors: &mut Vec<PlanError>) {
    let mut seen = BTreeSet::new();
    for gate in gates {
        if let Gate::Approval(approval) = gate {
            if !seen.insert(&approval.id) {
                errors.push(PlanError::DuplicateGate { id: approval.id.clone() });
            }
            if approval.quorum == 0 {
                errors.push(PlanError::EmptyQuorum { id: approval.id.clone() });
            }
            if approval.valid_for == Some(Span::ZERO) {
                errors.push(PlanError::NoValidity { id: approval.id.clone() });
            }
        }
    }
}
