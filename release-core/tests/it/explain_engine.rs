//! Questions about runs that an engine drives or drove.

use release_core::engine::{AskError, Engine};
use release_core::explain::{Assumptions, Explanation, Ground, Lifter, ObstacleKind, Position};
use release_core::limits::{Limit, Limits, LimitsFile, Per, Quota, Scope, Window};
use release_core::model::Span;
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Command, Event, Outcome, Phase};

use super::support::desk::limits;
use super::support::engines::{command, run_id};
use super::support::samples::{approval, chain, change, id, person};
use super::support::words::approve;
use super::support::world::{Act, START, TokioClock, World, memory, pass};

/// Holds the step called `b` for an hour from whenever it is asked.
#[derive(Debug)]
struct HoldB;

impl Policy for HoldB {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        if request.step.id.as_str() != "b" {
            return Decision::permit();
        }
        let reasons = vec![Reason::new("hold/b", "b is held", "team-b")];
        Decision::wait(Some(request.now.plus(Span::secs(3_600))), reasons)
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_asked_why_it_waits_while_it_is_driven_and_after() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let builder = Engine::builder(journal.clone(), world).clock(TokioClock::new());
    let engine = builder.policy(HoldB).build();
    let plan = chain(vec![change("a").gate(approval("go")), change("b")]);
    let run = engine.start(run_id(), plan.plan().clone(), person("ann")).await.unwrap();
    run.settled().await.unwrap();

    let found = run.explain(&id("b")).await.unwrap();
    let kinds: Vec<_> = found.obstacles.iter().map(|obstacle| obstacle.kind.name()).collect();
    assert_eq!(kinds, ["dependency", "policy"], "by the engine's own policy: {found}");
    assert_eq!(found.roots[0].obstacles[0].who, Lifter::Person { roles: vec![] });
    let unknown = run.explain(&id("c")).await.unwrap_err();
    assert!(matches!(unknown, AskError::Step(_)), "{unknown}");

    tokio::time::advance(std::time::Duration::from_mins(1)).await;
    run.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    let mut events = run.events(0);
    while let Some(recorded) = events.next().await.unwrap() {
        if matches!(&recorded.event, Event::StepBlocked { step, .. } if step.id == id("b")) {
            break;
        }
    }
    // The journal tells the same to an engine that drives nothing.
    let other = Engine::builder(journal, World::new(&memory(), |_| Act::Faithful)).policy(HoldB);
    let other = other.clock(TokioClock::new()).build();
    let (now, stored) = (
        run.explain(&id("b")).await.unwrap(),
        other.explain(&run_id(), &id("b"), None).await.unwrap(),
    );
    assert_eq!((now.step, now.status), (stored.step, stored.status));
    assert!(
        matches!(stored.obstacles[..], [ref one] if matches!(one.kind, ObstacleKind::Policy { .. }))
    );
    let first = other.state_at(&run_id(), Position::Seq(1)).await.unwrap();
    assert_eq!((first.phase(), first.in_flight()), (&Phase::Forward, 0));
    let then = other.explain(&run_id(), &id("b"), Some(first.now())).await.unwrap();
    assert_eq!(then.obstacles.len(), 2, "as it was at the start: {then}");

    let seq = other.load(&run_id()).await.unwrap().0.facts().iter().position(
        |fact| matches!(&fact.event, Event::StepStarted { step, .. } if step.id == id("a")),
    );
    let why = other.why(&run_id(), seq.unwrap() as u64 + 1).await.unwrap();
    let bob = |g: &Ground| matches!(g, Ground::Vote { by, .. } if by.id.as_str() == "bob");
    assert!(why.grounds.iter().any(bob), "{why}");
    let none = other.why(&run_id(), 99).await.unwrap_err();
    assert!(none.to_string().contains("has no record 99"), "{none}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_forecasts_with_its_own_policy() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let builder = Engine::builder(journal, world).clock(TokioClock::new());
    let engine = builder.policy(HoldB).build();
    let plan = chain(vec![change("b")]);
    let start = START;
    let assumed = Assumptions::new(run_id(), person("ann"), start).horizon(Span::secs(4_000));
    let course = engine.what_if(&plan, &assumed).unwrap();
    assert_eq!(course.held_by("hold/b").count(), 1, "asked twice, for the same reason: {course}");
    assert!(matches!(&course.waiting[..], [found] if found.at == start.plus(Span::secs(3_600))));
    let plan = chain(vec![change("a").gate(approval("go"))]);
    let run = engine.start(run_id(), plan.plan().clone(), person("ann")).await.unwrap();
    run.settled().await.unwrap();
    let course = engine.forecast(&run_id(), &assumed).await.unwrap();
    assert_eq!((course.outcome, course.waiting.len()), (None, 1));
    let approved = assumed.approvals_take(Span::secs(60));
    let course = engine.forecast(&run_id(), &approved).await.unwrap();
    assert_eq!(course.outcome, Some(Outcome::Succeeded));
    assert_eq!(run.state().await.unwrap().in_flight(), 0, "the run itself has not moved");
    run.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    run.wait().await.unwrap();
    let over = run.explain(&id("a")).await.unwrap_err();
    assert!(matches!(over, AskError::Handle(_)), "{over}");
    assert!(engine.explain(&run_id(), &id("a"), None).await.unwrap().is_free());
}

#[tokio::test(start_paused = true)]
async fn f16_a_clock_that_jumped_is_named_as_what_holds_a_step() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let clock = TokioClock::new();
    clock.jumps(Some(START.plus(Span::secs(1_000_000))));
    let builder = Engine::builder(journal, world).clock(clock.clone());
    let engine = builder.build();
    let plan = chain(vec![change("a")]);
    let run = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    run.reconsider().await.unwrap();
    let stored = engine.explain(&run_id(), &id("a"), None).await.unwrap();
    for found in [run.explain(&id("a")).await.unwrap(), stored] {
        let [ref only] = found.obstacles[..] else { panic!("{found}") };
        let ObstacleKind::Policy { denied: false, reasons } = &only.kind else { panic!("{found}") };
        assert_eq!(reasons[0].rule, "clock/anomaly", "{found}");
    }
    clock.jumps(None);
    assert!(!run.explain(&id("a")).await.unwrap().to_string().contains("clock/anomaly"));
}

/// The obstacles by name, and what is said of limits.
fn bounds(found: &Explanation) -> (Vec<&'static str>, String) {
    let kinds = found.obstacles.iter().map(|obstacle| obstacle.kind.name()).collect();
    let permits = found.obstacles.iter().find(|obstacle| obstacle.kind.name() == "permits");
    (kinds, permits.map(ToString::to_string).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn f35_limits_are_named_with_all_else_and_with_who_has_them_now() {
    let journal = memory();
    let held = |step: &str| step.starts_with("hold");
    let world = World::new(&journal, move |call| {
        if held(&call.step) { Act::ApplyUntilCancelled } else { Act::Faithful }
    });
    let engine = Engine::builder(journal, world).clock(TokioClock::new());
    let engine = engine.limits(limits(vec![Limit::new(id("all"), 1)])).build();
    let mut holders = Vec::new();
    for name in ["hold-1", "hold-2"] {
        let plan = chain(vec![change(name).timeout(Span::secs(1_000_000))]);
        holders.push(engine.start_frozen(id(name), plan, person("ann")).await.unwrap());
        pass(Span::secs(1)).await;
    }
    let plan = chain(vec![change("b").gate(approval("go"))]);
    let run = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    run.settled().await.unwrap();
    let found = run.explain(&id("b")).await.unwrap();
    let (kinds, permits) = bounds(&found);
    assert_eq!(kinds, ["approval", "permits"], "{found}");
    assert!(permits.contains("limit/all") && permits.contains("`hold-1`"), "{found}");
    let stored = engine.explain(&run_id(), &id("b"), None).await.unwrap();
    assert_eq!(bounds(&stored), (kinds, permits), "as its journal tells");
    run.send(command(approve("go"), "bob")).await.unwrap();
    pass(Span::secs(1)).await;
    let (kinds, permits) = bounds(&run.explain(&id("b")).await.unwrap());
    assert!(kinds == ["permits"] && permits.contains("`hold-1`"), "{permits}");
    // Another has it by and by.
    holders[0].send(command(Command::Cancel, "bob")).await.unwrap();
    holders[0].wait().await.unwrap();
    pass(Span::secs(1)).await;
    let (kinds, permits) = bounds(&run.explain(&id("b")).await.unwrap());
    assert!(kinds == ["permits"] && permits.contains("`hold-2`"), "{permits}");
    assert!(!permits.contains("`hold-1`"), "{permits}");
    holders[1].send(command(Command::Cancel, "bob")).await.unwrap();
    assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn f35_when_a_quota_renews_is_the_earliest_instant_of_who_waits_for_it() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let (scope, window) = (Scope::default(), Window::Rolling(Span::secs(3_600)));
    let hourly = Quota { id: id("hourly"), scope, per: Per::Step, amount: 1, window };
    let file = LimitsFile { quotas: vec![hourly], ..LimitsFile::default() };
    let engine = Engine::builder(journal, world).clock(TokioClock::new());
    let engine = engine.limits(Limits::new(file).unwrap()).build();
    let plan = chain(vec![change("a"), change("b").gate(approval("go"))]);
    let run = engine.start_frozen(run_id(), plan, person("ann")).await.unwrap();
    run.settled().await.unwrap();
    let found = run.explain(&id("b")).await.unwrap();
    assert_eq!(bounds(&found).0, ["approval", "permits"], "{found}");
    let begun = engine.ledger().await.unwrap().now();
    let at = found.earliest().unwrap();
    assert!(at <= begun.plus(Span::secs(3_600)) && at > begun.plus(Span::secs(3_590)), "{found}");
    run.send(command(approve("go"), "bob")).await.unwrap();
    assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
    let (history, _) = engine.load(&run_id()).await.unwrap();
    let started = history.facts().iter().rev().find_map(|fact| match &fact.event {
        Event::StepStarted { step, .. } if step.id == id("b") => Some(fact.at),
        _ => None,
    });
    assert!(started.unwrap() >= at, "it began before it was said to");
}
