//! What a suite found, as data and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A frozen list of cases. Which are in it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// The first level.
    V1,
    /// All of the first, and what routers do [beside dividing by shares](release_core::model::TrafficRules).
    V2,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1 => f.write_str("V1"),
            Self::V2 => f.write_str("V2"),
        }
    }
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{case}: {contract}; expected {expected}, but {observed}")]
#[non_exhaustive]
pub struct Violation {
    /// The case that found it.
    pub case: String,
    /// The promise, as the trait's documentation has it.
    pub contract: String,
    /// What the case expected.
    pub expected: String,
    /// What it saw.
    pub observed: String,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The promise was kept.
    Passed,
    /// The sandbox does not offer what the case needs.
    Skipped {
        /// What is missing.
        missing: String,
    },
    /// The promise was not kept.
    Violated {
        /// How.
        violation: Violation,
    },
}

/// One case and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case.
    pub case: String,
    /// How it ended.
    pub verdict: Verdict,
}

/// What a suite found of a provider or a journal. Its `Display` is a table for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct ConformanceReport {
    /// The suite, for example `deployer`, `flag_store` or `journal`.
    pub suite: String,
    /// The level.
    pub level: Level,
    /// The provider and its version, as it describes itself, or the name of the journal.
    pub provider: String,
    /// The cases, in the level's order.
    pub cases: Vec<CaseReport>,
}

impl ConformanceReport {
    /// Whether no promise was found broken. Cases that were skipped do not count against it; see
    /// [`ConformanceReport::skipped`].
    pub fn is_conformant(&self) -> bool {
        self.violations().next().is_none()
    }

    /// The promises that were not kept.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.cases.iter().filter_map(|case| match &case.verdict {
            Verdict::Violated { violation } => Some(violation),
            Verdict::Passed | Verdict::Skipped { .. } => None,
        })
    }

    /// The cases that the sandbox did not allow.
    pub fn skipped(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.verdict, Verdict::Skipped { .. }))
    }
}

impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, level, provider, cases } = self;
        let (broken, skipped) = (self.violations().count(), self.skipped().count());
        let kept = cases.len().saturating_sub(broken + skipped);
        writeln!(
            f,
            "{provider}: {suite} {level}, {kept} kept, {broken} broken, {skipped} skipped"
        )?;
        let width = cases.iter().map(|case| case.case.len()).max().unwrap_or(0);
        for CaseReport { case, verdict } in cases {
            match verdict {
                Verdict::Passed => writeln!(f, "  {case:width$}  kept")?,
                Verdict::Skipped { missing } => {
                    writeln!(f, "  {case:width$}  skipped: the sandbox offers no {missing}")?;
                }
                Verdict::Violated { violation } => {
                    writeln!(f, "  {case:width$}  BROKEN: {}", violation.contract)?;
                    writeln!(f, "  {:width$}    expected {}", "", violation.expected)?;
                    writeln!(f, "  {:width$}    but {}", "", violation.observed)?;
                }
            }
        }
        Ok(())
    }
}
