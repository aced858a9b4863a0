//! The earliest and latest times of everything, and what is critical: the critical path method, in the hours in which
//! teams can work.

use std::collections::BTreeMap;

use release_core::model::{ActivityId, Span, Timestamp, TrainId, WindowId};
use serde::{Deserialize, Serialize};

use super::conflict::Conflict;
use super::critical::Times;
use super::hours::{Blocker, Hours};
use super::reckon::{backwards, between, forwards};
use super::{Calendar, ScheduledDeparture};

/// When an activity can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// When it can begin at the earliest.
    pub earliest_start: Timestamp,
    /// When it is done then.
    pub earliest_finish: Timestamp,
    /// When it has to begin at the latest, so that all deadlines are met.
    pub latest_start: Timestamp,
    /// When it has to be done then.
    pub latest_finish: Timestamp,
    /// How much time its owner has between its earliest and its latest start: so much may be lost, and all deadlines are met. Time
    /// in which nothing of it could be done does not count.
    pub slack: Span,
    /// What keeps it from beginning sooner, or from being done sooner, when it begins at the earliest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
}

/// Time that an activity loses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// To what.
    pub by: Blocker,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// A calendar that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solution {
    /// When each activity can be.
    pub activities: BTreeMap<ActivityId, Timing>,
    /// A chain of activities with the least slack of all, each before the one that waits for it. Whatever begins later here than it can
    /// moves the end of the last one, and makes that too late once the slack is used up. Of several such chains it is one that ends last,
    /// and the same in whatever order the activities are listed.
    pub critical_path: Vec<ActivityId>,
    /// The departures.
    pub departures: Vec<ScheduledDeparture>,
    /// Departures at an instant at which a freeze holds, of everything or of some: they have to be moved, or a waiver given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<FrozenDeparture>,
}

/// A departure while a freeze holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenDeparture {
    /// Which.
    pub train: TrainId,
    /// When.
    pub departs: Timestamp,
    /// The freeze.
    pub window: WindowId,
}

/// When an activity can begin and be done at the earliest, and what it waits for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Early {
    pub(super) asked: i64,
    pub(super) start: i64,
    pub(super) finish: i64,
    /// The activity whose end is what it waits for, if it waits for one.
    pub(super) driver: Option<usize>,
}

impl Calendar {
    /// When everything can be, at the earliest and at the latest, and what is critical.
    ///
    /// Teams may do several things at once. Work stops while its owner is away or a freeze holds, and goes on afterwards; work
    /// of no length is a milestone, and is done as soon as what it waits for.
    ///
    /// # Errors
    /// [`Conflict`]: a smallest set of what cannot all be, of the activity that is late first. Where it has thousands of members, it may
    /// be larger than need be, and says so ([`Conflict::minimal`]).
    pub fn solve(&self) -> Result<Solution, Box<Conflict>> {
        let hours = &*self.hours;
        let early = self.early(hours);
        let late = |number: &&usize| {
            let finish = early.get(**number).map_or(0, |early| early.finish);
            finish > self.due(**number)
        };
        let first = self.order.iter().find(late);
        if let Some(conflict) = first.and_then(|number| self.conflict(hours, &early, *number)) {
            return Err(Box::new(conflict));
        }
        let latest = self.late(hours);
        Ok(self.solution(hours, &early, &latest))
    }

    pub(super) fn begins(&self, number: usize) -> i64 {
        self.bounds.get(number).map_or(0, |(begins, _)| begins.as_micros())
    }

    pub(super) fn due(&self, number: usize) -> i64 {
        self.bounds.get(number).map_or(0, |(_, due)| due.as_micros())
    }

    pub(super) fn work(&self, number: usize) -> i64 {
        let work = self.spec.activities.get(number).map_or(Span::ZERO, |activity| activity.work);
        i64::try_from(work.as_duration().as_micros()).unwrap_or(i64::MAX)
    }

    fn early(&self, hours: &Hours) -> Vec<Early> {
        let mut early = vec![Early::default(); self.order.len()];
        for number in &self.order {
            let (mut asked, mut driver) = (self.begins(*number), None);
            for before in self.before.get(*number).into_iter().flatten() {
                let finish = early.get(*before).map_or(0, |early| early.finish);
                // What takes no time is waited for as well.
                if finish >= asked {
                    (asked, driver) = (finish, Some(*before));
                }
            }
            let blocked = hours.blocked(*number);
            let (start, finish) = forwards(blocked, asked, self.work(*number));
            if let Some(own) = early.get_mut(*number) {
                *own = Early { asked, start, finish, driver };
            }
        }
        early
    }

    /// When each has to begin and be done at the latest.
    fn late(&self, hours: &Hours) -> Vec<(i64, i64)> {
        let mut ends: Vec<i64> = (0..self.order.len()).map(|number| self.due(number)).collect();
        let mut late = vec![(0, 0); self.order.len()];
        for number in self.order.iter().rev() {
            let blocked = hours.blocked(*number);
            let end = ends.get(*number).copied().unwrap_or(0);
            let (start, finish) = backwards(blocked, end, self.work(*number));
            if let Some(own) = late.get_mut(*number) {
                *own = (start, finish);
            }
            for before in self.before.get(*number).into_iter().flatten() {
                if let Some(end) = ends.get_mut(*before) {
                    *end = (*end).min(start);
                }
            }
        }
        late
    }

    fn solution(&self, hours: &Hours, early: &[Early], late: &[(i64, i64)]) -> Solution {
        let at = Timestamp::from_micros;
        let mut activities = BTreeMap::new();
        let mut slacks = Vec::with_capacity(early.len());
        let all = self.spec.activities.iter().zip(early).zip(late).enumerate();
        for (number, ((activity, early), (start, finish))) in all {
            let blocked = hours.blocked(number);
            let slack = between(blocked, early.start, *start);
            slacks.push(slack);
            let around = hours.around(number, early.asked, early.finish);
            let held = around.iter().filter_map(|stretch| {
                let from = stretch.from.max(early.asked);
                let until = stretch.until.min(early.finish);
                let by = hours.blockers.get(stretch.by).filter(|_| from < until)?.clone();
                Some(Held { by, from: at(from), until: at(until) })
            });
            let timing = Timing {
                earliest_start: at(early.start),
                earliest_finish: at(early.finish),
                latest_start: at(*start),
                latest_finish: at(*finish),
                slack: at(slack).since(at(0)),
                held: held.collect(),
            };
            activities.insert(activity.id.clone(), timing);
        }
        let times = Times { hours, early, late, slacks: &slacks };
        let path = self.critical(&times);
        let named = path.into_iter().filter_map(|number| self.spec.activities.get(number));
        let critical_path = named.map(|activity| activity.id.clone()).collect();
        let (departures, frozen) = (self.departures.clone(), self.frozen.clone());
        Solution { activities, critical_path, departures, frozen }
    }
}

/// What an activity waits for, and what that waits for, and so on: the first of them first.
pub(super) fn drivers(early: &[Early], last: usize) -> Vec<usize> {
    let driver = |number: &usize| early.get(*number).and_then(|early| early.driver);
    let mut path: Vec<usize> = std::iter::successors(Some(last), driver).collect();
    path.reverse();
    path
}
