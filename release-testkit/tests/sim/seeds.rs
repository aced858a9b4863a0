//! Many seeds of small scenarios, all green.

use release_core::model::Span;
use release_testkit::fixtures::Shop;
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

/// The first seeds of those of which CI runs ten thousand (`examples/simulate.rs`).
#[test]
fn mixed_scenarios_are_green() {
    let scenarios = release_testkit::sim::mixed();
    for (seed, sim) in (0..48).zip(scenarios.iter().cycle()) {
        let report = sim.clone().seed(seed).report();
        assert!(report.is_green(), "{report}");
    }
}
