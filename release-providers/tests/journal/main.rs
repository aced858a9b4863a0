//! The SQLite journal against real files: durability, fencing, group commit, damage, want of room.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod damage;
mod engine;
mod flips;
mod kill;
mod limits;
mod reserve;
mod rows;
mod store;
mod support;
mod tail;
mod witness;
