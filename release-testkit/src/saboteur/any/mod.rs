//! Saboteurs of any trait: one wrapper around a right provider, with one planted fault.

mod fault;
mod hands;
mod own;
mod wrap;

pub use fault::AnyFault;
pub use own::{OwnFault, Sabotage};
pub use wrap::{Fault, Sabotaged};
