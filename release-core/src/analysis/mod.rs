//! Judging a canary: is it worse than what runs beside it?
//!
//! - [`netflix`] is the judge that Kayenta made common, quirks included, and the same one mended.

pub mod netflix;
