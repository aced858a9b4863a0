//! What steps ask of routers: shares that add up, rules that make sense.

use super::{Action, PlanError, PlanErrors, Step, Undo, Weight};
use crate::model::{Digest, TrafficRules};

/// Finds steps, and what undoes them, that no router could do.
pub(super) fn check_steps(steps: &[Step]) -> Result<(), PlanErrors> {
    let mut errors = Vec::new();
    for step in steps {
        let undo = match &step.undo {
            Undo::Compensate(undo) => &undo[..],
            Undo::Undeclared | Undo::PointOfNoReturn { .. } => &[],
        };
        let actions = std::iter::once(&step.action).chain(undo.iter().map(|undo| &undo.action));
        for action in actions {
            let Action::Route { weights, rules, .. } = action else { continue };
            if let Some(problem) = problem(weights, rules.as_deref()) {
                errors.push(PlanError::BadTraffic { step: step.id.clone(), problem });
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(PlanErrors(errors)) }
}

fn problem(weights: &[Weight], rules: Option<&TrafficRules>) -> Option<String> {
    if let Some(problem) = Weight::problem(weights) {
        return Some(problem);
    }
    let rules = rules?;
    if weights.is_empty() {
        return Some("it has rules where nobody is served; leave them out".into());
    }
    rules.problem().or_else(|| {
        // A copy for who answers would be answered twice; a version without a share has to be told by somebody.
        let all = |digest: Digest| {
            weights.iter().any(|weight| weight.digest == digest && weight.percent == 100)
        };
        let mirrored = rules.mirror.is_some_and(|mirror| all(mirror.to));
        mirrored.then(|| {
            "it copies requests to the version that gets all of them; leave that out".into()
        })
    })
}
