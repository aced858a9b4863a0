//! The suite of [`ClockSource`].

use std::fmt;
use std::sync::Arc;

use release_providers::spi::{ClockReading, ClockSource, ReadClock};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, unanswered};

/// A clock, and whoever lets time pass.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ClockSourceSandbox = ProviderSandbox<dyn ClockSource, Passing>;

/// How time passes.
#[derive(Clone, Default)]
#[must_use]
pub struct Passing {
    pass: Option<Hook<(), ()>>,
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passing(by hand: {})", self.pass.is_some())
    }
}

impl Passing {
    /// By itself.
    pub fn itself() -> Self {
        Self::default()
    }

    /// By hand: lets some time pass, for the clock and for that of the sandbox.
    pub fn by_hand<F>(pass: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        Self { pass: Some(hook(move |()| pass())) }
    }
}

suite!(
    ClockSource,
    "clock_source",
    ClockSourceSandbox,
    telling,
    [
        case!(the_true_time_is_within, "the true time is not further from it than it says"),
        case!(every_answer_is_new, "every answer is a new one: time goes on"),
    ]
);

/// The clock. The sandbox's own clock has to tell the true time.
pub fn sandbox(provider: Arc<dyn ClockSource>, passing: Passing) -> ClockSourceSandbox {
    ProviderSandbox::of(provider, passing).look("read", false, |provider, cx, _| async move {
        text(provider.read(&cx, ReadClock::new()).await)
    })
}

async fn the_true_time_is_within(sandbox: &ClockSourceSandbox) -> Check {
    let before = sandbox.now();
    let ClockReading { at, within, .. } = read(sandbox).await?;
    let after = sandbox.now();
    // It read the time at some time between the two.
    if at <= after.plus(within) && before <= at.plus(within) {
        return Ok(());
    }
    let expected = format!("a time between {before} and {after}, off by {within} at the most");
    Err(broken(expected, at))
}

async fn every_answer_is_new(sandbox: &ClockSourceSandbox) -> Check {
    let first = read(sandbox).await?.at;
    match &sandbox.at.pass {
        Some(pass) => pass(()).await.map_err(|error| broken("time to pass", error))?,
        None => sandbox.linger().await,
    }
    let second = read(sandbox).await?.at;
    if first < second { Ok(()) } else { Err(broken(format!("a time after {first}"), second)) }
}

async fn read(sandbox: &ClockSourceSandbox) -> Result<ClockReading, Broken> {
    let answer = sandbox.provider.read(&sandbox.context(), ReadClock::new()).await;
    answer.map_err(|error| unanswered("the time", &error))
}
