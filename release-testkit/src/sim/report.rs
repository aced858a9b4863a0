//! What a simulation says at its end: whether the invariants held, and what it would be like.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{EnvironmentId, Span, Timestamp};
use release_core::run::{Event, Mode};
use serde::{Deserialize, Serialize};

use super::course::{Course, RunCourse};
use super::coverage::Coverage;
use super::invariants::Violation;
use super::usage::{LimitUse, QuotaUse};

/// How one run went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The run.
    pub run: String,
    /// How it ended, if it did.
    pub outcome: Option<String>,
    /// How long it took from its first record to its last.
    pub lead_time: Span,
    /// How long steps waited for each rule (a freeze, a gate), added up over the steps.
    pub waited: BTreeMap<String, Span>,
    /// Commands that were denied.
    pub denied: u32,
    /// Steps that failed for good.
    pub failed: u32,
}

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct SimReport {
    /// The seed.
    pub seed: u64,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
    /// Each run.
    pub runs: Vec<RunReport>,
    /// How many records were stored.
    pub records: usize,
    /// How many calls of providers there were.
    pub calls: usize,
    /// The most calls that were under way at once, over all runs.
    pub most_calls: usize,
    /// Changes that began, by environment and week from 0: what a quota would have to allow.
    pub changes: BTreeMap<(EnvironmentId, u64), u32>,
    /// How much time went by, virtually.
    pub span: Span,
    /// Which faults struck which states.
    pub coverage: Coverage,
    /// How each limit was used.
    pub limits: Vec<LimitUse>,
    /// How each quota was used.
    pub quotas: Vec<QuotaUse>,
}

impl SimReport {
    pub(super) fn new(seed: u64, course: &Course, violations: Vec<Violation>) -> Self {
        let mut changes = BTreeMap::new();
        let runs = course.runs.iter().map(|run| of_run(run, course.start, &mut changes)).collect();
        Self {
            seed,
            violations,
            runs,
            records: course.runs.iter().map(|run| run.facts.len()).sum(),
            calls: course.calls.len(),
            most_calls: most_calls(course),
            changes,
            span: course.end.since(course.start),
            coverage: course.coverage.clone(),
            limits: super::usage::limits(course),
            quotas: super::usage::quotas(course),
        }
    }

    /// Whether every invariant held.
    pub const fn is_green(&self) -> bool {
        self.violations.is_empty()
    }
}

fn most_calls(course: &Course) -> usize {
    let mut changes: Vec<(u64, bool)> = Vec::new();
    for call in &course.calls {
        changes.push((call.tick, true));
        changes.extend(call.over.map(|over| (over, false)));
    }
    changes.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in changes {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

fn of_run(
    run: &RunCourse,
    start: Timestamp,
    changes: &mut BTreeMap<(EnvironmentId, u64), u32>,
) -> RunReport {
    const WEEK: u64 = 7 * 24 * 3600;
    let (mut waited, mut denied, mut failed, mut outcome) = (BTreeMap::new(), 0, 0, None);
    let mut blocked: BTreeMap<u32, (Timestamp, Vec<&str>)> = BTreeMap::new();
    for fact in &run.facts {
        if let Some(step) = fact.event.step()
            && let Some((since, rules)) = blocked.remove(&step.index)
        {
            for rule in rules {
                let sum: &mut Span = waited.entry(rule.to_owned()).or_insert(Span::ZERO);
                *sum = (sum.as_duration() + fact.at.since(since).as_duration()).into();
            }
        }
        match &fact.event {
            Event::StepBlocked { step, reasons, .. } => {
                let rules = reasons.iter().map(|reason| reason.rule.as_str()).collect();
                blocked.insert(step.index, (fact.at, rules));
            }
            Event::StepStarted { step, attempt: 1, mode: Mode::Perform, .. } => {
                let definition = run.step(&step.id);
                let mutating = definition.filter(|definition| definition.action.mutates());
                if let Some(place) = mutating.and_then(|step| step.scope.environment()) {
                    let week = fact.at.since(start).as_duration().as_secs() / WEEK;
                    *changes.entry((place.clone(), week)).or_insert(0) += 1;
                }
            }
            Event::CommandDenied { .. } => denied += 1,
            Event::StepFailed { .. } => failed += 1,
            Event::RunFinished { outcome: end } => outcome = Some(end.name().to_owned()),
            _ => {}
        }
    }
    let lead_time = match (run.facts.first(), run.facts.last()) {
        (Some(first), Some(last)) => last.at.since(first.at),
        _ => Span::ZERO,
    };
    RunReport { run: run.id.to_string(), outcome, lead_time, waited, denied, failed }
}

impl fmt::Display for SimReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |span: Span| Span::secs(span.as_duration().as_secs());
        writeln!(
            f,
            "seed {}: {} runs, {} records, {} calls (at most {} at once) in {}",
            self.seed,
            self.runs.len(),
            self.records,
            self.calls,
            self.most_calls,
            secs(self.span)
        )?;
        for run in &self.runs {
            let outcome = run.outcome.as_deref().unwrap_or("not over");
            write!(f, "  {}: {outcome} after {}", run.run, secs(run.lead_time))?;
            for (rule, span) in &run.waited {
                write!(f, ", waited {} for {rule}", secs(*span))?;
            }
            writeln!(f)?;
        }
        let most = self.changes.iter().max_by_key(|(_, count)| **count);
        if let Some(((environment, week), count)) = most {
            writeln!(f, "  most changes in a week: {count} in {environment}, week {}", week + 1)?;
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "  {limit}"))?;
        self.quotas.iter().try_for_each(|quota| writeln!(f, "  {quota}"))?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}
