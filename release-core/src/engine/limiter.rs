//! The task that owns the ledger of permits in this process: it asks for all runs of the engine, in one
//! append for all that came at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::ledger::Stored;
use crate::ids::RunId;
use crate::journal::{AppendError, Journal};
use crate::limits::{Claim, Ledger, LedgerEvent, Limits, Request, Standing, Unit, grants};
use crate::model::Principal;
use crate::port::{Clock, Reason};
use crate::time::{Span, Timestamp};

/// Most messages that are answered with one append.
const AT_ONCE: usize = 1024;
/// How soon the ledger is read again while somebody waits, in case another engine wrote; it doubles
/// while nothing changes.
const FIRST_LOOK: Span = Span::secs(1);
/// How late at most.
const LAST_LOOK: Span = Span::secs(30);

/// What runs and hosts tell the task.
pub(super) enum Message {
    /// An engine drives a run on; the answer is what the run has.
    Adopt { run: RunId, epoch: u64, reply: oneshot::Sender<Vec<Unit>> },
    /// A step wants to start.
    Ask { step: u32, request: Request, tell: mpsc::UnboundedSender<Verdict> },
    /// It does not any more.
    Withdraw { claim: Claim, epoch: u64 },
    /// A run gives back.
    Release { run: RunId, units: Vec<Unit>, epoch: u64 },
    /// A person gives back for a run.
    Force { run: RunId, by: Principal, reason: String, reply: oneshot::Sender<bool> },
    /// Somebody wants to see the ledger.
    Look { reply: oneshot::Sender<Result<Ledger, EngineError>> },
}

/// How a step that asked stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) step: u32,
    pub(super) claim: Claim,
    /// Why it waits; none if it may start.
    pub(super) waits: Option<Vec<Reason>>,
}

/// A step of a run of this engine that waits.
struct Local {
    step: u32,
    request: Request,
    tell: mpsc::UnboundedSender<Verdict>,
    told: bool,
}

pub(super) struct Limiter {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) stop: CancellationToken,
    pub(super) inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) limits: Arc<Limits>,
    /// What this engine is called in the ledger: like no other.
    pub(super) engine: String,
    pub(super) stored: Stored,
    waiting: BTreeMap<Claim, Local>,
    /// What is to become durable, and who is told then.
    work: Vec<Message>,
    configured: bool,
    /// When the ledger is read again, and how long after the time before.
    look: (Timestamp, Span),
    failures: u32,
}

impl Limiter {
    pub(super) fn new(
        (clock, journal): (Arc<dyn Clock>, Arc<dyn Journal>),
        stop: CancellationToken,
        inbox: mpsc::UnboundedReceiver<Message>,
        limits: Arc<Limits>,
        engine: String,
        stored: Stored,
    ) -> Self {
        let (waiting, work) = (BTreeMap::new(), Vec::new());
        let look = (Timestamp::default(), FIRST_LOOK);
        Self {
            clock,
            journal,
            stop,
            inbox,
            limits,
            engine,
            stored,
            waiting,
            work,
            configured: false,
            look,
            failures: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut fresh = true;
        loop {
            let mut sweep = fresh;
            if !fresh {
                let at = self.look.0;
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    message = self.inbox.recv() => match message {
                        Some(message) => self.take(message),
                        None => return,
                    },
                    () = self.clock.sleep_until(at), if !self.waiting.is_empty() => sweep = true,
                }
                while self.work.len() < AT_ONCE
                    && let Ok(message) = self.inbox.try_recv()
                {
                    self.take(message);
                }
            }
            let stop = self.stop.clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.settle(sweep) => {}
            }
            fresh = false;
        }
    }

    fn take(&mut self, message: Message) {
        if let Message::Ask { step, request, tell } = message {
            self.look = (self.clock.now().plus(FIRST_LOOK), FIRST_LOOK);
            let local = Local { step, request, tell, told: false };
            self.waiting.insert(local.request.claim.clone(), local);
            return;
        }
        if let Message::Withdraw { claim, .. } = &message {
            self.waiting.remove(claim);
        }
        self.work.push(message);
    }

    /// Makes everything durable that came in and that follows from it, and tells who waits for it. While
    /// the journal fails nobody is told anything, and so nothing starts.
    async fn settle(&mut self, sweep: bool) {
        let mut read = sweep || self.work.iter().any(|m| matches!(m, Message::Look { .. }));
        let mut over = sweep;
        loop {
            if read {
                let before = self.stored.ledger.clone();
                if let Err(error) = self.stored.refresh().await {
                    self.rest(&error).await;
                    continue;
                }
                if self.stored.ledger != before {
                    self.look.1 = FIRST_LOOK;
                }
            }
            let finished = if over { self.finished_runs().await } else { BTreeSet::new() };
            let now = self.clock.now().max(self.stored.ledger.now());
            let carried = self.stored.begins().then(|| self.stored.ledger.clone());
            let events = self.decide(now, &finished);
            if !events.is_empty() {
                match self.stored.append(&events, carried, now).await {
                    Ok(()) => {}
                    // Another engine was faster: what it wrote is read, and all decided anew.
                    Err(AppendError::Conflict { .. } | AppendError::Finished { .. }) => {
                        read = true;
                        continue;
                    }
                    Err(error) => {
                        self.rest(&EngineError::Append(error)).await;
                        read = true;
                        continue;
                    }
                }
            }
            (self.failures, over, read) = (0, false, false);
            self.look =
                (now.plus(self.look.1), Span::from(self.look.1.as_duration() * 2).min(LAST_LOOK));
            if !self.tell(now) {
                return;
            }
        }
    }

    async fn rest(&mut self, error: &EngineError) {
        tracing::warn!(%error, "the ledger of permits waits for its journal");
        for message in std::mem::take(&mut self.work) {
            match message {
                // Nobody can know it now. A caller that went away is no fault.
                Message::Look { reply } => drop(reply.send(Err(error.clone()))),
                other => self.work.push(other),
            }
        }
        let pause = Span::millis(50).as_duration() * (1_u32 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let until = self.clock.now().plus(Span::from(pause).min(Span::secs(5)));
        self.clock.sleep_until(until).await;
    }

    /// Runs that are over and have something all the same: whoever drove them crashed just then.
    async fn finished_runs(&self) -> BTreeSet<RunId> {
        if self.stored.ledger.permits().is_empty() && self.stored.ledger.queue_len() == 0 {
            return BTreeSet::new();
        }
        let heads = self.journal.heads().await.unwrap_or_default(); // else they are found later
        heads.into_iter().filter(|head| head.finished).map(|head| head.run).collect()
    }

    /// Decides what follows from all that came in, folding it into the ledger.
    fn decide(&mut self, now: Timestamp, finished: &BTreeSet<RunId>) -> Vec<LedgerEvent> {
        let mut events = Vec::new();
        if !self.configured && *self.stored.ledger.limits() != *self.limits {
            let limits = (*self.limits).clone();
            self.note(now, LedgerEvent::Configured { limits }, &mut events);
        }
        for event in self.leftovers(finished) {
            self.note(now, event, &mut events);
        }
        let asked = self.work.iter().filter_map(|message| self.asked(message)).collect::<Vec<_>>();
        for event in asked {
            self.note(now, event, &mut events);
        }
        let queued: BTreeSet<&Claim> = self.stored.ledger.queue().map(|r| &r.claim).collect();
        let mine = self.waiting.iter().filter(|(claim, _)| !queued.contains(claim));
        let mine = mine.filter_map(|(claim, local)| {
            match self.stored.ledger.standing(claim, &local.request.wants) {
                Standing::Unknown => {
                    Some(LedgerEvent::Requested { request: local.request.clone() })
                }
                Standing::Offered => Some(LedgerEvent::Taken { claim: claim.clone() }),
                Standing::Waiting | Standing::Granted => None,
            }
        });
        for event in mine.collect::<Vec<_>>() {
            self.note(now, event, &mut events);
        }
        events.extend(grants(&mut self.stored.ledger, now, &self.engine));
        events
    }

    fn note(&mut self, now: Timestamp, event: LedgerEvent, events: &mut Vec<LedgerEvent>) {
        match self.stored.ledger.evolve(now, &event) {
            Ok(()) => events.push(event),
            Err(illegal) => tracing::debug!(%illegal, "the ledger of permits went another way"),
        }
    }

    /// What a message leads to as the ledger stands. Nothing, if that happened already.
    fn asked(&self, message: &Message) -> Option<LedgerEvent> {
        let ledger = &self.stored.ledger;
        match message {
            Message::Adopt { run, epoch, .. } => {
                let permits = ledger.permits().iter().any(|p| p.run == *run && p.epoch < *epoch);
                let waits = ledger.queue().any(|r| r.claim.run == *run && r.epoch < *epoch);
                let (run, epoch, engine) = (run.clone(), *epoch, self.engine.clone());
                (permits || waits).then_some(LedgerEvent::Adopted { run, epoch, engine })
            }
            Message::Withdraw { claim, epoch } => {
                let waits = ledger.queue().any(|r| r.claim == *claim && r.epoch <= *epoch);
                let event = LedgerEvent::Withdrawn { claim: claim.clone(), epoch: *epoch };
                waits.then_some(event)
            }
            Message::Release { run, units, epoch } => {
                let has =
                    |unit: &&Unit| ledger.permit(run, unit).is_some_and(|p| p.epoch <= *epoch);
                let units: Vec<Unit> = units.iter().filter(has).cloned().collect();
                let (run, epoch, why) = (run.clone(), *epoch, "over".to_owned());
                (!units.is_empty()).then_some(LedgerEvent::Released { run, units, epoch, why })
            }
            Message::Force { run, by, reason, .. } => {
                let has = ledger.permits().iter().any(|permit| permit.run == *run);
                let (run, by, reason) = (run.clone(), by.clone(), reason.clone());
                has.then_some(LedgerEvent::ForceReleased { run, by, reason })
            }
            Message::Ask { .. } | Message::Look { .. } => None,
        }
    }

    /// What runs that are over, and steps that nobody waits for any more, left behind.
    fn leftovers(&mut self, finished: &BTreeSet<RunId>) -> Vec<LedgerEvent> {
        let gone = self.waiting.extract_if(.., |_, local| local.tell.is_closed());
        let mut gone: Vec<(Claim, u64)> =
            gone.map(|(claim, local)| (claim, local.request.epoch)).collect();
        let ledger = &self.stored.ledger;
        let over = ledger.queue().filter(|request| finished.contains(&request.claim.run));
        gone.extend(over.map(|request| (request.claim.clone(), request.epoch)));
        let permits = ledger.permits().iter().filter(|permit| finished.contains(&permit.run));
        let released = permits.map(|permit| LedgerEvent::Released {
            run: permit.run.clone(),
            units: vec![permit.unit.clone()],
            epoch: permit.epoch,
            why: "the run is over".to_owned(),
        });
        let withdrawn =
            gone.into_iter().map(|(claim, epoch)| LedgerEvent::Withdrawn { claim, epoch });
        released.chain(withdrawn).collect()
    }

    /// What was decided is durable: tells everybody. Returns whether there is something more to decide.
    fn tell(&mut self, now: Timestamp) -> bool {
        self.configured = true;
        let ledger = &self.stored.ledger;
        for message in std::mem::take(&mut self.work) {
            // A caller that went away is no fault.
            match message {
                Message::Adopt { run, reply, .. } => {
                    let permits = ledger.permits().iter().filter(|permit| permit.run == run);
                    drop(reply.send(permits.map(|permit| permit.unit.clone()).collect()));
                }
                Message::Force { run, reply, .. } => {
                    let gone = !ledger.permits().iter().any(|permit| permit.run == run);
                    let _ = reply.send(gone);
                }
                Message::Look { reply } => drop(reply.send(Ok(ledger.clone()))),
                Message::Ask { .. } | Message::Withdraw { .. } | Message::Release { .. } => {}
            }
        }
        let queued: BTreeSet<&Claim> = ledger.queue().map(|request| &request.claim).collect();
        let mut undelivered = Vec::new();
        let mut more = false;
        self.waiting.retain(|claim, local| {
            let step = local.step;
            if queued.contains(claim) {
                if !std::mem::replace(&mut local.told, true) {
                    let waits = ledger.why_waiting(claim, now).map(|why| why.reasons());
                    let verdict = Verdict { step, claim: claim.clone(), waits };
                    drop(local.tell.send(verdict)); // if nobody waits, it is withdrawn
                }
                return true;
            }
            if ledger.standing(claim, &local.request.wants) != Standing::Granted {
                more = true; // it was offered, or the offer has lapsed
                return true;
            }
            let verdict = Verdict { step, claim: claim.clone(), waits: None };
            if local.tell.send(verdict).is_err() {
                let units = local.request.wants.iter().map(|want| want.unit.clone()).collect();
                let (run, epoch) = (claim.run.clone(), local.request.epoch);
                undelivered.push(Message::Release { run, units, epoch });
            }
            false
        });
        more |= !undelivered.is_empty();
        self.work.extend(undelivered);
        more
    }
}
