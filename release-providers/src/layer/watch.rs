//! Tells of calls, for metrics.

use std::fmt;
use std::time::Duration;

use crate::ErrorKind;
use crate::capability::Operation;

/// Is told of every call, once it is over. A call that is dropped is not told of.
pub trait CallObserver: fmt::Debug + Send + Sync + 'static {
    /// A call is over. Called on the caller's task: it must not block.
    fn observed(&self, call: &CallRecord<'_>);
}

/// A call that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRecord<'a> {
    /// The provider, as it describes itself.
    pub provider: &'a str,
    /// What was asked.
    pub operation: Operation,
    /// How many attempts were made; 0 if it was refused before, or answered from a tape.
    pub attempts: u32,
    /// How long it took on the layers' clock, with all pauses.
    pub took: Duration,
    /// What it failed with, if it did.
    pub failed: Option<ErrorKind>,
}
