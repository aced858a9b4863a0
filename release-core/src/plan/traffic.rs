//! What steps ask of routers: shares that add up, rules that make sense.

use std::collections::BTreeMap;

use super::{Action, Deployment, Plan, PlanError, PlanErrors, Step, Weight, graph};
use crate::ids::StepId;
use crate::model::{Digest, Target, TrafficRules};

/// A version in a target.
const fn key(deployment: &Deployment) -> (&Target, Digest) {
    (&deployment.target, deployment.artifact.digest())
}

/// What happens to a version in a target.
#[derive(Default)]
struct Way {
    ready: Vec<u32>,
    measured: Vec<u32>,
    /// Where it gets a share.
    served: Vec<u32>,
}

impl Plan {
    /// The steps that give a new version its first traffic though nothing was measured of it before: that its instances are ready is
    /// all that is known then. Stated before anything runs; a stage's [`before_traffic`](crate::model::Stage::before_traffic) is what
    /// takes a step off the list.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let definition: release_core::model::Definition = serde_json::from_str("{}")?;
    /// for step in release_core::plan::plan(&definition)?.unmeasured_before_traffic() {
    ///     println!("{step} serves users with a version of which no sample was seen");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn unmeasured_before_traffic(&self) -> Vec<&StepId> {
        let mut ways: BTreeMap<(&Target, Digest), Way> = BTreeMap::new();
        for (step, index) in self.steps().iter().zip(0_u32..) {
            match &step.action {
                Action::Probe { deployment, .. } => {
                    ways.entry(key(deployment)).or_default().ready.push(index);
                }
                Action::Analyze { deployment, .. } => {
                    ways.entry(key(deployment)).or_default().measured.push(index);
                }
                Action::Route { target, weights, .. } => {
                    for weight in weights.iter().filter(|weight| weight.percent > 0) {
                        ways.entry((target, weight.digest)).or_default().served.push(index);
                    }
                }
                _ => {}
            }
        }
        let Ok(order) = self.order() else { return Vec::new() };
        let ancestors = graph::Ancestors::new(&order, self.edges());
        let after = |step: u32, any: &[u32]| any.iter().any(|before| ancestors.has(step, *before));
        let first = ways.values().filter(|way| !way.ready.is_empty()).flat_map(|way| {
            let served = way.served.iter().filter(|step| !after(**step, &way.served));
            served.filter(|step| !after(**step, &way.measured))
        });
        let mut found: Vec<u32> = first.copied().collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|index| Some(&self.steps().get(index as usize)?.id)).collect()
    }
}

/// Finds steps, and what undoes them, that no router could do.
pub(super) fn check_steps(steps: &[Step]) -> Result<(), PlanErrors> {
    let mut errors = Vec::new();
    for step in steps {
        let undo = step.undo.compensations().iter().map(|undo| &undo.action);
        let actions = std::iter::once(&step.action).chain(undo);
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
        let mirrored = rules.mirror.as_ref().is_some_and(|mirror| all(mirror.to));
        mirrored.then(|| {
            "it copies requests to the version that gets all of them; leave that out".into()
        })
    })
}
