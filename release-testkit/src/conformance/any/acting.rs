//! What is promised of operations that act.

use std::time::Duration;

use release_core::port::EffectCertainty;
use release_providers::layer::Provider;
use release_providers::{Context, ErrorKind};

use super::ProviderSandbox;
use super::cases::{same, unchanged};
use super::sandbox::{Deed, Outcome, at_once};
use crate::conformance::{
    Broken, Check, broken, cancel_half_way, interrupt_within, length, unanswered,
};

/// How many callers ask at once.
pub(super) const CALLERS: usize = 8;

/// How many times a call is broken off, later each time.
const ROUNDS: u32 = 6;

type Of<T, D> = ProviderSandbox<T, D>;

pub(super) async fn done_again_is_done_once<T: ?Sized + Provider, D: Send + Sync + 'static>(
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
            let what = format!("what `{}` did, after it was asked again", deed.name);
            still(&what, &seen, &sandbox.seen(deed, &cx.key).await?)?;
        }
    }
    Ok(())
}

pub(super) async fn reopening_loses_nothing<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in sandbox.deeds.iter().filter(|deed| !deed.forgotten) {
        sandbox.undone(deed).await?;
        let cx = sandbox.context();
        let first = sandbox.done(deed, &cx).await?;
        let seen = sandbox.seen(deed, &cx.key).await?;
        sandbox.linger().await;
        let before = sandbox.picture(deed, &cx.key).await;
        let opened = sandbox.reopened().await?;
        let told = sandbox.picture_as(&opened, deed, &cx.key).await;
        let what = format!("what `{}` did, told by another instance", deed.name);
        unchanged(&what, &before, &told)?;
        let outside = sandbox.outside().await?;
        let mut again = cx.clone();
        again.attempt = 2;
        let what = format!("`{}` again, asked of another instance", deed.name);
        let answer = sandbox.start_as(&opened, &deed.call, again).await;
        same(&what, &first, &answer.map_err(|error| unanswered(&what, &error))?)?;
        sandbox.linger().await;
        let after = format!("the same seen from outside after {what}");
        same(&after, &outside, &sandbox.outside().await?)?;
        let told = sandbox.sees_as(&opened, deed, &cx.key).await;
        still(&what, &seen, &told.map_err(|error| unanswered(&what, &error))?)?;
    }
    Ok(())
}

pub(super) async fn nothing_else_happens_again<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        let cx = sandbox.context();
        sandbox.done(deed, &cx).await?;
        sandbox.linger().await;
        let once = sandbox.outside().await?;
        let what = format!("the same seen from outside after `{}` was asked again", deed.name);
        for attempt in 2..4 {
            let mut again = cx.clone();
            again.attempt = attempt;
            drop(sandbox.start(&deed.call, again).await); // what it hears is another case's
            same(&what, &once, &sandbox.outside().await?)?;
        }
        let calls = (0..CALLERS).map(|_| sandbox.start(&deed.call, cx.clone()));
        drop(at_once(calls).await);
        sandbox.linger().await;
        same(&what, &once, &sandbox.outside().await?)?;
    }
    Ok(())
}

pub(super) async fn what_is_done_is_seen<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        sandbox.undone(deed).await?;
        let cx = sandbox.context();
        let before = sandbox.picture(deed, &cx.key).await;
        sandbox.done(deed, &cx).await?;
        let after = sandbox.picture(deed, &cx.key).await;
        if before == after {
            let what = format!("something else than before `{}` was done", deed.name);
            return Err(broken(what, format!("{after:?}")));
        }
    }
    Ok(())
}

pub(super) async fn what_is_done_stays_done<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        sandbox.undone(deed).await?;
        let cx = sandbox.context();
        let before = sandbox.picture(deed, &cx.key).await;
        sandbox.done(deed, &cx).await?;
        let first = sandbox.picture(deed, &cx.key).await;
        // What was only accepted may go on, but not go away. What never came is another case's.
        if first != before && at_rest(sandbox, deed, &cx).await? == before {
            let what = format!("what `{}` did, a little later", deed.name);
            return Err(broken(what, format!("all is as it was before: {before:?}")));
        }
    }
    Ok(())
}

pub(super) async fn a_lost_answer_is_found_by_looking<
    T: ?Sized + Provider,
    D: Send + Sync + 'static,
>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        let mut outcomes = Vec::new();
        let mut whole = Duration::ZERO; // nothing is known of it before it was done once
        for round in 0..ROUNDS {
            sandbox.undone(deed).await?;
            let cx = sandbox.context();
            let before = sandbox.picture(deed, &cx.key).await;
            let outside = sandbox.outside().await?;
            interrupt_within(sandbox.start(&deed.call, cx.clone()), round, whole).await;
            settled(sandbox, deed, &cx, (&before, "whose answer was lost")).await?;
            let broken_off = sandbox.outside().await?;
            whole = whole.max(length(sandbox.done(deed, &cx)).await?);
            if broken_off != outside {
                // It was done, whoever knows of it.
                sandbox.linger().await;
                let name = deed.name;
                let what = format!("nothing to be done twice by `{name}`, whose answer was lost");
                same(&what, &broken_off, &sandbox.outside().await?)?;
            }
            outcomes.push(neutral(&sandbox.seen(deed, &cx.key).await?, &cx));
        }
        sandbox.undone(deed).await?;
        let whole = sandbox.context();
        sandbox.done(deed, &whole).await?;
        let wanted = neutral(&sandbox.seen(deed, &whole.key).await?, &whole);
        for outcome in outcomes {
            let what = format!("what `{}` did, asked again after its answer was lost", deed.name);
            same(&what, &wanted, &outcome)?;
        }
    }
    Ok(())
}

pub(super) async fn what_was_cancelled_half_way_is_told_truly<
    T: ?Sized + Provider,
    D: Send + Sync + 'static,
>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        for round in 0..ROUNDS {
            sandbox.undone(deed).await?;
            let cx = sandbox.context();
            let before = sandbox.picture(deed, &cx.key).await;
            let call = sandbox.start(&deed.call, cx.clone());
            let answer = cancel_half_way(call, &cx, round).await;
            let what = format!("`{}`, cancelled half-way,", deed.name);
            let Err(error) = answer else { continue };
            if !matches!(error.kind(), ErrorKind::Cancelled) {
                let found = format!("the error was `{}`: {error}", error.kind().as_str());
                return Err(broken(format!("{what} to be done or `cancelled`"), found));
            }
            let after =
                settled(sandbox, deed, &cx, (&before, "that was cancelled half-way")).await?;
            if error.effect() == EffectCertainty::NotApplied {
                unchanged(&format!("nothing to come of {what}"), &before, &after)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn callers_at_once_do_it_once<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
) -> Check {
    for deed in &sandbox.deeds {
        let cx = sandbox.context();
        let calls = (0..CALLERS).map(|_| sandbox.start(&deed.call, cx.clone()));
        let mut answers = Vec::new();
        for answer in at_once(calls).await? {
            match answer {
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
        if answers.is_empty() {
            let expected = format!("`{}` for one of many callers", deed.name);
            return Err(broken(expected, "all were told that it is a conflict"));
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

/// Demands that a call that nobody waits for any more was accepted by now, or never is; returns what can be seen once
/// nothing changes any more.
async fn settled<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
    deed: &Deed<T, D>,
    cx: &Context,
    (before, which): (&[String], &str),
) -> Result<Vec<String>, Broken> {
    // Whatever ends by itself has ended then.
    sandbox.linger().await;
    let first = sandbox.picture(deed, &cx.key).await;
    if first != before {
        return at_rest(sandbox, deed, cx).await;
    }
    let what = format!("the same of a call of `{}` {which}, looked at again", deed.name);
    sandbox.linger().await;
    for _ in 0..2 {
        unchanged(&what, &first, &sandbox.picture(deed, &cx.key).await)?;
    }
    Ok(first)
}

/// What can be seen once two looks with a little time between them see the same.
async fn at_rest<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: &Of<T, D>,
    deed: &Deed<T, D>,
    cx: &Context,
) -> Result<Vec<String>, Broken> {
    let mut last = sandbox.picture(deed, &cx.key).await;
    let rest = sandbox.until(async || {
        sandbox.linger().await;
        let next = sandbox.picture(deed, &cx.key).await;
        let same = next == last;
        last.clone_from(&next);
        Ok(if same { Ok(next) } else { Err(()) })
    });
    let rest = rest.await?;
    rest.map_err(|()| broken(format!("`{}` to come to an end", deed.name), format!("{last:?}")))
}

pub(super) fn still(what: &str, wanted: &Outcome, found: &Outcome) -> Check {
    same(what, &wanted.what, &found.what)?;
    same(what, &wanted.own, &found.own)
}

/// What was seen, whatever the key was.
fn neutral(seen: &Outcome, cx: &Context) -> String {
    seen.what.replace(&cx.key, "the key")
}
