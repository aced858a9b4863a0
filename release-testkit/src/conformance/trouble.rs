//! What can come between a provider and what it talks to, and what it says then.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use release_core::time::Span;
use release_providers::{Context, ErrorKind, ProviderError};

use super::{Check, Common, Provided, broken, refused};

/// Something that comes between a provider and what it talks to, when the sandbox can make it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// It cannot be reached: `out_of_reach_is_unavailable`.
    OutOfReach,
    /// It does not take the provider's credentials any more: `refused_credentials_are_denied`.
    Denied,
    /// It asks the provider to slow down: `throttling_is_rate_limited`.
    Throttled,
    /// It takes calls and does not answer: `stalled_calls_end_in_time`.
    Stalled,
}

impl Trouble {
    /// As what it is told.
    const fn kind(self) -> ErrorKind {
        match self {
            Self::OutOfReach => ErrorKind::Unavailable,
            Self::Denied => ErrorKind::Denied,
            Self::Throttled => ErrorKind::RateLimited,
            Self::Stalled => ErrorKind::Timeout,
        }
    }

    /// What a sandbox that cannot make it lacks.
    pub(crate) const fn missing(self) -> &'static str {
        match self {
            Self::OutOfReach => "way to put it out of reach",
            Self::Denied => "way to have its credentials refused",
            Self::Throttled => "way to have it asked to slow down",
            Self::Stalled => "way to stall it",
        }
    }

    /// Demands that this trouble, come of a call, is told as it has to be.
    fn told(self, what: &str, answer: Result<String, ProviderError>) -> Check {
        match (self, answer) {
            // Who asked and was not heard out cannot know.
            (Self::OutOfReach | Self::Stalled, Err(error)) if error.kind() == self.kind() => Ok(()),
            (Self::Denied | Self::Throttled, answer) => refused(what, answer, self.kind()),
            (_, Err(error)) => {
                let found = format!("the error was `{}`: {error}", error.kind().as_str());
                Err(broken(format!("`{}` of {what}", self.kind().as_str()), found))
            }
            (_, Ok(answer)) => {
                let found = format!("it answered {answer}");
                Err(broken(format!("`{}` of {what}", self.kind().as_str()), found))
            }
        }
    }
}

/// A call that a trouble comes between.
pub(crate) struct Troubled<'a> {
    pub(crate) name: &'a str,
    pub(crate) call: &'a dyn Fn(Context) -> BoxFuture<'static, Result<String, ProviderError>>,
    /// What it is refused as without any trouble, if it is wrong.
    pub(crate) refused: Option<ErrorKind>,
}

impl Troubled<'_> {
    /// Makes the call in trouble, and demands that it says so, and that the next one is as the one before.
    pub(crate) async fn meets(self, trouble: Trouble, common: &Common) -> Check {
        let Self { name, call, refused } = self;
        // So that there is something to remember.
        let before = call(common.context()).await;
        let what = format!("`{name}`, {},", which(trouble));
        common.trouble(trouble, true).await?;
        let mut cx = common.context();
        if trouble == Trouble::Stalled {
            let soon = Span::from(common.patience.as_duration() / 100);
            cx.deadline = common.clock.now().plus(soon);
        }
        let answer = common.ends(&what, call(cx)).await;
        common.trouble(trouble, false).await?;
        trouble.told(&what, answer?)?;

        let back = call(common.context()).await;
        let as_before = match (&before, &back) {
            (Ok(_), Ok(_)) => true,
            (_, Err(error)) => Some(error.kind()) == refused,
            (Err(_), Ok(_)) => false,
        };
        if as_before {
            return Ok(());
        }
        let found = format!("{:?}", back.map_err(|error| error.to_string()));
        Err(broken(format!("`{name}` to be back after it was {}", which(trouble)), found))
    }
}

const fn which(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::OutOfReach => "out of reach",
        Trouble::Denied => "with credentials that are refused",
        Trouble::Throttled => "asked to slow down",
        Trouble::Stalled => "stalled",
    }
}

/// A sandbox whose provider's calls a trouble can come between.
#[async_trait(?Send)]
pub(crate) trait Meets: Provided {
    /// Lets a trouble come between all calls, one after the other.
    async fn meet(&self, trouble: Trouble) -> Check;
}

pub(crate) async fn out_of_reach_is_unavailable(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::OutOfReach).await
}

pub(crate) async fn refused_credentials_are_denied(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::Denied).await
}

pub(crate) async fn throttling_is_rate_limited(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::Throttled).await
}

pub(crate) async fn stalled_calls_end_in_time(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::Stalled).await
}
