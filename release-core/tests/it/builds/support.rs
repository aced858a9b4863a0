//! Random graphs, and what follows from them by trying all ways.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::build::{Build, BuildGraph};
use release_core::model::BuildId;

/// What each number needs: smaller ones only, before they are given other names.
pub(crate) type Needs = Vec<BTreeSet<usize>>;

/// Graphs of up to `most` numbers without circles.
pub(crate) fn needs(most: usize) -> impl Strategy<Value = Needs> {
    let masks = proptest::collection::vec(any::<u32>(), 1..=most);
    (masks, any::<u32>()).prop_map(|(masks, sparse)| {
        let bits = |(number, mask): (usize, u32)| {
            let mask = if sparse % 2 == 0 { mask & mask.rotate_left(7) } else { mask };
            (0..number).filter(|other| mask >> (other % 32) & 1 == 1).collect()
        };
        masks.into_iter().enumerate().map(bits).collect()
    })
}

/// Names that do not tell the order.
pub(crate) fn id(number: usize) -> BuildId {
    format!("b{:02}", (number * 7 + 3) % 97).parse().unwrap()
}

pub(crate) fn build(number: usize, needs: &BTreeSet<usize>) -> Build {
    let build = Build::new(id(number), format!("repository-{number}"), "release");
    needs.iter().fold(build, |build, need| build.needing(id(*need)))
}

pub(crate) fn graph(needs: &Needs) -> BuildGraph {
    BuildGraph::new(needs.iter().enumerate().map(|(number, needs)| build(number, needs))).unwrap()
}

/// Whether `needs` reaches `other` from `number`, itself included.
pub(crate) fn reaches(needs: &Needs, number: usize, other: usize) -> bool {
    number == other || needs[number].iter().any(|need| reaches(needs, *need, other))
}
