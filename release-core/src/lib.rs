//! release-core
pub mod ids;
pub mod model;
pub mod plan;
pub mod port;
pub mod time;
