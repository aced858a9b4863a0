//! Runnable examples: see `quickstart/` and the README, whose Rust is compiled as a test here.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
