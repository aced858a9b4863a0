//! F1 and F2: ten shapes of runs, each with a crash at every boundary of every append. What is left in the
//! end is what some run without a crash leaves.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Approval, BlueGreen, Gate, RollbackScope, Rolling, Span, Strategy};
use release_core::plan::{
    Action, Compensation, EdgeKind, FrozenPlan, OnFailure, Plan, RetryPolicy, Step, Undo, UndoPhase,
};
use release_core::run::{Command, Event};
use release_testkit::fixtures::{self, Shop, literal};
use release_testkit::sim::faults::{Boundary, Fault, When};
use release_testkit::sim::{Badness, Course, FaultPlan, Humans, Providers, Sim, days, invariants};

/// What a run leaves: how it ended, what runs where, and what was done under which key.
type Left = (Option<&'static str>, String, BTreeMap<String, u32>);

fn left(course: &Course) -> Left {
    let last = course.runs[0].facts.last().map(|fact| &fact.event);
    let outcome = match last {
        Some(Event::RunFinished { outcome }) => Some(outcome.name()),
        _ => None,
    };
    (outcome, format!("{:?}", course.places), course.done.clone())
}

/// Crashes `sim` at every boundary of every append that it makes without a crash; the torn writes at some
/// bytes.
#[track_caller]
fn crash_everywhere(sim: Sim) {
    let plain = sim.clone();
    crash_everywhere_of(sim, &[plain], 401);
}

/// As [`crash_everywhere`], where any of `plain` is a run without a crash, and of torn writes every
/// `torn`th byte is one.
#[track_caller]
fn crash_everywhere_of(sim: Sim, plain: &[Sim], torn: usize) {
    let steady = |sim: Sim| {
        sim.providers(Providers::new().latency(Span::secs(1), Span::secs(9)))
            .humans(Humans::new().delay(Span::secs(20), Span::secs(60)))
            .run_for(days(2))
    };
    let sim = steady(sim);
    let invariants = invariants::all();
    let seeds = (0..40).flat_map(|seed| plain.iter().map(move |sim| sim.clone().seed(seed)));
    let ends: BTreeSet<Left> = seeds.map(|sim| left(&steady(sim).course())).collect();
    assert!(ends.iter().all(|end| end.0.is_some()), "{ends:#?}");
    let plain = sim.course();
    let mut batches: Vec<u64> = plain.runs[0].stored.iter().map(|(tick, _)| *tick).collect();
    batches.dedup();
    let mut crashes = 0;
    let mut check = |append: u64, boundary: Boundary| {
        let faults = FaultPlan::none().and(Fault::Crash(Some(boundary)), When::Append(append));
        let course = sim.clone().faults(faults).course();
        let broken: Vec<_> = invariants.iter().flat_map(|i| i.check(&course)).collect();
        assert!(broken.is_empty(), "append {append}, {boundary}: {broken:#?}");
        let end = left(&course);
        assert!(ends.contains(&end), "append {append}, {boundary}: {end:#?} is none of {ends:#?}");
        crashes += 1;
    };
    for append in 1..=u64::try_from(batches.len()).unwrap() {
        for boundary in [Boundary::Before, Boundary::Written, Boundary::Acked, Boundary::Effect] {
            check(append, boundary);
        }
        // Past the end of a batch a torn write is a whole one.
        for bytes in (0..1200).step_by(torn) {
            check(append, Boundary::Torn(Some(bytes)));
        }
    }
    assert!(crashes > 30, "{crashes}");
}

fn custom(capability: &str) -> Action {
    Action::Custom { capability: capability.into(), input: serde_json::Value::Null }
}

fn change(name: &str) -> Step {
    let action = custom(&format!("undo-{name}"));
    let undo = Undo::Compensate(vec![Compensation { action, phase: UndoPhase::Remove }]);
    let back = OnFailure::RollBack(RollbackScope::Release);
    Step::new(literal(name), custom("change")).undo(undo).on_failure(back)
}

fn plan(steps: Vec<Step>, edges: &[(u32, u32)]) -> FrozenPlan {
    let mut plan = Plan::builder(literal("train"), literal("r-1"));
    for step in steps {
        plan.step(step);
    }
    for (from, to) in edges {
        plan.edge(*from, *to, EdgeKind::Order);
    }
    plan.build().unwrap().freeze()
}

fn by_hand(steps: Vec<Step>, edges: &[(u32, u32)]) -> Sim {
    Sim::new(0).departs(Span::ZERO, plan(steps, edges))
}

fn one_service(strategy: Option<Strategy>) -> Sim {
    let shop = Shop::new().without_staging().regions(["eu"]).replicas(2).weights([50]);
    let shop = shop.bake(Span::secs(30)).rollback_scope(RollbackScope::Release);
    let shop = match strategy {
        Some(strategy) => shop.strategy(strategy),
        None => shop,
    };
    let mut definition = shop.definition();
    definition.services.truncate(1);
    for set in [&mut definition.release.versions, &mut definition.release.previous] {
        *set = release_core::model::VersionSet::new();
    }
    let set = |version: &str| {
        let artifact = fixtures::artifact("catalog", version);
        release_core::model::VersionSet::new().with(
            literal("catalog"),
            fixtures::version(version),
            artifact,
        )
    };
    definition.release.versions = set(Shop::NEW);
    definition.release.previous = set(Shop::OLD);
    Sim::new(0).definition(&definition).unwrap()
}

#[test]
fn f1_linear() {
    crash_everywhere(by_hand(vec![change("a"), change("b"), change("c")], &[(0, 1), (1, 2)]));
}

#[test]
fn f2_torn_at_every_byte() {
    let sim = by_hand(vec![change("a")], &[]);
    crash_everywhere_of(sim.clone(), &[sim], 1);
}

#[test]
fn f1_wide() {
    let steps = ["a", "b", "c", "d"].map(change).into_iter();
    let steps = steps.chain([Step::new(literal("meet"), Action::Sync), change("end")]).collect();
    crash_everywhere(by_hand(steps, &[(0, 4), (1, 4), (2, 4), (3, 4), (4, 5)]));
}

#[test]
fn f1_canary() {
    crash_everywhere(one_service(None));
}

#[test]
fn f1_blue_green() {
    let (bake, keep_old) = (Span::secs(30), Span::secs(60));
    let strategy = BlueGreen { gates: vec![], bake, analyses: vec![], keep_old };
    crash_everywhere(one_service(Some(Strategy::BlueGreen(strategy))));
}

#[test]
fn f1_rolling_with_failing_health() {
    let rolling = Rolling { batches: 2, max_unavailable: 1, bake: Span::ZERO };
    let sim = one_service(Some(Strategy::Rolling(rolling)));
    crash_everywhere(sim.bad(fixtures::digest("catalog", Shop::NEW), Badness::NeverReady));
}

#[test]
fn f1_gate_with_approval() {
    let gate = Gate::Approval(Approval { quorum: 2, ..Approval::new(literal("go")) });
    crash_everywhere(by_hand(vec![change("a"), change("b").gate(gate)], &[(0, 1)]));
}

/// The first step never answers, but takes effect: it is looked for.
#[test]
fn f1_retry_with_unknown_outcomes() {
    let slow = change("a").timeout(Span::secs(5)).retry(RetryPolicy::attempts(3));
    crash_everywhere(by_hand(vec![slow, change("b")], &[(0, 1)]));
}

#[test]
fn f1_rollback() {
    let sim = one_service(None);
    crash_everywhere(sim.bad(fixtures::digest("catalog", Shop::NEW), Badness::Failing));
}

#[test]
fn f1_cancel() {
    let sim = by_hand(vec![change("a"), change("b"), change("c")], &[(0, 1), (1, 2)]);
    let cancel =
        |secs| sim.clone().command(Span::secs(secs), 0, fixtures::operator(), Command::Cancel);
    // A crash delays the run, and the cancel then finds it where it would have been earlier.
    let plain: Vec<_> = (0..10).map(cancel).collect();
    crash_everywhere_of(cancel(8), &plain, 401);
}

#[test]
fn f1_point_of_no_return() {
    let undo = Undo::PointOfNoReturn { justification: "rows are dropped".into() };
    let migrate = Step::new(literal("migrate"), custom("migrate")).undo(undo);
    crash_everywhere(by_hand(vec![change("a"), migrate, change("b")], &[(0, 1), (1, 2)]));
}
