//! Finds what is wrong with a definition, all of it at once.

mod flags;

use std::collections::{BTreeMap, BTreeSet};

use super::{PlanError, compare, durations, graph, strategy};
use crate::ids::{AnalysisId, ServiceId};
use crate::model::{
    Definition, Environment, Gate, RollbackTrigger, Service, Span, Stage, Strategy, Tier,
    VersionSet,
};

/// All faults of `definition`; empty when it can be planned.
pub(super) fn check(definition: &Definition) -> Vec<PlanError> {
    let mut errors = Vec::new();
    duplicates(definition, &mut errors);
    services(definition, &mut errors);
    versions(definition, &mut errors);
    analyses(definition, &mut errors);
    stages(definition, &mut errors);
    durations::check(definition, &mut errors);
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
    let index: BTreeMap<&ServiceId, u32> =
        definition.services.iter().map(|s| &s.id).zip(0..).collect();
    let mut edges = Vec::new();
    for (service, to) in definition.services.iter().zip(0..) {
        if service.replicas == 0 {
            errors.push(PlanError::NoReplicas { service: service.id.clone() });
        }
        for dependency in &service.depends_on {
            match index.get(&dependency.service) {
                Some(from) => edges.push((*from, to)),
                None => errors.push(PlanError::UnknownService {
                    place: format!("service `{}`", service.id),
                    service: dependency.service.clone(),
                }),
            }
        }
    }
    for cycle in graph::order(definition.services.len(), &edges).err().unwrap_or_default() {
        // An edge leads from what is needed to who needs it; people read it the other way round.
        let name = |at: &u32| definition.services.get(*at as usize).map(|s| s.id.to_string());
        let mut names: Vec<_> = cycle.iter().rev().filter_map(name).collect();
        if let Some(first) =
            names.iter().enumerate().min_by_key(|(_, name)| *name).map(|(at, _)| at)
        {
            names.rotate_left(first);
        }
        errors.push(PlanError::Cycle { what: "services", names });
    }
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
    compatible(&known, &after, "new", errors);
    compatible(&known, &release.previous, "previous", errors);
}

/// What runs at the same time has to hold together.
fn compatible(
    known: &BTreeMap<&ServiceId, &Service>,
    set: &VersionSet,
    name: &'static str,
    errors: &mut Vec<PlanError>,
) {
    for service in set.members.keys().filter_map(|id| known.get(id)) {
        for dependency in &service.depends_on {
            match set.get(&dependency.service) {
                Some(member) if dependency.version.matches(&member.version) => {}
                Some(member) => errors.push(PlanError::Incompatible {
                    service: service.id.clone(),
                    dependency: dependency.service.clone(),
                    wanted: dependency.version.clone(),
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

fn analyses(definition: &Definition, errors: &mut Vec<PlanError>) {
    for analysis in definition.analyses.iter().filter(|analysis| analysis.count == 0) {
        errors.push(PlanError::EmptyAnalysis { analysis: analysis.id.clone() });
    }
    definition.analyses.iter().for_each(|analysis| compare::check_rule(analysis, errors));
    compare::check_places(definition, errors);
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
        for list in named(&stage.strategy) {
            need(&format!("stage `{}`", stage.environment), &list.iter().collect::<Vec<_>>());
        }
    }
    for (stage, number) in definition.stages.iter().zip(1..) {
        let environment = &stage.environment;
        let production = definition
            .environments
            .iter()
            .any(|other| other.id == *environment && other.tier == Tier::Production);
        if matches!(stage.strategy, Strategy::Recreate) && !production {
            continue; // it runs no analyses
        }
        let taken = strategy::names_beside_analyses(&stage.strategy);
        let all: BTreeSet<_> = named(&stage.strategy).into_iter().flatten().collect();
        for analysis in all.into_iter().chain(criteria.iter().copied()).collect::<BTreeSet<_>>() {
            if taken.contains(&analysis.as_str()) {
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
            RollbackTrigger::StepFailed => None,
        })
        .collect()
}

/// The lists of analyses that a strategy names itself.
pub(super) fn named(strategy: &Strategy) -> Vec<&[AnalysisId]> {
    match strategy {
        Strategy::Recreate | Strategy::Rolling(_) => Vec::new(),
        Strategy::BlueGreen(spec) => vec![&spec.analyses],
        Strategy::Canary(spec) => spec.steps.iter().map(|step| &step.analyses[..]).collect(),
    }
}

fn stages(definition: &Definition, errors: &mut Vec<PlanError>) {
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
        flags::check((stage, number), definition, errors);
        if let Strategy::BlueGreen(spec) = &stage.strategy {
            gates(&spec.gates, errors);
        }
        if let Some(problem) = strategy_problem(&stage.strategy) {
            let environment = stage.environment.clone();
            errors.push(PlanError::BadStrategy { stage: number, environment, problem });
        }
        if stage.attempts == 0 {
            let problem = "`attempts` is 0 and nothing would be tried; set 1 or more".into();
            let environment = stage.environment.clone();
            errors.push(PlanError::BadStrategy { stage: number, environment, problem });
        }
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

/// Most batches of one rollout. Each is several steps, made before the plan's limit of steps is looked
/// at: without a bound of their own, a line of a file could exhaust the memory.
const MAX_BATCHES: u32 = 1000;

fn strategy_problem(strategy: &Strategy) -> Option<String> {
    match strategy {
        Strategy::Rolling(spec) if spec.batches == 0 => {
            Some("`rolling.batches` is 0; set 1 or more".into())
        }
        Strategy::Rolling(spec) if spec.batches > MAX_BATCHES => {
            Some(format!("`rolling.batches` is {}; set {MAX_BATCHES} or fewer", spec.batches))
        }
        Strategy::Canary(spec) if spec.steps.is_empty() => {
            Some("`canary.steps` is empty; give at least one weight".into())
        }
        Strategy::Canary(spec) => {
            let weights: Vec<u8> = spec.steps.iter().map(|step| step.weight).collect();
            let sound = weights.iter().all(|w| (1..=100).contains(w))
                && weights.windows(2).all(|pair| pair.first() < pair.last());
            (!sound).then(|| format!("canary weights {weights:?} must grow and lie from 1 to 100"))
        }
        Strategy::Recreate | Strategy::Rolling(_) | Strategy::BlueGreen(_) => None,
    }
}
