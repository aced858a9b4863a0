//! What can be wrong with what statistics are asked for.

/// Input that a computation has no answer for, or a computation that found none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// NaN or an infinity among numbers.
    #[error(
        "`{what}` has NaN or an infinity at position {at}; remove it, or say what it stands for"
    )]
    NotFinite {
        /// Which numbers.
        what: &'static str,
        /// Where, from 0.
        at: usize,
    },
    /// Less than is needed.
    #[error("`{what}` has {got} values, and {need} are needed; wait for more")]
    TooFew {
        /// Which numbers.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there have to be.
        need: usize,
    },
    /// A number outside of what it may be.
    #[error("`{what}` is {value}; it has to be {range}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be, in words.
        range: &'static str,
    },
    /// A search ended without a result: the numbers are too extreme for 64 bits.
    #[error("`{what}` was not found within the steps allowed; its parameters are too extreme")]
    NoConvergence {
        /// What was looked for.
        what: &'static str,
    },
}

/// Takes a number that is more than zero and finite.
pub(crate) fn positive(what: &'static str, value: f64) -> Result<f64, StatsError> {
    let good = value > 0.0 && value < f64::INFINITY;
    keep(good, what, value, "more than 0 and finite")
}

/// Takes a number that is not negative and finite.
pub(crate) fn not_negative(what: &'static str, value: f64) -> Result<f64, StatsError> {
    let good = (0.0..f64::INFINITY).contains(&value);
    keep(good, what, value, "0 or more, and finite")
}

/// Takes a number between zero and one, both excluded.
pub(crate) fn fraction(what: &'static str, value: f64) -> Result<f64, StatsError> {
    keep(value > 0.0 && value < 1.0, what, value, "between 0 and 1, both excluded")
}

/// Takes a number that is neither NaN nor infinite.
pub(crate) fn finite(what: &'static str, value: f64) -> Result<f64, StatsError> {
    keep(value.is_finite(), what, value, "finite")
}

/// Takes a number that is `good`.
pub(crate) fn keep(
    good: bool,
    what: &'static str,
    value: f64,
    range: &'static str,
) -> Result<f64, StatsError> {
    if good { Ok(value) } else { Err(StatsError::OutOfRange { what, value, range }) }
}
