//! How a run left the traffic of each target, and whether what a router shows is still that.

use std::collections::BTreeMap;

use crate::ids::StepId;
use crate::model::{Target, TrafficRules};
use crate::plan::{Action, FrozenPlan, Weight};
use crate::port::Evidence;
use crate::run::{Event, Fact};
use crate::time::Timestamp;

/// How a run had the traffic of a target distributed last, as the router showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Routed {
    /// Where.
    pub target: Target,
    /// The shares in effect.
    pub weights: Vec<Weight>,
    /// What holds beside them.
    pub rules: Option<TrafficRules>,
    /// The step that set it, or that looked last whether it is so.
    pub step: StepId,
    /// When that was.
    pub at: Timestamp,
}

impl Routed {
    /// Each target whose traffic a run changed and was seen to be as it was set, in the order of the targets. Those are left out for
    /// which a change began of which nobody saw that it took effect: how they are nobody knows.
    pub(super) fn of(facts: &[Fact], plan: &FrozenPlan) -> Vec<Self> {
        let mut left: BTreeMap<Target, Self> = BTreeMap::new();
        for fact in facts {
            match &fact.event {
                Event::StepStarted { step, .. } => {
                    let action = plan.get(step.index).map(|step| &step.action);
                    if let Some(Action::Route { target, .. }) = action {
                        left.remove(target);
                    }
                }
                Event::StepSucceeded {
                    step,
                    evidence: Evidence::Weights { target, weights, rules, .. },
                    ..
                } => {
                    let routed = Self {
                        target: target.clone(),
                        weights: weights.clone(),
                        rules: rules.as_deref().cloned(),
                        step: step.id.clone(),
                        at: fact.at,
                    };
                    left.insert(target.clone(), routed);
                }
                _ => {}
            }
        }
        left.into_values().collect()
    }

    /// Whether traffic that is distributed so is as the run left it, in whatever order it is told.
    pub fn is_still(&self, weights: &[Weight], rules: Option<&TrafficRules>) -> bool {
        Weight::same_shares(&self.weights, weights) && self.rules.as_ref() == rules
    }

    /// The distribution in words.
    pub fn in_words(&self) -> String {
        Weight::in_words(&self.weights, self.rules.as_ref())
    }
}
