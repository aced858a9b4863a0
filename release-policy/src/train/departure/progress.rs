//! How far a train is, by what happened.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{BlockerId, StopId, SyncPointId, TeamId, Timestamp};

use super::Event;

/// How far a train is.
#[derive(Default)]
pub(super) struct Progress<'a> {
    /// What nothing more comes of: done, or left behind.
    pub(super) done: BTreeSet<&'a StopId>,
    /// Whether something is changed at some stop.
    pub(super) departed: bool,
    pub(super) began: BTreeMap<&'a StopId, Timestamp>,
    /// Of each blocker since when it is as it is, and whether it holds.
    blockers: BTreeMap<&'a BlockerId, (Timestamp, bool)>,
    pub(super) arrived: BTreeSet<(&'a SyncPointId, &'a TeamId)>,
    pub(super) turned_back: Option<Timestamp>,
    pub(super) went_back: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn of(events: impl Iterator<Item = &'a Event>, now: Timestamp) -> Self {
        let mut progress = Self::default();
        for event in events.filter(|event| event.at() <= now) {
            match event {
                Event::Began { stop, at } => {
                    progress.began.insert(stop, *at);
                    progress.departed = true;
                }
                Event::Done { stop, .. } => {
                    progress.done.insert(stop);
                    progress.departed = true;
                }
                Event::LeftBehind { stop, .. } => {
                    progress.done.insert(stop);
                }
                Event::Blocked { blocker, at, .. } => progress.blocker(blocker, *at, true),
                Event::Cleared { blocker, at, .. } => progress.blocker(blocker, *at, false),
                Event::Arrived { point, team, .. } => {
                    progress.arrived.insert((point, team));
                }
                Event::TurnedBack { at } => {
                    progress.turned_back.get_or_insert(*at);
                }
                Event::WentBack { .. } => progress.went_back = true,
            }
        }
        progress
    }

    /// What happened last counts; of two in one instant, what is named last.
    fn blocker(&mut self, blocker: &'a BlockerId, at: Timestamp, holds: bool) {
        let known = self.blockers.entry(blocker).or_insert((at, holds));
        if known.0 <= at {
            *known = (at, holds);
        }
    }

    /// What holds the train.
    pub(super) fn blockers(&self) -> BTreeSet<BlockerId> {
        let holding = self.blockers.iter().filter(|(_, (_, holds))| *holds);
        holding.map(|(blocker, _)| (*blocker).clone()).collect()
    }
}
