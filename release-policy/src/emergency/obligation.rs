//! What is owed after something was done without the usual consent.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ChangeScope, PrincipalId, RoleId, Span, Timestamp};
use release_core::port::{Decision, Reason};
use serde::{Deserialize, Serialize};

use super::break_glass::Word;
use crate::change::ChangeType;
use crate::directory::{Directory, DirectoryFault, DirectoryState, People};

/// What is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// An emergency change is to be looked at afterwards.
    EmergencyReviewed,
    /// A broken glass is to be looked at.
    BreakGlassReviewed,
}

/// Something that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obligation {
    /// The number of the record.
    pub seq: u64,
    /// What is owed.
    pub duty: Duty,
    /// Where; releases there are blocked while it is overdue.
    pub scope: ChangeScope,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// From when on it is overdue.
    pub due: Timestamp,
    /// Who had to do with it, and so cannot review it.
    pub involved: BTreeSet<PrincipalId>,
    /// The role that a reviewer must have.
    pub reviewer: RoleId,
}

/// Somebody looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Who, and when.
    pub word: Word,
    /// The number of the obligation.
    pub of: u64,
    /// What they found.
    pub finding: String,
}

/// Something that happened to what is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObligationFact {
    /// It is owed from now on.
    Opened(Obligation),
    /// Somebody looked at it.
    Reviewed(Review),
}

/// A fact that cannot follow those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObligationError {
    /// Its number is that of another, or smaller.
    #[error("obligation/order: record {seq} comes after {last}; give facts in their order")]
    Order {
        /// Its number.
        seq: u64,
        /// The number before.
        last: u64,
    },
    /// It is overdue before it is opened.
    #[error("obligation/due: what record {seq} owes is due at {due}, not after it was opened")]
    Due {
        /// Its number.
        seq: u64,
        /// When it is due.
        due: Timestamp,
    },
    /// Nobody would be responsible, so that they could review it themselves.
    #[error("obligation/involved: record {seq} names nobody who had to do with it")]
    NobodyInvolved {
        /// Its number.
        seq: u64,
    },
    /// What is reviewed is not there.
    #[error("obligation/review: there is no obligation {of}")]
    Unknown {
        /// The number of the obligation.
        of: u64,
    },
    /// A review without a finding is none.
    #[error("obligation/review: record {seq} says nothing; write what was found")]
    NoFinding {
        /// Its number.
        seq: u64,
    },
}

/// What is owed so far: the fold over its facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Obligations {
    all: BTreeMap<u64, (Obligation, Vec<Review>)>,
    last: Option<u64>,
}

impl Obligations {
    /// Folds facts in the order of their records.
    ///
    /// # Errors
    /// [`ObligationError`] of the first that cannot follow those before it.
    pub fn fold(facts: impl IntoIterator<Item = ObligationFact>) -> Result<Self, ObligationError> {
        let mut all = Self::default();
        for fact in facts {
            all.apply(fact)?;
        }
        Ok(all)
    }

    /// Adds one fact. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`ObligationError`] says why it cannot follow those before it.
    pub fn apply(&mut self, fact: ObligationFact) -> Result<(), ObligationError> {
        let seq = match &fact {
            ObligationFact::Opened(obligation) => obligation.seq,
            ObligationFact::Reviewed(review) => review.word.seq,
        };
        if let Some(last) = self.last.filter(|last| seq <= *last) {
            return Err(ObligationError::Order { seq, last });
        }
        match fact {
            ObligationFact::Opened(obligation) => {
                let Obligation { due, opened_at, .. } = obligation;
                if due <= opened_at {
                    return Err(ObligationError::Due { seq, due });
                }
                if obligation.involved.is_empty() {
                    return Err(ObligationError::NobodyInvolved { seq });
                }
                self.all.insert(seq, (obligation, Vec::new()));
            }
            ObligationFact::Reviewed(review) => {
                let of = review.of;
                let (_, reviews) = self.all.get_mut(&of).ok_or(ObligationError::Unknown { of })?;
                if review.finding.trim().is_empty() {
                    return Err(ObligationError::NoFinding { seq });
                }
                reviews.push(review);
            }
        }
        self.last = Some(seq);
        Ok(())
    }
}

/// Why a review does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reviewless {
    /// Who made it had to do with it.
    Involved,
    /// Who made it did not have the role.
    NoRole,
    /// A machine made it, or somebody whom the directory does not know.
    Nobody,
    /// It is earlier than what it is about, or yet to come.
    Time,
}

/// Something that is overdue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overdue {
    /// What is owed.
    pub obligation: Obligation,
    /// Reviews that do not count, by record.
    pub not_counted: Vec<(u64, Reviewless)>,
}

/// Whether a change is blocked by what is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[must_use = "a block that nobody reads blocks nothing"]
pub enum Blocked {
    /// It is not.
    Free {
        /// When the next obligation of this scope gets overdue, unless somebody reviews it.
        until: Option<Timestamp>,
    },
    /// By these.
    Overdue {
        /// What is overdue, by record.
        all: Vec<Overdue>,
    },
    /// It cannot be told who reviewed what.
    Denied {
        /// Why not.
        fault: DirectoryFault,
    },
}

impl Blocked {
    /// As a decision of a policy.
    pub fn decision(&self) -> Decision {
        let reason = |overdue: &Overdue| {
            let Obligation { seq, duty, due, reviewer, .. } = &overdue.obligation;
            let what = match duty {
                Duty::EmergencyReviewed => "an emergency change",
                Duty::BreakGlassReviewed => "a broken glass",
            };
            let text = format!("the review of {what} (record {seq}) is overdue since {due}");
            let lifted_by = format!("a review by somebody who is {reviewer} and was not involved");
            Reason::new("obligation/overdue", text, lifted_by)
        };
        match self {
            Self::Free { .. } => Decision::permit(),
            Self::Overdue { all } => Decision::deny(all.iter().map(reason).collect()),
            Self::Denied { fault } => {
                let lifted_by = "whoever runs the directory";
                let reason = Reason::new("obligation/directory", fault.to_string(), lifted_by);
                Decision::deny(vec![reason])
            }
        }
    }
}

/// Whether what is owed blocks a change. Only standard and normal changes are ever blocked; do not ask it about
/// a rollback.
pub fn blocked(
    obligations: &Obligations,
    kind: ChangeType,
    scope: &ChangeScope,
    directory: DirectoryState<'_>,
    directory_max_age: Span,
    now: Timestamp,
) -> Blocked {
    let ours: Vec<_> = obligations
        .all
        .values()
        .filter(|(owed, _)| owed.opened_at <= now && owed.scope.touches(scope))
        .collect();
    if matches!(kind, ChangeType::Emergency) || ours.is_empty() {
        return Blocked::Free { until: None };
    }
    let directory = match directory.fresh(now, directory_max_age) {
        Ok(directory) => directory,
        Err(fault) => return Blocked::Denied { fault },
    };
    let reviews = ours.iter().flat_map(|(_, reviews)| reviews);
    let people = People::new(directory, reviews.flat_map(|review| review.word.links()));
    let (mut overdue, mut until) = (Vec::new(), None::<Timestamp>);
    for (owed, reviews) in ours {
        let involved = behind(directory, &people, owed);
        let why_not = |review: &Review| {
            let Word { by, roles, at, .. } = &review.word;
            let human = people.human(by);
            if *at < owed.opened_at || *at > now {
                Some(Reviewless::Time)
            } else if !directory.is_person(by) {
                Some(Reviewless::Nobody)
            } else if involved.contains(human) {
                Some(Reviewless::Involved)
            } else if !roles.contains(&owed.reviewer)
                || !had_right(directory, &people, review, owed, &involved)
            {
                Some(Reviewless::NoRole)
            } else {
                None
            }
        };
        let judged: Vec<_> = reviews.iter().map(|review| (review, why_not(review))).collect();
        if judged.iter().any(|(_, why)| why.is_none()) {
            continue;
        }
        if owed.due <= now {
            let not_counted =
                judged.iter().filter_map(|(review, why)| Some((review.word.seq, (*why)?)));
            let not_counted = not_counted.collect();
            overdue.push(Overdue { obligation: owed.clone(), not_counted });
        } else {
            until = Some(until.map_or(owed.due, |until| until.min(owed.due)));
        }
    }
    if overdue.is_empty() { Blocked::Free { until } } else { Blocked::Overdue { all: overdue } }
}

/// The people who had to do with it, also those in whose name a machine did.
fn behind<'a>(
    directory: &'a Directory,
    people: &People<'a>,
    owed: &'a Obligation,
) -> BTreeSet<&'a PrincipalId> {
    let acts_for = |id: &PrincipalId| {
        directory.identity(id).into_iter().flat_map(|identity| &identity.acts_for)
    };
    let all = owed.involved.iter().flat_map(|id| std::iter::once(id).chain(acts_for(id)));
    all.map(|id| people.human(id)).collect()
}

/// Whether a reviewer had their role there when they spoke: their own, or lent by somebody who had nothing to do
/// with it. That they left since takes nothing back.
fn had_right<'a>(
    directory: &'a Directory,
    people: &People<'a>,
    review: &'a Review,
    owed: &'a Obligation,
    involved: &BTreeSet<&PrincipalId>,
) -> bool {
    let Word { by, at, .. } = &review.word;
    let own = directory
        .identity(by)
        .is_some_and(|who| who.holds(&owed.scope, *at).any(|grant| grant.role == owed.reviewer));
    let mut lent = directory.lent_roles(by, &owed.scope, *at);
    own || lent.any(|(role, from)| *role == owed.reviewer && !involved.contains(people.human(from)))
}

impl Obligation {
    /// What is owed for an emergency change that began at `at`, under record `seq`: a look of somebody who is
    /// `reviewer` and had nothing to do with it, within `within`.
    pub fn for_emergency(
        seq: u64,
        scope: ChangeScope,
        at: Timestamp,
        within: Span,
        involved: BTreeSet<PrincipalId>,
        reviewer: RoleId,
    ) -> Self {
        let due = at.plus(within);
        Self { seq, duty: Duty::EmergencyReviewed, scope, opened_at: at, due, involved, reviewer }
    }
}
