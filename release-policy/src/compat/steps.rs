//! The order of changes, so that after each all needs are met, and the way back to what was verified together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use release_core::model::{Digest, ServiceId};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::catalogue::broken;
use super::{Broken, Catalogue, Versions};
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

/// Changes that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knot {
    /// Each has to be made after the next one, and the last after the first; with the need for which that is so.
    pub steps: Vec<(Step, Broken)>,
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoOrder {
    /// Needs are not met even now.
    #[error("what is deployed does not fit together as it is: {}; mend that first", told(.0))]
    BrokenNow(Vec<Broken>),
    /// Needs would not be met in the end.
    #[error("what is aimed at does not fit together: {}", told(.0))]
    BrokenThen(Vec<Broken>),
    /// Changes wait for each other.
    #[error("{0}")]
    Knot(Knot),
}

fn told(broken: &[Broken]) -> String {
    broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
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

/// Versions that were verified together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifiedSet {
    /// The versions.
    pub versions: Versions,
    /// What proves it: the digest of a report, for example.
    pub evidence: Digest,
}

/// Why there is no way back: of each set that was verified, the last first, what stands against it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoWayBack {
    /// The sets by their evidence, and why not.
    pub tried: Vec<(Digest, String)>,
}

impl fmt::Display for NoWayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return f.write_str("nothing was verified together yet; verify a set, or go forward");
        }
        f.write_str("no verified set can be reached:")?;
        for (nth, (evidence, why)) in self.tried.iter().enumerate() {
            write!(f, "{} {}: {why}", if nth == 0 { "" } else { ";" }, evidence.short())?;
        }
        Ok(())
    }
}

impl Catalogue {
    /// The changes from `live` to `target`, in an order in which after each of them, and while it is being made, all needs are met: of
    /// those that can be next, always the first by name.
    ///
    /// A need concerns two services. Where both change, it says which of them goes first or nothing at all, and so there is an order just
    /// when these do not go round in a circle.
    ///
    /// # Errors
    /// [`NoOrder`] when needs are not met before or after, or when changes wait for each other: then a shortest circle of them.
    pub fn order(&self, live: &Versions, target: &Versions) -> Result<Vec<Step>, Box<NoOrder>> {
        for (versions, fault) in
            [(live, NoOrder::BrokenNow as fn(_) -> _), (target, NoOrder::BrokenThen)]
        {
            let broken = self.broken(versions);
            if !broken.is_empty() {
                return Err(Box::new(fault(broken)));
            }
        }
        self.steps(live, target).map_err(|knot| Box::new(NoOrder::Knot(knot)))
    }

    /// The changes in order, where what is met before and after stays met meanwhile.
    fn steps(&self, live: &Versions, target: &Versions) -> Result<Vec<Step>, Knot> {
        let services: BTreeSet<&ServiceId> = live.keys().chain(target.keys()).collect();
        let changes = services.into_iter().filter_map(|id| {
            let (from, to) = (live.get(id), target.get(id));
            let step = || Step { service: id.clone(), from: from.cloned(), to: to.cloned() };
            (from != to).then(step)
        });
        let steps: Vec<Step> = changes.collect();
        let numbers: BTreeMap<&ServiceId, usize> =
            steps.iter().enumerate().map(|(number, step)| (&step.service, number)).collect();
        let mut before: Vec<BTreeMap<usize, Broken>> = vec![BTreeMap::new(); steps.len()];
        for (number, step) in steps.iter().enumerate() {
            // The new version with the old one of what it needs, and the old version with the new one.
            for (own, is_new) in [(&step.to, true), (&step.from, false)] {
                let Some(version) = own else { continue };
                let needs = self.needs(&step.service, version).into_iter().flatten();
                for (on, requirement) in needs {
                    let Some((other, step_on)) =
                        numbers.get(on).and_then(|n| Some((*n, steps.get(*n)?)))
                    else {
                        continue;
                    };
                    let found = if is_new { &step_on.from } else { &step_on.to };
                    let need = (on, requirement);
                    let Some(broken) = broken((&step.service, version), need, found.as_ref())
                    else {
                        continue;
                    };
                    let (later, sooner) = if is_new { (number, other) } else { (other, number) };
                    if let Some(before) = before.get_mut(later) {
                        before.entry(sooner).or_insert(broken);
                    }
                }
            }
        }
        let numbered: Vec<Vec<usize>> =
            before.iter().map(|before| before.keys().copied().collect()).collect();
        let step = |number: usize| steps.get(number).cloned();
        match in_order(&numbered) {
            Ok(order) => Ok(order.into_iter().filter_map(step).collect()),
            Err(circle) => {
                let next = circle.iter().skip(1).chain(circle.first());
                let knot = circle.iter().zip(next).filter_map(|(one, next)| {
                    Some((step(*one)?, before.get(*one)?.get(next)?.clone()))
                });
                Err(Knot { steps: knot.collect() })
            }
        }
    }

    /// The last of the sets that were verified together, in the order in which they were, to which one can go back, and the changes on
    /// the way. Nothing but such a set is gone back to; what is deployed now is none. One can go back from what does not fit together,
    /// too: then what is met now stays met on the way, and in the end all is.
    ///
    /// # Errors
    /// [`NoWayBack`] says of each set why not.
    pub fn way_back<'a>(
        &self,
        live: &Versions,
        verified: &'a [VerifiedSet],
    ) -> Result<(&'a VerifiedSet, Vec<Step>), NoWayBack> {
        let mut tried = Vec::new();
        for set in verified.iter().rev().filter(|set| set.versions != *live) {
            let broken = self.broken(&set.versions);
            let why = if broken.is_empty() {
                match self.steps(live, &set.versions) {
                    Ok(steps) => return Ok((set, steps)),
                    Err(knot) => knot.to_string(),
                }
            } else {
                NoOrder::BrokenThen(broken).to_string()
            };
            tried.push((set.evidence, why));
        }
        Err(NoWayBack { tried })
    }
}
