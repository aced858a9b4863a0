//! The suite of [`Pager`].

use std::sync::Arc;

use release_core::model::TeamId;
use release_providers::ErrorKind;
use release_providers::spi::{JobRef, PagePhase, PageStatus, PageTeam, Pager, Severity};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, unanswered};

/// A pager, and a team that may be called.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type PagerSandbox = ProviderSandbox<dyn Pager, TeamId>;

suite!(
    Pager,
    "pager",
    PagerSandbox,
    acting,
    [
        case!(
            a_call_is_told_until_it_is_over,
            "who is called is told, and that it is over once it is"
        ),
        case!(
            a_used_key_calls_nobody_again,
            "a key that was used calls nobody again, also when its call is over"
        ),
        case!(
            calls_are_over_one_by_one,
            "another key is another call, which its own end ends alone"
        ),
        case!(an_unused_key_is_unknown, "a key that was never used is `Unknown`, no error"),
    ]
);

/// The pager, and a team whose people may be called by a test.
pub fn sandbox(provider: Arc<dyn Pager>, team: TeamId) -> PagerSandbox {
    ProviderSandbox::of(provider, team)
        .deed(
            "page",
            |provider, cx, at| async move { text(provider.page(&cx, call(&at)).await) },
            |provider, cx, _, key| async move {
                // Whether somebody took it changes by itself; that it was made does not.
                let answer = provider.observe(&cx, JobRef::new(key)).await;
                text(answer.map(|status| (status.operation, status.phase != PagePhase::Unknown)))
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(provider.observe(&cx, JobRef::new("a call that nobody made".into())).await)
        })
        .refusal(
            "a team that nobody is on call for",
            ErrorKind::NotFound,
            |provider, cx, at| async move {
                let mut request = call(&at);
                request.team = crate::fixtures::literal("a-team-that-nobody-is-on-call-for");
                text(provider.page(&cx, request).await)
            },
        )
        .refusal("the end of no call", ErrorKind::NotFound, |provider, cx, _| async move {
            text(provider.resolve(&cx, JobRef::new("a call that nobody made".into())).await)
        })
}

fn call(team: &TeamId) -> PageTeam {
    PageTeam::new(team.clone(), Severity::Info, "conformance: please ignore".into())
}

async fn a_call_is_told_until_it_is_over(sandbox: &PagerSandbox) -> Check {
    let cx = sandbox.context();
    let answer = sandbox.provider.page(&cx, call(&sandbox.at)).await;
    answer.map_err(|error| unanswered("a call", &error))?;
    let during = look_at(sandbox, &cx.key).await?;
    if !matches!(during.phase, PagePhase::Calling | PagePhase::Acknowledged { .. }) {
        return Err(broken("somebody who is called", format!("{during:?}")));
    }
    for _ in 0..2 {
        let request = JobRef::new(cx.key.clone());
        let answer = sandbox.provider.resolve(&sandbox.context(), request).await;
        answer.map_err(|error| unanswered("the end of a call", &error))?;
        resolved(sandbox, &cx.key).await?;
    }
    Ok(())
}

async fn a_used_key_calls_nobody_again(sandbox: &PagerSandbox) -> Check {
    let cx = sandbox.context();
    let answer = sandbox.provider.page(&cx, call(&sandbox.at)).await;
    answer.map_err(|error| unanswered("a call", &error))?;
    let request = JobRef::new(cx.key.clone());
    let answer = sandbox.provider.resolve(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("the end of a call", &error))?;
    resolved(sandbox, &cx.key).await?;
    drop(sandbox.provider.page(&cx, call(&sandbox.at)).await); // what it hears is another case's
    sandbox.linger().await;
    let after = look_at(sandbox, &cx.key).await?;
    if after.phase == PagePhase::Resolved {
        return Ok(());
    }
    Err(broken("a call that is over still", format!("{after:?}")))
}

async fn calls_are_over_one_by_one(sandbox: &PagerSandbox) -> Check {
    let (one, two) = (sandbox.context(), sandbox.context());
    for cx in [&one, &two] {
        let answer = sandbox.provider.page(cx, call(&sandbox.at)).await;
        answer.map_err(|error| unanswered("a call", &error))?;
    }
    for (ended, lasts) in [(&one, Some(&two)), (&two, None)] {
        let request = JobRef::new(ended.key.clone());
        let answer = sandbox.provider.resolve(&sandbox.context(), request).await;
        answer.map_err(|error| unanswered("the end of a call", &error))?;
        resolved(sandbox, &ended.key).await?;
        let Some(lasts) = lasts else { continue };
        sandbox.linger().await;
        let other = look_at(sandbox, &lasts.key).await?;
        if !matches!(other.phase, PagePhase::Calling | PagePhase::Acknowledged { .. }) {
            return Err(broken("the other call to go on", format!("{other:?}")));
        }
    }
    Ok(())
}

/// Demands that a call is over, in a while.
async fn resolved(sandbox: &PagerSandbox, key: &str) -> Check {
    let over = sandbox.until(async || {
        let status = look_at(sandbox, key).await?;
        Ok(if status.phase == PagePhase::Resolved { Ok(()) } else { Err(status) })
    });
    over.await?.map_err(|last| broken("that it is over", format!("{last:?}")))
}

async fn an_unused_key_is_unknown(sandbox: &PagerSandbox) -> Check {
    let status = look_at(sandbox, &sandbox.context().key).await?;
    if status.phase == PagePhase::Unknown && status.escalations == 0 {
        return Ok(());
    }
    Err(broken("an unknown call", format!("{status:?}")))
}

async fn look_at(sandbox: &PagerSandbox, key: &str) -> Result<PageStatus, Broken> {
    let request = JobRef::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    let status = answer.map_err(|error| unanswered("a look at the call", &error))?;
    if status.operation == key {
        return Ok(status);
    }
    Err(broken(format!("what became of `{key}`"), format!("it tells of `{}`", status.operation)))
}
