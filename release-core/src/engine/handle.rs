//! What a host holds of a run.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::limiter::Message;
use super::{EngineError, Events};
use crate::ids::RunId;
use crate::journal::Journal;
use crate::run::{Awaiting, Directive, Event, Outcome, Rejected, RunState, Turn};
use crate::time::Timestamp;

/// An event that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the run, from 1.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// How far a run is that its host watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    Driving,
    NeedsPerson(Vec<Awaiting>),
    Ended(Result<Outcome, EngineError>),
}

pub(super) enum Request {
    Directive(Directive, oneshot::Sender<Result<(), Rejected>>),
    Reconsider(oneshot::Sender<Result<(), Rejected>>),
    Look(Look),
}

/// Looks at the state, and at what a decision would be made with now; or is told why nobody can.
pub(super) type Look = Box<dyn FnOnce(Result<(&RunState, &Turn<'_>), SendError>) + Send>;

/// A run that is being driven. Dropping it changes nothing for the run.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(super) run: RunId,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) events: broadcast::Sender<Arc<Recorded>>,
    /// None where there are no limits, or the run is over.
    pub(super) limiter: Option<mpsc::UnboundedSender<Message>>,
}

/// A run that does not move by itself any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is over.
    Finished(Outcome),
    /// Only a person can move it on: what it waits for.
    NeedsPerson(Vec<Awaiting>),
}

/// A command that did not take effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It makes no sense now.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The run is over.
    #[error("the run is over: it {}", .0.name())]
    Finished(Outcome),
    /// The run is not driven any more.
    #[error("the run is not driven any more; see why with `wait`, then resume it")]
    NotDriven,
    /// The run waits for its journal, and what its state is nobody can know before.
    #[error("the run waits for its journal: {detail}; ask again once it works")]
    JournalFails {
        /// What is wrong with the journal.
        detail: String,
    },
}

impl RunHandle {
    /// The run.
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Gives the run a command, and returns once what it led to is durable.
    ///
    /// # Errors
    /// [`SendError`] with the reason; a command that was denied is in the journal all the same.
    pub async fn send(&self, directive: Directive) -> Result<(), SendError> {
        self.ask(|reply| Request::Directive(directive, reply)).await?.map_err(SendError::Rejected)
    }

    /// Asks the policy again about what it holds, because something has changed that it depends on: a
    /// freeze was lifted, a role granted. The engine asks by itself every 30 s.
    ///
    /// # Errors
    /// [`SendError`] when the run is over or not driven.
    pub async fn reconsider(&self) -> Result<(), SendError> {
        self.ask(Request::Reconsider).await?.map_err(SendError::Rejected)
    }

    /// The run's present state: a copy.
    ///
    /// # Errors
    /// [`SendError`] when the run is over or not driven; [`Engine::load`](super::Engine::load) then
    /// gives its history, and any state in it.
    pub async fn state(&self) -> Result<RunState, SendError> {
        self.look(|state, _| state.clone()).await
    }

    /// What `see` makes of the run's present state, without a copy of it.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        see: impl FnOnce(&RunState, &Turn<'_>) -> T + Send + 'static,
    ) -> Result<T, SendError> {
        let look = |reply: oneshot::Sender<_>| {
            // A caller that went away is no fault.
            let see = |seen: Result<(&RunState, &Turn<'_>), _>| {
                let _ = reply.send(seen.map(|(state, turn)| see(state, turn)));
            };
            Request::Look(Box::new(see))
        };
        self.ask(look).await?
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, SendError> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(request(reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return Ok(answer);
        }
        match &*self.progress.borrow() {
            Progress::Ended(Ok(outcome)) => Err(SendError::Finished(outcome.clone())),
            Progress::Driving | Progress::NeedsPerson(_) | Progress::Ended(Err(_)) => {
                Err(SendError::NotDriven)
            }
        }
    }

    /// The events behind number `after`, each once it is durable: all of the run with 0.
    pub fn events(&self, after: u64) -> Events {
        Events {
            journal: Arc::clone(&self.journal),
            run: self.run.clone(),
            last: after,
            read: VecDeque::new(),
            live: self.events.subscribe(),
            progress: self.progress.clone(),
            behind: true,
        }
    }

    /// Waits until the run is over.
    ///
    /// # Errors
    /// [`EngineError`] when it is not driven to its end; it can then be resumed.
    pub async fn wait(&self) -> Result<Outcome, EngineError> {
        let mut progress = self.progress.clone();
        let ended = progress.wait_for(|progress| matches!(progress, Progress::Ended(_))).await;
        match ended.as_deref() {
            Ok(Progress::Ended(result)) => result.clone(),
            _ => Err(EngineError::ShutDown),
        }
    }

    /// Waits until the run is over or only a person can move it on.
    ///
    /// # Errors
    /// As [`RunHandle::wait`].
    pub async fn settled(&self) -> Result<Settled, EngineError> {
        let mut progress = self.progress.clone();
        let settled = progress.wait_for(|progress| !matches!(progress, Progress::Driving)).await;
        match settled.as_deref() {
            Ok(Progress::Ended(result)) => result.clone().map(Settled::Finished),
            Ok(Progress::NeedsPerson(awaiting)) => Ok(Settled::NeedsPerson(awaiting.clone())),
            _ => Err(EngineError::ShutDown),
        }
    }
}

/// The handle of a run that was over before.
pub(super) fn finished(run: RunId, journal: Arc<dyn Journal>, outcome: Outcome) -> RunHandle {
    let (requests, _) = mpsc::channel(1);
    let (_, progress) = watch::channel(Progress::Ended(Ok(outcome)));
    let (events, _) = broadcast::channel(1);
    RunHandle { run, journal, requests, progress, events, limiter: None }
}
