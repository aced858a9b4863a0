//! What happened around one gate: approvals, vetoes, withdrawals, admission; and the fold over it.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, PrincipalId, RoleId, Timestamp};
use serde::{Deserialize, Serialize};

use super::subject::Subject;

/// Who said something, when, and about what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The number of the record that it stands in; later ones are greater.
    pub seq: u64,
    /// The account that said it.
    pub by: PrincipalId,
    /// Other accounts that were known to be the same person's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub linked: BTreeSet<PrincipalId>,
    /// The roles that the account could use then, its own and lent ones.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleId>,
    /// When it was said.
    pub at: Timestamp,
    /// The first instant at which it no longer holds.
    pub expires: Timestamp,
    /// What it is about.
    pub bound_to: Subject,
}

/// What an approver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be done.
    Approve,
    /// It must not be done.
    Veto,
}

/// An approval or a veto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who, when, about what.
    pub statement: Statement,
    /// What they say.
    pub verdict: Verdict,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// Something that happened around a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ApprovalFact {
    /// Somebody approved or vetoed.
    Given(Box<Approval>),
    /// Somebody took back what they had said.
    Withdrawn {
        /// The number of the record.
        seq: u64,
        /// The number of what is taken back.
        of: u64,
        /// Who takes it back.
        by: PrincipalId,
        /// When.
        at: Timestamp,
    },
    /// The change went back to its beginning: whatever was said before no longer counts.
    Reset {
        /// The number of the record.
        seq: u64,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// What was approved has begun.
    Admitted {
        /// The number of the record.
        seq: u64,
        /// When.
        at: Timestamp,
        /// The digest of the subject that was admitted.
        subject: Digest,
    },
}

impl ApprovalFact {
    fn place(&self) -> (u64, Timestamp) {
        match self {
            Self::Given(approval) => (approval.statement.seq, approval.statement.at),
            Self::Withdrawn { seq, at, .. }
            | Self::Reset { seq, at, .. }
            | Self::Admitted { seq, at, .. } => (*seq, *at),
        }
    }
}

/// A fact that cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactError {
    /// Its number is not greater than that of the one before.
    #[error(
        "facts/order: record {seq} comes after {last}; give facts in the order of their records"
    )]
    Order {
        /// Its number.
        seq: u64,
        /// The number before.
        last: u64,
    },
    /// It is earlier than the one before.
    #[error("facts/time: record {seq} of {at} is earlier than {last}, the one before")]
    Time {
        /// Its number.
        seq: u64,
        /// Its instant.
        at: Timestamp,
        /// The instant before.
        last: Timestamp,
    },
    /// It ends before it begins.
    #[error("facts/expiry: record {seq} expires at {expires}, not after it was said")]
    Expiry {
        /// Its number.
        seq: u64,
        /// Its end.
        expires: Timestamp,
    },
    /// What is taken back is not there, or was taken back already.
    #[error("facts/withdrawal: there is nothing of record {of} left to take back")]
    NothingToWithdraw {
        /// The number of what is taken back.
        of: u64,
    },
    /// Only who said something takes it back.
    #[error("facts/withdrawal: `{by}` cannot take back what `{said_by}` said in record {of}")]
    NotTheirs {
        /// The number of what is taken back.
        of: u64,
        /// Who tried.
        by: PrincipalId,
        /// Who said it.
        said_by: PrincipalId,
    },
    /// It is too late: what was approved has begun.
    #[error("facts/admitted: it has begun at {at}; stop the run instead")]
    AlreadyAdmitted {
        /// When it began.
        at: Timestamp,
    },
}

/// What was said around a gate so far: the fold over its facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ApprovalFacts {
    said: BTreeMap<u64, Said>,
    last: Option<(u64, Timestamp)>,
    admitted: Option<(Timestamp, Digest)>,
}

/// A statement and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Said {
    pub(crate) approval: Approval,
    pub(crate) ended: Option<(Timestamp, Ended)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Ended {
    Withdrawn,
    Reset,
}

impl ApprovalFacts {
    /// Folds facts in the order of their records.
    ///
    /// # Errors
    /// [`FactError`] of the first that cannot follow those before it.
    pub fn fold(facts: impl IntoIterator<Item = ApprovalFact>) -> Result<Self, FactError> {
        let mut all = Self::default();
        for fact in facts {
            all.apply(fact)?;
        }
        Ok(all)
    }

    /// Adds one fact. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`FactError`] says why it cannot follow those before it.
    pub fn apply(&mut self, fact: ApprovalFact) -> Result<(), FactError> {
        let (seq, at) = fact.place();
        if let Some((last, before)) = self.last {
            if seq <= last {
                return Err(FactError::Order { seq, last });
            }
            if at < before {
                return Err(FactError::Time { seq, at, last: before });
            }
        }
        match fact {
            ApprovalFact::Given(approval) => self.give(*approval)?,
            ApprovalFact::Withdrawn { of, by, at, .. } => self.withdraw(of, by, at)?,
            ApprovalFact::Reset { at, .. } => {
                self.admitted = None;
                for said in self.said.values_mut() {
                    said.ended.get_or_insert((at, Ended::Reset));
                }
            }
            ApprovalFact::Admitted { at, subject, .. } => {
                self.still_open()?;
                self.admitted = Some((at, subject));
            }
        }
        self.last = Some((seq, at));
        Ok(())
    }

    /// When what was approved began, and the digest of its subject.
    pub const fn admitted(&self) -> Option<(Timestamp, Digest)> {
        self.admitted
    }

    /// All approvals and vetoes ever given, in their order.
    pub fn approvals(&self) -> impl Iterator<Item = &Approval> {
        self.said.values().map(|said| &said.approval)
    }

    pub(crate) fn said(&self) -> impl Iterator<Item = &Said> {
        self.said.values()
    }

    fn give(&mut self, approval: Approval) -> Result<(), FactError> {
        self.still_open()?;
        let Statement { seq, at, expires, .. } = approval.statement;
        if expires <= at {
            return Err(FactError::Expiry { seq, expires });
        }
        self.said.insert(seq, Said { approval, ended: None });
        Ok(())
    }

    fn withdraw(&mut self, of: u64, by: PrincipalId, at: Timestamp) -> Result<(), FactError> {
        self.still_open()?;
        let nothing = FactError::NothingToWithdraw { of };
        let said = self.said.get_mut(&of).filter(|said| said.ended.is_none()).ok_or(nothing)?;
        let Statement { by: said_by, linked, .. } = &said.approval.statement;
        if by != *said_by && !linked.contains(&by) {
            return Err(FactError::NotTheirs { of, by, said_by: said_by.clone() });
        }
        said.ended = Some((at, Ended::Withdrawn));
        Ok(())
    }

    fn still_open(&self) -> Result<(), FactError> {
        self.admitted.map_or(Ok(()), |(at, _)| Err(FactError::AlreadyAdmitted { at }))
    }
}
