//! Analyses that end without a verdict on the version, and those that go on in the background.

use release_core::analysis::Conclusion;
use release_core::model::{
    Analysis, Background, Bound, Canary, CanaryStep, Digest, Judge, Metric, Selector, Sequential,
    Span, Strategy, Undecided,
};
use release_core::plan::{Action, plan};
use release_core::port::{Evidence, Measurement};
use release_core::run::{Awaiting, Command, Event, Outcome, Verdict};

use super::comparing::{comparing, definition};
use super::support::drive::Run;
use super::support::looks::{findings, finite, go, go_on, page, part};
use super::support::samples::{artifact, error_rate, id, one_service};

const JUDGE: &str = "/errors";

fn digest(version: &str) -> Digest {
    artifact("api", version).digest()
}

fn half() -> Strategy {
    Strategy::Canary(Canary {
        keep_old: Span::ZERO,
        ..Canary::new(vec![CanaryStep::new(50, Span::ZERO)])
    })
}

fn compared(undecided: Undecided, change: impl FnOnce(&mut Sequential)) -> Run {
    let analysis = Analysis { undecided, inconclusive_limit: 2, ..comparing(change) };
    Run::start(&plan(&definition(half(), analysis)).unwrap().freeze())
}

/// So many bad ones of each version, of as many requests at each look.
fn both(look: u32, [new, old]: [f64; 2], [all, rest]: [f64; 2]) -> Evidence {
    let look = f64::from(look);
    Evidence::Comparison {
        canary: Box::new(part(digest("2.0.0"), new * look, all * look)),
        baseline: Box::new(part(digest("1.0.0"), old * look, rest * look)),
    }
}

fn held(run: &Run) -> bool {
    let waits = run.state.awaiting();
    let all = waits
        .iter()
        .all(|waits| matches!(waits, Awaiting::Operator(step) if step.as_str().ends_with(JUDGE)));
    all && !waits.is_empty()
}

#[test]
fn what_is_undetermined_is_for_people_where_the_analysis_says_so() {
    // A fifth worse lies within the margin of a half, and of so few nobody can tell.
    let little = |look, _| both(look, [1.2, 1.0], [100.0, 100.0]);
    let mut fails = compared(Undecided::Fail, |_| {});
    assert!(matches!(go(&mut fails, JUDGE, little), Outcome::RolledBack { .. }));
    let mut holds = compared(Undecided::Hold, |_| {});
    assert_eq!(go_on(&mut holds, JUDGE, little), None);
    assert!(held(&holds), "{:?}", holds.state.awaiting());
    // Nothing was taken back, and who looks again begins a new window.
    let routed = holds.facts.iter().filter(|fact| {
        matches!(&fact.event, Event::StepSucceeded { step, .. } if step.id.as_str().contains("weight-50"))
    });
    assert!(routed.count() > 0);
    let step =
        holds.state.plan().plan().steps().iter().find(|step| step.id.as_str().ends_with(JUDGE));
    let step = step.unwrap().id.clone();
    holds.command(Command::Retry { step }, "ann").unwrap();
    let plenty = |look, _| both(look, [100.0, 100.0], [10_000.0, 10_000.0]);
    assert_eq!(go(&mut holds, JUDGE, plenty), Outcome::Succeeded);

    let mut cancelled = compared(Undecided::Hold, |_| {});
    assert_eq!(go_on(&mut cancelled, JUDGE, little), None);
    cancelled.command(Command::Cancel, "ann").unwrap();
    assert!(matches!(go(&mut cancelled, JUDGE, little), Outcome::RolledBack { .. }));

    // What is found to be bad goes back all the same.
    let mut bad = compared(Undecided::Hold, |_| {});
    let worse = |look, _| both(look, [500.0, 100.0], [10_000.0, 10_000.0]);
    assert!(matches!(go(&mut bad, JUDGE, worse), Outcome::RolledBack { .. }));
}

fn silence() -> Evidence {
    let silent = || Box::new(Measurement::NoData { reason: "silence".into() });
    Evidence::Comparison { canary: silent(), baseline: silent() }
}

#[test]
fn a_comparison_that_says_nothing_is_for_people_when_it_is_undetermined_and_goes_back_without_data()
{
    let little = |look, _| both(look, [1.2, 1.0], [100.0, 100.0]);
    let mut open = compared(Undecided::Unsaid, |_| {});
    let planned = open.state.plan().plan().steps().iter().find_map(|step| match &step.action {
        Action::Analyze { analysis, .. } => Some(analysis.undecided),
        _ => None,
    });
    assert_eq!(planned, Some(Undecided::HoldUndetermined));
    assert_eq!(go_on(&mut open, JUDGE, little), None);
    assert!(held(&open), "{:?}", open.state.awaiting());
    assert_eq!(findings(&open, JUDGE).last().unwrap().conclusion, Conclusion::Undetermined);
    // It is no pass: nobody got more of the new version.
    let succeeded = open.facts.iter().any(|fact| {
        matches!(&fact.event, Event::StepSucceeded { step, .. } if step.id.as_str().ends_with(JUDGE))
    });
    assert!(!succeeded);
    let mut blind = compared(Undecided::Unsaid, |_| {});
    assert!(matches!(go(&mut blind, JUDGE, |_, _| silence()), Outcome::RolledBack { .. }));
    let mut bad = compared(Undecided::Unsaid, |_| {});
    let worse = |look, _| both(look, [500.0, 100.0], [10_000.0, 10_000.0]);
    assert!(matches!(go(&mut bad, JUDGE, worse), Outcome::RolledBack { .. }));
    // Who says it is asked nothing, and a limit goes back.
    for said in [Undecided::Fail, Undecided::Hold] {
        let run = compared(said, |_| {});
        let kept = run.state.plan().plan().steps().iter().any(
            |step| matches!(&step.action, Action::Analyze { analysis, .. } if analysis.undecided == said),
        );
        assert!(kept, "{said:?}");
    }
}

#[test]
fn no_data_is_for_people_where_the_analysis_says_so() {
    let mut holds = compared(Undecided::Hold, |_| {});
    assert_eq!(go_on(&mut holds, JUDGE, |_, _| silence()), None);
    assert!(held(&holds));
    assert_eq!(findings(&holds, JUDGE).len(), 3, "as often as is tolerated, and once more");
}

#[test]
fn f34_nobody_goes_back_to_what_is_ill_itself() {
    let bound = Bound::AtMost(finite(0.02));
    let mut run = compared(Undecided::Fail, |rule| rule.baseline = Some(bound));
    let ill = |look, _| both(look, [900.0, 900.0], [10_000.0, 10_000.0]);
    assert_eq!(go_on(&mut run, JUDGE, ill), None);
    assert!(held(&run), "{:?}", run.state.awaiting());
    assert_eq!(findings(&run, JUDGE).last().unwrap().conclusion, Conclusion::BaselineUnhealthy);
}

#[test]
fn shares_that_are_not_as_planned_are_no_reason_to_go_back() {
    let mut run = compared(Undecided::Fail, |_| {});
    let few = |look, _| both(look, [20.0, 180.0], [2_000.0, 18_000.0]);
    assert_eq!(go_on(&mut run, JUDGE, few), None);
    assert!(held(&run));
    assert_eq!(findings(&run, JUDGE).last().unwrap().conclusion, Conclusion::ShareMismatch);
}

/// A limit in the background of a canary that bakes for a minute, looked at every second.
fn watched(
    change: impl FnOnce(&mut Analysis),
    look: impl FnMut(u32) -> Measurement,
) -> (Run, Outcome) {
    let step = CanaryStep::new(50, Span::secs(60));
    let background = vec![Background { analysis: id("watch"), from_step: 1 }];
    let mut definition =
        one_service(Strategy::Canary(Canary { background, ..Canary::new(vec![step]) }));
    let mut analysis = Analysis { id: id("watch"), ..error_rate() };
    change(&mut analysis);
    definition.analyses.push(analysis);
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    let mut look = look;
    let outcome = go(&mut run, "background/watch", |nth, _| Evidence::Measurement(look(nth)));
    (run, outcome)
}

fn counted(look: u32, bad: f64) -> Measurement {
    let look = f64::from(look);
    part(digest("2.0.0"), bad * look, 100.0 * look)
}

fn looks(run: &Run) -> Vec<Verdict> {
    let verdicts = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::StepMeasured { step, verdict, .. }
            if step.id.as_str().ends_with("background/watch") =>
        {
            Some(*verdict)
        }
        _ => None,
    });
    verdicts.collect()
}

#[test]
fn a_limit_in_the_background_is_looked_at_until_the_rollout_is_through() {
    let (run, outcome) = watched(|_| {}, |look| counted(look, 1.0));
    assert_eq!(outcome, Outcome::Succeeded);
    assert!(looks(&run).len() > 55, "one good look is not enough: {}", looks(&run).len());
    let (_, outcome) = watched(|_| {}, |look| counted(look, if look < 40 { 1.0 } else { 50.0 }));
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
}

#[test]
fn looks_without_data_in_the_background_are_counted_in_a_row() {
    let silence = || Measurement::NoData { reason: "silence".into() };
    let limit = |analysis: &mut Analysis| analysis.inconclusive_limit = 2;
    // Every third look sees nothing, far more often than is tolerated in a row.
    let gaps = |look: u32| if look.is_multiple_of(3) { silence() } else { counted(look, 1.0) };
    let (run, outcome) = watched(limit, gaps);
    assert_eq!(outcome, Outcome::Succeeded);
    assert!(looks(&run).iter().filter(|of| **of == Verdict::Inconclusive).count() > 10);
    let gone = |look: u32| if look > 20 { silence() } else { counted(look, 1.0) };
    let (run, outcome) = watched(limit, gone);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(looks(&run).len(), 22);
}

/// What was good once, and is silent when the rollout is through, is looked at again.
#[test]
fn a_watch_ends_with_a_good_look() {
    let silence = || Measurement::NoData { reason: "silence".into() };
    let limit = |analysis: &mut Analysis| analysis.inconclusive_limit = 10;
    let last = |look: u32| if look > 55 { silence() } else { counted(look, 1.0) };
    let (_, outcome) = watched(limit, last);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let late = |look: u32| {
        if (56..64).contains(&look) { silence() } else { counted(look, 1.0) }
    };
    let (run, outcome) = watched(limit, late);
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(looks(&run).iter().filter(|of| **of == Verdict::Inconclusive).count(), 8);
}

/// What stands in the picture of the judge: the parts of a path, and where the moment of decision is.
fn drawn<'a>(page: &'a str, class: &str) -> &'a str {
    let tag = page.split('<').find(|tag| tag.contains(&format!("class=\"{class}\""))).unwrap();
    tag.split("d=\"").nth(1).map_or(tag, |d| d.split('"').next().unwrap())
}

#[test]
fn the_page_draws_both_versions_the_interval_and_the_moment_of_decision() {
    let mut bad = compared(Undecided::Fail, |_| {});
    let worse = |look, _| both(look, [300.0, 100.0], [10_000.0, 10_000.0]);
    assert!(matches!(go(&mut bad, JUDGE, worse), Outcome::RolledBack { .. }));
    let looks = findings(&bad, JUDGE).len();
    assert!(looks > 2, "{looks}");
    let picture = page(&bad);
    let points = |class: &str| drawn(&picture, class).matches(['M', 'L']).count();
    // Each look's value of both versions, its guess, what is tolerated; the interval there and back.
    for (class, want) in [("old", looks), ("new", looks), ("limit", looks), ("band", 2 * looks)] {
        assert_eq!(points(class), want, "{class}");
    }
    // At the right end of the picture, where the last look stands.
    let decided = drawn(&picture, "decided bad");
    assert!(decided.contains(r#"x1="744""#) && decided.contains(r#"x2="744""#), "{decided}");
    assert!(picture.contains(&format!("look {looks}, {}s later", looks - 1)), "{looks}");

    let mut open = compared(Undecided::Hold, |_| {});
    assert_eq!(go_on(&mut open, JUDGE, |look, _| both(look, [1.2, 1.0], [100.0, 100.0])), None);
    assert!(drawn(&page(&open), "decided open").contains("x1"));
}

#[test]
fn of_what_is_written_hold_is_what_is_not_usual() {
    let metric =
        Metric::Ratio { numerator: Selector::series("bad"), denominator: Selector::series("all") };
    let usual = Analysis::judged(id("errors"), metric, comparing(|_| {}).judge);
    assert!(matches!(usual.judge, Judge::Sequential(_)));
    let json = serde_json::to_string(&usual).unwrap();
    assert!(!json.contains("undecided"), "{json}");
    let hold = Analysis { undecided: Undecided::Hold, ..usual };
    let json = serde_json::to_string(&hold).unwrap();
    assert!(json.contains(r#""undecided":"hold""#), "{json}");
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), hold);
}
