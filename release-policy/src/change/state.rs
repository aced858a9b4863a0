//! The states of a change and the steps between them.

use std::fmt;

use release_core::model::{Digest, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeType {
    /// Made from a template that was authorized in advance: neither assessed nor authorized again.
    Standard,
    /// Assessed and authorized.
    Normal,
    /// Authorized by few and at once, and looked at by others afterwards.
    Emergency,
}

impl fmt::Display for ChangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Normal => "normal",
            Self::Emergency => "emergency",
        })
    }
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// It is being written.
    New,
    /// Its risk is being assessed.
    Assess,
    /// It waits for approvals.
    Authorize,
    /// It is approved and waits for its time.
    Scheduled,
    /// It is being carried out.
    Implement,
    /// It was carried out, and is looked at.
    Review,
    /// It is over.
    Closed,
    /// It was given up.
    Canceled,
}

impl ChangeState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Assess,
        Self::Authorize,
        Self::Scheduled,
        Self::Implement,
        Self::Review,
        Self::Closed,
        Self::Canceled,
    ];
}

impl fmt::Display for ChangeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Assess => "assess",
            Self::Authorize => "authorize",
            Self::Scheduled => "scheduled",
            Self::Implement => "implement",
            Self::Review => "review",
            Self::Closed => "closed",
            Self::Canceled => "canceled",
        })
    }
}

/// A step of a change from one state into another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The state it goes into.
    pub to: ChangeState,
    /// Who takes it there.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// The digest of what authorizes it: of the subject that was approved, or of the template of a standard
    /// change. Needed to be scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Digest>,
}

/// What a step leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "approvals may have to be cancelled"]
pub struct Stepped {
    /// The state it stands in.
    pub state: ChangeState,
    /// Whether approvals that were given so far no longer count.
    pub cancels_approvals: bool,
}

/// A step that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalStep {
    /// No rule leads from one to the other.
    #[error("change/steps: a {kind} change never goes from {from} to {to}")]
    NoWay {
        /// What kind of change it is.
        kind: ChangeType,
        /// Where it stands.
        from: ChangeState,
        /// Where it should go.
        to: ChangeState,
    },
    /// What is under way, or done, cannot be cancelled.
    #[error("change/cancel: it cannot be cancelled in {from}; bring it to its end and close it")]
    TooLateToCancel {
        /// Where it stands.
        from: ChangeState,
    },
    /// It is scheduled without anything that authorizes it.
    #[error("change/basis: it cannot be scheduled without the digest of what authorizes it")]
    NoBasis,
}

/// Takes a step.
///
/// A normal change goes through all states, an emergency is not assessed, and a standard change is neither
/// assessed nor authorized. Going back to the beginning, from before it was begun, cancels approvals.
///
/// # Errors
/// [`IllegalStep`] says why the step is not allowed.
pub fn step(kind: ChangeType, from: ChangeState, step: &Step) -> Result<Stepped, IllegalStep> {
    use ChangeState::{Assess, Authorize, Canceled, Closed, Implement, New, Review, Scheduled};
    use ChangeType::{Emergency, Normal, Standard};
    let to = step.to;
    let stepped = |cancels_approvals| Ok(Stepped { state: to, cancels_approvals });
    match (kind, from, to) {
        (_, Review | Closed, Canceled) => Err(IllegalStep::TooLateToCancel { from }),
        (_, New | Assess | Authorize | Scheduled | Implement, Canceled)
        | (_, Assess | Authorize | Scheduled, New) => stepped(true),
        (Standard, New, Scheduled) | (Normal | Emergency, Authorize, Scheduled) => {
            if step.basis.is_none() { Err(IllegalStep::NoBasis) } else { stepped(false) }
        }
        (Normal, New, Assess)
        | (Normal, Assess, Authorize)
        | (Emergency, New, Authorize)
        | (_, Scheduled, Implement)
        | (_, Implement, Review)
        | (_, Review, Closed) => stepped(false),
        _ => Err(IllegalStep::NoWay { kind, from, to }),
    }
}
