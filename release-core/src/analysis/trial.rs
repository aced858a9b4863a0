//! A judge on its own, outside of a run.

use super::finding::Finding;
use super::memory::{Judged, Memory};
use crate::model::Judge;
use crate::plan::Action;
use crate::port::Evidence;
use crate::time::Timestamp;

/// Looks at measurements as a run does, without one: for backtests of recorded looks, simulations and benchmarks.
///
/// A run's findings are made by the same code: the looks of a journal, taken in again, give its findings to the last bit.
#[derive(Debug, Clone)]
pub struct Trial {
    action: Action,
    /// A limit may need none.
    memory: Option<Memory>,
}

impl Trial {
    /// A trial of what `action` judges; `None` for an action that finds nothing: no analysis, and one that compares versions
    /// without saying with which.
    pub fn new(action: Action) -> Option<Self> {
        let Action::Analyze { analysis, .. } = &action else { return None };
        let memory = Memory::of(&action);
        let limit = matches!(analysis.judge, Judge::Threshold(_));
        (limit || memory.is_some()).then_some(Self { action, memory })
    }

    /// Takes in what a look at `at` measured, and says what all looks come to, and why in a sentence.
    pub fn look(&mut self, at: Timestamp, evidence: &Evidence) -> Option<(Finding, String)> {
        let Judged { finding, because, .. } =
            Memory::look(self.memory.as_mut(), &self.action, at, evidence)?;
        Some((finding, because))
    }
}
