//! What must hold whatever goes wrong. Computed from what the world and the store saw, never from what
//! the engine says of itself.

mod admission;
mod fakes;
mod ledger;
mod outcomes;
pub(crate) mod permits;
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

/// All invariants, from I1 to I21.
///
/// What they check is what exists. I3 holds for each run alone: runs that share a target are kept apart
/// by whoever starts them. I4 knows the plan's limit of effects under way,
/// and the limits and quotas that the runs share. I8 knows principals by their
/// ids. I11 and I12 know the edges of the plan. I16 seeds the providers with a credential and looks for it
/// in all records and in the trace.
pub fn all() -> Vec<Invariant> {
    use {admission as a, fakes as f, outcomes as o, records as r};
    let new = |id, promise, check: fn(&Course) -> Vec<String>| Invariant::new(id, promise, check);
    vec![
        new("I1", "nothing starts inside a freeze", a::freezes),
        new("I2", "every effect has exactly one prior durable intent", r::intents),
        new("I3", "one version at a time, and nothing goes back unseen", a::known_before_back),
        new("I4", "no more effects are under way than may be", a::room),
        new("I5", "records and what happened agree one to one", r::audit),
        new("I6", "what was once recorded stays so", r::prefix),
        new("I7", "a run ends as it says, and no rollback silently", o::honest_ends),
        new("I8", "approvals are of enough different people who may", a::approvals),
        new("I9", "nothing blocks a rollback", a::rollbacks_go_on),
        new("I10", "what is deployed is what was verified and asked for", o::digests),
        new("I11", "nothing goes before what it waits for", a::order),
        new("I12", "nobody passes a sync point before all are there", a::syncs),
        new("I13", "decision time never goes back in a run", r::time),
        new("I14", "a stale epoch writes nothing", r::epochs),
        new("I15", "no data is never a pass", o::no_data),
        new("I16", "no credential is ever written", r::canary),
        new("I17", "attempts and takeovers are bounded", o::bounded_attempts),
        new("I18", "whoever waits is woken by something", o::wakes),
        new("I19", "when faults stop, every run ends", r::ends),
        new("I20", "a policy that is tightened holds at once", a::tightened),
        new("I21", "what fakes hold is what the records say", f::agree),
    ]
}
