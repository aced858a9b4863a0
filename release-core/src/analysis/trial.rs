//! A judge on its own, outside of a run.

use super::finding::Finding;
use super::sequential::{self, Judged};
use super::stream::{Look, Stream};
use crate::plan::Action;
use crate::port::Evidence;
use crate::time::Timestamp;

/// Looks at measurements as a run does, without one: for backtests of recorded looks, simulations and benchmarks.
///
/// A run's findings are made by the same code: the looks of a journal, taken in again, give its findings to the last bit.
#[derive(Debug, Clone)]
pub struct Trial {
    action: Action,
    stream: Stream,
}

impl Trial {
    /// A trial of what `action` compares; `None` for an action that compares nothing.
    pub fn new(action: Action) -> Option<Self> {
        Look::of(&action, Timestamp::default())?;
        Some(Self { action, stream: Stream::default() })
    }

    /// Takes in what a look at `at` measured, and says what all looks come to, and why in a sentence.
    pub fn look(&mut self, at: Timestamp, evidence: &Evidence) -> Option<(Finding, String)> {
        let look = Look::of(&self.action, at)?;
        let Judged { finding, because } = sequential::judge(&mut self.stream, &look, evidence);
        Some((finding, because))
    }
}
