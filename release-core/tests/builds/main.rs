//! Builds of many repositories, and suites of tests: each promise beside the plainest way to find the answer.

#[cfg(test)]
mod graph;
#[cfg(test)]
mod rebuilt;
#[cfg(test)]
mod schedule;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod support;
