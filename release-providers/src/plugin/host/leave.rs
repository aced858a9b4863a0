//! Calls whose callers are gone, until they have ended.
//!
//! Dropping the future of a call leaves what it asked for done or not, and a look tells which. The plugin may still be at
//! it, though: it is asked to end the call, and whoever calls the same capability next waits until it has, at most
//! for the grace.

use std::sync::{Arc, Mutex};

use release_core::port::Clock;
use release_core::time::{Span, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// The calls of a plugin whose callers are gone.
#[derive(Debug, Default)]
pub(super) struct Left(Mutex<Vec<Call>>);

#[derive(Debug)]
struct Call {
    service: &'static str,
    ended: CancellationToken,
    /// Nobody waits for longer.
    until: Timestamp,
}

impl Left {
    /// Waits until no call of `service` is left that somebody walked away from.
    pub(super) async fn settled(&self, service: &'static str, clock: &dyn Clock) {
        while let Some((ended, until)) = self.next(service, clock) {
            tokio::select! {
                () = ended.cancelled() => {}
                () = clock.sleep_until(until) => {}
            }
        }
    }

    fn next(
        &self,
        service: &'static str,
        clock: &dyn Clock,
    ) -> Option<(CancellationToken, Timestamp)> {
        let mut calls = lock(&self.0);
        if calls.is_empty() {
            return None;
        }
        let now = clock.now();
        calls.retain(|call| !call.ended.is_cancelled() && now < call.until);
        let call = calls.iter().find(|call| call.service == service)?;
        Some((call.ended.clone(), call.until))
    }
}

/// What a caller holds. Dropped before it is [kept](Caller::stays), the caller is gone.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    left: &'a Left,
    clock: &'a Arc<dyn Clock>,
    grace: Span,
    service: &'static str,
    /// Asks the call to end.
    pub(super) gone: CancellationToken,
    /// Cancelled when the call has ended.
    pub(super) ended: CancellationToken,
    stays: bool,
}

impl<'a> Caller<'a> {
    pub(super) fn of(
        left: &'a Left,
        clock: &'a Arc<dyn Clock>,
        grace: Span,
        service: &'static str,
    ) -> Self {
        let (gone, ended) = (CancellationToken::new(), CancellationToken::new());
        Self { left, clock, grace, service, gone, ended, stays: false }
    }

    /// The caller has its answer.
    pub(super) fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let (service, ended) = (self.service, self.ended.clone());
        let until = self.clock.now().plus(self.grace);
        // Before it is asked to end: whoever comes next sees it.
        lock(&self.left.0).push(Call { service, ended, until });
        self.gone.cancel();
    }
}
