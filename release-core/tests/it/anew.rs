//! Sources whose counts begin anew, as after a restart: the look that sees it says nothing, what was counted before still counts, and
//! the next look goes on from there.

use std::sync::Arc;

use release_core::analysis::{Conclusion, Finding, Trial};
use release_core::model::{
    Analysis, Cusum, Metric, ScoreMethod, Scored, Selector, Span, Timestamp,
};
use release_core::plan::{Action, Beside};
use release_core::port::{Evidence, Measurement, Pair};

use super::support::looks::{finite, part};
use super::support::samples::{artifact, deployment, error_rate};
use super::{burning, drifting, judging, scorecards};

/// The look at which counts begin anew.
const ANEW: u32 = 5;

/// What was counted until a look, of ten thousand requests each before [`ANEW`] and of a hundred each from then on: so few that
/// what begins anew never gets to where it was.
fn all(look: u32, anew: bool) -> f64 {
    let (before, after) = (look.min(ANEW - 1), look.saturating_sub(ANEW - 1));
    let before = if anew && after > 0 { 0.0 } else { 10_000.0 * f64::from(before) };
    100.0f64.mul_add(f64::from(after), before)
}

/// One in a hundred.
fn failed(version: &str, look: u32, anew: bool) -> Measurement {
    let all = all(look, anew);
    part(artifact("api", version).digest(), all / 100.0, all)
}

fn trial(analysis: Analysis) -> Trial {
    let beside = Beside::new(deployment("api", "1.0.0"), 50);
    let beside = analysis.compares().then(|| Box::new(beside));
    let (deployment, analysis) = (deployment("api", "2.0.0"), Arc::new(analysis));
    Trial::new(Action::Analyze { deployment, analysis, from: None, beside, until: None }).unwrap()
}

/// The findings of so many looks, half a minute apart. Of all of them, only that at which counts begin anew is without data.
#[track_caller]
fn looks(trial: &mut Trial, count: u32, evidence: impl Fn(u32) -> Evidence) -> Vec<Finding> {
    let mut found = Vec::new();
    for look in 1..=count {
        let at = Timestamp::default().plus(Span::secs(30 * u64::from(look)));
        let (finding, because) = trial.look(at, &evidence(look)).unwrap();
        let silent = finding.conclusion == Conclusion::NoData;
        assert_eq!(silent, look == ANEW, "look {look}: {because}");
        assert!(!silent || because.contains("counts have fallen"), "{because}");
        found.push(finding);
    }
    found
}

#[test]
fn a_comparison_goes_on_with_what_it_saw_of_both_versions() {
    // Both begin anew, or one of them: what the other counted meanwhile is of no look then.
    for anew in [[true, true], [true, false], [false, true]] {
        for (warm_up, counted, samples) in [(0, 29, 42_500.0), (6, 23, 2_300.0)] {
            let mut trial = judging::trial(error_rate().metric, |rule| rule.warm_up = warm_up);
            let found = looks(&mut trial, 30, |look| {
                let of = |content: &str, anew: bool| {
                    judging::ratio(content, all(look, anew) / 100.0, all(look, anew))
                };
                judging::both(of("new", anew[0]), of("old", anew[1]))
            });
            let last = found.last().unwrap();
            assert_eq!(last.looks, counted);
            for seen in [last.canary, last.baseline] {
                let seen = seen.unwrap();
                assert_eq!((seen.value, seen.samples), (finite(0.01), finite(samples)), "{anew:?}");
            }
        }
    }
}

#[test]
fn windows_of_a_burn_rate_hold_what_was_counted_before_and_after() {
    let mut trial = trial(burning::burning(burning::rule()));
    let found = looks(&mut trial, 30, |look| Evidence::Measurement(failed("2.0.0", look, true)));
    assert!(found.iter().all(|f| f.parts.is_empty() || f.conclusion == Conclusion::Healthy));
    assert_eq!(found[29].looks, 29);
    let samples = |look: usize| {
        let finding = &found[look - 1];
        (finding.canary.unwrap().samples, finding.parts[0].samples)
    };
    // The long window from the beginning, the short one over the last two looks, of which one is without data.
    assert_eq!(samples(4), (finite(40_000.0), finite(20_000.0)));
    assert_eq!(samples(6), (finite(40_100.0), finite(100.0)));
    assert_eq!(samples(30), (finite(2_000.0), finite(200.0)));
}

#[test]
fn a_burn_rate_finds_what_fails_after_counts_began_anew() {
    let mut trial = trial(burning::burning(burning::rule()));
    let mut look = |look: u32, bad: f64, all: f64| {
        let at = Timestamp::default().plus(Span::secs(30 * u64::from(look)));
        let measured = part(artifact("api", "2.0.0").digest(), bad, all);
        trial.look(at, &Evidence::Measurement(measured)).unwrap().0.conclusion
    };
    assert_eq!(look(1, 10.0, 1_000.0), Conclusion::Healthy);
    assert_eq!(look(2, 0.0, 100.0), Conclusion::NoData);
    assert_eq!(look(3, 190.0, 300.0), Conclusion::Regressed);
}

#[test]
fn a_sum_goes_on_with_the_levels_after_it() {
    let metric = Metric::Mean { sum: Selector::series("sum"), count: Selector::series("count") };
    let took =
        |version: &str, sum: f64, all: f64| part(artifact("api", version).digest(), sum, all);
    let mut alone = trial(drifting::drifting(metric.clone(), drifting::rule()));
    let found = looks(&mut alone, 41, |look| {
        Evidence::Measurement(took("2.0.0", 0.2 * all(look, true), all(look, true)))
    });
    let last = &found[40];
    assert_eq!((last.conclusion, last.looks), (Conclusion::Healthy, 40));
    assert!((last.canary.unwrap().value.get() - 0.2).abs() < 1e-9);
    // Where one version began anew, the other was slow: that is of no look of either.
    let rule = Cusum { usual: None, ..drifting::rule() };
    for anew in [[true, false], [false, true]] {
        let mut both = trial(drifting::drifting(metric.clone(), rule));
        let found = looks(&mut both, 41, |look| {
            let of = |version: &str, anew: bool| {
                let slow = if !anew && look >= ANEW { 180.0 } else { 0.0 };
                took(version, 0.2f64.mul_add(all(look, anew), slow), all(look, anew))
            };
            Evidence::Comparison {
                canary: Box::new(of("2.0.0", anew[0])),
                baseline: Box::new(of("1.0.0", anew[1])),
            }
        });
        let last = &found[40];
        assert_eq!((last.conclusion, last.looks), (Conclusion::Healthy, 40), "{anew:?}");
        for seen in [last.canary, last.baseline] {
            assert!((seen.unwrap().value.get() - 0.2).abs() < 1e-9, "{anew:?}: {seen:?}");
        }
    }
}

#[test]
fn a_scorecard_lacks_one_point_of_what_began_anew() {
    let metric = Scored::new("errors", "users", error_rate().metric);
    let card = scorecards::card(ScoreMethod::default(), vec![metric]);
    let mut trial = trial(scorecards::scoring(card, 40));
    let mut points = Vec::new();
    for look in 1..=40 {
        let at = Timestamp::default().plus(Span::secs(30 * u64::from(look)));
        let (canary, baseline) = (failed("2.0.0", look, true), failed("1.0.0", look, false));
        let evidence = Evidence::Comparisons { of: vec![Pair { canary, baseline }] };
        points = trial.look(at, &evidence).unwrap().0.parts;
    }
    assert_eq!(points[0].samples, finite(39.0));
    assert_eq!(points[0].baseline_samples, Some(finite(40.0)));
}
