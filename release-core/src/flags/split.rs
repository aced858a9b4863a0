//! Divides users among the variants of a flag.

use serde::{Deserialize, Serialize};

use super::{FlagKey, Fractional, Variant};

/// The most that the weights of a split may add up to: flagd's limit, the greatest signed number of 32 bits.
pub const MAX_WEIGHT_SUM: u32 = i32::MAX.unsigned_abs();

/// Divides users among variants by weight. Weights add up to anything from 1 to [`MAX_WEIGHT_SUM`], so that they can be
/// percentages or finer; a variant of weight 0 is given to nobody.
///
/// This is all of targeting that is here: rules about attributes of users stay where flags are kept, and are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(Variant, u32)>", into = "Vec<(Variant, u32)>")]
pub struct Split {
    weights: Vec<(Variant, u32)>,
    sum: u32,
}

/// A split that divides nothing, or too finely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// No variant has a weight.
    #[error("no variant has a weight above 0; give one to at least one variant")]
    Nobody,
    /// The weights add up to too much.
    #[error("the weights add up to {sum}, and {MAX_WEIGHT_SUM} is the most; make them smaller")]
    TooMuch {
        /// What they add up to.
        sum: u64,
    },
}

impl Split {
    /// Divides by these weights, in this order: by it a variant keeps its users when its weight grows at the cost of
    /// those behind it.
    ///
    /// # Errors
    /// [`SplitError`], when nobody would get anything, or the weights add up to too much.
    pub fn new(weights: Vec<(Variant, u32)>) -> Result<Self, SplitError> {
        let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        match u32::try_from(sum) {
            Ok(0) => Err(SplitError::Nobody),
            Ok(sum) if sum <= MAX_WEIGHT_SUM => Ok(Self { weights, sum }),
            _ => Err(SplitError::TooMuch { sum }),
        }
    }

    /// All users get `variant`.
    pub(super) fn all(variant: Variant) -> Self {
        Self { weights: vec![(variant, 1)], sum: 1 }
    }

    /// `percent` of a hundred users get `on`, the others `off`.
    pub(super) fn percent(percent: u8, on: Variant, off: Variant) -> Self {
        let percent = u32::from(percent.min(100));
        Self { weights: vec![(on, percent), (off, 100 - percent)], sum: 100 }
    }

    /// The variants with their weights, in order.
    pub fn weights(&self) -> &[(Variant, u32)] {
        &self.weights
    }

    /// What the weights add up to.
    pub const fn sum(&self) -> u32 {
        self.sum
    }

    /// The variant that whoever has this targeting key gets.
    ///
    /// # Panics
    /// Never: a bucket is less than the sum of the weights.
    pub fn assign(&self, revision: Fractional, flag: &FlagKey, targeting_key: &str) -> &Variant {
        let mut left = revision.bucket(flag, targeting_key, self.sum);
        for (variant, weight) in &self.weights {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return variant,
            }
        }
        // INVARIANT: a bucket is less than the sum of the weights, and so was found.
        #[expect(clippy::expect_used, reason = "INVARIANT: a split without weights cannot be made")]
        let (last, _) = self.weights.last().expect("a weight");
        last
    }
}

impl TryFrom<Vec<(Variant, u32)>> for Split {
    type Error = SplitError;
    fn try_from(weights: Vec<(Variant, u32)>) -> Result<Self, SplitError> {
        Self::new(weights)
    }
}

impl From<Split> for Vec<(Variant, u32)> {
    fn from(split: Split) -> Self {
        split.weights
    }
}
