//! The sequential judge keeps what it promises of errors, over whole runs and however often it looks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which print what they measured"
)]

mod a_a;
mod harm;
mod traffic;
