//! What is asked, of whom, and who is out of the question.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{Approval, ChangeScope, PrincipalId, RoleId, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::quorum::{Anyone, Expression, MAX_SLOTS, OfRole, Quorum, QuorumError};
use super::subject::Subject;

/// How something is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalPolicy {
    /// Who must approve.
    pub quorum: Quorum,
    /// How long an approval holds at most, whatever it says itself.
    pub valid_for: Span,
    /// What an objection does.
    #[serde(default)]
    pub veto: VetoRule,
    /// Further parties who may not approve. The requester, the authors and those in whose name was asked
    /// never may.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<Doer>,
    /// From which age on a directory decides nothing.
    pub directory_max_age: Span,
}

impl ApprovalPolicy {
    /// A quorum whose approvals hold for a day, by a directory that is at most five minutes old; whoever
    /// builds or executes may not approve.
    pub fn new(quorum: Quorum) -> Self {
        Self {
            quorum,
            valid_for: Span::secs(24 * 60 * 60),
            veto: VetoRule::Holds,
            exclude: BTreeSet::from([Doer::Executor, Doer::Builder]),
            directory_max_age: Span::secs(5 * 60),
        }
    }

    /// What a gate of a plan asks for: so many different people, each with one of its roles. That the requester
    /// may approve, where a gate says so, is not taken over: here they never may.
    ///
    /// # Errors
    /// [`QuorumError`] when the gate asks for nobody, or for too many.
    pub fn of_gate(gate: &Approval) -> Result<Self, QuorumError> {
        let one = |role: &RoleId| Expression::OfRole(OfRole { role: role.clone(), n: 1 });
        let quorum = if gate.roles.is_empty() {
            Expression::Anyone(Anyone { n: gate.quorum })
        } else {
            let each = Expression::AnyOf(gate.roles.iter().map(one).collect());
            let n = usize::try_from(gate.quorum).unwrap_or(usize::MAX).min(MAX_SLOTS + 1);
            Expression::AllOf(vec![each; n])
        };
        let policy = Self::new(Quorum::new(quorum)?);
        Ok(Self { valid_for: gate.valid_for.unwrap_or(policy.valid_for), ..policy })
    }
}

/// What an objection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VetoRule {
    /// One holds everything, until it is taken back.
    #[default]
    Holds,
    /// More people must approve than object.
    Majority,
}

/// A party that may be allowed to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doer {
    /// Who carries the change out.
    Executor,
    /// Who built the artifacts.
    Builder,
}

/// What somebody is to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// Who asked for it.
    Requester,
    /// In whose name, or with whose lent right, it was asked for.
    Delegator,
    /// Who wrote it.
    Author,
    /// Who carries it out.
    Executor,
    /// Who built its artifacts.
    Builder,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requester => "requester",
            Self::Delegator => "delegator",
            Self::Author => "author",
            Self::Executor => "executor",
            Self::Builder => "builder",
        })
    }
}

/// Who has to do with a change. Accounts of machines stand for the people in whose name they act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parties {
    /// Who asked for it.
    pub requester: PrincipalId,
    /// When. Whoever had lent the requester a role at any time since then is a party, too.
    pub requested_at: Timestamp,
    /// In whose name it was asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub on_behalf_of: BTreeSet<PrincipalId>,
    /// Who wrote it, from its provenance. Absent when that is not known: then nobody may approve.
    pub authors: Option<BTreeSet<PrincipalId>>,
    /// Who carries it out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub executors: BTreeSet<PrincipalId>,
    /// Who built its artifacts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub builders: BTreeSet<PrincipalId>,
}

impl Parties {
    /// A requester, and authors who are known to be nobody else.
    pub fn new(requester: PrincipalId, requested_at: Timestamp) -> Self {
        let none = BTreeSet::new;
        Self {
            authors: Some(BTreeSet::from([requester.clone()])),
            requester,
            requested_at,
            on_behalf_of: none(),
            executors: none(),
            builders: none(),
        }
    }

    /// Adds an author.
    #[must_use]
    pub fn written_by(mut self, author: PrincipalId) -> Self {
        self.authors.get_or_insert_default().insert(author);
        self
    }

    /// Each account with what it is to the change.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&PrincipalId, Party)> {
        let Self { requester, requested_at: _, on_behalf_of, authors, executors, builders } = self;
        std::iter::once((requester, Party::Requester))
            .chain(on_behalf_of.iter().map(|id| (id, Party::Delegator)))
            .chain(authors.iter().flatten().map(|id| (id, Party::Author)))
            .chain(executors.iter().map(|id| (id, Party::Executor)))
            .chain(builders.iter().map(|id| (id, Party::Builder)))
    }
}

/// What is to be approved, and who has to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// What is to be approved, as it is now.
    pub subject: Subject,
    /// Who has to do with it.
    pub parties: Parties,
    /// Where: a role counts only if it reaches over all of it.
    pub scope: ChangeScope,
}
