//! The effects of one run: each in a task of its own, where it can hurt nobody. It may hang, panic or
//! lie. Where the host says so, those that are done at once need no task.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::port::{AuthorizedCommand, EffectError, Performer};
use crate::run::{EffectOutcome, Mode};

/// A step, its attempt, and how that ended.
pub(super) type Attempt = (u32, u32, EffectOutcome);

/// The effects of a run that are under way; dropping it drops them.
#[derive(Debug)]
pub(super) struct Effects {
    sender: mpsc::UnboundedSender<Attempt>,
    outcomes: mpsc::UnboundedReceiver<Attempt>,
    /// For each step, the attempt under way and how to drop it; 16 bytes a step.
    tasks: Vec<Option<(u32, AbortHandle)>>,
    /// Whether effects are polled once before they get a task.
    poll_first: bool,
    /// What was done at the first poll, and waits to be taken.
    done: VecDeque<Attempt>,
}

impl Effects {
    pub(super) fn new(poll_first: bool) -> Self {
        // Bounded by the plan's limit of effects under way, which the run keeps.
        let (sender, outcomes) = mpsc::unbounded_channel();
        Self { sender, outcomes, tasks: Vec::new(), poll_first, done: VecDeque::new() }
    }

    /// Starts an effect of a plan of `steps` steps.
    pub(super) fn launch(
        &mut self,
        performer: Arc<dyn Performer>,
        command: AuthorizedCommand,
        mode: Mode,
        steps: usize,
    ) {
        let (index, attempt) = (command.step as usize, command.attempt);
        let sender = self.sender.clone();
        let task = if self.poll_first {
            let mut effect = Box::pin(run(performer, command, mode));
            // Whoever is not done is polled again by its task, with that task's waker.
            if let Poll::Ready(outcome) =
                effect.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                self.drop_one(outcome.0); // nobody waits for an earlier attempt any more
                self.done.push_back(outcome);
                return;
            }
            spawn(effect, sender)
        } else {
            spawn(run(performer, command, mode), sender)
        };
        if self.tasks.len() <= index {
            self.tasks.resize_with(steps, || None);
        }
        if let Some(slot) = self.tasks.get_mut(index)
            && let Some((_, before)) = slot.replace((attempt, task))
        {
            before.abort(); // nobody waits for it any more
        }
    }

    /// Whether an attempt is under way, or its outcome waits to be taken.
    pub(super) fn runs(&self, step: u32, attempt: u32) -> bool {
        let task = self.tasks.get(step as usize).and_then(Option::as_ref);
        task.is_some_and(|(running, _)| *running == attempt)
            || self.done.iter().any(|done| (done.0, done.1) == (step, attempt))
    }

    /// The next outcome. Waits for ever while nothing is under way.
    pub(super) async fn next(&mut self) -> Attempt {
        if let Some(outcome) = self.done.pop_front() {
            return outcome;
        }
        loop {
            // Never `None`: there is a sender in `self`.
            if let Some(outcome) = self.outcomes.recv().await {
                return self.ended(outcome);
            }
            std::future::pending::<()>().await;
        }
    }

    /// The next outcome, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<Attempt> {
        if let Some(outcome) = self.take_done() {
            return Some(outcome);
        }
        let outcome = self.outcomes.try_recv().ok()?;
        Some(self.ended(outcome))
    }

    /// The next outcome of those that needed no task.
    pub(super) fn take_done(&mut self) -> Option<Attempt> {
        self.done.pop_front()
    }

    /// Whether any is under way, or its outcome waits to be taken.
    pub(super) fn any(&self) -> bool {
        !self.done.is_empty() || self.tasks.iter().any(Option::is_some)
    }

    /// A task that has ended keeps its memory as long as somebody could abort it.
    fn ended(&mut self, outcome: Attempt) -> Attempt {
        if let Some(slot) = self.tasks.get_mut(outcome.0 as usize)
            && slot.as_ref().is_some_and(|(attempt, _)| *attempt == outcome.1)
        {
            *slot = None;
        }
        outcome
    }

    /// Drops all effects but those that `wanted` says somebody waits for.
    pub(super) fn drop_others(&mut self, wanted: impl Fn(u32, u32) -> bool) {
        self.done.retain(|(step, attempt, _)| wanted(*step, *attempt));
        for (slot, step) in self.tasks.iter_mut().zip(0..) {
            let idle = slot.as_ref().is_some_and(|(attempt, _)| !wanted(step, *attempt));
            if idle && let Some((_, task)) = slot.take() {
                task.abort();
            }
        }
    }

    /// Drops the effect of one step.
    pub(super) fn drop_one(&mut self, step: u32) {
        self.done.retain(|done| done.0 != step);
        if let Some((_, task)) = self.tasks.get_mut(step as usize).and_then(Option::take) {
            task.abort();
        }
    }

    /// Drops all effects. They are not awaited: a provider that blocks must not block the engine.
    pub(super) fn drop_all(&mut self) {
        self.drop_others(|_, _| false);
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        self.drop_all();
    }
}

/// Gives an effect a task, which sends the outcome.
fn spawn(
    effect: impl Future<Output = Attempt> + Send + 'static,
    outcomes: mpsc::UnboundedSender<Attempt>,
) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "`Effects` owns the task, and drops it")]
    let task = tokio::spawn(async move {
        // A run that is over needs no outcome.
        let _ = outcomes.send(effect.await);
    });
    task.abort_handle()
}

/// Performs or looks, and turns a panic into an unknown outcome.
///
/// A deadline is not kept here: it is a timer of the run, and the task is then dropped. Not an
/// `async fn`, whose arguments would be in the task twice.
#[expect(clippy::manual_async_fn, reason = "an `async fn` doubles the size of every task")]
fn run(
    performer: Arc<dyn Performer>,
    command: AuthorizedCommand,
    mode: Mode,
) -> impl Future<Output = Attempt> + Send {
    async move {
        let outcome = match mode {
            Mode::Perform => {
                let result = AssertUnwindSafe(async { performer.perform(&command).await });
                let result = result.catch_unwind().await;
                EffectOutcome::Performed(result.unwrap_or_else(|panic| Err(panicked(&*panic))))
            }
            Mode::Look => {
                let result = AssertUnwindSafe(async { performer.observe(&command).await });
                let result = result.catch_unwind().await;
                EffectOutcome::Looked(result.unwrap_or_else(|panic| Err(panicked(&*panic))))
            }
        };
        (command.step, command.attempt, outcome)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> EffectError {
    EffectError::unknown("panic", format!("the provider panicked: {}", panic_text(panic)))
}

/// What a panic says, in short.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(200).collect()
}
