//! What a gate says: four verdicts, and passes that end.

use release_core::model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::approval::{Part, Subject};

/// What a gate says. Exhaustive on purpose: a forgotten case would be a hole.
///
/// Of several gates the worst counts: fail, then inconclusive, then pending, then pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[must_use = "a verdict that nobody reads holds nothing"]
pub enum Verdict {
    /// It holds, for what and until when the lease says.
    Pass {
        /// For what and how long.
        lease: Lease,
    },
    /// It does not hold, and waiting does not help.
    Fail,
    /// It does not hold yet.
    Pending {
        /// The first instant at which time alone can change that; `None` when only an input can.
        recheck_at: Option<Timestamp>,
    },
    /// It cannot be told. Never a pass.
    Inconclusive,
}

/// How long a pass holds, and for what: it is no latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The first instant at which it no longer holds.
    pub valid_until: Timestamp,
    /// What it holds for, and nothing else.
    pub bound_to: Subject,
}

/// Why a lease does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LeaseOver {
    /// Its time is over.
    #[error("the pass ended at {at}; evaluate the gate again")]
    Expired {
        /// When it ended.
        at: Timestamp,
    },
    /// What it was for has changed.
    #[error("the pass is for another {}; evaluate the gate again", names(changed))]
    Changed {
        /// What changed; never empty.
        changed: Vec<Part>,
    },
}

fn names(parts: &[Part]) -> String {
    parts.iter().map(Part::to_string).collect::<Vec<_>>().join(", ")
}

impl Lease {
    /// Whether it holds for `subject` at `now`.
    ///
    /// # Errors
    /// [`LeaseOver`] says why it does not.
    pub fn check(&self, subject: &Subject, now: Timestamp) -> Result<(), LeaseOver> {
        let changed: Vec<_> = self.bound_to.changed(subject).collect();
        if !changed.is_empty() {
            return Err(LeaseOver::Changed { changed });
        }
        if now >= self.valid_until {
            return Err(LeaseOver::Expired { at: self.valid_until });
        }
        Ok(())
    }
}

impl Verdict {
    /// A pass for `subject` until just before `valid_until`.
    pub const fn pass(subject: &Subject, valid_until: Timestamp) -> Self {
        Self::Pass { lease: Lease { valid_until, bound_to: *subject } }
    }

    /// The lease of a pass.
    pub const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Pass { lease } => Some(lease),
            Self::Fail | Self::Pending { .. } | Self::Inconclusive => None,
        }
    }

    /// Whether it is a pass.
    pub const fn is_pass(&self) -> bool {
        self.lease().is_some()
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Fail => 0,
            Self::Inconclusive => 1,
            Self::Pending { .. } => 2,
            Self::Pass { .. } => 3,
        }
    }

    /// Both must hold: the worse of the two. A pass of both ends with the first of them, and passes for
    /// different things are none together.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pass { lease: one }, Self::Pass { lease: two }) => {
                if one.bound_to == two.bound_to {
                    let valid_until = one.valid_until.min(two.valid_until);
                    Self::Pass { lease: Lease { valid_until, ..one } }
                } else {
                    Self::Inconclusive
                }
            }
            (Self::Pending { recheck_at: one }, Self::Pending { recheck_at: two }) => {
                Self::Pending { recheck_at: earliest(one, two) }
            }
            (one, two) if one.rank() <= two.rank() => one,
            (_, two) => two,
        }
    }

    /// One of the two is enough: the better of the two. Of two passes the longer counts.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pass { lease: one }, Self::Pass { lease: two }) => {
                let lease = if one.valid_until >= two.valid_until { one } else { two };
                Self::Pass { lease }
            }
            (Self::Pending { recheck_at: one }, Self::Pending { recheck_at: two }) => {
                Self::Pending { recheck_at: earliest(one, two) }
            }
            (one, two) if one.rank() >= two.rank() => one,
            (_, two) => two,
        }
    }
}

fn earliest(one: Option<Timestamp>, two: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(two).min()
}
