//! Builds of many repositories, and suites of tests: what comes after what, who is next, and what is lost with what fails.
//!
//! All of it are values. Whoever runs builds asks [`Building`] what is next, starts it with a `BuildRunner` of
//! `release-providers`, and says what came of it; `release_providers::build` does just that.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use release_core::build::{Build, BuildGraph, BuildStanding, Building};
//! use release_core::model::{Digest, Span};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph = BuildGraph::new([
//!     Build::new("proto".parse()?, "ssh://host/proto", "release"),
//!     Build::new("api".parse()?, "ssh://host/api", "release").needing("proto".parse()?),
//!     Build::new("web".parse()?, "ssh://host/web", "release").needing("api".parse()?),
//!     Build::new("docs".parse()?, "ssh://host/docs", "release"),
//! ])?;
//! let affected = graph.affected(["api".parse()?].iter())?;
//! assert_eq!(affected.iter().map(|build| build.id.as_str()).collect::<Vec<_>>(), ["api", "web"]);
//!
//! let mut all = Building::new(&graph, BTreeMap::new(), BTreeMap::new(), |_| Span::secs(60));
//! let proto = all.next().ok_or("the longest way begins with `proto`")?;
//! all.done(proto, Digest::of(b"proto"))?;
//! let api = all.next().ok_or("`api` may begin")?;
//! assert_eq!(all.failed(&api.build.id, "it does not compile".into())?, ["web".parse()?]);
//! let docs = all.next().ok_or("`docs` needs none of them")?;
//! all.done(docs, Digest::of(b"docs"))?;
//! assert!(all.is_over());
//! let because = "api".parse()?;
//! assert_eq!(all.standing(&"web".parse()?), Some(BuildStanding::Cancelled { because }));
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `graph` | builds and what they need; what a change affects; the critical path |
//! | `state` | what has to be built again, and builds under way |
//! | `suite` | suites of tests over stages, their schedule, and suites under way |
//! | `schedule` | which worker does what, and when |
//! | `learned` | how long things take, as it was seen |
//! | `dag`, `progress` | what needs what, by numbers; who may begin |

mod dag;
mod graph;
mod learned;
mod progress;
mod schedule;
mod state;
mod suite;

pub use self::dag::{MAX_NEEDS, NeedsError};
pub use self::graph::{Build, BuildGraph, BuildGraphError, CriticalPath, UnknownBuild};
pub use self::learned::{Learned, REMEMBERED};
pub use self::state::{BuildStanding, Building, Built, NotRunning, Order, Stale, stale};
pub use self::suite::{
    MAX_WORKERS, Schedule, Slot, Suite, SuiteNotRunning, SuiteRequirement, SuiteStanding, Suites,
    Testing,
};
use crate::time::Span;

fn micros(span: Span) -> u64 {
    u64::try_from(span.as_duration().as_micros()).unwrap_or(u64::MAX)
}

fn span(micros: u64) -> Span {
    std::time::Duration::from_micros(micros).into()
}
