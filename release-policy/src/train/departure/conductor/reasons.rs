//! Why a step is not admitted, in sentences, and until when.

use std::collections::BTreeSet;

use release_core::model::{BlockerId, RollbackScope, StopId, TeamId, Timestamp};
use release_core::plan::OnFailure;
use release_core::port::{Admission, Decision, Reason, ReasonKind};

use super::PlanFault;
use crate::train::departure::{Event, Next, Train, Why};

/// The rule's name in reasons.
pub(super) const RULE: &str = "train";

/// What a step is told that the train holds, which does `next` instead.
pub(super) fn held<'a>(
    train: &'a Train,
    events: &(impl Iterator<Item = &'a Event> + Clone),
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
            blockers.iter().map(|one| blocked(train, events.clone(), one, request.now)).collect(),
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

/// What a step is told whose plan cannot go where the train goes.
pub(super) fn contradicts<'a>(
    train: &Train,
    faults: impl Iterator<Item = &'a PlanFault>,
) -> Decision {
    let reason = |fault: &PlanFault| {
        let text = format!("`{}` cannot go this way: {fault}", train.id());
        Reason::new(RULE, text, "whoever plans the run or the train, with one order for both")
    };
    Decision::deny(faults.map(reason).collect())
}

/// What a step is told that waits for a stop of which its run shows too little ever to be done.
pub(super) fn lacks(
    train: &Train,
    (stop, first): (&StopId, &StopId),
    fault: &PlanFault,
) -> Decision {
    let id = train.id();
    let text = format!("`{stop}` of `{id}` begins after `{first}`, which is not done: {fault}");
    let lifted_by = format!("whoever brings the rest to `{first}` and says that it is done");
    Decision::deny(vec![Reason::new(RULE, text, lifted_by).kind(ReasonKind::Missing)])
}

/// Who holds a train, why, and who can let it go: as it was said last.
fn blocked<'a>(
    train: &'a Train,
    events: impl Iterator<Item = &'a Event>,
    blocker: &BlockerId,
    now: Timestamp,
) -> Reason {
    let said = train.held().iter().chain(events).filter(|event| event.at() <= now);
    let said = said.filter_map(|event| match event {
        Event::Blocked { blocker: one, by, reason, at } if one == blocker => Some((by, reason, at)),
        _ => None,
    });
    let last = said.max_by_key(|(.., at)| **at);
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
