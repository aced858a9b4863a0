//! How a flag is to stand, and how it was seen to stand.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FlagKey, Split, Variant};
use crate::ids::EnvironmentId;

/// For whom a feature is on. Exhaustive on purpose: a store that does not know one of them would set another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FlagState {
    /// For nobody.
    #[default]
    Off,
    /// For everybody.
    On,
    /// For a share of users.
    Share {
        /// How many of a hundred.
        percent: u8,
    },
}

/// A share of more than all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a share of {percent} % is more than all; 100 is the most")]
pub struct ShareError {
    /// What was asked for, of a hundred.
    pub percent: u8,
}

impl FlagState {
    /// On for `percent` of a hundred: off for 0, on for 100.
    ///
    /// # Errors
    /// [`ShareError`] above 100.
    pub const fn share(percent: u8) -> Result<Self, ShareError> {
        match percent {
            0 => Ok(Self::Off),
            1..100 => Ok(Self::Share { percent }),
            100 => Ok(Self::On),
            _ => Err(ShareError { percent }),
        }
    }

    /// For how many of a hundred it is on.
    pub const fn percent(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::On => 100,
            Self::Share { percent } => percent,
        }
    }

    /// Whom it gives which of two variants. A share of more than all is all.
    pub fn split(self, on: &Variant, off: &Variant) -> Split {
        match self {
            Self::Off => Split::all(off.clone()),
            Self::On => Split::all(on.clone()),
            Self::Share { percent } => Split::percent(percent, on.clone(), off.clone()),
        }
    }
}

impl fmt::Display for FlagState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On => f.write_str("on"),
            Self::Share { percent } => write!(f, "on for {percent}%"),
        }
    }
}

/// A flag as it was seen to stand: what a step that reads or sets one has as its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagReading {
    /// Where.
    pub environment: EnvironmentId,
    /// Which.
    pub flag: FlagKey,
    /// For whom it was on.
    pub state: FlagState,
    /// The store's count of its changes.
    pub revision: u64,
    /// Who killed it and why, while it is killed: nothing but a person's word turns it on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<String>,
}

impl fmt::Display for FlagReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} in {}", self.flag, self.state, self.environment)?;
        self.killed.as_ref().map_or(Ok(()), |why| write!(f, ", killed by {why}"))
    }
}
