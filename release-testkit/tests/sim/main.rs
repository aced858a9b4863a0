//! The simulator: its courses, its checks, and what it finds.

#![cfg(test)]

mod exhaustive;
mod seeds;
