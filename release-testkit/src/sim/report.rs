//! What a simulation says at its end.

use std::fmt;

use release_core::model::Span;
use release_core::run::Event;

use super::course::Course;
use super::invariants::Violation;

/// What came of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct SimReport {
    /// The seed.
    pub seed: u64,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
    /// Each run, with how it ended, if it did.
    pub runs: Vec<(String, Option<&'static str>)>,
    /// How many records were stored.
    pub records: usize,
    /// How many calls of providers there were.
    pub calls: usize,
    /// How much time went by, virtually.
    pub span: Span,
}

impl SimReport {
    pub(super) fn new(seed: u64, course: &Course, violations: Vec<Violation>) -> Self {
        let end = |event: &Event| match event {
            Event::RunFinished { outcome } => Some(outcome.name()),
            _ => None,
        };
        let runs = course.runs.iter().map(|run| {
            let last = run.facts.last().and_then(|fact| end(&fact.event));
            (run.id.to_string(), last)
        });
        Self {
            seed,
            violations,
            runs: runs.collect(),
            records: course.runs.iter().map(|run| run.facts.len()).sum(),
            calls: course.calls.len(),
            span: course.end.since(course.start),
        }
    }

    /// Whether every invariant held.
    pub const fn is_green(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for SimReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} runs, {} records, {} calls in {}",
            self.seed,
            self.runs.len(),
            self.records,
            self.calls,
            self.span
        )?;
        for (run, outcome) in &self.runs {
            writeln!(f, "  {run}: {}", outcome.unwrap_or("not over"))?;
        }
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}
