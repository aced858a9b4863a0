//! Scorecards: that what comes in look by look is judged as the same series are at once, and what plans refuse.

use std::collections::BTreeMap;

use release_core::analysis::netflix::{
    CanaryConfig, Classification, Judgement, MetricConfig, NetflixAca, Samples, Strict, Verdict,
};
use release_core::analysis::{Conclusion, Finding, Method, Scale, Trial, netflix};
use release_core::model::{
    Analysis, Canary, CanaryStep, Definition, Digest, Finite, Judge, Metric, NoValue,
    RollbackTrigger, ScoreMethod, Scorecard, Scored, Selector, Span, Strategy, Target, Timestamp,
};
use release_core::plan::{Action, Beside, Deployment, PlanError, PlanErrors, plan};
use release_core::port::{Evidence, Measurement, Pair};
use release_core::run::Outcome;
use serde::Deserialize;

use super::support::drive::Run;
use super::support::looks::{failure, findings, finite, go, page, part, repeat};
use super::support::samples::{artifact, id, one_service};

const JUDGE: &str = "/score";

pub(super) fn digest(version: &str) -> Digest {
    artifact("api", version).digest()
}

pub(super) fn query(name: &str) -> Metric {
    Metric::Query { query: name.into() }
}

pub(super) fn scoring(card: Scorecard, count: u32) -> Analysis {
    let metric = card.metrics.first().map_or_else(|| query("none"), |first| first.metric.clone());
    Analysis {
        interval: Span::secs(60),
        count,
        ..Analysis::judged(id("score"), metric, Judge::Scorecard(card))
    }
}

pub(super) fn card(method: ScoreMethod, metrics: Vec<Scored>) -> Scorecard {
    Scorecard {
        method,
        metrics,
        group_weights: BTreeMap::new(),
        pass: finite(95.0),
        marginal: finite(75.0),
        every: None,
    }
}

pub(super) fn definition(analysis: Analysis) -> Definition {
    let canary = Canary::new(vec![CanaryStep::new(50, Span::ZERO)]);
    let mut definition = one_service(Strategy::Canary(canary));
    definition.analyses = vec![analysis];
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::Analysis(id("score"))];
    definition
}

/// A point of a query: its value, or none.
pub(super) fn value(version: &str, value: Option<f64>, at: Timestamp) -> Measurement {
    match value {
        Some(value) => Measurement::Value { digest: digest(version), value: finite(value), at },
        None => Measurement::NoData { reason: "no samples".into() },
    }
}

/// The looks of a run whose metrics are as told: of each, the new version's value and the old one's.
fn run(analysis: Analysis, look: impl Fn(u32) -> Vec<[Option<f64>; 2]>) -> (Run, Outcome) {
    let mut run = Run::start(&plan(&definition(analysis)).unwrap().freeze());
    let outcome = go(&mut run, JUDGE, |number, now| {
        let pair = |[new, old]: [Option<f64>; 2]| Pair {
            canary: value("2.0.0", new, now),
            baseline: value("1.0.0", old, now),
        };
        Evidence::Comparisons { of: look(number).into_iter().map(pair).collect() }
    });
    (run, outcome)
}

#[derive(Deserialize)]
struct Case {
    name: String,
    canary: MetricConfig,
    experiment: Vec<Option<f64>>,
    control: Vec<Option<f64>>,
}

/// What a run concludes of a judgement at its last look.
fn concluded(judgement: &Judgement) -> Conclusion {
    let harm = |metric: &netflix::MetricResult| {
        matches!(metric.classification, Classification::High | Classification::Low)
    };
    match judgement.verdict {
        Verdict::Pass => Conclusion::Healthy,
        Verdict::Fail if judgement.metrics.iter().any(harm) => Conclusion::Regressed,
        Verdict::Fail => Conclusion::NoData,
        Verdict::Marginal | Verdict::Inconclusive => Conclusion::Undetermined,
    }
}

#[test]
fn the_golden_corpus_is_judged_look_by_look_as_it_is_at_once() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../golden/netflix/cases.json")).unwrap();
    let (mut played, mut seen) = (0, BTreeMap::new());
    for Case { name, canary, experiment, control } in cases {
        let config = CanaryConfig {
            metrics: vec![netflix::Metric { name: "m".into(), groups: vec!["g".into()], canary }],
            ..CanaryConfig::default()
        };
        // A look measures both: what one has more points than the other, the other has no data in, as Kayenta pads it.
        let count = experiment.len().max(control.len());
        let padded = |values: &[Option<f64>]| -> Vec<Option<f64>> {
            (0..count).map(|at| values.get(at).copied().flatten()).collect()
        };
        let (new, old) = (padded(&experiment), padded(&control));
        let or_nan = |values: &[Option<f64>]| -> Vec<f64> {
            values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
        };
        let samples = Samples { experiment: or_nan(&new), control: or_nan(&old) };
        let samples = BTreeMap::from([("m".to_owned(), samples)]);
        for (method, want) in [
            (ScoreMethod::NetflixAca { seed: 7 }, NetflixAca::new(7).judge(&config, &samples)),
            (
                ScoreMethod::Strict { min_points: 20 },
                Strict::default().judge(&config, &samples).unwrap(),
            ),
        ] {
            let card = Scorecard::of_kayenta(method, &config, query).unwrap();
            assert_eq!(CanaryConfig::from(&card), config, "{name}");
            let analysis = scoring(card, u32::try_from(count.max(1)).unwrap());
            let found = last_of_trial(analysis, &new, &old);
            played += 1;
            // Of what no number was measured, nothing is told, whatever stands for missing values.
            if [&new, &old].iter().any(|side| side.iter().all(Option::is_none)) {
                assert_eq!(found.conclusion, Conclusion::NoData, "{name}: {found:?}");
                continue;
            }
            assert_eq!(found.conclusion, concluded(&want), "{name}: {found:?}");
            assert_eq!(found.seed, want.seed, "{name}");
            let (part, metric) = (&found.parts[0], &want.metrics[0]);
            assert!(part.says.starts_with(&metric.classification.to_string()), "{name}: {part:?}");
            let bits = |value: Option<f64>| value.map(|value| (value + 0.0).to_bits());
            for (got, want) in [
                (part.estimate, metric.estimate),
                (part.low, metric.lower),
                (part.high, metric.upper),
            ] {
                let want = want.filter(|value| value.is_finite());
                assert_eq!(bits(got.map(Finite::get)), bits(want), "{name}: {part:?}");
            }
            *seen.entry(format!("{:?}", found.conclusion)).or_insert(0) += 1;
        }
    }
    assert!(played > 140, "{played}");
    assert!(seen.len() >= 3, "{seen:?}");
}

/// What a trial finds at its last look.
fn last_of_trial(analysis: Analysis, new: &[Option<f64>], old: &[Option<f64>]) -> Finding {
    let of = |version: &str| Deployment {
        target: Target::new(id("prod"), id("eu"), id("api")),
        artifact: artifact("api", version),
        version: id(version),
    };
    let beside = Some(Box::new(Beside::new(of("1.0.0"), 50)));
    let analysis = std::sync::Arc::new(analysis);
    let action = Action::Analyze {
        deployment: of("2.0.0").into(),
        analysis,
        from: None,
        beside,
        until: None,
    };
    let mut trial = Trial::new(action).unwrap();
    let pairs = new.iter().zip(old).zip(1_u64..);
    let mut look = |(new, old): (Option<f64>, Option<f64>), at| {
        let at = Timestamp::default().plus(Span::secs(60 * at));
        let (canary, baseline) = (value("2.0.0", new, at), value("1.0.0", old, at));
        let evidence = Evidence::Comparisons { of: vec![Pair { canary, baseline }] };
        trial.look(at, &evidence).unwrap().0
    };
    let found = pairs.map(|((new, old), at)| look((*new, *old), at)).last();
    found.unwrap_or_else(|| look((None, None), 1))
}

/// Numbers that look like response times, the same for the same look.
fn usual(look: u32, other: u32) -> f64 {
    1.0 + f64::from((look * 37 + other * 11) % 23) / 50.0
}

pub(super) fn two() -> Vec<Scored> {
    let mut slow = Scored::new("latency", "users", query("latency"));
    slow.critical = true;
    vec![slow, Scored::new("memory", "machines", query("memory"))]
}

#[test]
fn runs_pass_and_are_taken_back_by_the_score_of_several_metrics() {
    for method in [ScoreMethod::NetflixAca { seed: 1 }, ScoreMethod::default()] {
        let well = |look| {
            let both = |other| [Some(usual(look, other)), Some(usual(look, other + 5))];
            vec![both(0), both(3)]
        };
        let (passed, outcome) = run(scoring(card(method, two()), 30), well);
        assert_eq!(outcome, Outcome::Succeeded);
        let found = findings(&passed, JUDGE);
        assert_eq!(found.len(), 30);
        let last = &found[29];
        let names: Vec<_> = last.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["latency", "memory"]);
        let harm = last.harm.unwrap();
        assert_eq!((harm.scale, harm.tolerated), (Scale::Missing, finite(5.0)));
        assert_eq!(harm.estimate, Some(finite(0.0)));
        assert_eq!(last.parts[0].samples, finite(30.0));
        assert!(matches!(last.method, Method::NetflixAca | Method::Strict));
        assert_eq!(repeat(&passed, JUDGE), 30);

        // Memory alone is half of the score: below the marginal one.
        let worse = |look| {
            let memory = [Some(3.0 * usual(look, 3)), Some(usual(look, 8))];
            vec![[Some(usual(look, 0)), Some(usual(look, 5))], memory]
        };
        let (taken_back, outcome) = run(scoring(card(method, two()), 30), worse);
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
        let message = failure(&taken_back);
        assert!(
            message.contains("fails with a score of 50") && message.contains("memory"),
            "{message}"
        );
        assert_eq!(findings(&taken_back, JUDGE).last().unwrap().parts[1].says, "High");
        assert_eq!(repeat(&taken_back, JUDGE), 30);
        let page = page(&taken_back);
        for part in
            ["a score of 2 metrics", "are missing of the score", "<td>memory</td><td>High</td>"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}

#[test]
fn a_score_on_the_way_fails_at_once_and_never_passes_before_the_end() {
    let mut card = card(ScoreMethod::NetflixAca { seed: 1 }, two());
    card.every = Some(10);
    let slow = |look| vec![[Some(3.0 * usual(look, 0)), Some(usual(look, 5))]; 2];
    let (early, _) = run(scoring(card.clone(), 60), slow);
    assert_eq!(findings(&early, JUDGE).len(), 10);
    let well = |look| vec![[Some(usual(look, 0)), Some(usual(look, 5))]; 2];
    let (whole, outcome) = run(scoring(card, 60), well);
    assert_eq!((outcome, findings(&whole, JUDGE).len()), (Outcome::Succeeded, 60));
    assert_eq!(repeat(&whole, JUDGE), 60);
}

#[test]
fn errors_beside_none_are_not_a_pass_for_the_strict_judge() {
    let mut errors = Scored::new("errors", "users", query("errors"));
    errors.direction = release_core::model::Change::Increase;
    let data = [0.0, 1.0, 2.0, 1.0, 0.0, 0.0];
    let look = |look: u32| vec![[Some(data[look as usize - 1]), Some(0.0)]];
    let strict = card(ScoreMethod::Strict { min_points: 6 }, vec![errors.clone()]);
    let (not_passed, outcome) = run(scoring(strict, 6), look);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert!(findings(&not_passed, JUDGE).iter().all(|f| f.conclusion != Conclusion::Healthy));
    assert!(failure(&not_passed).contains("errors"), "{}", failure(&not_passed));
    // Kayenta lets it pass, which is what those who come from there expect of it.
    let aca = card(ScoreMethod::NetflixAca { seed: 1 }, vec![errors]);
    assert_eq!(run(scoring(aca, 6), look).1, Outcome::Succeeded);
}

/// The same two metrics, each with this in the place of missing values.
fn two_with(nan: NoValue) -> Vec<Scored> {
    two().into_iter().map(|scored| Scored { nan, ..scored }).collect()
}

#[test]
fn no_data_is_a_point_without_a_value_and_never_a_pass() {
    for method in [ScoreMethod::NetflixAca { seed: 1 }, ScoreMethod::default()] {
        for nan in [NoValue::Remove, NoValue::Replace] {
            // Neither version has any, only the old one, only the new one.
            for [of_new, of_old] in [[false, false], [false, true], [true, false]] {
                let metrics = two_with(nan);
                let (silent, outcome) = run(scoring(card(method, metrics), 20), |look| {
                    let point = |has: bool, other| has.then(|| usual(look, other));
                    vec![[point(of_new, 0), point(of_old, 5)]; 2]
                });
                let case = format!("{method:?}, {nan:?}, new {of_new}, old {of_old}");
                assert!(matches!(outcome, Outcome::RolledBack { .. }), "{case}: {outcome}");
                let found = findings(&silent, JUDGE);
                assert_eq!(found.len(), 20, "{case}");
                let healthy = |found: &Finding| found.conclusion == Conclusion::Healthy;
                assert!(!found.iter().any(healthy), "{case}: {found:?}");
                assert_eq!(found[19].conclusion, Conclusion::NoData, "{case}");
            }
        }
        // A score on the way that knows nothing of a version says so, and is not waited out for ever.
        let early = Scorecard { every: Some(5), ..card(method, two_with(NoValue::Replace)) };
        let (none, outcome) = run(scoring(early, 60), |_| vec![[None, Some(1.0)]; 2]);
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{method:?}: {outcome}");
        assert_eq!(findings(&none, JUDGE)[4].conclusion, Conclusion::NoData, "{method:?}");
        // Missed now and then, it is just fewer points.
        let gaps = |look: u32| {
            let point = |other| (!look.is_multiple_of(5)).then(|| usual(look, other));
            vec![[point(0), point(5)]; 2]
        };
        assert_eq!(run(scoring(card(method, two()), 40), gaps).1, Outcome::Succeeded);
    }
}

#[test]
fn counts_are_points_of_the_time_between_two_looks() {
    let errors =
        Metric::Ratio { numerator: Selector::series("bad"), denominator: Selector::series("all") };
    let card = card(ScoreMethod::default(), vec![Scored::new("errors", "users", errors)]);
    let mut run = Run::start(&plan(&definition(scoring(card, 40))).unwrap().freeze());
    let mut sums = [0.0; 2];
    // Three times as many from the beginning on, in waves that both have.
    let outcome = go(&mut run, JUDGE, |look, _| {
        sums[0] += 3.0 * usual(look, 0);
        sums[1] += usual(look, 5);
        let all = 1_000.0 * f64::from(look);
        let (canary, baseline) =
            (part(digest("2.0.0"), sums[0], all), part(digest("1.0.0"), sums[1], all));
        Evidence::Comparisons { of: vec![Pair { canary, baseline }] }
    });
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let last = findings(&run, JUDGE).pop().unwrap();
    assert_eq!((last.conclusion, last.looks), (Conclusion::Regressed, 40));
    assert_eq!(repeat(&run, JUDGE), 40);
}

#[test]
fn scorecards_that_leave_open_what_they_mean_are_refused() {
    let problems = |analysis: Analysis| -> Vec<String> {
        let PlanErrors(errors) = plan(&definition(analysis)).unwrap_err();
        let told = errors.into_iter().map(|error| match error {
            PlanError::BadRule { problem, .. } => problem,
            other => panic!("{other:?}"),
        });
        told.collect()
    };
    let strict = |change: fn(&mut Scorecard)| {
        let mut card = card(ScoreMethod::default(), two());
        change(&mut card);
        scoring(card, 30)
    };
    let aca = |change: fn(&mut Scorecard)| {
        let mut card = card(ScoreMethod::NetflixAca { seed: 1 }, two());
        change(&mut card);
        scoring(card, 30)
    };
    let weigh = |card: &mut Scorecard| {
        card.group_weights.insert("users".into(), finite(150.0));
    };
    for (part, analysis) in [
        ("is there twice", strict(|card| card.metrics[1].name = "latency".into())),
        ("is in no group", aca(|card| card.metrics[1].groups.clear())),
        (
            "is a quantile",
            aca(|card| {
                let histogram = Selector::series("took");
                card.metrics[0].metric = Metric::Quantile { histogram, quantile: finite(0.99) };
            }),
        ),
        ("`users`", strict(weigh)),
        ("groups would weigh less than nothing", aca(weigh)),
        ("not in order", strict(|card| card.marginal = finite(99.0))),
        ("not in order", aca(|card| card.marginal = finite(99.0))),
        (
            "no metric is judged",
            strict(|card| card.metrics.iter_mut().for_each(|m| m.muted = true)),
        ),
        ("no metric is judged", aca(|card| card.metrics.iter_mut().for_each(|m| m.muted = true))),
        ("each metric needs 20", Analysis { count: 19, ..strict(|_| {}) }),
        ("no difference could be told", Analysis { count: 4, ..aca(|_| {}) }),
        ("more than 2000 are not kept", Analysis { count: 2_001, ..aca(|_| {}) }),
        ("raise `every`", aca(|card| card.every = Some(4))),
        (
            "at most 32 metrics",
            aca(|card| {
                let many = |n: u32| Scored::new(format!("m{n}"), "g", query("m"));
                card.metrics = (0..33).map(many).collect();
            }),
        ),
    ] {
        let found = problems(analysis);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    }
}

#[test]
fn a_scorecard_names_its_metrics_itself() {
    let card = card(ScoreMethod::NetflixAca { seed: 3 }, two());
    let analysis = scoring(card, 50);
    let json = serde_json::to_value(&analysis).unwrap();
    assert!(json.get("metric").is_none(), "{json}");
    assert_eq!(serde_json::from_value::<Analysis>(json.clone()).unwrap(), analysis);
    assert_eq!(analysis.metrics().count(), 2);
    let read = |change: fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        serde_json::from_value::<Analysis>(json).unwrap_err().to_string()
    };
    let beside = read(|json| json["metric"] = serde_json::json!({ "query": { "query": "x" } }));
    assert!(beside.contains("`score` has a `metric` beside a judge of several"), "{beside}");
    let empty = read(|json| json["judge"]["scorecard"]["metrics"] = serde_json::json!([]));
    assert!(empty.contains("without metrics"), "{empty}");
    let word = read(|json| {
        json["judge"]["scorecard"]["metrics"][0]["direction"] = serde_json::json!("upwards");
    });
    assert!(word.contains("upwards"), "{word}");
}
