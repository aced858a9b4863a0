//! What can be wrong with records.

use super::JOURNAL_VERSION;
use crate::ids::RunId;
use crate::limits::IllegalEntry;
use crate::model::Digest;
use crate::run::{IllegalTransition, StateDigest};

/// A record that is not what was written. Nothing is repaired, nothing is guessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} of run `{run}` {kind}")]
pub struct Damage {
    /// The run.
    pub run: RunId,
    /// The first record that is wrong; one behind the last when records are missing.
    pub seq: u64,
    /// What is wrong with it.
    pub kind: DamageKind,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// It and the hash of the record before it do not give the hash that was stored with it.
    #[error(
        "was changed: it and the hash of the record before it give {found}, its stored hash is {stored}"
    )]
    Changed {
        /// The stored hash.
        stored: Digest,
        /// The hash that they give.
        found: Digest,
    },
    /// It does not follow the record before.
    #[error(
        "does not follow the record before it: records were removed, inserted or put in another order"
    )]
    Unchained,
    /// It belongs elsewhere.
    #[error("is not at its place: it says it is {found}")]
    Misplaced {
        /// What it says of itself.
        found: String,
    },
    /// It cannot be read.
    #[error("cannot be read: {problem}")]
    Unreadable {
        /// What the decoder said.
        problem: String,
    },
    /// It is of another version.
    #[error(
        "has format version {0}, and this release reads only {JOURNAL_VERSION}; use a newer release"
    )]
    UnsupportedVersion(u16),
    /// There are no records.
    #[error("is missing: the run has no records")]
    Empty,
    /// It cannot follow from what came before.
    #[error("cannot be: {0}")]
    Illegal(#[from] IllegalTransition),
    /// It cannot follow from what came before in the ledger of permits.
    #[error("cannot be: {0}")]
    Entry(IllegalEntry),
    /// It does not lead to the state that its writer was in. What was written is whole: it is folded
    /// otherwise here, and whatever was decided from it would be guessed.
    #[error(
        "leads to the state {found} here, and led its writer to {stored}; use the release that wrote it, and report this"
    )]
    Diverged {
        /// The digest of the state that was stored with it.
        stored: StateDigest,
        /// The digest of the state that it leads to.
        found: StateDigest,
    },
}
