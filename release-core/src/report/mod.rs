//! What people read: folds over the same events that drive a run.
//!
//! - `fold` turns a verified history into a [`RunReport`].
//! - `html` writes reports as one self-contained page; `graph` and `timeline` draw its pictures, `chains` arranges one.

#[cfg(feature = "html")]
mod chains;
mod fold;
#[cfg(feature = "html")]
mod graph;
#[cfg(feature = "html")]
mod html;
#[cfg(test)]
#[cfg(feature = "html")]
mod picture_tests;
#[cfg(test)]
mod repeat_tests;
#[cfg(feature = "html")]
mod timeline;

pub use fold::{RunReport, StepReport, TimelineEntry};
#[cfg(feature = "html")]
pub use html::html;
