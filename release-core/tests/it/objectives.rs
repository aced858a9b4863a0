//! Objectives that are scored together as Keptn does; rows of looks; looks in dry run.

use std::sync::Arc;

use proptest::prelude::*;
use release_core::analysis::{Conclusion, Finding, Method, Scale, Trial};
use release_core::model::{
    Analysis, Bound, Canary, CanaryStep, Criterion, Definition, Finite, Judge, Metric, Objective,
    Objectives, RollbackTrigger, Selector, Span, Strategy as Rollout, Target, Threshold, Timestamp,
    Unit,
};
use release_core::plan::{Action, Deployment, FrozenPlan, PlanError, PlanErrors, plan};
use release_core::port::{Evidence, Measurement};
use release_core::run::Outcome;

use super::journal::{same_as_golden, seal_with_digests};
use super::scorecards::{digest, query, value};
use super::support::drive::{End, Run};
use super::support::looks::{failure, findings, finite, go, page, repeat};
use super::support::samples::{artifact, id, one_service};

const JUDGE: &str = "/score";

/// Latency, a key objective, and errors, which weigh three times as much.
fn two() -> Objectives {
    let above = |limit| Some(Criterion::Above(finite(limit)));
    let latency =
        Objective::new("latency", query("p95"), Criterion::Above(finite(600.0))).of(Unit::Number);
    let errors =
        Objective::new("errors", query("errors"), Criterion::AtLeast(finite(10.0))).of(Unit::Count);
    Objectives {
        of: vec![
            Objective { warning: above(300.0), key: true, ..latency },
            Objective { warning: above(5.0), weight: finite(3.0), ..errors },
        ],
        pass: finite(75.0),
        warning: Some(finite(50.0)),
    }
}

fn scoring(rule: Objectives) -> Analysis {
    let metric = rule.of[0].metric.clone();
    let interval = Span::secs(60);
    let judged = Analysis::judged(id("score"), metric, Judge::Objectives(rule));
    Analysis { interval, inconclusive_limit: 0, ..judged }
}

fn definition(analysis: Analysis) -> Definition {
    let canary = Canary::new(vec![CanaryStep {
        analyses: vec![analysis.id.clone()],
        ..CanaryStep::new(50, Span::ZERO)
    }]);
    let mut definition = one_service(Rollout::Canary(canary));
    if !analysis.dry_run {
        let criteria = definition.release.rollback.as_mut().unwrap();
        criteria.triggers = vec![RollbackTrigger::Analysis(id("score"))];
        definition.analyses.clear();
    }
    definition.analyses.push(analysis);
    definition
}

fn planned(analysis: Analysis) -> FrozenPlan {
    plan(&definition(analysis)).unwrap().freeze()
}

/// The looks of a run whose metrics are as told.
fn run(analysis: Analysis, look: impl Fn(u32) -> Vec<Option<f64>>) -> (Run, Outcome) {
    let mut run = Run::start(&planned(analysis));
    let outcome = go(&mut run, JUDGE, |number, now| {
        let of = look(number).into_iter().map(|one| value("2.0.0", one, now));
        Evidence::Measurements { of: of.collect() }
    });
    (run, outcome)
}

fn trial(analysis: Analysis) -> Trial {
    let deployment = Deployment {
        target: Target::new(id("prod"), id("eu"), id("api")),
        artifact: artifact("api", "2.0.0"),
        version: id("2.0.0"),
    };
    let analysis = Arc::new(analysis);
    let action = Action::Analyze {
        deployment: deployment.into(),
        analysis,
        from: None,
        beside: None,
        until: None,
    };
    Trial::new(action).unwrap()
}

fn one_look(rule: Objectives, of: Vec<Measurement>) -> (Finding, String) {
    let at = Timestamp::default().plus(Span::secs(60));
    trial(scoring(rule)).look(at, &Evidence::Measurements { of }).unwrap()
}

/// What Keptn's metrics operator makes of values: whether it passes, and whether it warns. Weights and percentages are whole, so
/// that nothing is rounded.
fn keptn(of: &[(u32, bool, Option<&str>)], pass: u32, warning: u32) -> (bool, bool) {
    let all: u32 = of.iter().map(|(weight, ..)| 2 * weight).sum();
    let score = |(weight, _, said): &(u32, bool, Option<&str>)| match said {
        Some("passes") => 2 * weight,
        Some("warns") => *weight,
        _ => 0,
    };
    let scored: u32 = of.iter().map(score).sum();
    let key_failed = of.iter().any(|(_, key, said)| *key && matches!(said, None | Some("fails")));
    let passes = scored * 100 >= pass * all && !key_failed;
    (passes, !passes && scored * 100 >= warning * all && !key_failed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// What passes in Keptn passes here, what warns there is inconclusive here, and what fails there fails here, or is without data
    /// here that might have saved it.
    #[test]
    fn objectives_come_to_what_they_come_to_in_keptn(
        all in proptest::collection::vec((1_u32..5, any::<bool>(), 0_u8..4), 1..6),
        (pass, warning) in (1_u32..=100, 0_u32..=100).prop_map(|(a, b)| (a.max(b), a.min(b))),
    ) {
        let said = |one: u8| [Some("passes"), Some("warns"), Some("fails"), None][usize::from(one)];
        let of: Vec<_> = all.iter().map(|(weight, key, one)| (*weight, *key, said(*one))).collect();
        let objective = |number: usize| {
            let (weight, key, _) = of[number];
            let failure = Criterion::Outside { from: finite(-2.0), to: finite(2.0) };
            let one = Objective::new(format!("o{number}"), query("x"), failure).of(Unit::Number);
            let warning = Some(Criterion::Above(finite(1.0)));
            Objective { warning, key, weight: finite(f64::from(weight)), ..one }
        };
        let rule = Objectives {
            of: (0..of.len()).map(objective).collect(),
            pass: finite(f64::from(pass)),
            warning: Some(finite(f64::from(warning))),
        };
        let at = Timestamp::default().plus(Span::secs(60));
        let measured = |said: &(u32, bool, Option<&str>)| match said.2 {
            Some("passes") => value("2.0.0", Some(1.0), at),
            Some("warns") => value("2.0.0", Some(1.5), at),
            Some(_) => value("2.0.0", Some(-2.5), at),
            // Of another version, of no value, or of long ago.
            None if said.0 == 1 => value("1.0.0", Some(1.0), at),
            None if said.0 == 2 => value("2.0.0", Some(1.0), Timestamp::from_micros(-1_000_000_000)),
            None => value("2.0.0", None, at),
        };
        let (finding, because) = one_look(rule, of.iter().map(measured).collect());
        let (passes, warns) = keptn(&of, pass, warning);
        let missing = of.iter().any(|(_, _, said)| said.is_none());
        let saved: Vec<_> = of.iter().map(|(w, k, said)| (*w, *k, said.or(Some("passes")))).collect();
        let (best_passes, best_warns) = keptn(&saved, pass, warning);
        let want = match (passes, warns) {
            (true, _) => Conclusion::Healthy,
            (false, true) if !missing => Conclusion::Undetermined,
            _ if missing && (best_passes || best_warns) => Conclusion::NoData,
            _ => Conclusion::Regressed,
        };
        prop_assert_eq!(finding.conclusion, want, "{:?}, {} to {}: {}", of, warning, pass, because);
        prop_assert_eq!(finding.method, Method::Objectives);
        let words: Vec<_> = finding.parts.iter().map(|part| part.says.trim_end_matches(", key")).collect();
        let told: Vec<_> = of.iter().map(|(_, _, said)| said.unwrap_or("no data")).collect();
        prop_assert_eq!(words, told);
    }
}

#[test]
fn a_run_goes_by_the_score_of_all_objectives() {
    // Errors warn: 2.5 of 4, which is 62.5 %.
    let warned = || scoring(two());
    let (run_of, outcome) = run(warned(), |_| vec![Some(100.0), Some(6.0)]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
    let said = failure(&run_of);
    for part in ["a score of 62.5 %, where 75 % pass", "errors warns: 6, above 5", "1 such"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Where one such look is tolerated, the next has to be good.
    let tolerant = Analysis { inconclusive_limit: 1, ..warned() };
    let (run_of, outcome) =
        run(tolerant, |look| vec![Some(400.0), Some(if look == 1 { 6.0 } else { 1.0 })]);
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(repeat(&run_of, JUDGE), 2);
    let found = findings(&run_of, JUDGE);
    let conclusions: Vec<_> = found.iter().map(|finding| finding.conclusion).collect();
    assert_eq!(conclusions, [Conclusion::Undetermined, Conclusion::Healthy]);
    // The latency warns: half of 1 of 4 is missing.
    let harm = found[1].harm.unwrap();
    assert_eq!((harm.scale, harm.estimate), (Scale::Missing, Some(finite(12.5))));
    assert_eq!(harm.tolerated, finite(25.0));
    let page = page(&run_of);
    for part in ["score, a score of 2 objectives", "latency", "warns, key"] {
        assert!(page.contains(part), "{part}");
    }
    // A key objective fails everything, whatever the score is.
    let (run_of, outcome) = run(warned(), |_| vec![Some(601.0), Some(0.0)]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
    let said = failure(&run_of);
    assert!(said.contains("latency, a key objective fails: 601, above 600"), "{said}");
}

#[test]
fn a_look_waits_until_every_objective_has_a_newer_sample() {
    let analysis = Analysis { count: 2, fresh_for: Some(Span::secs(600)), ..scoring(two()) };
    let mut trial = trial(analysis);
    let second = |n: u64| Timestamp::default().plus(Span::secs(n));
    let mut look = |now: u64, [latency, errors]: [u64; 2]| {
        let one = |at| value("2.0.0", Some(1.0), second(at));
        let of = vec![one(latency), one(errors)];
        let (finding, because) = trial.look(second(now), &Evidence::Measurements { of }).unwrap();
        (finding.conclusion, because)
    };
    assert_eq!(look(60, [50, 55]).0, Conclusion::Healthy);
    let (conclusion, because) = look(120, [110, 55]);
    assert_eq!(conclusion, Conclusion::Undetermined);
    assert!(because.starts_with("errors: no sample since"), "{because}");
    assert_eq!(look(180, [170, 175]).0, Conclusion::Healthy);
}

/// Found in review: a look that waited for one objective used up the newer sample of the other, and the next waited for that.
#[test]
fn objectives_that_are_sampled_in_turn_do_not_wait_for_each_other_for_ever() {
    let analysis = Analysis { count: 9, fresh_for: Some(Span::secs(600)), ..scoring(two()) };
    let mut trial = trial(analysis);
    let second = |n: u64| Timestamp::default().plus(Span::secs(n));
    // Each is sampled every 20 seconds, the latency at even looks and the errors at odd ones, which are 10 seconds apart.
    let looks = (6..=15_u64).map(|look| {
        let (latency, errors) = (look / 2 * 20, (look - 1) / 2 * 20 + 10);
        let of = [latency, errors].map(|at| value("2.0.0", Some(1.0), second(at))).to_vec();
        trial.look(second(look * 10), &Evidence::Measurements { of }).unwrap().0.conclusion
    });
    let turn = [Conclusion::Healthy, Conclusion::Undetermined];
    assert_eq!(looks.collect::<Vec<_>>(), turn.repeat(5));
}

#[test]
fn counts_and_histograms_are_held_to_the_side_that_passes_nothing_bad() {
    let ratio =
        Metric::Ratio { numerator: Selector::series("bad"), denominator: Selector::series("all") };
    let quantile = Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.5) };
    let slow = Objective::new("slow", quantile, Criterion::Above(finite(0.2)));
    let errors = Objective::new("errors", ratio, Criterion::Above(finite(0.1)));
    let rule = Objectives { of: vec![errors, slow], pass: finite(100.0), warning: None };
    let bad = |bad: f64| Measurement::Ratio {
        digest: digest("2.0.0"),
        numerator: finite(bad),
        denominator: finite(100.0),
    };
    // Half of all lies somewhere between 0.1 and 0.25: maybe above 0.2.
    let buckets = [(Some(0.1), 10.0), (Some(0.25), 90.0), (None, 100.0)].map(|(at_most, count)| {
        release_core::port::Bucket { at_most: at_most.map(finite), count: finite(count) }
    });
    let took = Measurement::Histogram { digest: digest("2.0.0"), buckets: buckets.to_vec() };
    let (finding, because) = one_look(rule.clone(), vec![bad(5.0), took.clone()]);
    assert_eq!(finding.conclusion, Conclusion::Regressed, "{because}");
    let says: Vec<_> = finding.parts.iter().map(|part| part.says.as_str()).collect();
    assert_eq!(says, ["passes", "fails"]);
    assert_eq!(
        (finding.parts[1].low, finding.parts[1].high),
        (Some(finite(0.1)), Some(finite(0.25)))
    );
    // Too few samples are no data.
    let few = Analysis { min_samples: 1_000, ..scoring(rule) };
    let at = Timestamp::default().plus(Span::secs(60));
    let evidence = Evidence::Measurements { of: vec![bad(50.0), took] };
    let (finding, because) = trial(few).look(at, &evidence).unwrap();
    assert_eq!(finding.conclusion, Conclusion::NoData, "{because}");
}

fn problems(analysis: Analysis) -> Vec<String> {
    let PlanErrors(errors) = plan(&definition(analysis)).unwrap_err();
    let told = errors.into_iter().map(|error| match error {
        PlanError::BadRule { problem, .. } => problem,
        no_unit @ PlanError::NoUnit { .. } => no_unit.to_string(),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn objectives_that_say_nothing_are_refused() {
    let with = |change: fn(&mut Objectives)| {
        let mut rule = two();
        change(&mut rule);
        scoring(rule)
    };
    for (part, analysis) in [
        ("is there twice", with(|rule| rule.of[1].name = "latency".into())),
        ("weighs less than nothing", with(|rule| rule.of[1].weight = finite(-1.0))),
        (
            "no objective weighs anything",
            with(|rule| {
                rule.of.iter_mut().for_each(|one| one.weight = Finite::ZERO);
            }),
        ),
        (
            "the numbers of objective `latency` are numbers of; add `unit`",
            with(|rule| rule.of[0].unit = None),
        ),
        ("are not in order", with(|rule| rule.warning = Some(finite(80.0)))),
        ("are not in order", with(|rule| rule.pass = finite(101.0))),
        (
            "or everything passes",
            with(|rule| {
                (rule.pass, rule.warning) = (Finite::ZERO, None);
            }),
        ),
        (
            "goes from 2 to 1",
            with(|rule| {
                rule.of[0].failure = Some(Criterion::Within { from: finite(2.0), to: finite(1.0) });
            }),
        ),
        (
            "of which only a bucket is known",
            with(|rule| {
                let histogram = Selector::series("took");
                rule.of[0].metric = Metric::Quantile { histogram, quantile: finite(0.99) };
                rule.of[0].failure =
                    Some(Criterion::Outside { from: finite(1.0), to: finite(2.0) });
            }),
        ),
        (
            "has to lie between 0 and 1",
            with(|rule| {
                let histogram = Selector::series("took");
                rule.of[1].metric = Metric::Quantile { histogram, quantile: finite(1.0) };
            }),
        ),
        (
            "more than 32 objectives",
            with(|rule| {
                let one = rule.of[0].clone();
                let name = |n: u32| Objective { name: format!("o{n}"), ..one.clone() };
                rule.of = (0..33).map(name).collect();
            }),
        ),
    ] {
        let problems = problems(analysis);
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:?}");
    }
}

#[test]
fn objectives_stand_in_files_without_a_metric_beside_them() {
    let text = r#"{"id":"score","judge":{"objectives":{"of":[{"name":"latency","metric":{"query":{"query":"p95"}},"failure":{"outside":{"from":1.0,"to":2.0}},"key":true}],"pass":90.0,"warning":75.0}}}"#;
    let analysis: Analysis = serde_json::from_str(text).unwrap();
    assert_eq!(analysis.metric, query("p95"));
    assert_eq!(analysis.metrics().collect::<Vec<_>>(), [&query("p95")]);
    assert!(!analysis.compares() && analysis.success().is_none());
    let json = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
    let problem = |text: &str| serde_json::from_str::<Analysis>(text).unwrap_err().to_string();
    let beside = text.replace(r#""judge""#, r#""metric":{"query":{"query":"x"}},"judge""#);
    assert!(problem(&beside).contains("beside a judge of several"), "{}", problem(&beside));
    let none = r#"{"id":"score","judge":{"objectives":{"of":[],"pass":90.0}}}"#;
    assert!(problem(none).contains("name at least one"), "{}", problem(none));
}

/// A limit of 5 on a query.
fn limit() -> Analysis {
    let limits = Threshold::new(Bound::AtMost(finite(5.0))).of(Unit::Number);
    let limit = Analysis::judged(id("score"), query("x"), Judge::Threshold(limits));
    Analysis { interval: Span::secs(60), ..limit }
}

fn at_limit(analysis: Analysis, values: &[Option<f64>]) -> (Run, Outcome, usize) {
    let mut run = Run::start(&planned(analysis));
    let mut taken = 0;
    let outcome = go(&mut run, JUDGE, |look, now| {
        taken = look as usize;
        Evidence::Measurement(value("2.0.0", values[taken - 1], now))
    });
    (run, outcome, taken)
}

#[test]
fn good_looks_in_a_row_pass_whatever_came_before() {
    let rows = Analysis { consecutive_good: Some(3), count: 8, failure_limit: 8, ..limit() };
    let of = |text: &str| -> Vec<Option<f64>> {
        text.chars().map(|c| (c != '-').then_some(if c == 'g' { 1.0 } else { 9.0 })).collect()
    };
    for (looks, want, taken) in
        [("ggg", true, 3), ("gbggbggg", true, 8), ("gg-ggg", true, 6), ("ggbggbgg", false, 8)]
    {
        let (run, outcome, looked) = at_limit(rows.clone(), &of(looks));
        assert_eq!((outcome == Outcome::Succeeded, looked), (want, taken), "{looks}: {outcome:?}");
        if !want {
            assert!(failure(&run).contains("(2 in a row of 3)"), "{}", failure(&run));
        }
    }
    // Bad ones still fail it.
    let few = Analysis { failure_limit: 1, ..rows.clone() };
    assert!(matches!(at_limit(few, &of("gbgb")), (_, Outcome::RolledBack { .. }, 4)));
    for (part, analysis) in [
        ("from 1 to `count`", Analysis { consecutive_good: Some(9), ..rows.clone() }),
        ("from 1 to `count`", Analysis { consecutive_good: Some(0), ..rows }),
    ] {
        let problems = problems(analysis);
        assert!(problems.iter().any(|problem| problem.contains(part)), "{problems:?}");
    }
}

#[test]
fn looks_without_data_are_counted_in_a_row() {
    let rows =
        Analysis { consecutive_no_data: Some(1), inconclusive_limit: 0, count: 3, ..limit() };
    let (none, good) = (None, Some(1.0));
    let (run, outcome, _) = at_limit(rows.clone(), &[none, good, none, good, none, good]);
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(repeat(&run, JUDGE), 6);
    let (run, outcome, taken) = at_limit(rows, &[none, good, none, none]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }));
    assert_eq!(taken, 4);
    assert!(failure(&run).contains("2 such measurements, 1 tolerated"), "{}", failure(&run));
}

#[test]
fn what_is_measured_in_dry_run_is_told_and_decides_nothing() {
    let dry = Analysis { dry_run: true, ..limit() };
    let (run, outcome, taken) = at_limit(dry.clone(), &[Some(9.0)]);
    assert_eq!((outcome, taken), (Outcome::Succeeded, 1));
    assert_eq!(findings(&run, JUDGE)[0].conclusion, Conclusion::Regressed);
    let page = page(&run);
    assert!(page.contains("dry run, it would have failed: score: 9 is not at most 5"), "{page}");
    // Nor does a source that is out of order.
    let mut run = Run::start(&planned(Analysis { inconclusive_limit: 1, ..dry.clone() }));
    while let Some(index) = {
        run.next_effect();
        run.effects.keys().next().copied()
    } {
        if run.state.plan().get(index).unwrap().id.as_str().ends_with(JUDGE) {
            run.outcome(index, End::Permanent);
        } else {
            run.outcome(index, End::Good);
        }
    }
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    // Where something has to be decided by it, it is refused.
    let mut definition = definition(dry);
    definition.release.rollback.as_mut().unwrap().triggers =
        vec![RollbackTrigger::Analysis(id("score"))];
    let PlanErrors(errors) = plan(&definition).unwrap_err();
    assert!(errors.iter().any(|error| error.to_string().contains("in dry run")), "{errors:?}");
    definition.release.rollback.as_mut().unwrap().triggers = vec![RollbackTrigger::StepFailed];
    definition.stages[0].before_traffic = vec![id("score")];
    let PlanErrors(errors) = plan(&definition).unwrap_err();
    assert!(errors.iter().any(|error| error.to_string().contains("in dry run")), "{errors:?}");
}

#[test]
fn the_golden_run_of_objectives_is_still_sealed_byte_for_byte() {
    let rows = Analysis {
        count: 4,
        consecutive_good: Some(2),
        consecutive_no_data: Some(1),
        inconclusive_limit: 2,
        ..scoring(two())
    };
    let looks = [[None, None], [Some(100.0), Some(6.0)], [Some(1.0); 2], [Some(400.0), Some(1.0)]];
    let plan = planned(rows);
    let (run, outcome) = {
        let mut run = Run::start(&plan);
        let outcome = go(&mut run, JUDGE, |number, now| {
            let of = looks[number as usize - 1].map(|one| value("2.0.0", one, now));
            Evidence::Measurements { of: of.to_vec() }
        });
        (run, outcome)
    };
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(repeat(&run, JUDGE), 4);
    same_as_golden("0.1-objectives-3-succeeded.jsonl", &plan, seal_with_digests(&plan, &run));
}
