//! One departure of a train: who boards, where it stops and what holds it, and what hotfixes do to the next.
//!
//! A [`Train`] is one departure as one value: when boarding ends and what a car has to be then, its cars of all teams and the versions
//! that they share, its stops and sync points, what blocks it, and when nothing of it may be half done. It is made from a [`TrainSpec`],
//! which is written down, and tells all that makes no sense of it at once. Who boards it says [`Train::board`], what it does next
//! [`Train::next`], and whom to call [`Train::missed`]; each of them is a function of what happened. A [`Conductor`] makes the engine
//! obey it: it is a policy that lets no step of a stop begin or go on that the train does not.
//!
//! What is behind a train can be used alone:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use release_core::model::{Digest, Timestamp};
//! use release_policy::compat::VerifiedSet;
//! use release_policy::train::departure::{Boarding, Car};
//! use semver::Version;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let until: Timestamp = "2026-12-07T09:00:00Z".parse()?;
//! let (two, one) = (Version::new(2, 0, 0), Version::new(1, 0, 0));
//! let car = |name: &str| Ok::<_, Box<dyn std::error::Error>>(Car::new(name.parse()?, two.clone(), "web".parse()?));
//! let cars = [car("api")?.ready(until), car("pay")?, car("shop")?.ready(until).needing("pay".parse()?)];
//! let deployed = BTreeMap::from([("api".parse()?, one.clone()), ("pay".parse()?, one.clone()), ("shop".parse()?, one.clone())]);
//! let tested = BTreeMap::from([("api".parse()?, two.clone()), ("pay".parse()?, one.clone()), ("shop".parse()?, one)]);
//! let verified = [VerifiedSet::of(tested, Digest::of(b"report 7"))];
//!
//! let boarding = Boarding { cars: &cars, shared: &[], until, deployed: &deployed, verified: &verified };
//! let boarded = boarding.board()?;
//! assert_eq!(boarded.aboard, BTreeMap::from([("api".parse()?, two)]));
//! assert_eq!(boarded.behind[&"pay".parse()?].to_string(), "is not ready");
//! assert_eq!(boarded.behind[&"shop".parse()?].to_string(), "needs `pay`, which stays behind");
//! let (departing, proof) = boarded.departing()?; // just this was verified together
//! assert_eq!((departing, proof), (&boarded.aboard, Digest::of(b"report 7")));
//! # Ok(())
//! # }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `train` | one departure as one value |
//! | `fault` | why something is no train |
//! | `rule` | what a car has to be when boarding ends |
//! | `boarding` | cars, what depends on a late one, and whether the rest was verified together |
//! | `missed` | sync points at which somebody is missing after the deadline, and who is called |
//! | `journey` | stops, sync points, blockers, and days on which nothing may be half done |
//! | `progress` | how far a train is, by what happened |
//! | `holds` | whether a stop may begin or go on |
//! | `conductor` | a train as a policy of the engine, told of what happens while it decides |
//! | `lane` | the time that is kept for hotfixes, which departures slip, and what a hotfix replaces |

mod boarding;
mod conductor;
mod fault;
mod holds;
mod journey;
mod lane;
mod missed;
mod progress;
mod rule;
mod train;

use release_core::model::Span;

pub use boarding::{
    Behind, Boarded, Boarding, BoardingError, Car, MAX_CARS, MAX_VERIFIED, NotProven,
};
pub use conductor::{Conductor, ConductorError, MAX_TOLD, PlanFault, PlanMismatch, TellError};
pub use fault::{TrainFault, TrainFaults};
pub use journey::{
    Event, Journey, JourneyError, JourneySpec, MAX_STOPS, Next, Stop, SyncPoint, Why,
};
pub use lane::{Hotfix, Lane, LaneError, MAX_LANE, MAX_NAMED, Slip, Superseded, UnderWay, lane};
pub use missed::Missed;
pub use rule::BoardingRule;
pub use train::{Blocker, MAX_NEEDS, StraddleRule, Train, TrainSpec};

/// Both together, or the longest there is.
fn plus(one: Span, other: Span) -> Span {
    Span::from(one.as_duration().saturating_add(other.as_duration()))
}
