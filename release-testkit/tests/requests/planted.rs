//! Bugs of those who drive a balancer, planted on purpose, each to be found by requests that are lost. Built as `.ci/test` builds
//! everything; see `tests/planted.rs` for those that the simulator finds.

use release_core::planted::{Bug, plant};
use release_core::time::Span;

use super::model::{Counts, Manner};
use super::stage::{Fate, Trial, defined, strategies, unjudged};
use super::{said, switched};

/// Releases that are tried for each bug, at most.
const BUDGET: u64 = 60;

/// Which requests are lost by which bug, over which balancer.
type Lost = fn(&Counts) -> u64;

const FOUND_BY: [(Bug, Manner, Lost); 3] = [
    (Bug::StopUndrained, Manner::EXACT, |counts| counts.cut),
    (Bug::NeverLook, LATE, |counts| counts.terminated),
    (Bug::RunningIsReady, Manner::EXACT, |counts| counts.unready),
];

const LATE: Manner = Manner { lag: (Span::secs(10), Span::secs(20)), ..Manner::EXACT };

#[test]
fn every_planted_bug_of_a_driver_loses_requests() {
    for (bug, manner, by) in FOUND_BY {
        // Whatever the release comes to.
        let lost = |seed| Trial::new(seed, manner).release(&unjudged(switched())).counts;
        plant(Some(bug));
        let found = (0..BUDGET).find(|seed| by(&lost(*seed)) > 0);
        plant(None);
        let seed = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        said(&format!("{bug:?} is found with seed {seed}"));
        assert_eq!(lost(seed).lost(), 0, "without {bug:?}");
    }
}

/// An abort in the middle is a way of its own: the new version is stopped there.
#[test]
fn a_way_back_that_does_not_drain_loses_requests() {
    let cut = |seed: u64| {
        let all = strategies();
        let (_, strategy) = all[usize::try_from(seed).unwrap() % all.len()].clone();
        let fate = Fate::Cancelled(Span::secs(15));
        let told = Trial { fate, ..Trial::new(seed, Manner::EXACT) }.release(&defined(strategy));
        (told.end, told.counts.cut)
    };
    plant(Some(Bug::StopUndrained));
    let found = (0..BUDGET).find(|seed| matches!(cut(*seed), ("rolled_back", 1..)));
    plant(None);
    let seed = found.unwrap();
    assert_eq!(cut(seed).1, 0);
}

#[test]
fn every_bug_of_a_driver_is_looked_for() {
    assert_eq!(FOUND_BY.map(|(bug, ..)| bug), Bug::OF_DRIVERS);
}
