//! The judge of cumulative sums: what plans refuse, and what a long bake makes of a level that drifts.

use release_core::analysis::{Conclusion, Finding, Method, Scale};
use release_core::model::{
    Analysis, Background, BlueGreen, Canary, CanaryStep, Cusum, Definition, Digest, Direction,
    Judge, Metric, RollbackTrigger, Selector, Span, Strategy, Timestamp, Unit,
};
use release_core::plan::{Action, PlanError, PlanErrors, plan};
use release_core::port::{Evidence, Measurement};
use release_core::run::Outcome;

use super::support::drive::Run;
use super::support::looks::{failure, findings, finite, go, page, part, repeat};
use super::support::samples::{artifact, id, one_service};

/// Latency, which usually is 200 milliseconds and differs by 10 from look to look.
pub(super) fn rule() -> Cusum {
    Cusum::new(Direction::LowerIsBetter, Unit::Seconds, Some(finite(0.2)), finite(0.01))
}

pub(super) fn latency() -> Metric {
    Metric::Query { query: "latency".into() }
}

pub(super) fn drifting(metric: Metric, rule: Cusum) -> Analysis {
    Analysis {
        interval: Span::secs(300),
        count: 40,
        inconclusive_limit: 3,
        ..Analysis::judged(id("latency"), metric, Judge::Cusum(rule))
    }
}

fn definition(strategy: Strategy, analysis: Analysis) -> Definition {
    let mut definition = one_service(strategy);
    definition.analyses = vec![analysis];
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::Analysis(id("latency"))];
    definition
}

/// An hour after the switch.
fn after() -> Strategy {
    Strategy::BlueGreen(BlueGreen { bake: Span::secs(3_600), ..BlueGreen::default() })
}

fn started(analysis: Analysis) -> Run {
    Run::start(&plan(&definition(after(), analysis)).unwrap().freeze())
}

fn digest(version: &str) -> Digest {
    artifact("api", version).digest()
}

fn value(version: &str, value: f64, at: Timestamp) -> Measurement {
    Measurement::Value { digest: digest(version), value: finite(value), at }
}

/// Numbers that vary by about one around none, and go nowhere.
fn noise(look: u32) -> f64 {
    [0.3, -1.1, 0.9, -0.4, 1.3, -1.0, 0.1, -0.6, 0.8, -0.2][(look as usize * 7) % 10]
}

const JUDGE: &str = "/latency";

fn problems(analysis: Analysis) -> Vec<String> {
    let PlanErrors(errors) = plan(&definition(after(), analysis)).unwrap_err();
    let told = errors.into_iter().map(|error| match error {
        PlanError::BadRule { problem, .. } => problem,
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn sums_that_find_nothing_and_sums_that_find_something_in_nothing_are_refused() {
    let with = |change: fn(&mut Cusum)| {
        let mut rule = rule();
        change(&mut rule);
        drifting(latency(), rule)
    };
    let short = Analysis { count: 20, ..with(|_| {}) };
    let long = Analysis { count: 60, ..with(|_| {}) };
    for (part, analysis) in [
        ("`spread` has to be above 0", with(|rule| rule.spread = finite(0.0))),
        ("`k` has to lie", with(|rule| rule.k = finite(-0.5))),
        ("`h` has to be above 0", with(|rule| rule.h = finite(0.0))),
        ("`alpha` has to lie", with(|rule| rule.alpha = finite(1.0))),
        ("is not above `k`", with(|rule| rule.detect = finite(0.5))),
        ("after 10.4 looks in the mean, and with 94.6 % within the 20", short),
        ("after 931 looks in the mean, and with 5.7 % within the 60", long),
        ("a quantile cannot be told", {
            let histogram = Selector::series("took");
            drifting(Metric::Quantile { histogram, quantile: finite(0.99) }, rule())
        }),
    ] {
        let found = problems(analysis);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    }
    // The same looks bear it with a higher sum, or where more false alarms are allowed.
    for analysis in [
        Analysis { count: 60, ..with(|rule| rule.h = finite(6.0)) },
        Analysis { count: 60, ..with(|rule| rule.alpha = finite(0.1)) },
        Analysis { count: 21, ..with(|_| {}) },
    ] {
        plan(&definition(after(), analysis)).unwrap();
    }
}

fn measured(run: &mut Run, level: impl Fn(u32) -> f64) -> Outcome {
    go(run, JUDGE, |look, now| Evidence::Measurement(value("2.0.0", level(look), now)))
}

#[test]
fn a_level_that_stays_passes_after_all_looks_and_says_between_which_ends_it_lies() {
    let mut run = started(drifting(latency(), rule()));
    let outcome = measured(&mut run, |look| 0.01f64.mul_add(noise(look), 0.2));
    assert_eq!(outcome, Outcome::Succeeded);
    let found = findings(&run, JUDGE);
    assert_eq!(found.len(), 40);
    assert!(found.iter().take(39).all(|f| f.conclusion == Conclusion::Undetermined));
    let last: &Finding = &found[39];
    assert_eq!((last.conclusion, last.method), (Conclusion::Healthy, Method::Cusum));
    let harm = last.harm.unwrap();
    assert_eq!((harm.scale, harm.tolerated), (Scale::Sum, finite(5.0)));
    assert!(harm.estimate.unwrap() < finite(5.0));
    let part = &last.parts[0];
    assert!(part.low.unwrap() < finite(0.0) && part.high.unwrap() > finite(0.0), "{part:?}");
    assert!((last.canary.unwrap().value.get() - 0.2).abs() < 0.001);
    assert_eq!(repeat(&run, JUDGE), 40);
}

#[test]
fn a_small_drift_that_lasts_takes_the_version_back_and_a_peak_does_not() {
    // One spread worse from the eleventh look on: no single look is out of the ordinary.
    let drift = |look: u32| {
        let worse = if look > 10 { 1.0 } else { 0.0 };
        0.01f64.mul_add(noise(look) * 0.5 + worse, 0.2)
    };
    let mut run = started(drifting(latency(), rule()));
    let outcome = measured(&mut run, drift);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let message = failure(&run);
    assert!(message.contains("regressed; the sum is 5.") && message.contains("of 5"), "{message}");
    let looks = findings(&run, JUDGE).len();
    assert!((17..30).contains(&looks), "{looks}");
    let page = page(&run);
    for part in ["the cumulative sum of how much worse", "<td>worse than usual</td>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(repeat(&run, JUDGE), looks);

    let mut run = started(drifting(latency(), rule()));
    let peak = |look: u32| if look == 20 { 0.24 } else { 0.195 };
    assert_eq!(measured(&mut run, peak), Outcome::Succeeded);
}

#[test]
fn better_is_not_worse_and_less_is_where_more_is_better() {
    let mut run = started(drifting(latency(), rule()));
    assert_eq!(measured(&mut run, |_| 0.1), Outcome::Succeeded);
    let upward = Cusum { direction: Direction::HigherIsBetter, ..rule() };
    let mut run = started(drifting(latency(), upward));
    assert!(matches!(measured(&mut run, |_| 0.1), Outcome::RolledBack { .. }));
}

#[test]
fn counts_are_levels_of_the_time_between_two_looks() {
    let metric = Metric::Mean { sum: Selector::series("sum"), count: Selector::series("count") };
    let mut run = started(drifting(metric, rule()));
    // Twice as slow from the twentieth look on, which a mean over all would hardly show.
    let mut sum = 0.0;
    go(&mut run, JUDGE, |look, _| {
        sum += if look < 20 { 0.2 } else { 0.4 } * 100.0;
        Evidence::Measurement(part(digest("2.0.0"), sum, 100.0 * f64::from(look)))
    });
    assert!(matches!(run.state.outcome(), Some(Outcome::RolledBack { .. })));
    let found = findings(&run, JUDGE);
    assert_eq!((found.len(), found[19].conclusion), (20, Conclusion::Regressed));
    assert_eq!(repeat(&run, JUDGE), 20);
}

#[test]
fn what_is_usual_may_be_what_the_old_version_has_beside_it() {
    let small = Cusum { usual: None, ..rule() };
    let beside = Cusum { detect: finite(1.5), ..small };
    // After the switch there is no old version any more.
    let PlanErrors(errors) = plan(&definition(after(), drifting(latency(), beside))).unwrap_err();
    assert!(matches!(errors[..], [PlanError::NothingBeside { .. }]), "{errors:?}");
    let canary = Strategy::Canary(Canary::new(vec![CanaryStep::new(50, Span::ZERO)]));
    // Both versions vary, and a change of one spread is less beside that.
    let PlanErrors(errors) =
        plan(&definition(canary.clone(), drifting(latency(), small))).unwrap_err();
    assert!(errors[0].to_string().contains("at least 95 % are needed"), "{errors:?}");
    let plan = plan(&definition(canary, drifting(latency(), beside))).unwrap();
    let both = |step: &release_core::plan::Step| {
        matches!(&step.action, Action::Analyze { beside: Some(_), .. })
    };
    assert_eq!(plan.steps().iter().filter(|step| both(step)).count(), 1);
    let plan = plan.freeze();
    let looked = |worse: f64| {
        let mut run = Run::start(&plan);
        // Both go up and down together, whatever is usual.
        let tide = |look: u32| 0.01f64.mul_add(f64::from(look), 1.0);
        go(&mut run, JUDGE, |look, now| Evidence::Comparison {
            canary: Box::new(value("2.0.0", tide(look) + worse, now)),
            baseline: Box::new(value("1.0.0", tide(look), now)),
        });
        repeat(&run, JUDGE);
        (run.state.outcome().cloned().unwrap(), findings(&run, JUDGE))
    };
    let (outcome, found) = looked(0.0);
    assert_eq!((outcome, found.len()), (Outcome::Succeeded, 40));
    assert!(found[39].baseline.is_some());
    let (outcome, found) = looked(0.03);
    assert!(matches!(outcome, Outcome::RolledBack { .. }));
    // Two spreads of the difference a look, half of one let pass.
    assert!((3..=5).contains(&found.len()), "{}", found.len());
}

/// The findings of a sum in the background of a canary that bakes for half an hour, looked at every minute.
fn in_the_background(evidence: impl Fn(u32, Timestamp) -> Evidence) -> (Run, Outcome) {
    let step = CanaryStep::new(50, Span::secs(1_800));
    let background = vec![Background { analysis: id("drift"), from_step: 1 }];
    let strategy = Strategy::Canary(Canary { background, ..Canary::new(vec![step]) });
    let mut definition = one_service(strategy);
    let interval = Span::secs(60);
    let drift = Analysis { id: id("drift"), interval, ..drifting(latency(), rule()) };
    definition.analyses.push(drift);
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers.push(RollbackTrigger::Analysis(id("drift")));
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    let outcome = go(&mut run, "background/drift", evidence);
    (run, outcome)
}

#[test]
fn in_the_background_a_sum_goes_on_and_passes_without_an_alarm() {
    let level = |worse: f64| {
        move |look, now| {
            let level = 0.01f64.mul_add(noise(look) + worse, 0.2);
            Evidence::Measurement(value("2.0.0", level, now))
        }
    };
    let watch = "background/drift";
    let (run, outcome) = in_the_background(level(0.0));
    assert_eq!(outcome, Outcome::Succeeded);
    let looks = findings(&run, watch).len();
    assert!(looks > 40, "as long as the rollout goes on, not as long as is planned: {looks}");
    assert_eq!(repeat(&run, watch), looks);
    let (run, outcome) = in_the_background(level(2.0));
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(findings(&run, watch).last().unwrap().conclusion, Conclusion::Regressed);
    // Silence is no pass.
    let (run, outcome) = in_the_background(|look, now| {
        if look > 3 {
            return Evidence::Measurement(Measurement::NoData { reason: "silence".into() });
        }
        level(0.0)(look, now)
    });
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert!(failure(&run).contains("silence"), "{}", failure(&run));
}

#[test]
fn nothing_new_is_no_look() {
    let mut run = started(drifting(latency(), rule()));
    let mut first = None;
    go(&mut run, JUDGE, |_, now| {
        let at = *first.get_or_insert(now);
        Evidence::Measurement(value("2.0.0", 0.2, at))
    });
    let message = failure(&run);
    assert!(message.contains("(4 such measurements, 3 tolerated)"), "{message}");
    let found = findings(&run, JUDGE);
    assert_eq!(found.iter().map(|f| f.looks).collect::<Vec<_>>(), [1; 5]);
}
