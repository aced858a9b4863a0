//! Numerics for judging releases: tests, estimates, e-processes, boundaries. Pure: no clock, no input or
//! output, and no randomness.
//!
//! | module | holds |
//! |---|---|
//! | [`special`] | distribution functions and their logarithms |
//! | [`rank`] | Mann-Whitney's test of two samples |
//! | [`shift`] | by how much one sample lies above another: Hodges and Lehmann's estimate and interval |
//! | [`counts`] | the e-process of two counts, and the confidence sequence of their ratio |
//! | [`means`] | confidence sequences and e-processes of means |
//! | [`boundaries`] | boundaries that a random walk crosses with probability alpha at any time |
//! | [`quantiles`] | confidence sequences of quantiles and of whole distributions |
//! | [`spending`] | boundaries for looks that are scheduled |
//! | [`cusum`] | cumulative sums that find a change, and how long they run |
//! | [`burn`] | how fast an error budget burns |
//! | [`combine`] | e-values of several metrics together |
//!
//! An *e-value* is a number of zero or more whose mean is at most one while nothing is wrong: by Ville's
//! inequality an *e-process* (one for each time) ever reaches `1/alpha` with probability `alpha` at most,
//! however often somebody looks. E-values are given as natural logarithms, which do not overflow.

#![expect(
    clippy::many_single_char_names,
    reason = "formulas keep the names that their sources give them"
)]

pub mod boundaries;
pub mod burn;
pub mod combine;
pub mod counts;
pub mod cusum;
mod error;
pub mod means;
mod quadrature;
pub mod quantiles;
pub mod rank;
pub(crate) mod root;
pub mod shift;
pub mod special;
pub mod spending;

pub use error::StatsError;

/// A count as a number; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no slice has 2^53 elements")]
pub(crate) const fn real(count: usize) -> f64 {
    count as f64
}
