//! The simulator: its courses, its checks, and what it finds.

#![cfg(test)]

mod crash_enumeration;
mod exhaustive;
mod seeds;
mod tools;
