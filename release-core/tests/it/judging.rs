//! What the sequential judge concludes of looks, and what it does not.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use release_core::analysis::{Conclusion, Finding, Trial};
use release_core::model::{
    Analysis, Bound, Digest, Direction, Edition, Expected, Finite, Judge, Margin, Metric, Selector,
    Sequential, Span, Target, Timestamp, Unit,
};
use release_core::plan::{Action, Beside, Deployment};
use release_core::port::{Bucket, Evidence, Measurement};

use crate::support::samples::{artifact, id};

pub(super) fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

fn errors() -> Metric {
    Metric::Ratio { numerator: Selector::series("bad"), denominator: Selector::series("all") }
}

fn rule() -> Sequential {
    Sequential {
        direction: Direction::LowerIsBetter,
        unit: Unit::Share,
        margin: Margin { relative: finite(0.5), absolute: Finite::ZERO },
        expected: Expected {
            per_second: finite(1_000.0),
            value: finite(0.01),
            spread: finite(1.0),
            detect: finite(3.0),
        },
        alpha: finite(0.01),
        critical: false,
        warm_up: 0,
        baseline: None,
        comparisons: 1,
        edition: Edition::default(),
    }
}

fn deployment(content: &str) -> Arc<Deployment> {
    let target = Target::new(id("prod"), id("eu"), id("api"));
    let (artifact, version) = (artifact("api", content), semver::Version::new(1, 0, 0));
    Arc::new(Deployment { target, artifact, version })
}

fn digest(content: &str) -> Digest {
    artifact("api", content).digest()
}

pub(super) fn trial(metric: Metric, change: impl FnOnce(&mut Sequential)) -> Trial {
    let mut rule = rule();
    change(&mut rule);
    let analysis = Analysis {
        min_samples: 10,
        count: 100,
        ..Analysis::judged(id("it"), metric, Judge::Sequential(rule))
    };
    let beside = Some(Box::new(Beside::new(deployment("old"), 50)));
    let (deployment, analysis) = (deployment("new"), Arc::new(analysis));
    Trial::new(Action::Analyze { deployment, analysis, from: None, beside, until: None }).unwrap()
}

pub(super) fn both(canary: Measurement, baseline: Measurement) -> Evidence {
    Evidence::Comparison { canary: Box::new(canary), baseline: Box::new(baseline) }
}

pub(super) fn ratio(content: &str, part: f64, whole: f64) -> Measurement {
    let (numerator, denominator) = (finite(part), finite(whole));
    Measurement::Ratio { digest: digest(content), numerator, denominator }
}

pub(super) fn second(look: u32) -> Timestamp {
    Timestamp::default().plus(Span::secs(u64::from(look)))
}

/// Looks whose increments are given: events and requests, of the new and of the old version.
fn counted(trial: &mut Trial, looks: &[([f64; 2], [f64; 2])]) -> Vec<Finding> {
    let (mut new, mut old) = ([0.0; 2], [0.0; 2]);
    let mut look = |(at, (canary, baseline)): (u32, &([f64; 2], [f64; 2]))| {
        for (sum, more) in new.iter_mut().zip(canary).chain(old.iter_mut().zip(baseline)) {
            *sum += more;
        }
        let evidence = both(ratio("new", new[0], new[1]), ratio("old", old[0], old[1]));
        trial.look(second(at), &evidence).unwrap().0
    };
    (1..).zip(looks).map(&mut look).collect()
}

/// Numbers that vary a little and go nowhere.
pub(super) fn noise(look: u32) -> f64 {
    f64::from(look * 37 % 17) / 17.0 - 0.5
}

/// Looks of a number of the moment.
fn levels(
    trial: &mut Trial,
    looks: u32,
    value: impl Fn(u32) -> [f64; 2],
) -> Vec<(Conclusion, String)> {
    let measured = |content, value: f64, at| Measurement::Value {
        digest: digest(content),
        value: finite(value),
        at,
    };
    let mut look = |at| {
        let ([new, old], now) = (value(at), second(at));
        let evidence = both(measured("new", new, now), measured("old", old, now));
        let (finding, because) = trial.look(now, &evidence).unwrap();
        (finding.conclusion, because)
    };
    (1..=looks).map(&mut look).collect()
}

fn first(found: &[(Conclusion, String)], wanted: Conclusion) -> Option<usize> {
    found.iter().position(|(conclusion, _)| *conclusion == wanted)
}

#[test]
fn a_few_errors_beside_none_are_not_a_pass() {
    let looks = [0.0, 1.0, 2.0, 1.0, 0.0, 0.0].map(|bad| ([bad, 100.0], [0.0, 100.0]));
    for critical in [false, true] {
        let found = counted(&mut trial(errors(), |rule| rule.critical = critical), &looks);
        assert!(found.iter().all(|finding| finding.conclusion == Conclusion::Undetermined));
    }
}

#[test]
fn clear_harm_and_clear_health_are_seen_with_their_interval() {
    let harmed = vec![([30.0, 1_000.0], [10.0, 1_000.0]); 60];
    let found = counted(&mut trial(errors(), |_| {}), &harmed);
    let at = found.iter().position(|f| f.conclusion == Conclusion::Regressed).unwrap();
    let harm = found[at].harm.unwrap();
    assert!((harm.estimate.unwrap().get() - 3.0).abs() < 1e-12, "{harm:?}");
    assert!(harm.low.unwrap() > finite(1.5) && harm.high.unwrap() > finite(3.0), "{harm:?}");
    assert_eq!(found[at].looks, u32::try_from(at + 1).unwrap());

    let well = vec![([10.0, 1_000.0], [10.0, 1_000.0]); 60];
    let found = counted(&mut trial(errors(), |_| {}), &well);
    let at = found.iter().position(|f| f.conclusion == Conclusion::Healthy).unwrap();
    assert!(at > 8, "health is shown by much data: {at}");
    assert!(found[..at].iter().all(|f| f.conclusion == Conclusion::Undetermined));
}

#[test]
fn more_successes_are_better() {
    let metric = || Metric::Ratio {
        numerator: Selector::series("ok"),
        denominator: Selector::series("all"),
    };
    let upward = |rule: &mut Sequential| rule.direction = Direction::HigherIsBetter;
    let worse = vec![([970.0, 1_000.0], [990.0, 1_000.0]); 60];
    let found = counted(&mut trial(metric(), upward), &worse);
    assert!(found.iter().any(|finding| finding.conclusion == Conclusion::Regressed));
    let better = vec![([999.0, 1_000.0], [970.0, 1_000.0]); 60];
    let found = counted(&mut trial(metric(), upward), &better);
    assert!(found.iter().all(|finding| finding.conclusion != Conclusion::Regressed));
}

#[test]
fn f32_what_is_no_measurement_concludes_nothing_and_the_looks_before_still_count() {
    let mut trial = trial(errors(), |_| {});
    let good = |n: f64| both(ratio("new", n, 100.0 * n), ratio("old", n, 100.0 * n));
    let mut at = 0;
    let mut look = |evidence: &Evidence| {
        at += 1;
        trial.look(second(at), evidence).unwrap()
    };
    assert_eq!(look(&good(1.0)).0.looks, 1);
    let none =
        |content: &str| (content.to_owned(), Measurement::NoData { reason: "silence".into() });
    for (part, evidence) in [
        ("of the new version: silence", both(none("new").1, ratio("old", 2.0, 200.0))),
        ("of the old version: silence", both(ratio("new", 2.0, 200.0), none("old").1)),
        ("measured sha256:", both(ratio("old", 2.0, 200.0), ratio("old", 2.0, 200.0))),
        ("cannot be counts", both(ratio("new", -2.0, 200.0), ratio("old", 2.0, 200.0))),
        ("counts have fallen", both(ratio("new", 0.0, 50.0), ratio("old", 2.0, 200.0))),
        ("only one version", Evidence::Measurement(ratio("new", 2.0, 200.0))),
    ] {
        let (finding, because) = look(&evidence);
        assert_eq!(finding.conclusion, Conclusion::NoData, "{because}");
        assert!(because.contains(part), "{because}");
        assert_eq!(finding.looks, 1);
    }
    assert_eq!(look(&good(2.0)).0.looks, 2);
}

#[test]
fn who_is_compared_has_to_be_who_was_planned() {
    // A tenth of the traffic where half was planned: whoever comes is not who was to come.
    let looks = vec![([0.0, 100.0], [0.0, 900.0]); 4];
    let found = counted(&mut trial(errors(), |_| {}), &looks);
    assert!(found.iter().skip(1).all(|finding| finding.conclusion == Conclusion::ShareMismatch));
    // A window that began later for one of them is no such thing: it was watched for less.
    let mut late = vec![([0.0, 100.0], [0.0, 900.0])];
    late.extend(vec![([0.0, 500.0], [0.0, 500.0]); 30]);
    let found = counted(&mut trial(errors(), |_| {}), &late);
    assert!(found.iter().all(|finding| finding.conclusion != Conclusion::ShareMismatch));
}

#[test]
fn f34_beside_an_ill_version_nothing_is_concluded() {
    let ill = |rule: &mut Sequential| rule.baseline = Some(Bound::AtMost(finite(0.05)));
    let looks = vec![([100.0, 1_000.0], [90.0, 1_000.0]); 30];
    let found = counted(&mut trial(errors(), ill), &looks);
    assert!(found.iter().all(|finding| finding.conclusion == Conclusion::BaselineUnhealthy));
}

#[test]
fn looks_of_the_warm_up_are_thrown_away() {
    // Terrible while it warms up, and well from then on.
    let mut looks = vec![([500.0, 1_000.0], [10.0, 1_000.0]); 5];
    looks.extend(vec![([10.0, 1_000.0], [10.0, 1_000.0]); 55]);
    let found = counted(&mut trial(errors(), |rule| rule.warm_up = 5), &looks);
    assert!(found.iter().all(|finding| finding.conclusion != Conclusion::Regressed));
    assert_eq!(found[4].looks, 0);
    assert_eq!(found[5].looks, 1);
    assert!(found.iter().any(|finding| finding.conclusion == Conclusion::Healthy));
}

#[test]
fn levels_are_compared_whatever_their_scale() {
    let metric = || Metric::Query { query: "latency".into() };
    let value = |look: u32| [10.0 + noise(look) + 6.0, 10.0 + noise(look * 7 + 3)];
    let plain = levels(&mut trial(metric(), |_| {}), 60, value);
    let at = first(&plain, Conclusion::Regressed).unwrap();
    for scale in [1e-9, 1e-6, 0.001, 7.0, 1e3, 1e9] {
        let scaled = |look| value(look).map(|value| value * scale);
        let found = levels(&mut trial(metric(), |_| {}), 60, scaled);
        assert_eq!(first(&found, Conclusion::Regressed), Some(at), "{scale}");
        let same =
            |(one, _): &(Conclusion, String), (other, _): &(Conclusion, String)| one == other;
        assert!(found.iter().zip(&plain).all(|(one, other)| same(one, other)), "{scale}");
    }
    let well = |look: u32| [10.0 + noise(look), 10.0 + noise(look * 7 + 3)];
    let found = levels(&mut trial(metric(), |_| {}), 60, well);
    assert!(first(&found, Conclusion::Healthy).is_some());
    assert!(first(&found, Conclusion::Regressed).is_none());
}

#[test]
fn a_number_that_never_changes_is_within_an_absolute_margin() {
    let metric = || Metric::Query { query: "restarts".into() };
    let room = |rule: &mut Sequential| {
        rule.margin = Margin { relative: Finite::ZERO, absolute: finite(0.5) };
    };
    // That nothing varied in eight looks does not say that nothing does: it is taken to vary as is expected.
    let usually = |spread: f64| {
        move |rule: &mut Sequential| {
            room(rule);
            rule.expected.spread = finite(spread);
        }
    };
    let when = |spread: f64, canary: f64, wanted| {
        first(&levels(&mut trial(metric(), usually(spread)), 99, |_| [canary, 0.0]), wanted)
    };
    // Eight looks would do; ten samples are wanted.
    assert_eq!(when(0.01, 0.0, Conclusion::Healthy), Some(9));
    assert_eq!(when(0.01, 3.0, Conclusion::Regressed), Some(9));
    let later = when(0.5, 0.0, Conclusion::Healthy).unwrap();
    assert!(later > 20, "{later}");
    assert_eq!(when(10.0, 0.0, Conclusion::Healthy), None);
    assert_eq!(when(10.0, 3.0, Conclusion::Regressed), None);
    // Nor does what varies by rounding alone, or a level that both share.
    let both = |look: u32| [10.0 + noise(look) + 0.1, 10.0 + noise(look)];
    let relative = |rule: &mut Sequential| rule.expected.spread = finite(100.0);
    let found = levels(&mut trial(metric(), relative), 60, both);
    assert!(found.iter().all(|(found, _)| *found == Conclusion::Undetermined), "{found:?}");
}

#[test]
fn an_outage_is_seen_at_the_first_look_and_waves_are_not() {
    let worse = |new: f64, old: f64| {
        let looks = vec![([new, 10_000.0], [old, 10_000.0]); 7];
        let found = counted(&mut trial(errors(), |rule| rule.critical = true), &looks);
        found.iter().position(|finding| finding.conclusion == Conclusion::Regressed)
    };
    assert_eq!(worse(10_000.0, 50.0), Some(0));
    assert_eq!(worse(9_000.0, 100.0), Some(0));
    // Three times as many of so many would be no chance, but for waves, of which few looks tell nothing.
    assert_eq!(worse(300.0, 100.0), None);
    assert_eq!(worse(3_000.0, 1_000.0), None);
    let looks = vec![([9_000.0, 10_000.0], [100.0, 10_000.0]); 1];
    let finding = &counted(&mut trial(errors(), |_| {}), &looks)[0];
    let harm = finding.harm.unwrap();
    assert!(harm.low.unwrap().get() > 50.0 && harm.high.unwrap().get() < 160.0, "{harm:?}");
}

#[test]
fn f32_a_stale_number_is_no_data() {
    let mut trial = trial(Metric::Query { query: "up".into() }, |_| {});
    let value =
        |content: &str, at| Measurement::Value { digest: digest(content), value: finite(1.0), at };
    let (now, old) = (second(100), second(97));
    let (finding, because) = trial.look(now, &both(value("new", now), value("old", old))).unwrap();
    assert_eq!(finding.conclusion, Conclusion::NoData);
    assert!(because.contains("3s old"), "{because}");
}

#[test]
fn f32_a_number_counts_once_and_not_before_its_time() {
    let mut trial = trial(Metric::Query { query: "up".into() }, |_| {});
    let value =
        |content: &str, at| Measurement::Value { digest: digest(content), value: finite(1.0), at };
    let mut look = |now: u32, [new, old]: [u32; 2]| {
        let evidence = both(value("new", second(new)), value("old", second(old)));
        let (finding, because) = trial.look(second(now), &evidence).unwrap();
        (finding.looks, because)
    };
    assert_eq!(look(100, [100, 100]).0, 1);
    for sample in [[100, 100], [101, 100], [100, 101]] {
        let (looks, because) = look(101, sample);
        assert!(looks == 1 && because.contains("nothing new"), "{sample:?}: {looks}, {because}");
    }
    assert_eq!(look(101, [101, 101]).0, 2);
    let (looks, because) = look(102, [163, 102]);
    assert!(looks == 2 && because.contains("ahead"), "{looks}, {because}");
    assert_eq!(look(103, [104, 103]).0, 3);
}

#[test]
fn bad_events_that_become_fewer_are_of_another_window() {
    let mut trial = trial(errors(), |_| {});
    let mut look = |at, bad: f64, all: f64| {
        let evidence = both(ratio("new", bad, all), ratio("old", 1.0, all));
        trial.look(second(at), &evidence).unwrap()
    };
    assert_eq!(look(1, 5.0, 100.0).0.looks, 1);
    let (finding, because) = look(2, 4.0, 200.0);
    assert_eq!(finding.conclusion, Conclusion::NoData);
    assert!(because.contains("fallen"), "{because}");
    assert_eq!(look(3, 5.0, 200.0).0.looks, 2);
}

/// A histogram of `all` observations of which these lie at or below the bounds.
pub(super) fn histogram(content: &str, scale: f64, below: [f64; 3], all: f64) -> Measurement {
    let bucket = |(bound, count): (f64, f64)| Bucket {
        at_most: Some(finite(bound * scale)),
        count: finite(count),
    };
    let mut buckets: Vec<Bucket> = [0.1, 0.25, 0.5].into_iter().zip(below).map(bucket).collect();
    buckets.push(Bucket { at_most: None, count: finite(all) });
    Measurement::Histogram { digest: digest(content), buckets }
}

#[test]
fn a_quantile_that_moves_is_found_at_any_scale() {
    let metric =
        || Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.99) };
    let look = |at: u32, slow: f64, scale: f64| {
        let n = f64::from(at) * 5_000.0;
        let of =
            |content, share: f64| histogram(content, scale, [n * 0.5, n * (1.0 - share), n], n);
        both(of("new", slow), of("old", 0.01))
    };
    let mut places = Vec::new();
    for scale in [1e-9, 1.0, 1e9] {
        // A tenth more of latency at the 99th percentile, where latencies are spread as logarithms of 0.3: 2.2 of a hundred
        // are slower than one was.
        let first = |slow: f64, wanted: Conclusion| {
            let mut trial = trial(metric(), |_| {});
            let found =
                (1..=60).map(|at| trial.look(second(at), &look(at, slow, scale)).unwrap().0);
            found.map(|finding| finding.conclusion).position(|found| found == wanted)
        };
        places.push([first(0.022, Conclusion::Regressed), first(0.01, Conclusion::Healthy)]);
    }
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert!(places[0].iter().all(Option::is_some), "{places:?}");
}

fn p99() -> Metric {
    Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.99) }
}

/// Looks of a histogram with as many observations each, of which these parts lie at or below the bounds.
fn slow(change: impl FnOnce(&mut Sequential), [new, old]: [[f64; 3]; 2]) -> Vec<(Finding, String)> {
    let mut trial = trial(p99(), change);
    let mut look = |at: u32| {
        let n = f64::from(at) * 5_000.0;
        let of = |content, parts: [f64; 3]| histogram(content, 1.0, parts.map(|p| p * n), n);
        trial.look(second(at), &both(of("new", new), of("old", old))).unwrap()
    };
    (1..=60).map(&mut look).collect()
}

fn ends(found: &[(Finding, String)]) -> Conclusion {
    let ends = |(finding, _): &&(Finding, String)| {
        matches!(finding.conclusion, Conclusion::Healthy | Conclusion::Regressed)
    };
    found.iter().find(ends).map_or(Conclusion::Undetermined, |(finding, _)| finding.conclusion)
}

#[test]
fn a_quantile_whose_bucket_holds_all_is_judged_by_leaving_it() {
    let fast = [1.0, 1.0, 1.0];
    let found = slow(|_| {}, [fast, fast]);
    assert_eq!(ends(&found), Conclusion::Healthy);
    let because = &found.last().unwrap().1;
    assert!(because.contains("leaves the bucket"), "{because}");
    // A few beyond it do not move the quantile out of it, as many as a fiftieth do.
    assert_eq!(ends(&slow(|_| {}, [[0.998, 1.0, 1.0], fast])), Conclusion::Healthy);
    assert_eq!(ends(&slow(|_| {}, [[0.995, 1.0, 1.0], fast])), Conclusion::Healthy);
    assert_eq!(ends(&slow(|_| {}, [[0.97, 1.0, 1.0], fast])), Conclusion::Regressed);
    // Where hardly any lie beyond the upper end of its bucket, it is not these that tell.
    let old = [0.5, 0.5, 0.9999];
    assert_eq!(ends(&slow(|_| {}, [old, old])), Conclusion::Healthy);
    assert_eq!(ends(&slow(|_| {}, [[0.5, 0.5, 0.9996], old])), Conclusion::Healthy);
    assert_eq!(ends(&slow(|_| {}, [[0.5, 0.5, 0.97], old])), Conclusion::Regressed);
    // The lower end of its bucket, where that is the nearer one.
    let found = slow(|_| {}, [[0.98, 1.0, 1.0], [0.98, 1.0, 1.0]]);
    assert_eq!(ends(&found), Conclusion::Healthy);
    assert!(found.last().unwrap().1.contains("of all above 0.1 "), "{:?}", found.last());
    assert_eq!(ends(&slow(|_| {}, [[0.94, 1.0, 1.0], [0.98, 1.0, 1.0]])), Conclusion::Regressed);
}

#[test]
fn f34_a_quantile_of_the_old_version_is_ill_in_its_own_unit() {
    let parts = [[0.5, 0.99, 1.0], [0.5, 0.99, 1.0]];
    let bound = |limit: f64| {
        move |rule: &mut Sequential| {
            (rule.unit, rule.baseline) = (Unit::Seconds, Some(Bound::AtMost(finite(limit))));
        }
    };
    // Its 99th percentile is at most a quarter of a second.
    let found = slow(bound(0.2), parts);
    assert_eq!(ends(&found), Conclusion::Undetermined);
    let (finding, because) = found.last().unwrap();
    assert_eq!(finding.conclusion, Conclusion::BaselineUnhealthy);
    assert!(because.contains("quantile at 0.25 s"), "{because}");
    assert_eq!(ends(&slow(bound(0.25), parts)), Conclusion::Healthy);
}

#[test]
fn f32_a_histogram_that_is_none_is_no_data() {
    let metric =
        || Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.99) };
    let well = |content| histogram(content, 1.0, [4_000.0, 9_900.0, 10_000.0], 10_000.0);
    for (part, broken) in [
        ("do not grow", histogram("old", -1.0, [1.0, 2.0, 3.0], 10_000.0)),
        ("counts fall", histogram("old", 1.0, [9.0, 2.0, 3.0], 10_000.0)),
        ("no buckets", Measurement::Histogram { digest: digest("old"), buckets: Vec::new() }),
        ("beyond all bounds", histogram("old", 1.0, [1.0, 2.0, 3.0], 10_000.0)),
    ] {
        let (finding, because) =
            trial(metric(), |_| {}).look(second(1), &both(well("new"), broken)).unwrap();
        assert_eq!(finding.conclusion, Conclusion::NoData, "{because}");
        assert!(because.contains(part), "{because}");
    }
}

#[test]
fn the_same_looks_give_the_same_findings_to_the_last_bit() {
    let looks: Vec<_> = (0..50_u32)
        .map(|n| ([f64::from(n * 7 % 5), 100.0], [f64::from(n * 3 % 4), 101.0]))
        .collect();
    let once = counted(&mut trial(errors(), |_| {}), &looks);
    let again = counted(&mut trial(errors(), |_| {}), &looks);
    let json = |found: &[Finding]| serde_json::to_string(found).unwrap();
    assert_eq!(json(&once), json(&again));
    let mut other = looks;
    other[3].0[0] += 1.0;
    let other = counted(&mut trial(errors(), |_| {}), &other);
    assert_eq!(once[2].samples, other[2].samples);
    assert_ne!(once[3].samples, other[3].samples);
    assert_ne!(once[49].samples, other[49].samples, "what came before is part of it");
    let read: Vec<Finding> = serde_json::from_str(&json(&once)).unwrap();
    assert_eq!(read, once);
}
