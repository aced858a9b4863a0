//! Bugs that are planted on purpose, each to be found by the invariant that is there for it. A simulator
//! that never caught a bug proves nothing.
//!
//! ```text
//! RUSTC_WORKSPACE_WRAPPER=$PWD/.ci/planted cargo test --workspace --all-features --test planted
//! ```
//!
//! Without that cfg there are no bugs, and nothing here to test. `.ci/test` builds everything with it.

#![cfg(planted_bugs)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use release_core::planted::{Bug, plant};
use release_testkit::sim::{Sim, invariants, mixed, typed};

/// Seeds that are tried for each bug, at most.
const BUDGET: u64 = 1_800;

/// A bug may let a run go round in circles: then it is cut short, far beyond what sound runs come to.
const MOST: u64 = 40_000;

/// Which invariant finds which bug, among others.
const FOUND_BY: [(Bug, &str); 49] = [
    (Bug::IgnorePolicy, "I1"),
    (Bug::IgnoreDeny, "I20"),
    (Bug::LatchAdmission, "I20"),
    (Bug::CountTwice, "I8"),
    (Bug::ApproveOwn, "I8"),
    (Bug::IgnoreRoom, "I4"),
    (Bug::IgnorePredecessor, "I11"),
    (Bug::SyncEarly, "I12"),
    (Bug::PauseRollback, "I9"),
    (Bug::HoldRollback, "I9"),
    (Bug::RollBackTooSoon, "I3"),
    (Bug::RollbackLies, "I7"),
    (Bug::RollbackUnordered, "I11"),
    (Bug::FinishEarly, "I7"),
    (Bug::RetryBlindly, "I2"),
    (Bug::UnknownIsSuccess, "I10"),
    (Bug::AnyIdentity, "I10"),
    (Bug::NoDataPasses, "I15"),
    (Bug::NanPasses, "I15"),
    (Bug::OneMeasurement, "I15"),
    (Bug::RetryForever, "I17"),
    (Bug::KeyPerAttempt, "I2"),
    (Bug::NoTimer, "I19"),
    (Bug::WakeNobody, "I18"),
    (Bug::NoDeadline, "I18"),
    (Bug::TimeGoesBack, "I13"),
    (Bug::NoFencing, "I14"),
    (Bug::GoOnFenced, "I14"),
    (Bug::NoSequence, "I6"),
    (Bug::AppendAgain, "I2"),
    (Bug::ActFirst, "I2"),
    (Bug::AckBeforeSync, "I6"),
    (Bug::LoseRecord, "I5"),
    (Bug::NeverCall, "I5"),
    (Bug::LeakCredential, "I16"),
    (Bug::LeakPermit, "I4"),
    (Bug::GrantOneMore, "I4"),
    (Bug::StartUnpermitted, "I4"),
    (Bug::ReleaseEarly, "I4"),
    (Bug::ForgetQuota, "I4"),
    (Bug::QueueRollback, "I9"),
    (Bug::GrantNobody, "I18"),
    (Bug::TrustUnstored, "I4"),
    (Bug::RecoverForever, "I17"),
    (Bug::MigrateBlindly, "I11"),
    (Bug::DropParked, "I3"),
    (Bug::CancelLeaves, "I7"),
    (Bug::FailureLeaves, "I7"),
    (Bug::ForgetKeys, "I21"),
];

/// What I21 is about happens where there are fakes, all else in the mixed scenarios.
fn scenarios(by: &str) -> Vec<Sim> {
    if by == "I21" { (0..100).map(typed).collect() } else { mixed() }
}

/// The first seed with which an invariant finds what is planted, and what all found up to there.
fn found(by: &str) -> Result<u64, BTreeSet<&'static str>> {
    let scenarios = scenarios(by);
    let mut others = BTreeSet::new();
    for (seed, sim) in (0..BUDGET).zip(scenarios.iter().cycle()) {
        let report = sim.clone().at_most(MOST).seed(seed).report();
        let ids: BTreeSet<_> = report.violations.iter().map(|violation| violation.id).collect();
        if ids.contains(by) {
            return Ok(seed);
        }
        others.extend(ids);
    }
    Err(others)
}

/// What each bug that is taken is found with, by its number; bugs are planted for one thread alone.
fn search(next: &AtomicUsize) -> Vec<(usize, Result<u64, BTreeSet<&'static str>>)> {
    let mut all = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some((bug, by)) = FOUND_BY.get(number) else { return all };
        plant(Some(*bug));
        all.push((number, found(by)));
        plant(None);
    }
}

#[test]
fn every_planted_bug_is_found_by_its_invariant() {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let mut all = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| search(&next))).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    all.sort_by_key(|(number, _)| *number);
    assert_eq!(all.len(), FOUND_BY.len());
    let mut missed = Vec::new();
    for (number, found) in all {
        let (bug, by) = FOUND_BY[number];
        match found {
            Ok(seed) => println!("{bug:?} is found by {by} with seed {seed}"),
            Err(others) => missed.push((bug, by, others)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn without_a_bug_the_same_seeds_are_green() {
    plant(None);
    let all = [mixed(), scenarios("I21")];
    for (seed, sim) in all.iter().flat_map(|all| (0..BUDGET).zip(all.iter().cycle())) {
        let report = sim.clone().seed(seed).report();
        assert!(report.is_green(), "{report}");
    }
}

#[test]
fn every_bug_and_every_invariant_has_its_other() {
    let bugs: Vec<_> = FOUND_BY.iter().map(|(bug, _)| *bug).collect();
    assert_eq!(bugs, Bug::ALL);
    let ids: BTreeSet<_> = FOUND_BY.iter().map(|(_, by)| *by).collect();
    let all: BTreeSet<_> = invariants::all().iter().map(invariants::Invariant::id).collect();
    assert_eq!(ids, all);
}
