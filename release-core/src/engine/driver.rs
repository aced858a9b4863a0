//! The loop that drives one run: inputs → decide → append → effects, in that order and no other.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::effect::{Attempt, Effects, panic_text};
use super::handle::{Progress, Recorded, Request, RunHandle};
use super::permits::RunPermits;
use super::rules::{self, ASK_AGAIN, Doubt};
use super::wake::{Sleep, Wake};
use super::{Engine, EngineError, Shared};
use crate::journal::{AppendError, Batch, Sealer};
use crate::model::Digest;
use crate::plan::FrozenPlan;
use crate::port::{ClockAnomaly, Mandate};
use crate::run::{Event, Fact, Input, Outcome, Phase, Rejected, RunState, Turn, advance, decide};
use crate::time::Timestamp;

/// Most outcomes that are decided before what they led to is appended.
const OUTCOMES_A_TURN: usize = 256;
/// About as many events go into one batch at most, so that a huge cascade does not fill the memory.
const EVENTS_A_TURN: usize = 4096;
/// Most requests that wait for a run before callers are held back.
pub(super) const INBOX: usize = 64;
/// Most events that a slow subscriber can be behind.
const BACKLOG: usize = 1024;

pub(super) type Answer = Result<(), Rejected>;

/// What came in and was decided, and is not durable yet.
pub(super) struct Asked {
    pub(super) input: Input,
    /// Who waits for the answer, if anybody does.
    pub(super) reply: Option<oneshot::Sender<Answer>>,
    pub(super) answer: Answer,
}

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) state: RunState,
    pub(super) sealer: Sealer,
    /// Decided and folded, not yet durable.
    pub(super) pending: Vec<Event>,
    fresh: Vec<Event>,
    pub(super) now: Timestamp,
    /// What was wrong with the clock at `now`.
    anomaly: Option<ClockAnomaly>,
    draws: u64,
    pub(super) effects: Effects,
    /// What the next commands say in common; made anew when that changes.
    pub(super) mandate: Option<Arc<Mandate>>,
    /// Cancelled when the engine no longer drives the run.
    pub(super) driven: CancellationToken,
    /// Cancelled when the run stops going forward; then there is a new one.
    pub(super) cancellation: CancellationToken,
    /// Whether `cancellation` is that of effects that go forward.
    pub(super) forward: bool,
    pub(super) inbox: Option<mpsc::Receiver<Request>>,
    /// What was asked for while the journal failed.
    pub(super) deferred: VecDeque<Request>,
    /// What led to `pending`, to be decided again if that cannot be made durable.
    pub(super) asked: Vec<Asked>,
    /// The plan without a rollback.
    pub(super) base: FrozenPlan,
    /// How often the journal has failed since it last worked.
    pub(super) failures: u32,
    pub(super) trouble: Trouble,
    events: broadcast::Sender<Arc<Recorded>>,
    progress: watch::Sender<Progress>,
    pub(super) sleep: Option<(Timestamp, Sleep)>,
    pub(super) stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether watchers were told last that only a person can move the run on.
    told_a_person: bool,
    /// When the policy is asked again, if it holds a step without naming an instant.
    pub(super) ask_again: Timestamp,
    /// How often outcomes came first in a row.
    pub(super) in_a_row: u32,
    /// None where there are no limits.
    pub(super) permits: Option<Box<RunPermits>>,
}

/// How the journal has failed.
#[derive(Default)]
pub(super) struct Trouble {
    /// Whether it had no room: what came in is then stored by itself, before anything begins.
    pub(super) crowded: bool,
    /// Whether an append of this driver had an unknown outcome.
    pub(super) in_doubt: bool,
    /// The batches of unknown outcome that may still be stored.
    pub(super) doubts: Vec<Doubt<Answer>>,
}

/// What is decided with, without holding on to what is decided about.
macro_rules! turn {
    ($driver:ident) => {{
        let permits = $driver.permits.as_deref().map(|mine| &mine.permits);
        let policy = &*$driver.shared.policy;
        let (now, draw, anomaly) = ($driver.now, $driver.draws, $driver.anomaly);
        Turn { now, draw, policy, permits, anomaly }
    }};
}

impl Driver {
    /// Drives the run of `state`, whose plan without any rollback is `base`.
    pub(super) fn new(engine: &Engine, base: FrozenPlan, state: RunState, sealer: Sealer) -> Self {
        let shared = Arc::clone(&engine.shared);
        let driven = shared.stop.child_token();
        Self {
            draws: shared.draw(),
            mandate: None,
            cancellation: driven.child_token(),
            driven,
            forward: *state.phase() == Phase::Forward,
            now: state.now(),
            anomaly: shared.clock.read().1,
            in_a_row: 0,
            state,
            sealer,
            pending: Vec::new(),
            fresh: Vec::new(),
            effects: Effects::new(shared.poll_first),
            inbox: None,
            deferred: VecDeque::new(),
            asked: Vec::new(),
            base,
            failures: 0,
            trouble: Trouble::default(),
            events: broadcast::channel(BACKLOG).0,
            progress: watch::channel(Progress::Driving).0,
            sleep: None,
            told_a_person: false,
            ask_again: Timestamp::default(),
            stop: Box::pin(shared.stop.clone().cancelled_owned()),
            permits: shared.permits(),
            shared,
        }
    }

    /// Makes the run durable, with the plan that it pins.
    pub(super) async fn create(
        &mut self,
        fact: Fact,
        plan: (Digest, Arc<[u8]>),
    ) -> Result<(), EngineError> {
        self.now = fact.at;
        self.pending.push(fact.event);
        let run = self.state.run().clone();
        self.begin(vec![plan]).await.map_err(|error| match error {
            EngineError::TakenOver(_) => EngineError::Exists { run },
            other => other,
        })
    }

    /// Makes the first events durable. Whoever asked for them is there to be told that it failed, and
    /// only what is unknown is looked for.
    pub(super) async fn begin(
        &mut self,
        blobs: Vec<(Digest, Arc<[u8]>)>,
    ) -> Result<(), EngineError> {
        match self.append(blobs).await {
            Ok(()) => {}
            Err(error @ AppendError::Unknown { .. }) => {
                let records = self.shared.journal.read(self.state.run()).await?;
                if records.last().map(|record| record.hash) != Some(self.sealer.head()) {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.announce();
        Ok(())
    }

    pub(super) fn with_handle(mut self) -> (RunHandle, Self) {
        let (requests, inbox) = mpsc::channel(INBOX);
        self.inbox = Some(inbox);
        let (run, progress) = (self.state.run().clone(), self.progress.subscribe());
        let journal = Arc::clone(&self.shared.journal);
        let limiter = self.permits.as_ref().map(|mine| mine.limiter.clone());
        let events = self.events.clone();
        (RunHandle { run, journal, requests, progress, events, limiter }, self)
    }

    pub(super) async fn run(mut self) {
        let driven = AssertUnwindSafe(self.drive()).catch_unwind().await;
        let result = driven.unwrap_or_else(|panic| {
            let (run, detail) = (self.state.run().clone(), panic_text(&*panic));
            Err(EngineError::Internal { run, detail: format!("the engine panicked: {detail}") })
        });
        if let Err(error) = &result {
            tracing::warn!(run = %self.state.run(), %error, "the run is no longer driven");
        }
        self.driven.cancel();
        if result == Err(EngineError::ShutDown) {
            self.wind_down().await;
        }
        self.effects.drop_all();
        self.progress.send_replace(Progress::Ended(result));
    }

    /// Effects that are told to leave off get some time to do so, and what they say by then is kept.
    async fn wind_down(&mut self) {
        let clock = Arc::clone(&self.shared.clock);
        let until = clock.now().plus(self.shared.grace);
        while self.effects.any() {
            let outcome = tokio::select! {
                biased;
                outcome = self.effects.next() => outcome,
                () = clock.sleep_until(until) => return,
            };
            self.read_clock();
            if self.outcome(outcome).is_err() || !matches!(self.commit().await, Ok(true)) {
                return; // it is looked for when the run is resumed
            }
        }
    }

    async fn drive(&mut self) -> Result<Outcome, EngineError> {
        self.adopt_permits().await?;
        loop {
            let quiet = self.settle_turn().await?;
            if let Some(outcome) = self.state.outcome() {
                return Ok(outcome.clone());
            }
            if !quiet {
                tokio::task::yield_now().await; // let others run between the parts of a cascade
                continue;
            }
            self.tell_progress();
            let wake = self.wait().await;
            self.read_clock();
            match wake {
                Wake::Stop => return Err(EngineError::ShutDown),
                Wake::Time => self.time_has_come()?,
                Wake::Request(request) => self.request(request)?,
                Wake::Permit(verdict) => self.verdict(verdict)?,
                Wake::Outcome(outcome) => {
                    self.outcome(outcome)?;
                    for _ in 1..OUTCOMES_A_TURN {
                        let Some(outcome) = self.effects.try_next() else { break };
                        self.outcome(outcome)?;
                    }
                }
            }
        }
    }

    /// Decides what follows, makes it durable, and starts what it announces. Returns whether there is
    /// nothing more to decide now.
    async fn settle_turn(&mut self) -> Result<bool, EngineError> {
        if self.trouble.crowded && self.take_what_came_in()? {
            self.commit().await?;
            return Ok(false);
        }
        let mut quiet = false;
        while !quiet && self.pending.len() < EVENTS_A_TURN {
            let turn = turn!(self);
            let limit = EVENTS_A_TURN - self.pending.len();
            advance(&self.state, &turn, limit, &mut self.fresh);
            quiet = self.fresh.is_empty();
            self.fold()?;
        }
        let stored = self.commit().await?;
        self.trouble.crowded &= !stored;
        Ok(stored && quiet)
    }

    /// Decides what came in while the journal had no room. Returns whether that is to be stored.
    fn take_what_came_in(&mut self) -> Result<bool, EngineError> {
        if self.pending.is_empty() {
            self.read_clock();
            while let Some(outcome) = self.effects.try_next() {
                self.outcome(outcome)?;
            }
            if let Some(request) = self.deferred.pop_front() {
                self.request(Some(request))?;
            }
        }
        Ok(!self.pending.is_empty())
    }

    /// Decides an input, and keeps it until what it led to is durable.
    pub(super) fn decide(
        &mut self,
        input: Input,
        reply: Option<oneshot::Sender<Answer>>,
    ) -> Result<(), EngineError> {
        self.draws = self
            .draws
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let turn = turn!(self);
        let mut answer = decide(&self.state, &input, &turn, &mut self.fresh);
        if let Some(Event::CommandDenied { reasons, .. }) = self.fresh.first() {
            answer = Err(Rejected::Denied { reasons: reasons.clone() });
        }
        self.fold()?;
        self.asked.push(Asked { input, reply, answer });
        Ok(())
    }

    /// Why the last command does not take effect, if it does not.
    pub(super) fn rejected(&self) -> Option<Rejected> {
        self.asked.last()?.answer.as_ref().err().cloned()
    }

    fn fold(&mut self) -> Result<(), EngineError> {
        for event in &self.fresh {
            if let Err(illegal) = self.state.evolve(self.now, event) {
                return Err(EngineError::internal(self.state.run(), &illegal));
            }
        }
        self.pending.append(&mut self.fresh);
        Ok(())
    }

    /// Makes all pending events durable as one batch, and only then announces them. Returns whether it
    /// is as decided: if the journal failed, everything may have been decided anew.
    async fn commit(&mut self) -> Result<bool, EngineError> {
        if !self.pending.is_empty()
            && let Err(error) = self.append(Vec::new()).await
            && !self.recover(error).await?
        {
            return Ok(false);
        }
        self.announce();
        Ok(true)
    }

    async fn append(&mut self, blobs: Vec<(Digest, Arc<[u8]>)>) -> Result<(), AppendError> {
        if !self.shared.journal.records() {
            self.sealer.skip(self.pending.len());
            return Ok(());
        }
        let expected = self.sealer.seq();
        let records = self.sealer.batch(self.now, &self.pending, self.state.digest());
        let finishes = self.state.outcome().is_some();
        let (run, epoch) = (self.state.run().clone(), self.sealer.epoch());
        let batch = Batch { run, expected, epoch, records, blobs, finishes };
        self.shared.journal.append(batch).await
    }

    /// What is pending is durable: starts its effects, tells subscribers, answers those who asked.
    fn announce(&mut self) {
        self.failures = 0;
        self.trouble.doubts.clear();
        let mut events = std::mem::take(&mut self.pending);
        for event in &events {
            self.act_on(event);
        }
        self.settle_permits(&events);
        if self.events.receiver_count() > 0 {
            let first = self.sealer.seq() + 1 - events.len() as u64;
            for (event, seq) in events.drain(..).zip(first..) {
                // Nobody listening is no fault.
                let _ = self.events.send(Arc::new(Recorded { seq, at: self.now, event }));
            }
        }
        events.clear();
        self.pending = events; // as large as it was
        for asked in self.asked.drain(..) {
            if let Some(reply) = asked.reply {
                // A caller that went away is no fault.
                let _ = reply.send(asked.answer);
            }
        }
    }

    /// Timers are the state's own business; only asking a policy again is the engine's.
    fn time_has_come(&mut self) -> Result<(), EngineError> {
        self.sleep = None;
        if self.state.asks_policy() && self.now >= self.ask_again {
            self.ask_again = self.now.plus(ASK_AGAIN);
            self.decide(Input::Reconsider, None)?;
        }
        Ok(())
    }

    fn outcome(&mut self, (step, attempt, outcome): Attempt) -> Result<(), EngineError> {
        self.decide(Input::Outcome { step, attempt, outcome }, None)
    }

    pub(super) fn request(&mut self, request: Option<Request>) -> Result<(), EngineError> {
        match request {
            None => self.inbox = None, // every handle is gone; the run goes on
            Some(Request::Look(look)) => {
                let turn = turn!(self);
                look(Ok((&self.state, &turn)));
            }
            Some(Request::Reconsider(reply)) => self.decide(Input::Reconsider, Some(reply))?,
            Some(Request::Directive(directive, reply)) => {
                // Before the answer: whoever gets it must not find what the run waited for before.
                self.progress.send_replace(Progress::Driving);
                self.decide(Input::Directive(directive), Some(reply))?;
            }
        }
        Ok(())
    }

    pub(super) fn read_clock(&mut self) {
        let (wall, anomaly) = self.shared.clock.read();
        self.now = rules::decision_time(wall, self.now, self.state.now());
        self.anomaly = anomaly;
    }

    fn tell_progress(&mut self) {
        if self.state.in_flight() > 0 && !self.told_a_person {
            return;
        }
        let idle = self.state.in_flight() == 0 && self.state.next_wakeup().is_none();
        let now = if idle && self.state.needs_a_person() {
            Progress::NeedsPerson(self.state.awaiting())
        } else {
            Progress::Driving
        };
        self.told_a_person = matches!(now, Progress::NeedsPerson(_));
        self.progress.send_if_modified(|progress| {
            let changed = *progress != now;
            *progress = now;
            changed
        });
    }
}
