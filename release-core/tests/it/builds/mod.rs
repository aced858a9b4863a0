//! Builds of many repositories, and suites of tests: each promise beside the plainest way to find the answer.

mod graph;
mod rebuilt;
mod schedule;
mod suites;
mod support;
