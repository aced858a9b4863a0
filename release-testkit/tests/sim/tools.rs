//! What goes with a simulation: its trace, its replay, making it small, its report, a year of it.

use release_core::model::Span;
use release_policy::window::When;
use release_policy::{WindowSpec, Windows};
use release_testkit::fixtures::{Shop, literal};
use release_testkit::sim::{
    FaultPlan, Humans, Invariant, START, Sim, Trace, days, invariants, mixed,
};

#[test]
fn one_seed_is_one_course() {
    for (seed, sim) in (0..12).zip(mixed().iter().cycle()) {
        let sim = sim.clone().seed(seed);
        let (one, other) = (sim.trace(), sim.trace());
        assert_eq!(one.diff(&other), None);
        assert!(one.lines.len() > 20, "{one}");
    }
}

#[test]
fn a_trace_is_read_back_and_replayed_byte_for_byte() {
    let sim = mixed()[0].clone().seed(6);
    let text = serde_json::to_string(&sim.trace()).unwrap();
    let trace: Trace = serde_json::from_str(&text).unwrap();
    assert_eq!(sim.clone().seed(99).replay(&trace), None);
    let mut changed = trace;
    changed.lines[7].push('!');
    let difference = sim.replay(&changed).unwrap();
    assert_eq!(difference.line, 8);
    assert!(difference.to_string().contains('!'), "{difference}");
}

/// A promise that nobody makes: that no engine ever dies. One clause of ten breaks it.
#[test]
fn a_failing_case_is_made_small() {
    let never = Invariant::new("X1", "no engine dies", |course| {
        let died = |note: &release_testkit::sim::Note| matches!(&note.what, release_testkit::sim::What::Struck { fault } if fault.contains("dies"));
        course.notes.iter().filter(|note| died(note)).map(|_| "it died".to_owned()).collect()
    });
    let faults = "provider: transient 4%; journal: slow 5%; crash engine 30%; \
                  journal: unknown-lost 2%; provider.deploy: late 2%; clock: +1h@day 1";
    let sim = Sim::new(3)
        .train(2, days(1), |_| {
            Shop::new().without_staging().regions(["eu"]).weights([50]).definition()
        })
        .unwrap()
        .faults(FaultPlan::parse(faults).unwrap())
        .humans(Humans::new().meddling(10_000))
        .run_for(days(1))
        .check([never]);
    let small = sim.shrink(0).unwrap();
    assert_eq!(small.faults.clauses.len(), 1, "{small}");
    assert!(small.faults.to_string().starts_with("crash engine"), "{small}");
    assert!(small.to_string().contains("1 runs"), "{small}");
    assert!(sim.faults(FaultPlan::none()).shrink(0).is_none());
}

#[test]
fn a_report_says_what_was_waited_for() {
    let at = |hours: u64| {
        literal::<release_core::model::Timestamp>(START).plus(Span::secs(hours * 3600))
    };
    let when = When::Between { from: at(0), until: at(5) };
    let freeze = WindowSpec::freeze(literal("fair"), when, literal("sre"), "trade fair")
        .in_environment(literal("production"))
        .build()
        .unwrap();
    let report = Sim::new(1)
        .definition(&Shop::new().approvals(1).regions(["eu"]).definition())
        .unwrap()
        .freezes(Windows::new([freeze]).unwrap())
        .check(invariants::all())
        .report();
    assert!(report.is_green(), "{report}");
    let run = &report.runs[0];
    assert_eq!(run.outcome.as_deref(), Some("succeeded"));
    assert!(run.waited["freeze/fair"] > Span::secs(3600), "{report}");
    assert!(run.waited["gate/production/cab"] >= Span::secs(60), "{report}");
    assert!(run.lead_time > Span::secs(5 * 3600), "{report}");
    assert!(report.changes.values().sum::<u32>() > 10, "{report}");
}

/// A train that departs every week, with faults: a whole year is in `examples/year.rs`.
#[test]
fn weekly_trains_are_green() {
    let version = |nth: u32| {
        let mut definition = Shop::new().regions(["eu", "us"]).definition();
        definition.release.id = literal(&format!("shop-{nth}"));
        definition
    };
    let report = Sim::new(5)
        .train(4, days(7), version)
        .unwrap()
        .faults(FaultPlan::parse("crash engine 0.5%; provider: transient 1%").unwrap())
        .humans(Humans::office())
        .run_for(days(7 * 4))
        .check(invariants::all())
        .report();
    assert!(report.is_green(), "{report}");
    assert_eq!(report.runs.iter().filter(|run| run.outcome.is_some()).count(), 4);
}
