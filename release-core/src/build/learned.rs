//! How long something takes, as it was seen.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{micros, span};
use crate::time::Span;

/// How many of the last times count.
pub const REMEMBERED: usize = 20;

/// How long things took: the last [`REMEMBERED`] times of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Learned<Id: Ord>(BTreeMap<Id, VecDeque<Span>>);

impl<Id: Ord> Default for Learned<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Id: Ord> Learned<Id> {
    /// Something took so long, and came to its end. What was broken off tells nothing.
    pub fn record(&mut self, id: Id, took: Span) {
        let times = self.0.entry(id).or_default();
        times.push_back(took);
        while times.len() > REMEMBERED {
            times.pop_front();
        }
    }

    /// How long it will take: the median of the last times, so that one bad day changes nothing. `None` if it was never seen.
    pub fn takes(&self, id: &Id) -> Option<Span> {
        let mut times: Vec<u64> = self.0.get(id)?.iter().map(|took| micros(*took)).collect();
        times.sort_unstable();
        let upper = times.get(times.len() / 2)?;
        let lower = times.get(times.len().checked_sub(1)? / 2)?;
        Some(span(lower.midpoint(*upper)))
    }
}
