//! Which versions can be deployed together: judged by what is **deployed** in each region, not by what stands in sources.
//!
//! A [`Catalogue`] knows which versions of which services there are, and what each needs of others. By it
//!
//! - [`Catalogue::faults`] says what stands against what is deployed, and [`Catalogue::admit`] what stands against one change, and where;
//! - [`Catalogue::resolve`] finds versions for a wish, with as much as possible left as it is, or tells in sentences why there are none;
//! - [`Catalogue::order`] says in which order changes are made, so that after each of them no need is newly unmet;
//! - [`Catalogue::turns`] says of which two changes one goes first, so that any order that keeps to that does;
//! - [`Catalogue::plan`] finds versions for a wish to which there is such an order, and [`Catalogue::plan_all`] does so for each region;
//! - [`Catalogue::describe`] puts what versions need into a definition, so that its plan follows such an order;
//! - [`Catalogue::way_back`] finds the last set that was verified together to which such an order leads;
//! - [`VerifiedSets`] records such sets, and tells whether a release returns to one;
//! - [`VerifiedRecord`] is that record while runs go on: it learns from each that is over what it verified;
//! - [`Compatible`] is the policy that asks [`Catalogue::admit`] before each step of a run that deploys a version or sends users to one;
//! - [`CoVerified`] is the policy that asks the record before a run begins somewhere, and before a service is left behind;
//! - [`Published`] is the catalogue that [`Compatible`] goes by, told of new versions while it does;
//! - [`Deployed`] follows runs and what hosts see, and so tells that policy what is deployed.
//!
//! Both policies together, in an [`AllOf`](crate::AllOf), see to it that what meets at any moment gets along, and that a run ends with all of
//! its release or with a set that was verified together: never with a mixture that nobody tried.
//!
//! What a version needs that the catalogue does not know, nobody knows: it may need anything. So keep versions in the catalogue as long as they
//! are deployed anywhere; where one is missing, changes are denied that it might not get along with, and the denial names it.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use release_policy::compat::{Catalogue, Change, Fleet, Offer};
//! use semver::{Version, VersionReq};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let offer = |service: &str, version: &str| Ok::<_, Box<dyn std::error::Error>>(Offer::new(service.parse()?, version.parse()?));
//! let catalogue = Catalogue::new([
//!     offer("api", "2.4.0")?,
//!     offer("api", "3.0.0")?,
//!     offer("shop", "2.1.0")?.needing("api".parse()?, "^2".parse()?),
//!     offer("shop", "2.2.0")?.needing("api".parse()?, ">=2.4, <4".parse()?),
//! ])?;
//! let eu = BTreeMap::from([("api".parse()?, Version::new(2, 4, 0)), ("shop".parse()?, Version::new(2, 1, 0))]);
//! let fleet: Fleet = BTreeMap::from([("eu-west".parse()?, eu.clone())]);
//!
//! let denied = catalogue.admit(&fleet, &Change::to("api".parse()?, Version::new(3, 0, 0))).unwrap_err();
//! assert_eq!(denied.to_string(), "`api` 3.0.0 cannot be deployed to `eu-west`: `shop` 2.1.0, which runs there, needs `api` ^2");
//!
//! let wish = BTreeMap::from([("api".parse()?, "^3".parse::<VersionReq>()?)]);
//! let plan = catalogue.plan(&eu, &wish)?;
//! let told: Vec<_> = plan.order.steps.iter().map(ToString::to_string).collect();
//! assert_eq!(told, ["`shop` from 2.1.0 to 2.2.0", "`api` from 2.4.0 to 3.0.0"]);
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `catalogue` | versions and their needs |
//! | `faults` | which needs are not met, and whether a change is admitted |
//! | `fits` | which versions fit a requirement |
//! | `narrow` | which versions can be at all |
//! | `resolve` | versions for a wish, by `pubgrub` where more than that has to be searched |
//! | `tell` | why there are none, in sentences |
//! | `steps` | the order of changes |
//! | `turns` | which of two changes goes first |
//! | `plan` | versions for a wish, with an order that leads to them |
//! | `regions` | the same for each region |
//! | `describe` | what versions need, in the words of a definition |
//! | `back` | the way back |
//! | `verified` | the record of what was verified together |
//! | `evidence` | what a run verified |
//! | `record` | that record while runs add to it |
//! | `policy` | what is admitted, as a policy of the engine |
//! | `co_verified` | what can go back to a verified set and what may be left behind, as a policy of the engine |
//! | `begun` | whether a run brought something to a region |
//! | `published` | the catalogue that the policy goes by, as new versions become known |
//! | `deployed` | what is deployed, as runs change it and hosts see it |
//! | `stock` | what is deployed in a region, and what follows from that until it changes |
//! | `stand` | which version of one service counts as deployed |

mod back;
mod begun;
mod catalogue;
mod co_verified;
mod deployed;
mod describe;
mod evidence;
mod faults;
mod fits;
mod narrow;
mod plan;
mod policy;
mod published;
mod record;
mod regions;
mod resolve;
mod stand;
mod steps;
mod stock;
mod tell;
mod turns;
mod verified;

pub use back::{MOST_SETS, NoWayBack, NotThere, VerifiedSet};
pub use catalogue::{Catalogue, CatalogueError, Fleet, MAX_OFFERS, Offer, Versions};
pub use co_verified::{CoVerified, NotCoVerified};
pub use deployed::{Deployed, Following};
pub use evidence::NotVerified;
pub use faults::{Broken, Change, Denied, Fault, Unknown};
pub use plan::{MOST_TARGETS, NoPlan, Plan};
pub(crate) use policy::brings;
pub use policy::{Compatible, Inventory};
pub use published::Published;
pub use record::{Learned, MOST_RELEASES, VerifiedRecord};
pub use regions::NoPlans;
pub use resolve::{MOST_LOOKS, ResolveError, Unsatisfiable};
pub use steps::{Knot, NoOrder, Order, Step};
pub use stock::Stock;
pub use turns::TurnOf;
pub use verified::{Difference, EmptySet, NotRecorded, VerifiedSets};
