//! Analyses that compare versions, under faults of their source and of the engine.

use release_core::analysis::Conclusion;
use release_core::run::Event;
use release_testkit::fixtures::{self, Shop};
use release_testkit::sim::{Badness, FaultPlan, Sim, days, invariants};

fn shop() -> Sim {
    let shop = Shop::new().without_staging().regions(["eu"]);
    let mut definition = shop.definition();
    for analysis in &mut definition.analyses {
        *analysis = fixtures::compared_error_rate();
    }
    Sim::new(0).definition(&definition).unwrap().run_for(days(1)).check(invariants::all())
}

fn conclusions(sim: &Sim) -> Vec<Conclusion> {
    let course = sim.course();
    let facts = course.runs.iter().flat_map(|run| &run.facts);
    let findings = facts.filter_map(|fact| match &fact.event {
        Event::StepMeasured { finding, .. }
        | Event::StepSucceeded { finding, .. }
        | Event::StepFailed { finding, .. } => finding.as_ref(),
        _ => None,
    });
    findings.map(|finding| finding.conclusion).collect()
}

/// What failed, and why.
fn failures(sim: &Sim) -> Vec<String> {
    let course = sim.course();
    let facts = course.runs.iter().flat_map(|run| &run.facts);
    let failed = facts.filter_map(|fact| match &fact.event {
        Event::StepFailed { step, error, .. } => Some(format!("{}: {}", step.id, error.message)),
        _ => None,
    });
    failed.collect()
}

#[test]
fn a_version_that_is_no_worse_goes_out() {
    let report = shop().report();
    assert!(report.is_green(), "{report}");
    let outcome = report.runs[0].outcome.as_deref();
    assert_eq!(outcome, Some("succeeded"), "{report}{:#?}", failures(&shop()));
    assert!(conclusions(&shop()).contains(&Conclusion::Healthy));
}

#[test]
fn a_version_that_fails_is_taken_back() {
    let new = Shop::set(Shop::NEW).members.into_values().map(|member| member.artifact.digest());
    let bad = new.fold(shop(), |sim, digest| sim.bad(digest, Badness::Failing));
    let report = bad.report();
    assert!(report.is_green(), "{report}");
    assert_eq!(report.runs[0].outcome.as_deref(), Some("rolled_back"), "{report}");
    let found = conclusions(&bad);
    assert!(found.contains(&Conclusion::Regressed), "{found:?}{:#?}", failures(&bad));
}

#[test]
fn f32_faults_of_the_source_and_crashes_break_no_promise() {
    let faults = "crash engine 3%; takeover 3%; provider.metrics: no-data 10%; provider.metrics: nan 10%; \
                  provider.metrics: bad 2%; provider: wrong-digest 1%; provider: transient 5%; provider: slow 5%";
    let faults = FaultPlan::parse(faults).unwrap();
    for seed in 0..60 {
        let report = shop().engines(2).faults(faults.clone()).seed(seed).report();
        assert!(report.is_green(), "{report}");
    }
}
