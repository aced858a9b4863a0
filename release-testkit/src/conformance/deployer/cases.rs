//! The cases of `Deployer`. A published list is never changed: new cases go to a new level.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use release_providers::spi::{ApplyRequest, DeploymentPhase, ObserveDeployment};
use release_providers::{Context, ErrorKind, Fencing};
use tokio::task::JoinSet;

use super::DeployerSandbox;
use crate::conformance::{
    Case, Check, Meets, Provided as _, Sandbox as _, Subject, Trouble, Troubled, broken,
    cancel_half_way, cancelled_or_done, case, description_is_stable, fenced, interrupt, refused,
    troubled, unanswered,
};

type Cases = &'static [Case<DeployerSandbox>];

pub(super) const V1: Cases = &[
    case!(description_is_stable, "a provider says who it is, always the same"),
    case!(applied_is_observed, "`observe` tells what is, under the digest that really runs"),
    case!(observe_changes_nothing, "`observe` only looks"),
    case!(apply_is_idempotent, "the same wish again changes nothing that is already so"),
    case!(
        observe_after_lost_answer,
        "dropping the future leaves the wish either stored or not, and `observe` tells which"
    ),
    case!(scale_down_keeps_others, "other artifacts in the target are not touched"),
    case!(scale_to_zero_stops, "a wish for 0 stops all instances"),
    case!(
        wrong_digest_is_refused,
        "only content whose digest equals the artifact's is ever started",
        |sandbox| sandbox.corrupt.is_none().then_some("content that does not match its digest")
    ),
    case!(unknown_artifact_is_not_found, "`NotFound` for an unknown artifact, with no effect"),
    case!(
        unknown_target_is_not_found,
        "`NotFound` for an unknown target, with no effect",
        |sandbox| sandbox.unknown_target.is_none().then_some("target that is unknown")
    ),
    case!(
        too_many_is_invalid,
        "`Invalid` for a wish beyond the declared limits, with no effect",
        |sandbox| sandbox.beyond_limit().is_none().then_some("limit of instances")
    ),
    case!(concurrent_applies_converge, "wishes at the same time never start a second copy"),
    case!(
        stale_writers_are_fenced,
        "where `EpochFencing` is declared, `Fenced` for an older epoch of the same run, with no effect"
    ),
    case!(
        cancelled_call_is_refused,
        "`Cancelled` for a call that was cancelled before, with no effect; one cancelled on its way ends, and tells truly"
    ),
    case!(late_call_is_refused, "`Timeout` for a call whose deadline has passed, with no effect"),
    case!(far_deadlines_change_nothing, "how far away a deadline is changes no answer"),
    case!(what_is_done_stays_done, "what was done is still so later, when nobody did anything"),
    case!(
        reopening_loses_nothing,
        "another instance tells what the one before did, and does none of it again",
        DeployerSandbox::no_reopen
    ),
    troubled(Trouble::OutOfReach),
    troubled(Trouble::Denied),
    troubled(Trouble::Throttled),
    troubled(Trouble::Stalled),
    case!(
        secrets_stay_secret,
        "no error, answer, description or debug text holds a secret",
        |sandbox| sandbox.common().no_canary()
    ),
    case!(
        instances_are_as_told,
        "what `observe` tells is what another source tells: no double and no restart is kept secret",
        |sandbox| (!sandbox.sees()).then_some("instances as another source tells them")
    ),
];

async fn applied_is_observed(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    for replicas in [2, 1] {
        sandbox.apply(subject, replicas).await?;
        sandbox.settled(subject, replicas).await?;
    }
    Ok(())
}

async fn observe_changes_nothing(sandbox: &DeployerSandbox) -> Check {
    let [subject, never] = &sandbox.subjects;
    for _ in 0..2 {
        runs_nothing(sandbox, never).await?;
    }
    sandbox.apply(subject, 1).await?;
    let before = sandbox.settled(subject, 1).await?;
    for _ in 0..3 {
        sandbox.look(subject.artifact.digest()).await?;
    }
    sandbox.linger().await;
    same(&before, &sandbox.settled(subject, 1).await?)?;
    runs_nothing(sandbox, never).await
}

/// Nothing of `subject` was ever wished, and nothing runs.
async fn runs_nothing(sandbox: &DeployerSandbox, subject: &Subject) -> Check {
    let digest = subject.artifact.digest();
    let status = sandbox.look(digest).await?;
    if status.desired.is_some() || status.running != 0 || status.digest != digest {
        return Err(broken("no wish and nothing that runs", format!("observed {status:?}")));
    }
    match sandbox.names(digest).await? {
        Some(names) if !names.is_empty() => {
            Err(broken("nothing that runs", format!("there really are {names:?}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(before: &T, after: &T) -> Check {
    if before == after {
        return Ok(());
    }
    Err(broken(
        format!("the same instances as before, {before:?}"),
        format!("now there are {after:?}"),
    ))
}

async fn apply_is_idempotent(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let cx = sandbox.context();
    sandbox.apply_as(&cx, subject, 2).await?;
    let before = sandbox.settled(subject, 2).await?;
    let mut again = cx.clone();
    again.attempt = 2;
    // The same operation again, and another one that wishes the same.
    for cx in [again, sandbox.context()] {
        sandbox.apply_as(&cx, subject, 2).await?;
        sandbox.linger().await;
        same(&before, &sandbox.settled(subject, 2).await?)?;
    }
    Ok(())
}

async fn reopening_loses_nothing(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let cx = sandbox.context();
    sandbox.apply_as(&cx, subject, 2).await?;
    let before = sandbox.settled(subject, 2).await?;
    let mut opened = sandbox.clone();
    opened.provider = sandbox.reopened().await?;
    same(&before, &opened.settled(subject, 2).await?)?;
    let mut again = cx;
    again.attempt = 2;
    opened.apply_as(&again, subject, 2).await?;
    opened.linger().await;
    same(&before, &opened.settled(subject, 2).await?)
}

async fn observe_after_lost_answer(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let mut before = None;
    for round in 0..8 {
        let (cx, wished) = (sandbox.context(), 1 + round % 2);
        let wish = sandbox.wish(subject, wished);
        interrupt(sandbox.provider.apply(&cx, wish), round).await;
        let status = sandbox.look(subject.artifact.digest()).await?;
        if status.desired != before && status.desired != Some(wished) {
            let expected = format!("a wish for {before:?} or {wished}");
            return Err(broken(expected, format!("observed {status:?}")));
        }
        sandbox.linger().await;
        let later = sandbox.look(subject.artifact.digest()).await?;
        if later.desired != status.desired {
            let expected = format!("the wish to stay as `observe` told: {:?}", status.desired);
            return Err(broken(expected, format!("later observed {later:?}")));
        }
        sandbox.apply_as(&cx, subject, wished).await?;
        sandbox.settled(subject, wished).await?;
        before = Some(wished);
    }
    Ok(())
}

async fn scale_down_keeps_others(sandbox: &DeployerSandbox) -> Check {
    let [subject, other] = &sandbox.subjects;
    sandbox.apply(other, 1).await?;
    let before = sandbox.settled(other, 1).await?;
    for replicas in [2, 1, 0] {
        sandbox.apply(subject, replicas).await?;
        sandbox.settled(subject, replicas).await?;
        same(&before, &sandbox.settled(other, 1).await?)?;
    }
    Ok(())
}

async fn scale_to_zero_stops(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    for replicas in [2, 0, 1, 0] {
        sandbox.apply(subject, replicas).await?;
        sandbox.settled(subject, replicas).await?;
    }
    Ok(())
}

/// The wish is refused as it should be, and nothing came of it.
pub(super) async fn refuses(
    sandbox: &DeployerSandbox,
    what: &str,
    wish: ApplyRequest,
    kind: ErrorKind,
) -> Check {
    let subject = Subject::new(wish.artifact.clone(), wish.version.clone());
    refused(what, sandbox.provider.apply(&sandbox.context(), wish).await, kind)?;
    sandbox.linger().await;
    runs_nothing(sandbox, &subject).await
}

async fn wrong_digest_is_refused(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let Some(corrupt) = sandbox.corrupt.clone() else { return Ok(()) };
    let wish = sandbox.wish(&Subject::new(corrupt, subject.version.clone()), 1);
    refuses(sandbox, "content that does not match its digest", wish, ErrorKind::Corrupt).await
}

async fn unknown_artifact_is_not_found(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let missing = Subject::new(sandbox.missing.clone(), subject.version.clone());
    let wish = sandbox.wish(&missing, 1);
    refuses(sandbox, "an unknown artifact", wish, ErrorKind::NotFound).await
}

async fn unknown_target_is_not_found(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let Some(target) = sandbox.unknown_target.clone() else { return Ok(()) };
    let mut wish = sandbox.wish(subject, 1);
    wish.target = target.clone();
    let (provider, cx) = (&sandbox.provider, sandbox.context());
    refused("an unknown target", provider.apply(&cx, wish).await, ErrorKind::NotFound)?;
    let request = ObserveDeployment::new(target, subject.artifact.digest());
    let answer = provider.observe(&sandbox.context(), request).await;
    refused("a look at an unknown target", answer, ErrorKind::NotFound)
}

async fn too_many_is_invalid(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let Some(too_many) = sandbox.beyond_limit() else { return Ok(()) };
    let wish = sandbox.wish(subject, too_many);
    refuses(sandbox, "too many instances", wish, ErrorKind::Invalid).await
}

async fn concurrent_applies_converge(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    at_once(sandbox, subject, [2; 8]).await?;
    sandbox.settled(subject, 2).await?;
    at_once(sandbox, subject, [1, 2, 1, 2, 1, 2, 1, 2]).await?;
    // Whichever wish came last: what is stored is one of them, and what runs is what is stored.
    let Some(stored @ (1 | 2)) = sandbox.look(subject.artifact.digest()).await?.desired else {
        return Err(broken("one of the wishes", "another one is stored, or none"));
    };
    sandbox.settled(subject, stored).await?;
    Ok(())
}

async fn stale_writers_are_fenced(sandbox: &DeployerSandbox) -> Check {
    let ([subject, _], [old, new, other]) = (&sandbox.subjects, sandbox.writers());
    sandbox.apply_as(&old, subject, 1).await?;
    sandbox.settled(subject, 1).await?;
    sandbox.apply_as(&new, subject, 2).await?;
    let before = sandbox.settled(subject, 2).await?;
    let declared = sandbox.abilities().deployer.fencing == Fencing::Epochs;
    fenced(declared, sandbox.provider.apply(&old, sandbox.wish(subject, 1)).await)?;
    if !declared {
        return Ok(());
    }
    sandbox.linger().await;
    same(&before, &sandbox.settled(subject, 2).await?)?;
    // Each run has epochs of its own, and the newest writer goes on.
    for (writer, replicas) in [(&other, 1), (&new, 2)] {
        sandbox.apply_as(writer, subject, replicas).await?;
        sandbox.settled(subject, replicas).await?;
    }
    Ok(())
}

async fn cancelled_call_is_refused(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let (provider, cx) = (&sandbox.provider, sandbox.context());
    cx.cancellation.cancel();
    let answer = sandbox.ends("a cancelled wish", provider.apply(&cx, sandbox.wish(subject, 1)));
    refused("a wish that was cancelled before", answer.await?, ErrorKind::Cancelled)?;
    let request = ObserveDeployment::new(sandbox.target.clone(), subject.artifact.digest());
    let answer = sandbox.ends("a cancelled look", provider.observe(&cx, request)).await?;
    refused("a look that was cancelled before", answer, ErrorKind::Cancelled)?;
    sandbox.linger().await;
    runs_nothing(sandbox, subject).await?;
    for round in 0..8 {
        let (cx, wished) = (sandbox.context(), 1 + round % 2);
        let digest = subject.artifact.digest();
        let before = (sandbox.look(digest).await?.desired, sandbox.names(digest).await?);
        let call = provider.apply(&cx, sandbox.wish(subject, wished));
        let answer = sandbox.ends("a cancelled wish", cancel_half_way(call, &cx, round)).await?;
        if cancelled_or_done("a wish", answer)? {
            // It says that nothing was done, and nothing will be.
            for _ in 0..2 {
                sandbox.linger().await;
                let after = (sandbox.look(digest).await?.desired, sandbox.names(digest).await?);
                same(&before, &after)?;
            }
        }
        sandbox.apply(subject, wished).await?;
        sandbox.settled(subject, wished).await?;
    }
    Ok(())
}

async fn late_call_is_refused(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let (provider, cx) = (&sandbox.provider, sandbox.late_context());
    let answer = sandbox.ends("a late wish", provider.apply(&cx, sandbox.wish(subject, 1)));
    refused("a wish whose deadline has passed", answer.await?, ErrorKind::Timeout)?;
    let request = ObserveDeployment::new(sandbox.target.clone(), subject.artifact.digest());
    let answer = sandbox.ends("a late look", provider.observe(&cx, request)).await?;
    refused("a look whose deadline has passed", answer, ErrorKind::Timeout)?;
    sandbox.linger().await;
    runs_nothing(sandbox, subject).await
}

async fn instances_are_as_told(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    let cx = sandbox.context();
    sandbox.apply_as(&cx, subject, 2).await?;
    let before = sandbox.settled(subject, 2).await?;
    sandbox.apply_as(&cx, subject, 2).await?;
    sandbox.linger().await;
    same(&before, &sandbox.settled(subject, 2).await?)
}

/// Wishes all of these at the same time. `Conflict` is a fair answer, if not to all.
async fn at_once(sandbox: &DeployerSandbox, subject: &Subject, replicas: [u32; 8]) -> Check {
    let mut calls = JoinSet::new();
    for replicas in replicas {
        let (provider, cx) = (Arc::clone(&sandbox.provider), sandbox.context());
        let wish = sandbox.wish(subject, replicas);
        calls.spawn(async move { provider.apply(&cx, wish).await });
    }
    let mut accepted = 0;
    while let Some(answer) = calls.join_next().await {
        match answer {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(error)) if error.kind() == ErrorKind::Conflict => {}
            Ok(Err(error)) => return Err(broken("an answer to every wish", error)),
            Err(error) => return Err(broken("an answer to every wish", error)),
        }
    }
    if accepted == 0 {
        return Err(broken("one wish to be accepted", "all were refused"));
    }
    let status = sandbox.look(subject.artifact.digest()).await?;
    match status.phase {
        DeploymentPhase::Failed { reason } => {
            Err(broken("instances", format!("it failed: {reason}")))
        }
        _ => Ok(()),
    }
}

async fn far_deadlines_change_nothing(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    sandbox.apply_as(&sandbox.far_context(), subject, 1).await?;
    sandbox.settled(subject, 1).await?;
    let near = sandbox.look(subject.artifact.digest()).await?;
    let request = ObserveDeployment::new(sandbox.target.clone(), subject.artifact.digest());
    let far = sandbox.provider.observe(&sandbox.far_context(), request).await;
    let far = far.map_err(|error| unanswered("an observation without hurry", &error))?;
    if far.running != near.running || far.desired != near.desired || far.digest != near.digest {
        return Err(broken(format!("{near:?} again"), format!("observed {far:?}")));
    }
    let mut wish = sandbox.wish(subject, 1);
    wish.artifact = sandbox.missing.clone();
    let answer = sandbox.provider.apply(&sandbox.far_context(), wish).await;
    refused("an unknown artifact, without hurry", answer, ErrorKind::NotFound)
}

async fn what_is_done_stays_done(sandbox: &DeployerSandbox) -> Check {
    let [subject, _] = &sandbox.subjects;
    for replicas in [1, 2, 0] {
        sandbox.apply(subject, replicas).await?;
        let before = sandbox.settled(subject, replicas).await?;
        for _ in 0..3 {
            sandbox.linger().await;
        }
        same(&before, &sandbox.settled(subject, replicas).await?)?;
    }
    Ok(())
}

#[async_trait(?Send)]
impl Meets for DeployerSandbox {
    async fn meet(&self, trouble: Trouble) -> Check {
        let ([subject, _], common) = (&self.subjects, self.common());
        self.apply(subject, 1).await?;
        self.settled(subject, 1).await?;
        let look = ObserveDeployment::new(self.target.clone(), subject.artifact.digest());
        let observe = |cx| -> BoxFuture<'static, _> {
            let (provider, look) = (Arc::clone(&self.provider), look.clone());
            async move { provider.observe(&cx, look).await.map(|seen| format!("{seen:?}")) }.boxed()
        };
        let observe = Troubled { name: "observe", call: &observe, refused: None, acts: None };
        observe.meets(trouble, common).await?;
        let apply = |cx| -> BoxFuture<'static, _> {
            let (provider, wish) = (Arc::clone(&self.provider), self.wish(subject, 2));
            async move { provider.apply(&cx, wish).await.map(|()| "done".to_owned()) }.boxed()
        };
        let apply = Troubled { name: "apply", call: &apply, refused: None, acts: None };
        apply.meets(trouble, common).await?;
        self.settled(subject, 2).await.map(drop)
    }
}

async fn secrets_stay_secret(sandbox: &DeployerSandbox) -> Check {
    let ([subject, _], mut said) =
        (&sandbox.subjects, sandbox.common().said(&sandbox.provider, &sandbox.describe()));
    let wish = |what, change: &dyn Fn(&mut ApplyRequest)| {
        let mut wish = sandbox.wish(subject, 1);
        change(&mut wish);
        (what, wish)
    };
    let mut wishes = vec![wish("a wish", &|_| {})];
    let missing = &sandbox.missing;
    wishes.push(wish("a wish for an unknown artifact", &|wish| wish.artifact = missing.clone()));
    if let Some(corrupt) = &sandbox.corrupt {
        wishes.push(wish("a wish for wrong content", &|wish| wish.artifact = corrupt.clone()));
    }
    if let Some(unknown) = &sandbox.unknown_target {
        wishes.push(wish("a wish for an unknown target", &|wish| wish.target = unknown.clone()));
    }
    if let Some(too_many) = sandbox.beyond_limit() {
        wishes.push(wish("a wish for too many", &|wish| wish.replicas = too_many));
    }
    for (what, wish) in wishes {
        let look = ObserveDeployment::new(wish.target.clone(), wish.artifact.digest());
        let ask = async |cx: Context, when: &str| {
            let answer = sandbox.provider.apply(&cx, wish.clone()).await;
            said.answered(format!("{what}{when}"), answer.map(|()| String::new()));
            let seen = sandbox.provider.observe(&cx, look.clone()).await;
            said.answered(
                format!("an observation{when}"),
                seen.map(|status| format!("{status:?}")),
            );
        };
        sandbox.common().whatever_comes(ask).await?;
    }
    said.keeps_the_secret()
}
