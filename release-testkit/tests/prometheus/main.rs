//! The source over a real Prometheus: of data that was filled in, so that each count is known, and of an exporter that it
//! scrapes, by the conformance suite. Where Prometheus is missing, both are skipped and say so; with
//! `RELEASE_REQUIRE_REAL=1` they fail.
//!
//! Of the suite one case cannot be tried: Prometheus asks nobody to slow down. That is tested with a server that is none.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod filled;
#[path = "../support/real.rs"]
mod real;
mod scraped;
mod server;
