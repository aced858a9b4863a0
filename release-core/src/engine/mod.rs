//! The only asynchronous part: drives runs, and brings their effects about.
//!
//! - `driver` is the loop: inputs → decide → append → effects.
//! - `act` is what a durable event makes of the effects; `effect` runs one effect where it can hurt nobody.
//! - `resume` takes runs over; `recover` is what a run does while its journal fails; `supersede` puts a
//!   newer run in its place; `migrate` lets one go on with another plan.
//! - `denial` refuses whoever may not do that, and leaves the run with whoever drives it.
//! - `handle` is what a host holds of a run; `events` is how it watches one.
//! - `rules` and `desk` are the shell's decisions as pure functions, which a simulator shares.
//! - `explain` answers why a run stands where it does, stood where it did, and what would come of it.
//! - `limiter` is the task that owns the `ledger` of permits, and `desk` what it decides; `permits` is how a
//!   run gets its own, `limits` what a host sees of them, and `renew` begins a new one for one that is damaged.
//! - `kill` switches flags off at once, and asks nobody.
//! - `guard` lets no policy hurt a run.

mod act;
mod denial;
pub mod desk;
mod driver;
mod effect;
mod error;
mod events;
mod explain;
mod guard;
mod handle;
mod kill;
pub mod ledger;
mod limiter;
mod limits;
mod migrate;
mod permits;
mod recover;
mod renew;
mod resume;
pub mod rules;
mod supersede;
mod wake;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use crate::clock::{ClockReading, SystemClock};
pub use error::EngineError;
pub use events::Events;
pub use explain::AskError;
pub use handle::{Recorded, RunHandle, SendError, Settled};
pub use kill::{Killed, NotKilled};
pub use renew::LedgerRenewal;
pub use resume::{NotResumed, ResumeReport};

use crate::ids::RunId;
use crate::journal::{Head, History, Journal, is_reserved};
use crate::limits::Limits;
use crate::model::{Digest, Principal};
use crate::plan::{FrozenPlan, Plan};
use crate::port::{Clock, Performer, PermitAll, Policy};
use crate::run::{Event, Fact, Replaced, RunState};
use crate::time::Span;
use driver::Driver;
use guard::Guarded;
use limiter::Message;

/// Drives runs: cheap to clone, one for each process and journal.
///
/// Each run is driven by a task of its own, so that one bad run cannot hold up another; journals
/// commit what concurrent runs append together. See the documentation of the [`crate`] for an example.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    journal: Arc<dyn Journal>,
    performer: Arc<dyn Performer>,
    policy: Arc<Guarded>,
    clock: Arc<dyn Clock>,
    name: String,
    /// How long effects may take to leave off when the engine shuts down.
    grace: Span,
    max_recoveries: u32,
    poll_first: bool,
    limits: Option<Arc<Limits>>,
    /// What the engine is called in the ledger of permits: like no other.
    unique: String,
    limiter: OnceLock<Option<mpsc::UnboundedSender<Message>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Builds an [`Engine`].
#[derive(Debug)]
#[must_use]
pub struct EngineBuilder {
    journal: Arc<dyn Journal>,
    performer: Arc<dyn Performer>,
    policy: Arc<dyn Policy>,
    clock: Arc<dyn Clock>,
    name: String,
    grace: Span,
    max_recoveries: u32,
    poll_first: bool,
    limits: Option<Arc<Limits>>,
}

impl EngineBuilder {
    /// Sets who decides what may happen; by default everything may.
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Sets where time comes from; by default the system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets what the engine is called in the journals of runs that it takes over.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long effects under way may take to leave off when the engine shuts down, once they are told
    /// to; by default 5 s. Those that have not then are dropped, and looked for when their runs are
    /// resumed.
    pub fn grace(mut self, grace: Span) -> Self {
        self.grace = grace;
        self
    }

    /// How often in a row a run may be taken over without getting anywhere
    /// ([`RunState::recoveries`]) before it is quarantined; by default 100, at least 1. Such a run may be
    /// what brings its engines down, so it is left alone until a person
    /// [releases](Engine::release_from_quarantine) it.
    pub fn max_recoveries(mut self, max_recoveries: u32) -> Self {
        self.max_recoveries = max_recoveries.max(1);
        self
    }

    /// Whether an effect is polled once in its run's own task, and gets a task of its own only if it is
    /// not done by then; by default not. It spares what is done at once most of its price.
    ///
    /// Say so only of performers that never block a thread: one that does holds up its run there, with
    /// all deadlines and commands, and effects that compute at length do so one after another.
    pub fn poll_effects_first(mut self, poll_first: bool) -> Self {
        self.poll_first = poll_first;
        self
    }

    /// Sets the limits and quotas of the platform. They hold for all engines on the journal: who is built
    /// with other ones replaces them, and engines without any are bound by none. Without, none hold.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(Arc::new(limits));
        self
    }

    /// The engine. It does nothing until a run is started or resumed.
    pub fn build(self) -> Engine {
        let Self {
            journal,
            performer,
            policy,
            clock,
            name,
            grace,
            max_recoveries,
            poll_first,
            limits,
        } = self;
        let unique = format!("{name}#{:016x}", draw(&name));
        let policy = Arc::new(Guarded { policy });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let limiter = OnceLock::new();
        let shared = Shared {
            journal,
            performer,
            policy,
            clock,
            name,
            grace,
            max_recoveries,
            poll_first,
            limits,
            unique,
            limiter,
            tasks,
            stop,
        };
        Engine { shared: Arc::new(shared) }
    }
}

impl Engine {
    /// Begins an engine that records in `journal` and acts through `performer`.
    pub fn builder(journal: Arc<dyn Journal>, performer: Arc<dyn Performer>) -> EngineBuilder {
        EngineBuilder {
            journal,
            performer,
            policy: Arc::new(PermitAll),
            clock: Arc::new(SystemClock::new()),
            name: "engine".into(),
            grace: Span::secs(5),
            max_recoveries: 100,
            poll_first: false,
            limits: None,
        }
    }

    /// Starts a run of `plan`. Must be called in a tokio runtime.
    ///
    /// Returns once the run is durable; from then on it goes on by itself, and after a crash it can
    /// be resumed.
    ///
    /// # Errors
    /// [`EngineError::Bindings`] when a step cannot be performed here, [`EngineError::Unobservable`] when the performer
    /// [says](Performer::can_judge) that something could not be judged, which is asked first, [`EngineError::Exists`] when
    /// there is a run of this name, or what the journal says.
    pub async fn start(
        &self,
        run: RunId,
        plan: Plan,
        requester: Principal,
    ) -> Result<RunHandle, EngineError> {
        self.start_frozen(run, plan.freeze(), requester).await
    }

    /// As [`Engine::start`], with a plan that is frozen already.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_frozen(
        &self,
        run: RunId,
        plan: FrozenPlan,
        requester: Principal,
    ) -> Result<RunHandle, EngineError> {
        self.check_open()?;
        self.can_begin(&plan, &requester).await?;
        self.begin(run, plan, requester, None).await
    }

    /// Whether all of a plan can be performed, and what is to be judged can be.
    async fn can_begin(&self, plan: &FrozenPlan, requester: &Principal) -> Result<(), EngineError> {
        let performer = &self.shared.performer;
        performer.check_new(plan.plan()).map_err(EngineError::Bindings)?;
        performer.can_judge(plan.plan(), requester).await.map_err(EngineError::Unobservable)
    }

    async fn begin(
        &self,
        run: RunId,
        plan: FrozenPlan,
        requester: Principal,
        supersedes: Option<Replaced>,
    ) -> Result<RunHandle, EngineError> {
        self.check_open()?;
        if is_reserved(&run) {
            return Err(EngineError::Reserved { run });
        }
        let event = Event::RunCreated {
            plan: plan.digest(),
            definition: plan.plan().definition(),
            requester,
            supersedes,
            policy: self.shared.policy.digest(),
        };
        let fact = Fact { at: self.shared.clock.now(), event };
        let blob = (plan.digest(), Arc::clone(plan.bytes()));
        let state = RunState::create(run.clone(), plan.clone(), &fact)
            .map_err(|illegal| EngineError::internal(&run, &illegal))?;
        let mut driver = Driver::new(self, plan, state, crate::journal::Sealer::new(&run));
        driver.create(fact, blob).await?;
        Ok(self.drive(driver))
    }

    /// The verified history of a run, and the plan that it pins, with those that it went on with later.
    ///
    /// # Errors
    /// As [`Engine::resume`].
    pub async fn load(&self, run: &RunId) -> Result<(History, FrozenPlan), EngineError> {
        let records = self.shared.journal.read(run).await?;
        if records.is_empty() {
            return Err(EngineError::NotFound { run: run.clone() });
        }
        let history = History::verify(run, &records)?;
        let plan = self.plan_of(run, history.plan()?).await?;
        let mut later = Vec::new();
        for fact in history.facts() {
            if let Event::PlanMigrated { to, .. } = &fact.event {
                later.push(self.plan_of(run, *to).await?);
            }
        }
        let plan = if later.is_empty() { plan } else { plan.with_later(later) };
        Ok((history, plan))
    }

    async fn plan_of(&self, run: &RunId, digest: Digest) -> Result<FrozenPlan, EngineError> {
        let missing =
            |detail: String| EngineError::PlanMissing { run: run.clone(), digest, detail };
        let bytes = self.shared.journal.blob(digest).await?;
        let bytes = bytes.ok_or_else(|| missing("the journal does not have it".into()))?;
        // Before anything is said of what stands in it.
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(missing(format!("what is stored under it has the digest {found}")));
        }
        Plan::decode(&bytes).map_err(|errors| missing(errors.to_string()))
    }

    /// The heads of all runs that are not over.
    ///
    /// # Errors
    /// What the journal says.
    pub async fn open_runs(&self) -> Result<Vec<Head>, EngineError> {
        let heads = self.shared.journal.heads().await?;
        Ok(heads.into_iter().filter(|head| !head.finished && !is_reserved(&head.run)).collect())
    }

    /// Stops driving, as a crash would but in order: nothing new starts, what is under way is
    /// dropped, and every run can be resumed.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// An engine that was shut down starts nothing.
    fn check_open(&self) -> Result<(), EngineError> {
        if self.shared.stop.is_cancelled() { Err(EngineError::ShutDown) } else { Ok(()) }
    }

    fn drive(&self, driver: Driver) -> RunHandle {
        let (handle, driver) = driver.with_handle();
        self.shared.tasks.spawn(driver.run());
        handle
    }
}

impl Shared {
    /// An even draw for jitter.
    fn draw(&self) -> u64 {
        draw(&self.name)
    }
}

/// An even draw; where randomness enters the process.
#[expect(clippy::disallowed_methods, reason = "this is the one place where chance enters")]
fn draw(name: &str) -> u64 {
    RandomState::new().hash_one(name)
}
