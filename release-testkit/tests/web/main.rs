//! Numbers that a web service tells, and gates: over real connections to a service of the test's, alone, by the conformance
//! suite, and as what judges releases.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as tests do")]

mod asked;
mod rollouts;
mod server;
mod sources;
mod suite;
