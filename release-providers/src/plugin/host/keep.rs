//! Leases behind a plugin's settings: renewed while it runs, replaced where that does not help, ended with it.

use std::sync::Arc;

use release_core::port::Clock;
use release_core::time::{Span, Timestamp};
use tokio::runtime::Handle as Runtime;
use tokio_util::task::TaskTracker;

use super::process::{Ending, Process};
use super::supervise::Inner;
use super::{PluginEvent, PluginProblem, settings};
use crate::error::chain;
use crate::kind::{SECRET_TTL, Secrets};
use crate::spi::SecretLease;

/// The least that lies between two attempts, before the end of a lease and after it.
type Pauses = [Span; 2];
/// After one that succeeded: leases may be short, and the store's clock another one.
const AGAIN: Pauses = [Span::millis(100), Span::secs(1)];
/// After one that failed.
const RETRY: Pauses = [Span::secs(1), Span::secs(10)];

/// The leases of one start. Dropped, they are ended in a task.
pub(super) struct Leases {
    held: Vec<Held>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    runtime: Runtime,
}

struct Held {
    /// Where it is from.
    secrets: Secrets,
    lease: SecretLease,
    /// When something is to be done about it.
    due: Timestamp,
    /// The plugin has another one in its place; calls that began before may still use this one.
    replaced: bool,
}

impl Leases {
    /// None, which are to be ended among `tasks`. To be called in a runtime.
    pub(super) fn new(clock: &Arc<dyn Clock>, tasks: &TaskTracker) -> Self {
        let (clock, tasks) = (Arc::clone(clock), tasks.clone());
        Self { held: Vec::new(), clock, tasks, runtime: Runtime::current() }
    }

    pub(super) fn add(&mut self, secrets: &Secrets, lease: SecretLease) {
        let due = next(self.clock.now(), lease.expires, AGAIN);
        self.held.push(Held { secrets: secrets.clone(), lease, due, replaced: false });
    }

    fn next(&self) -> Option<Timestamp> {
        self.held.iter().map(|held| held.due).min()
    }

    /// Renews what is due. Says whether all that the plugin uses lasts longer now.
    async fn renew(&mut self) -> bool {
        let now = self.clock.now();
        // By the store's own clock they may last a little longer.
        let over = |held: &mut Held| held.replaced && held.lease.expires <= now;
        revoke(self.held.extract_if(.., over).collect()).await;
        let mut all = true;
        for held in &mut self.held {
            if held.replaced || now < held.due {
                continue;
            }
            let renewed = held.secrets.renew(&held.lease, SECRET_TTL).await;
            match renewed {
                Ok(status) if status.expires > held.lease.expires => {
                    held.lease.expires = status.expires;
                    held.due = next(self.clock.now(), status.expires, AGAIN);
                }
                Ok(_) | Err(_) => all = false, // what is asked for next says why
            }
        }
        all
    }

    /// The plugin has `fresh` ones now.
    fn replace(&mut self, mut fresh: Self) {
        for held in &mut self.held {
            (held.replaced, held.due) = (true, held.lease.expires);
        }
        self.held.append(&mut fresh.held);
    }

    /// Nothing could be done: the next attempt comes a while later, also when they have run out.
    fn put_off(&mut self) {
        let now = self.clock.now();
        for held in &mut self.held {
            if held.due <= now {
                held.due = next(now, held.lease.expires, RETRY);
            }
        }
    }

    /// Ends them. What a store does not take is said in `tracing`: it runs out by itself.
    pub(super) async fn revoke(mut self) {
        revoke(std::mem::take(&mut self.held)).await;
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            drop(self.tasks.spawn_on(revoke(held), &self.runtime)); // whose handle nobody needs
        }
    }
}

async fn revoke(held: Vec<Held>) {
    for Held { secrets, lease, .. } in held {
        if let Err(error) = secrets.revoke(&lease).await {
            tracing::warn!(%error, until = %lease.expires, "a lease of a plugin's settings is left to run out");
        }
    }
}

/// When two thirds of the time are over.
fn due(now: Timestamp, expires: Timestamp) -> Timestamp {
    let left = expires.as_micros().saturating_sub(now.as_micros()).max(0);
    Timestamp::from_micros(now.as_micros().saturating_add(left / 3 * 2))
}

/// The same, and not at once: what has ended by the host's clock may last by the store's.
fn next(now: Timestamp, expires: Timestamp, [before, after]: Pauses) -> Timestamp {
    let pause = if now < expires { before } else { after };
    due(now, expires).max(now.plus(pause))
}

/// Keeps the leases of a plugin as long as it runs.
pub(super) async fn keep(inner: Arc<Inner>, process: Arc<Process>, mut leases: Leases) {
    let clock = &inner.host.clock;
    while let Some(next) = leases.next() {
        tokio::select! {
            () = process.gone.cancelled() => break,
            () = clock.sleep_until(next) => {}
        }
        let prolonged = tokio::select! {
            () = process.gone.cancelled() => break,
            prolonged = prolong(&inner, &process, &mut leases) => prolonged,
        };
        if let Err(error) = prolonged {
            leases.put_off();
            if !process.gone.is_cancelled() {
                inner.tell(PluginEvent::NotRenewed { error: inner.clean(&chain(&error)) });
            }
        }
    }
    leases.revoke().await;
    process.released.cancel();
}

/// Lets the leases last longer; where a store does not do that, the plugin is told its settings again, with fresh ones.
async fn prolong(
    inner: &Inner,
    process: &Process,
    leases: &mut Leases,
) -> Result<(), PluginProblem> {
    if leases.renew().await {
        return Ok(());
    }
    let mut fresh = Leases::new(&inner.host.clock, &inner.tasks);
    let (host, spec, redactor) = (&inner.host, &inner.spec, &inner.redactor);
    if let Some(request) = settings::prepare(&spec.settings, redactor, &mut fresh).await? {
        let give_up = host.clock.now().plus(spec.start_timeout);
        tokio::select! {
            told = settings::tell(&process.line, &spec.settings, request, redactor) => told?,
            // It has as long as at its start. Its calls go on with leases that end: it is of no use any more.
            () = host.clock.sleep_until(give_up) => {
                process.kill(Ending::Hung("plugin.configure".to_owned()));
            }
        }
    }
    leases.replace(fresh);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_due_when_two_thirds_of_it_are_over() {
        let at = Timestamp::from_micros;
        for (now, expires, then) in
            [(0, 300, 200), (100, 400, 300), (5, 5, 5), (9, 5, 9), (i64::MAX, i64::MAX, i64::MAX)]
        {
            assert_eq!(due(at(now), at(expires)), at(then), "{now} {expires}");
        }
    }

    #[test]
    fn what_is_over_already_is_not_asked_for_again_at_once() {
        let at = Timestamp::from_micros;
        for (now, expires, then) in
            [(0, 300_000_000, 200_000_000), (0, 30, 100_000), (5, 5, 1_000_005), (9, 5, 1_000_009)]
        {
            assert_eq!(next(at(now), at(expires), AGAIN), at(then), "{now} {expires}");
        }
    }
}
