//! Routers over real servers keep every promise, and lose no request.
//!
//! A HAProxy or an Envoy, and the demo service as real processes of a local platform behind it. Where one of the two servers is
//! missing, its tests are skipped and say so; with `RELEASE_REQUIRE_REAL=1` they fail.
//!
//! Of the suite three cases cannot be tried: neither server has credentials to refuse or to tell, nor asks anybody to slow down.
//! HAProxy cannot copy requests.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "../support/client.rs"]
mod client;
#[path = "../support/compile.rs"]
mod compile;
#[path = "../support/demo.rs"]
mod demo;
mod driven;
mod instances;
mod load;
mod local;
#[path = "../support/real.rs"]
mod real;
mod releases;
mod rules;
mod server;
mod shrinking;
mod stage;
mod suite;
mod waiting;
