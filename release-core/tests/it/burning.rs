//! The judge of burn rates: what plans refuse, what windows see, and runs that it takes back.

use release_core::analysis::{Conclusion, Finding, Method, Scale};
use release_core::model::{
    Analysis, Background, BlueGreen, BurnRate, BurnWindows, Canary, CanaryStep, Definition, Digest,
    Direction, Judge, Metric, RollbackTrigger, Span, Strategy,
};
use release_core::plan::{PlanError, PlanErrors, plan};
use release_core::port::{Evidence, Measurement};
use release_core::run::{Cause, Event, Outcome, Verdict};

use super::support::drive::{End, Run};
use super::support::looks::{failure, findings, finite, go, page, part, repeat};
use super::support::samples::{artifact, error_rate, id, one_service};

/// An objective of 99 percent, and windows of ten minutes and of one that may burn ten times as fast.
pub(super) fn rule() -> BurnRate {
    let windows =
        BurnWindows { long: Span::secs(600), short: Span::secs(60), factor: finite(10.0) };
    BurnRate { windows: vec![windows], ..BurnRate::new(finite(0.99)) }
}

pub(super) fn burning(rule: BurnRate) -> Analysis {
    let metric = error_rate().metric;
    Analysis {
        min_samples: 50,
        interval: Span::secs(30),
        count: 3,
        inconclusive_limit: 4,
        ..Analysis::judged(id("errors"), metric, Judge::BurnRate(rule))
    }
}

fn definition(strategy: Strategy, analysis: Analysis) -> Definition {
    let mut definition = one_service(strategy);
    definition.analyses = vec![analysis];
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::Analysis(id("errors"))];
    definition
}

fn started(strategy: Strategy, analysis: Analysis) -> Run {
    Run::start(&plan(&definition(strategy, analysis)).unwrap().freeze())
}

fn switched(analysis: Analysis) -> Run {
    started(Strategy::BlueGreen(BlueGreen::default()), analysis)
}

fn new() -> Digest {
    artifact("api", "2.0.0").digest()
}

fn counted(bad: f64, all: f64) -> Evidence {
    Evidence::Measurement(part(new(), bad, all))
}

const JUDGE: &str = "/errors";

fn problems(analysis: Analysis) -> Vec<String> {
    let strategy = Strategy::BlueGreen(BlueGreen::default());
    let PlanErrors(errors) = plan(&definition(strategy, analysis)).unwrap_err();
    let told = errors.into_iter().map(|error| match error {
        PlanError::BadRule { problem, .. } => problem,
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn rules_that_could_not_be_followed_are_refused() {
    let windows = |long, short, factor| BurnWindows {
        long: Span::secs(long),
        short: Span::secs(short),
        factor: finite(factor),
    };
    let of = |pairs: &[BurnWindows]| BurnRate { windows: pairs.to_vec(), ..rule() };
    for (part, analysis) in [
        ("`objective` has to lie", burning(BurnRate::new(finite(1.0)))),
        ("`windows` is empty", burning(of(&[]))),
        ("no short window and a longer one", burning(of(&[windows(60, 60, 10.0)]))),
        // Of an objective of 0.99, everything that fails burns a hundred times as fast.
        ("a budget burns 100.000000 times", burning(of(&[windows(600, 60, 100.0)]))),
        ("looked at every 30s", burning(of(&[windows(600, 20, 10.0)]))),
        ("more than 4320 times", burning(of(&[windows(200_000, 60, 10.0)]))),
        ("set `min_samples` to 10 or more", Analysis { min_samples: 9, ..burning(rule()) }),
        (
            "a burn rate is one of events",
            Analysis { metric: Metric::Query { query: "burn".into() }, ..burning(rule()) },
        ),
    ] {
        let found = problems(analysis);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    }
    // The usual windows ask for enough samples: one in 167 burns six times as fast as 0.999 allows.
    let usual = Analysis { min_samples: 166, ..burning(BurnRate::new(finite(0.999))) };
    assert!(problems(usual)[0].contains("set `min_samples` to 167 or more"));
}

#[test]
fn a_quiet_version_passes_after_as_many_good_looks_as_are_planned() {
    let mut run = switched(burning(rule()));
    let outcome = go(&mut run, JUDGE, |look, _| counted(f64::from(look), 100.0 * f64::from(look)));
    assert_eq!(outcome, Outcome::Succeeded);
    let found = findings(&run, JUDGE);
    assert_eq!(found.len(), 3);
    let last = &found[2];
    assert_eq!((last.conclusion, last.method), (Conclusion::Healthy, Method::BurnRate));
    let harm = last.harm.unwrap();
    assert_eq!((harm.scale, harm.tolerated), (Scale::Burn, finite(10.0)));
    // One in a hundred burns just as fast as allowed.
    assert!((harm.estimate.unwrap().get() - 1.0).abs() < 1e-9, "{harm:?}");
    assert!(harm.low.unwrap() < finite(1.0) && harm.high.unwrap() > finite(1.0), "{harm:?}");
    assert_eq!(last.canary.unwrap().samples, finite(300.0));
    assert_eq!(last.parts[0].samples, finite(200.0), "of the short window");
    assert_eq!(last.parts[0].name, "10m and 1m");
    assert_eq!(last.looks, 3);
    assert_eq!(repeat(&run, JUDGE), 3);
}

#[test]
fn a_pair_that_burns_in_both_windows_takes_a_young_version_back_at_once() {
    let mut run = switched(burning(rule()));
    let outcome = go(&mut run, JUDGE, |_, _| counted(12.0, 100.0));
    let Outcome::RolledBack { cause: Cause::StepFailed { step, message, .. } } = outcome else {
        panic!("{outcome}");
    };
    assert!(step.id.as_str().ends_with(JUDGE));
    assert!(
        message.contains(
            "regressed; the error budget burns 12 times as fast as allowed in 10m (12 of 100)"
        ),
        "{message}"
    );
    let found = findings(&run, JUDGE);
    assert_eq!((found.len(), found[0].parts[0].says.as_str()), (1, "fires"));
    assert_eq!(repeat(&run, JUDGE), 1);
}

/// The looks of a background analysis over a canary that bakes for so long, by what fails of a hundred events each.
fn over(bake: u64, bad: impl Fn(u32) -> f64) -> (Run, Outcome) {
    let step = CanaryStep::new(50, Span::secs(bake));
    let background = vec![Background { analysis: id("slo"), from_step: 1 }];
    let canary = Canary { background, ..Canary::new(vec![step]) };
    let mut definition = one_service(Strategy::Canary(canary));
    definition.analyses.push(Analysis { id: id("slo"), count: 1_000, ..burning(rule()) });
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers.push(RollbackTrigger::Analysis(id("slo")));
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    let (mut sum, mut all) = (0.0, 0.0);
    let outcome = go(&mut run, "background/slo", |look, _| {
        sum += bad(look);
        all += 100.0;
        counted(sum, all)
    });
    (run, outcome)
}

const WATCH: &str = "background/slo";

fn last(run: &Run) -> Finding {
    findings(run, WATCH).last().cloned().unwrap()
}

#[test]
fn over_a_whole_rollout_the_long_window_holds_back_what_passes() {
    // Half of everything fails for a minute after nine that were well: the short window burns fifty times as fast, the long
    // one six times, which is not yet too much.
    let (run, outcome) = over(900, |look| if (19..=20).contains(&look) { 60.0 } else { 0.0 });
    assert_eq!(outcome, Outcome::Succeeded);
    let found = findings(&run, WATCH);
    let worst = found
        .iter()
        .filter_map(|finding| finding.parts[0].high)
        .max_by(|a, b| a.partial_cmp(b).unwrap());
    assert!((worst.unwrap().get() - 60.0).abs() < 1e-9, "{worst:?}");
    assert!(found.iter().all(|finding| finding.conclusion == Conclusion::Healthy));
    assert!(repeat(&run, WATCH) >= 30);
}

#[test]
fn the_short_window_lets_go_of_what_is_over_and_both_find_what_lasts() {
    // It lasts: found once the long window is full of it.
    let (run, outcome) = over(900, |look| if look > 20 { 30.0 } else { 0.0 });
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let found = last(&run);
    // Seven of twenty looks, 30 in a hundred: 10.5 times.
    assert_eq!((found.conclusion, found.looks), (Conclusion::Regressed, 27));
    assert_eq!(usize::try_from(found.looks).unwrap(), repeat(&run, WATCH));
    assert!(run.last(|event| matches!(event, Event::RollbackStarted { .. })).is_some());
    let page = page(&run);
    for part in
        ["how many times as fast as allowed", "<td>10m and 1m</td><td>fires</td>", "regressed"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn too_little_and_nothing_are_never_a_pass() {
    for (why, evidence) in [
        ("silence", Evidence::Measurement(Measurement::NoData { reason: "silence".into() })),
        ("measured sha256:", Evidence::Measurement(part(Digest::of(b"other"), 0.0, 100.0))),
        ("more than the whole", counted(101.0, 100.0)),
    ] {
        let mut run = switched(burning(rule()));
        let outcome = go(&mut run, JUDGE, |_, _| evidence.clone());
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
        let message = failure(&run);
        assert!(message.contains("no data") && message.contains(why), "{message}");
        assert!(message.contains("(5 such measurements, 4 tolerated)"), "{message}");
        assert!(findings(&run, JUDGE).iter().all(|f| f.conclusion == Conclusion::NoData));
        assert_eq!(repeat(&run, JUDGE), 5);
    }
    // Between a minute ago and now there are two looks.
    let mut run = switched(burning(rule()));
    go(&mut run, JUDGE, |look, _| counted(0.0, 24.0 * f64::from(look)));
    assert!(failure(&run).contains("48 samples in 1m of 10m, 50 are needed"), "{}", failure(&run));
    // Well for two looks, and then nobody comes any more: what was there before does not make it pass.
    let mut run = switched(Analysis { count: 6, ..burning(rule()) });
    go(&mut run, JUDGE, |look, _| {
        counted(0.0, if look < 3 { 100.0 * f64::from(look) } else { 200.0 })
    });
    assert!(failure(&run).contains("0 samples in 1m of 10m"), "{}", failure(&run));
}

#[test]
fn good_events_may_be_counted_and_another_engine_goes_on_from_the_same_windows() {
    let upward = BurnRate { direction: Direction::HigherIsBetter, ..rule() };
    let mut run = switched(Analysis { count: 6, ..burning(upward) });
    let mut looks = 0;
    loop {
        run.next_effect();
        let Some(step) = run.effects.keys().next().copied() else { break };
        if !run.state.plan().get(step).unwrap().id.as_str().ends_with(JUDGE) {
            run.outcome(step, End::Good);
            continue;
        }
        looks += 1;
        if looks == 3 {
            run.take_over();
            continue;
        }
        let all = 100.0 * f64::from(looks);
        run.answer(step, counted(0.99 * all, all));
    }
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(repeat(&run, JUDGE), 6);
    let passes =
        |event: &Event| matches!(event, Event::StepMeasured { verdict: Verdict::Pass, .. });
    assert!(run.last(passes).is_some());
}
