//! No traffic without evidence: what was measured of the new version before it gets any, and what findings say of limits.

use release_core::analysis::{Conclusion, Finding, Method, Scale};
use release_core::model::{
    Analysis, BlueGreen, Bound, Canary, CanaryStep, Definition, Digest, Judge, Metric, Selector,
    Span, Strategy, Threshold, Undecided, Unit,
};
use release_core::plan::{Action, plan};
use release_core::port::{Bucket, Evidence, Measurement};
use release_core::run::{Event, Outcome, Verdict};
use release_core::time::Timestamp;

use super::comparing::definition;
use super::support::drive::Run;
use super::support::looks::{findings, finite, go_on, page, part, repeat};
use super::support::samples::{artifact, error_rate, id};

type Say = fn(u32, Timestamp) -> Measurement;

const LOOK: &str = "/before-traffic/errors";

fn new() -> Digest {
    artifact("api", "2.0.0").digest()
}

/// A canary that has to be looked at twice by `analysis`, with 50 samples at the least, before it gets traffic.
fn waiting(analysis: Analysis) -> Run {
    let steps = vec![CanaryStep::new(50, Span::ZERO)];
    let canary = Canary { keep_old: Span::ZERO, ..Canary::new(steps) };
    let analysis = Analysis { min_samples: 50, count: 2, inconclusive_limit: 3, ..analysis };
    let mut definition = definition(Strategy::Canary(canary), analysis);
    definition.stages[0].before_traffic = vec![id("errors")];
    Run::start(&plan(&definition).unwrap().freeze())
}

/// The greatest share that the new version got.
fn reached(run: &Run) -> u8 {
    let shares = run.facts.iter().filter_map(|fact| {
        let Event::StepStarted { step, .. } = &fact.event else { return None };
        let Action::Route { weights, .. } = &run.state.plan().get(step.index)?.action else {
            return None;
        };
        Some(weights.iter().filter(|to| to.digest == new()).map(|to| to.percent).sum())
    });
    shares.max().unwrap_or(0)
}

fn verdicts(run: &Run) -> Vec<Verdict> {
    let measured = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::StepMeasured { step, verdict, .. } if step.id.as_str().ends_with(LOOK) => {
            Some(*verdict)
        }
        _ => None,
    });
    measured.collect()
}

#[test]
fn a_plan_tells_which_versions_nobody_measured_before_their_first_traffic() {
    let analysis = Analysis { min_samples: 50, ..error_rate() };
    let steps = vec![CanaryStep::new(10, Span::ZERO), CanaryStep::new(50, Span::ZERO)];
    let strategies = [
        Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) }),
        Strategy::BlueGreen(BlueGreen::default()),
    ];
    for (strategy, first) in
        strategies.into_iter().zip(["prod/eu/api/weight-10", "prod/eu/api/switch"])
    {
        let mut definition = definition(strategy, analysis.clone());
        let told = |definition: &Definition| {
            let plan = plan(definition).unwrap();
            plan.unmeasured_before_traffic()
                .into_iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&definition), [first]);
        definition.stages[0].before_traffic = vec![id("errors")];
        assert_eq!(told(&definition), [""; 0]);
    }
}

#[test]
fn without_evidence_of_the_new_version_it_gets_no_traffic() {
    let query = || {
        let metric = Metric::Query { query: "errors".into() };
        let limits = Threshold::new(error_rate().success().unwrap()).of(Unit::Share);
        let judge = Judge::Threshold(limits);
        Analysis { metric, judge, min_samples: 0, ..error_rate() }
    };
    let no_data: Say = |_, _| Measurement::NoData { reason: "silence".into() };
    let of_the_old: Say =
        |look, _| part(artifact("api", "1.0.0").digest(), 0.0, 100.0 * f64::from(look));
    let too_few: Say = |look, _| part(new(), 0.0, 9.0 + f64::from(look));
    let the_same: Say = |look, _| part(new(), 0.0, if look == 1 { 100.0 } else { 200.0 });
    let stale: Say = |_, now| Measurement::Value {
        digest: new(),
        value: finite(0.0),
        at: Timestamp::from_micros(now.as_micros() - 3_600_000_000),
    };
    for (what, analysis, say) in [
        ("no data", error_rate(), no_data),
        ("another version", error_rate(), of_the_old),
        ("too few samples", error_rate(), too_few),
        ("stale samples", query(), stale),
    ] {
        for undecided in [Undecided::Fail, Undecided::Hold] {
            let mut run = waiting(Analysis { undecided, ..analysis.clone() });
            let outcome = go_on(&mut run, LOOK, |look, at| Evidence::Measurement(say(look, at)));
            assert_eq!(reached(&run), 0, "{what}: {outcome:?}");
            assert_eq!(verdicts(&run), [Verdict::Inconclusive; 3], "{what}");
            let found = findings(&run, LOOK);
            assert_eq!(found.len(), 4, "{what}: as often as is tolerated, and once more");
            let nothing = |found: &Finding| found.conclusion == Conclusion::NoData;
            assert!(found.iter().all(nothing), "{what}: {found:?}");
            let back = matches!(outcome, Some(Outcome::RolledBack { .. } | Outcome::Failed { .. }));
            assert_eq!(back, undecided == Undecided::Fail, "{what}: {outcome:?}");
            assert_eq!(repeat(&run, LOOK), 4, "{what}");
        }
    }
    // Two looks that tell are a reason to go on, whatever is between them.
    let mut run = waiting(error_rate());
    let told = go_on(&mut run, LOOK, |look, at| Evidence::Measurement(the_same(look, at)));
    assert_eq!((told, reached(&run)), (Some(Outcome::Succeeded), 100));
    let mut run = waiting(error_rate());
    let seen = |look: u32, at| match look {
        2 => no_data(look, at),
        _ => part(new(), 0.0, 100.0 * f64::from(look)),
    };
    let told = go_on(&mut run, LOOK, |look, at| Evidence::Measurement(seen(look, at)));
    assert_eq!((told, reached(&run)), (Some(Outcome::Succeeded), 100));
    assert_eq!(verdicts(&run), [Verdict::Pass, Verdict::Inconclusive]);
}

#[test]
fn a_limit_tells_the_value_how_far_it_is_beyond_and_where_it_may_lie() {
    let [success, failure] = [0.05, 0.1].map(|limit| Bound::AtMost(finite(limit)));
    let limits = Threshold { unit: Some(Unit::Share), ..Threshold::between(success, failure) };
    let mut run = waiting(Analysis { judge: Judge::Threshold(limits), ..error_rate() });
    let looks = [[2.0, 100.0], [14.0, 200.0], [60.0, 300.0]];
    let at = |look: u32| looks[look as usize - 1];
    let outcome = go_on(&mut run, LOOK, |look, _| {
        let [bad, all] = at(look);
        Evidence::Measurement(part(new(), bad, all))
    });
    assert!(matches!(outcome, Some(Outcome::RolledBack { .. } | Outcome::Failed { .. })));
    let found = findings(&run, LOOK);
    let conclusions: Vec<_> = found.iter().map(|finding| finding.conclusion).collect();
    let expected = [Conclusion::Healthy, Conclusion::Undetermined, Conclusion::Regressed];
    assert_eq!(conclusions, expected);
    for (finding, [bad, all]) in found.iter().zip(looks) {
        let harm = finding.harm.unwrap();
        assert_eq!((finding.method, harm.scale), (Method::Threshold, Scale::Beyond));
        let seen = finding.canary.unwrap();
        assert_eq!((seen.value, seen.samples), (finite(bad / all), finite(all)));
        assert_eq!(harm.estimate, Some(finite(bad / all - 0.05)));
        assert_eq!(harm.tolerated, finite(0.1 - 0.05));
        let [low, high] = [harm.low, harm.high].map(|end| end.unwrap().get() + 0.05);
        assert!(0.0 <= low && low < bad / all && bad / all < high && high < 1.0, "{low} {high}");
        assert_eq!((finding.looks, finding.seed, finding.alpha), (1, None, finite(0.025)));
    }
    // Of 2 in 100: the interval of every look together, and no wider than it has to be.
    let harm = found[0].harm.unwrap();
    let [low, high] = [harm.low, harm.high].map(|end| end.unwrap().get() + 0.05);
    assert!(low < 0.005 && (0.07..0.13).contains(&high), "{low} {high}");
    let mut samples: Vec<_> = found.iter().map(|finding| finding.samples).collect();
    samples.dedup();
    assert_eq!(samples.len(), 3);
    assert_eq!(repeat(&run, LOOK), 3);
    let page = page(&run);
    assert!(page.contains("how far the value is beyond its limit"), "{page}");
    assert!(page.contains("before-traffic/errors</code>: regressed, 3 looks"));
    assert!(page.contains("errors, a ratio, in shares: new"), "{page}");
}

#[test]
fn a_quantile_lies_in_its_bucket_and_a_number_of_the_moment_is_what_it_is() {
    let histogram = Selector::series("took");
    let metric = Metric::Quantile { histogram, quantile: finite(0.9) };
    let limits = Threshold::new(Bound::AtMost(finite(0.4))).of(Unit::Seconds);
    let judge = Judge::Threshold(limits);
    let mut run = waiting(Analysis { metric, judge, ..error_rate() });
    let bucket =
        |bound: Option<f64>, count| Bucket { at_most: bound.map(finite), count: finite(count) };
    go_on(&mut run, LOOK, |look, _| {
        let look = f64::from(look);
        let counts = [(Some(0.1), 50.0), (Some(0.25), 95.0), (None, 100.0)];
        let buckets = counts.map(|(bound, count)| bucket(bound, count * look)).to_vec();
        Evidence::Measurement(Measurement::Histogram { digest: new(), buckets })
    });
    let harm = findings(&run, LOOK)[0].harm.unwrap();
    let ends = [harm.low, harm.estimate, harm.high].map(|end| end.unwrap().get() + 0.4);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(near(ends[0], 0.1) && near(ends[1], 0.25) && near(ends[2], 0.25), "{ends:?}");

    // Beyond all buckets it is at least as great as the last bound, and nobody knows how great.
    let limits = Threshold::new(Bound::AtMost(finite(0.4))).of(Unit::Seconds);
    let judge = Judge::Threshold(limits);
    let histogram = Selector::series("took");
    let metric = Metric::Quantile { histogram, quantile: finite(0.99) };
    let mut run = waiting(Analysis { metric, judge, ..error_rate() });
    go_on(&mut run, LOOK, |_, _| {
        let buckets = vec![bucket(Some(0.1), 50.0), bucket(Some(0.25), 95.0), bucket(None, 100.0)];
        Evidence::Measurement(Measurement::Histogram { digest: new(), buckets })
    });
    let found = findings(&run, LOOK).remove(0);
    let harm = found.harm.unwrap();
    assert_eq!((harm.estimate, harm.high), (None, None));
    assert!(near(harm.low.unwrap().get() + 0.4, 0.25), "{harm:?}");
    let seen = found.canary.unwrap();
    assert_eq!((seen.value, seen.samples), (finite(0.25), finite(100.0)));
    assert_eq!(found.conclusion, Conclusion::Regressed);

    let metric = Metric::Query { query: "free".into() };
    let judge = Judge::Threshold(Threshold::new(Bound::AtLeast(finite(10.0))).of(Unit::Bytes));
    let mut run = waiting(Analysis { metric, judge, ..error_rate() });
    go_on(&mut run, LOOK, |_, at| {
        Evidence::Measurement(Measurement::Value { digest: new(), value: finite(7.0), at })
    });
    let found = findings(&run, LOOK);
    let harm = found[0].harm.unwrap();
    assert_eq!((harm.estimate, harm.low, harm.high), (Some(finite(3.0)), None, None));
    assert_eq!((found[0].alpha, found[0].conclusion), (finite(0.0), Conclusion::Regressed));
    assert_eq!(repeat(&run, LOOK), found.len());
}
