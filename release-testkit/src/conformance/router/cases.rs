//! The cases of `TrafficRouter`. A published list is never changed: new cases go to a new level.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use release_core::plan::Weight;
use release_core::port::EffectCertainty;
use release_providers::spi::{ObserveTraffic, SetWeights};
use release_providers::{Context, ErrorKind, Fencing, Splitting};
use tokio::task::JoinSet;

use super::RouterSandbox;
use super::sandbox::{same_shares, show};
use crate::conformance::{
    Broken, Case, Check, Meets, Provided as _, Sandbox as _, Trouble, Troubled, broken,
    cancel_half_way, cancelled_or_done, case, description_is_stable, fenced, interrupt, refused,
    troubled, unanswered, wait,
};

/// Requests by which shares are measured, enough for 20 % of them to lie within [`TOLERANCE`] of
/// their mean by six standard deviations, should a router draw lots: √(400 × 0.2 × 0.8) = 8.
const REQUESTS: u64 = 400;
const TOLERANCE: u64 = 48;
/// How many times the shares change, and back, while requests are sent.
const CHANGES: u32 = 8;

pub(super) const V1: &[Case<RouterSandbox>] = &[
    case!(description_is_stable, "a provider says who it is, always the same"),
    case!(capabilities_are_honest, "what is declared works, what is not answers `Unsupported`"),
    case!(
        weights_are_observed,
        "shares replace all earlier ones at once, and `observe` tells them"
    ),
    case!(
        set_weights_is_idempotent,
        "the same shares again change nothing, and do not restart the count of served requests"
    ),
    case!(
        weights_must_add_up,
        "`Invalid` for weights that do not add up or name a version twice, with no effect"
    ),
    case!(zero_shares_are_not_reported, "`observe` tells the shares without those of weight 0"),
    case!(empty_shares_serve_nobody, "the list is empty: nobody is served"),
    case!(unknown_target_is_not_found, "`NotFound` for an unknown target, with no effect"),
    case!(
        unknown_version_is_not_found,
        "`NotFound` for a version without backend, also beside one that has one, with no effect"
    ),
    case!(
        no_request_is_lost_to_a_change,
        "requests are answered, also while the shares change",
        |sandbox| (!sandbox.has_traffic()).then_some("traffic that can be sent")
    ),
    case!(abort_restores, "the earlier shares can be restored at any time, also half-way"),
    case!(
        dropped_call_leaves_no_mixture,
        "dropping the future leaves either the old shares or the new ones, never a mixture"
    ),
    case!(concurrent_sets_leave_no_mixture, "shares replace all earlier ones at once"),
    case!(served_follows_weights, "traffic is really distributed by the weights", |sandbox| {
        let weighted = sandbox.abilities().traffic_router.splitting == Splitting::Shares;
        (!weighted || !sandbox.counts()).then_some("weights whose traffic can be counted")
    }),
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
        "another instance tells the shares that the one before set, and keeps them",
        RouterSandbox::no_reopen
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
];

async fn capabilities_are_honest(sandbox: &RouterSandbox) -> Check {
    let (old, split) = (sandbox.all_old(), sandbox.shares(50, 50));
    sandbox.set(&old).await?;
    if sandbox.abilities().traffic_router.splitting == Splitting::Shares {
        sandbox.set(&split).await?;
    } else {
        let answer =
            sandbox.provider.set_weights(&sandbox.context(), sandbox.request(&split)).await;
        refused("a split, which is not declared", answer, ErrorKind::Unsupported)?;
        sandbox.in_effect(&old).await?;
    }
    sandbox.send(10).await?;
    let served = sandbox.look().await?.served;
    let total: u64 = served.iter().map(|one| one.requests).sum();
    if sandbox.counts() && total != 10 {
        return Err(broken(
            "10 served requests, which it declares to count",
            format!("{total} are counted"),
        ));
    }
    if !sandbox.abilities().traffic_router.counts_served && !served.is_empty() {
        return Err(broken("no counts, which are not declared", format!("observed {served:?}")));
    }
    Ok(())
}

async fn reopening_loses_nothing(sandbox: &RouterSandbox) -> Check {
    let weights = sandbox.some_new();
    sandbox.set(&sandbox.all_old()).await?;
    sandbox.set(&weights).await?;
    let mut opened = sandbox.clone();
    opened.provider = sandbox.reopened().await?;
    opened.in_effect(&weights).await?;
    opened.set(&weights).await
}

async fn weights_are_observed(sandbox: &RouterSandbox) -> Check {
    for weights in
        [sandbox.all_old(), sandbox.some_new(), sandbox.shares(0, 100), sandbox.all_old()]
    {
        sandbox.set(&weights).await?;
    }
    Ok(())
}

async fn set_weights_is_idempotent(sandbox: &RouterSandbox) -> Check {
    let (cx, mut weights) = (sandbox.context(), sandbox.some_new());
    sandbox.set(&sandbox.all_old()).await?;
    sandbox.set_as(&cx, &weights).await?;
    sandbox.send(10).await?;
    let before = sandbox.served().await?;
    let mut again = cx.clone();
    again.attempt = 2;
    sandbox.set_as(&again, &weights).await?;
    weights.reverse(); // the same shares, in another order and under another key
    sandbox.set(&weights).await?;
    let after = sandbox.served().await?;
    if after == before {
        return Ok(());
    }
    Err(broken(
        format!("{before:?} served requests, as before"),
        format!("now it counts {after:?}"),
    ))
}

async fn weights_must_add_up(sandbox: &RouterSandbox) -> Check {
    let old = sandbox.all_old();
    sandbox.set(&old).await?;
    let half: Vec<Weight> = sandbox.shares(50, 0).into_iter().take(1).collect();
    let twice = [half.clone(), half.clone()].concat();
    let cases = [
        ("shares of 99 %", sandbox.shares(50, 49)),
        ("shares of 101 %", sandbox.shares(50, 51)),
        ("shares of 0 %", sandbox.shares(0, 0)),
        ("a share of 50 % alone", half),
        ("shares of 356 %, which is 100 in a byte", sandbox.shares(200, 156)),
        ("a version that is named twice", twice),
    ];
    for (what, weights) in cases {
        let request = sandbox.request(&weights);
        let answer = sandbox.provider.set_weights(&sandbox.context(), request).await;
        refused(what, answer, ErrorKind::Invalid)?;
        sandbox.in_effect(&old).await?;
    }
    Ok(())
}

async fn zero_shares_are_not_reported(sandbox: &RouterSandbox) -> Check {
    sandbox.set(&sandbox.shares(100, 0)).await?;
    sandbox.set(&sandbox.shares(0, 100)).await
}

async fn empty_shares_serve_nobody(sandbox: &RouterSandbox) -> Check {
    sandbox.set(&sandbox.all_old()).await?;
    sandbox.set(&[]).await?;
    sandbox.set(&sandbox.all_old()).await
}

async fn unknown_target_is_not_found(sandbox: &RouterSandbox) -> Check {
    let (provider, target) = (&sandbox.provider, sandbox.unknown_target.clone());
    let request = SetWeights::new(target.clone(), sandbox.all_old());
    let answer = provider.set_weights(&sandbox.context(), request).await;
    refused("an unknown target", answer, ErrorKind::NotFound)?;
    let answer = provider.observe(&sandbox.context(), ObserveTraffic::new(target)).await;
    refused("a look at an unknown target", answer, ErrorKind::NotFound)
}

async fn unknown_version_is_not_found(sandbox: &RouterSandbox) -> Check {
    let old = sandbox.all_old();
    sandbox.set(&old).await?;
    let mut weights = old.clone();
    for weight in &mut weights {
        weight.digest = sandbox.unknown_version;
    }
    let answer = sandbox.provider.set_weights(&sandbox.context(), sandbox.request(&weights)).await;
    refused("a version without backend", answer, ErrorKind::NotFound)?;
    sandbox.in_effect(&old).await?;
    if sandbox.abilities().traffic_router.splitting != Splitting::Shares {
        return Ok(());
    }
    // Whole or not at all: neither is the half of it that it could do.
    let mut halves = sandbox.shares(50, 50);
    if let Some(second) = halves.last_mut() {
        second.digest = sandbox.unknown_version;
    }
    for _ in 0..2 {
        let request = sandbox.request(&halves);
        let answer = sandbox.provider.set_weights(&sandbox.context(), request).await;
        refused("a share of a version without backend", answer, ErrorKind::NotFound)?;
        sandbox.linger().await;
        sandbox.in_effect_now(&old).await?;
        halves.reverse();
    }
    Ok(())
}

async fn no_request_is_lost_to_a_change(sandbox: &RouterSandbox) -> Check {
    let (old, new) = (sandbox.all_old(), sandbox.some_new());
    sandbox.set(&old).await?;
    let changing = Cell::new(true);
    let changes = async {
        for _ in 0..CHANGES {
            sandbox.set(&new).await?;
            sandbox.set(&old).await?;
        }
        changing.set(false);
        Ok::<_, Broken>(())
    };
    let requests = async {
        for sent in 1_u32.. {
            if !changing.get() {
                break;
            }
            sandbox.send(1).await?;
            // As fast as can be, and yet so that time passes.
            if sent.is_multiple_of(16) {
                wait(Duration::from_millis(1)).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        Ok::<_, Broken>(())
    };
    tokio::try_join!(requests, changes).map(drop)
}

async fn abort_restores(sandbox: &RouterSandbox) -> Check {
    let (old, new) = (sandbox.all_old(), sandbox.some_new());
    sandbox.set(&old).await?;
    for round in 0..4 {
        let cx = sandbox.context();
        interrupt(sandbox.provider.set_weights(&cx, sandbox.request(&new)), round).await;
        sandbox.set(&old).await?;
        sandbox.linger().await;
        sandbox.in_effect_now(&old).await?;
    }
    sandbox.set(&new).await?;
    sandbox.set(&old).await?;
    if !sandbox.counts() {
        return Ok(());
    }
    sandbox.send(20).await?;
    match sandbox.served().await? {
        [20, 0] => Ok(()),
        served => {
            Err(broken("20 requests served by the old version alone", format!("{served:?} were")))
        }
    }
}

async fn dropped_call_leaves_no_mixture(sandbox: &RouterSandbox) -> Check {
    let (mut old, mut new) = (sandbox.all_old(), sandbox.some_new());
    sandbox.set(&old).await?;
    for round in 0..8 {
        let cx = sandbox.context();
        interrupt(sandbox.provider.set_weights(&cx, sandbox.request(&new)), round).await;
        let seen = one_of(sandbox, &old, &new).await?;
        // What `observe` told is so, and does not become something else behind its back.
        sandbox.linger().await;
        sandbox.in_effect_now(&seen).await?;
        sandbox.set(&new).await?;
        std::mem::swap(&mut old, &mut new);
    }
    Ok(())
}

async fn one_of(
    sandbox: &RouterSandbox,
    old: &[Weight],
    new: &[Weight],
) -> Result<Vec<Weight>, Broken> {
    let seen = sandbox.look().await?.weights;
    if same_shares(&seen, old) || same_shares(&seen, new) {
        return Ok(seen);
    }
    let expected = format!("either {} or {}", show(old), show(new));
    Err(broken(expected, format!("observed {}", show(&seen))))
}

async fn concurrent_sets_leave_no_mixture(sandbox: &RouterSandbox) -> Check {
    let (old, new) = (sandbox.all_old(), sandbox.some_new());
    sandbox.set(&old).await?;
    let mut calls = JoinSet::new();
    for weights in [&new, &old].into_iter().cycle().take(8) {
        let (provider, cx) = (Arc::clone(&sandbox.provider), sandbox.context());
        let request = sandbox.request(weights);
        calls.spawn(async move { provider.set_weights(&cx, request).await });
    }
    while let Some(answer) = calls.join_next().await {
        match answer {
            Ok(Ok(())) => {}
            // A fair answer to one who comes at the same time as another.
            Ok(Err(error))
                if error.kind() == ErrorKind::Conflict
                    && error.effect() == EffectCertainty::NotApplied => {}
            Ok(Err(error)) => return Err(broken("an answer to every call", error)),
            Err(error) => return Err(broken("an answer to every call", error)),
        }
        one_of(sandbox, &old, &new).await?;
    }
    one_of(sandbox, &old, &new).await.map(drop)
}

async fn served_follows_weights(sandbox: &RouterSandbox) -> Check {
    sandbox.set(&sandbox.all_old()).await?;
    sandbox.send(7).await?;
    for (percent, mean) in [(20, REQUESTS / 5), (80, REQUESTS * 4 / 5)] {
        sandbox.set(&sandbox.shares(100 - percent, percent)).await?;
        sandbox.send(REQUESTS).await?;
        let [old, new] = sandbox.served().await?;
        if old + new != REQUESTS {
            let expected = format!("{REQUESTS} served requests since the shares took effect");
            return Err(broken(expected, format!("{old} and {new} are counted")));
        }
        if new.abs_diff(mean) > TOLERANCE {
            let expected = format!("about {mean} of {REQUESTS} requests for {percent} %");
            return Err(broken(expected, format!("{new} were served")));
        }
    }
    Ok(())
}

async fn stale_writers_are_fenced(sandbox: &RouterSandbox) -> Check {
    let (before, after) = (sandbox.all_old(), sandbox.some_new());
    let [old, new, other] = sandbox.writers();
    sandbox.set_as(&old, &before).await?;
    sandbox.set_as(&new, &after).await?;
    let declared = sandbox.abilities().traffic_router.fencing == Fencing::Epochs;
    fenced(declared, sandbox.provider.set_weights(&old, sandbox.request(&before)).await)?;
    if !declared {
        return Ok(());
    }
    sandbox.linger().await;
    sandbox.in_effect_now(&after).await?;
    // Each run has epochs of its own, and the newest writer goes on.
    sandbox.set_as(&other, &before).await?;
    sandbox.set_as(&new, &after).await
}

async fn cancelled_call_is_refused(sandbox: &RouterSandbox) -> Check {
    let (old, new) = (sandbox.all_old(), sandbox.some_new());
    sandbox.set(&old).await?;
    let (provider, cx) = (&sandbox.provider, sandbox.context());
    cx.cancellation.cancel();
    let answer = sandbox.ends("a cancelled call", provider.set_weights(&cx, sandbox.request(&new)));
    refused("shares that were cancelled before", answer.await?, ErrorKind::Cancelled)?;
    let look = provider.observe(&cx, ObserveTraffic::new(sandbox.target.clone()));
    let answer = sandbox.ends("a cancelled look", look).await?;
    refused("a look that was cancelled before", answer, ErrorKind::Cancelled)?;
    sandbox.linger().await;
    sandbox.in_effect_now(&old).await?;
    for round in 0..8 {
        let cx = sandbox.context();
        let call = provider.set_weights(&cx, sandbox.request(&new));
        let answer = sandbox.ends("a cancelled call", cancel_half_way(call, &cx, round)).await?;
        if cancelled_or_done("shares", answer)? {
            // It says that nothing was done, and nothing will be.
            sandbox.linger().await;
            sandbox.in_effect_now(&old).await?;
            sandbox.linger().await;
            sandbox.in_effect_now(&old).await?;
        }
        one_of(sandbox, &old, &new).await?;
        sandbox.set(&old).await?;
    }
    Ok(())
}

async fn late_call_is_refused(sandbox: &RouterSandbox) -> Check {
    let (old, new) = (sandbox.all_old(), sandbox.some_new());
    sandbox.set(&old).await?;
    let (provider, cx) = (&sandbox.provider, sandbox.late_context());
    let answer = sandbox.ends("a late call", provider.set_weights(&cx, sandbox.request(&new)));
    refused("shares whose deadline has passed", answer.await?, ErrorKind::Timeout)?;
    let look = provider.observe(&cx, ObserveTraffic::new(sandbox.target.clone()));
    let answer = sandbox.ends("a late look", look).await?;
    refused("a look whose deadline has passed", answer, ErrorKind::Timeout)?;
    sandbox.linger().await;
    sandbox.in_effect_now(&old).await
}

async fn far_deadlines_change_nothing(sandbox: &RouterSandbox) -> Check {
    let weights = sandbox.some_new();
    sandbox.set_as(&sandbox.far_context(), &weights).await?;
    let look = ObserveTraffic::new(sandbox.target.clone());
    let seen = sandbox.provider.observe(&sandbox.far_context(), look).await;
    let seen = seen.map_err(|error| unanswered("an observation without hurry", &error))?;
    if !same_shares(&seen.weights, &weights) {
        let expected = format!("{} in effect", show(&weights));
        return Err(broken(expected, format!("observed {}", show(&seen.weights))));
    }
    let mut elsewhere = sandbox.request(&weights);
    elsewhere.target = sandbox.unknown_target.clone();
    let answer = sandbox.provider.set_weights(&sandbox.far_context(), elsewhere).await;
    refused("an unknown target, without hurry", answer, ErrorKind::NotFound)
}

async fn what_is_done_stays_done(sandbox: &RouterSandbox) -> Check {
    for weights in [sandbox.all_old(), sandbox.some_new()] {
        sandbox.set(&weights).await?;
        for _ in 0..3 {
            sandbox.linger().await;
        }
        sandbox.in_effect_now(&weights).await?;
    }
    Ok(())
}

#[async_trait(?Send)]
impl Meets for RouterSandbox {
    async fn meet(&self, trouble: Trouble) -> Check {
        let (weights, common) = (self.some_new(), self.common());
        self.set(&self.all_old()).await?;
        self.look().await?;
        let observe = |cx| -> BoxFuture<'static, _> {
            let look = ObserveTraffic::new(self.target.clone());
            let provider = Arc::clone(&self.provider);
            async move { provider.observe(&cx, look).await.map(|seen| format!("{seen:?}")) }.boxed()
        };
        let observe = Troubled { name: "observe", call: &observe, refused: None, acts: None };
        observe.meets(trouble, common).await?;
        let set = |cx| -> BoxFuture<'static, _> {
            let (provider, request) = (Arc::clone(&self.provider), self.request(&weights));
            async move { provider.set_weights(&cx, request).await.map(|()| "done".to_owned()) }
                .boxed()
        };
        let set = Troubled { name: "set_weights", call: &set, refused: None, acts: None };
        set.meets(trouble, common).await?;
        self.in_effect_now(&weights).await
    }
}

async fn secrets_stay_secret(sandbox: &RouterSandbox) -> Check {
    let mut said = sandbox.common().said(&sandbox.provider, &sandbox.describe());
    let [first, _] = &sandbox.subjects;
    let unknown = Weight::new(sandbox.unknown_version, first.version.clone(), 100);
    let mut elsewhere = sandbox.request(&sandbox.all_old());
    elsewhere.target = sandbox.unknown_target.clone();
    let sets = [
        ("shares", sandbox.request(&sandbox.some_new())),
        ("shares that do not add up", sandbox.request(&sandbox.shares(60, 60))),
        ("a share of an unknown version", sandbox.request(&[unknown])),
        ("shares in an unknown target", elsewhere),
    ];
    for (what, set) in sets {
        let look = ObserveTraffic::new(set.target.clone());
        let ask = async |cx: Context, when: &str| {
            let answer = sandbox.provider.set_weights(&cx, set.clone()).await;
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
