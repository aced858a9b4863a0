//! What must hold whatever goes wrong. Computed from what the world and the store saw, never from what
//! the engine says of itself.

mod records;

use std::fmt;
use std::sync::Arc;

use super::course::Course;

type Check = dyn Fn(&Course) -> Vec<String> + Send + Sync;

/// Something that must hold of every course of things.
#[derive(Clone)]
pub struct Invariant {
    id: &'static str,
    promise: &'static str,
    check: Arc<Check>,
}

impl fmt::Debug for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invariant({}: {})", self.id, self.promise)
    }
}

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub id: &'static str,
    /// What it says.
    pub promise: &'static str,
    /// What happened instead.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.id, self.promise, self.detail)
    }
}

impl Invariant {
    /// An invariant: its name, what it promises, and a check that says what happened instead, once for
    /// each time.
    pub fn new(
        id: &'static str,
        promise: &'static str,
        check: impl Fn(&Course) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self { id, promise, check: Arc::new(check) }
    }

    /// Its name, such as `I2`.
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// What it promises.
    pub const fn promise(&self) -> &'static str {
        self.promise
    }

    /// Each way in which it did not hold.
    pub fn check(&self, course: &Course) -> Vec<Violation> {
        let (id, promise) = (self.id, self.promise);
        let details = (self.check)(course).into_iter();
        details.map(|detail| Violation { id, promise, detail }).collect()
    }
}

/// All invariants.
pub fn all() -> Vec<Invariant> {
    vec![
        Invariant::new("I2", "every effect has exactly one prior durable intent", records::intents),
        Invariant::new("I13", "decision time never goes back in a run", records::time),
        Invariant::new("I14", "a stale epoch writes nothing", records::epochs),
        Invariant::new("I19", "when faults stop, every run ends", records::ends),
    ]
}
