//! Questions about runs that an engine drives or drove.

use release_core::engine::{AskError, Engine};
use release_core::explain::{Assumptions, Ground, Lifter, ObstacleKind, Position};
use release_core::model::Span;
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Command, Event, Outcome, Phase};

use super::support::engines::{command, run_id};
use super::support::samples::{approval, chain, change, id, person};
use super::support::world::{Act, TokioClock, World, memory};

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
    let start = super::support::world::START;
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
