//! A published level is frozen: no case joins it, leaves it or promises something else. What a vendor's report said
//! yesterday it says tomorrow. Whoever has a new promise to make opens the next level.

use release_testkit::conformance::{Case, Level, Suite, journal};

/// All promises of a level, a line each, in the order in which the suites run them.
fn promises(level: Level) -> String {
    let providers = Suite::ALL.iter().map(|suite| (suite.capability(), suite.promises(level)));
    let own = journal::cases(level).iter().map(|case: &Case<_>| (case.name(), case.contract()));
    let suites = providers.chain([("journal", own.collect())]);
    let lines = suites.flat_map(|(suite, cases)| {
        cases.into_iter().map(move |(case, promise)| format!("{suite} {case}: {promise}\n"))
    });
    lines.collect()
}

#[test]
fn v1_is_what_was_published() {
    let (published, now) = (include_str!("../conformance-v1.txt"), promises(Level::V1));
    let (before, after): (Vec<_>, Vec<_>) = (published.lines().collect(), now.lines().collect());
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(
        before == after,
        "V1 is published, and is not changed any more.\ngone: {gone:#?}\nnew: {new:#?}"
    );
}

#[test]
fn every_promise_is_told_apart() {
    let told = promises(Level::V1);
    let mut names: Vec<_> = told.lines().filter_map(|line| line.split(':').next()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "two cases of a suite have one name");
    assert!(told.lines().all(|line| line.contains(": ") && !line.ends_with(": ")), "{told}");
}
