//! The order of changes, so that after each all needs are met.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use release_core::model::ServiceId;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::faults::{broken, told};
use super::{Broken, Catalogue, Fault, Versions};
use crate::order::in_order;

/// One change of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The service.
    pub service: ServiceId,
    /// The version before; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version after; none where it is gone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Version>,
}

impl Step {
    /// Makes the change.
    pub fn apply(&self, live: &mut Versions) {
        match &self.to {
            Some(version) => live.insert(self.service.clone(), version.clone()),
            None => live.remove(&self.service),
        };
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "`{}` from {from} to {to}", self.service),
            (None, Some(to)) => write!(f, "`{}` {to} is new", self.service),
            (_, None) => write!(f, "`{}` goes", self.service),
        }
    }
}

/// Changes in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// One after the other.
    pub steps: Vec<Step>,
    /// What is at fault before the first of them already. No step adds to it; what of it the target does not mend, remains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Fault>,
}

/// Changes that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knot {
    /// Each has to be made after the next one, and the last after the first; with the need for which that is so.
    pub steps: Vec<(Step, Broken)>,
}

impl fmt::Display for Knot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these changes wait for each other:")?;
        let next = self.steps.iter().skip(1).chain(self.steps.first());
        for (nth, ((step, need), (other, _))) in self.steps.iter().zip(next).enumerate() {
            let and = if nth == 0 { "" } else { ";" };
            write!(f, "{and} {step} only after {other}, since {need}")?;
        }
        f.write_str("; offer a version that gets along with both sides, and go there first")
    }
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoOrder {
    /// Something would be at fault in the end that is not now, or nobody knows what a version needs that runs meanwhile.
    #[error("what is aimed at does not fit together: {}", told(.0))]
    Faults(Vec<Fault>),
    /// Changes wait for each other.
    #[error("{0}")]
    Knot(Knot),
}

/// The changes from `live` to `target`, by name.
pub(super) fn changes(live: &Versions, target: &Versions) -> Vec<Step> {
    let services: BTreeSet<&ServiceId> = live.keys().chain(target.keys()).collect();
    let changes = services.into_iter().filter_map(|id| {
        let (from, to) = (live.get(id), target.get(id));
        let step = || Step { service: id.clone(), from: from.cloned(), to: to.cloned() };
        (from != to).then(step)
    });
    changes.collect()
}

impl Catalogue {
    /// The changes from `live` to `target`, in an order in which after each of them, and while it is being made, all needs are met but for
    /// such as are not met now by the same version; those are told with it. Of the changes that can be next, always the first by name.
    ///
    /// A need concerns two services. Where both change, it says which of them goes first or nothing at all, and so there is an order just
    /// when these do not go round in a circle. Each service changes once: whether there is a way over versions between is not asked.
    ///
    /// # Errors
    /// [`NoOrder`] when something would be at fault in the end that is not now, or when changes wait for each other: then a shortest circle
    /// of them. A version that runs and that the catalogue does not know stands against every change of another service but an addition.
    pub fn order(&self, live: &Versions, target: &Versions) -> Result<Order, Box<NoOrder>> {
        let faults = self.against(live, target);
        if !faults.is_empty() {
            return Err(Box::new(NoOrder::Faults(faults)));
        }
        let steps = self.steps(live, target).map_err(|knot| Box::new(NoOrder::Knot(knot)))?;
        Ok(Order { steps, before: self.faults(live) })
    }

    /// The changes in order, where nothing stands against the target.
    fn steps(&self, live: &Versions, target: &Versions) -> Result<Vec<Step>, Knot> {
        let steps = changes(live, target);
        let before = self.befores(&steps);
        let numbered: Vec<Vec<usize>> =
            before.iter().map(|before| before.keys().copied().collect()).collect();
        match in_order(&numbered) {
            Ok(order) => {
                let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
                let each = order.into_iter().filter_map(|number| steps.get_mut(number)?.take());
                Ok(each.collect())
            }
            Err(circle) => {
                let next = circle.iter().skip(1).chain(circle.first());
                let knot = circle.iter().zip(next).filter_map(|(one, next)| {
                    Some((steps.get(*one)?.clone(), before.get(*one)?.get(next)?.clone()))
                });
                Err(Knot { steps: knot.collect() })
            }
        }
    }

    /// By step, the steps that have to be made before it, with the need for which that is so.
    pub(super) fn befores(&self, steps: &[Step]) -> Vec<BTreeMap<usize, Broken>> {
        let mut before: Vec<BTreeMap<usize, Broken>> = vec![BTreeMap::new(); steps.len()];
        // What the catalogue does not know needs nothing, and is needed by nothing.
        let known = steps.iter().enumerate();
        let known = known.filter_map(|(nth, step)| Some((self.find(&step.service)?, nth, step)));
        let known: Vec<_> = known.collect();
        for ((_, service), number, step) in known.iter().copied() {
            // The new version with the old one of what it needs, and the old version with the new one.
            for (own, is_new) in [(&step.to, true), (&step.from, false)] {
                let Some(version) = own else { continue };
                let offered = service.number(version).and_then(|nth| service.versions.get(nth));
                for need in offered.into_iter().flat_map(|offered| &offered.needs) {
                    let at = known.binary_search_by_key(&need.on, |((number, _), ..)| *number);
                    let Some((_, other, on_step)) = at.ok().and_then(|at| known.get(at)) else {
                        continue;
                    };
                    let (other, on, requirement) = (*other, &on_step.service, &need.requirement);
                    let unmet = |found: &Option<Version>| {
                        broken((&step.service, version), (on, requirement), found.as_ref())
                    };
                    let with_old = unmet(&on_step.from);
                    let (later, sooner, need) = match is_new {
                        true => (number, other, with_old),
                        // What is not met now need not be met meanwhile.
                        false if with_old.is_some() => continue,
                        false => (other, number, unmet(&on_step.to)),
                    };
                    if let (Some(before), Some(need)) = (before.get_mut(later), need) {
                        before.entry(sooner).or_insert(need);
                    }
                }
            }
        }
        before
    }
}
