//! Which versions can be deployed together: judged by what is **deployed** in each region, not by what stands in sources.
//!
//! A [`Catalogue`] knows which versions of which services there are, and what each needs of others. By it
//!
//! - [`Catalogue::broken`] says which needs are not met by what is deployed, and [`Catalogue::admit`] whether one change would break any;
//! - [`Catalogue::resolve`] finds versions for a wish, with as much as possible left as it is, or tells in sentences why there are none;
//! - [`Catalogue::order`] says in which order the changes of it are made, so that after each of them all needs are met;
//! - [`Catalogue::way_back`] finds the last set that was verified together to which such an order leads.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use release_policy::compat::{Catalogue, Fleet, Offer};
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
//! let denied = catalogue.admit(&fleet, &"api".parse()?, &Version::new(3, 0, 0)).unwrap_err();
//! assert_eq!(denied.to_string(), "`api` 3.0.0 cannot be deployed to `eu-west`: `shop` 2.1.0, which runs there, needs `api` ^2");
//!
//! let wish = BTreeMap::from([("api".parse()?, "^3".parse::<VersionReq>()?)]);
//! let target = catalogue.resolve(&eu, &wish)?;
//! let steps = catalogue.order(&eu, &target)?;
//! let told: Vec<_> = steps.iter().map(ToString::to_string).collect();
//! assert_eq!(told, ["`shop` from 2.1.0 to 2.2.0", "`api` from 2.4.0 to 3.0.0"]);
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `catalogue` | versions and their needs, and which of them are not met |
//! | `narrow` | which versions can be at all |
//! | `resolve` | versions for a wish, by `pubgrub` where more than that has to be searched |
//! | `tell` | why there are none, in sentences |
//! | `steps` | the order of changes, and the way back |

mod catalogue;
mod narrow;
mod resolve;
mod steps;
mod tell;

pub use catalogue::{
    Broken, Catalogue, CatalogueError, Denied, Fleet, MAX_OFFERS, Offer, Versions,
};
pub use resolve::{ResolveError, Unsatisfiable};
pub use steps::{Knot, NoOrder, NoWayBack, Step, VerifiedSet};
