//! A policy that names no instant: asked again from time to time, and journaled only when it answers
//! otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use release_core::engine::Engine;
use release_core::model::{Principal, Timestamp};
use release_core::plan::{Plan, Step};
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{
    Awaiting, Event, Fact, Input, Outcome, RunState, Status, Turn, WakeUp, turn,
};

use super::support::samples::{chain, change, id, person};
use super::support::world::{Act, START, TokioClock, World, memory};

/// Denies for a reason that can change, until it is lifted.
#[derive(Debug, Default, Clone)]
struct Switch(Arc<AtomicU8>);

impl Policy for Switch {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        match self.0.load(Ordering::SeqCst) {
            0 => Decision::deny(vec![Reason::new("audit", "an audit is on", "the auditor")]),
            1 => Decision::deny(vec![Reason::new("fire", "there is a fire", "firemen")]),
            _ => Decision::permit(),
        }
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

fn started(step: Step) -> RunState {
    let mut plan = Plan::builder(id("t"), id("r"));
    plan.step(step);
    let plan = plan.build().unwrap().freeze();
    let requester = Principal::human(id("ada"));
    let event = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        supersedes: None,
        policy: None,
        requester,
    };
    let first = Fact { at: Timestamp::from_micros(0), event };
    RunState::create(id("run"), plan, &first).unwrap()
}

#[test]
fn the_same_answer_for_the_same_reasons_is_journaled_once() {
    let policy = Switch::default();
    let mut state = started(change("a"));
    let mut ask = |input: Option<&Input>, second: i64| {
        let now = Timestamp::from_micros(second * 1_000_000);
        let events = turn(&mut state, input, &Turn::new(now, 0, &policy), 100).unwrap();
        (events, state.clone())
    };
    let (events, state) = ask(None, 1);
    assert!(matches!(&events[..], [Event::StepBlocked { wake: WakeUp::Policy, .. }]), "{events:?}");
    assert_eq!(state.awaiting(), [Awaiting::Policy(id("a"))]);
    assert!(state.asks_policy() && state.next_wakeup().is_none() && !state.needs_a_person());

    for hour in 1..=24 {
        assert_eq!(ask(Some(&Input::Reconsider), hour * 3600).0, []);
    }
    policy.0.store(1, Ordering::SeqCst);
    let (events, _) = ask(Some(&Input::Reconsider), 90_000);
    assert!(
        matches!(&events[..], [Event::StepBlocked { reasons, .. }] if reasons[0].rule == "fire"),
        "{events:?}"
    );

    policy.0.store(2, Ordering::SeqCst);
    let (events, state) = ask(Some(&Input::Reconsider), 90_030);
    assert!(matches!(&events[..], [Event::StepStarted { .. }]), "{events:?}");
    assert_eq!(state.status(0), Some(Status::Running));
    assert!(!state.asks_policy() && state.active(0).unwrap().reasons.is_empty());
}

/// Whoever lifts what holds a run says so, and nobody waits until the engine asks again by itself.
#[tokio::test(start_paused = true)]
async fn a_host_can_have_the_policy_asked_at_once() {
    let (journal, policy) = (memory(), Switch::default());
    let world = World::new(&journal, |_| Act::Faithful);
    let engine = Engine::builder(Arc::clone(&journal), world).policy(policy.clone());
    let engine = engine.clock(TokioClock::new()).build();
    let handle =
        engine.start_frozen(id("r"), chain(vec![change("a")]), person("ann")).await.unwrap();
    handle.reconsider().await.unwrap();
    assert_eq!(handle.state().await.unwrap().awaiting(), [Awaiting::Policy(id("a"))]);
    policy.0.store(2, Ordering::SeqCst);
    handle.reconsider().await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let heads = journal.heads().await.unwrap();
    let (history, _) = engine.load(&heads[0].run).await.unwrap();
    assert_eq!(history.facts().last().unwrap().at, START, "no time passed");
}
