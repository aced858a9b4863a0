//! Fakes and journals with one planted fault each: the suites' own test.
//!
//! Faults that a provider of any trait can have are [`AnyFault`]s, those of one trait alone are [`OwnFault`]s:
//! [`Suite::saboteurs`](crate::conformance::Suite::saboteurs) has all that a suite has to find.
//!
//! A suite that finds nothing proves nothing. So every case of every level has at least one
//! saboteur here that it must find, and every saboteur is found by the cases that it names; the
//! tests of this crate see to both. Whoever writes a suite of their own can do the same.
//!
//! ```
//! use release_testkit::conformance::{Level, deployer};
//! use release_testkit::saboteur::DeployerFault;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let fault = DeployerFault::RestartsOnRepeat;
//! let report = deployer::run(Level::V1, &async || fault.sandbox()).await;
//! let found: Vec<_> = report.violations().map(|violation| violation.case.as_str()).collect();
//! assert_eq!(found, fault.caught_by());
//! # }
//! ```

mod any;
mod deployer;
mod identity;
mod journal;
mod own;
mod router;

pub use any::{AnyFault, Fault, OwnFault, Sabotage, Sabotaged};
pub use deployer::{DeployerFault, SabotagedDeployer};
pub use identity::{IdentityFault, SabotagedIdentities};
pub use journal::{JournalFault, SabotagedJournal};
pub use router::{RouterFault, SabotagedRouter};

use std::borrow::Cow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use release_core::port::EffectCertainty;
use release_core::time::Timestamp;
use release_providers::{Context, Description, ErrorKind, ProviderError, Secret};

use crate::fakes::lock;

/// What was done stands so long, by the time of the machine.
const STANDS: Duration = Duration::from_millis(10);
/// Deadlines after this one are far away: the year 2100.
const FAR: Timestamp = Timestamp::from_micros(4_102_444_800_000_000);

/// The same error under another name.
fn renamed(error: &ProviderError, kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, error.operation().to_owned(), "sabotaged").with_effect(error.effect())
}

/// The same error, which does not say any more that nothing happened.
fn unsure(error: ProviderError) -> ProviderError {
    error.with_effect(EffectCertainty::Unknown)
}

/// The same error, with a secret in it.
fn telling(error: &ProviderError, secret: &Secret) -> ProviderError {
    let text = format!("{error} (as {})", secret.expose());
    ProviderError::new(error.kind(), error.operation().to_owned(), text).with_effect(error.effect())
}

/// Fails where a deadline is far away.
fn trip_over(cx: &Context, operation: impl Into<Cow<'static, str>>) -> Result<(), ProviderError> {
    if cx.deadline <= FAR {
        return Ok(());
    }
    Err(ProviderError::new(ErrorKind::Internal, operation, "sabotaged"))
}

/// Says of what was cancelled on its way that nothing was done.
fn given_up(operation: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::Cancelled, operation, "sabotaged")
        .with_effect(EffectCertainty::NotApplied)
}

/// Never comes back after an outage.
fn stay_away(was_away: &AtomicBool, operation: &'static str) -> Result<(), ProviderError> {
    if !was_away.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(ProviderError::new(ErrorKind::Unavailable, operation, "sabotaged"))
}

/// What a provider that does it wrong takes a call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// As it is.
    Heeded,
    /// As one outside of any run.
    Ignored,
    /// As one of the only run there is.
    OfOneRun,
    /// As one that nobody cancels.
    Uncancelled,
    /// As one whose deadline never comes.
    Unhurried,
}

impl Token {
    fn of(self, cx: &Context) -> Context {
        let mut cx = cx.clone();
        match self {
            Self::Heeded => {}
            Self::Ignored => cx.run = None,
            Self::Uncancelled => cx.cancellation = crate::fixtures::context("").cancellation,
            Self::Unhurried => cx.deadline = crate::fixtures::context("").deadline,
            Self::OfOneRun => cx.run = cx.run.map(|_| crate::fixtures::literal("the-run")),
        }
        cx
    }
}

/// Another name each time.
fn restless(mut description: Description, count: u32) -> Description {
    description.name = format!("{}-{count}", description.name);
    description
}

/// Calls that were given up, and are acted on all the same, at the second look after it.
#[derive(Debug)]
struct Late<T>(Mutex<Option<(u8, T)>>);

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Late<T> {
    /// Takes what is due.
    fn take(&self) -> Option<T> {
        let mut late = lock(&self.0);
        match late.take()? {
            (0, given_up) => Some(given_up),
            (looks, given_up) => {
                *late = Some((looks - 1, given_up));
                None
            }
        }
    }
}

/// Remembers what is dropped with it.
struct GivenUp<'a, T>(&'a Late<T>, Option<T>);

impl<T> Drop for GivenUp<'_, T> {
    fn drop(&mut self) {
        if let Some(given_up) = self.1.take() {
            *lock(&self.0.0) = Some((1, given_up));
        }
    }
}

/// Lets others go first, and a caller give up.
async fn dawdle() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

/// Does something later, by the time of the machine, whoever waits for it.
#[expect(clippy::disallowed_methods, reason = "it is wrong, and meant to be")]
fn later(after: Duration, what: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        what.await;
    });
}
