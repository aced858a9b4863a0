//! The suite of [`FlagStore`].

use std::sync::Arc;

use release_core::model::EnvironmentId;
use release_providers::ErrorKind;
use release_providers::spi::{FlagRef, FlagState, FlagStatus, FlagStore, KillFlag, SetFlag};

use crate::conformance::any::{ProviderSandbox, at_once, one_wins, suite, text};
use crate::conformance::{Broken, Check, broken, case, refused, stays, unanswered};
use crate::fixtures;

/// A flag store, and a flag of it that the suite may set.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type FlagStoreSandbox = ProviderSandbox<dyn FlagStore, FlagRef>;

/// How many change it at once.
const CALLERS: u8 = 8;

suite!(
    FlagStore,
    "flag_store",
    FlagStoreSandbox,
    acting,
    [
        case!(
            set_is_observed,
            "every state that is set is told, and each change has a greater revision"
        ),
        case!(
            same_state_keeps_its_revision,
            "the same state again changes nothing, not even the revision"
        ),
        case!(
            expected_revision_is_checked,
            "`Conflict` unless the flag has just the revision that was expected"
        ),
        case!(
            killed_stays_off,
            "a flag that is killed is off, says why, and is turned on by nobody who does not revive it"
        ),
        case!(
            one_of_many_changes_wins,
            "of many who change one revision at once, one does, and the others are told"
        ),
    ]
);

/// The store, and a flag that exists and that nobody else uses.
pub fn sandbox(
    provider: Arc<dyn FlagStore>,
    flag: impl Into<String>,
    environment: EnvironmentId,
) -> FlagStoreSandbox {
    ProviderSandbox::of(provider, FlagRef::new(flag.into(), environment))
        .deed(
            "set",
            |provider, cx, at| async move {
                text(provider.set(&cx, to(&at, FlagState::Share { percent: 30 })).await)
            },
            |provider, cx, at, _| async move {
                text(provider.observe(&cx, (*at).clone()).await.map(|status| status.state))
            },
        )
        .undone_by(|provider, cx, at| async move {
            text(provider.set(&cx, to(&at, FlagState::Off)).await)
        })
        .deed(
            "kill",
            |provider, cx, at| async move { text(provider.kill(&cx, killing(&at)).await) },
            |provider, cx, at, _| async move {
                text(provider.observe(&cx, (*at).clone()).await.map(|status| status.killed))
            },
        )
        .undone_by(|provider, cx, at| async move {
            let mut request = to(&at, FlagState::Off);
            request.revive = true;
            text(provider.set(&cx, request).await)
        })
        .look("observe", true, |provider, cx, at| async move {
            text(provider.observe(&cx, (*at).clone()).await)
        })
        .refusal("a look at an unknown flag", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = (*at).clone();
            request.flag.push_str("-that-nobody-has");
            text(provider.observe(&cx, request).await)
        })
        .refusal("an unknown flag", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = to(&at, FlagState::On);
            request.flag.push_str("-that-nobody-has");
            text(provider.set(&cx, request).await)
        })
        .refusal(
            "a flag of an unknown environment",
            ErrorKind::NotFound,
            |provider, cx, at| async move {
                let mut request = to(&at, FlagState::On);
                request.environment = nowhere();
                text(provider.set(&cx, request).await)
            },
        )
        .refusal(
            "a look into an unknown environment",
            ErrorKind::NotFound,
            |provider, cx, at| async move {
                let request = FlagRef::new(at.flag.clone(), nowhere());
                text(provider.observe(&cx, request).await)
            },
        )
        .refusal("killing an unknown flag", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = killing(&at);
            request.flag.push_str("-that-nobody-has");
            text(provider.kill(&cx, request).await)
        })
        .refusal("a share of more than all", ErrorKind::Invalid, |provider, cx, at| async move {
            text(provider.set(&cx, to(&at, FlagState::Share { percent: 101 })).await)
        })
}

fn nowhere() -> EnvironmentId {
    fixtures::literal("an-environment-that-nobody-has")
}

fn to(at: &FlagRef, state: FlagState) -> SetFlag {
    SetFlag::new(at.flag.clone(), at.environment.clone(), state)
}

fn killing(at: &FlagRef) -> KillFlag {
    KillFlag::new(
        at.flag.clone(),
        at.environment.clone(),
        "the suite: it looks what follows".into(),
    )
}

async fn set_is_observed(sandbox: &FlagStoreSandbox) -> Check {
    let mut last = look_at(sandbox).await?.revision;
    for state in [FlagState::On, FlagState::Share { percent: 7 }, FlagState::Off, FlagState::On] {
        set_to(sandbox, state).await?;
        let status = look_at(sandbox).await?;
        if status.state != state || status.revision <= last {
            let expected = format!("{state:?} with a revision after {last}");
            return Err(broken(expected, format!("observed {status:?}")));
        }
        last = status.revision;
    }
    Ok(())
}

async fn same_state_keeps_its_revision(sandbox: &FlagStoreSandbox) -> Check {
    set_to(sandbox, FlagState::On).await?;
    let before = look_at(sandbox).await?;
    set_to(sandbox, FlagState::On).await?;
    stays(&before, &look_at(sandbox).await?)
}

async fn expected_revision_is_checked(sandbox: &FlagStoreSandbox) -> Check {
    set_to(sandbox, FlagState::Off).await?;
    let before = look_at(sandbox).await?;
    let mut request = to(&sandbox.at, FlagState::On);
    request.expected = Some(before.revision.wrapping_add(1));
    let answer = sandbox.provider.set(&sandbox.context(), request.clone()).await;
    refused("a change of another revision", answer, ErrorKind::Conflict)?;
    stays(&before, &look_at(sandbox).await?)?;
    request.expected = Some(before.revision);
    let mut cx = sandbox.context();
    let answer = sandbox.provider.set(&cx, request.clone()).await;
    answer.map_err(|error| unanswered("a change of the revision that it has", &error))?;
    let changed = look_at(sandbox).await?;
    cx.attempt = 2;
    let answer = sandbox.provider.set(&cx, request).await;
    answer.map_err(|error| unanswered("the same change, asked for again", &error))?;
    stays(&changed, &look_at(sandbox).await?)
}

async fn killed_stays_off(sandbox: &FlagStoreSandbox) -> Check {
    set_to(sandbox, FlagState::On).await?;
    let before = look_at(sandbox).await?;
    let answer = sandbox.provider.kill(&sandbox.context(), killing(&sandbox.at)).await;
    answer.map_err(|error| unanswered("a kill", &error))?;
    let killed = look_at(sandbox).await?;
    let why = killing(&sandbox.at).reason;
    let is_so = killed.state == FlagState::Off && killed.killed.as_ref() == Some(&why);
    if !is_so || killed.revision <= before.revision {
        let expected = format!("Off, killed by `{why}`, with a revision after {}", before.revision);
        return Err(broken(expected, format!("{killed:?}")));
    }
    for state in [FlagState::On, FlagState::Share { percent: 1 }] {
        let request = to(&sandbox.at, state);
        let answer = sandbox.provider.set(&sandbox.context(), request.clone()).await;
        refused("what would turn a killed flag on", answer, ErrorKind::Conflict)?;
        let mut request = request;
        request.expected = Some(killed.revision);
        let answer = sandbox.provider.set(&sandbox.context(), request).await;
        refused("what would turn a killed flag on, of its revision", answer, ErrorKind::Conflict)?;
    }
    // It is off already, and by that is not alive again.
    set_to(sandbox, FlagState::Off).await?;
    let mut other = killing(&sandbox.at);
    other.reason.push_str(", once more");
    let answer = sandbox.provider.kill(&sandbox.context(), other).await;
    answer.map_err(|error| unanswered("a second kill", &error))?;
    stays(&killed, &look_at(sandbox).await?)?;
    let mut request = to(&sandbox.at, FlagState::Share { percent: 40 });
    request.revive = true;
    let answer = sandbox.provider.set(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a revival", &error))?;
    let alive = look_at(sandbox).await?;
    let is_so = alive.state == (FlagState::Share { percent: 40 }) && alive.killed.is_none();
    if is_so && alive.revision > killed.revision {
        return set_to(sandbox, FlagState::Off).await;
    }
    Err(broken("a share of 40, alive", format!("{alive:?}")))
}

async fn one_of_many_changes_wins(sandbox: &FlagStoreSandbox) -> Check {
    set_to(sandbox, FlagState::Off).await?;
    let before = look_at(sandbox).await?;
    let calls = (1..=CALLERS).map(|percent| {
        let mut request = to(&sandbox.at, FlagState::Share { percent });
        request.expected = Some(before.revision);
        let (provider, cx) = (Arc::clone(&sandbox.provider), sandbox.context());
        async move { provider.set(&cx, request.clone()).await.map(|()| request.state) }
    });
    let state = one_wins("a change of one revision", at_once(calls).await?)?;
    let after = look_at(sandbox).await?;
    if after.state == state && after.revision > before.revision {
        return Ok(());
    }
    Err(broken(format!("{state:?}, which was set"), format!("{after:?}")))
}

async fn set_to(sandbox: &FlagStoreSandbox, state: FlagState) -> Check {
    let answer = sandbox.provider.set(&sandbox.context(), to(&sandbox.at, state)).await;
    answer.map_err(|error| unanswered(&format!("a change to {state:?}"), &error))
}

async fn look_at(sandbox: &FlagStoreSandbox) -> Result<FlagStatus, Broken> {
    let answer = sandbox.provider.observe(&sandbox.context(), (*sandbox.at).clone()).await;
    answer.map_err(|error| unanswered("a look at the flag", &error))
}
