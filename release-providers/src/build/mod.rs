//! Builds of many repositories, driven over a [`BuildRunner`](crate::spi::BuildRunner), and suites of tests, driven over a
//! [`TestRunner`](crate::spi::TestRunner).
//!
//! # Builds
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
//!
//! # Suites of tests
//!
//! What comes after what is decided by [`Testing`](release_core::build::Testing), which is a value as well; a [`TestCampaign`] drives
//! it, opens stages one after another ([`StagedSuites`]), and tells what came of each.
//!
//! ```
//! use std::sync::Arc;
//!
//! use release_core::build::{Learned, Suite, Suites};
//! use release_providers::build::{CancellationToken, StagedSuites, TestCampaign, TestReport};
//! use release_providers::model::{ArtifactRef, Principal, Span, SuiteId};
//! use release_providers::spi::TestRunner;
//! use release_providers::SystemClock;
//!
//! # async fn example(runner: Arc<dyn TestRunner>, api: ArtifactRef, flaky: Vec<SuiteId>, learned: Learned<SuiteId>)
//! # -> Result<TestReport, Box<dyn std::error::Error>> {
//! let suites = Suites::new([
//!     Suite::new("unit".parse()?, "dev".parse()?, Span::secs(60)),
//!     Suite::new("style".parse()?, "dev".parse()?, Span::secs(10)).advisory(),
//!     Suite::new("checkout".parse()?, "staging".parse()?, Span::secs(300)),
//! ])?;
//! let suites = StagedSuites::in_order(suites, ["dev".parse()?, "staging".parse()?])?;
//! let by = Principal::service("trains".parse()?);
//! let campaign = TestCampaign::new("train-7", runner, Arc::new(SystemClock::new()), by, api)
//!     .excusing(flaky) // those whose `Duty` does not hold: see `release_policy::quarantine`
//!     .with_learned(learned);
//! Ok(campaign.run(&suites, &CancellationToken::new()).await)
//! # }
//! ```
//!
//! # Files
//!
//! | file | holds |
//! |---|---|
//! | `campaign` | builds under way |
//! | `testing` | suites of tests under way: which are run how, and the loop |
//! | `stages` | which stage comes after which, and who opens them |
//! | `under_way` | what is known of suites and stages so far, and what is lost with what did not pass |
//! | `tested` | what came of suites and stages |
//! | `follow` | work under a key: started, looked at until it is over, cancelled |

mod campaign;
mod follow;
mod stages;
mod tested;
mod testing;
mod under_way;

pub use campaign::{BuildReport, BuildResult, Campaign, INPUT_PREFIX, output};
pub use follow::Pace;
pub use stages::{OpenStage, StageOrderError, StagedSuites};
pub use tested::{StageVerdict, SuiteAttempt, SuiteResult, TestReport};
pub use testing::TestCampaign;
/// What ends a campaign before its time.
pub use tokio_util::sync::CancellationToken;
