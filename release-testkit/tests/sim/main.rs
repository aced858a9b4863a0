//! The simulator: its courses, its checks, and what it finds.

#![cfg(test)]

mod comparisons;
mod coverage;
mod crash_enumeration;
mod exhaustive;
mod freezes;
mod permits;
mod priorities;
mod scripts;
mod seeds;
mod tools;
mod typed;
