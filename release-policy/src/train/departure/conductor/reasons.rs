//! Why a step is not admitted, in sentences, and until when.

use std::collections::BTreeSet;

use release_core::model::{BlockerId, RollbackScope, StopId, TeamId, Timestamp};
use release_core::plan::OnFailure;
use release_core::port::{Admission, Decision, Reason, ReasonKind};

use crate::train::departure::{Event, Next, Train, Why};

/// The rule's name in reasons.
pub(super) const RULE: &str = "train";

/// What a step is told that the train holds, which does `next` instead.
pub(super) fn held(
    train: &Train,
    events: &[Event],
    (request, stop): (&Admission<'_>, &StopId),
    next: Next,
) -> Decision {
    let id = train.id();
    let say = |text: String, lifted_by: &str| vec![Reason::new(RULE, text, lifted_by)];
    match next {
        Next::Begins { stop: first } | Next::Waits { why: Why::Stop { stop: first }, .. } => {
            let text = format!("`{stop}` of `{id}` begins after `{first}`, which is not done");
            Decision::wait(None, say(text, "the stop before, once it is done"))
        }
        Next::Waits { why: Why::Departure, until } => {
            let text = format!("`{id}` departs at {}", train.departs());
            Decision::wait(until, say(text, "time"))
        }
        Next::Waits { why: Why::Closed, until } => {
            let text =
                format!("`{id}` could not be through, or back, before nothing may be half done");
            Decision::wait(until, say(text, "time, or whoever plans the train"))
        }
        Next::Waits { why: Why::SyncPoint { point, missing }, .. } => {
            let text = format!("`{stop}` of `{id}` waits at `{point}` for {}", list(&missing));
            let reason = Reason::new(RULE, text, format!("{}, by saying so", list(&missing)));
            Decision::wait(None, vec![reason.kind(ReasonKind::Missing)])
        }
        Next::Waits { why: Why::Missed(missed), .. } => {
            let lifted_by = format!("{}, by saying that they are there", list(&missed.missing));
            let reason = Reason::new(RULE, missed.to_string(), lifted_by);
            Decision::deny(vec![reason.kind(ReasonKind::Missing)])
        }
        Next::Halts { blockers } => Decision::deny(
            blockers.iter().map(|one| blocked(train, events, one, request.now)).collect(),
        ),
        Next::GoesBack { before } => {
            let text = format!("`{id}` has to go back, to be back before {before}");
            let reason = Reason::new(RULE, text, "nothing: whoever conducts it cancels its runs");
            Decision::deny(vec![reason.kind(reverts(request))])
        }
        Next::Waits { why: Why::GoingBack, .. } => {
            Decision::deny(say(format!("`{id}` is on its way back"), "the next train"))
        }
        Next::WentBack => Decision::deny(say(format!("`{id}` went back"), "the next train")),
        Next::Through => Decision::deny(say(format!("`{id}` is through"), "the next train")),
    }
}

/// Who holds a train, why, and who can let it go.
fn blocked(train: &Train, events: &[Event], blocker: &BlockerId, now: Timestamp) -> Reason {
    let said = train.held().iter().chain(events).filter(|event| event.at() <= now);
    let last = said.rev().find_map(|event| match event {
        Event::Blocked { blocker: one, by, reason, at } if one == blocker => Some((by, reason, at)),
        _ => None,
    });
    let (id, why) = (train.id(), last.map(|(by, why, at)| format!(": {why} ({by}, at {at})")));
    let text = format!("`{blocker}` holds `{id}`{}", why.unwrap_or_default());
    let by = last.map_or_else(String::new, |(by, ..)| format!("{by}, or "));
    Reason::new(RULE, text, format!("{by}whoever mends `{blocker}` and says that it is cleared"))
}

/// Only what takes back all of the environment takes a train back; what would leave it half done is left to people.
const fn reverts(request: &Admission<'_>) -> ReasonKind {
    match request.step.on_failure {
        OnFailure::RollBack(RollbackScope::Environment | RollbackScope::Release) => {
            ReasonKind::Revert
        }
        _ => ReasonKind::Rule,
    }
}

fn list(teams: &BTreeSet<TeamId>) -> String {
    teams.iter().map(TeamId::as_str).collect::<Vec<_>>().join(", ")
}
