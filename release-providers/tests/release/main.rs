//! Whole releases over the local platform: what goes wrong, and what the run then says and does.
#![cfg(all(feature = "local", target_os = "linux"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod bad_services;
mod bindings;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod train;
