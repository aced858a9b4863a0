//! Cases: questions with all that is known of them, decided anew for each request, at its instant and by the
//! directory of then.

use std::collections::BTreeMap;

use release_core::model::{Digest, EnvironmentId, GateId, Span};
use serde::Serialize;

use crate::approval::{ApprovalFacts, ApprovalPolicy, Question};
use crate::cab::{Board, BoardFacts};
use crate::change::ChangeType;
use crate::emergency::{BreakGlass, GlassFacts, Obligations};
use crate::promotion::{Claim, Evidence, History, Owners, Pipeline};

/// A question that a rule can [need](super::Need::Case) a yes to: what is known of it. Who has to agree, or by which
/// criteria, is a part of the rules and stands there under the same name: see [`Definition`].
///
/// It says something of the step alone that is asked about: what was approved, owned or verified elsewhere allows
/// nothing there. Whoever lost a role since they spoke, an approval that expired, a verification that failed again: all that
/// counts as it is at the instant of the request, not as it was when the host last looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Case {
    /// Whether enough people approve.
    Approval(Box<ApprovalCase>),
    /// Whether a board approves, and what it asks for besides is met.
    Board(Box<BoardCase>),
    /// Whether a version set may enter a stage.
    Entry(Box<EntryCase>),
    /// Whether an environment is one's own.
    Owner(Box<OwnerCase>),
    /// Whether all that had to be reviewed was.
    Reviews(Box<ReviewsCase>),
    /// Whether glass is broken for the run.
    Glass(Box<GlassCase>),
}

impl Case {
    /// The digest of the question and of all that is known of it.
    pub fn digest(&self) -> Digest {
        // INVARIANT: every key of every map in it is text or a number, so that it can always be written.
        let written =
            serde_json::to_vec(self).unwrap_or_else(|error| error.to_string().into_bytes());
        Digest::of(&written)
    }
}

/// Who has to agree, or by which criteria: the part of a case that belongs to the rules, is in their digest and is
/// pinned with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Definition {
    /// Who has to approve.
    Approval(ApprovalPolicy),
    /// Which board decides.
    Board(Board),
    /// The stages, and what it takes to enter them.
    Entry(Pipeline),
    /// Which glass, of all that there are.
    Glass {
        /// Its name.
        capability: String,
        /// All of them.
        policy: BreakGlass,
    },
}

impl From<ApprovalPolicy> for Definition {
    fn from(policy: ApprovalPolicy) -> Self {
        Self::Approval(policy)
    }
}

impl From<Board> for Definition {
    fn from(board: Board) -> Self {
        Self::Board(board)
    }
}

impl From<Pipeline> for Definition {
    fn from(pipeline: Pipeline) -> Self {
        Self::Entry(pipeline)
    }
}

/// A question to people, of whom [`Definition::Approval`] says who has to agree: see
/// [`approval::evaluate`](crate::approval::evaluate).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalCase {
    /// What, and who has to do with it.
    pub question: Question,
    /// What was said so far.
    pub facts: ApprovalFacts,
}

/// A question to the board of [`Definition::Board`]: see [`cab::decide`](crate::cab::decide). Each condition that it sets is a gate that
/// has to be passed, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoardCase {
    /// What it decides about.
    pub question: Question,
    /// Votes and interests so far.
    pub facts: BoardFacts,
    /// What was said at the gates of conditions that ask for people, by the gate's id.
    pub at_gates: BTreeMap<GateId, ApprovalFacts>,
}

/// Whether a set may come into a stage of [`Definition::Entry`]: see [`promotion::may_enter`](crate::promotion::may_enter).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryCase {
    /// What happened in the stages.
    pub history: History,
    /// The stage to enter.
    pub stage: EnvironmentId,
    /// What wants to enter, and what is known of it.
    pub evidence: Evidence,
}

/// Whether an environment is one's own: see [`Owners::check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerCase {
    /// Who owns what.
    pub owners: Owners,
    /// The environment.
    pub environment: EnvironmentId,
    /// Who says that it is theirs, by which epoch.
    pub claim: Claim,
}

/// Whether something is overdue: see [`emergency::blocked`](crate::emergency::blocked).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewsCase {
    /// What is owed, of all changes.
    pub obligations: Obligations,
    /// What kind of change asks.
    pub kind: ChangeType,
    /// From which age on a directory decides nothing.
    pub directory_max_age: Span,
}

/// Whether the glass of [`Definition::Glass`] is broken: see [`emergency::usable`](crate::emergency::usable).
///
/// One use is one run, of one plan: those that the request names. It is journaled in the run, as the leave by
/// which a step started. What the glass [lifts](crate::emergency::Capability::lifts) of windows, it lifts for the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GlassCase {
    /// What was asked for and confirmed so far; the last request for the glass counts.
    pub facts: GlassFacts,
}

macro_rules! from {
    ($($name:ident($case:ident)),*) => {
        $(impl From<$case> for Case {
            fn from(case: $case) -> Self {
                Self::$name(Box::new(case))
            }
        })*
    };
}
from!(
    Approval(ApprovalCase),
    Board(BoardCase),
    Entry(EntryCase),
    Owner(OwnerCase),
    Reviews(ReviewsCase),
    Glass(GlassCase)
);
