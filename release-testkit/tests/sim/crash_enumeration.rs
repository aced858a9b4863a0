//! F1 and F2: ten shapes of runs, each with a crash at every boundary of every append, and with its last
//! record torn at every byte (with `RELEASE_EVERY_BYTE`, as in CI; without it at one in 97). What is left in the end
//! is what some run without a crash leaves.
//!
//! ```text
//! RELEASE_EVERY_BYTE=1 cargo test -p release-testkit --test sim crash_enumeration
//! ```

use std::collections::{BTreeMap, BTreeSet};

use release_core::limits::{Limit, Limits, LimitsFile};
use release_core::model::{
    Approval, BlueGreen, Digest, Gate, RollbackScope, Rolling, Span, Strategy,
};
use release_core::plan::{
    Action, Compensation, EdgeKind, FrozenPlan, OnFailure, Plan, RetryPolicy, Step, Undo, UndoPhase,
};
use release_core::run::{Command, Event};
use release_testkit::fixtures::{self, Shop, literal};
use release_testkit::sim::faults::{Boundary, Fault, When};
use release_testkit::sim::{
    Badness, Course, FaultPlan, Humans, Providers, Sim, What, Write, days, invariants,
};

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

/// Of how many bytes of a last record one is torn after.
#[expect(clippy::disallowed_methods, reason = "who runs tests says how many")]
fn stride() -> usize {
    if std::env::var_os("RELEASE_EVERY_BYTE").is_some() { 1 } else { 97 }
}

/// The bytes after which a write is torn: every `stride`th of its last record, both ends, and one before.
fn torn(write: Write, stride: usize) -> BTreeSet<u32> {
    let ends = [0, write.last / 2, write.last, write.bytes.saturating_sub(1), write.bytes];
    (write.last..write.bytes).step_by(stride).chain(ends).collect()
}

fn steady(sim: Sim) -> Sim {
    sim.providers(Providers::new().latency(Span::secs(1), Span::secs(9)))
        .humans(Humans::new().delay(Span::secs(20), Span::secs(60)))
        .run_for(days(2))
}

/// Crashes `sim` at every boundary of every append that it makes without a crash, and tears its last record.
#[track_caller]
fn crash_everywhere(sim: Sim) {
    let plain = sim.clone();
    crash_everywhere_of(sim, &[plain], stride());
}

/// What happened in a course, but for the fault, and what was stored.
fn gist(course: &Course) -> (Vec<&What>, &[Digest]) {
    let happened = course.notes.iter().map(|note| &note.what);
    let happened = happened.filter(|what| !matches!(what, What::Struck { .. }));
    (happened.collect(), &course.runs[0].hashes)
}

/// As [`crash_everywhere`], where any of `plain` is a run without a crash.
#[track_caller]
fn crash_everywhere_of(sim: Sim, plain: &[Sim], stride: usize) {
    let sim = steady(sim);
    let invariants = invariants::all();
    let seeds = (0..40).flat_map(|seed| plain.iter().map(move |sim| sim.clone().seed(seed)));
    let ends: BTreeSet<Left> = seeds.map(|sim| left(&steady(sim).course())).collect();
    assert!(ends.iter().all(|end| end.0.is_some()), "{ends:#?}");
    let (mut crashes, mut before) = (0, None);
    let mut check = |append: u64, boundary: Boundary| {
        let faults = FaultPlan::none().and(Fault::Crash(Some(boundary)), When::Append(append));
        let course = sim.clone().faults(faults).course();
        crashes += 1;
        // Most torn writes come to the same.
        if before.as_ref().is_some_and(|before| gist(before) == gist(&course)) {
            return;
        }
        let broken: Vec<_> = invariants.iter().flat_map(|i| i.check(&course)).collect();
        assert!(broken.is_empty(), "append {append}, {boundary}: {broken:#?}");
        let end = left(&course);
        assert!(ends.contains(&end), "append {append}, {boundary}: {end:#?} is none of {ends:#?}");
        before = Some(course);
    };
    for (append, write) in (1..).zip(sim.course().writes) {
        for boundary in [Boundary::Before, Boundary::Written, Boundary::Acked, Boundary::Effect] {
            check(append, boundary);
        }
        for bytes in torn(write, stride) {
            check(append, Boundary::Torn(Some(bytes)));
        }
    }
    let least = if stride == 1 { 500 } else { 30 };
    assert!(crashes > least, "{crashes}");
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
    let strategy = BlueGreen { bake, keep_old, ..BlueGreen::default() };
    crash_everywhere(one_service(Some(Strategy::BlueGreen(strategy))));
}

#[test]
fn f1_rolling_with_failing_health() {
    let rolling = Rolling { max_unavailable: 1.into(), bake: Span::ZERO, ..Rolling::new(2) };
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
    crash_everywhere_of(cancel(8), &plain, stride());
}

#[test]
fn f1_point_of_no_return() {
    let undo = Undo::point_of_no_return("rows are dropped", "lead".parse().unwrap());
    let migrate = Step::new(literal("migrate"), custom("migrate")).undo(undo);
    crash_everywhere(by_hand(vec![change("a"), migrate, change("b")], &[(0, 1), (1, 2)]));
}

/// Two engines, two runs that share one permit and the reserve, and a crash at every append of either run
/// and of the ledger.
#[test]
fn f35_a_crash_at_every_append_leaks_no_permit() {
    let limit = Limit { rollback_reserve: 1, ..Limit::new(literal("all"), 1) };
    let limits = Limits::new(LimitsFile { limits: vec![limit], ..LimitsFile::default() }).unwrap();
    let steps = || plan(vec![change("a"), change("b")], &[(0, 1)]);
    let sim = Sim::new(0).departs(Span::ZERO, steps()).departs(Span::secs(2), steps());
    let sim = steady(sim.limits(limits).engines(2)).run_for(Span::secs(3600));
    let invariants = invariants::all();
    let appends = sim.course().writes.len();
    assert!(appends > 15, "{appends}");
    for (append, write) in (1..).zip(sim.course().writes) {
        let torn = torn(write, 101).into_iter().map(|at| Boundary::Torn(Some(at)));
        let crashes = [Boundary::Before, Boundary::Written, Boundary::Effect].into_iter();
        for boundary in crashes.chain(torn) {
            let faults = FaultPlan::none().and(Fault::Crash(Some(boundary)), When::Append(append));
            let course = sim.clone().faults(faults).course();
            let broken: Vec<_> = invariants.iter().flat_map(|i| i.check(&course)).collect();
            assert!(broken.is_empty(), "append {append}, {boundary}: {broken:#?}");
        }
    }
}
