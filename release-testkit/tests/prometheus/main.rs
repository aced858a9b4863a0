//! The source over a real Prometheus: of data that was filled in, so that each count and each point of a curve is known, of an
//! exporter that it scrapes, by the conformance suite, and of the demo service that the local platform runs, also in an experiment.
//! Where Prometheus is missing, all are skipped and say so; with `RELEASE_REQUIRE_REAL=1` they fail.
//!
//! Of the suite one case cannot be tried: Prometheus asks nobody to slow down. That is tested with a server that is none.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../support/compile.rs"]
mod compile;
#[path = "../support/demo.rs"]
mod demo;
mod experiment;
#[expect(dead_code, reason = "between Prometheus and an exporter come no troubles")]
#[path = "../support/exporter.rs"]
mod exporter;
mod filled;
mod observable;
mod ranged;
#[path = "../support/real.rs"]
mod real;
mod scraped;
mod server;
#[path = "../support/service.rs"]
mod service;
mod services;
#[path = "../support/side_by_side.rs"]
mod side_by_side;
