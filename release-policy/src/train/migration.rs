//! The model of one train, and what it means to change it while the train gathers.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{ItemId, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::{Departure, EVER, ModelError, ReleaseModel, TrainHistory};

/// A change from one model to another while a train gathers, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// When.
    pub at: Timestamp,
    /// Who decided it.
    pub by: PrincipalId,
    /// Why.
    pub reason: String,
    /// The model before.
    pub from: ReleaseModel,
    /// The model after.
    pub to: ReleaseModel,
    /// What the train would have done at that instant.
    pub before: Departure,
    /// What it does now.
    pub after: Departure,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, by, reason, from, to, before, after } = self;
        writeln!(
            f,
            "{at}: {by} changed the model from {} to {} ({reason})",
            from.name(),
            to.name()
        )?;
        writeln!(f, "before: {}", Told(before))?;
        write!(f, "after: {}", Told(after))
    }
}

/// A departure for people.
struct Told<'a>(&'a Departure);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |f: &mut fmt::Formatter<'_>, items: &BTreeSet<ItemId>| {
            for (nth, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if nth == 0 { " " } else { ", " })?;
            }
            Ok(())
        };
        match self.0 {
            Departure::Departs { at, aboard, late, .. } => {
                write!(f, "departs at {at} with {} items", aboard.len())?;
                if late.is_empty() {
                    return Ok(());
                }
                f.write_str(", without")?;
                names(f, late)
            }
            Departure::Waits { until, lacks } => {
                match until {
                    Some(until) => write!(f, "departs at {until} at the latest")?,
                    None => f.write_str("departs when its scope is complete")?,
                }
                if lacks.is_empty() {
                    return Ok(());
                }
                f.write_str(", and lacks")?;
                names(f, lacks)
            }
        }
    }
}

/// The model of one train, with all changes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainModel {
    model: ReleaseModel,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Migration>,
}

impl TrainModel {
    /// A train that departs by `model`.
    ///
    /// # Errors
    /// [`ModelError::BoardsTooLong`].
    pub fn new(model: ReleaseModel) -> Result<Self, ModelError> {
        model.check()?;
        Ok(Self { model, changes: Vec::new() })
    }

    /// The model as it is.
    pub const fn model(&self) -> &ReleaseModel {
        &self.model
    }

    /// All changes, in order.
    pub fn changes(&self) -> &[Migration] {
        &self.changes
    }

    /// What the train does at `now`: what an earlier model let depart before it was changed has departed. After a change, what counts is
    /// what is so from then on: what was complete once and is not any more lets nothing depart.
    ///
    /// # Errors
    /// As [`ReleaseModel::departure`].
    pub fn departure(
        &self,
        history: &TrainHistory,
        now: Timestamp,
    ) -> Result<Departure, ModelError> {
        let held = |change: &Migration| change.at > now;
        let model =
            self.changes.iter().find(|change| held(change)).map_or(&self.model, |c| &c.from);
        // Nothing departs by a model before it came to hold.
        let since = self.changes.iter().rfind(|change| !held(change)).map_or(EVER, |c| c.at);
        model.since(history, since, now)
    }

    /// Changes the model, and says what that means. What is said is kept.
    ///
    /// # Errors
    /// [`ModelError::Departed`] once the train has departed; [`ModelError::BoardsTooLong`]; [`ModelError::Backwards`] for an
    /// instant before the last change. Nothing is changed then.
    pub fn switch(
        &mut self,
        to: ReleaseModel,
        history: &TrainHistory,
        (at, by, reason): (Timestamp, PrincipalId, &str),
    ) -> Result<&Migration, ModelError> {
        if let Some(last) = self.changes.last().filter(|last| at < last.at) {
            return Err(ModelError::Backwards { at, last: last.at });
        }
        let before = self.departure(history, at)?;
        if let Some(departed) = before.at() {
            return Err(ModelError::Departed(departed));
        }
        let after = to.since(history, at, at)?;
        let from = std::mem::replace(&mut self.model, to.clone());
        let migration = Migration { at, by, reason: reason.to_owned(), from, to, before, after };
        let changes = &mut self.changes;
        changes.push(migration);
        changes.last().ok_or(ModelError::Departed(at))
    }
}
