//! Whether what is said to undo a step does undo it.

use super::{Action, Compensation, PlanError, PlanErrors, Step, Undo, UndoPhase};

/// Finds steps with compensations of which none puts back what the step changes, and points of no return that nobody accepts. Which
/// of several compensations of a custom step are needed, only its author knows: one has to be there.
pub(super) fn check_steps(steps: &[Step]) -> Result<(), PlanErrors> {
    let faults = steps.iter().filter_map(|step| {
        let id = || step.id.clone();
        match &step.undo {
            Undo::Compensate(all) if !all.iter().any(|one| puts_back(&step.action, one)) => {
                step.action.mutates().then_some(PlanError::NotUndone { step: id() })
            }
            Undo::PointOfNoReturn { approver: None, .. } => {
                Some(PlanError::NoApprover { step: id() })
            }
            Undo::PointOfNoReturn { justification, .. } if justification.trim().is_empty() => {
                Some(PlanError::NoJustification { step: id() })
            }
            _ => None,
        }
    });
    let errors: Vec<_> = faults.collect();
    if errors.is_empty() { Ok(()) } else { Err(PlanErrors(errors)) }
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
