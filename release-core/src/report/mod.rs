//! What people read: folds over the same events that drive a run.
//!
//! - `fold` turns a verified history into a [`RunReport`].
//! - `html` writes reports as one self-contained page; `graph`, `timeline` and `plot` draw its pictures, `chains` arranges one.
//! - `routed` says how a run left the traffic.
//! - `looks` gathers what judges that compare versions saw.

#[cfg(feature = "html")]
mod chains;
mod fold;
#[cfg(feature = "html")]
mod graph;
#[cfg(feature = "html")]
mod html;
mod looks;
#[cfg(test)]
#[cfg(feature = "html")]
mod picture_tests;
#[cfg(feature = "html")]
mod plot;
#[cfg(test)]
mod repeat_tests;
mod routed;
#[cfg(feature = "html")]
mod timeline;

pub use fold::{RunReport, StepReport, TimelineEntry};
#[cfg(feature = "html")]
pub use html::html;
pub use looks::{Compared, Look};
pub use routed::Routed;
