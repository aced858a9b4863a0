//! Numbers that can be compared, whatever comes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number that is neither NaN nor infinite, so that comparing it always has an answer.
#[derive(Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Finite(f64);

/// NaN or an infinity where a number was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("NaN and infinities are not measurements; give a finite number")]
pub struct FiniteError;

impl Finite {
    /// Zero.
    pub const ZERO: Self = Self(0.0);

    /// Takes `value` if it is finite.
    ///
    /// # Errors
    /// [`FiniteError`] for NaN and infinities.
    pub fn new(value: f64) -> Result<Self, FiniteError> {
        if value.is_finite() { Ok(Self(value + 0.0)) } else { Err(FiniteError) }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

// Sound because NaN cannot be inside and `new` maps -0.0 to 0.0.
impl Eq for Finite {}

impl fmt::Debug for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Finite {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Finite".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_numbers_get_in() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Finite::new(bad), Err(FiniteError));
        }
        assert_eq!(Finite::new(-0.0), Ok(Finite::ZERO));
    }
}
