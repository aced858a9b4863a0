//! What wakes a driver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::mpsc;

use super::desk::Verdict;
use super::driver::Driver;
use super::effect::Attempt;
use super::handle::Request;
use super::permits::judged;
use crate::time::Timestamp;

/// So often outcomes may come first, before others of the runtime and what people ask for have their turn.
const IN_A_ROW: u32 = 32;

pub(super) type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What wakes a driver.
pub(super) enum Wake {
    Outcome(Attempt),
    Request(Option<Request>),
    Permit(Verdict),
    Time,
    Stop,
}

impl Driver {
    /// Waits for whatever comes first.
    pub(super) async fn wait(&mut self) -> Wake {
        if let Some(request) = self.deferred.pop_front() {
            return Wake::Request(Some(request));
        }
        // Now and then everything is asked for in its order, however fast effects are done.
        self.in_a_row = self.in_a_row.wrapping_add(1) % IN_A_ROW;
        if self.state.in_flight() > 0 && self.in_a_row != 0 && !self.shared.stop.is_cancelled() {
            if let Some(outcome) = self.effects.take_done() {
                return Wake::Outcome(outcome);
            }
            // Effects that are done at once need no more than to be let run.
            give_way().await;
            if let Some(outcome) = self.effects.try_next() {
                return Wake::Outcome(outcome);
            }
        }
        if self.in_a_row == 0 {
            give_way().await;
        }
        // A sleep that ends too early does no harm, so one is only replaced by an earlier one.
        let ask_again = self.state.asks_policy().then_some(self.ask_again);
        if let Some(at) = self.state.next_wakeup().into_iter().chain(ask_again).min() {
            if self.sleep.as_ref().is_none_or(|(until, _)| at < *until) {
                let clock = Arc::clone(&self.shared.clock);
                self.sleep = Some((at, Box::pin(async move { clock.sleep_until(at).await })));
            }
        } else {
            self.sleep = None;
        }
        let Self { effects, inbox, sleep, stop, permits, .. } = self;
        tokio::select! {
            biased;
            () = stop => Wake::Stop,
            request = receive(inbox) => Wake::Request(request),
            outcome = effects.next() => Wake::Outcome(outcome),
            verdict = judged(permits) => Wake::Permit(verdict),
            () = slept(sleep) => Wake::Time,
        }
    }
}

/// Lets the tasks that are ready run before this one goes on.
async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|cx| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) async fn receive(inbox: &mut Option<mpsc::Receiver<Request>>) -> Option<Request> {
    match inbox {
        Some(inbox) => inbox.recv().await,
        None => std::future::pending().await,
    }
}

async fn slept(sleep: &mut Option<(Timestamp, Sleep)>) {
    match sleep {
        Some((_, sleep)) => sleep.await,
        None => std::future::pending().await,
    }
}
