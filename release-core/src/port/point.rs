//! What a source tells of a range: points, and what is none.

use serde::{Deserialize, Serialize};

use crate::model::Finite;
use crate::time::Timestamp;

/// The most facts of a range that one answer may have: more is refused, so that a journal stays readable.
pub const MAX_POINTS: usize = 256;

/// One fact of a range: a number at an instant, or what is there instead. NaN and infinities cannot be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Point {
    /// A number.
    Number {
        /// Of when it is.
        at: Timestamp,
        /// The number.
        value: Finite,
        /// Whether it came after something newer.
        #[serde(default, skip_serializing_if = "is_false")]
        late: bool,
    },
    /// NaN or an infinity.
    NotANumber {
        /// Of when it is.
        at: Timestamp,
    },
    /// Two values of one instant, of which nobody knows which is right.
    Conflicting {
        /// Of when they are.
        at: Timestamp,
    },
    /// Nothing was told for more than one and a half steps.
    Gap {
        /// The point before.
        after: Timestamp,
        /// The point after.
        until: Timestamp,
    },
    /// Nothing newer was told for longer than the source calls fresh.
    Stale {
        /// The newest point.
        newest: Timestamp,
    },
}

impl Point {
    /// Of when it is, if it is of one instant.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Number { at, .. } | Self::NotANumber { at } | Self::Conflicting { at } => {
                Some(*at)
            }
            Self::Gap { .. } | Self::Stale { .. } => None,
        }
    }

    /// The number, if it is one.
    pub const fn number(&self) -> Option<Finite> {
        match self {
            Self::Number { value, .. } => Some(*value),
            Self::NotANumber { .. }
            | Self::Conflicting { .. }
            | Self::Gap { .. }
            | Self::Stale { .. } => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
