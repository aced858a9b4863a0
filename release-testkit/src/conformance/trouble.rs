//! What can come between a provider and what it talks to, and what it says then.

use async_trait::async_trait;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use release_core::port::EffectCertainty;
use release_core::time::Span;
use release_providers::{Context, ErrorKind, ProviderError};

use super::{Broken, Case, Check, Common, Provided, broken, case, refused};

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
        let what = what.trim_end_matches(',');
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
    /// Of a call that acts: how it is seen.
    pub(crate) acts: Option<Acts<'a>>,
}

/// How it is seen what came of a call.
pub(crate) struct Acts<'a> {
    /// Whether it can be done, and seen to be done, once more...
    pub(crate) again: bool,
    /// ...after this.
    pub(crate) ready: &'a dyn Fn() -> LocalBoxFuture<'a, Check>,
    /// All that can be seen of what came of it under a key.
    pub(crate) seen: &'a Seen<'a>,
}

/// A look at what came of a call.
pub(crate) type Seen<'a> = dyn Fn(String) -> LocalBoxFuture<'a, Result<Vec<String>, Broken>> + 'a;

impl Troubled<'_> {
    /// Makes the call in trouble, and demands that it says so, and that the next one is as the one before.
    pub(crate) async fn meets(self, trouble: Trouble, common: &Common) -> Check {
        let Self { name, call, refused, acts } = self;
        // So that there is something to remember, where that leaves something to do.
        let once = acts.as_ref().is_some_and(|acts| !acts.again);
        let worked = once || call(common.context()).await.is_ok();
        let what = format!("`{name}`, {},", which(trouble));
        let mut cx = common.context();
        if let Some(acts) = &acts {
            (acts.ready)().await?;
            common.linger().await;
        }
        let all_before = look(acts.as_ref(), &cx.key).await?;
        common.trouble(trouble, true).await?;
        if trouble == Trouble::Stalled {
            cx.deadline = common.clock.now().plus(part(common.patience, 100));
        }
        let (key, deadline) = (cx.key.clone(), cx.deadline);
        let answer = common.ends(&what, common.passing_by(trouble, call(cx))).await;
        let late = common.clock.now().since(deadline);
        common.trouble(trouble, false).await?;
        let answer = answer?;
        let untouched =
            answer.as_ref().is_err_and(|error| error.effect() == EffectCertainty::NotApplied);
        trouble.told(&what, answer)?;
        let tolerance = part(common.patience, 10);
        if trouble == Trouble::Stalled && late > tolerance {
            let wanted = format!("{what} to end within {tolerance} of its deadline");
            return Err(broken(wanted, format!("it took {late} more")));
        }
        if untouched {
            common.linger().await;
            let all_after = look(acts.as_ref(), &key).await?;
            if all_before != all_after {
                let wanted = format!("nothing to come of {what} as it says: {all_before:?}");
                return Err(broken(wanted, format!("{all_after:?}")));
            }
        }
        comes_back(name, trouble, common, call, (worked, refused)).await
    }
}

/// Demands that a call is answered as before, in a while.
async fn comes_back(
    name: &str,
    trouble: Trouble,
    common: &Common,
    call: &dyn Fn(Context) -> BoxFuture<'static, Result<String, ProviderError>>,
    (worked, refused): (bool, Option<ErrorKind>),
) -> Check {
    let back = common.until(async || {
        let back = call(common.context()).await;
        let as_before = match &back {
            Ok(_) => worked,
            Err(error) => Some(error.kind()) == refused,
        };
        Ok(if as_before { Ok(()) } else { Err(back) })
    });
    back.await?.map_err(|back| {
        let found = format!("{:?}", back.map_err(|error| error.to_string()));
        broken(format!("`{name}` to be back after it was {}", which(trouble)), found)
    })
}

async fn look(acts: Option<&Acts<'_>>, key: &str) -> Result<Vec<String>, Broken> {
    match acts {
        Some(acts) => (acts.seen)(key.to_owned()).await,
        None => Ok(Vec::new()),
    }
}

fn part(span: Span, of: u32) -> Span {
    Span::from(span.as_duration() / of)
}

pub(crate) const fn which(trouble: Trouble) -> &'static str {
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

/// The case of a trouble, which every suite of providers has.
pub(crate) const fn troubled<S: Meets>(trouble: Trouble) -> Case<S> {
    match trouble {
        Trouble::OutOfReach => case!(
            out_of_reach_is_unavailable,
            "`Unavailable` when it cannot be reached, never an answer; and it comes back",
            |sandbox| sandbox.common().lacks(Trouble::OutOfReach)
        ),
        Trouble::Denied => case!(
            refused_credentials_are_denied,
            "`Denied` when its credentials are refused, with no effect; and it comes back",
            |sandbox| sandbox.common().lacks(Trouble::Denied)
        ),
        Trouble::Throttled => case!(
            throttling_is_rate_limited,
            "`RateLimited` when it is asked to slow down, with no effect; and it comes back",
            |sandbox| sandbox.common().lacks(Trouble::Throttled)
        ),
        Trouble::Stalled => case!(
            stalled_calls_end_in_time,
            "`Timeout` when a deadline passes on the way, soon after it; and it comes back",
            |sandbox| sandbox.common().lacks(Trouble::Stalled)
        ),
    }
}

async fn out_of_reach_is_unavailable(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::OutOfReach).await
}

async fn refused_credentials_are_denied(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::Denied).await
}

async fn throttling_is_rate_limited(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::Throttled).await
}

async fn stalled_calls_end_in_time(sandbox: &impl Meets) -> Check {
    sandbox.meet(Trouble::Stalled).await
}
