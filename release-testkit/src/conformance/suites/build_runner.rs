//! The suite of [`BuildRunner`].

use std::sync::Arc;

use release_providers::spi::{BuildRunner, BuildStatus, JobPhase, JobRef, StartBuild};
use release_providers::{Context, ErrorKind};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, stays, unanswered};

/// A build runner, and a build of it that succeeds.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type BuildRunnerSandbox = ProviderSandbox<dyn BuildRunner, StartBuild>;

suite!(
    BuildRunner,
    "build_runner",
    BuildRunnerSandbox,
    acting,
    [
        case!(
            a_build_ends_with_its_artifacts,
            "a build that succeeded tells what it made, and then always the same"
        ),
        case!(what_was_cancelled_is_over, "a build that is cancelled ends, and stays as it ended"),
        case!(
            what_is_over_stays_as_it_is,
            "one key is one build: what is over is not begun anew when it is asked for again, nor cancelled"
        ),
        case!(an_unused_key_is_unknown, "a key that was never used is `Unknown`, no error"),
    ]
);

/// The runner, and a build that succeeds and makes at least one artifact.
pub fn sandbox(provider: Arc<dyn BuildRunner>, build: StartBuild) -> BuildRunnerSandbox {
    ProviderSandbox::of(provider, build)
        .deed(
            "start",
            |provider, cx, at| async move { text(provider.start(&cx, (*at).clone()).await) },
            |provider, cx, _, key| async move {
                // How far it is changes by itself; that it is there does not.
                let answer = provider.observe(&cx, JobRef::new(key)).await;
                text(answer.map(|status| (status.operation, status.phase != JobPhase::Unknown)))
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(provider.observe(&cx, JobRef::new("a build that nobody started".into())).await)
        })
        .refusal("an unknown repository", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = (*at).clone();
            request.repository = "a repository that nobody has".into();
            text(provider.start(&cx, request).await)
        })
        .refusal("an unknown revision", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = (*at).clone();
            request.revision = nobodys(&at.revision);
            text(provider.start(&cx, request).await)
        })
        .refusal("an unknown recipe", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = (*at).clone();
            request.recipe = "a-recipe-that-nobody-has".into();
            text(provider.start(&cx, request).await)
        })
        .refusal("the end of no build", ErrorKind::NotFound, |provider, cx, _| async move {
            text(provider.cancel(&cx, JobRef::new("a build that nobody started".into())).await)
        })
}

/// A revision of the same form that nobody has.
fn nobodys(revision: &str) -> String {
    let other = |c| match c {
        '0'..='8' | 'a'..='e' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        '9' => '0',
        'f' => 'a',
        _ => c,
    };
    revision.chars().map(other).collect()
}

async fn a_build_ends_with_its_artifacts(sandbox: &BuildRunnerSandbox) -> Check {
    let key = started(sandbox).await?;
    let first = over(sandbox, &key).await?;
    if first.phase != JobPhase::Succeeded || first.artifacts.is_empty() || first.operation != key {
        return Err(broken(format!("{key} to succeed with artifacts"), format!("{first:?}")));
    }
    stays(&first, &look_at(sandbox, &key).await?)
}

async fn what_was_cancelled_is_over(sandbox: &BuildRunnerSandbox) -> Check {
    let key = started(sandbox).await?;
    cancel(sandbox, &key).await?;
    let ended = over(sandbox, &key).await?;
    // Whoever was done before the cancellation came has succeeded, and nothing else.
    if !matches!(ended.phase, JobPhase::Cancelled | JobPhase::Succeeded) {
        return Err(broken("a build that was cancelled, or done before", format!("{ended:?}")));
    }
    cancel(sandbox, &key).await?;
    stays(&ended, &look_at(sandbox, &key).await?)
}

async fn what_is_over_stays_as_it_is(sandbox: &BuildRunnerSandbox) -> Check {
    let mut cx = sandbox.context();
    start(sandbox, &cx).await?;
    let first = over(sandbox, &cx.key).await?;
    cx.attempt = 2;
    start(sandbox, &cx).await?;
    stays(&first, &look_at(sandbox, &cx.key).await?)?;
    sandbox.linger().await;
    stays(&first, &look_at(sandbox, &cx.key).await?)?;
    cancel(sandbox, &cx.key).await?;
    stays(&first, &look_at(sandbox, &cx.key).await?)
}

async fn an_unused_key_is_unknown(sandbox: &BuildRunnerSandbox) -> Check {
    let status = look_at(sandbox, &sandbox.context().key).await?;
    if status.phase == JobPhase::Unknown && status.artifacts.is_empty() {
        return Ok(());
    }
    Err(broken("an unknown build", format!("{status:?}")))
}

async fn started(sandbox: &BuildRunnerSandbox) -> Result<String, Broken> {
    let cx = sandbox.context();
    start(sandbox, &cx).await.map(|()| cx.key)
}

async fn start(sandbox: &BuildRunnerSandbox, cx: &Context) -> Check {
    let answer = sandbox.provider.start(cx, (*sandbox.at).clone()).await;
    answer.map_err(|error| unanswered("a build", &error))
}

async fn cancel(sandbox: &BuildRunnerSandbox, key: &str) -> Check {
    let answer = sandbox.provider.cancel(&sandbox.context(), JobRef::new(key.to_owned())).await;
    answer.map_err(|error| unanswered("the end of a build", &error))
}

async fn over(sandbox: &BuildRunnerSandbox, key: &str) -> Result<BuildStatus, Broken> {
    let end = sandbox.until(async || {
        let status = look_at(sandbox, key).await?;
        Ok(if status.phase.is_over() { Ok(status) } else { Err(status) })
    });
    end.await?.map_err(|status| broken("a build that ends", format!("{status:?}")))
}

async fn look_at(sandbox: &BuildRunnerSandbox, key: &str) -> Result<BuildStatus, Broken> {
    let request = JobRef::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a look at the build", &error))
}
