//! What all routers that drive a server have in common.

mod fences;
mod files;
mod instances;
mod turns;

pub(crate) use self::fences::Fences;
pub(crate) use self::files::{Held, blocking, write_whole};
pub(crate) use self::instances::{addresses, addresses_of, answering, check_name, slug, whole};
pub(crate) use self::turns::Turns;

/// The operations, as errors name them.
pub(crate) const SET: &str = "traffic.set_weights";
pub(crate) const OBSERVE: &str = "traffic.observe";
pub(crate) const REFRESH: &str = "traffic.refresh";
pub(crate) const IN_FLIGHT: &str = "traffic.in_flight";
pub(crate) const OPEN: &str = "open";
