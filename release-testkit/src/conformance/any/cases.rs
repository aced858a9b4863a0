//! The cases that every suite has. A published list is never changed: new cases go to a new level.

use release_providers::layer::Provider;
use release_providers::{Context, ErrorKind, ProviderError};
use tokio::task::JoinSet;

use super::ProviderSandbox;
use super::sandbox::Call;
use crate::conformance::{
    Case, Check, Provided as _, broken, case, description_is_stable, interrupt, refused,
};

/// How many callers ask at once.
const CALLERS: usize = 8;

/// The cases of every suite, in order.
pub(crate) fn common<T: ?Sized + Provider, D: Send + Sync + 'static>()
-> Vec<Case<ProviderSandbox<T, D>>> {
    vec![
        case!(description_is_stable, "a provider says who it is, always the same"),
        case!(
            done_again_is_done_once,
            "asked again with the same key, it does nothing that is already done"
        ),
        case!(
            a_lost_answer_is_found_by_looking,
            "dropping the future leaves it done or not, and looking tells which"
        ),
        case!(callers_at_once_do_it_once, "calls with one key are one operation, also at once"),
        case!(looking_changes_nothing, "what only looks changes nothing"),
        case!(
            cancelled_calls_are_refused,
            "`Cancelled` for a call that was cancelled before, with no effect"
        ),
        case!(
            late_calls_are_refused,
            "`Timeout` for a call whose deadline has passed, with no effect"
        ),
        case!(wrong_requests_are_refused, "what is wrong is refused as what it is, with no effect"),
        case!(
            out_of_reach_is_unavailable,
            "`Unavailable` when it cannot be reached, never an answer; and it comes back",
            |sandbox| sandbox.reach.is_none().then_some("way to put it out of reach")
        ),
        case!(
            secrets_stay_secret,
            "no error, description or debug text holds a secret",
            |sandbox| sandbox
                .canary
                .is_none()
                .then_some("secret that the provider was configured with")
        ),
    ]
}

type Of<T, D> = ProviderSandbox<T, D>;

async fn done_again_is_done_once<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        let cx = sandbox.context();
        let first = sandbox.done(deed, &cx).await?;
        let seen = sandbox.seen(deed, &cx.key).await?;
        for attempt in 2..4 {
            let mut again = cx.clone();
            again.attempt = attempt;
            let answer = sandbox.done(deed, &again).await?;
            same(&format!("`{}` again", deed.name), &first, &answer)?;
            let now = sandbox.seen(deed, &cx.key).await?;
            same(&format!("what `{}` did, after it was asked again", deed.name), &seen, &now)?;
        }
    }
    Ok(())
}

async fn a_lost_answer_is_found_by_looking<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        let whole = sandbox.context();
        sandbox.done(deed, &whole).await?;
        let wanted = sandbox.seen(deed, &whole.key).await?;
        for round in 0..6 {
            let cx = sandbox.context();
            interrupt(sandbox.start(&deed.call, cx.clone()), round).await;
            sandbox.done(deed, &cx).await?;
            let seen = sandbox.seen(deed, &cx.key).await?;
            let what = format!("what `{}` did, asked again after its answer was lost", deed.name);
            same(&what, &neutral(&wanted, &whole), &neutral(&seen, &cx))?;
        }
    }
    Ok(())
}

async fn callers_at_once_do_it_once<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        let cx = sandbox.context();
        let mut calls = JoinSet::new();
        for _ in 0..CALLERS {
            calls.spawn(sandbox.start(&deed.call, cx.clone()));
        }
        let mut answers = Vec::new();
        while let Some(answer) = calls.join_next().await {
            match answer.map_err(|error| broken("an answer", error))? {
                Ok(answer) => answers.push(answer),
                // Whoever loses a race may be told to come again.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => {
                    let expected =
                        format!("`{}` or a conflict for each of many callers", deed.name);
                    return Err(broken(expected, format!("`{}`: {error}", error.kind().as_str())));
                }
            }
        }
        let last = sandbox.done(deed, &cx).await?;
        for answer in &answers {
            same(&format!("`{}` for every caller", deed.name), &last, answer)?;
        }
        let seen = sandbox.seen(deed, &cx.key).await?;
        let alone = sandbox.context();
        sandbox.done(deed, &alone).await?;
        let wanted = sandbox.seen(deed, &alone.key).await?;
        let what = format!("what `{}` did for many callers", deed.name);
        same(&what, &neutral(&wanted, &alone), &neutral(&seen, &cx))?;
    }
    Ok(())
}

async fn looking_changes_nothing<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    let mut before = Vec::new();
    for deed in &sandbox.deeds {
        let cx = sandbox.context();
        sandbox.done(deed, &cx).await?;
        before.push((cx.key.clone(), sandbox.seen(deed, &cx.key).await?));
    }
    for look in &sandbox.looks {
        let first = sandbox.looked(look).await?;
        let second = sandbox.looked(look).await?;
        if look.steady {
            same(&format!("`{}` again", look.name), &first, &second)?;
        }
    }
    for (deed, (key, seen)) in sandbox.deeds.iter().zip(&before) {
        let now = sandbox.seen(deed, key).await?;
        same(&format!("what `{}` did, after looking", deed.name), seen, &now)?;
    }
    Ok(())
}

async fn cancelled_calls_are_refused<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    let cancelled = || {
        let cx = sandbox.context();
        cx.cancellation.cancel();
        cx
    };
    none_of_it(sandbox, "that was cancelled before", ErrorKind::Cancelled, cancelled).await
}

async fn late_calls_are_refused<T: ?Sized + Provider, D: Send + Sync + 'static>(
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
        let cx = context();
        let before = sandbox.seen(deed, &cx.key).await.ok();
        refuses(sandbox, &what, kind, &deed.call, cx.clone()).await?;
        let after = sandbox.seen(deed, &cx.key).await.ok();
        if before != after {
            return Err(broken(format!("nothing to come of {what}"), format!("{after:?}")));
        }
    }
    for look in &sandbox.looks {
        let what = format!("a call of `{}` {which}", look.name);
        refuses(sandbox, &what, kind, &look.call, context()).await?;
    }
    Ok(())
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

async fn wrong_requests_are_refused<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for refusal in &sandbox.refusals {
        refuses(sandbox, refusal.what, refusal.kind, &refusal.call, sandbox.context()).await?;
    }
    Ok(())
}

async fn out_of_reach_is_unavailable<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    let calls = || {
        let deeds = sandbox.deeds.iter().map(|deed| (deed.name, &deed.call));
        deeds.chain(sandbox.looks.iter().map(|look| (look.name, &look.call)))
    };
    for (name, call) in calls() {
        sandbox.within_reach(false).await?;
        let what = format!("`{name}`, out of reach,");
        let answer = sandbox.start(call, sandbox.context());
        let answer = sandbox.ends(&what, answer).await?;
        sandbox.within_reach(true).await?;
        match answer {
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => {
                let found = format!("the error was `{}`: {error}", error.kind().as_str());
                return Err(broken(format!("`unavailable` of {what}"), found));
            }
            Ok(answer) => {
                let found = format!("it answered {answer}");
                return Err(broken(format!("`unavailable` of {what}"), found));
            }
        }
        let back = sandbox.start(call, sandbox.context()).await;
        back.map_err(|error| broken(format!("`{name}` to be back"), error))?;
    }
    Ok(())
}

async fn secrets_stay_secret<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    let Some(canary) = &sandbox.canary else { return Ok(()) };
    let mut texts = vec![
        format!("{:?}", sandbox.provider),
        serde_json::to_string(&sandbox.describe()).unwrap_or_default(),
    ];
    let told = |error: &ProviderError| format!("{error} {error:?} {:?}", error.report());
    for refusal in &sandbox.refusals {
        if let Err(error) = sandbox.start(&refusal.call, sandbox.context()).await {
            texts.push(told(&error));
        }
    }
    sandbox.within_reach(false).await?;
    for call in sandbox.looks.iter().map(|look| &look.call) {
        if let Err(error) = sandbox.start(call, sandbox.context()).await {
            texts.push(told(&error));
        }
    }
    sandbox.within_reach(true).await?;
    match texts.iter().position(|text| text.contains(canary.expose())) {
        Some(at) => Err(broken("no secret in what it says", format!("text {at} holds it"))),
        None => Ok(()),
    }
}

fn same(what: &str, wanted: &str, found: &str) -> Check {
    if wanted == found { Ok(()) } else { Err(broken(format!("{what}: {wanted}"), found)) }
}

/// What was seen, whatever the key was.
fn neutral(seen: &str, cx: &Context) -> String {
    seen.replace(&cx.key, "the key")
}
