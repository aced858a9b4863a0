//! The sequential judge keeps what it promises of errors, over whole runs and however often it looks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod a_a;
mod dice;
mod harm;
mod kayenta;
mod traffic;

use std::io::Write as _;

/// Says what was measured: figures are part of what the tests are for.
fn said(text: &str) {
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "{text}").unwrap();
}
