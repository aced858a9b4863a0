//! The SQLite journal against real files: durability, fencing, group commit, damage, want of room.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "this is a test"
)]

mod damage;
mod engine;
mod kill;
mod store;
mod support;
