//! A quantile of an old version that has little traffic: looks until it is fixed where it lies, in runs and in what is planned.

use release_core::analysis::{Conclusion, Finding, Power, power};
use release_core::model::{
    Analysis, Canary, CanaryStep, Edition, Metric, Selector, Span, Strategy, Unit,
};
use release_core::plan::{PlanError, PlanErrors, plan};
use release_core::port::{Bucket, Evidence, Measurement};
use release_core::run::Outcome;

use super::comparing::{comparing, definition};
use super::judging::{both, histogram, second, trial};
use super::support::drive::Run;
use super::support::looks::{failure, findings, finite, go, go_on, repeat};
use super::support::samples::{artifact, id};

const JUDGE: &str = "/errors";

fn p99() -> Metric {
    Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.99) }
}

/// A comparison of 99th percentiles, of which twice as many may be slow, once a second.
fn tail(per_second: f64, count: u32, warm_up: u32) -> Analysis {
    let rule = comparing(|rule| {
        rule.unit = Unit::Seconds;
        rule.margin.relative = finite(1.0);
        rule.expected.per_second = finite(per_second);
        rule.expected.detect = finite(5.0);
        rule.warm_up = warm_up;
    });
    Analysis { metric: p99(), count, ..rule }
}

fn half() -> Strategy {
    baked(0)
}

/// Half of the traffic, so many seconds before the first look.
fn baked(seconds: u64) -> Strategy {
    let step = CanaryStep::new(50, Span::secs(seconds));
    Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(vec![step]) })
}

fn started(analysis: Analysis) -> Run {
    Run::start(&plan(&definition(half(), analysis)).unwrap().freeze())
}

/// So many observations of either version so far, of which one in a hundred is slow.
fn observed(all: f64) -> Evidence {
    let of = |version: &str| {
        let slow = (all / 100.0).floor();
        let fast = Bucket { at_most: Some(finite(0.25)), count: finite(all - slow) };
        let buckets = vec![fast, Bucket { at_most: None, count: finite(all) }];
        Measurement::Histogram { digest: artifact("api", version).digest(), buckets }
    };
    both(of("2.0.0"), of("1.0.0"))
}

fn silent() -> Measurement {
    Measurement::NoData { reason: "silence".into() }
}

/// Found in review: a thousand observations took twenty looks here, and after eleven without a verdict an equal version went back.
#[test]
fn equal_versions_with_little_traffic_pass_although_it_takes_looks_to_fix_their_quantile() {
    let analysis = tail(100.0, 600, 0);
    assert_eq!(analysis.inconclusive_limit, 10);
    let mut run = started(analysis);
    let outcome = go(&mut run, JUDGE, |look, _| observed(50.0 * f64::from(look)));
    assert_eq!(outcome, Outcome::Succeeded);
    let found = findings(&run, JUDGE);
    let (waited, counted) = found.split_at(20);
    let waits = |found: &Finding| found.conclusion == Conclusion::Undetermined && found.looks == 0;
    assert!(waited.iter().all(waits), "{waited:?}");
    assert_eq!(counted[0].looks, 1);
    assert_eq!(counted.last().unwrap().conclusion, Conclusion::Healthy);
    assert_eq!(repeat(&run, JUDGE), found.len());
}

#[test]
fn a_source_that_falls_silent_meanwhile_has_no_data() {
    let mut run = started(tail(100.0, 600, 0));
    let outcome = go(&mut run, JUDGE, |look, _| {
        if look <= 5 { observed(50.0 * f64::from(look)) } else { both(silent(), silent()) }
    });
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let found = findings(&run, JUDGE);
    assert_eq!(found.len(), 16, "five that wait, and eleven of ten that are tolerated");
    assert!(found[..5].iter().all(|found| found.conclusion == Conclusion::Undetermined));
    assert!(found[5..].iter().all(|found| found.conclusion == Conclusion::NoData));
    let message = failure(&run);
    assert!(message.contains("silence") && message.contains("10 tolerated"), "{message}");
}

/// With less traffic than was expected it is never fixed, and people decide, as with all that ends undetermined.
#[test]
fn what_is_never_fixed_is_undetermined_and_no_pass() {
    let mut run = started(tail(20_000.0, 60, 0));
    let outcome = go_on(&mut run, JUDGE, |look, _| observed(f64::from(look)));
    assert_eq!(outcome, None);
    let found = findings(&run, JUDGE);
    assert_eq!(found.len(), 60);
    assert!(found.iter().all(|found| found.conclusion == Conclusion::Undetermined));
}

#[test]
fn only_too_few_observations_of_both_are_waited_for() {
    let of = |content: &str, all: f64| histogram(content, 1.0, [all * 0.5, all * 0.99, all], all);
    let mut waits = trial(p99(), |_| {});
    for look in 1..=19 {
        let all = 50.0 * f64::from(look);
        let (found, because) =
            waits.look(second(look), &both(of("new", all), of("old", all))).unwrap();
        assert_eq!((found.conclusion, found.looks), (Conclusion::Undetermined, 0), "{because}");
        assert!(because.contains("fix where its quantile lies"), "{because}");
    }
    for (look, counts) in [(20, 0), (21, 1)] {
        let all = 50.0 * f64::from(look);
        let evidence = both(of("new", all), of("old", all));
        assert_eq!(waits.look(second(look), &evidence).unwrap().0.looks, counts);
    }
    for (part, evidence) in [
        ("of the old version: silence", both(of("new", 50.0), silent())),
        ("of the new version: silence", both(silent(), of("old", 50.0))),
        ("measured sha256:", both(of("old", 50.0), of("old", 50.0))),
        ("fix where its quantile lies", both(of("new", 50.0), of("old", 0.0))),
        ("no observation of the new version", both(of("new", 0.0), of("old", 50.0))),
        ("no observation of the new version", both(of("new", 0.0), of("old", 5_000.0))),
    ] {
        let (found, because) = trial(p99(), |_| {}).look(second(1), &evidence).unwrap();
        assert_eq!(found.conclusion, Conclusion::NoData, "{because}");
        assert!(because.contains(part), "{because}");
    }
    // What plans of the first edition found stays what it was.
    let mut first = trial(p99(), |rule| rule.edition = Edition::First);
    let few = both(of("new", 50.0), of("old", 50.0));
    assert_eq!(first.look(second(1), &few).unwrap().0.conclusion, Conclusion::NoData);
}

#[test]
fn looks_until_a_quantile_is_fixed_find_nothing() {
    let told = |(count, warm_up): (u32, u32), share: u8| {
        power(&tail(100.0, count, warm_up), share).unwrap().unwrap()
    };
    // At half of a hundred requests a second a thousand observations take twenty seconds, at nine tenths twelve, and the first look
    // comes at once. A warm-up of as many takes no more: its last look fixes it.
    for (share, looks) in [(50, 21), (10, 13)] {
        assert_eq!(told((600, 0), share), told((600, looks), share), "{share} %");
        assert_ne!(told((600, 0), share), told((600, looks + 1), share), "{share} %");
    }
    let nothing = Power { detects: 0.0, passes: 0.0, detectable: None };
    assert_eq!(told((20, 0), 50), nothing);
    let PlanErrors(errors) = plan(&definition(half(), tail(100.0, 20, 0))).unwrap_err();
    let blind = errors.iter().find_map(|error| match error {
        PlanError::Blind { analysis, problem, .. } if *analysis == id("errors") => Some(problem),
        _ => None,
    });
    let problem = blind.unwrap();
    assert!(problem.contains("where the quantile of the old version lies"), "{problem}");
}

/// What came in the bake fixes it as well: of the thousand observations, at half of a hundred a second, half in ten seconds.
#[test]
fn a_plan_reckons_with_the_bake_before_its_looks() {
    let told = |seconds: u64, count: u32| {
        let plan = plan(&definition(baked(seconds), tail(100.0, count, 0))).unwrap();
        let power: Vec<Power> = plan.power().into_iter().map(|(_, power)| power).collect();
        assert_eq!(power.len(), 1);
        power[0]
    };
    for (seconds, lost) in [(0, 21), (10, 11), (19, 2), (20, 1), (600, 1)] {
        assert_eq!(told(seconds, 600), told(0, 621 - lost), "{seconds} s");
        assert_ne!(told(seconds, 600), told(0, 622 - lost), "{seconds} s");
    }
}
