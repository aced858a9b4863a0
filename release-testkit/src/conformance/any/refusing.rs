//! What is promised of looks and of refusals.

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use release_providers::layer::Provider;
use release_providers::{Context, ErrorKind, ProviderError, Secret};

use super::ProviderSandbox;
use super::acting::{CALLERS, still};
use super::cases::{same, unchanged};
use super::sandbox::{Answer, Call, at_once};
use crate::conformance::{
    Acts, Broken, Check, Meets, Provided as _, Said, Sandbox as _, Trouble, Troubled, refused,
    unanswered,
};

/// How many times in a row the same is looked at.
const LOOKS: u32 = 14;

type Of<T, D> = ProviderSandbox<T, D>;

pub(super) async fn looking_changes_nothing<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        sandbox.undone(deed).await?;
        let cx = sandbox.context();
        sandbox.done(deed, &cx).await?;
        let seen = sandbox.seen(deed, &cx.key).await?;
        looked_at_again(sandbox).await?;
        let what = format!("what `{}` did, after looking", deed.name);
        for _ in 1..LOOKS {
            still(&what, &seen, &sandbox.seen(deed, &cx.key).await?)?;
        }
    }
    looked_at_again(sandbox).await
}

async fn looked_at_again<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for look in &sandbox.looks {
        let first = sandbox.looked(look).await?;
        for _ in 1..LOOKS {
            let again = sandbox.looked(look).await?;
            if look.steady {
                same(&format!("`{}` again", look.name), &first, &again)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn callers_at_once_hear_the_same<
    T: ?Sized + Provider,
    D: Send + Sync + 'static,
>(
    sandbox: &Of<T, D>,
) -> Check {
    for look in &sandbox.looks {
        let calls = (0..CALLERS).map(|_| sandbox.start(&look.call, sandbox.context()));
        hear_the_same(look.name, look.steady, calls).await?;
    }
    for deed in sandbox.deeds.iter().filter(|deed| !deed.seen_by_doing) {
        let cx = sandbox.context();
        sandbox.done(deed, &cx).await?;
        let calls = (0..CALLERS).map(|_| {
            let seen = sandbox.sees(deed, &cx.key);
            async move { seen.await.map(|seen| format!("{} {}", seen.what, seen.own)) }
        });
        hear_the_same(deed.name, true, calls).await?;
    }
    Ok(())
}

async fn hear_the_same(
    name: &str,
    steady: bool,
    calls: impl Iterator<Item = impl Future<Output = Answer> + Send + 'static>,
) -> Check {
    let what = format!("the same of `{name}` for each of many callers");
    let mut first = None;
    for answer in at_once(calls).await? {
        let answer = answer.map_err(|error| unanswered(&what, &error))?;
        let first = first.get_or_insert_with(|| answer.clone());
        if steady {
            same(&what, first, &answer)?;
        }
    }
    Ok(())
}

pub(super) async fn cancelled_calls_are_refused<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    let cancelled = || {
        let cx = sandbox.context();
        cx.cancellation.cancel();
        cx
    };
    none_of_it(sandbox, "that was cancelled before", ErrorKind::Cancelled, cancelled).await
}

pub(super) async fn late_calls_are_refused<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    let late = || sandbox.late_context();
    none_of_it(sandbox, "whose deadline has passed", ErrorKind::Timeout, late).await
}

/// Every operation refuses such a call, and what acts has done nothing.
async fn none_of_it<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
    which: &str,
    kind: ErrorKind,
    context: impl Fn() -> Context,
) -> Check {
    for deed in &sandbox.deeds {
        let what = format!("a call of `{}` {which}", deed.name);
        sandbox.undone(deed).await?;
        let cx = context();
        let before = sandbox.picture(deed, &cx.key).await;
        refuses(sandbox, &what, kind, &deed.call, cx.clone()).await?;
        let after = sandbox.picture(deed, &cx.key).await;
        unchanged(&format!("nothing to come of {what}"), &before, &after)?;
    }
    for look in &sandbox.looks {
        let what = format!("a call of `{}` {which}", look.name);
        refuses(sandbox, &what, kind, &look.call, context()).await?;
    }
    for refusal in beyond(sandbox) {
        let what = format!("{}, in a call {which}", refusal.what);
        refuses(sandbox, &what, kind, &refusal.call, context()).await?;
    }
    Ok(())
}

/// The wrong requests that only who can be reached and listens knows to be wrong.
fn beyond<T: ?Sized, D>(
    sandbox: &Of<T, D>,
) -> impl Iterator<Item = &super::sandbox::Refusal<T, D>> {
    sandbox.refusals.iter().filter(|refusal| !refusal.plain)
}

async fn refuses<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
    what: &str,
    kind: ErrorKind,
    call: &Call<T, D>,
    cx: Context,
) -> Check {
    let call = sandbox.start(call, cx);
    refused(what, sandbox.ends(what, call).await?, kind)
}

pub(super) async fn wrong_requests_are_refused<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    // What is right is not refused.
    for deed in &sandbox.deeds {
        sandbox.done(deed, &sandbox.context()).await?;
    }
    for look in &sandbox.looks {
        sandbox.looked(look).await?;
    }
    for refusal in &sandbox.refusals {
        refuses(sandbox, refusal.what, refusal.kind, &refusal.call, sandbox.context()).await?;
    }
    Ok(())
}

pub(super) async fn far_deadlines_change_nothing<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for look in &sandbox.looks {
        let near = sandbox.looked(look).await?;
        let far = sandbox.start(&look.call, sandbox.far_context()).await;
        let far = far.map_err(|error| far_away(look.name, &error))?;
        if look.steady {
            same(&format!("`{}`, however far its deadline is", look.name), &near, &far)?;
        }
    }
    for deed in &sandbox.deeds {
        let done = sandbox.start(&deed.call, sandbox.far_context()).await;
        done.map_err(|error| far_away(deed.name, &error))?;
    }
    for refusal in &sandbox.refusals {
        let what = format!("{}, in a call whose deadline is far away", refusal.what);
        refuses(sandbox, &what, refusal.kind, &refusal.call, sandbox.far_context()).await?;
    }
    Ok(())
}

fn far_away(name: &str, error: &ProviderError) -> Broken {
    unanswered(&format!("`{name}` whose deadline is far away"), error)
}

#[async_trait(?Send)]
impl<T: ?Sized + Provider, D: Send + Sync + 'static> Meets for Of<T, D> {
    async fn meet(&self, trouble: Trouble) -> Check {
        for deed in &self.deeds {
            self.undone(deed).await?;
            let call = &|cx| self.start(&deed.call, cx);
            let seen = &|key: String| -> LocalBoxFuture<'_, Result<Vec<String>, Broken>> {
                async move {
                    let mut seen = self.picture(deed, &key).await;
                    seen.push(self.outside().await?);
                    Ok(seen)
                }
                .boxed_local()
            };
            let ready = &|| -> LocalBoxFuture<'_, Check> { self.undone(deed).boxed_local() };
            let acts = Some(Acts { again: deed.undo.is_some(), ready, seen });
            let troubled = Troubled { name: deed.name, call, refused: None, acts };
            troubled.meets(trouble, self.common()).await?;
        }
        let looks = self.looks.iter().map(|look| (look.name, &look.call, None));
        let wrong = beyond(self).map(|wrong| (wrong.what, &wrong.call, Some(wrong.kind)));
        for (name, call, refused) in looks.chain(wrong) {
            let call = &|cx| self.start(call, cx);
            let troubled = Troubled { name, call, refused, acts: None };
            troubled.meets(trouble, self.common()).await?;
        }
        Ok(())
    }
}

pub(super) async fn secrets_stay_secret<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    sandbox.said_of(sandbox.common().canary.clone()).await?.keeps_the_secret()
}

impl<T: ?Sized + Provider, D: Send + Sync + 'static> Of<T, D> {
    /// What it says of itself, of every call, and in every trouble, to be searched for a secret.
    pub(crate) async fn said_of(&self, secret: Option<Secret>) -> Result<Said, Broken> {
        let mut said = Said::of(secret, &self.provider, &self.describe());
        let deeds = self.deeds.iter().map(|deed| (deed.name, &deed.call));
        let looks = self.looks.iter().map(|look| (look.name, &look.call));
        let wrong = self.refusals.iter().map(|wrong| (wrong.what, &wrong.call));
        for (name, call) in deeds.chain(looks).chain(wrong) {
            let ask = async |cx: Context, when: &str| {
                said.answered(format!("{name}{when}"), self.start(call, cx).await);
            };
            self.common().whatever_comes(ask).await?;
        }
        Ok(said)
    }
}
