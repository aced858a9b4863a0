//! Builds in work trees of real git repositories, by real commands in real processes.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail as tests do"
)]

#[path = "../support/real.rs"]
mod real;

mod campaigns;
mod crashes;
mod dags;
mod hostile;
mod running;
mod stage;
mod suite;
mod testing;
