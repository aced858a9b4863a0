//! Builds of many repositories, driven over a [`BuildRunner`](crate::spi::BuildRunner).
//!
//! What comes after what, and what is lost with what fails, is decided by [`Building`](release_core::build::Building), which is
//! a value; a [`Campaign`] starts what that gives out, looks until it is over, and tells it.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use release_core::build::{Build, BuildGraph, Building};
//! use release_providers::build::{BuildReport, Campaign, CancellationToken};
//! use release_providers::model::{Principal, Span};
//! use release_providers::spi::BuildRunner;
//! use release_providers::SystemClock;
//!
//! # async fn example(runner: Arc<dyn BuildRunner>) -> Result<BuildReport, Box<dyn std::error::Error>> {
//! let graph = BuildGraph::new([
//!     Build::new("proto".parse()?, "shop/proto", "release"),
//!     Build::new("api".parse()?, "shop/api", "release").needing("proto".parse()?),
//! ])?;
//! let commits = BTreeMap::from([
//!     ("proto".parse()?, "8f14e45fceea167a5a36dedd4bea2543ffffffff".to_owned()),
//!     ("api".parse()?, "c9f0f895fb98ab9159f51fd0297e236dffffffff".to_owned()),
//! ]);
//! let building = Building::new(&graph, commits, BTreeMap::new(), |_| Span::secs(60));
//! let by = Principal::service("trains".parse()?);
//! let campaign = Campaign::new("train-7", runner, Arc::new(SystemClock::new()), by);
//! Ok(campaign.run(building, &CancellationToken::new()).await)
//! # }
//! ```

mod campaign;
mod follow;

pub use campaign::{BuildReport, BuildResult, Campaign, INPUT_PREFIX, output};
pub use follow::Pace;
/// What ends a campaign before its time.
pub use tokio_util::sync::CancellationToken;
