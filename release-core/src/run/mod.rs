//! A run: pure decisions and their fold.
//!
//! - `event` says what can happen; `state` is what follows from it, by `evolve` alone (`stop` has its
//!   part about coming to an end, `mend` about second chances; `queues`, `active` and `recoveries` keep
//!   the books, `standing` reads them for explanations).
//! - `decide` answers an input (an outcome; `directive` a command); `advance` does what follows from the state
//!   and the time: start what is ready, act on timers, settle, roll back, finish.
//! - `admit` decides whether a step may start, `judge` whether what was observed is what was asked, of which `measured` counts the looks.
//! - `migrate` lets a run go on with another plan.
//! - `digest` tells by 64 bits whether two states are the same.
//!
//! Nothing here reads a clock or draws randomness: both come in with the [`Turn`].

mod active;
mod admit;
mod advance;
mod awaiting;
mod command;
mod decide;
pub(crate) mod digest;
mod directive;
mod doubt;
mod event;
mod evolve;
mod flags;
mod gates;
mod judge;
mod lease;
mod left;
mod measured;
mod mend;
mod migrate;
mod note;
mod outcome;
mod permits;
mod queues;
mod recoveries;
mod regions;
mod replaced;
mod signal;
mod standing;
mod state;
mod stop;
mod wake;

pub use advance::advance;
pub use awaiting::Awaiting;
pub use command::{Command, Directive, Rejected};
pub use decide::{EffectOutcome, Input, Turn, decide};
pub use digest::StateDigest;
#[cfg(feature = "driver")]
pub(crate) use directive::denial;
pub use doubt::held_while_in_doubt;
pub use event::{Event, Mode, StepRef, Verdict, WakeUp};
pub use evolve::{Fact, IllegalTransition};
pub use gates::Given;
pub use measured::{Measured, Rows};
pub use migrate::{NotMigrated, migrate};
pub use note::{MAX_NOTES, Note};
pub use outcome::{Cause, Outcome};
pub use permits::{Permits, Settlement};
pub use replaced::Replaced;
pub use signal::{MAX_SIGNALS, Received, SignalAnswer};
pub(crate) use standing::{Counted, Places};
pub use state::{Active, Phase, RunState, Status, Wait};

/// Decides `input` and everything that follows from it at once, folding each event into `state`.
///
/// This is the whole turn of the engine without its journal, and what simulations and tests drive.
/// `limit` bounds the number of events; when it is reached, call [`advance`] again.
///
/// # Errors
/// [`Rejected`] for a command that makes no sense now; the state is as before.
///
/// # Panics
/// Never: an illegal transition of our own events is a fault of this module and ends the turn early
/// after a debug assertion.
pub fn turn(
    state: &mut RunState,
    input: Option<&Input>,
    turn: &Turn<'_>,
    limit: usize,
) -> Result<Vec<Event>, Rejected> {
    let mut all = Vec::new();
    let mut fresh = Vec::new();
    if let Some(input) = input {
        decide(state, input, turn, &mut fresh)?;
    }
    loop {
        if fresh.is_empty() && all.len() < limit {
            advance(state, turn, limit - all.len(), &mut fresh);
        }
        if fresh.is_empty() {
            return Ok(all);
        }
        for event in fresh.drain(..) {
            let legal = state.evolve(turn.now, &event);
            debug_assert!(legal.is_ok(), "{legal:?} for {event:?}");
            all.push(event);
        }
    }
}
