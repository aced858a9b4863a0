//! Many seeds of small scenarios, all green.

use std::collections::BTreeSet;

use release_core::model::{RollbackScope, Span};
use release_core::run::Command;
use release_testkit::fixtures::{self, Shop};
use release_testkit::sim::{FaultPlan, Humans, Sim, days, invariants};

fn shop() -> Sim {
    let shop = Shop::new().approvals(1).regions(["eu"]).bake(Span::secs(60));
    Sim::new(0).definition(&shop.definition()).unwrap().run_for(days(1)).check(invariants::all())
}

#[track_caller]
fn green(sim: &Sim, seeds: u64) {
    for seed in 0..seeds {
        let report = sim.clone().seed(seed).report();
        assert!(report.is_green(), "{report}");
    }
}

#[test]
fn nothing_goes_wrong_where_nothing_goes_wrong() {
    let report = shop().report();
    assert!(report.is_green(), "{report}");
    assert_eq!(report.runs[0].outcome.as_deref(), Some("succeeded"), "{report}");
}

#[test]
fn crashes_and_faults_of_journals_break_no_promise() {
    let faults = "crash engine 4%; journal: unknown-stored 2%; journal: unknown-lost 2%; \
                  journal: unknown-late 2%; journal: unavailable 2%; journal: slow 4%";
    green(&shop().faults(FaultPlan::parse(faults).unwrap()), 20);
}

#[test]
fn a_crash_at_every_append_breaks_no_promise() {
    green(&shop().faults(FaultPlan::parse("crash engine@every-append").unwrap()), 8);
}

#[test]
fn engines_that_take_runs_from_each_other_break_no_promise() {
    let faults = "takeover 10%; pause engine 10m 2%; crash engine 2%; journal: slow 5%";
    green(&shop().engines(3).faults(FaultPlan::parse(faults).unwrap()), 20);
}

#[test]
fn faults_of_providers_and_people_break_no_promise() {
    let faults = "provider: transient 5%; provider: apply-then-timeout 3%; provider: hang 2%; \
                  provider: timeout-then-apply 3%; provider: unknown 3%; provider: duplicate 5%; \
                  provider: late 2%; provider: permanent 0.5%; provider: revert 1%; \
                  provider: wrong-digest 0.5%; provider: garbage 0.5%; provider: slow 5%; \
                  provider.metrics: no-data 5%; provider.metrics: nan 5%; provider.metrics: bad 2%";
    let humans = Humans::office().meddling(5_000).overeager(200_000).wrong_button(50_000);
    green(&shop().humans(humans).faults(FaultPlan::parse(faults).unwrap()), 20);
}

/// Regions fail, and people leave members behind whenever they like.
#[test]
fn what_is_left_behind_breaks_no_promise() {
    let faults = "crash engine 2%; provider: permanent 0.7%; provider: unknown 3%; journal: slow 2%; \
                  provider: apply-then-timeout 2%";
    let (mut ends, mut seeds) = (BTreeSet::new(), 0);
    for scope in [RollbackScope::Region, RollbackScope::Wave] {
        for stop in 1..=2 {
            let shop = Shop::new().without_staging().approvals(1).regions(["eu", "us", "ap"]);
            let mut definition = shop.bake(Span::secs(60)).rollback_scope(scope).definition();
            for stage in &mut definition.stages {
                stage.stop_after_failed_regions = Some(stop);
            }
            let sim = Sim::new(0).definition(&definition).unwrap().run_for(days(1));
            let sim = sim.check(invariants::all()).humans(Humans::new().meddling(2_000));
            let descope = Command::Descope { service: fixtures::literal("web") };
            let sim = sim.command(Span::secs(3_000), 0, fixtures::operator(), descope);
            let sim = sim.faults(FaultPlan::parse(faults).unwrap());
            for seed in 0..12 {
                let report = sim.clone().seed(seed).report();
                assert!(report.is_green(), "{report}");
                ends.extend(report.runs[0].outcome.clone());
                seeds += 1;
            }
        }
    }
    assert!(ends.iter().any(|end| end == "succeeded_without"), "{ends:?} of {seeds}");
    assert!(ends.iter().any(|end| end == "rolled_back"), "{ends:?} of {seeds}");
}

/// The first seeds of those of which CI runs ten thousand (`examples/simulate.rs`).
#[test]
fn mixed_scenarios_are_green() {
    let scenarios = release_testkit::sim::mixed();
    for (seed, sim) in (0..48).zip(scenarios.iter().cycle()) {
        let report = sim.clone().seed(seed).report();
        assert!(report.is_green(), "{report}");
    }
}
