//! The suite of [`ChangeDesk`].

use std::fmt;
use std::sync::Arc;

use release_core::model::Digest;
use release_providers::ErrorKind;
use release_providers::spi::{
    ChangeDesk, ChangeKind, ChangeState, ChangeStatus, JobRef, OpenChange, UpdateChange,
};

use crate::conformance::any::{ProviderSandbox, outcome, suite, text};
use crate::conformance::{
    Broken, Check, Hook, HookError, broken, case, hook, refused, stays, unanswered,
};

/// A service desk at which the suite may open changes.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ChangeDeskSandbox = ProviderSandbox<dyn ChangeDesk, Desk>;

/// Whoever decides at a desk.
#[derive(Clone, Default)]
#[must_use]
pub struct Desk {
    decide: Option<Hook<(String, ChangeState), ()>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk(decides: {})", self.decide.is_some())
    }
}

impl Desk {
    /// Nobody decides: what needs a decision is skipped, and said to be.
    pub fn unattended() -> Self {
        Self::default()
    }

    /// Decides at the desk, past the provider, on the change that was opened under a key: [`ChangeState::Approved`] or
    /// [`ChangeState::Rejected`].
    pub fn decided_by<F>(decide: impl Fn(String, ChangeState) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        Self { decide: Some(hook(move |(key, state)| decide(key, state))) }
    }
}

suite!(
    ChangeDesk,
    "change_desk",
    ChangeDeskSandbox,
    acting,
    [
        case!(a_change_gets_one_ticket, "one key is one change request, whose ticket stays"),
        case!(what_is_told_is_observed, "the desk tells the state that it was told last"),
        case!(
            what_was_said_is_said_once,
            "what is said or asked again under its key, however late, changes nothing of what came after it"
        ),
        case!(
            what_the_desk_decides_is_observed,
            "what is decided at the desk is told, and what was rejected is closed",
            |sandbox: &ChangeDeskSandbox| {
                sandbox.at.decide.is_none().then_some("somebody who decides at the desk")
            }
        ),
        case!(
            what_is_closed_stays_closed,
            "`Conflict` for what is told of a change that is closed"
        ),
        case!(
            nobodys_change_has_no_ticket,
            "a key that was never used has no ticket, which is no error"
        ),
    ]
);

/// The desk, and whoever decides there.
pub fn sandbox(provider: Arc<dyn ChangeDesk>, desk: Desk) -> ChangeDeskSandbox {
    ProviderSandbox::of(provider, desk)
        .deed(
            "open",
            |provider, cx, _| async move { text(provider.open(&cx, change()).await) },
            |provider, cx, _, key| async move {
                let answer = provider.observe(&cx, JobRef::new(key)).await;
                outcome(answer.map(|status| {
                    ((status.operation, status.ticket.is_some(), status.state), status.ticket)
                }))
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(provider.observe(&cx, JobRef::new("a change that nobody opened".into())).await)
        })
        .refusal("a change without a summary", ErrorKind::Invalid, |provider, cx, _| async move {
            let mut request = change();
            request.summary.clear();
            text(provider.open(&cx, request).await)
        })
        .refusal("what is told of no change", ErrorKind::NotFound, |provider, cx, _| async move {
            let nobodys = "a change that nobody opened".to_owned();
            text(provider.update(&cx, UpdateChange::new(nobodys, ChangeState::Implementing)).await)
        })
}

/// One that is allowed beforehand, so that it may be said to go on.
fn change() -> OpenChange {
    change_of(ChangeKind::Standard)
}

fn change_of(kind: ChangeKind) -> OpenChange {
    let plan = Digest::of(b"the plan of a conformance suite");
    OpenChange::new(kind, "conformance: please ignore".into(), plan)
}

async fn a_change_gets_one_ticket(sandbox: &ChangeDeskSandbox) -> Check {
    let (one, two) = (opened(sandbox).await?, opened(sandbox).await?);
    let (first, second) = (look_at(sandbox, &one).await?, look_at(sandbox, &two).await?);
    if first.ticket.is_none() || first.ticket == second.ticket {
        let found = format!("{:?} and {:?}", first.ticket, second.ticket);
        return Err(broken("two tickets for two changes", found));
    }
    stays(&first, &look_at(sandbox, &one).await?)
}

async fn what_is_told_is_observed(sandbox: &ChangeDeskSandbox) -> Check {
    let key = opened(sandbox).await?;
    for state in [ChangeState::Implementing, ChangeState::Succeeded] {
        tell(sandbox, &key, state).await.map_err(|error| unanswered("what was told", &error))?;
        let seen = look_at(sandbox, &key).await?.state;
        if seen != Some(state) {
            return Err(broken(format!("{state:?}"), format!("{seen:?}")));
        }
    }
    Ok(())
}

async fn what_is_closed_stays_closed(sandbox: &ChangeDeskSandbox) -> Check {
    for end in [ChangeState::Succeeded, ChangeState::Failed, ChangeState::Withdrawn] {
        let key = opened(sandbox).await?;
        if end != ChangeState::Withdrawn {
            let answer = tell(sandbox, &key, ChangeState::Implementing).await;
            answer.map_err(|error| unanswered("what was told", &error))?;
        }
        tell(sandbox, &key, end).await.map_err(|error| unanswered("its end", &error))?;
        let later = tell(sandbox, &key, ChangeState::Implementing).await;
        refused("what is told of a closed change", later, ErrorKind::Conflict)?;
        let seen = look_at(sandbox, &key).await?.state;
        if seen != Some(end) {
            return Err(broken(format!("{end:?} still"), format!("{seen:?}")));
        }
    }
    Ok(())
}

async fn what_was_said_is_said_once(sandbox: &ChangeDeskSandbox) -> Check {
    let cx = sandbox.context();
    let open = || sandbox.provider.open(&cx, change());
    open().await.map_err(|error| unanswered("a change", &error))?;
    let ticket = look_at(sandbox, &cx.key).await?.ticket;
    let mut said = Vec::new();
    for (state, note) in
        [(ChangeState::Implementing, "begun"), (ChangeState::Succeeded, "as wanted")]
    {
        let mut entry = UpdateChange::new(cx.key.clone(), state);
        note.clone_into(&mut entry.note);
        let under = sandbox.context();
        let answer = sandbox.provider.update(&under, entry.clone()).await;
        answer.map_err(|error| unanswered("what was told", &error))?;
        sandbox.linger().await;
        let outside = sandbox.outside().await?;
        // All that was said so far, and the change itself, once more; the oldest last.
        said.push((under, entry));
        for (under, entry) in said.iter().rev() {
            let mut again = under.clone();
            again.attempt = 2;
            let answer = sandbox.provider.update(&again, entry.clone()).await;
            answer.map_err(|error| unanswered("what was told, again", &error))?;
        }
        open().await.map_err(|error| unanswered("the same change again", &error))?;
        let seen = look_at(sandbox, &cx.key).await?;
        if seen.state != Some(state) || seen.ticket != ticket {
            let expected = format!("{state:?} of {ticket:?} still, after all was said again");
            return Err(broken(expected, format!("{seen:?}")));
        }
        sandbox.linger().await;
        let after = sandbox.outside().await?;
        if after != outside {
            return Err(broken(format!("the same seen from outside: {outside}"), after));
        }
    }
    Ok(())
}

async fn what_the_desk_decides_is_observed(sandbox: &ChangeDeskSandbox) -> Check {
    let Some(decide) = &sandbox.at.decide else { return Ok(()) };
    for decision in [ChangeState::Approved, ChangeState::Rejected] {
        let cx = sandbox.context();
        let answer = sandbox.provider.open(&cx, change_of(ChangeKind::Normal)).await;
        answer.map_err(|error| unanswered("a change", &error))?;
        let decided = decide((cx.key.clone(), decision)).await;
        decided.map_err(|error| broken("a decision at the desk", error))?;
        let seen = sandbox.until(async || {
            let state = look_at(sandbox, &cx.key).await?.state;
            Ok(if state == Some(decision) { Ok(()) } else { Err(state) })
        });
        seen.await?
            .map_err(|last| broken(format!("{decision:?}, as decided"), format!("{last:?}")))?;
        if decision == ChangeState::Rejected {
            let later = tell(sandbox, &cx.key, ChangeState::Implementing).await;
            refused("what is told of a rejected change", later, ErrorKind::Conflict)?;
        }
    }
    Ok(())
}

async fn nobodys_change_has_no_ticket(sandbox: &ChangeDeskSandbox) -> Check {
    let status = look_at(sandbox, &sandbox.context().key).await?;
    if status.ticket.is_none() && status.state.is_none() {
        return Ok(());
    }
    Err(broken("no ticket and no state", format!("{status:?}")))
}

async fn opened(sandbox: &ChangeDeskSandbox) -> Result<String, Broken> {
    let cx = sandbox.context();
    let answer = sandbox.provider.open(&cx, change()).await;
    answer.map(|()| cx.key).map_err(|error| unanswered("a change", &error))
}

async fn tell(
    sandbox: &ChangeDeskSandbox,
    key: &str,
    state: ChangeState,
) -> Result<(), release_providers::ProviderError> {
    let request = UpdateChange::new(key.to_owned(), state);
    sandbox.provider.update(&sandbox.context(), request).await
}

async fn look_at(sandbox: &ChangeDeskSandbox, key: &str) -> Result<ChangeStatus, Broken> {
    let request = JobRef::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    let status = answer.map_err(|error| unanswered("a look at the change", &error))?;
    if status.operation == key {
        return Ok(status);
    }
    Err(broken(format!("what became of `{key}`"), format!("it tells of `{}`", status.operation)))
}
