//! The suite of [`ChangeDesk`].

use std::sync::Arc;

use release_core::model::Digest;
use release_providers::ErrorKind;
use release_providers::spi::{
    ChangeDesk, ChangeKind, ChangeState, ChangeStatus, JobRef, OpenChange, UpdateChange,
};

use crate::conformance::any::{ProviderSandbox, outcome, suite, text};
use crate::conformance::{Broken, Check, broken, case, refused, unanswered};

/// A service desk at which the suite may open changes.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ChangeDeskSandbox = ProviderSandbox<dyn ChangeDesk, ()>;

suite!(
    ChangeDesk,
    "change_desk",
    ChangeDeskSandbox,
    acting,
    [
        case!(a_change_gets_one_ticket, "one key is one change request, whose ticket stays"),
        case!(what_is_told_is_observed, "the desk tells the state that it was told last"),
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

/// The desk.
pub fn sandbox(provider: Arc<dyn ChangeDesk>) -> ChangeDeskSandbox {
    ProviderSandbox::of(provider, ())
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

fn change() -> OpenChange {
    let plan = Digest::of(b"the plan of a conformance suite");
    OpenChange::new(ChangeKind::Normal, "conformance: please ignore".into(), plan)
}

async fn a_change_gets_one_ticket(sandbox: &ChangeDeskSandbox) -> Check {
    let (one, two) = (opened(sandbox).await?, opened(sandbox).await?);
    let (first, second) = (look_at(sandbox, &one).await?, look_at(sandbox, &two).await?);
    if first.ticket.is_none() || first.ticket == second.ticket {
        let found = format!("{:?} and {:?}", first.ticket, second.ticket);
        return Err(broken("two tickets for two changes", found));
    }
    let again = look_at(sandbox, &one).await?;
    if again == first {
        Ok(())
    } else {
        Err(broken(format!("{first:?} still"), format!("{again:?}")))
    }
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
    for end in [ChangeState::Failed, ChangeState::Withdrawn] {
        let key = opened(sandbox).await?;
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
