//! Explanations against brute force: in random states of random runs, what is named is exactly what has
//! to be lifted. The oracle knows nothing of how explanations are found. It lifts an obstacle by making
//! the past another one (another plan, other instants in the journal, another policy), replays that, and
//! lets the real `advance` say whether the step goes on.

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::explain::{Explanation, Lifter, ObstacleKind, explain, explain_in};
use release_core::model::Span;
use release_core::plan::{Action, FrozenPlan};
use release_core::port::{Admission, CommandRequest, Decision, PermitAll, Policy, Reason};
use release_core::run::{Awaiting, Command, Event, Phase, RunState, Status};

use super::run_laws::{Happening, happen, happening};
use super::support::bounds::Bounds;
use super::support::counterfactual::Counterfactual;
use super::support::drive::{End, Run};
use super::support::random;
use super::support::world::START;

/// Permits some steps, holds some for a time, denies some for a longer time without saying so.
#[derive(Debug, Clone, Copy)]
struct Moody(u8);

impl Policy for Moody {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let sum: u32 = request.step.id.as_str().bytes().map(u32::from).sum();
        let reasons = || vec![Reason::new("mood/bad", "not in the mood", "patience")];
        let until = START.plus(Span::millis(1_500));
        match (sum + u32::from(self.0)) % 5 {
            0 if request.now < until => Decision::wait(Some(until), reasons()),
            1 if request.now < START.plus(Span::secs(3)) => Decision::deny(reasons()),
            _ => Decision::permit(),
        }
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

fn name(found: &Explanation) -> String {
    format!("{found}\nin {:?}", found.obstacles)
}

/// Checks one explanation. Returns how many obstacles the oracle lifted.
fn check(run: &Run, step: u32, policy: &dyn Policy, bounds: &Bounds) -> usize {
    let found = explain_in(&run.state, step, bounds.view(run, policy)).unwrap();
    let kinds: Vec<_> = found.obstacles.iter().map(|obstacle| &obstacle.kind).collect();
    let status = run.state.status(step).unwrap();
    match &kinds[..] {
        // Lifted by an input; what comes after is explained then.
        [ObstacleKind::UnderWay { .. }] => {
            assert_eq!(status, Status::Running);
            return 0;
        }
        [ObstacleKind::NeedsReconcile { error }] => {
            assert!(error.is_some(), "{found}");
            assert!(run.state.awaiting().contains(&Awaiting::Operator(found.step.id)));
            return 0;
        }
        [ObstacleKind::Failed { held: true, error }] => {
            // A failure that was held because there was no way back is told by the run alone.
            let no_way_back = run.last(|e| matches!(e, Event::RollbackBlocked { .. })).is_some();
            assert!(error.is_some() || no_way_back, "{found}");
            assert!(run.state.awaiting().contains(&Awaiting::Operator(found.step.id)));
            return 0;
        }
        _ if kinds.iter().any(|kind| matches!(kind, ObstacleKind::Bake { .. })) => return 0,
        _ if found.is_final() => return 0,
        _ => {}
    }
    let all = || Counterfactual::of(run, step, &found, bounds);
    let done = matches!(status, Status::Succeeded | Status::Compensated | Status::Failed);
    if kinds.is_empty() && done {
        return 0;
    }
    let mut lifted = all();
    for kind in &kinds {
        lifted.lift(kind);
    }
    let Some(goes_on) = lifted.goes_on(policy, None) else { return 0 };
    assert!(goes_on, "lifting all does not suffice: {}", name(&found));
    for kept in 0..kinds.len() {
        let mut lifted = all();
        kinds.iter().enumerate().filter(|(i, _)| *i != kept).for_each(|(_, k)| lifted.lift(k));
        let goes_on = lifted.goes_on(policy, Some(kinds[kept]));
        assert!(goes_on != Some(true), "{:?} need not be lifted: {}", kinds[kept], name(&found));
    }
    kinds.len()
}

fn steps(state: &RunState) -> std::ops::Range<u32> {
    0..u32::try_from(state.plan().len()).unwrap()
}

fn course(plan: &FrozenPlan, policy: Moody, happenings: &[Happening]) -> Run {
    let mut run = Run::start_with(plan, Box::new(policy), 1_000);
    for happening in happenings {
        happen(&mut run, happening);
    }
    run.pass(Span::ZERO);
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn what_is_named_is_exactly_what_must_be_lifted(
        plan in random::dag(), mood in 0_u8..5, changed in proptest::bool::ANY,
        bound in (proptest::bool::ANY, 0_u8..5), happenings in vec(happening(), 0..30),
    ) {
        let run = course(&plan, Moody(mood), &happenings);
        let bounds = Bounds::new(&run, bound.0, bound.1);
        // A policy that has changed since: what nothing holds any more is still to be asked again.
        let now: &dyn Policy = if changed { &PermitAll } else { &Moody(mood) };
        for step in steps(&run.state) {
            check(&run, step, now, &bounds);
        }
    }

    /// Whatever anybody does from then on, but to find that there is no way back.
    #[test]
    fn what_is_final_never_starts_again(
        plan in random::dag(), happenings in vec(happening(), 0..30), rest in vec(happening(), 0..30),
    ) {
        let mut run = Run::start(&plan);
        for happening in &happenings {
            happen(&mut run, happening);
        }
        let all = steps(&run.state).map(|step| explain(&run.state, step, run.now, &PermitAll));
        let last: Vec<_> = all.map(Result::unwrap).filter(Explanation::is_final).collect();
        let from = run.facts.len();
        for happening in &rest {
            happen(&mut run, happening);
        }
        run.heal(600);
        for fact in &run.facts[from..] {
            match &fact.event {
                Event::RollbackBlocked { .. } | Event::RollbackStuck { .. }
                | Event::AbandonForced { .. } => break,
                Event::StepStarted { step, mode: release_core::run::Mode::Perform, .. } => {
                    let ended = last.iter().find(|found| found.step == *step);
                    prop_assert!(ended.is_none(), "{} started: {}", step.id, ended.unwrap());
                }
                _ => {}
            }
        }
    }

    /// Only time passes. What time alone lifts is lifted at the very instant that was named.
    #[test]
    fn what_time_lifts_is_lifted_when_it_was_said(
        plan in random::dag(), mood in 0_u8..5, happenings in vec(happening(), 0..20), which in 0_usize..9,
    ) {
        let mut run = course(&plan, Moody(mood), &happenings);
        let Some(found) = timed(&run, &Moody(mood), which) else { return Ok(()) };
        let at = found.earliest().unwrap();
        let from = run.facts.len();
        while run.state.next_wakeup().is_some_and(|next| next < at) {
            run.pass_to_next();
        }
        prop_assert!(!goes_on(&run, from, &found), "before {at}: {found}");
        run.now = at;
        run.pass(Span::ZERO);
        if !goes_on(&run, from, &found) {
            // Something else has come in between, and it is told.
            let now = explain(&run.state, found.step.index, at, &Moody(mood)).unwrap();
            prop_assert!(!now.is_free(), "still waits at {at}: {found}, now {now}");
            prop_assert!(now.obstacles.iter().all(|o| o.earliest.is_none_or(|t| t > at)), "{now}");
        }
    }

    /// Everybody acts at once and effects take no time: even then nothing is done before it was said.
    #[test]
    fn no_dependency_is_done_before_it_was_said(
        plan in random::dag(), mood in 0_u8..5, happenings in vec(happening(), 0..20),
    ) {
        let mut run = course(&plan, Moody(mood), &happenings);
        let mut bounds = Vec::new();
        for step in steps(&run.state) {
            let found = explain(&run.state, step, run.now, &Moody(mood)).unwrap();
            for obstacle in found.obstacles {
                if let (ObstacleKind::Dependency { step, .. }, Some(at)) =
                    (obstacle.kind, obstacle.earliest)
                {
                    bounds.push((step, at));
                }
            }
        }
        for _ in 0..200 {
            if run.state.outcome().is_some() {
                break;
            }
            for (step, at) in &bounds {
                let status = run.state.status(step.index).unwrap();
                let done = matches!(status, Status::Succeeded);
                prop_assert!(!done || run.now >= *at, "`{}` is done at {}, not {at}", step.id, run.now);
            }
            everybody_acts(&mut run);
        }
    }
}

/// The `which`th step that only time holds, and has been considered already.
fn timed(run: &Run, policy: &dyn Policy, which: usize) -> Option<Explanation> {
    let all = steps(&run.state).map(|step| explain(&run.state, step, run.now, policy).unwrap());
    let by_time = |found: &Explanation| {
        let timed = |o: &release_core::explain::Obstacle| match &o.who {
            Lifter::Time => true,
            Lifter::PolicyOwner => o.earliest.is_some(),
            _ => false,
        };
        !found.is_free() && found.obstacles.iter().all(timed)
    };
    let all: Vec<_> = all.filter(by_time).collect();
    let n = which % all.len().max(1);
    all.into_iter().nth(n)
}

fn goes_on(run: &Run, from: usize, found: &Explanation) -> bool {
    run.facts[from..].iter().any(|fact| match &fact.event {
        Event::StepStarted { step, .. } | Event::StepSucceeded { step, .. } => *step == found.step,
        _ => false,
    })
}

fn everybody_acts(run: &mut Run) {
    let _ = run.command(Command::Resume, "bob");
    for gate in run.gates() {
        for by in ["bob", "eve"] {
            let _ = run.command(Command::Approve { gate: gate.clone() }, by);
        }
    }
    for waiting in run.state.awaiting() {
        if let Awaiting::Operator(step) = waiting {
            let _ = run.command(Command::Reconcile { step: step.clone(), applied: true }, "bob");
            let _ = run.command(Command::Retry { step }, "bob");
        }
    }
    let under_way: Vec<_> = run.effects.keys().copied().collect();
    if under_way.is_empty() {
        run.pass_to_next();
    }
    for step in under_way {
        if run.effects.contains_key(&step) {
            run.outcome(step, End::Good);
        }
    }
}

/// The oracle is worth nothing where nothing is to be lifted: over many courses, every kind of obstacle
/// that it can lift comes up, and so do combinations.
#[test]
fn the_oracle_meets_every_kind_of_obstacle() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let all = [
        "approval",
        "asked_again",
        "bake",
        "dependency",
        "failed",
        "given_up",
        "measurement",
        "needs_reconcile",
        "not_called",
        "outcome_unknown",
        "paused",
        "permits",
        "places",
        "policy",
        "rejected",
        "retry",
        "soak",
        "stopping",
        "under_way",
    ];
    let mut runner = TestRunner::deterministic();
    let (mut kinds, mut most) = (std::collections::BTreeSet::new(), 0);
    let inputs = (random::dag(), 0_u8..5, vec(happening(), 0..30));
    for _ in 0..2_000 {
        if kinds.len() == all.len() && most >= 5 {
            break;
        }
        let (plan, mood, happenings) = inputs.new_tree(&mut runner).unwrap().current();
        let run = course(&plan, Moody(mood), &happenings);
        let bounds = Bounds::new(&run, mood == 0, mood);
        for (step, policy) in steps(&run.state).flat_map(|step| {
            [(step, &PermitAll as &dyn Policy), (step, &Moody(0)), (step, &Moody(1))]
        }) {
            let found = explain_in(&run.state, step, bounds.view(&run, policy)).unwrap();
            kinds.extend(found.obstacles.iter().map(|obstacle| obstacle.kind.name()));
            if matches!(run.state.phase(), Phase::Forward)
                && !matches!(run.state.plan().get(step).unwrap().action, Action::Sync)
            {
                most = most.max(check(&run, step, policy, &bounds));
            }
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    assert!(most >= 5, "at most {most} obstacles at once");
}
