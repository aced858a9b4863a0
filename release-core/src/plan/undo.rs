//! Whether what is said to undo a step does undo it.

use std::collections::BTreeSet;

use super::{Action, Compensation, PlanError, Step, Undo, UndoPhase};
use crate::flags::FlagKey;
use crate::ids::EnvironmentId;
use crate::model::{Digest, Target};

/// Finds compensations of which none puts back what the step changes, and points of no return that nobody accepts. Which
/// of several compensations of a custom step are needed, only its author knows: one has to be there.
pub(super) fn check_step(step: &Step, errors: &mut Vec<PlanError>) {
    let id = || step.id.clone();
    errors.extend(match &step.undo {
        Undo::Compensate(all) if !all.iter().any(|one| puts_back(&step.action, one)) => {
            step.action.mutates().then(|| PlanError::NotUndone { step: id() })
        }
        Undo::PointOfNoReturn { approver: None, .. } => Some(PlanError::NoApprover { step: id() }),
        Undo::PointOfNoReturn { justification, .. } if justification.trim().is_empty() => {
            Some(PlanError::NoJustification { step: id() })
        }
        _ => None,
    });
}

/// Finds steps that leave it to others to put back what they change, where none does. Of custom actions only their author knows.
pub(super) fn check_nothing(steps: &[Step], errors: &mut Vec<PlanError>) {
    let left = |step: &&Step| step.undo == Undo::Nothing && step.action.mutates();
    let left =
        steps.iter().filter(left).filter_map(|step| Some((step, Changed::of(&step.action)?)));
    let left: Vec<_> = left.collect();
    if left.is_empty() {
        return;
    }
    let undo = steps.iter().flat_map(|step| step.undo.compensations());
    let undone: BTreeSet<Changed<'_>> = undo.filter_map(|undo| Changed::of(&undo.action)).collect();
    let alone = left.into_iter().filter(|(_, changed)| !undone.contains(changed));
    errors.extend(alone.map(|(step, _)| PlanError::NotUndone { step: step.id.clone() }));
}

/// What an action changes, where that can be told.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Changed<'a> {
    Instances(&'a Target, Digest),
    Shares(&'a Target),
    Flag(&'a EnvironmentId, &'a FlagKey),
}

impl<'a> Changed<'a> {
    fn of(action: &'a Action) -> Option<Self> {
        match action {
            Action::Scale { deployment, .. } => {
                Some(Self::Instances(&deployment.target, deployment.artifact.digest()))
            }
            Action::Route { target, .. } => Some(Self::Shares(target)),
            Action::Flag(flag) => Some(Self::Flag(&flag.environment, &flag.flag)),
            _ => None,
        }
    }
}

/// Whether it puts back what `action` changed, as far as one can tell: what a custom action does, only its author knows.
fn puts_back(action: &Action, compensation: &Compensation) -> bool {
    let own = compensation.phase == UndoPhase::Tell;
    match (action, &compensation.action) {
        (Action::Custom { .. }, _) => true,
        (_, Action::Custom { .. }) => !own,
        (action, back) => {
            let changed = Changed::of(action);
            changed.is_some() && changed == Changed::of(back)
        }
    }
}
