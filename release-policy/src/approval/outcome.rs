//! What became of a question for approval: the answer, and everything that leads to it.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{PrincipalId, RoleId, Timestamp};
use release_core::port::{Decision, Reason};
use serde::{Deserialize, Serialize};

use super::policy::Party;
use super::quorum::Slot;
use super::subject::{Part, Subject};
use crate::directory::{DirectoryFault, DirectoryStamp};

/// Whether something is approved. Exhaustive on purpose: nobody may forget a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    /// Enough people approve, and nobody objects.
    Met,
    /// Approvals are missing.
    Open,
    /// Somebody objects.
    Vetoed,
    /// It cannot be told who may approve, so nobody may.
    Denied {
        /// Why not.
        because: Denial,
    },
}

/// Why it cannot be told who may approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Denial {
    /// There is no directory to go by.
    #[error("{fault}")]
    Directory {
        /// What is wrong with it.
        fault: DirectoryFault,
    },
    /// Nobody knows who wrote what is to be released.
    #[error("the authors of the change are not known")]
    AuthorsUnknown,
}

/// An approval that fills a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The place.
    pub slot: Slot,
    /// The number of the approval's record.
    pub seq: u64,
    /// The account.
    pub by: PrincipalId,
    /// The person behind it.
    pub human: PrincipalId,
}

/// A statement that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The number of its record.
    pub seq: u64,
    /// The account.
    pub by: PrincipalId,
    /// Why it does not count.
    pub why: Unfit,
}

/// Why a statement does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unfit {
    /// It is yet to be said.
    #[error("it is of {at}, which is yet to come")]
    NotYet {
        /// When it will be.
        at: Timestamp,
    },
    /// Who said it took it back.
    #[error("it was taken back at {at}")]
    Withdrawn {
        /// When.
        at: Timestamp,
    },
    /// The change went back to its beginning.
    #[error("the change was reset at {at}")]
    Reset {
        /// When.
        at: Timestamp,
    },
    /// Its time is over.
    #[error("it expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It is about something else.
    #[error("what it was about has changed: {}", list(changed))]
    Stale {
        /// The parts that changed.
        changed: BTreeSet<Part>,
    },
    /// A machine said it.
    #[error("a machine said it")]
    Machine,
    /// Who said it is a party to the change.
    #[error("who said it is its {party}")]
    Excluded {
        /// What they are to it.
        party: Party,
    },
    /// Who said it may no longer.
    #[error("{reason}")]
    Invalidated {
        /// Why not.
        reason: Invalid,
    },
    /// Who said it never had a role that is asked for.
    #[error("who said it has none of the roles asked for")]
    NoRole,
    /// The same person counts already, by another statement.
    #[error("the same person said it in record {of}")]
    Duplicate {
        /// The number of the statement that counts.
        of: u64,
    },
    /// The same person objects.
    #[error("the same person objects in record {of}")]
    OwnVeto {
        /// The number of the veto.
        of: u64,
    },
    /// It holds, and nobody needs it.
    #[error("it is not needed")]
    Spare,
}

/// Why somebody may no longer say what they said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Invalid {
    /// The directory does not know the account.
    #[error("the directory does not know who said it")]
    Unknown,
    /// The account may no longer be used.
    #[error("the account of who said it is not active")]
    Inactive,
    /// Roles that they had then are gone.
    #[error("who said it lost the roles {}", list(lost))]
    RoleRevoked {
        /// The roles.
        lost: BTreeSet<RoleId>,
    },
}

fn list<T: fmt::Display>(all: &BTreeSet<T>) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A place that nobody fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The place.
    pub slot: Slot,
    /// Accounts whose approval would leave one place less missing, by id; at most
    /// [`MOST_CANDIDATES`](super::MOST_CANDIDATES). Some fit a place that somebody else then leaves for this
    /// one.
    pub could_fill: Vec<PrincipalId>,
    /// Whether there are more.
    pub and_more: bool,
}

/// An objection that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// The number of its record.
    pub seq: u64,
    /// The account.
    pub by: PrincipalId,
    /// The person behind it.
    pub human: PrincipalId,
}

/// The answer to a question for approval, with all that leads to it.
///
/// The same inputs always give the same outcome, so that it can be replayed years later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "an answer that nobody reads approves nothing"]
pub struct ApprovalOutcome {
    /// Whether it is approved.
    pub answer: Answer,
    /// When this was asked.
    pub at: Timestamp,
    /// What was asked about: for anything else the answer is worth nothing.
    pub subject: Subject,
    /// The directory it was made from, if there was one.
    pub directory: Option<DirectoryStamp>,
    /// The approvals that fill a place, by record.
    pub counted: Vec<Counted>,
    /// The statements that do not count, by record.
    pub dropped: Vec<Dropped>,
    /// The objections that stand, by record.
    pub objections: Vec<Objection>,
    /// The places that nobody fills, of the way that is nearest to being met.
    pub missing: Vec<Missing>,
    /// In how many other ways it could be met.
    pub other_ways: usize,
    /// The first instant after `at` at which the answer may change by time alone: an approval expires, a role
    /// begins or ends, the directory gets too old. An answer «met» must not be used from then on.
    pub next_change: Option<Timestamp>,
}

impl ApprovalOutcome {
    /// Whether it is approved, now and until just before [`next_change`](Self::next_change).
    pub const fn is_met(&self) -> bool {
        matches!(self.answer, Answer::Met)
    }

    /// The answer as a decision of a policy. A wait names no instant: people may approve at any time.
    pub fn decision(&self) -> Decision {
        match self.answer {
            Answer::Met => Decision::permit(),
            Answer::Open => Decision::wait(None, self.missing.iter().map(missing).collect()),
            Answer::Vetoed => {
                let veto = |objection: &Objection| {
                    let text = format!("{} objects", objection.by);
                    let lifted_by = format!("{}, who can take it back", objection.by);
                    Reason::new("approval/veto", text, lifted_by)
                };
                Decision::deny(self.objections.iter().map(veto).collect())
            }
            Answer::Denied { because } => {
                let (rule, lifted_by) = match because {
                    Denial::Directory { .. } => {
                        ("approval/directory", "whoever runs the directory")
                    }
                    Denial::AuthorsUnknown => {
                        ("approval/authors", "provenance that names the authors")
                    }
                };
                Decision::deny(vec![Reason::new(rule, because.to_string(), lifted_by)])
            }
        }
    }
}

fn missing(missing: &Missing) -> Reason {
    let names: Vec<_> = missing.could_fill.iter().map(PrincipalId::as_str).collect();
    let lifted_by = match (names.is_empty(), missing.and_more) {
        (true, _) => "nobody whom the directory knows; grant the role".to_owned(),
        (false, false) => names.join(" or "),
        (false, true) => format!("{} and others", names.join(" or ")),
    };
    let text = format!("an approval is missing of {}", missing.slot);
    Reason::new("approval/missing", text, lifted_by)
}
