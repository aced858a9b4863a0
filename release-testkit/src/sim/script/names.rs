//! Whether what a script names is there: a claim about nothing, or a deed to nobody, proves nothing.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::Gate;
use release_core::plan::{FrozenPlan, Step};

use super::claim::Claim;
use super::{Deed, Line, When, is_of, parse::NO_RUN};
use crate::sim::course::{Course, RunCourse};

/// Most names that a message tells.
const SHOWN: usize = 8;

impl Line {
    /// What it names that is not there, and what is.
    pub(super) fn unknown(&self, course: &Course) -> Option<String> {
        match self {
            Self::Faults(_) | Self::NobodyAnswers => None,
            Self::At(_, deed) => deed.unknown(course),
            Self::When(When { step, deed, .. }) => {
                unknown_step(course, step).or_else(|| deed.unknown(course))
            }
            Self::Then { claim: Claim::Step { step, .. }, .. } => unknown_step(course, step),
            Self::Then { claim: Claim::Ended { run, .. } | Claim::Over { run, .. }, .. } => {
                unknown_run(course, *run)
            }
        }
    }
}

impl Deed {
    fn unknown(&self, course: &Course) -> Option<String> {
        match self {
            Self::CrashEngine | Self::Freeze { place: None, .. } => None,
            Self::Freeze { place: Some(place), .. } => unknown_place(course, place),
            Self::Give { run, .. } => unknown_run(course, *run),
            Self::Approve { run, gate } | Self::Reject { run, gate } => {
                let gates = steps_of(course, *run).flat_map(|step| &step.gates);
                let gates = gates.filter_map(|known| match known {
                    Gate::Approval(approval) => Some(approval.id.as_str()),
                    _ => None,
                });
                unknown_run(course, *run).or_else(|| absent("gate", gate.as_str(), gates))
            }
            Self::Retry { run, step } => {
                let known = || steps_of(course, *run).map(|step| step.id.as_str());
                let goes_back = of_a_rollback(step.as_str(), &known().collect::<Vec<_>>());
                let absent = || absent("step", step.as_str(), known()).filter(|_| !goes_back);
                unknown_run(course, *run).or_else(absent)
            }
        }
    }
}

fn plans(run: &RunCourse) -> impl Iterator<Item = &FrozenPlan> {
    std::iter::once(&run.plan).chain(&run.later)
}

/// The steps of a run, or of all of them.
fn steps_of(course: &Course, of: usize) -> impl Iterator<Item = &Step> {
    let runs = course.runs.iter().enumerate();
    let runs = runs.filter(move |(run, _)| of == NO_RUN || *run == of);
    runs.flat_map(|(_, run)| plans(run)).flat_map(|plan| plan.plan().steps())
}

fn absent<'a>(what: &str, named: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: BTreeSet<&str> = known.collect();
    (!known.contains(named)).then(|| told(what, named, &known))
}

/// What is not there, and what is: first what begins as it does.
fn told(what: &str, named: &str, known: &BTreeSet<&str>) -> String {
    let alike = |name: &str| {
        name.bytes().zip(named.bytes()).take_while(|(one, other)| one == other).count()
    };
    let mut nearest: Vec<&str> = known.iter().copied().collect();
    nearest.sort_by_key(|name| std::cmp::Reverse(alike(name)));
    let shown: Vec<_> = nearest.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if nearest.len() > SHOWN { ", …" } else { "" };
    let known = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
    format!("there is no {what} `{named}`; there is {known}{more}")
}

fn unknown_run(course: &Course, run: usize) -> Option<String> {
    let unknown = run != NO_RUN && run >= course.runs.len();
    unknown.then(|| format!("there is no run {}; there are {}", run + 1, course.runs.len()))
}

fn unknown_place(course: &Course, place: &str) -> Option<String> {
    let places: BTreeSet<String> = steps_of(course, NO_RUN)
        .filter_map(|step| {
            let environment = step.scope.environment()?.to_string();
            let region = step.scope.region().map(|region| format!("{environment}/{region}"));
            Some(std::iter::once(environment).chain(region))
        })
        .flatten()
        .collect();
    absent("place", place, places.iter().map(String::as_str))
}

fn unknown_step(course: &Course, named: &str) -> Option<String> {
    let known: BTreeSet<&str> = steps_of(course, NO_RUN).map(|step| step.id.as_str()).collect();
    let all: Vec<&str> = known.iter().copied().collect();
    let is_known = steps_of(course, NO_RUN).any(|step| is_of(&step.id, named));
    (!is_known && !of_a_rollback(named, &all)).then(|| told("step", named, &known))
}

/// Whether a name is that of a step that puts one of the `known` back, or calls people, whether or not there
/// was a rollback.
fn of_a_rollback(named: &str, known: &[&str]) -> bool {
    let Some(rest) = named.strip_prefix("rollback") else { return false };
    let Some(rest) = rest.strip_prefix('/') else { return rest.is_empty() };
    let begins = |id: &str, with: &str| {
        id.strip_prefix(with).is_some_and(|more| more.is_empty() || more.starts_with('/'))
    };
    ["page", "notify"].into_iter().any(|first| begins(rest, first))
        || known.iter().any(|id| begins(id, rest) || begins(rest, id))
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrashEngine => write!(f, "crash engine"),
            Self::Freeze { place, span } => {
                write!(f, "freeze {} for {span}", place.as_deref().unwrap_or("everything"))
            }
            Self::Approve { run, gate } => write!(f, "approve {gate} of run {}", run + 1),
            Self::Reject { run, gate } => write!(f, "reject {gate} of run {}", run + 1),
            Self::Retry { run, step } => write!(f, "retry {step} of run {}", run + 1),
            Self::Give { run, command } => write!(f, "{} of run {}", command.name(), run + 1),
        }
    }
}
