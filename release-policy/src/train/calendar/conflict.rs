//! The smallest set of what cannot all be.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{ActivityId, Span, TeamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Calendar;
use super::hours::{Blocker, Hours, forwards, merged};
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
    /// The link of the path that ends here.
    Link(usize),
    Blocker(usize),
}

/// What makes an activity late: those that wait for each other, of which it is the last.
struct Path<'a> {
    calendar: &'a Calendar,
    hours: &'a Hours,
    activities: Vec<usize>,
}

impl Path<'_> {
    /// When the last one is done with these constraints alone. Where a link is left out, what comes before is not waited for.
    fn done(&self, parts: &BTreeSet<Part>) -> i64 {
        let season = self.calendar.spec.from.as_micros();
        let mut done = season;
        for (nth, number) in self.activities.iter().enumerate() {
            let mut asked = if parts.contains(&Part::Link(nth)) { done } else { season };
            if parts.contains(&Part::NotBefore(nth)) {
                asked = asked.max(self.calendar.begins(*number));
            }
            let counts = |by| parts.contains(&Part::Blocker(by));
            let blocked = merged(self.hours.stretches(*number), counts);
            (_, done) = forwards(&blocked, asked, self.calendar.work(*number));
        }
        done
    }

    /// All constraints of the path.
    fn parts(&self) -> BTreeSet<Part> {
        let mut parts = BTreeSet::new();
        for (nth, number) in self.activities.iter().enumerate() {
            if nth > 0 {
                parts.insert(Part::Link(nth));
            }
            if self.calendar.begins(*number) > self.calendar.spec.from.as_micros() {
                parts.insert(Part::NotBefore(nth));
            }
            parts.extend(self.hours.stretches(*number).iter().map(|one| Part::Blocker(one.by)));
        }
        parts
    }

    /// Leaves out whatever can be left out while the last one stays late: first halves, then quarters, at last each alone. What
    /// makes it late with more makes it no less late, so that what could not be left out once cannot be later.
    fn smallest(&self, due: i64) -> BTreeSet<Part> {
        let mut kept = self.parts();
        let mut size = kept.len();
        while size > 0 {
            let all: Vec<Part> = kept.iter().copied().collect();
            for some in all.chunks(size) {
                let without: BTreeSet<Part> =
                    kept.iter().filter(|part| !some.contains(part)).copied().collect();
                if self.done(&without) > due {
                    kept = without;
                }
            }
            size /= 2;
        }
        kept
    }
}

impl Calendar {
    /// A smallest set because of which an activity is late. What it waits for, one after the other, makes it as late as all
    /// together, so that nothing else is looked at.
    pub(super) fn conflict(&self, hours: &Hours, early: &[Early], late: usize) -> Option<Conflict> {
        let last = self.spec.activities.get(late)?;
        let due = self.due(late);
        let path = Path { calendar: self, hours, activities: drivers(early, late) };
        let parts = path.smallest(due);
        let activity = |nth: usize| {
            let number = path.activities.get(nth)?;
            self.spec.activities.get(*number)
        };
        let name = |nth: usize| activity(nth).map(|activity| activity.id.clone());
        let constraints = parts.iter().filter_map(|part| match *part {
            Part::NotBefore(nth) => {
                let at = Timestamp::from_micros(self.begins(*path.activities.get(nth)?));
                Some(Constraint::NotBefore { activity: name(nth)?, at })
            }
            Part::Link(nth) => {
                let after = name(nth.checked_sub(1)?)?;
                Some(Constraint::After { activity: name(nth)?, after })
            }
            Part::Blocker(by) => Some(Constraint::Blocked { by: hours.blockers.get(by)?.clone() }),
        });
        let deadline = Constraint::Due {
            activity: last.id.clone(),
            owner: last.owner.clone(),
            at: Timestamp::from_micros(due),
        };
        let constraints = [deadline].into_iter().chain(constraints).collect();
        // Before the last link that is left out nothing counts.
        let first = (0..path.activities.len()).rev().find(|nth| !parts.contains(&Part::Link(*nth)));
        let counted = first.unwrap_or(0)..path.activities.len();
        let work = counted.filter_map(activity).map(|one| (one.id.clone(), one.work)).collect();
        let done = Timestamp::from_micros(path.done(&path.parts()));
        let by = done.since(Timestamp::from_micros(due));
        Some(Conflict { late: last.id.clone(), done, by, work, constraints })
    }
}
