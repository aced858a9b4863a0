//! The smallest set of what cannot all be.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{ActivityId, Span, TeamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Calendar;
use super::hours::{Blocker, Hours, forwards};
use super::solve::{Early, drivers};

/// Something that a calendar asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Constraint {
    /// An activity has to be done until then.
    Due {
        /// Which.
        activity: ActivityId,
        /// Whose it is.
        owner: TeamId,
        /// Until when.
        at: Timestamp,
    },
    /// An activity may not begin before then.
    NotBefore {
        /// Which.
        activity: ActivityId,
        /// From when on.
        at: Timestamp,
    },
    /// An activity comes after another.
    After {
        /// Which.
        activity: ActivityId,
        /// What is done before.
        after: ActivityId,
    },
    /// Something keeps a team from work.
    Blocked {
        /// What.
        by: Blocker,
    },
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due { activity, owner, at } => {
                write!(f, "`{activity}` ({owner}) has to be done until {at}")
            }
            Self::NotBefore { activity, at } => write!(f, "`{activity}` may not begin before {at}"),
            Self::After { activity, after } => write!(f, "`{activity}` comes after `{after}`"),
            Self::Blocked { by } => by.fmt(f),
        }
    }
}

/// What cannot all be: a set of which each member can be given up, and the rest can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The activity that is late.
    pub late: ActivityId,
    /// When it would be done at the earliest.
    pub done: Timestamp,
    /// How much too late that is.
    pub by: Span,
    /// The work that it takes: what is asked for, with how long each takes.
    pub work: Vec<(ActivityId, Span)>,
    /// What cannot all be.
    pub constraints: Vec<Constraint>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` would be done at {}, {} too late. ", self.late, self.done, self.by)?;
        for (nth, (activity, work)) in self.work.iter().enumerate() {
            write!(f, "{}`{activity}` takes {work}", if nth == 0 { "" } else { ", " })?;
        }
        f.write_str(". This cannot all be: ")?;
        for (nth, constraint) in self.constraints.iter().enumerate() {
            write!(f, "{}{constraint}", if nth == 0 { "" } else { "; " })?;
        }
        f.write_str(". Give up one of these, or shorten the work")
    }
}

/// A constraint by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    NotBefore(usize),
    Blocker(usize),
}

/// What makes an activity late: those that wait for each other, of which it is the last, from the last one on with which it still
/// is late although nothing before is waited for. So each link behind is needed.
struct Path<'a> {
    calendar: &'a Calendar,
    hours: &'a Hours,
    activities: Vec<usize>,
}

impl Path<'_> {
    /// When the last one is done if the activities from `first` on wait for each other, with these constraints of theirs alone.
    fn done(&self, first: usize, parts: &BTreeSet<Part>) -> i64 {
        let free = self.hours.merged(|by| parts.contains(&Part::Blocker(by)));
        let mut done = self.calendar.spec.from.as_micros();
        for (nth, number) in self.activities.iter().enumerate().skip(first) {
            if parts.contains(&Part::NotBefore(nth)) {
                done = done.max(self.calendar.begins(*number));
            }
            let blocked = free.get(self.hours.kind(*number)).map_or(&[][..], Vec::as_slice);
            (_, done) = forwards(blocked, done, self.calendar.work(*number));
        }
        done
    }

    /// All constraints of the path but its links.
    fn parts(&self) -> BTreeSet<Part> {
        let (mut parts, mut kinds) = (BTreeSet::new(), BTreeSet::new());
        for (nth, number) in self.activities.iter().enumerate() {
            if self.calendar.begins(*number) > self.calendar.spec.from.as_micros() {
                parts.insert(Part::NotBefore(nth));
            }
            if kinds.insert(self.hours.kind(*number)) {
                parts.extend(self.hours.stretches(*number).iter().map(|one| Part::Blocker(one.by)));
            }
        }
        parts
    }

    /// The last activity from which on it is late: the fewer are waited for, the sooner it is done.
    fn first(&self, parts: &BTreeSet<Part>, due: i64) -> usize {
        let (mut late, mut sound) = (0, self.activities.len());
        while late + 1 < sound {
            let middle = late + (sound - late) / 2;
            if self.done(middle, parts) > due { late = middle } else { sound = middle }
        }
        late
    }

    /// Leaves out whatever can be left out while the last one stays late: first halves, then quarters, at last each alone. With fewer
    /// constraints it is done no later, so that what could not be left out once cannot be later.
    fn smallest(&self, first: usize, due: i64, all: BTreeSet<Part>) -> BTreeSet<Part> {
        let mut kept: Vec<Part> = all.into_iter().collect();
        let mut size = kept.len();
        while size > 0 {
            let mut at = 0;
            while at < kept.len() {
                let end = (at + size).min(kept.len());
                let without = kept.iter().take(at).chain(kept.iter().skip(end)).copied();
                if self.done(first, &without.collect()) > due {
                    kept.drain(at..end);
                } else {
                    at = end;
                }
            }
            size /= 2;
        }
        kept.into_iter().collect()
    }
}

impl Calendar {
    /// A smallest set because of which an activity is late. What it waits for, one after the other, makes it as late as all
    /// together, so that nothing else is looked at.
    pub(super) fn conflict(&self, hours: &Hours, early: &[Early], late: usize) -> Option<Conflict> {
        let last = self.spec.activities.get(late)?;
        let due = self.due(late);
        let path = Path { calendar: self, hours, activities: drivers(early, late) };
        let all = path.parts();
        let first = path.first(&all, due);
        let done = Timestamp::from_micros(early.get(late)?.finish);
        let parts = path.smallest(first, due, all);
        let on_path = || {
            let numbers = path.activities.iter().skip(first);
            numbers.filter_map(|number| self.spec.activities.get(*number))
        };
        let deadline = Constraint::Due {
            activity: last.id.clone(),
            owner: last.owner.clone(),
            at: Timestamp::from_micros(due),
        };
        let links = on_path().zip(on_path().skip(1)).map(|(before, next)| Constraint::After {
            activity: next.id.clone(),
            after: before.id.clone(),
        });
        let others = parts.iter().filter_map(|part| match *part {
            Part::NotBefore(nth) => {
                let number = *path.activities.get(nth)?;
                let activity = self.spec.activities.get(number)?.id.clone();
                let at = Timestamp::from_micros(self.begins(number));
                Some(Constraint::NotBefore { activity, at })
            }
            Part::Blocker(by) => Some(Constraint::Blocked { by: hours.blockers.get(by)?.clone() }),
        });
        let constraints = [deadline].into_iter().chain(links).chain(others).collect();
        let work = on_path().map(|one| (one.id.clone(), one.work)).collect();
        let by = done.since(Timestamp::from_micros(due));
        Some(Conflict { late: last.id.clone(), done, by, work, constraints })
    }
}
