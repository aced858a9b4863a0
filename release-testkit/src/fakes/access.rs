//! The way to a fake: whether it can be reached, with which credential, and who came by.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use release_core::engine::SystemClock;
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;
use release_providers::{Context, ErrorKind, ProviderError, Secret};
use tokio::sync::watch;

use super::lock;
use crate::VirtualClock;
use crate::conformance::Trouble;

/// How fakes are reached. Clones are the same way, so that one switch is enough for all fakes that share it.
#[derive(Debug, Clone, Default)]
pub struct Access(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut_off: AtomicBool,
    credential: Secret,
    revoked: AtomicBool,
    throttled: AtomicBool,
    stalled: watch::Sender<bool>,
    visits: Option<Mutex<Vec<Visit>>>,
}

/// A call of any of the fakes that share an [`Access`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Visit {
    /// What was asked for, for example `flag_store.set`.
    pub operation: &'static str,
    /// The idempotency key.
    pub key: String,
    /// Which attempt it was, from 1.
    pub attempt: u32,
}

impl Access {
    /// A way that needs `credential`, on which all calls are remembered in one order.
    pub fn new(credential: Secret) -> Self {
        let visits = Some(Mutex::default());
        Self(Arc::new(State { credential, visits, ..State::default() }))
    }

    /// Puts what is behind it out of reach (`true`), or back: every call is `Unavailable` then, and has no effect.
    pub fn cut_off(&self, cut_off: bool) {
        self.0.cut_off.store(cut_off, Ordering::SeqCst);
    }

    /// Lets the credential be no good any more (`true`), or again: every call is `Denied` then, and has no effect.
    pub fn revoke(&self, revoked: bool) {
        self.0.revoked.store(revoked, Ordering::SeqCst);
    }

    /// Lets a trouble come (`true`), or go. Asked to slow down, every call is `RateLimited`; stalled, it ends with its
    /// deadline. None has an effect.
    pub fn trouble(&self, trouble: Trouble, comes: bool) {
        match trouble {
            Trouble::OutOfReach => self.cut_off(comes),
            Trouble::Denied => self.revoke(comes),
            Trouble::Throttled => self.0.throttled.store(comes, Ordering::SeqCst),
            Trouble::Stalled => drop(self.0.stalled.send_replace(comes)),
        }
    }

    /// Stalls or no more, and lets time pass meanwhile, up to a minute at a time, for those who wait for a deadline.
    #[expect(
        clippy::disallowed_methods,
        reason = "somebody has to let time pass, and ends with it"
    )]
    pub(super) fn stall_on(&self, clock: &Arc<VirtualClock>, stalled: bool) {
        self.trouble(Trouble::Stalled, stalled);
        if !stalled {
            return;
        }
        let (mut stalled, clock) = (self.0.stalled.subscribe(), Arc::clone(clock));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = stalled.wait_for(|stalled| !stalled) => return,
                    at = clock.asleep() => {
                        if at.since(clock.now()) > Span::secs(60) {
                            return; // nobody would wait so long
                        }
                        clock.jump();
                    }
                }
            }
        });
    }

    /// What the fakes authenticate themselves with. They say it to nobody.
    pub fn credential(&self) -> &Secret {
        &self.0.credential
    }

    /// The calls that came so far, in order, of all fakes; none unless it was made with [`Access::new`].
    pub fn visits(&self) -> Vec<Visit> {
        self.0.visits.as_ref().map(|visits| lock(visits).clone()).unwrap_or_default()
    }

    pub(super) fn note(&self, cx: &Context, operation: &'static str) {
        if let Some(visits) = &self.0.visits {
            let (key, attempt) = (cx.key.clone(), cx.attempt);
            lock(visits).push(Visit { operation, key, attempt });
        }
    }

    pub(super) fn check(&self, operation: &'static str) -> Result<(), ProviderError> {
        if self.0.cut_off.load(Ordering::SeqCst) {
            let text = "it is out of reach";
            return Err(ProviderError::new(ErrorKind::Unavailable, operation, text));
        }
        if self.0.revoked.load(Ordering::SeqCst) {
            let text = "the credential is no good any more";
            return Err(ProviderError::new(ErrorKind::Denied, operation, text));
        }
        if self.0.throttled.load(Ordering::SeqCst) {
            let text = "too many calls; slow down";
            return Err(ProviderError::new(ErrorKind::RateLimited, operation, text));
        }
        Ok(())
    }

    /// Waits as long as nothing is answered, at most as long as somebody waits for it.
    pub(super) async fn pass(
        &self,
        cx: &Context,
        clock: Option<&Arc<dyn Clock>>,
        operation: &'static str,
    ) -> Result<(), ProviderError> {
        let mut stalled = self.0.stalled.subscribe();
        if !*stalled.borrow_and_update() {
            return Ok(());
        }
        let over = |kind, text| {
            let error = ProviderError::new(kind, operation, text);
            Err(error.with_effect(EffectCertainty::NotApplied))
        };
        let system: Arc<dyn Clock> = Arc::new(SystemClock::new());
        tokio::select! {
            _ = stalled.wait_for(|stalled| !stalled) => Ok(()),
            () = cx.cancellation.cancelled() => over(ErrorKind::Cancelled, "cancelled on its way"),
            () = clock.unwrap_or(&system).sleep_until(cx.deadline) => {
                over(ErrorKind::Timeout, "its deadline passed on its way")
            }
        }
    }
}
