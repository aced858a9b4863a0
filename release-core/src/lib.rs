//! release-core
#[cfg(feature = "driver")]
pub mod engine;
pub mod ids;
pub mod journal;
pub mod model;
pub mod plan;
pub mod port;
pub mod run;
pub mod time;
