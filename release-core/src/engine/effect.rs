//! Runs one effect where it can hurt nobody: it may hang, panic or lie.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::port::{AuthorizedCommand, EffectError, Performer};
use crate::run::{EffectOutcome, Mode};

/// Performs or looks, and turns a panic into an unknown outcome.
///
/// A deadline is not kept here: it is a timer of the run, and the task is then dropped. Not an
/// `async fn`, whose arguments would be in the task twice.
#[expect(clippy::manual_async_fn, reason = "an `async fn` doubles the size of every task")]
pub(super) fn run(
    performer: Arc<dyn Performer>,
    command: AuthorizedCommand,
    mode: Mode,
) -> impl Future<Output = (u32, u32, EffectOutcome)> + Send {
    async move {
        let outcome = match mode {
            Mode::Perform => {
                let result = AssertUnwindSafe(performer.perform(&command)).catch_unwind().await;
                EffectOutcome::Performed(result.unwrap_or_else(|panic| Err(panicked(&*panic))))
            }
            Mode::Look => {
                let result = AssertUnwindSafe(performer.observe(&command)).catch_unwind().await;
                EffectOutcome::Looked(result.unwrap_or_else(|panic| Err(panicked(&*panic))))
            }
        };
        (command.step, command.attempt, outcome)
    }
}

fn panicked(panic: &(dyn Any + Send)) -> EffectError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let first: String = text.unwrap_or("no message").chars().take(200).collect();
    EffectError::unknown("panic", format!("the provider panicked: {first}"))
}
