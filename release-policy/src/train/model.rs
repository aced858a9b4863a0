//! When a train departs: by the clock, when its scope is complete, or whichever comes first.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ItemId, Timestamp};
use serde::{Deserialize, Serialize};

/// How many entries a history may have.
pub const MAX_ENTRIES: usize = 1_000_000;
/// Before everything: since then a model holds that was never changed.
pub(super) const EVER: Timestamp = Timestamp::from_micros(i64::MIN);

/// What lets a train depart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ReleaseModel {
    /// It departs on time, with what is complete when boarding ends. What is late waits for the next.
    TimeBased {
        /// When boarding ends; not after it departs.
        boards_until: Timestamp,
        /// When it departs.
        departs: Timestamp,
    },
    /// It departs when all of its scope is complete, however long that takes.
    FeatureBased,
    /// It departs when all of its scope is complete, but not after a deadline; what is late then waits for the next.
    Hybrid {
        /// Until when it departs.
        deadline: Timestamp,
    },
}

impl ReleaseModel {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TimeBased { .. } => "time-based",
            Self::FeatureBased => "feature-based",
            Self::Hybrid { .. } => "hybrid",
        }
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::TimeBased { boards_until, departs } if boards_until > departs => {
                Err(ModelError::BoardsTooLong { boards_until: *boards_until, departs: *departs })
            }
            _ => Ok(()),
        }
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It is part of the scope from now on.
    Joined,
    /// It is not part of the scope any more.
    Left,
    /// It is complete.
    Complete,
    /// It is not complete after all.
    Reopened,
}

/// An entry of a train's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Which item.
    pub item: ItemId,
    /// What became of it.
    pub became: Became,
}

impl Entry {
    /// What became of an item at an instant.
    pub const fn new(at: Timestamp, item: ItemId, became: Became) -> Self {
        Self { at, item, became }
    }
}

/// What was known of a train, in order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct TrainHistory(Vec<Entry>);

impl TryFrom<Vec<Entry>> for TrainHistory {
    type Error = ModelError;
    fn try_from(entries: Vec<Entry>) -> Result<Self, ModelError> {
        let mut history = Self::default();
        entries.into_iter().try_for_each(|entry| history.push(entry))?;
        Ok(history)
    }
}

impl From<TrainHistory> for Vec<Entry> {
    fn from(history: TrainHistory) -> Self {
        history.0
    }
}

/// Items at an instant.
#[derive(Default)]
struct Items<'a> {
    /// Of each that is in scope, whether it is complete.
    all: BTreeMap<&'a ItemId, bool>,
    /// How many are not.
    open: usize,
}

impl<'a> Items<'a> {
    fn apply(&mut self, entry: &'a Entry) {
        let before = self.all.get(&entry.item).copied();
        let after = match (entry.became, before) {
            (Became::Joined, None) | (Became::Reopened, Some(_)) => Some(false),
            (Became::Left, _) | (Became::Complete | Became::Reopened, None) => None,
            (Became::Joined, known) => known,
            (Became::Complete, Some(_)) => Some(true),
        };
        self.open += usize::from(after == Some(false));
        self.open -= usize::from(before == Some(false));
        match after {
            Some(complete) if after != before => {
                self.all.insert(&entry.item, complete);
            }
            None if before.is_some() => {
                self.all.remove(&entry.item);
            }
            _ => {}
        }
    }

    fn are_complete(&self) -> bool {
        self.open == 0 && !self.all.is_empty()
    }
}

impl TrainHistory {
    /// Adds what happened next.
    ///
    /// # Errors
    /// [`ModelError::Backwards`] for an entry from before the last; [`ModelError::TooMany`] beyond [`MAX_ENTRIES`].
    pub fn push(&mut self, entry: Entry) -> Result<(), ModelError> {
        if self.0.len() >= MAX_ENTRIES {
            return Err(ModelError::TooMany);
        }
        if let Some(last) = self.0.last().filter(|last| entry.at < last.at) {
            return Err(ModelError::Backwards { at: entry.at, last: last.at });
        }
        self.0.push(entry);
        Ok(())
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The first instant from `from` on at which all of the scope as it is then is complete, and by which item it came to be so. Of
    /// several entries of one instant, the last says what is so from then on.
    fn first_complete(&self, from: Timestamp, until: Timestamp) -> Option<(Timestamp, ItemId)> {
        let (mut items, mut by) = (Items::default(), None);
        let mut entries = self.until(until).iter().peekable();
        while let Some(entry) = entries.next() {
            items.apply(entry);
            if entries.peek().is_some_and(|next| next.at == entry.at) {
                continue;
            }
            by = if items.are_complete() { by.or(Some(&entry.item)) } else { None };
            // What was so and is not any more counts for nothing.
            let is_so_then = entries.peek().is_none_or(|next| next.at > from);
            if let Some(item) = by.filter(|_| is_so_then) {
                return Some((entry.at.max(from), item.clone()));
            }
        }
        None
    }

    fn until(&self, at: Timestamp) -> &[Entry] {
        let until = self.0.partition_point(|entry| entry.at <= at);
        self.0.get(..until).unwrap_or_default()
    }

    fn at(&self, at: Timestamp) -> BTreeMap<&ItemId, bool> {
        let mut items = Items::default();
        self.until(at).iter().for_each(|entry| items.apply(entry));
        items.all
    }
}

/// Why something is no model or no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Boarding ends after the departure.
    #[error(
        "boarding until {boards_until} ends after the train departs at {departs}; let it end before"
    )]
    BoardsTooLong {
        /// Until when one may board.
        boards_until: Timestamp,
        /// When it departs.
        departs: Timestamp,
    },
    /// History goes back in time.
    #[error("an entry of {at} comes after one of {last}; put them in order")]
    Backwards {
        /// Of when it is.
        at: Timestamp,
        /// Of when the one before is.
        last: Timestamp,
    },
    /// It is too much.
    #[error(
        "a history has at most {MAX_ENTRIES} entries; leave out items that joined and left again, or begin the history of the next train"
    )]
    TooMany,
    /// What has departed cannot depart otherwise.
    #[error("the train departed at {0}; change the model of the next one")]
    Departed(Timestamp),
}

/// Why a train departs just then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Because {
    /// The clock says so.
    OnTime,
    /// All of its scope is complete, and came to be so by what became of this item.
    Complete {
        /// The item.
        last: ItemId,
    },
    /// Its deadline has come.
    Deadline,
}

/// What a model says of a train at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Departure {
    /// It has departed, or departs now.
    Departs {
        /// When.
        at: Timestamp,
        /// Why then.
        because: Because,
        /// What is on board.
        aboard: BTreeSet<ItemId>,
        /// What was late, and waits for the next.
        late: BTreeSet<ItemId>,
    },
    /// It waits.
    Waits {
        /// When it departs at the latest, if that is known.
        until: Option<Timestamp>,
        /// What is not complete; empty where it waits for the clock alone, or for any scope at all.
        lacks: BTreeSet<ItemId>,
    },
}

impl Departure {
    /// When it departs, if it does.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Departs { at, .. } => Some(*at),
            Self::Waits { .. } => None,
        }
    }
}

impl ReleaseModel {
    /// What the model says at `now` of a train with this history. What happens later changes nothing of a departure.
    ///
    /// A train without any item has no scope that could be complete: only the clock lets it depart, empty.
    ///
    /// # Errors
    /// [`ModelError::BoardsTooLong`].
    pub fn departure(
        &self,
        history: &TrainHistory,
        now: Timestamp,
    ) -> Result<Departure, ModelError> {
        self.since(history, EVER, now)
    }

    /// What it says where it holds only from `from` on: nothing departs before, and of what was complete before only that counts which
    /// still is. A deadline that had passed by then is `from`.
    ///
    /// # Errors
    /// [`ModelError::BoardsTooLong`].
    pub(super) fn since(
        &self,
        history: &TrainHistory,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<Departure, ModelError> {
        self.check()?;
        let complete = match self {
            Self::TimeBased { .. } => None,
            Self::FeatureBased => history.first_complete(from, now),
            Self::Hybrid { deadline } => {
                history.first_complete(from, now.min((*deadline).max(from)))
            }
        };
        if let Some((at, last)) = complete {
            return Ok(departs(history, at, at, Because::Complete { last }));
        }
        Ok(match self {
            Self::TimeBased { boards_until, departs: at } if now >= *at => {
                departs(history, (*at).max(from), *boards_until, Because::OnTime)
            }
            Self::Hybrid { deadline } if now >= *deadline => {
                let at = (*deadline).max(from);
                departs(history, at, at, Because::Deadline)
            }
            Self::TimeBased { departs: at, .. } | Self::Hybrid { deadline: at } => {
                Departure::Waits { until: Some(*at), lacks: lacking(history, now) }
            }
            Self::FeatureBased => Departure::Waits { until: None, lacks: lacking(history, now) },
        })
    }
}

fn lacking(history: &TrainHistory, at: Timestamp) -> BTreeSet<ItemId> {
    let items = history.at(at).into_iter();
    items.filter(|(_, complete)| !complete).map(|(item, _)| item.clone()).collect()
}

fn departs(
    history: &TrainHistory,
    at: Timestamp,
    boarded: Timestamp,
    because: Because,
) -> Departure {
    let items = history.at(boarded);
    // What left the scope between boarding and departure is not on board.
    let still = history.at(at);
    let (mut aboard, mut late) = (BTreeSet::new(), BTreeSet::new());
    for item in still.keys() {
        let boards = items.get(item).copied().unwrap_or(false);
        let side = if boards { &mut aboard } else { &mut late };
        side.insert((*item).clone());
    }
    Departure::Departs { at, because, aboard, late }
}
