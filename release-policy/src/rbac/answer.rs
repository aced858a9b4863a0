//! What came out, and because of what.

use std::fmt;
use std::sync::Arc;

use release_core::model::{Digest, PrincipalId, RoleGrant, RoleId, Timestamp};
use serde::Serialize;

use super::ConditionError;
use crate::directory::{DirectoryFault, DirectoryStamp};

/// Whether somebody may do something, with all reasons and what it was decided from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "it says whether it is allowed"]
pub struct Answer {
    /// What allows it.
    pub granted: Vec<Granted>,
    /// What forbids it, whatever allows it.
    pub denied: Vec<Denied>,
    /// Roles with such a permission that do not allow it here and now. Said only when nothing does.
    pub missed: Vec<Missed>,
    /// The rules that it was decided by.
    pub rules: Digest,
    /// The directory that it was decided by, if there was one.
    pub directory: Option<DirectoryStamp>,
}

impl Answer {
    /// Something allows it and nothing forbids it.
    pub fn is_allowed(&self) -> bool {
        !self.granted.is_empty() && self.denied.is_empty()
    }

    /// The grant that holds longest; of several, the first of the list.
    pub(super) fn longest(&self) -> Option<&Granted> {
        let ends = |granted: &&Granted| std::cmp::Reverse((granted.until.is_none(), granted.until));
        self.granted.iter().min_by_key(ends)
    }
}

/// A grant that allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Granted {
    /// The grant, with its role, its grantor and its reason.
    pub grant: Arc<RoleGrant>,
    /// Who lent it, unless it is their own.
    pub lent_by: Option<PrincipalId>,
    /// The first instant at which it no longer holds, if there is one.
    pub until: Option<Timestamp>,
}

impl Granted {
    /// Tells any two apart, so that their order is never that of a file.
    pub(super) fn key(&self) -> impl Ord + '_ {
        let RoleGrant { role, reach, from, until, by, reason } = &*self.grant;
        (role, &self.lent_by, from, until, reach, by, reason)
    }
}

/// What forbids something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Denied {
    /// Nobody knows who may do what.
    Directory {
        /// Why.
        fault: DirectoryFault,
    },
    /// There is no such account.
    Unknown,
    /// The account may not be used.
    Inactive,
    /// A rule forbids it.
    Rule {
        /// Its name.
        rule: String,
        /// Why it forbids.
        reason: String,
        /// Who can lift it.
        owner: PrincipalId,
        /// Why it could not be judged, if it could not.
        error: Option<ConditionError>,
    },
}

/// A role that somebody has and that does not help them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missed {
    /// The role.
    pub role: RoleId,
    /// Why not.
    pub why: Miss,
}

/// Why a role does not allow something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Miss {
    /// No rules say what it allows.
    Undefined,
    /// It does not hold yet.
    NotYet {
        /// From when on it does.
        from: Timestamp,
    },
    /// It holds no longer.
    Ended {
        /// Since when.
        at: Timestamp,
    },
    /// It never holds: the loan ends before what was lent begins.
    Never {
        /// When the loan ends.
        ends: Timestamp,
    },
    /// It does not reach over all of the change.
    OutOfReach,
    /// A condition is not met.
    Condition,
    /// A condition could not be judged.
    Error {
        /// Why.
        error: String,
    },
    /// Whoever lent it may not do it either.
    LenderDenied {
        /// Who lent it.
        lender: PrincipalId,
    },
    /// Whoever lent it asked for the change.
    LenderAsked {
        /// Who lent it.
        lender: PrincipalId,
    },
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("no rules say what it allows"),
            Self::NotYet { from } => write!(f, "holds from {from} on"),
            Self::Ended { at } => write!(f, "ended at {at}"),
            Self::Never { ends } => write!(f, "is lent until {ends}, before it begins"),
            Self::OutOfReach => f.write_str("does not reach over all of this"),
            Self::Condition => f.write_str("a condition of it is not met"),
            Self::Error { error } => f.write_str(error),
            Self::LenderDenied { lender } => {
                write!(f, "was lent by {lender}, who may not do this either")
            }
            Self::LenderAsked { lender } => {
                write!(f, "was lent by {lender}, who asked for this themselves")
            }
        }
    }
}
