//! Samples that are as old as the last scrape: analyses that look more often than there are any.

use std::collections::BTreeMap;

use release_core::import::analysis_template;
use release_core::model::{
    Analysis, Bound, Canary, CanaryStep, Definition, Judge, Metric, RollbackTrigger, Selector,
    Span, Strategy, Threshold, Timestamp, Unit,
};
use release_core::plan::{PlanError, PlanErrors, plan};
use release_core::port::{Evidence, Measurement};
use release_core::run::{Event, Outcome, Verdict};

use super::support::drive::Run;
use super::support::looks::{failure, finite, go, part};
use super::support::samples::{artifact, error_rate, id, one_service};

/// Between two scrapes.
const SCRAPES: u64 = 15;

fn definition(analysis: Analysis) -> Definition {
    let step =
        CanaryStep { analyses: vec![analysis.id.clone()], ..CanaryStep::new(50, Span::ZERO) };
    let mut definition = one_service(Strategy::Canary(Canary::new(vec![step])));
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::Analysis(analysis.id.clone())];
    definition.analyses = vec![analysis];
    definition
}

fn started(analysis: Analysis) -> Run {
    Run::start(&plan(&definition(analysis)).unwrap().freeze())
}

#[test]
fn limits_on_numbers_of_nobody_knows_what_are_refused() {
    let limits = Threshold::new(Bound::AtMost(finite(0.5)));
    let took = Selector::series("took");
    let mean = Metric::Mean { sum: Selector::series("sum"), count: Selector::series("count") };
    let quantile = Metric::Quantile { histogram: took, quantile: finite(0.99) };
    let query = Metric::Query { query: "latency".into() };
    for metric in [mean, quantile, query] {
        let of = |limits| Analysis::judged(id("latency"), metric.clone(), Judge::Threshold(limits));
        let PlanErrors(errors) = plan(&definition(of(limits))).unwrap_err();
        let [error @ PlanError::NoUnit { .. }] = errors.as_slice() else { panic!("{errors:?}") };
        let wanted = format!("the numbers of its {} are numbers of; add `unit`", metric.kind());
        assert!(error.to_string().contains(&wanted), "{error}");
        plan(&definition(of(limits.of(Unit::Seconds)))).unwrap();
    }
    // The numbers of a ratio are shares.
    plan(&definition(error_rate())).unwrap();
}

/// A run whose looks find a number of the last scrape, which is `lag` seconds old when it may be asked for.
fn scraped(run: &mut Run, step: &str, (value, lag): (f64, u64)) -> Outcome {
    go(run, step, |_, now| {
        let second = now.since(Timestamp::default()).as_duration().as_secs();
        let newest = Timestamp::default().plus(Span::secs(second - second % SCRAPES - lag));
        let digest = artifact("api", "2.0.0").digest();
        Evidence::Measurement(Measurement::Value { digest, value: finite(value), at: newest })
    })
}

fn verdicts(run: &Run) -> Vec<Verdict> {
    let found = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::StepMeasured { verdict, .. } => Some(*verdict),
        _ => None,
    });
    found.collect()
}

/// Three good measurements, looked for every five seconds, and none may say nothing.
fn latency() -> Analysis {
    let metric = Metric::Query { query: "latency".into() };
    let limits = Threshold::new(Bound::AtMost(finite(0.5))).of(Unit::Seconds);
    Analysis {
        interval: Span::secs(5),
        fresh_for: Some(Span::secs(30)),
        count: 3,
        inconclusive_limit: 0,
        ..Analysis::judged(id("latency"), metric, Judge::Threshold(limits))
    }
}

#[test]
fn a_look_before_the_next_scrape_counts_neither_for_a_version_nor_against_it() {
    let mut run = started(latency());
    assert_eq!(scraped(&mut run, "/latency", (0.1, 0)), Outcome::Succeeded);
    let found = verdicts(&run);
    let count = |wanted| found.iter().filter(|verdict| **verdict == wanted).count();
    // The third good one ends it; in between, the same is found twice each time, or once where the first was found late.
    assert_eq!((count(Verdict::Pass), count(Verdict::Inconclusive)), (2, 0), "{found:?}");
    assert!((2..=4).contains(&count(Verdict::Undetermined)), "{found:?}");
    // Held against what nobody says, the sample is too old two looks later.
    let mut hasty = started(Analysis { interval: Span::secs(1), fresh_for: None, ..latency() });
    let outcome = scraped(&mut hasty, "/latency", (0.1, 5));
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert!(failure(&hasty).contains("set `fresh_for`"), "{}", failure(&hasty));
    // What is bad is bad once, and not again at each look.
    let mut bad = started(Analysis { failure_limit: 1, ..latency() });
    assert!(matches!(scraped(&mut bad, "/latency", (0.9, 0)), Outcome::RolledBack { .. }));
    assert!(failure(&bad).contains("2 such measurements"), "{}", failure(&bad));
    assert!(verdicts(&bad).contains(&Verdict::Undetermined));
}

#[test]
fn counts_that_grow_with_every_third_look_are_as_good_as_those_that_grow_with_each() {
    let analysis = Analysis { id: id("errors"), metric: error_rate().metric, ..latency() };
    let digest = artifact("api", "2.0.0").digest();
    let grown = |look: u32| part(digest, 0.0, 100.0 * f64::from(look.div_ceil(3)));
    let mut run = started(analysis.clone());
    let outcome = go(&mut run, "/errors", |look, _| Evidence::Measurement(grown(look)));
    assert_eq!(outcome, Outcome::Succeeded);
    let waited = [Verdict::Pass, Verdict::Undetermined, Verdict::Undetermined];
    assert_eq!(verdicts(&run), [waited, waited].concat());
    // Without a word on how long they are fresh, it is too much at once.
    let mut run = started(Analysis { fresh_for: None, ..analysis });
    let outcome = go(&mut run, "/errors", |look, _| Evidence::Measurement(grown(look)));
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
}

/// Waiting for a sample ends: a version of which none comes any more does not pass, and does not hang.
#[test]
fn f33_a_source_that_stops_is_waited_for_until_its_last_sample_is_stale() {
    let mut run = started(latency());
    let begin = run.now;
    let outcome = go(&mut run, "/latency", |_, _| {
        let digest = artifact("api", "2.0.0").digest();
        Evidence::Measurement(Measurement::Value { digest, value: finite(0.1), at: begin })
    });
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert!(failure(&run).contains("the newest sample is 35s old"), "{}", failure(&run));
    let (errors, digest) = (error_rate().metric, artifact("api", "2.0.0").digest());
    let mut run = started(Analysis { id: id("errors"), metric: errors, ..latency() });
    let silent = |_, _| Evidence::Measurement(part(digest, 0.0, 100.0));
    let outcome = go(&mut run, "/errors", silent);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert!(failure(&run).contains("no sample since the last look"), "{}", failure(&run));
    // One good one, six looks of waiting, and the one after them ends it.
    assert_eq!(verdicts(&run).len(), 7);
}

/// As in Argo, but that each sample counts once: five scrapes, and no look in between is held against the version.
#[test]
fn a_template_of_argo_works_as_imported_where_samples_are_as_old_as_a_scrape() {
    let template = |interval: &str| {
        let text = format!(
            "kind: AnalysisTemplate\nspec:\n  metrics:\n  - name: latency\n    {interval}\n    successCondition: result[0] < 0.5\n    provider: {{ prometheus: {{ query: p99 }} }}\n"
        );
        analysis_template(&text, &BTreeMap::new()).unwrap().analyses.remove(0)
    };
    let mut once = started(template("failureLimit: 0"));
    assert_eq!(scraped(&mut once, "/latency", (0.1, 14)), Outcome::Succeeded);
    assert!(verdicts(&once).is_empty());
    let mut five = started(template("interval: 5s\n    count: 5"));
    assert_eq!(scraped(&mut five, "/latency", (0.1, 14)), Outcome::Succeeded);
    let found = verdicts(&five);
    let count = |wanted| found.iter().filter(|verdict| **verdict == wanted).count();
    assert_eq!((count(Verdict::Pass), count(Verdict::Inconclusive)), (4, 0), "{found:?}");
    assert!((6..=8).contains(&count(Verdict::Undetermined)), "{found:?}");
    let mut bad = started(template("interval: 5s\n    count: 5"));
    assert!(matches!(scraped(&mut bad, "/latency", (0.9, 14)), Outcome::RolledBack { .. }));
}
