//! Limits of concurrency and quotas: who may have how much at once, or in a week. Pure.
//!
//! - `config` is what a platform allows: [`Limits`] of [`Limit`]s and [`Quota`]s, and which steps they
//!   concern.
//! - `event` is what can happen; `ledger` is what follows from it, by [`Ledger::evolve`] alone.
//! - `grant` decides who gets the next permit; `explain` says why somebody waits, for how long, and
//!   when a quota will be used up.
//!
//! The ledger is one stream of the journal for all runs and engines. A permit is a fact in it, with its
//! owner, so that none is lost in a crash: it lasts until a record says that it was given back, whoever
//! writes that record. Every record is appended behind the one that its writer has read, so that two
//! engines never give away the same permit.
//!
//! # Who is next
//!
//! Steps of rollbacks stand in no queue: they get a permit at once while one of the capacity or of the
//! `rollback_reserve` is free, and never one beyond both. All others, in this order:
//!
//! 1. Hotfixes and whoever has waited for [`Limits::patience`] before all others. So a stream of hotfixes
//!    starves nobody.
//! 2. Teams that hold less than what a limit guarantees them: what they lent comes back first.
//! 3. The team that had least, by weight (start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996,
//!    with each team of each limit as a flow whose tag is computed when it is at the head).
//! 4. Who came first.
//!
//! A step gets the permits of all its limits at once or none. Who lacks one is passed by whoever needs
//! less, but only until its patience is over: from then on what it lacks is kept for it. Nothing is kept
//! from a run that has begun a region or more, since that may be what the other lacks: without that both
//! would wait for ever.

mod config;
mod event;
mod explain;
mod grant;
mod ledger;

pub use config::{
    Limit, LimitError, LimitErrors, Limits, LimitsFile, Per, Quota, Scope, Share, Subject, Window,
};
pub use event::{Claim, Class, LedgerEvent, Request, Unit, Want};
pub(crate) use explain::damaged;
pub use explain::{Blockage, Held, Usage, WhyWaiting};
pub use grant::grants;
pub use ledger::{IllegalEntry, Ledger, Permit, Standing};
