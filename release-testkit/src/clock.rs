//! Time that only moves when a test says so.
//!
//! Nothing here waits in real time or looks again and again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use release_core::port::{Clock, ClockAnomaly};
use release_core::time::{Span, Timestamp};
use tokio::sync::{oneshot, watch};

/// A clock that stands still until it is moved.
///
/// By hand with [`VirtualClock::advance`], or by itself with [`VirtualClock::run`] and
/// [`VirtualClock::drive`], which jump to the next instant that somebody sleeps until whenever
/// nothing else can happen. So a release that bakes for an hour is over in no time:
///
/// ```
/// use std::sync::Arc;
/// use release_core::engine::Engine;
/// use release_core::journal::MemoryJournal;
/// use release_core::plan::{Action, Plan, Step};
/// use release_core::port::Clock;
/// use release_core::run::Outcome;
/// use release_core::time::Span;
/// use release_testkit::{VirtualClock, fixtures};
/// # use release_core::port::{AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer};
/// # #[derive(Debug)]
/// # struct Nothing;
/// # #[async_trait::async_trait]
/// # impl Performer for Nothing {
/// #     fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> { Ok(()) }
/// #     async fn perform(&self, _: &AuthorizedCommand) -> Result<Evidence, EffectError> { Ok(Evidence::Done) }
/// #     async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> { Ok(Observed::NotApplied) }
/// # }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut plan = Plan::builder("shop".parse()?, "r-1".parse()?);
/// plan.step(Step::new("bake".parse()?, Action::Bake { duration: Span::secs(3_600) }));
/// let (plan, run) = (plan.build()?, "run-1".parse()?);
///
/// let clock = Arc::new(VirtualClock::new());
/// let begin = clock.now();
/// let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(Nothing))
///     .clock(clock.clone())
///     .build();
/// let outcome = clock.run(async {
///     engine.start(run, plan, fixtures::requester()).await?.wait().await
/// })??;
/// assert_eq!(outcome, Outcome::Succeeded);
/// assert_eq!(clock.now().since(begin), Span::secs(3_600));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VirtualClock {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    anomaly: Option<ClockAnomaly>,
    /// Until when each sleeper sleeps, and how it is woken: only those whose time has come are.
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
    next: u64,
}

/// Everybody waits for somebody else: nothing can happen any more, at no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing can happen any more: at {now} everybody waits and nobody for time to pass")]
pub struct Stuck {
    /// When it came to that.
    pub now: Timestamp,
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualClock {
    /// A clock that shows 2026-01-05T09:00:00Z, a Monday.
    pub fn new() -> Self {
        Self::at(Timestamp::from_micros(1_767_603_600_000_000))
    }

    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { state: watch::Sender::new(State { now, ..State::default() }) }
    }

    /// Moves the clock forward, and wakes whoever sleeps until then.
    pub fn advance(&self, span: Span) {
        self.state.send_modify(|state| state.show(state.now.plus(span)));
    }

    /// Sets the clock, also back: a wall clock can be set, and nothing may break by it.
    pub fn set(&self, now: Timestamp) {
        self.state.send_modify(|state| state.show(now));
    }

    /// Lets the clock say that the wall clock jumped to `wall`, until it is given none: the engine then
    /// admits nothing but rollbacks.
    pub fn set_anomaly(&self, wall: Option<Timestamp>) {
        self.state.send_modify(|state| {
            state.anomaly = wall.map(|wall| ClockAnomaly { wall, expected: state.now });
        });
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        self.state.borrow().sleepers.len()
    }

    /// The earliest instant that somebody sleeps until.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.state.borrow().earliest()
    }

    /// Waits until somebody sleeps, and returns the earliest instant that somebody sleeps until.
    pub async fn asleep(&self) -> Timestamp {
        self.asleep_until(Timestamp::from_micros(i64::MIN)).await
    }

    /// As [`VirtualClock::asleep`], until that instant is `at` or later: until all earlier sleepers
    /// were woken or gave up.
    pub async fn asleep_until(&self, at: Timestamp) -> Timestamp {
        let mut states = self.state.subscribe();
        let late =
            |state: &State| state.earliest().is_some_and(|first| first > state.now && first >= at);
        // INVARIANT: the sender lives as long as `self`, so the wait cannot fail.
        let state = states.wait_for(late).await;
        state.ok().and_then(|state| state.earliest()).unwrap_or(at)
    }

    /// Moves the clock to the earliest instant that somebody sleeps until, if anybody does; never
    /// back.
    pub fn jump(&self) -> Option<Timestamp> {
        let at = self.next_wakeup()?;
        self.state.send_modify(|state| state.show(state.now.max(at)));
        Some(at)
    }

    /// Runs `work` to its end on a runtime of its own, in which time passes only when nothing else
    /// can happen.
    ///
    /// # Errors
    /// [`Stuck`] when `work` is not done and nobody sleeps. Not for work that waits for the world
    /// outside, such as sockets: that looks stuck.
    ///
    /// # Panics
    /// When the operating system gives no runtime.
    #[expect(clippy::expect_used, reason = "a test without a runtime has nothing to go on with")]
    pub fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(self.drive(work))
    }

    /// As [`VirtualClock::run`], in the present runtime, whose own time must be paused
    /// (`#[tokio::test(start_paused = true)]`): that is how it is known that all others wait.
    ///
    /// # Errors
    /// As [`VirtualClock::run`].
    pub async fn drive<T>(&self, work: impl Future<Output = T>) -> Result<T, Stuck> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = idle() => {
                    if self.jump().is_none() {
                        return Err(Stuck { now: self.now() });
                    }
                }
            }
        }
    }
}

/// Returns once all tasks of a runtime with paused time wait: only then does tokio move its time.
#[expect(clippy::disallowed_methods, reason = "moves with tokio's paused time, never in real time")]
async fn idle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

impl State {
    fn earliest(&self) -> Option<Timestamp> {
        self.sleepers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Shows `now`, and wakes whoever sleeps until then.
    fn show(&mut self, now: Timestamp) {
        self.now = now;
        while let Some(entry) = self.sleepers.first_entry().filter(|entry| entry.key().0 <= now) {
            let _ = entry.remove().send(()); // one that gave up is no sleeper
        }
    }
}

/// Takes a sleeper off the list, also when it gives up.
struct Asleep<'a> {
    clock: &'a VirtualClock,
    entry: (Timestamp, u64),
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.clock.state.send_modify(|state| {
            state.sleepers.remove(&self.entry);
        });
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.state.borrow().now
    }

    fn anomaly(&self) -> Option<ClockAnomaly> {
        self.state.borrow().anomaly
    }

    async fn sleep_until(&self, at: Timestamp) {
        // Again for one that was set back before it could wake.
        while self.now() < at {
            let (waker, woken) = oneshot::channel();
            let mut entry = (at, 0);
            self.state.send_modify(|state| {
                entry.1 = state.next;
                state.next += 1;
                state.sleepers.insert(entry, waker);
                state.show(state.now); // the time may have come meanwhile
            });
            let _asleep = Asleep { clock: self, entry };
            let _ = woken.await;
        }
    }
}
