//! The sequential judge keeps what it promises of errors, over whole runs and however often it looks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests, which print what they measured"
)]

mod a_a;
mod dice;
mod harm;
mod kayenta;
mod traffic;
