//! A world that does what a script says: a performer, a clock and a journal that can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::flags::{FlagReading, FlagState};
use release_core::journal::{
    AppendError, Batch, Head, History, Journal, MemoryJournal, ReadError, Record,
};
use release_core::model::{Digest, Finite, RunId, Span};
use release_core::plan::{Action, Plan};
use release_core::port::{
    AuthorizedCommand, BindingError, Clock, ClockAnomaly, EffectError, Evidence, Measurement,
    Observed, Performer,
};
use release_core::run::{Event, Mode};
use release_core::time::Timestamp;

/// What the world does with one call.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// As asked: a performed key is in effect from then on, and looking finds it.
    Faithful,
    /// Takes effect, and never answers.
    ApplyThenHang,
    /// Never answers, and nothing changes.
    Hang,
    /// Takes effect, and answers only once it is told to leave off: that it does not know.
    ApplyUntilCancelled,
    Panic,
    Fail(EffectError),
    Say(Evidence),
}

/// One call of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) step: String,
    pub(crate) mode: Mode,
    pub(crate) attempt: u32,
    pub(crate) epoch: u64,
    pub(crate) key: String,
}

type Script = Box<dyn Fn(&Call) -> Act + Send + Sync>;

pub(crate) struct World {
    script: Script,
    journal: Arc<dyn Journal>,
    seen: Mutex<Seen>,
    hanging: AtomicU32,
    unbound: Vec<BindingError>,
}

/// Counts itself while it lives.
struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Call>,
    applied: BTreeSet<String>,
    unannounced: Vec<Call>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(
        journal: &Arc<dyn Journal>,
        script: impl Fn(&Call) -> Act + Send + Sync + 'static,
    ) -> Arc<Self> {
        let journal = Arc::clone(journal);
        Arc::new(Self {
            script: Box::new(script),
            journal,
            seen: Mutex::default(),
            hanging: AtomicU32::new(0),
            unbound: vec![],
        })
    }

    pub(crate) fn unbound(journal: &Arc<dyn Journal>, error: BindingError) -> Arc<Self> {
        let (journal, script) = (Arc::clone(journal), Box::new(|_: &Call| Act::Faithful));
        Arc::new(Self {
            script,
            journal,
            seen: Mutex::default(),
            hanging: AtomicU32::new(0),
            unbound: vec![error],
        })
    }

    /// How many calls hang at present.
    pub(crate) fn hanging(&self) -> u32 {
        self.hanging.load(Ordering::Relaxed)
    }

    async fn hang<T>(&self) -> T {
        self.hanging.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.hanging);
        std::future::pending().await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen().calls.clone()
    }

    /// The steps that were performed, in order.
    pub(crate) fn performed(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        calls.filter(|call| call.mode == Mode::Perform).map(|call| call.step).collect()
    }

    /// How often each key was performed.
    pub(crate) fn by_key(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.calls().into_iter().filter(|call| call.mode == Mode::Perform) {
            *counts.entry(call.key).or_default() += 1;
        }
        counts
    }

    /// Calls that no durable record announced.
    pub(crate) fn unannounced(&self) -> Vec<Call> {
        self.seen().unannounced.clone()
    }

    async fn call(&self, command: &AuthorizedCommand, mode: Mode) -> Act {
        let call = Call {
            step: command.step().id.to_string(),
            mode,
            attempt: command.attempt(),
            epoch: command.epoch(),
            key: command.key(),
        };
        let announced = announced(&*self.journal, command, mode).await;
        let mut seen = self.seen();
        if !announced {
            seen.unannounced.push(call.clone());
        }
        seen.calls.push(call.clone());
        (self.script)(&call)
    }
}

/// Law 2: whether the journal holds the record that announces this call.
async fn announced(journal: &dyn Journal, command: &AuthorizedCommand, asked: Mode) -> bool {
    let records = journal.read(command.run()).await.unwrap_or_default();
    let Ok(history) = History::verify(command.run(), &records) else { return false };
    history.facts().iter().any(|fact| {
        matches!(&fact.event, Event::StepStarted { step, attempt, mode, .. }
            if step.id == command.step().id && *attempt == command.attempt() && *mode == asked)
    })
}

#[async_trait]
impl Performer for World {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        if self.unbound.is_empty() { Ok(()) } else { Err(self.unbound.clone()) }
    }

    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        match self.call(command, Mode::Perform).await {
            Act::Faithful => {
                self.seen().applied.insert(command.key());
                Ok(faithful_to(command))
            }
            Act::ApplyThenHang => {
                self.seen().applied.insert(command.key());
                self.hang().await
            }
            Act::Hang => self.hang().await,
            Act::ApplyUntilCancelled => {
                self.seen().applied.insert(command.key());
                command.cancellation().cancelled().await;
                Err(EffectError::unknown("cancelled", "told to leave off"))
            }
            Act::Panic => panic!("the plugin fell over"),
            Act::Fail(error) => Err(error),
            Act::Say(evidence) => Ok(evidence),
        }
    }

    async fn observe(&self, command: &AuthorizedCommand) -> Result<Observed, EffectError> {
        match self.call(command, Mode::Look).await {
            Act::Faithful | Act::ApplyUntilCancelled
                if self.seen().applied.contains(&command.key()) =>
            {
                Ok(Observed::Applied(faithful_to(command)))
            }
            Act::Faithful | Act::ApplyUntilCancelled => Ok(Observed::NotApplied),
            Act::ApplyThenHang | Act::Hang => self.hang().await,
            Act::Panic => panic!("the plugin fell over"),
            Act::Fail(error) => Err(error),
            Act::Say(evidence) => Ok(Observed::Applied(evidence)),
        }
    }
}

/// What an honest provider observes once the action of `command` is in effect, when its attempt begins.
pub(crate) fn faithful_to(command: &AuthorizedCommand) -> Evidence {
    let step = command.step();
    let timeout = i64::try_from(step.timeout.as_duration().as_micros()).unwrap();
    faithful(&step.action, Timestamp::from_micros(command.deadline().as_micros() - timeout))
}

/// What an honest provider observes once `action` is in effect.
pub(crate) fn faithful(action: &Action, now: Timestamp) -> Evidence {
    match action {
        Action::VerifyArtifact { artifact } => {
            Evidence::Artifact { digest: artifact.digest(), bytes: 1 }
        }
        Action::Scale { deployment, replicas, .. } => {
            let (target, digest) = (deployment.target.clone(), deployment.artifact.digest());
            Evidence::Instances { target, digest, running: *replicas }
        }
        Action::Probe { deployment, min_ready } => {
            let (target, digest) = (deployment.target.clone(), deployment.artifact.digest());
            let (ready, unready, observed_at) = (*min_ready, Vec::new(), Some(now));
            Evidence::Health { target, digest, ready, unready, observed_at }
        }
        Action::Route { target, weights, rules } | Action::Confirm { target, weights, rules } => {
            let (target, weights, rules) = (target.clone(), weights.clone(), rules.clone());
            Evidence::Weights { target, weights, served: Vec::new(), rules }
        }
        Action::Analyze { deployment, .. } => ratio(deployment.artifact.digest(), 1.0, 100.0),
        Action::Flag(step) => {
            let (environment, flag) = (step.environment.clone(), step.flag.clone());
            let state = step.wanted().unwrap_or(FlagState::Off);
            Evidence::Flag(FlagReading { environment, flag, state, revision: 1, killed: None })
        }
        _ => Evidence::Done,
    }
}

pub(crate) fn ratio(digest: Digest, numerator: f64, denominator: f64) -> Evidence {
    let (numerator, denominator) =
        (Finite::new(numerator).unwrap(), Finite::new(denominator).unwrap());
    Evidence::Measurement(Measurement::Ratio { digest, numerator, denominator })
}

/// Tokio's own clock, which its runtime moves by itself when paused and idle.
#[derive(Debug)]
pub(crate) struct TokioClock(tokio::time::Instant, Mutex<Option<ClockAnomaly>>);

/// When tests begin: 2026-11-23T14:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_442_400_000_000);

impl TokioClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now(), Mutex::default()))
    }

    /// Lets the clock say that it jumped, until it is told otherwise.
    pub(crate) fn jumps(&self, wall: Option<Timestamp>) {
        let anomaly = wall.map(|wall| ClockAnomaly { wall, expected: self.now() });
        *self.1.lock().unwrap() = anomaly;
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        START.plus(self.0.elapsed().into())
    }

    fn anomaly(&self) -> Option<ClockAnomaly> {
        *self.1.lock().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep_until(self.0 + at.since(START).as_duration()).await;
    }
}

/// Lets so much of virtual time pass, and everything happen that happens meanwhile.
pub(crate) async fn pass(span: Span) {
    TokioClock::new().sleep_until(START.plus(span)).await;
}

/// What an append does instead of working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NoSpace,
    Unavailable,
    /// Does not say whether it stored the batch; it did or did not.
    Unknown {
        stored: bool,
    },
    /// Does not say, and stores it only when the next append comes.
    Late,
}

/// A journal in memory whose appends fail as planned, counted from 1.
#[derive(Debug, Default)]
pub(crate) struct FlakyJournal {
    inner: MemoryJournal,
    planned: Mutex<(u64, BTreeMap<u64, Fault>)>,
    late: Mutex<Option<Batch>>,
    no_blobs: bool,
    /// How many reads fail, once all planned appends have failed.
    blind: AtomicU32,
}

impl FlakyJournal {
    pub(crate) fn failing_at(append: u64, fault: Fault) -> Arc<dyn Journal> {
        Self::failing([(append, fault)], 0)
    }

    /// Fails as planned; after the last fault, `blind` reads fail too.
    pub(crate) fn failing(
        faults: impl IntoIterator<Item = (u64, Fault)>,
        blind: u32,
    ) -> Arc<dyn Journal> {
        let planned = Mutex::new((0, faults.into_iter().collect()));
        Arc::new(Self { planned, blind: AtomicU32::new(blind), ..Self::default() })
    }

    /// Lets the next appends fail so, one after the other.
    pub(crate) fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut planned = self.planned.lock().unwrap();
        let next = planned.0 + 1;
        planned.1.extend((next..).zip(faults));
    }

    pub(crate) fn without_blobs() -> Arc<dyn Journal> {
        Arc::new(Self { no_blobs: true, ..Self::default() })
    }
}

#[async_trait]
impl Journal for FlakyJournal {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let fault = {
            let mut planned = self.planned.lock().unwrap();
            planned.0 += 1;
            let count = planned.0;
            planned.1.remove(&count)
        };
        let late = self.late.lock().unwrap().take();
        if let Some(late) = late {
            self.inner.append(late).await?;
        }
        let detail = "planned".to_owned();
        match fault {
            None => self.inner.append(batch).await,
            Some(Fault::NoSpace) => Err(AppendError::NoSpace { detail }),
            Some(Fault::Unavailable) => Err(AppendError::Unavailable { detail }),
            Some(Fault::Unknown { stored }) => {
                if stored {
                    self.inner.append(batch).await?;
                }
                Err(AppendError::Unknown { detail })
            }
            Some(Fault::Late) => {
                *self.late.lock().unwrap() = Some(batch);
                Err(AppendError::Unknown { detail })
            }
        }
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        let begun = self.planned.lock().unwrap().1.is_empty();
        let down = |left: u32| left.checked_sub(1);
        if begun && self.blind.fetch_update(Ordering::Relaxed, Ordering::Relaxed, down).is_ok() {
            return Err(ReadError::Unavailable { detail: "planned".to_owned() });
        }
        self.inner.read(run).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        if self.no_blobs { Ok(None) } else { self.inner.blob(digest).await }
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.heads().await
    }
}

pub(crate) fn memory() -> Arc<dyn Journal> {
    Arc::new(MemoryJournal::new())
}

pub(crate) fn engine(journal: &Arc<dyn Journal>, world: &Arc<World>, name: &str) -> Engine {
    let performer: Arc<dyn Performer> = Arc::<World>::clone(world);
    Engine::builder(Arc::clone(journal), performer).clock(TokioClock::new()).name(name).build()
}
