//! What is done without the usual consent, and what is owed for it.
//!
//! An emergency change asks fewer people first; breaking the glass lifts named rules for one use and a short
//! time. Both open an obligation: somebody else must look at it, and while that is overdue, nothing else
//! is released in that scope. Neither is blocked by what is owed, and there is no word for lifting audit,
//! identity or the verification of artifacts.
// How it is fed: the host journals `GlassFact`s and `ObligationFact`s. `usable` is asked at admission, as a case
// of the run; that the glass was used is in the event that starts a step, as the leave it stood on (also as
// `break_glass/<glass>/windows`). Once the run is over, the host records `GlassFact::Used`, and opens what `owed`
// gives. `blocked` is a case of later runs.

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
