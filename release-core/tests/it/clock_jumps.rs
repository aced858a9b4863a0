//! Fault F17: the wall clock jumps back, or forth and back. Decisions are made at a time that never goes
//! back, so what is over stays over.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::collection::vec;
use proptest::prelude::*;
use release_core::engine::{ClockReading, Engine, RunHandle, rules};
use release_core::journal::Journal;
use release_core::port::{
    Admission, Clock, ClockAnomaly, CommandRequest, Decision, Grant, Performer, Policy, Reason,
};
use release_core::run::{Command, Event, Outcome};
use release_core::time::{Span, Timestamp};

use super::support::engines::{command, run_id};
use super::support::samples::{approval, builder, change, id, person};
use super::support::words::approve;
use super::support::world::{Act, START, TokioClock, World, memory};

/// The system's clock over a wall clock that the test sets, and tokio's own as the monotonic one.
#[derive(Debug)]
struct SetClock {
    real: Arc<TokioClock>,
    /// What both say together, and by how many seconds the wall clock is off.
    reading: Mutex<(ClockReading, i64)>,
}

impl SetClock {
    fn new() -> Arc<Self> {
        let reading = Mutex::new((ClockReading::new(START, Span::secs(60)), 0));
        Arc::new(Self { real: TokioClock::new(), reading })
    }

    fn is_off_by(&self, secs: i64) {
        self.reading.lock().unwrap().1 = secs;
    }
}

fn off_by(at: Timestamp, secs: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros() + secs * 1_000_000)
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        self.read().0
    }

    fn anomaly(&self) -> Option<ClockAnomaly> {
        self.read().1
    }

    fn read(&self) -> (Timestamp, Option<ClockAnomaly>) {
        let real = self.real.now();
        let (reading, off) = &mut *self.reading.lock().unwrap();
        let now = reading.now(off_by(real, *off), real.since(START).as_duration());
        (now, reading.anomaly())
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.real.sleep_until(at).await;
    }
}

/// The instant at which both policies change their mind.
const CLOSES: Span = Span::secs(100);

/// A deployment window that closes for good.
#[derive(Debug)]
struct Window;

impl Policy for Window {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        if request.now < START.plus(CLOSES) {
            return Decision::permit();
        }
        Decision::wait(None, vec![Reason::new("window/closed", "it has closed", "nobody")])
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

/// Permits by a leave that ends then.
#[derive(Debug)]
struct Leave;

impl Policy for Leave {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        let grants = vec![Grant::of("allow/night").until(START.plus(CLOSES))];
        Decision::Permit { grants, inputs: None }
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

fn engine(
    journal: &Arc<dyn Journal>,
    world: &Arc<World>,
    policy: impl Policy + 'static,
    clock: &Arc<SetClock>,
) -> Engine {
    let performer: Arc<dyn Performer> = Arc::<World>::clone(world);
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    Engine::builder(Arc::clone(journal), performer).policy(policy).clock(clock).build()
}

async fn why_it_waits(run: &RunHandle) -> Vec<String> {
    let state = run.state().await.unwrap();
    let active = state.all_active().into_iter().flat_map(|(_, active)| active.reasons.clone());
    active.map(|reason| reason.to_string()).collect()
}

/// What holds `b` is told.
async fn held(run: &RunHandle, reason: &str, context: &str) {
    let told = why_it_waits(run).await;
    assert!(told.iter().any(|told| told.contains(reason)), "{context}: {told:?}");
}

/// The run is cancelled, `b` has not begun, and time has not gone back in the journal.
async fn never_began(engine: &Engine, run: &RunHandle, context: &str) {
    run.send(command(Command::Cancel, "bob")).await.unwrap();
    let outcome = run.wait().await.unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{context}: {outcome}");
    let (history, _) = engine.load(&run_id()).await.unwrap();
    assert!(history.facts().is_sorted_by_key(|fact| fact.at), "{context}");
    let is_b =
        |event: &Event| matches!(event, Event::StepStarted { step, .. } if step.id == id("b"));
    assert!(!history.facts().iter().any(|fact| is_b(&fact.event)), "{context}");
}

/// By so many seconds the wall clock goes back, or forth and then back; the first two it follows.
const JUMPS: [&[i64]; 5] = [&[-20], &[-59], &[-3_600], &[3_600, -3_600], &[50, -5]];

/// `b` waits for an approval until what let it start is over. Then the clock jumps, and nothing lets it
/// start again: neither with the engine that drives it, nor with one that resumes it behind the jump.
async fn stays_over<P: Policy + 'static>(policy: fn() -> P, reason: &str) {
    for jumps in JUMPS {
        for resumed in [false, true] {
            let context = format!("{jumps:?}, resumed: {resumed}");
            let (journal, clock) = (memory(), SetClock::new());
            let world = World::new(&journal, |_| Act::Faithful);
            let mut plan = builder();
            plan.step(change("a"));
            plan.step(change("b").gate(approval("go")));
            let first = engine(&journal, &world, policy(), &clock);
            let plan = plan.build().unwrap();
            let mut run = first.start(run_id(), plan, person("ann")).await.unwrap();
            run.settled().await.unwrap();
            assert_eq!(world.performed(), ["a"], "{context}: it was open");
            clock.sleep_until(START.plus(CLOSES).plus(Span::secs(1))).await;
            run.send(command(approve("go"), "bob")).await.unwrap();
            held(&run, reason, &context).await;
            for secs in jumps {
                clock.is_off_by(*secs);
                run.reconsider().await.unwrap();
                held(&run, reason, &context).await;
            }
            if resumed {
                first.shutdown().await;
                run = engine(&journal, &world, policy(), &clock).resume(&run_id()).await.unwrap();
                run.reconsider().await.unwrap();
                held(&run, reason, &context).await;
            }
            assert_eq!(world.performed(), ["a"], "{context}");
            never_began(&first, &run, &context).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f17_a_closed_window_stays_closed_when_the_clock_jumps_back() {
    stays_over(|| Window, "window/closed").await;
}

#[tokio::test(start_paused = true)]
async fn f17_no_grant_is_valid_again_when_the_clock_jumps_back() {
    stays_over(|| Leave, "its leave ended").await;
}

proptest! {
    /// Whatever the wall clock does, and wherever an engine takes over from another.
    #[test]
    fn f17_decision_time_is_monotone_whatever_the_clock_does(
        ticks in vec((0_u64..4_000, -200_000_i64..200_000, proptest::bool::weighted(0.2)), 1..60),
    ) {
        let mut reading = ClockReading::new(START, Span::secs(60));
        let (mut elapsed, mut decided, mut recorded) = (Span::ZERO, START, START);
        for (passes, off, another) in ticks {
            elapsed = (elapsed.as_duration() + Span::secs(passes).as_duration()).into();
            let wall = off_by(START.plus(elapsed), off);
            if another {
                // It believes the wall clock that it finds, and knows what was recorded.
                reading = ClockReading::new(wall, Span::secs(60));
                reading.confirm(wall, elapsed.as_duration());
                decided = recorded;
            }
            let now = rules::decision_time(reading.now(wall, elapsed.as_duration()), decided, recorded);
            prop_assert!(now >= decided && now >= recorded);
            (decided, recorded) = (now, now);
        }
    }
}
