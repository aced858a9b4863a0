//! What cannot all be.

use std::fmt;

use release_core::model::{ActivityId, Span, TeamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Calendar;
use super::hours::{Blocker, Hours};
use super::smallest::{Part, Path};
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

/// What cannot all be: a set of which each member can be given up, and the rest can be kept; that is, if it is
/// [`minimal`](Self::minimal).
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
    /// Whether each member was tried, and is needed. Of a set with thousands of members not all are: then the set cannot be either,
    /// but some of it may be left out.
    #[serde(default = "minimal", skip_serializing_if = "is_minimal")]
    pub minimal: bool,
}

const fn minimal() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_minimal(minimal: &bool) -> bool {
    *minimal
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
        f.write_str(if self.minimal {
            ". Give up one of these, or shorten the work"
        } else {
            ". Give up some of these, or shorten the work; not each was tried alone, so that one may not be enough"
        })
    }
}

impl Calendar {
    /// A smallest set because of which an activity is late, or one of which that is not known. What it waits for, one after the other,
    /// makes it as late as all together, so that nothing else is looked at.
    pub(super) fn conflict(&self, hours: &Hours, early: &[Early], late: usize) -> Option<Conflict> {
        let last = self.spec.activities.get(late)?;
        let due = self.due(late);
        let mut path = Path::new(self, hours, drivers(early, late));
        path.shorten(due);
        let done = Timestamp::from_micros(early.get(late)?.finish);
        let (parts, minimal) = path.smallest(due);
        let on_path =
            || path.activities.iter().filter_map(|number| self.spec.activities.get(*number));
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
        Some(Conflict { late: last.id.clone(), done, by, work, constraints, minimal })
    }
}
