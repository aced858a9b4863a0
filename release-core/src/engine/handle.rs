//! What a host holds of a run.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::EngineError;
use crate::ids::RunId;
use crate::run::{Awaiting, Directive, Event, Outcome, Rejected, RunState};
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
    Inspect(oneshot::Sender<RunState>),
}

/// A run that is being driven. Dropping it changes nothing for the run.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(super) run: RunId,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) events: broadcast::Sender<Arc<Recorded>>,
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
    /// The run is not driven any more.
    #[error("the run is not driven any more; see how it ended with `wait`, or resume it")]
    NotDriven,
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
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request::Directive(directive, reply))
            .await
            .map_err(|_| SendError::NotDriven)?;
        Ok(answer.await.map_err(|_| SendError::NotDriven)??)
    }

    /// The run's present state: a copy.
    ///
    /// # Errors
    /// [`SendError::NotDriven`].
    pub async fn state(&self) -> Result<RunState, SendError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Inspect(reply)).await.map_err(|_| SendError::NotDriven)?;
        answer.await.map_err(|_| SendError::NotDriven)
    }

    /// Events from now on, each once it is durable. A receiver that falls far behind misses some
    /// and is told so; the journal has them all.
    pub fn events(&self) -> broadcast::Receiver<Arc<Recorded>> {
        self.events.subscribe()
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
pub(super) fn finished(run: RunId, outcome: Outcome) -> RunHandle {
    let (requests, _) = mpsc::channel(1);
    let (_, progress) = watch::channel(Progress::Ended(Ok(outcome)));
    let (events, _) = broadcast::channel(1);
    RunHandle { run, requests, progress, events }
}
