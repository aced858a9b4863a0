//! The suite of [`CustomAction`].

use std::sync::Arc;

use release_providers::ErrorKind;
use release_providers::spi::{CustomAction, CustomRequest};

use crate::conformance::any::{ProviderSandbox, keyed, suite, text};
use crate::conformance::{Check, broken, case, unanswered};

/// A custom action, and a request that it can perform.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type CustomActionSandbox = ProviderSandbox<dyn CustomAction, CustomRequest>;

suite!(
    CustomAction,
    "custom_action",
    CustomActionSandbox,
    acting,
    [case!(
        what_was_done_is_observed,
        "`observe` tells what was done under a key as it was answered, and nothing under others"
    ),]
);

/// The action, and a request that it can perform again and again.
pub fn sandbox(provider: Arc<dyn CustomAction>, request: CustomRequest) -> CustomActionSandbox {
    ProviderSandbox::of(provider, request)
        .deed(
            "perform",
            |provider, cx, at| async move { text(provider.perform(&cx, (*at).clone()).await) },
            |provider, cx, at, key| async move {
                let cx = keyed(cx, key);
                text(provider.observe(&cx, (*at).clone()).await)
            },
        )
        .refusal(
            "what it does not perform",
            ErrorKind::Unsupported,
            |provider, cx, at| async move {
                let mut request = (*at).clone();
                request.capability = "a capability that nobody has".into();
                text(provider.perform(&cx, request).await)
            },
        )
        .look("observe", true, |provider, cx, at| async move {
            text(provider.observe(&cx, (*at).clone()).await)
        })
}

async fn what_was_done_is_observed(sandbox: &CustomActionSandbox) -> Check {
    let (cx, other) = (sandbox.context(), sandbox.context());
    let request = || (*sandbox.at).clone();
    let answer = sandbox.provider.perform(&cx, request()).await;
    let output = answer.map_err(|error| unanswered("what it was asked for", &error))?;
    let seen = sandbox.provider.observe(&cx, request()).await;
    let seen = seen.map_err(|error| unanswered("a look at what was done", &error))?;
    if seen.done.as_ref() != Some(&output) {
        return Err(broken(format!("{output:?}"), format!("{seen:?}")));
    }
    let none = sandbox.provider.observe(&other, request()).await;
    let none = none.map_err(|error| unanswered("a look at what was not done", &error))?;
    if none.done.is_none() { Ok(()) } else { Err(broken("nothing", format!("{none:?}"))) }
}
