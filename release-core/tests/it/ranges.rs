//! Ranges: what looks see of a curve, again and again, is judged as the curve itself is; and what plans refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::analysis::netflix::{CanaryConfig, NetflixAca, Samples, Strict};
use release_core::analysis::{Conclusion, Finding, Trial};
use release_core::model::{
    Analysis, Bound, Finite, Judge, Metric, NoValue, ScoreMethod, Scorecard, Scored, Span, Target,
    Timestamp,
};
use release_core::plan::{Action, Beside, Deployment, PlanError, PlanErrors, Recorded, plan};
use release_core::port::{Evidence, Measurement, Pair, Point};
use release_core::run::Outcome;

use super::scorecards::{card, definition, digest, scoring};
use super::support::drive::Run;
use super::support::looks::{failure, findings, finite, go, repeat};
use super::support::samples::{artifact, id};

const JUDGE: &str = "/score";
const STEP: u64 = 10;

fn range(over: u64) -> Metric {
    Metric::Range { query: "latency".into(), step: Span::secs(STEP), over: Span::secs(over) }
}

fn slow(over: u64) -> Vec<Scored> {
    vec![Scored::new("latency", "users", range(over))]
}

fn second(second: u64) -> Timestamp {
    Timestamp::default().plus(Span::secs(second))
}

fn number(step: u64, value: f64) -> Point {
    Point::Number { at: second(step * STEP), value: finite(value), late: false }
}

/// Numbers that look like response times, the same for the same step.
fn usual(step: u64, other: u64) -> f64 {
    1.0 + f64::from(u32::try_from((step * 37 + other * 11) % 23).unwrap()) / 50.0
}

fn points(version: &str, points: Vec<Point>) -> Measurement {
    Measurement::Points { digest: digest(version), points }
}

/// A trial of the old version beside the new one.
fn trial(analysis: Analysis) -> Trial {
    let of = |version: &str| Deployment {
        target: Target::new(id("prod"), id("eu"), id("api")),
        artifact: artifact("api", version),
        version: id(version),
    };
    let beside = Some(Box::new(Beside::new(of("1.0.0"), 50)));
    let (deployment, analysis) = (of("2.0.0").into(), Arc::new(analysis));
    Trial::new(Action::Analyze { deployment, analysis, from: None, beside, until: None }).unwrap()
}

/// The new version's facts of a look that ends with this step, two minutes back: with all that can be wrong with them.
fn troubled(last: u64) -> Vec<Point> {
    let mut facts = Vec::new();
    for step in last.saturating_sub(11).max(1)..=last {
        let at = second(step * STEP);
        match step {
            // Missing for good.
            14 | 15 => {
                if step == 15 && last > 15 {
                    facts.push(Point::Gap { after: second(130), until: second(160) });
                }
            }
            17 => facts.push(Point::NotANumber { at }),
            18 => facts.push(Point::Conflicting { at }),
            // There with the second look that could see it alone.
            20 if last == 24 => {}
            20 => facts.push(Point::Number { at, value: finite(usual(20, 0)), late: true }),
            // Told anew, as another number.
            23 if last > 24 => facts.push(Point::Number { at, value: finite(900.0), late: true }),
            // Told twice.
            22 => facts.extend([number(step, usual(step, 0)); 2]),
            _ => facts.push(number(step, usual(step, 0))),
        }
    }
    facts
}

/// What counts of these.
fn untroubled(step: u64) -> f64 {
    match step {
        14 | 15 | 17 | 18 => f64::NAN,
        _ => usual(step, 0),
    }
}

#[test]
fn looks_that_overlap_are_judged_as_the_curve_at_once() {
    for (method, harm) in [
        (ScoreMethod::NetflixAca { seed: 7 }, 1.0),
        (ScoreMethod::Strict { min_points: 20 }, 1.0),
        (ScoreMethod::NetflixAca { seed: 7 }, 0.4),
        (ScoreMethod::Strict { min_points: 20 }, 0.4),
    ] {
        let card = card(method, slow(120));
        let (config, count) = (CanaryConfig::from(&card), 10);
        let mut trial = trial(scoring(card, count));
        let mut found: Option<Finding> = None;
        for look in 1..=u64::from(count) {
            let last = look * 6;
            let old = (last.saturating_sub(11).max(1)..=last)
                .map(|step| number(step, harm * usual(step, 5)))
                .collect();
            let canary = points("2.0.0", troubled(last));
            let pair = Pair { canary, baseline: points("1.0.0", old) };
            let evidence = Evidence::Comparisons { of: vec![pair] };
            found = Some(trial.look(second(last * STEP), &evidence).unwrap().0);
        }
        let experiment = (1..=60).map(untroubled).collect();
        let control = (1..=60).map(|step| harm * usual(step, 5)).collect();
        let samples = BTreeMap::from([("latency".to_owned(), Samples { experiment, control })]);
        let want = match method {
            ScoreMethod::NetflixAca { seed } => NetflixAca::new(seed).judge(&config, &samples),
            _ => Strict::default().judge(&config, &samples).unwrap(),
        };
        let (found, want) = (found.unwrap(), &want.metrics[0]);
        let part = &found.parts[0];
        assert_eq!(part.says, want.classification.to_string());
        let bits = |value: Option<f64>| value.map(|value| (value + 0.0).to_bits());
        for (got, want) in
            [(part.estimate, want.estimate), (part.low, want.lower), (part.high, want.upper)]
        {
            assert_eq!(bits(got.map(Finite::get)), bits(want), "{part:?}");
        }
        // Of sixty points four are none.
        assert_eq!((part.samples, part.baseline_samples), (finite(56.0), Some(finite(60.0))));
        let conclusion = if harm < 1.0 { Conclusion::Regressed } else { Conclusion::Healthy };
        assert_eq!(found.conclusion, conclusion);
    }
}

/// A look of a run: the points of the last minute, of each version.
fn minute(now: Timestamp, factor: f64) -> Evidence {
    let last = now.since(Timestamp::default()).as_duration().as_secs() / STEP;
    let of = |version, factor: f64, other| {
        let steps = last.saturating_sub(5)..=last;
        points(version, steps.map(|step| number(step, factor * usual(step, other))).collect())
    };
    let pair = Pair { canary: of("2.0.0", factor, 0), baseline: of("1.0.0", 1.0, 5) };
    Evidence::Comparisons { of: vec![pair] }
}

#[test]
fn a_run_is_judged_by_the_points_of_ranges() {
    for method in [ScoreMethod::NetflixAca { seed: 1 }, ScoreMethod::default()] {
        let begin = || {
            // Not before there is a minute of the window to look back to.
            let begin_after = Some(Span::secs(60));
            let analysis = Analysis { begin_after, ..scoring(card(method, slow(60)), 6) };
            Run::start(&plan(&definition(analysis)).unwrap().freeze())
        };
        let mut well = begin();
        assert_eq!(go(&mut well, JUDGE, |_, now| minute(now, 1.0)), Outcome::Succeeded);
        let last = findings(&well, JUDGE).pop().unwrap();
        // Six looks, of six points each.
        assert_eq!((last.looks, last.parts[0].samples), (6, finite(36.0)));
        assert_eq!(repeat(&well, JUDGE), 6);

        let mut worse = begin();
        let outcome = go(&mut worse, JUDGE, |_, now| minute(now, 3.0));
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
        assert!(failure(&worse).contains("after 36 points"), "{}", failure(&worse));
        assert_eq!(repeat(&worse, JUDGE), 6);
    }
}

#[test]
fn nothing_new_another_version_and_other_clocks_are_no_points() {
    let now = second(60);
    let ahead = Point::Number { at: second(100_000), value: finite(1.0), late: false };
    let week = Span::secs(7 * 86_400);
    let now = now.plus(week);
    let (last_week, here) = (number(6, 1.0), |point| moved(point, week));
    let silence = Measurement::NoData { reason: "silence".into() };
    let value = Measurement::Value { digest: digest("2.0.0"), value: finite(1.0), at: now };
    for (canary, why) in [
        (points("2.0.0", Vec::new()), "no point since the last look"),
        (points("2.0.0", vec![Point::Stale { newest: second(30) }]), "nothing was told since"),
        (points("1.0.0", vec![here(number(6, 1.0))]), "not "),
        (points("2.0.0", vec![moved(ahead, week)]), "ahead"),
        (points("2.0.0", vec![last_week]), "the newest sample is 7days old"),
        (silence, "silence"),
        (value, "no measurement of a range"),
    ] {
        let mut trial = trial(scoring(card(ScoreMethod::default(), slow(60)), 30));
        let pair = Pair { canary, baseline: points("1.0.0", vec![here(number(6, 1.0))]) };
        let evidence = Evidence::Comparisons { of: vec![pair] };
        let (finding, because) = trial.look(now, &evidence).unwrap();
        assert_eq!(finding.conclusion, Conclusion::Undetermined);
        assert!(because.contains(why), "{why}: {because}");
    }
}

/// The same number, told of a later instant.
fn moved(point: Point, by: Span) -> Point {
    match point {
        Point::Number { at, value, late } => Point::Number { at: at.plus(by), value, late },
        other => other,
    }
}

/// Looks a minute apart, each at the points of the two minutes before it, of which some are kept back.
fn looks(
    (mut trial, first, count): (Trial, u64, u64),
    kept: impl Fn(u64, u64) -> bool,
) -> (Finding, String) {
    let mut found = None;
    for look in 0..count {
        let last = first + look * 6;
        let of = |version, other| {
            let steps = (last.saturating_sub(11)..=last).filter(|step| kept(look, *step));
            points(version, steps.map(|step| number(step, usual(step, other))).collect())
        };
        let pair = Pair { canary: of("2.0.0", 0), baseline: of("1.0.0", 5) };
        found = trial.look(second(last * STEP), &Evidence::Comparisons { of: vec![pair] });
    }
    found.unwrap()
}

#[test]
fn points_from_before_the_window_do_not_count() {
    let begin = || trial(scoring(card(ScoreMethod::default(), slow(120)), 4));
    // Both minutes that the first look sees; and one of them.
    let (all, _) = looks((begin(), 100, 4), |_, _| true);
    let (some, _) = looks((begin().since(second(950)), 100, 4), |_, _| true);
    let samples = |finding: &Finding| (finding.parts[0].samples, finding.parts[0].baseline_samples);
    assert_eq!(samples(&all), (finite(30.0), Some(finite(30.0))));
    assert_eq!(samples(&some), (finite(24.0), Some(finite(24.0))));
    let (_, because) = looks((begin().since(second(950)), 100, 1), |_, _| true);
    assert!(because.contains("latency: 6 points are from before the window began"), "{because}");
    let (_, because) = looks((begin().since(second(1_001)), 100, 1), |_, _| true);
    assert!(because.contains("latency: 12 points are from before the window began"), "{because}");
}

#[test]
fn a_range_needs_so_many_numbers_of_each_version() {
    let judged = |min_samples| {
        let analysis = scoring(card(ScoreMethod::default(), slow(120)), 4);
        looks((trial(Analysis { min_samples, ..analysis }), 100, 4), |_, _| true)
    };
    let (few, because) = judged(31);
    assert_eq!(few.conclusion, Conclusion::NoData, "{because}");
    assert!(because.contains("latency: 30 points of a version, 31 are needed"), "{because}");
    assert_eq!(judged(30).0.conclusion, Conclusion::Healthy);
}

#[test]
fn steps_that_looks_lack_are_counted_once_and_filled_by_later_looks() {
    // What becomes of a missing point is a zero, so that each one too many would show.
    let zeros = || {
        let mut scored = slow(120);
        scored[0].nan = NoValue::Replace;
        trial(scoring(card(ScoreMethod::NetflixAca { seed: 1 }, scored), 6))
    };
    let samples = |(finding, _): (Finding, String)| finding.parts[0].samples;
    let all = finite(42.0);
    assert_eq!(samples(looks((zeros(), 100, 6), |_, _| true)), all);
    // Two looks that fail, of which the next sees one minute again; and the last that fails.
    assert_eq!(samples(looks((zeros(), 100, 6), |look, _| !matches!(look, 2 | 3))), all);
    assert_eq!(samples(looks((zeros(), 100, 6), |look, _| look < 5)), all);
    // Without the zeros it shows which are missing: only the minute that no look saw.
    let found = |kept: fn(u64, u64) -> bool| {
        let method = ScoreMethod::Strict { min_points: 20 };
        samples(looks((trial(scoring(card(method, slow(120)), 6)), 100, 6), kept))
    };
    assert_eq!(found(|look, _| !matches!(look, 2 | 3)), finite(36.0));
    assert_eq!(found(|look, _| look != 2), all);
    // A point that is told one look later than the others.
    assert_eq!(found(|look, step| step != 110 || look >= 3), all);
}

#[test]
fn ranges_that_could_not_be_judged_are_refused() {
    let problems = |analysis: Analysis| -> Vec<String> {
        let PlanErrors(errors) = plan(&definition(analysis)).unwrap_err();
        let told = errors.into_iter().filter_map(|error| match error {
            PlanError::BadRule { problem, .. } => Some(problem),
            _ => None,
        });
        told.collect()
    };
    let of = |metric: Metric, count: u32| {
        let method = ScoreMethod::default();
        scoring(card(method, vec![Scored::new("latency", "users", metric)]), count)
    };
    let every = |step: u64, over: u64| Metric::Range {
        query: "latency".into(),
        step: Span::secs(step),
        over: Span::secs(over),
    };
    let judged = |judge: Judge| Analysis { metric: range(60), judge, ..of(range(60), 10) };
    let limit = Bound::AtMost(finite(1.0));
    let threshold = judged(Analysis::new(id("score"), range(60), limit).judge);
    for (part, analysis) in [
        ("this judge goes by one number", threshold),
        ("set one above 0", of(every(0, 60), 30)),
        ("no new point", of(every(90, 180), 30)),
        ("points in between would be missed", of(every(10, 30), 10)),
        ("at most 256 facts", of(every(1, 600), 10)),
        ("takes 18 points", of(range(60), 3)),
        ("more than 2000 are not kept", of(range(60), 400)),
    ] {
        let found = problems(analysis);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    }
    // Four looks of six points each are enough.
    assert!(plan(&definition(of(range(60), 4))).is_ok());
}

#[test]
fn whether_a_range_can_be_judged_is_seen_before_the_release() {
    let plan = plan(&definition(scoring(card(ScoreMethod::default(), slow(60)), 10))).unwrap();
    let at = second(600);
    let recorded = |points: Vec<Point>| {
        let version = digest("1.0.0");
        let measurement = Measurement::Points { digest: version, points };
        plan.observable(|_, _| Some(Recorded { version, at, measurement: measurement.clone() }))
    };
    assert_eq!(recorded(vec![number(59, 1.0), number(60, 1.0)]), Ok(()));
    for (points, why) in [
        (vec![Point::NotANumber { at }], "no number"),
        (vec![number(1, 1.0), Point::Stale { newest: second(10) }], "old"),
    ] {
        let missing = recorded(points).unwrap_err();
        assert!(missing.iter().all(|one| one.to_string().contains(why)), "{missing:?}");
    }
}

#[test]
fn a_range_and_its_points_are_written_in_full() {
    let card: Scorecard = serde_json::from_value(serde_json::json!({
        "metrics": [{
            "name": "latency",
            "metric": { "range": { "query": "latency", "step": "10s", "over": "1m" } },
            "groups": ["users"],
        }],
    }))
    .unwrap();
    assert_eq!(card.metrics[0].metric, range(60));
    let all = points(
        "2.0.0",
        vec![
            number(1, 0.5),
            Point::Number { at: second(15), value: finite(1.0), late: true },
            Point::NotANumber { at: second(20) },
            Point::Conflicting { at: second(30) },
            Point::Gap { after: second(30), until: second(60) },
            Point::Stale { newest: second(60) },
        ],
    );
    let json = serde_json::to_string(&all).unwrap();
    assert_eq!(json.matches("late").count(), 1, "{json}");
    assert_eq!(serde_json::from_str::<Measurement>(&json).unwrap(), all);
    let unknown = json.replace("conflicting", "strange");
    assert!(serde_json::from_str::<Measurement>(&unknown).is_err());
}
