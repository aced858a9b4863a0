//! Identities from a real file: it keeps every promise of its trait, says what is wrong with a file, and what it
//! answers decides who may do what.
#![cfg(target_os = "linux")]

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod governed;
#[cfg(test)]
mod home;
#[cfg(test)]
mod malformed;
