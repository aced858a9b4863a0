//! The task that owns the ledger of permits in this process: it asks for all runs of the engine, in one
//! append for all that came at once. What is decided is [`desk`](super::desk)'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::desk::{Desk, Said, Verdict};
use super::ledger::Stored;
use crate::ids::RunId;
use crate::journal::{AppendError, Journal, ReadError};
use crate::limits::{Claim, Ledger, Request, Unit};
use crate::model::Principal;
use crate::port::Clock;
use crate::time::Timestamp;

/// Most messages that are answered with one append.
const AT_ONCE: usize = 1024;

/// What runs and hosts tell the task.
pub(super) enum Message {
    /// A step wants to start.
    Ask { step: u32, request: Request, tell: mpsc::UnboundedSender<Verdict> },
    /// Something else that a run says.
    Say(Said),
    /// An engine drives a run on; the answer is what the run has.
    Adopt { run: RunId, epoch: u64, reply: oneshot::Sender<Result<Vec<Unit>, EngineError>> },
    /// A person gives back for a run; the answer is whether it has nothing now.
    Force {
        run: RunId,
        by: Principal,
        reason: String,
        reply: oneshot::Sender<Result<bool, EngineError>>,
    },
    /// Somebody wants to see the ledger.
    Look { reply: oneshot::Sender<Result<Ledger, EngineError>> },
}

/// Who is answered once what they said is durable.
enum Reply {
    Adopt { run: RunId, reply: oneshot::Sender<Result<Vec<Unit>, EngineError>> },
    Force { run: RunId, reply: oneshot::Sender<Result<bool, EngineError>> },
    Look { reply: oneshot::Sender<Result<Ledger, EngineError>> },
}

pub(super) struct Limiter {
    clock: Arc<dyn Clock>,
    journal: Arc<dyn Journal>,
    stop: CancellationToken,
    inbox: mpsc::UnboundedReceiver<Message>,
    desk: Desk,
    stored: Stored,
    /// Who is told how a step stands, and in which epoch it asked.
    tell: BTreeMap<Claim, (u64, mpsc::UnboundedSender<Verdict>)>,
    replies: Vec<Reply>,
    failures: u32,
}

impl Limiter {
    pub(super) fn new(
        (clock, journal): (Arc<dyn Clock>, Arc<dyn Journal>),
        stop: CancellationToken,
        inbox: mpsc::UnboundedReceiver<Message>,
        desk: Desk,
        stored: Stored,
    ) -> Self {
        let (tell, replies) = (BTreeMap::new(), Vec::new());
        Self { clock, journal, stop, inbox, desk, stored, tell, replies, failures: 0 }
    }

    pub(super) async fn run(mut self) {
        let mut fresh = true;
        loop {
            let mut sweep = fresh;
            if !fresh {
                let at = self.desk.next_look();
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return,
                    message = self.inbox.recv() => match message {
                        Some(message) => self.take(message),
                        None => return,
                    },
                    () = self.clock.sleep_until(at.unwrap_or_default()), if at.is_some() => sweep = true,
                }
                for _ in 1..AT_ONCE {
                    let Ok(message) = self.inbox.try_recv() else { break };
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
        match message {
            Message::Ask { step, request, tell } => {
                self.tell.insert(request.claim.clone(), (request.epoch, tell));
                self.desk.ask(step, request, self.clock.now());
            }
            Message::Say(said) => {
                if let Said::Withdrawn { claim, .. } = &said {
                    self.tell.remove(claim);
                }
                self.desk.say(said);
            }
            Message::Adopt { run, epoch, reply } => {
                self.desk.say(Said::Adopted { run: run.clone(), epoch });
                self.replies.push(Reply::Adopt { run, reply });
            }
            Message::Force { run, by, reason, reply } => {
                self.desk.say(Said::Forced { run: run.clone(), by, reason });
                self.replies.push(Reply::Force { run, reply });
            }
            Message::Look { reply } => self.replies.push(Reply::Look { reply }),
        }
    }

    /// Makes everything durable that came in and that follows from it, and tells who waits for it. While
    /// the journal fails nobody is told anything, and so nothing starts.
    async fn settle(&mut self, sweep: bool) {
        let unread = sweep || !self.stored.is_known();
        let mut read = unread || self.replies.iter().any(|r| matches!(r, Reply::Look { .. }));
        let mut over = sweep;
        loop {
            if read {
                let before = self.stored.pages.ledger.clone();
                if let Err(error) = self.stored.refresh().await {
                    if let Some(detail) = damage(&error) {
                        return self.damaged(detail);
                    }
                    self.rest(&error).await;
                    continue;
                }
                if self.stored.pages.ledger != before {
                    self.desk.news();
                }
            }
            let finished = if over { self.finished_runs().await } else { BTreeSet::new() };
            self.tell.retain(|_, (_, tell)| !tell.is_closed());
            self.desk.leave(|claim| !self.tell.contains_key(claim));
            let now = self.clock.now().max(self.stored.pages.ledger.now());
            let carried = self.stored.pages.carried();
            let events = self.desk.decide(&mut self.stored.pages.ledger, now, &finished);
            if !events.is_empty() {
                match self.stored.append(&events, carried, now).await {
                    Ok(()) => {}
                    // Another engine was faster: what it wrote is read, and all decided anew.
                    Err(AppendError::Conflict { .. } | AppendError::Finished { .. }) => {
                        read = true;
                        continue;
                    }
                    Err(AppendError::Damaged { detail }) => return self.damaged(detail),
                    Err(error) => {
                        self.rest(&EngineError::Append(error)).await;
                        read = true;
                        continue;
                    }
                }
            }
            (self.failures, over, read) = (0, false, false);
            if !self.tell(now) {
                return;
            }
        }
    }

    /// Tells everybody who waits for an answer, and those who put something back that they may. The
    /// ledger is looked for again when somebody says something, and from time to time.
    fn damaged(&mut self, detail: String) {
        tracing::error!(%detail, "the ledger of permits is damaged; restore it, or begin a new one");
        self.stored.forget();
        for verdict in self.desk.damaged(&detail, self.clock.now()) {
            let (claim, passes) = (verdict.claim.clone(), verdict.waits.is_none());
            if let Some((_, tell)) = self.tell.get(&claim) {
                let _ = tell.send(verdict); // if nobody is there, it was asked for in vain
            }
            if passes {
                self.tell.remove(&claim);
            }
        }
        let error = EngineError::LedgerDamaged { detail };
        for reply in std::mem::take(&mut self.replies) {
            // A caller that went away is no fault.
            match reply {
                Reply::Adopt { reply, .. } => drop(reply.send(Err(error.clone()))),
                Reply::Force { reply, .. } => drop(reply.send(Err(error.clone()))),
                Reply::Look { reply } => drop(reply.send(Err(error.clone()))),
            }
        }
    }

    async fn rest(&mut self, error: &EngineError) {
        tracing::warn!(%error, "the ledger of permits waits for its journal");
        for reply in std::mem::take(&mut self.replies) {
            match reply {
                // Nobody can know it now. A caller that went away is no fault.
                Reply::Look { reply } => drop(reply.send(Err(error.clone()))),
                other => self.replies.push(other),
            }
        }
        let pause = super::rules::pause_before_reading(self.failures);
        self.failures = self.failures.saturating_add(1);
        let until = self.clock.now().plus(pause);
        self.clock.sleep_until(until).await;
    }

    /// Runs that are over and have something all the same: whoever drove them crashed just then.
    async fn finished_runs(&self) -> BTreeSet<RunId> {
        let ledger = &self.stored.pages.ledger;
        if ledger.permits().is_empty() && ledger.queue_len() == 0 {
            return BTreeSet::new();
        }
        let heads = self.journal.heads().await.unwrap_or_default(); // else they are found later
        heads.into_iter().filter(|head| head.finished).map(|head| head.run).collect()
    }

    /// What was decided is durable: tells everybody. Returns whether there is something more to decide.
    fn tell(&mut self, now: Timestamp) -> bool {
        let ledger = &self.stored.pages.ledger;
        for reply in std::mem::take(&mut self.replies) {
            // A caller that went away is no fault.
            match reply {
                Reply::Adopt { run, reply } => drop(reply.send(Ok(ledger.units_of(&run)))),
                Reply::Force { run, reply } => {
                    let _ = reply.send(Ok(ledger.units_of(&run).is_empty()));
                }
                Reply::Look { reply } => drop(reply.send(Ok(ledger.clone()))),
            }
        }
        let (verdicts, mut more) = self.desk.durable(ledger, now);
        for verdict in verdicts {
            let (claim, waits) = (verdict.claim.clone(), verdict.waits.is_some());
            let Some((epoch, tell)) = self.tell.get(&claim) else { continue };
            let epoch = *epoch;
            let told = tell.send(verdict).is_ok();
            if waits {
                continue; // if nobody is there, it is withdrawn
            }
            self.tell.remove(&claim);
            if !told {
                let units = self.stored.pages.ledger.units_for(&claim);
                self.desk.say(Said::Released { run: claim.run, units, epoch });
                more = true;
            }
        }
        more
    }
}

/// What is wrong with what was written, if that is why it could not be read.
pub(super) fn damage(error: &EngineError) -> Option<String> {
    match error {
        EngineError::Damaged(damage) => Some(damage.to_string()),
        EngineError::Read(ReadError::Damaged { detail }) => Some(detail.clone()),
        _ => None,
    }
}
