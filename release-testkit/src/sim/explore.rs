//! Every course of things there is, for small cases.

use super::chance::Chance;
use super::invariants::Violation;
use super::{Course, Sim};

/// What came of trying every choice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Exploration {
    /// How many courses were tried.
    pub courses: usize,
    /// Whether these are all.
    pub complete: bool,
    /// The choices of the first course that broke an invariant, and what it broke. [`Sim::follow`] takes
    /// them.
    pub failure: Option<(Vec<u32>, Vec<Violation>)>,
}

impl Sim {
    /// Tries every choice instead of leaving it to chance: which of what happens at one instant is first,
    /// whether each fault strikes, which of two latencies a call has. Depth first, at most `most` courses,
    /// up to the first that breaks an invariant.
    ///
    /// The number of courses grows with two to the power of the choices: give it plans of a few steps and
    /// a few faults.
    pub fn explore(&self, most: usize) -> Exploration {
        let mut script = Vec::new();
        let mut courses = 0;
        loop {
            if courses == most {
                return Exploration { courses, complete: false, failure: None };
            }
            let (course, taken) = self.by(script);
            courses += 1;
            let broken: Vec<_> = self.invariants.iter().flat_map(|i| i.check(&course)).collect();
            if !broken.is_empty() {
                let choices = taken.iter().map(|(choice, _)| *choice).collect();
                return Exploration { courses, complete: false, failure: Some((choices, broken)) };
            }
            // The next course differs in the last choice that has another left.
            let Some(last) = taken.iter().rposition(|(choice, count)| choice + 1 < *count) else {
                return Exploration { courses, complete: true, failure: None };
            };
            script = taken.iter().take(last + 1).map(|(choice, _)| *choice).collect();
            if let Some(choice) = script.last_mut() {
                *choice += 1;
            }
        }
    }

    /// The course that these choices lead to; where they end, the first of all possibilities is taken.
    pub fn follow(&self, choices: &[u32]) -> Course {
        self.by(choices.to_vec()).0
    }

    fn by(&self, script: Vec<u32>) -> (Course, Vec<(u32, u32)>) {
        self.course_by(Chance::Trail { script, taken: Vec::new(), draws: self.seed })
    }
}
