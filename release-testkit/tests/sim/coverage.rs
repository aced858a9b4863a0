//! The mixed scenario of CI reaches what it is there for: a generator that loses its faults is found.

use release_testkit::sim::{Coverage, mixed};

const STATES: [&str; 6] = [
    "run going forward",
    "run rolling back",
    "step performing",
    "step looking",
    "step baking",
    "step blocked",
];

const OF_THE_SHELL: [&str; 13] = [
    "crash",
    "crash before",
    "crash torn",
    "crash written",
    "crash acked",
    "crash effect",
    "journal unknown-stored",
    "journal unknown-lost",
    "journal unknown-late",
    "journal unavailable",
    "journal no-space",
    "journal slow",
    "pause",
];

const OF_PROVIDERS: [&str; 12] = [
    "transient",
    "permanent",
    "apply-then-timeout",
    "timeout-then-apply",
    "hang",
    "duplicate",
    "late",
    "wrong-digest",
    "garbage",
    "revert",
    "slow",
    "no-data",
];

const OTHERS: [(&str, &str); 15] = [
    ("ledger", "crash written"),
    ("ledger", "crash torn"),
    ("ledger", "journal unknown-late"),
    ("ledger", "journal unknown-lost"),
    ("run going forward", "takeover"),
    ("run rolling back", "takeover"),
    ("run going forward", "clock"),
    ("run beginning", "crash torn"),
    ("run going forward", "poison"),
    ("step retrying", "journal slow"),
    ("step retrying", "pause"),
    ("step measuring", "crash torn"),
    ("step unknown", "crash"),
    ("rollback performing", "transient"),
    ("rollback looking", "hang"),
];

/// Seeds that have to reach all of it.
const SEEDS: u64 = 700;

#[test]
fn the_mixed_scenario_reaches_every_state_with_every_fault() {
    let mut coverage = Coverage::default();
    for (seed, sim) in (0..SEEDS).zip(mixed().iter().cycle()) {
        coverage.add(&sim.clone().seed(seed).course().coverage);
    }
    let shell = STATES.iter().flat_map(|state| OF_THE_SHELL.map(|fault| (*state, fault)));
    let calls = OF_PROVIDERS.map(|fault| ("step performing", fault));
    let wanted: Vec<_> = shell.chain(calls).chain(OTHERS).collect();
    assert_eq!(coverage.missing(wanted), [], "\n{coverage}");
}

#[test]
fn what_was_not_reached_is_missing() {
    let coverage = mixed()[0].clone().seed(0).faults(release_testkit::sim::FaultPlan::none());
    let coverage = coverage.course().coverage;
    assert_eq!(coverage.pairs().count(), 0);
    assert_eq!(coverage.missing([("step baking", "crash torn")]), [("step baking", "crash torn")]);
}
