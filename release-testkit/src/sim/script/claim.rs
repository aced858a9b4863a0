//! What a script claims to come of it.

use release_core::model::Timestamp;
use release_core::run::{Event, Fact};

use super::is_of;
use crate::sim::course::{Course, RunCourse};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// The run of this place ended so.
    Ended { run: usize, outcome: &'static str },
    /// It is over, or not.
    Over { run: usize, over: bool },
    /// Something happened to a step, in any run.
    Step { step: String, what: Happened, ever: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Started,
    Succeeded,
    Failed,
    Blocked,
}

impl Claim {
    /// Why it is not so at `by`, or in the end; nothing if it is.
    pub(super) fn denied(&self, course: &Course, by: Option<Timestamp>) -> Option<String> {
        let known = |fact: &&Fact| by.is_none_or(|by| fact.at <= by);
        let outcome = |run: &RunCourse| {
            run.facts.iter().filter(known).find_map(|fact| match &fact.event {
                Event::RunFinished { outcome } => Some((outcome.name(), fact.at)),
                _ => None,
            })
        };
        match self {
            Self::Ended { run, outcome: wanted } => {
                let of = course.runs.get(*run);
                match of.map(outcome) {
                    None => Some("there is no such run".to_owned()),
                    Some(None) => Some("the run was not over".to_owned()),
                    Some(Some((found, _))) if found == *wanted => None,
                    Some(Some((found, at))) => Some(format!("the run ended {found} at {at}")),
                }
            }
            Self::Over { run, over } => match (course.runs.get(*run).map(outcome), over) {
                (None, _) => Some("there is no such run".to_owned()),
                (Some(None), true) => Some("the run was not over".to_owned()),
                (Some(Some((found, at))), false) => Some(format!("the run ended {found} at {at}")),
                _ => None,
            },
            Self::Step { step, what, ever } => {
                let facts = course.runs.iter().flat_map(|run| run.facts.iter().filter(known));
                let mut found = facts.filter(|fact| {
                    what.is(&fact.event) && fact.event.step().is_some_and(|s| is_of(&s.id, step))
                });
                match (found.next(), ever) {
                    (Some(fact), false) => Some(format!("it did at {}", fact.at)),
                    (None, true) => Some("it never did".to_owned()),
                    _ => None,
                }
            }
        }
    }
}

impl Happened {
    const fn is(self, event: &Event) -> bool {
        matches!(
            (self, event),
            (Self::Started, Event::StepStarted { .. })
                | (Self::Succeeded, Event::StepSucceeded { .. })
                | (Self::Failed, Event::StepFailed { .. })
                | (Self::Blocked, Event::StepBlocked { .. })
        )
    }
}
