//! What a plan looks at right before a change of traffic.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::AuthorizedCommand;
use crate::model::Target;
use crate::plan::{Action, Deployment};

impl AuthorizedCommand {
    /// What was to be ready right before the step, and how many instances: what the steps that it waits for look at in its target, with
    /// nothing between them and it that is no look. They may have looked a while ago, since a run may wait for a resume, a freeze's
    /// end, a permit or a retry by hand; so whoever gives traffic looks again. On the way back, as few are enough as would have been
    /// enough then. Nothing for a step that gives nobody traffic.
    pub fn looked_for(&self) -> Vec<(Arc<Deployment>, u32)> {
        let Action::Route { target, .. } = &self.step().action else { return Vec::new() };
        let here = |other: &Target| {
            other.environment == target.environment
                && other.region == target.region
                && other.service == target.service
        };
        let plan = &self.mandate.plan;
        let mut open: Vec<u32> = plan.predecessors(self.step).collect();
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        while let Some(index) = open.pop() {
            if !seen.insert(index) {
                continue;
            }
            match plan.get(index).map(|step| &step.action) {
                Some(Action::Probe { deployment, min_ready }) if here(&deployment.target) => {
                    // The last look at each is what counts.
                    if !found.iter().any(|(known, _)| known == deployment) {
                        let least = match plan.alternate(index) {
                            Some(Action::Probe { min_ready: fewer, .. }) => *fewer.min(min_ready),
                            _ => *min_ready,
                        };
                        found.push((deployment.clone(), least));
                    }
                    open.extend(plan.predecessors(index));
                }
                Some(Action::Confirm { target, .. }) if here(target) => {
                    open.extend(plan.predecessors(index));
                }
                _ => {}
            }
        }
        found
    }
}
