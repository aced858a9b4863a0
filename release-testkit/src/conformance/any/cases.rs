//! Which cases a suite has that others have too. A published list is never changed: new cases go to a new level.

use release_providers::layer::Provider;

use super::ProviderSandbox;
use super::acting::{
    a_lost_answer_is_found_by_looking, callers_at_once_do_it_once, done_again_is_done_once,
    nothing_else_happens_again, reopening_loses_nothing, what_is_done_is_seen,
    what_is_done_stays_done, what_was_cancelled_half_way_is_told_truly,
};
use super::refusing::{
    callers_at_once_hear_the_same, cancelled_calls_are_refused, far_deadlines_change_nothing,
    late_calls_are_refused, looking_changes_nothing, secrets_stay_secret,
    wrong_requests_are_refused,
};
use crate::conformance::{
    Broken, Case, Check, Sandbox as _, Trouble, broken, case, description_is_stable, troubled,
};

type All<T, D> = Vec<Case<ProviderSandbox<T, D>>>;

/// The cases of a trait that acts and looks.
pub(crate) fn acting<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    [every(), deeds(), looks(), refusals()].into_iter().flatten().collect()
}

/// The cases of a trait that only looks.
pub(crate) fn looking<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    [every(), looks(), refusals()].into_iter().flatten().collect()
}

/// The cases of a trait that only looks, and that cannot be asked anything wrong.
pub(crate) fn telling<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    [every(), looks()].into_iter().flatten().collect()
}

/// The cases of a trait that only acts.
pub(crate) fn sending<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    [every(), deeds(), refusals()].into_iter().flatten().collect()
}

fn every<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    vec![
        case!(description_is_stable, "a provider says who it is, always the same"),
        case!(
            cancelled_calls_are_refused,
            "`Cancelled` for a call that was cancelled before, with no effect"
        ),
        case!(
            late_calls_are_refused,
            "`Timeout` for a call whose deadline has passed, with no effect"
        ),
        case!(far_deadlines_change_nothing, "how far away a deadline is changes no answer"),
        troubled(Trouble::OutOfReach),
        troubled(Trouble::Denied),
        troubled(Trouble::Throttled),
        troubled(Trouble::Stalled),
        case!(
            secrets_stay_secret,
            "no error, answer, description or debug text holds a secret",
            |sandbox| sandbox.common().no_canary()
        ),
    ]
}

fn looks<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    vec![
        case!(looking_changes_nothing, "what only looks changes nothing, and may be asked again"),
        case!(callers_at_once_hear_the_same, "many may look at once, and all are answered"),
    ]
}

fn refusals<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    vec![case!(
        wrong_requests_are_refused,
        "what is wrong is refused as what it is, with no effect",
        |sandbox| sandbox.refusals.is_empty().then_some("request that is wrong")
    )]
}

fn deeds<T: ?Sized + Provider, D: Send + Sync + 'static>() -> All<T, D> {
    vec![
        case!(
            done_again_is_done_once,
            "asked again with the same key, it does nothing that is already done",
            |sandbox| sandbox.blind
        ),
        case!(
            what_is_done_is_seen,
            "what it says is done can be seen, and could not before",
            |sandbox| sandbox.blind
        ),
        case!(
            what_is_done_stays_done,
            "what was done still stands a little later, whoever looks",
            |sandbox| sandbox.blind
        ),
        case!(
            a_lost_answer_is_found_by_looking,
            "dropping the future leaves it done or not, and looking tells which",
            |sandbox| sandbox.blind
        ),
        case!(
            what_was_cancelled_half_way_is_told_truly,
            "an error with effect NotApplied means that nothing was done, and nothing will be",
            |sandbox| sandbox.blind
        ),
        case!(
            callers_at_once_do_it_once,
            "calls with one key are one operation, also at once",
            |sandbox| sandbox.blind
        ),
        case!(
            reopening_loses_nothing,
            "another instance knows what the one before did, and does none of it again",
            |sandbox| sandbox.no_reopen().or(sandbox.blind)
        ),
        case!(
            nothing_else_happens_again,
            "asked again with the same key, nothing happens either that only others can see",
            |sandbox| sandbox.outside.is_none().then_some("look at the service past the provider")
        ),
    ]
}

pub(super) fn same(what: &str, wanted: &str, found: &str) -> Check {
    if wanted == found { Ok(()) } else { Err(broken(format!("{what}: {wanted}"), found)) }
}

/// Demands that nothing that can be seen has changed.
pub(super) fn unchanged(what: &str, before: &[String], after: &[String]) -> Result<(), Broken> {
    let differs = before.iter().zip(after).find(|(before, after)| before != after);
    let Some((before, after)) = differs else { return Ok(()) };
    Err(broken(format!("{what}: {before}"), after))
}
