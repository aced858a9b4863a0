//! Short words for what the courses of runs often say.

use release_core::model::RollbackScope;
use release_core::plan::{OnFailure, Step};
use release_core::run::{Command, Event, Mode};

use super::drive::Run;
use super::samples::id;

pub(crate) fn back(step: Step) -> Step {
    step.on_failure(OnFailure::RollBack(RollbackScope::Release))
}

pub(crate) fn retry(step: &str) -> Command {
    Command::Retry { step: id(step) }
}

pub(crate) fn approve(gate: &str) -> Command {
    Command::Approve { gate: id(gate) }
}

pub(crate) fn reconcile(step: &str, applied: bool) -> Command {
    Command::Reconcile { step: id(step), applied }
}

pub(crate) fn failures(run: &Run) -> Vec<String> {
    run.facts
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::StepFailed { step, error, .. } => Some(format!("{} {}", step.id, error.kind)),
            _ => None,
        })
        .collect()
}

pub(crate) fn started(run: &Run) -> Vec<String> {
    run.facts
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::StepStarted { step, attempt, mode: Mode::Perform, .. } => {
                Some(format!("{} {attempt}", step.id))
            }
            Event::StepStarted { step, attempt, mode: Mode::Look, .. } => {
                Some(format!("{} {attempt} look", step.id))
            }
            _ => None,
        })
        .collect()
}
