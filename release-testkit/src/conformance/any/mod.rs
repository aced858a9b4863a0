//! What every provider promises, whatever its trait: one set of cases for all suites that say what there is to do.
//!
//! A suite tells of its trait: *deeds* (operations that act, each with a way to see what came of it), *looks*
//! (operations that do not), and *refusals* (requests that must be refused, and as what). The cases here put all of them
//! to the test; what a trait promises alone, its suite adds.

mod acting;
mod cases;
mod refusing;
mod sandbox;
mod suite;

pub(crate) use cases::{acting, looking, sending, telling};
pub use sandbox::ProviderSandbox;
pub(crate) use sandbox::{at_once, keyed, one_wins, outcome, text};
pub(crate) use suite::suite;
