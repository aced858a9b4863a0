//! What people read: folds over the same events that drive a run.
//!
//! - `fold` turns a verified history into a [`RunReport`].
//! - `html` writes reports as one self-contained page; `graph` and `timeline` draw its pictures, `chains` arranges one.

mod chains;
mod fold;
mod graph;
mod html;
#[cfg(test)]
mod picture_tests;
#[cfg(test)]
mod repeat_tests;
mod timeline;

pub use fold::{RunReport, StepReport, TimelineEntry};
pub use html::html;
