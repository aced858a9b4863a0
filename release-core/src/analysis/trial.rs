//! A judge on its own, outside of a run.

use super::finding::Finding;
use super::memory::{Judged, Memory, When};
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
    since: Option<Timestamp>,
}

impl Trial {
    /// A trial of what `action` judges; `None` for an action that finds nothing: no analysis, and one that compares versions
    /// without saying with which.
    pub fn new(action: Action) -> Option<Self> {
        let Action::Analyze { analysis, .. } = &action else { return None };
        let memory = Memory::of(&action);
        let limit = matches!(analysis.judge, Judge::Threshold(_));
        (limit || memory.is_some()).then_some(Self { action, memory, since: None })
    }

    /// The same, whose window begins then: of a [`Range`](crate::model::Metric::Range), points from before do not count. Without it, all
    /// do. In a run it is what the step's window begins with ([`RunState::window_start`](crate::run::RunState::window_start)).
    #[must_use]
    pub const fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// Takes in what a look at `at` measured, and says what all looks come to, and why in a sentence.
    pub fn look(&mut self, at: Timestamp, evidence: &Evidence) -> Option<(Finding, String)> {
        let when = When { at, since: self.since };
        let Judged { finding, because, .. } =
            Memory::look(self.memory.as_mut(), &self.action, when, evidence)?;
        Some((finding, because))
    }
}
