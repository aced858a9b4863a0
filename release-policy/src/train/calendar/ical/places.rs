//! Where what was read stands: two of a kind are not called the same.

use std::collections::BTreeMap;

use super::failing;
use crate::train::calendar::CalendarError;
use crate::window::ical::{EventProblem, IcalError};

/// The line of each thing, by its kind and name.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<(&'static str, String), usize>);

impl Places {
    /// Something of a name stands on a line.
    ///
    /// # Errors
    /// [`EventProblem::Twice`] if another of its kind is called so.
    pub(super) fn take(
        &mut self,
        kind: &'static str,
        name: &str,
        line: usize,
    ) -> Result<(), IcalError> {
        let short = || name.chars().take(80).collect::<String>();
        match self.0.insert((kind, name.to_owned()), line) {
            None => Ok(()),
            Some(line) => Err(failing(&short(), EventProblem::Twice { name: short(), line })),
        }
    }

    /// Where it stands.
    pub(super) fn line(&self, kind: &'static str, name: &str) -> Option<usize> {
        self.0.get(&(kind, name.to_owned())).copied()
    }

    /// Where that stands which is at fault, if it is one thing.
    pub(super) fn of(&self, error: &CalendarError) -> Option<usize> {
        let (kind, name) = match error {
            CalendarError::Season { .. } | CalendarError::OutOfReach(_) => ("season", "season"),
            CalendarError::Train { train, .. }
            | CalendarError::NoDepartures { train, .. }
            | CalendarError::TooEarly { train, .. }
            | CalendarError::Overlapping { next: train, .. } => {
                return self.train(train.as_str());
            }
            CalendarError::Crew { team, .. } | CalendarError::UnknownHolidays { team, .. } => {
                ("team", team.as_str())
            }
            CalendarError::UnknownActivity { activity, .. }
            | CalendarError::UnknownTrain { activity, .. }
            | CalendarError::DueBeforeWhatItWaitsFor { activity, .. }
            | CalendarError::DueBeforeItBegins { activity, .. } => ("activity", activity.as_str()),
            CalendarError::Cycle(all) => ("activity", all.first()?.0.as_str()),
            CalendarError::TooMany { .. }
            | CalendarError::Windows(_)
            | CalendarError::Duplicate { .. } => return None,
        };
        self.line(kind, name)
    }

    /// That of a train, or of the train of a departure.
    fn train(&self, name: &str) -> Option<usize> {
        let cut = |end: usize| name.get(..end).and_then(|name| self.line("train", name));
        let dashes = name.rmatch_indices('-').map(|(at, _)| at);
        [name.len()].into_iter().chain(dashes).find_map(cut)
    }
}
