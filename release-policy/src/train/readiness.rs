//! What a release still lacks, whose it is, and how much time there is.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use release_core::model::{
    Digest, ItemId, ObjectiveId, PrincipalId, SignOffId, Span, TeamId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::scope::{Changed, Coverage, Digested, ReleaseScope};
use super::sign_off::{Requirement, SignOffs, Statement, latest};

/// What a release lacks at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// When it was asked.
    pub at: Timestamp,
    /// What identifies the scope that it is of.
    pub scope: Digest,
    /// What is missing, what is due first before what is due later.
    pub missing: Vec<Missing>,
}

impl Readiness {
    /// Whether nothing is missing.
    pub const fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }
}

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What.
    pub what: Lack,
    /// Whose it is.
    pub owner: TeamId,
    /// How much time there is; none where it has no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Slack>,
}

/// Time until a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slack {
    /// There is so much left.
    Left(Span),
    /// It has been due for so long.
    Overdue(Span),
}

impl Slack {
    /// From `at` until `due`.
    pub fn until(due: Timestamp, at: Timestamp) -> Self {
        if due >= at { Self::Left(due.since(at)) } else { Self::Overdue(at.since(due)) }
    }
}

impl fmt::Display for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left(span) => write!(f, "{span} left"),
            Self::Overdue(span) => write!(f, "{span} overdue"),
        }
    }
}

/// What may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lack {
    /// Nobody signed.
    Unsigned {
        /// Which sign-off.
        id: SignOffId,
    },
    /// Somebody signed what is no more.
    Voided {
        /// Which sign-off.
        id: SignOffId,
        /// Who had signed.
        by: PrincipalId,
        /// When.
        at: Timestamp,
        /// What changed since.
        changes: Vec<Changed>,
    },
    /// Somebody took the sign-off back.
    Withdrawn {
        /// Which sign-off.
        id: SignOffId,
        /// Who took it back.
        by: PrincipalId,
        /// When.
        at: Timestamp,
    },
    /// A sign-off is of nothing: no item of the scope is in what it covers, so that nobody can give it. Add what it is of, cover
    /// something else, or leave it out.
    CoversNothing {
        /// Which sign-off.
        id: SignOffId,
    },
    /// An item is not complete.
    Incomplete {
        /// Which.
        item: ItemId,
    },
    /// No item serves an objective.
    Unserved {
        /// Which.
        objective: ObjectiveId,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Lack::Unsigned { id } => write!(f, "sign-off `{id}` was not given")?,
            Lack::Voided { id, by, at, changes } => {
                write!(f, "sign-off `{id}`, given by {by} at {at}, is void")?;
                for (nth, change) in changes.iter().enumerate() {
                    write!(f, "{}{change}", if nth == 0 { ": " } else { ", " })?;
                }
            }
            Lack::Withdrawn { id, by, at } => {
                write!(f, "sign-off `{id}` was taken back by {by} at {at}")?;
            }
            Lack::CoversNothing { id } => write!(
                f,
                "sign-off `{id}` covers no item of the scope, and nobody can give it; add what it is of, or leave it out"
            )?,
            Lack::Incomplete { item } => write!(f, "item `{item}` is not complete")?,
            Lack::Unserved { objective } => write!(f, "no item serves objective `{objective}`")?,
        }
        write!(f, " ({}", self.owner)?;
        if let Some(slack) = self.slack {
            write!(f, ", {slack}")?;
        }
        f.write_str(")")
    }
}

impl SignOffs {
    /// What is missing at an instant, of what was said until then: sign-offs that hold for the scope as it is, items that are
    /// not `complete`, and objectives that nothing serves. A sign-off of nothing is missing as well, whatever was said of it: it would
    /// hold for any scope.
    pub fn readiness(
        &self,
        scope: &ReleaseScope,
        said: &[Statement],
        complete: &BTreeSet<ItemId>,
        at: Timestamp,
    ) -> Readiness {
        let now = scope.digested();
        let mut lacks = self.lacks(&now, said, at);
        let signed = self.required().filter_map(|required| {
            let what = lacks.remove(&required.id)?;
            Some((Some(required.due), what, required.owner.clone()))
        });
        let incomplete = scope.items().filter(|item| !complete.contains(&item.id));
        let incomplete = incomplete
            .map(|item| (item.due, Lack::Incomplete { item: item.id.clone() }, item.owner.clone()));
        let served: BTreeSet<_> = scope.items().flat_map(|item| &item.objectives).collect();
        let unserved = scope.objectives().filter(|objective| !served.contains(&objective.id));
        let unserved = unserved.map(|objective| {
            (None, Lack::Unserved { objective: objective.id.clone() }, objective.owner.clone())
        });
        let mut missing: Vec<_> = signed.chain(incomplete).chain(unserved).collect();
        // What has no deadline comes last; what is due at once stays in the order of names.
        missing.sort_by_key(|(due, ..)| (due.is_none(), *due));
        let missing = missing.into_iter().map(|(due, what, owner)| Missing {
            what,
            owner,
            slack: due.map(|due| Slack::until(due, at)),
        });
        Readiness { at, scope: now.digest(), missing: missing.collect() }
    }

    /// What each sign-off lacks that does not hold. What several cover in the same words is found once for all of them.
    fn lacks<'a>(
        &'a self,
        now: &Digested<'_>,
        said: &[Statement],
        at: Timestamp,
    ) -> BTreeMap<&'a SignOffId, Lack> {
        let mut same: BTreeMap<&Coverage, Vec<&Requirement>> = BTreeMap::new();
        for required in self.required() {
            same.entry(&required.covers).or_default().push(required);
        }
        let mut lacks = BTreeMap::new();
        for (coverage, all) in same {
            let covered = LazyCell::new(|| now.covered(coverage));
            let of_nothing = LazyCell::new(|| now.has_none_of(coverage));
            for required in all {
                let id = required.id.clone();
                let what = match latest(said, &required.id, at) {
                    None | Some(Statement::Withdrawn { .. }) if *of_nothing => {
                        Lack::CoversNothing { id }
                    }
                    None => Lack::Unsigned { id },
                    Some(Statement::Withdrawn { by, at, .. }) => {
                        Lack::Withdrawn { id, by: by.clone(), at: *at }
                    }
                    Some(Statement::Signed(signed)) => {
                        let changes = signed.covers.changes(&covered);
                        match (changes.is_empty(), signed.covers.is_empty()) {
                            (true, true) => Lack::CoversNothing { id },
                            (true, false) => continue,
                            (false, _) => {
                                let (by, at) = (signed.by.clone(), signed.at);
                                Lack::Voided { id, by, at, changes }
                            }
                        }
                    }
                };
                lacks.insert(&required.id, what);
            }
        }
        lacks
    }
}
