//! What is done without the usual consent, and what is owed for it.
//!
//! An emergency change asks fewer people first; breaking the glass lifts named rules for one use and a short
//! time. Both open an obligation: somebody else must look at it, and while that is overdue, nothing else
//! is released in that scope. Neither is blocked by what is owed, and there is no word for lifting audit,
//! identity or the verification of artifacts.
// How it is fed: the host journals `GlassFact`s and `ObligationFact`s. `usable` is asked at admission; the
// event that starts the step carries `GlassFact::Used` and the `ObligationFact::Opened` that `owed` gives, in
// one append. `blocked` is one of the rules of admission. Who is on call is told as soon as glass is broken.

mod break_glass;
mod obligation;

pub use self::break_glass::{
    BreakGlass, Bypass, Capability, GlassAnswer, GlassError, GlassFact, GlassFacts, GlassRequest,
    Refusal, Word, owed, usable,
};
pub use self::obligation::{
    Blocked, Duty, Obligation, ObligationError, ObligationFact, Obligations, Overdue, Review,
    Reviewless, blocked,
};
