//! How a run gets its permits: it asks the limiter, and is told.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::desk::{self, Verdict};
use super::driver::{Driver, INBOX};
use super::handle::Request;
use super::limiter::Message;
use super::wake::receive;
use super::{EngineError, Shared};
use crate::limits::Limits;
use crate::run::{Event, Input, Permits, RunState};

/// What a run has of the platform's limits, and how it gets more.
pub(super) struct RunPermits {
    pub(super) permits: Permits,
    names_providers: bool,
    pub(super) limiter: mpsc::UnboundedSender<Message>,
    tell: mpsc::UnboundedSender<Verdict>,
    verdicts: mpsc::UnboundedReceiver<Verdict>,
}

impl RunPermits {
    pub(super) fn new(limits: &Arc<Limits>, limiter: mpsc::UnboundedSender<Message>) -> Box<Self> {
        // Bounded by the steps of the run, each of which asks once.
        let (tell, verdicts) = mpsc::unbounded_channel();
        let permits = Permits::new(Arc::clone(limits));
        let names_providers = limits.asks_for_providers();
        Box::new(Self { permits, names_providers, limiter, tell, verdicts })
    }

    /// A limiter that is gone was shut down with its engine: what it was to be told is found again when
    /// the run is resumed.
    fn say(&self, message: Message) {
        drop(self.limiter.send(message));
    }
}

impl Driver {
    /// Makes what the run has in the ledger its own, before anything is decided.
    pub(super) async fn adopt_permits(&mut self) -> Result<(), EngineError> {
        self.name_providers(0);
        let (epoch, run) = (self.sealer.epoch(), self.state.run().clone());
        let Some(mine) = &mut self.permits else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        mine.say(Message::Adopt { run, epoch, reply });
        let told = self.answered(answer).await?;
        let Some(mine) = &mut self.permits else { return Ok(()) };
        let units = told.unwrap_or_else(|error| {
            tracing::warn!(run = %self.state.run(), %error, "the run has what its own records say");
            mine.permits.in_use(&self.state).into_iter().map(|(_, want)| want.unit).collect()
        });
        desk::adopted(&mut mine.permits, &self.state, units);
        self.settle_permits(&[]);
        Ok(())
    }

    /// Waits for the ledger's answer. Whoever wants to see the run's state does so meanwhile; what else
    /// people ask for comes right after it.
    async fn answered<T>(&mut self, mut answer: oneshot::Receiver<T>) -> Result<T, EngineError> {
        let stop = self.shared.stop.clone();
        loop {
            let request = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(EngineError::ShutDown),
                told = &mut answer => return told.map_err(|_| EngineError::ShutDown),
                request = receive(&mut self.inbox), if self.deferred.len() < INBOX => request,
            };
            self.read_clock();
            match request {
                Some(Request::Directive(..) | Request::Reconsider(_)) => {
                    self.deferred.extend(request);
                }
                None | Some(Request::Look(_)) => self.request(request)?,
            }
        }
    }

    /// Who performs the steps from `first` on, where a limit asks for it.
    fn name_providers(&mut self, first: usize) {
        let Some(mine) = self.permits.as_mut().filter(|mine| mine.names_providers) else { return };
        let first = u32::try_from(first).unwrap_or(u32::MAX);
        let mut steps = (first..).map_while(|index| self.state.plan().get(index));
        steps.by_ref().for_each(|step| {
            if let Some(provider) = self.shared.performer.provider(step) {
                mine.permits.provided(step.id.clone(), provider);
            }
        });
    }

    /// Takes up what became durable, and tells the limiter what follows.
    pub(super) fn settle_permits(&mut self, events: &[Event]) {
        if self.permits.is_none() {
            return;
        }
        let grows = |event: &Event| {
            matches!(event, Event::RollbackStarted { .. } | Event::TakeBackStarted { .. })
        };
        if events.iter().any(grows) {
            self.name_providers(self.state.plan().base_len());
        }
        let writer = (self.shared.unique.as_str(), self.sealer.epoch());
        let Some(mine) = &mut self.permits else { return };
        let wishes = desk::wishes(&mut mine.permits, &self.state, events, writer);
        for said in wishes.said {
            mine.say(Message::Say(said));
        }
        for (step, request) in wishes.asks {
            mine.say(Message::Ask { step, request, tell: mine.tell.clone() });
        }
    }

    /// A step has its permits, or it is known why not.
    pub(super) fn verdict(&mut self, verdict: Verdict) -> Result<(), EngineError> {
        let mut next = Some(verdict);
        while let Some(verdict) = next {
            let Some(mine) = &mut self.permits else { return Ok(()) };
            let step = verdict.step;
            let news = desk::hears(&mut mine.permits, &self.state, verdict);
            next = mine.verdicts.try_recv().ok();
            if news {
                self.decide(Input::Permit { step }, None)?;
            }
        }
        Ok(())
    }

    /// The journal failed, and the run is where its records say.
    pub(super) fn restart_permits(&mut self) {
        if let Some(mine) = &mut self.permits {
            mine.permits.restart(&self.state);
        }
    }
}

/// The next verdict; never, where there are no limits.
pub(super) async fn judged(permits: &mut Option<Box<RunPermits>>) -> Verdict {
    if let Some(permits) = permits
        && let Some(verdict) = permits.verdicts.recv().await
    {
        return verdict;
    }
    std::future::pending().await
}

impl Shared {
    /// What a run of this engine has of its limits, if it has any.
    pub(super) fn permits(&self) -> Option<Box<RunPermits>> {
        let limits = self.limits.as_ref()?;
        Some(RunPermits::new(limits, self.limiter()?))
    }

    /// The limits as they bind the steps of a run that is not driven here.
    pub(super) fn permits_for(&self, state: &RunState) -> Option<Permits> {
        let mut permits = Permits::new(Arc::clone(self.limits.as_ref()?));
        // With those of its rollback.
        for step in (0..).map_while(|index| state.plan().get(index)) {
            if let Some(provider) = self.performer.provider(step) {
                permits.provided(step.id.clone(), provider);
            }
        }
        Some(permits)
    }
}
