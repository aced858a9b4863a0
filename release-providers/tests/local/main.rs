//! Tests of the local platform against real processes, real sockets and a real `/proc`.
#![cfg(feature = "local")]

#[cfg(test)]
mod adoption;
#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod fencing;
#[cfg(test)]
mod measure;
#[cfg(test)]
mod order;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod traffic;
