//! What a board keeps of its decision.

use release_core::model::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::decide::{BoardFacts, BoardOutcome};
use crate::approval::Question;

/// What was decided, about what, by whom, and from which votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Minutes {
    /// The meeting.
    pub meeting: String,
    /// When it was held, or its vote ended.
    pub held_at: Timestamp,
    /// What was to be decided.
    pub question: Question,
    /// All that the board knew.
    pub facts: BoardFacts,
    /// What it decided.
    pub outcome: BoardOutcome,
}

/// Minutes as they are stored, and the SHA-256 digest of exactly these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The minutes, as JSON.
    pub text: String,
    /// The digest of the text.
    pub digest: Digest,
}

/// Minutes that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// They cannot be written.
    #[error("minutes/write: the minutes cannot be written")]
    Write(#[source] serde_json::Error),
    /// They are not what was sealed.
    #[error("minutes/digest: the minutes have the digest {found}, not {sealed}; they were changed")]
    Changed {
        /// The digest they were sealed with.
        sealed: Digest,
        /// The digest they have.
        found: Digest,
    },
    /// They are what was sealed, and no minutes.
    #[error("minutes/read: what was sealed cannot be read as minutes")]
    Read(#[source] serde_json::Error),
}

impl Minutes {
    /// Writes them down and seals them.
    ///
    /// # Errors
    /// [`SealError::Write`] when they cannot be written.
    pub fn seal(&self) -> Result<Sealed, SealError> {
        let text = serde_json::to_string(self).map_err(SealError::Write)?;
        let digest = Digest::of(text.as_bytes());
        Ok(Sealed { text, digest })
    }
}

impl Sealed {
    /// Reads them, once it is sure that they are what was sealed.
    ///
    /// # Errors
    /// [`SealError::Changed`] when they are not, [`SealError::Read`] when they cannot be read.
    pub fn open(&self) -> Result<Minutes, SealError> {
        let (sealed, found) = (self.digest, Digest::of(self.text.as_bytes()));
        if sealed != found {
            return Err(SealError::Changed { sealed, found });
        }
        serde_json::from_str(&self.text).map_err(SealError::Read)
    }
}
