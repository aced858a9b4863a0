//! Whether what is said to undo a step does undo it.

use super::{Action, Compensation, PlanError, Step, Undo, UndoPhase};

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

/// Whether it puts back what `action` changed, as far as one can tell: what a custom action does, only its author knows.
fn puts_back(action: &Action, compensation: &Compensation) -> bool {
    let own = compensation.phase == UndoPhase::Tell;
    match (action, &compensation.action) {
        (Action::Custom { .. }, _) => true,
        (_, Action::Custom { .. }) => !own,
        (Action::Scale { deployment, .. }, Action::Scale { deployment: back, .. }) => {
            deployment.target == back.target
                && deployment.artifact.digest() == back.artifact.digest()
        }
        (Action::Route { target, .. }, Action::Route { target: back, .. }) => target == back,
        (Action::Flag(flag), Action::Flag(back)) => {
            (&flag.environment, &flag.flag) == (&back.environment, &back.flag)
        }
        _ => false,
    }
}
