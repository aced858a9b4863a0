//! What all routers that drive a server have in common.

#[cfg(any(feature = "haproxy", feature = "envoy"))]
mod fences;
#[cfg(any(feature = "haproxy", feature = "envoy"))]
mod files;
#[cfg(any(feature = "haproxy", feature = "envoy"))]
mod instances;
#[cfg(any(feature = "envoy", feature = "gateway-api"))]
mod json;
mod turns;

#[cfg(any(feature = "haproxy", feature = "envoy"))]
pub(crate) use self::fences::Fences;
#[cfg(any(feature = "haproxy", feature = "envoy"))]
pub(crate) use self::files::{Held, blocking, write_whole};
#[cfg(any(feature = "haproxy", feature = "envoy"))]
pub(crate) use self::instances::{addresses, addresses_of, answering, check_name, slug, whole};
#[cfg(any(feature = "envoy", feature = "gateway-api"))]
pub(crate) use self::json::covers;
pub(crate) use self::turns::Turns;

/// The operations, as errors name them.
pub(crate) const SET: &str = "traffic.set_weights";
pub(crate) const OBSERVE: &str = "traffic.observe";
#[cfg(any(feature = "haproxy", feature = "envoy"))]
pub(crate) const REFRESH: &str = "traffic.refresh";
#[cfg(any(feature = "haproxy", feature = "envoy"))]
pub(crate) const IN_FLIGHT: &str = "traffic.in_flight";
pub(crate) const OPEN: &str = "open";
