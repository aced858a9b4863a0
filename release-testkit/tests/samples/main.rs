//! Sources over raw samples: the conformance suite over each, and what only one of them does.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../support/compile.rs"]
mod compile;
#[path = "../support/exporter.rs"]
mod exporter;
mod observable;
mod platform;
mod scraped;
#[path = "../support/service.rs"]
mod service;
mod suites;
mod written;
