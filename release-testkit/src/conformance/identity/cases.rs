//! The cases of `IdentitySource`. A published list is never changed: new cases go to a new level.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use release_policy::directory::Directory;
use release_providers::spi::ReadIdentities;
use release_providers::{Context, ErrorKind};
use tokio::task::JoinSet;

use super::IdentitySandbox;
use super::sandbox::Snapshot;
use crate::conformance::{
    Case, Check, Meets, Provided as _, Sandbox as _, Trouble, Troubled, broken, cancel_half_way,
    cancelled_or_done, case, description_is_stable, refused, troubled, unanswered,
};

pub(super) const V1: &[Case<IdentitySandbox>] = &[
    case!(description_is_stable, "a provider says who it is, always the same"),
    case!(
        snapshot_is_a_valid_directory,
        "a `Directory` can be made of every answer, which has all accounts that there are"
    ),
    case!(same_content_keeps_its_version, "the same content keeps its version"),
    case!(
        change_is_seen_with_a_greater_version,
        "`version` is another one for other content, and never smaller than before",
        |sandbox| (!sandbox.can_change()).then_some("change of the content")
    ),
    case!(
        taken_at_is_when_it_was_read,
        "`taken_at` is when the authority was read: not before the call, and not after its answer"
    ),
    case!(
        taken_at_never_goes_back,
        "`taken_at` is never smaller than in an answer that was there before"
    ),
    case!(closed_accounts_stay_inactive, "accounts that are closed stay, as inactive", |sandbox| {
        (!sandbox.can_close()).then_some("account that may be closed")
    }),
    case!(
        cut_off_is_unavailable_and_not_empty,
        "an authority that cannot be reached is `Unavailable`: neither an empty snapshot nor one that was remembered",
        |sandbox| sandbox.common().lacks(Trouble::OutOfReach)
    ),
    case!(
        what_was_cut_off_comes_back,
        "an authority that can be reached again is read again, with its content and its versions",
        |sandbox| sandbox.common().lacks(Trouble::OutOfReach)
    ),
    case!(
        reopening_keeps_versions,
        "versions go for all instances over one authority, also for those that begin anew",
        IdentitySandbox::no_reopen
    ),
    case!(
        concurrent_reads_are_whole,
        "every answer is the whole directory as it was at one time: never a mixture"
    ),
    case!(
        cancelled_call_is_refused,
        "`Cancelled` for a call that was cancelled before, with no effect; one cancelled on its way ends"
    ),
    case!(late_call_is_refused, "`Timeout` for a call whose deadline has passed, with no effect"),
    case!(far_deadlines_change_nothing, "how far away a deadline is changes no answer"),
    troubled(Trouble::Denied),
    troubled(Trouble::Throttled),
    troubled(Trouble::Stalled),
    case!(
        secrets_stay_secret,
        "no error, answer, description or debug text holds a secret",
        |sandbox| sandbox.common().no_canary()
    ),
];

fn valid(snapshot: &Snapshot) -> Check {
    if snapshot.0.identities.is_empty() {
        return Err(broken("the accounts of the sandbox", "there are none"));
    }
    Directory::try_from(snapshot.0.clone()).map(drop).map_err(|error| {
        broken(format!("a `Directory` of {snapshot}"), format!("it is refused: {error}"))
    })
}

/// Demands the content of `before` under its version.
fn same(before: &Snapshot, after: &Snapshot) -> Check {
    if before.content() != after.content() {
        return Err(broken("the same content", format!("{before} became {after}, unlike it")));
    }
    if before.0.version != after.0.version {
        return Err(broken(
            format!("version {} for the same content", before.0.version),
            format!("it was {after}"),
        ));
    }
    Ok(())
}

/// Demands a version greater than that of `before`, which had other content.
fn newer(before: &Snapshot, after: &Snapshot) -> Check {
    if after.0.version <= before.0.version {
        return Err(broken(
            format!("a version greater than {} for later content", before.0.version),
            format!("it was {after}"),
        ));
    }
    Ok(())
}

async fn snapshot_is_a_valid_directory(sandbox: &IdentitySandbox) -> Check {
    valid(&sandbox.read().await?)?;
    sandbox.make_change(0).await?;
    valid(&sandbox.read().await?)
}

async fn same_content_keeps_its_version(sandbox: &IdentitySandbox) -> Check {
    let first = sandbox.read().await?;
    for _ in 0..3 {
        same(&first, &sandbox.read().await?)?;
    }
    Ok(())
}

async fn change_is_seen_with_a_greater_version(sandbox: &IdentitySandbox) -> Check {
    let mut before = sandbox.read().await?;
    for number in 0..3 {
        sandbox.make_change(number).await?;
        let other = |seen: &Snapshot| seen.content() != before.content();
        let after = sandbox.read_until("a change to be seen", other).await?;
        newer(&before, &after)?;
        before = after;
    }
    Ok(())
}

async fn taken_at_is_when_it_was_read(sandbox: &IdentitySandbox) -> Check {
    for number in 0..4 {
        let begin = sandbox.now();
        let snapshot = sandbox.read().await?;
        let end = sandbox.now();
        if !(begin..=end).contains(&snapshot.0.taken_at) {
            let expected = format!("`taken_at` between {begin} and {end}");
            return Err(broken(expected, format!("it was {}", snapshot.0.taken_at)));
        }
        if number == 1 {
            sandbox.make_change(number).await?;
        }
    }
    Ok(())
}

async fn taken_at_never_goes_back(sandbox: &IdentitySandbox) -> Check {
    let mut last = sandbox.read().await?;
    for number in 0..6 {
        if number == 3 {
            sandbox.make_change(number).await?;
        }
        let next = sandbox.read().await?;
        if next.0.taken_at < last.0.taken_at {
            let expected = format!("no `taken_at` before {}", last.0.taken_at);
            return Err(broken(expected, format!("the next answer was {next}")));
        }
        last = next;
    }
    Ok(())
}

async fn closed_accounts_stay_inactive(sandbox: &IdentitySandbox) -> Check {
    let Some(id) = &sandbox.account else { return Ok(()) };
    let before = sandbox.read().await?;
    if before.account(id).is_none_or(|account| !account.active) {
        let expected = format!("an active account `{id}`, which may be closed");
        return Err(broken(expected, format!("{before} has none")));
    }
    sandbox.make_closed(id).await?;
    let other = |seen: &Snapshot| seen.content() != before.content();
    let after = sandbox.read_until("a closed account to be seen", other).await?;
    newer(&before, &after)?;
    // Whoever remembers what its authority forgets has to remember it for longer than it lives.
    let mut opened = sandbox.clone();
    opened.provider = sandbox.reopened().await?;
    for seen in [after, opened.read().await?] {
        match seen.account(id) {
            Some(account) if !account.active => {}
            Some(_) => return Err(broken(format!("`{id}` as inactive"), "it is active")),
            None => return Err(broken(format!("`{id}` as inactive"), "it is missing")),
        }
    }
    Ok(())
}

async fn cut_off_is_unavailable_and_not_empty(sandbox: &IdentitySandbox) -> Check {
    // What could be remembered.
    sandbox.read().await?;
    let cx = sandbox.context();
    let read = sandbox
        .ends("a read of what is out of reach", sandbox.provider.read(&cx, ReadIdentities::new()));
    let answer = sandbox.while_cut_off(read).await??;
    refused("a read of what is out of reach", answer, ErrorKind::Unavailable)
}

async fn what_was_cut_off_comes_back(sandbox: &IdentitySandbox) -> Check {
    sandbox.make_change(0).await?;
    let before = sandbox.read().await?;
    let cx = sandbox.context();
    let read = sandbox
        .ends("a read of what is out of reach", sandbox.provider.read(&cx, ReadIdentities::new()));
    sandbox.while_cut_off(read).await??.err(); // another case is about that
    let back = sandbox.provider.read(&sandbox.context(), ReadIdentities::new()).await.map_err(
        |error| {
            broken("an answer of what is within reach again", format!("it was refused: {error}"))
        },
    )?;
    same(&before, &Snapshot(back))
}

async fn reopening_keeps_versions(sandbox: &IdentitySandbox) -> Check {
    sandbox.make_change(0).await?;
    let before = sandbox.read().await?;
    let mut opened = sandbox.clone();
    opened.provider = sandbox.reopened().await?;
    same(&before, &opened.read().await?)?;
    if !sandbox.can_change() {
        return Ok(());
    }
    sandbox.make_change(1).await?;
    let other = |seen: &Snapshot| seen.content() != before.content();
    let after = opened.read_until("a change to be seen", other).await?;
    newer(&before, &after)
}

async fn concurrent_reads_are_whole(sandbox: &IdentitySandbox) -> Check {
    let mut answers = vec![sandbox.read().await?];
    let mut calls = JoinSet::new();
    for number in 0..6 {
        for _ in 0..3 {
            let (provider, cx) = (Arc::clone(&sandbox.provider), sandbox.context());
            calls.spawn(async move { provider.read(&cx, ReadIdentities::new()).await });
        }
        tokio::task::yield_now().await;
        sandbox.make_change(number).await?;
    }
    while let Some(answer) = calls.join_next().await {
        let answer = answer.map_err(|error| broken("an answer to every read", error))?;
        let answer = answer.map_err(|error| broken("an answer to every read", error))?;
        answers.push(Snapshot(answer));
    }
    answers.push(sandbox.read().await?);
    let mut versions = BTreeMap::new();
    for answer in &answers {
        valid(answer)?;
        let known = versions.entry(answer.0.version).or_insert_with(|| answer.content());
        if *known != answer.content() {
            let expected = format!("one content of version {}", answer.0.version);
            return Err(broken(expected, "two answers of that version differ"));
        }
    }
    Ok(())
}

async fn cancelled_call_is_refused(sandbox: &IdentitySandbox) -> Check {
    let (provider, cx) = (&sandbox.provider, sandbox.context());
    cx.cancellation.cancel();
    let answer =
        sandbox.ends("a cancelled read", provider.read(&cx, ReadIdentities::new())).await?;
    refused("a read that was cancelled before", answer, ErrorKind::Cancelled)?;
    for round in 0..8 {
        let cx = sandbox.context();
        let call = cancel_half_way(provider.read(&cx, ReadIdentities::new()), &cx, round);
        let answer = sandbox.ends("a cancelled read", call).await?;
        cancelled_or_done("a read", answer.map(drop))?;
    }
    sandbox.read().await.map(drop)
}

async fn late_call_is_refused(sandbox: &IdentitySandbox) -> Check {
    let (provider, cx) = (&sandbox.provider, sandbox.late_context());
    let answer = sandbox.ends("a late read", provider.read(&cx, ReadIdentities::new())).await?;
    refused("a read whose deadline has passed", answer, ErrorKind::Timeout)?;
    sandbox.read().await.map(drop)
}

async fn far_deadlines_change_nothing(sandbox: &IdentitySandbox) -> Check {
    let near = sandbox.read().await?;
    let far = sandbox.provider.read(&sandbox.far_context(), ReadIdentities::new()).await;
    let far = far.map_err(|error| unanswered("an answer without hurry", &error))?;
    same(&near, &Snapshot(far))
}

#[async_trait(?Send)]
impl Meets for IdentitySandbox {
    async fn meet(&self, trouble: Trouble) -> Check {
        let read = |cx| -> BoxFuture<'static, _> {
            let provider = Arc::clone(&self.provider);
            async move {
                let answer = provider.read(&cx, ReadIdentities::new()).await;
                answer.map(|snapshot| format!("{snapshot:?}"))
            }
            .boxed()
        };
        let read = Troubled { name: "read", call: &read, refused: None, acts: None };
        read.meets(trouble, self.common()).await
    }
}

async fn secrets_stay_secret(sandbox: &IdentitySandbox) -> Check {
    let mut said = sandbox.common().said(&sandbox.provider, &sandbox.describe());
    let ask = async |cx: Context, when: &str| {
        let answer = sandbox.provider.read(&cx, ReadIdentities::new()).await;
        said.answered(format!("an answer{when}"), answer.map(|snapshot| format!("{snapshot:?}")));
    };
    sandbox.common().whatever_comes(ask).await?;
    said.keeps_the_secret()
}
