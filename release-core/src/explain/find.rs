//! Finds all that stands between one step and its end.

use super::obstacle::{Lifter, Obstacle, ObstacleKind};
use super::view::View;
use crate::model::{Approval, Gate};
use crate::port::{Admission, Decision, EffectError, Reason};
use crate::run::{
    Active, Cause, Counted, Outcome, Phase, Places, RunState, Status, StepRef, Wait, WakeUp,
};
use crate::time::Timestamp;

/// Everything that stands between the step at `index` and its end at `view.at`, as things stand, in
/// the order in which one would lift it. Nothing, if it is done or goes on at once.
pub(super) fn obstacles(state: &RunState, index: u32, view: &View<'_>) -> Vec<Obstacle> {
    if let Some(why) = state.left_because(index) {
        let run = format!("goes on without {why}");
        return vec![Obstacle::new(ObstacleKind::GivenUp { run })];
    }
    if state.is_done(index) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let active = state.active(index);
    let error = || active.and_then(|active| active.error.as_deref().cloned());
    match (state.status(index), active.map(|active| (active, &active.wait))) {
        (Some(Status::Cancelled), _) => {
            found.push(Obstacle::new(ObstacleKind::GivenUp { run: what_it_does(state) }));
        }
        (_, Some((_, Wait::Operator { .. }))) if state.is_passed_over(index) => {
            stopping(state, &mut found);
        }
        (_, Some((_, Wait::Operator { unknown: true }))) => {
            found.push(Obstacle::new(ObstacleKind::NeedsReconcile { error: error() }));
        }
        (_, Some((_, Wait::Operator { unknown: false }))) => found.push(failed(true, error())),
        (Some(Status::Failed), _) => found.push(failed(false, why_it_stops(state, index))),
        (_, Some((Active { attempt, .. }, Wait::Outcome { deadline, mode }))) => {
            let (attempt, mode, deadline) = (*attempt, *mode, *deadline);
            found.push(Obstacle::new(ObstacleKind::UnderWay { attempt, mode, deadline }));
        }
        (_, Some((_, Wait::Bake { until }))) => {
            stopping(state, &mut found);
            if *until > view.at {
                found.push(Obstacle::new(ObstacleKind::Bake { until: *until }));
            }
        }
        (_, Some((_, Wait::Look { at }))) => {
            if *at > view.at {
                found.push(Obstacle::new(ObstacleKind::OutcomeUnknown { at: *at, error: error() }));
            }
            places(state, index, view, &mut found);
        }
        _ => not_started(state, index, view, &mut found),
    }
    found
}

fn failed(held: bool, error: Option<EffectError>) -> Obstacle {
    Obstacle::new(ObstacleKind::Failed { held, error })
}

/// What failed, if the run stops because this step did.
fn why_it_stops(state: &RunState, index: u32) -> Option<EffectError> {
    match state.phase() {
        Phase::Stopping(cause)
        | Phase::RollingBack(cause)
        | Phase::Finished(Outcome::Failed { cause } | Outcome::RolledBack { cause }) => match cause
        {
            Cause::StepFailed { step, message, .. } if step.index == index => {
                Some(EffectError::permanent("failed", message.clone()))
            }
            _ => None,
        },
        _ => None,
    }
}

fn what_it_does(state: &RunState) -> String {
    match state.phase() {
        Phase::Finished(outcome) => outcome.to_string(),
        Phase::RollingBack(cause) => format!("is rolling back: {cause}"),
        phase => match state.halted() {
            Some(cause) => format!("begins no further region: {cause}"),
            None => format!("is {}", phase.name()),
        },
    }
}

fn stopping(state: &RunState, found: &mut Vec<Obstacle>) {
    if let Phase::Stopping(cause) = state.phase() {
        found.push(Obstacle::new(ObstacleKind::Stopping { cause: cause.clone() }));
    }
}

/// The step has not started, or is to start again.
fn not_started(state: &RunState, index: u32, view: &View<'_>, found: &mut Vec<Obstacle>) {
    let wait = state.active(index).map(|active| &active.wait);
    let measures_again = state.measures_again(index);
    if state.is_idle_page(index) {
        found.push(Obstacle::new(ObstacleKind::NotCalled));
    }
    if state.status(index) == Some(Status::Pending) {
        found.extend(unfinished(state, index).into_iter().map(|other| dependency(state, other)));
    }
    stopping(state, found);
    let forward = *state.phase() == Phase::Forward;
    if state.is_paused() && forward && !measures_again && !state.lets_start(index) {
        found.push(Obstacle::new(ObstacleKind::Paused));
    }
    match wait {
        Some(Wait::Attempt { at }) if *at > view.at => {
            let error = state.active(index).and_then(|active| active.error.as_deref().cloned());
            found.push(Obstacle::new(ObstacleKind::Retry { at: *at, error }));
        }
        Some(Wait::Measurement { at }) if *at > view.at => {
            let left = state.measurements_left(index).unwrap_or(0);
            found.push(Obstacle::new(ObstacleKind::Measurement { at: *at, left }));
        }
        _ => {}
    }
    let from = found.len();
    gates(state, index, view, found);
    if !measures_again {
        policy(state, index, view, found);
    }
    let holding = found.get(from..).unwrap_or_default();
    let limits = view.permits(state, index);
    let late = match wait {
        // Who gives back wakes it.
        Some(Wait::Blocked(WakeUp::Permit)) if limits.is_some() => None,
        // Once its permits are all that holds it, what was said of them when it asked is what holds it.
        Some(Wait::Blocked(WakeUp::Permit)) if holding.is_empty() && !view.sees_limits() => {
            let reasons =
                state.active(index).map_or_else(Vec::new, |active| active.reasons.clone());
            Some(Obstacle::new(ObstacleKind::Permits { reasons }))
        }
        Some(Wait::Blocked(wake)) => asked_late(wake, holding, view.at),
        _ => None,
    };
    found.extend(limits.into_iter().chain(late));
    places(state, index, view, found);
}

/// The steps that the one at `index` still waits for, each once.
pub(super) fn unfinished(state: &RunState, index: u32) -> Vec<u32> {
    let waited_for = state.plan().predecessors(index).filter(|other| !state.is_done(*other));
    let mut all: Vec<_> = waited_for.collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn dependency(state: &RunState, other: u32) -> Obstacle {
    let status = state.status(other).unwrap_or(Status::Pending);
    Obstacle::new(ObstacleKind::Dependency { step: StepRef::of(state.plan(), other), status })
}

/// What gates would hold the step at `view.at`: all of them, as at admission.
fn gates(state: &RunState, index: u32, view: &View<'_>, found: &mut Vec<Obstacle>) {
    let since = state.active(index).map_or(view.at, |active| active.since);
    let people = |wanted: &Approval| match state.counted(wanted, view.at) {
        Counted::Enough => None,
        Counted::Lacking(have) => {
            let given = state.approvals_of(&wanted.id).iter();
            let hold = given.filter(|given| !given.is_over(wanted, view.at));
            let until = hold.filter_map(|given| given.ends(wanted)).min();
            Some(Obstacle::approval(wanted, have, until))
        }
        Counted::Rejected(text) => {
            let gate = wanted.id.clone();
            Some(Obstacle::new(ObstacleKind::Rejected { gate, text }))
        }
    };
    for gate in &state.plan().step(index).gates {
        match gate {
            Gate::Soak(span) if since.plus(*span) > view.at => {
                found.push(Obstacle::new(ObstacleKind::Soak { until: since.plus(*span) }));
            }
            Gate::NotBefore(at) if *at > view.at => {
                found.push(Obstacle::new(ObstacleKind::NotBefore { at: *at }));
            }
            Gate::Approval(wanted) => found.extend(people(wanted)),
            Gate::Soak(_) | Gate::NotBefore(_) => {}
        }
    }
    found.extend(state.passed_before(index).filter_map(people));
}

/// What the policy would say at `view.at`. It is asked about nothing that it cannot hold.
fn policy(state: &RunState, index: u32, view: &View<'_>, found: &mut Vec<Obstacle>) {
    let step = state.plan().step(index);
    if state.plan().in_rollback(index) {
        return;
    }
    let request = Admission::of(state, index, step, view.at);
    let Some(decision) = view.turn().admission(&request) else { return };
    let (denied, until, reasons) = match decision {
        Decision::Permit { .. } => return,
        Decision::Wait { until, reasons, .. } => (false, until.filter(|at| *at > view.at), reasons),
        Decision::Deny { reasons, .. } => (true, None, reasons),
    };
    // What lacks at gates, those can give who may approve there; all else is for whoever owns the rules.
    let lacking: Vec<_> = state.uncounted(index, &reasons).collect();
    let others = reasons.iter().filter(|why| !lacking.iter().any(|(_, lack)| lack == why));
    let others: Vec<_> = others.cloned().collect();
    for (wanted, why) in &lacking {
        let kind = ObstacleKind::Policy { denied, reasons: vec![Reason::clone(why)] };
        let who = Lifter::Person { roles: wanted.roles.clone() };
        found.push(Obstacle { who, ..Obstacle::new(kind) });
    }
    if lacking.is_empty() || !others.is_empty() {
        let kind = ObstacleKind::Policy { denied, reasons: others };
        found.push(Obstacle::new(kind).not_before(until));
    }
}

/// A blocked step is looked at again at an instant or for an input that was fixed when it was blocked.
/// Where that comes later than all that holds it now, it is an obstacle of its own.
fn asked_late(wake: &WakeUp, holding: &[Obstacle], now: Timestamp) -> Option<Obstacle> {
    let untimed = |obstacle: &Obstacle| obstacle.earliest.is_none();
    let at = match wake {
        WakeUp::Instant { at } => {
            let last = holding.iter().filter_map(|obstacle| obstacle.earliest).max();
            if *at <= now || last.is_some_and(|last| last >= *at) {
                return None;
            }
            Some(*at)
        }
        _ if holding.iter().any(untimed) => return None,
        WakeUp::Approval { .. } | WakeUp::Policy | WakeUp::Permit => None,
    };
    Some(Obstacle::new(ObstacleKind::AskedAgain { at }))
}

fn places(state: &RunState, index: u32, view: &View<'_>, found: &mut Vec<Obstacle>) {
    if let Some(Places { limit, in_flight, ahead }) = state.lacks_a_place(index, &view.turn()) {
        found.push(Obstacle::new(ObstacleKind::Places { limit, in_flight, ahead }));
    }
}
