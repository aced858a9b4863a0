//! What can be said of a pipeline before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    Bound, ChangeScope, EnvironmentId, Principal, RoleId, Span, Tier, Timestamp,
};
use release_core::plan::Place;

use super::finding::{Fault, Finding, Severity};
use super::pipeline::{Availability, Condition, Criterion, Pipeline, StageSpec, Value};
use crate::approval::{ApprovalPolicy, Fits, Slot};
use crate::directory::Directory;
use crate::window::{ActionClass, Query, Windows};

/// What the analysis looks at besides the pipeline. What is not given is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// From when on.
    pub from: Timestamp,
    /// Who would promote.
    pub by: &'a Principal,
    /// The windows.
    pub windows: Option<&'a Windows>,
    /// The people.
    pub directory: Option<&'a Directory>,
}

impl<'a> Surroundings<'a> {
    /// Only the pipeline itself, for `by`, from `from` on.
    pub const fn new(by: &'a Principal, from: Timestamp) -> Self {
        Self { from, by, windows: None, directory: None }
    }

    /// Looks at windows, too.
    #[must_use]
    pub const fn windows(mut self, windows: &'a Windows) -> Self {
        self.windows = Some(windows);
        self
    }

    /// Looks at people, too.
    #[must_use]
    pub const fn directory(mut self, directory: &'a Directory) -> Self {
        self.directory = Some(directory);
        self
    }
}

/// All findings about a pipeline, stage by stage, as they are written. None of them needs a run to be seen.
///
/// An error says that the pipeline cannot work, or must not. That nothing was found is no promise that all gates will
/// pass: people may say no, and values may be bad.
pub fn analyse(pipeline: &Pipeline, around: &Surroundings<'_>) -> Vec<Finding> {
    let mut by_stage: BTreeMap<&EnvironmentId, Vec<Finding>> = BTreeMap::new();
    let (mut no_entry, mut no_exit) = (BTreeSet::new(), BTreeSet::new());
    for stage in pipeline.stages() {
        let id = &stage.environment;
        let mut entry = together(stage, &stage.entry, around);
        never_open(stage, around, &mut entry);
        let exit = together(stage, &stage.exit, around);
        if entry.iter().any(is_error) {
            no_entry.insert(id);
        }
        if exit.iter().any(is_error) {
            no_exit.insert(id);
        }
        let all = by_stage.entry(id).or_default();
        all.extend(entry);
        all.extend(exit);
        if stage.exit.is_empty() {
            all.push(Finding::new(id, &[], Fault::NoExitCriteria));
        }
        if stage.tier == Tier::Production && stage.rollback.is_empty() {
            all.push(Finding::new(id, &[], Fault::NoRollbackCriteria));
        }
    }
    let reached = reached(pipeline, &no_entry, &no_exit);
    for stage in pipeline.stages() {
        let id = &stage.environment;
        let verified =
            |source: &&EnvironmentId| reached.contains(source) && !no_exit.contains(source);
        if !way_in(stage, |source| verified(&source)) {
            let blocked = stage.sources.stages.iter().filter(|source| !verified(source));
            let fault = Fault::Unreachable { blocked_by: blocked.cloned().collect() };
            by_stage.entry(id).or_default().insert(0, Finding::new(id, &[], fault));
        }
    }
    pipeline.stages().filter_map(|stage| by_stage.remove(&stage.environment)).flatten().collect()
}

fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// Whether sources let something in, given which of them can have it verified.
fn way_in(stage: &StageSpec, verified: impl Fn(&EnvironmentId) -> bool) -> bool {
    let mut sources = stage.sources.stages.iter();
    stage.sources.direct
        || match stage.sources.availability {
            Availability::All => sources.all(verified),
            Availability::OneOf => sources.any(verified),
        }
}

/// The stages that something can come into: grown from those that take straight from where artifacts are made. So a
/// circle that nothing leads into is not reached.
fn reached<'a>(
    pipeline: &'a Pipeline,
    no_entry: &BTreeSet<&EnvironmentId>,
    no_exit: &BTreeSet<&EnvironmentId>,
) -> BTreeSet<&'a EnvironmentId> {
    let mut reached = BTreeSet::new();
    loop {
        let before = reached.len();
        for stage in pipeline.stages().filter(|stage| !no_entry.contains(&stage.environment)) {
            if way_in(stage, |source| reached.contains(source) && !no_exit.contains(source)) {
                reached.insert(&stage.environment);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

/// What is wrong with criteria that are evaluated together.
fn together(stage: &StageSpec, criteria: &[Criterion], around: &Surroundings<'_>) -> Vec<Finding> {
    let id = &stage.environment;
    let mut found = Vec::new();
    bounds(id, criteria, &mut found);
    instants(id, criteria, around.from, &mut found);
    for criterion in criteria {
        let mut fault = |fault| found.push(Finding::new(id, &[&criterion.id], fault));
        match &criterion.condition {
            Condition::Approval(policy) => {
                if let Some(short) = around.directory.and_then(|directory| {
                    short_of_people(policy, directory, &ChangeScope::new(id.clone()), around.from)
                }) {
                    fault(short);
                }
                if criterion.within.is_none() {
                    fault(Fault::NoDeadline);
                }
            }
            Condition::Fresh(_) | Condition::Value(_) => {
                if criterion.within.is_none() {
                    fault(Fault::NoDeadline);
                }
            }
            Condition::Sampling(sampling) => {
                let spec = sampling.spec();
                let takes = spec.delay.as_duration().saturating_add(spec.steady.as_duration());
                if let Some(within) = criterion.within.filter(|w| w.as_duration() <= takes) {
                    fault(Fault::DeadlineFirst { within, takes: Span::from(takes) });
                }
            }
            Condition::NotBefore(_) | Condition::NotAfter(_) => {}
        }
    }
    found
}

/// Pairs of limits that no number keeps. Of each value the tightest of both sides are enough to tell.
fn bounds(id: &EnvironmentId, criteria: &[Criterion], found: &mut Vec<Finding>) {
    let mut values: BTreeMap<_, Vec<(&Criterion, &Value)>> = BTreeMap::new();
    for criterion in criteria {
        if let Condition::Value(value) = &criterion.condition {
            values.entry(&value.analysis).or_default().push((criterion, value));
        }
    }
    for (analysis, limits) in values {
        let (mut least, mut most) = (None, None);
        for (criterion, value) in limits {
            match value.bound {
                Bound::AtLeast(limit) if least.is_none_or(|(_, other)| other < limit) => {
                    least = Some((criterion, limit));
                }
                Bound::AtMost(limit) if most.is_none_or(|(_, other)| other > limit) => {
                    most = Some((criterion, limit));
                }
                Bound::AtLeast(_) | Bound::AtMost(_) => {}
            }
        }
        if let (Some((one, low)), Some((other, high))) = (least, most)
            && low > high
        {
            let fault = Fault::ContradictingBounds {
                analysis: analysis.clone(),
                one: Bound::AtLeast(low),
                other: Bound::AtMost(high),
            };
            found.push(Finding::new(id, &[&one.id, &other.id], fault));
        }
    }
}

/// The criterion with the latest begin, and that with the earliest end.
fn span_of(criteria: &[Criterion]) -> [Option<(&Criterion, Timestamp)>; 2] {
    let begins = criteria.iter().filter_map(|criterion| match criterion.condition {
        Condition::NotBefore(at) => Some((criterion, at)),
        _ => None,
    });
    let ends = criteria.iter().filter_map(|criterion| match criterion.condition {
        Condition::NotAfter(at) => Some((criterion, at)),
        _ => None,
    });
    [begins.max_by_key(|(_, at)| *at), ends.min_by_key(|(_, at)| *at)]
}

fn instants(id: &EnvironmentId, criteria: &[Criterion], from: Timestamp, found: &mut Vec<Finding>) {
    let [begin, end] = span_of(criteria);
    let Some((last, not_after)) = end else { return };
    if not_after <= from {
        let fault = Fault::TooLate { not_after, from };
        found.push(Finding::new(id, &[&last.id], fault));
    }
    if let Some((first, not_before)) = begin
        && not_before >= not_after
    {
        let fault = Fault::NoTimeLeft { not_before, not_after };
        found.push(Finding::new(id, &[&first.id, &last.id], fault));
    }
}

/// Whether windows ever let in between the instants of the entry criteria. What is asked is a deploy into all of the
/// environment.
fn never_open(stage: &StageSpec, around: &Surroundings<'_>, found: &mut Vec<Finding>) {
    let Some(windows) = around.windows else { return };
    let [begin, end] = span_of(&stage.entry);
    let from = begin.map_or(around.from, |(_, at)| at.max(around.from));
    let until = end.map(|(_, at)| at);
    let place = Place::new(stage.environment.clone());
    let query = Query::new(ActionClass::Deploy, around.by, from).place(&place);
    let why = match windows.next_open(&query) {
        Err(why) => why.to_string(),
        Ok(opens) => match until {
            Some(until) if opens >= until && from < until => {
                format!("the first opening is at {opens}")
            }
            _ => return,
        },
    };
    let gates: Vec<_> = begin.iter().chain(&end).map(|(criterion, _)| &criterion.id).collect();
    found.push(Finding::new(&stage.environment, &gates, Fault::NeverOpen { from, until, why }));
}

/// What a quorum lacks if everybody who is active and holds its roles said yes. Whoever will ask for the change is not
/// known yet, and cannot approve it either: the least of people is looked for, not the number that is comfortable.
pub(super) fn short_of_people(
    policy: &ApprovalPolicy,
    directory: &Directory,
    scope: &ChangeScope,
    at: Timestamp,
) -> Option<Fault> {
    let mut people: BTreeMap<_, (BTreeSet<RoleId>, BTreeSet<_>)> = BTreeMap::new();
    for identity in directory.identities().filter(|identity| identity.active) {
        if directory.is_person(&identity.id) {
            let (roles, accounts) = people.entry(directory.human(&identity.id)).or_default();
            roles.extend(directory.roles(&identity.id, scope, at));
            accounts.insert(&identity.id);
        }
    }
    let people: Vec<_> = people.into_values().collect();
    let mut nearest: Option<(usize, usize)> = None;
    for way in policy.quorum.ways() {
        let fits = Fits::new(way.len(), people.len(), |slot, person| {
            let (Some(slot), Some((roles, accounts))) = (way.get(slot), people.get(person)) else {
                return false;
            };
            match slot {
                Slot::Anyone => true,
                Slot::Role(role) => roles.contains(role),
                Slot::Person(id) => accounts.contains(id),
            }
        });
        let filled = fits.assign(people.len()).filled();
        if filled == way.len() {
            return None;
        }
        let lacks = way.len().saturating_sub(filled);
        if nearest.is_none_or(|(needed, filled)| lacks < needed.saturating_sub(filled)) {
            nearest = Some((way.len(), filled));
        }
    }
    let roles: BTreeSet<_> = policy
        .quorum
        .slots()
        .filter_map(|slot| match slot {
            Slot::Role(role) => Some(role.clone()),
            Slot::Person(_) | Slot::Anyone => None,
        })
        .collect();
    let (needed, can_fill) = nearest?;
    Some(Fault::QuorumTooLarge { needed, can_fill, roles: roles.into_iter().collect() })
}
