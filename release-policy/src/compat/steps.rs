//! The order of changes, so that after each all needs are met.

use std::cmp::Ordering;
use std::fmt;

use pubgrub::VersionSet as _;
use release_core::model::ServiceId;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::catalogue::{Need, Service};
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
    let (mut old, mut new) = (live.iter().peekable(), target.iter().peekable());
    let mut steps = Vec::new();
    loop {
        let which = match (old.peek(), new.peek()) {
            (Some((one, _)), Some((other, _))) => one.cmp(other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return steps,
        };
        let from = which.is_le().then(|| old.next()).flatten();
        let to = which.is_ge().then(|| new.next()).flatten();
        let name = from.or(to).map(|(name, _)| name);
        let (from, to) = (from.map(|(_, version)| version), to.map(|(_, version)| version));
        if let Some(name) = name.filter(|_| from != to) {
            let (service, from, to) = (name.clone(), from.cloned(), to.cloned());
            steps.push(Step { service, from, to });
        }
    }
}

/// A need for which one of two changes goes before the other: it would not be met if they were made the other way round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Who needs.
    by: &'a Step,
    /// Whether it needs that in its new version.
    is_new: bool,
    need: &'a Need,
    /// What is needed.
    of: &'a Step,
}

impl<'a> Asked<'a> {
    /// In which version it needs that.
    const fn version(&self) -> Option<&'a Version> {
        if self.is_new { self.by.to.as_ref() } else { self.by.from.as_ref() }
    }

    /// What would be there instead.
    const fn found(&self) -> Option<&'a Version> {
        if self.is_new { self.of.from.as_ref() } else { self.of.to.as_ref() }
    }

    pub(super) fn told(&self) -> Option<Broken> {
        let needs = (&self.of.service, &self.need.requirement);
        broken((&self.by.service, self.version()?), needs, self.found())
    }
}

/// A change with the numbers of its service and versions.
struct Numbered<'a> {
    nth: usize,
    step: &'a Step,
    number: usize,
    service: &'a Service,
    from: Option<usize>,
    to: Option<usize>,
}

impl Numbered<'_> {
    /// Whether one of its versions, which may be one that nobody knows, is what is needed.
    fn meets(&self, need: &Need, is_new: bool) -> bool {
        let (version, number) =
            if is_new { (&self.step.to, self.to) } else { (&self.step.from, self.from) };
        match number {
            Some(number) => need.fits.contains(&number),
            None => version.as_ref().is_some_and(|version| need.requirement.matches(version)),
        }
    }
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
        let places = |before: &Vec<(usize, Asked<'_>)>| before.iter().map(|(at, _)| *at).collect();
        let numbered: Vec<Vec<usize>> = before.iter().map(places).collect();
        match in_order(&numbered) {
            Ok(order) => {
                drop(before);
                let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
                let each = order.into_iter().filter_map(|number| steps.get_mut(number)?.take());
                Ok(each.collect())
            }
            Err(circle) => {
                let next = circle.iter().skip(1).chain(circle.first());
                let knot = circle.iter().zip(next).filter_map(|(one, next)| {
                    let (_, asked) = before.get(*one)?.iter().find(|(sooner, _)| sooner == next)?;
                    Some((steps.get(*one)?.clone(), asked.told()?))
                });
                Err(Knot { steps: knot.collect() })
            }
        }
    }

    /// By step, the steps that have to be made before it, in their order, with the need for which that is so.
    pub(super) fn befores<'a>(&'a self, steps: &'a [Step]) -> Vec<Vec<(usize, Asked<'a>)>> {
        let mut before: Vec<Vec<(usize, Asked<'a>)>> = vec![Vec::new(); steps.len()];
        // What the catalogue does not know needs nothing, and is needed by nothing.
        let known = steps.iter().zip(self.each(steps.iter().map(|step| &step.service)));
        let known = known.enumerate().filter_map(|(nth, (step, known))| {
            let (number, service) = known?;
            let of = |version: &Option<Version>| service.number(version.as_ref()?);
            let (from, to) = (of(&step.from), of(&step.to));
            Some(Numbered { nth, step, number, service, from, to })
        });
        let known: Vec<Numbered<'a>> = known.collect();
        for who in &known {
            // The new version with the old one of what it needs, and the old version with the new one.
            for (own, is_new) in [(who.to, true), (who.from, false)] {
                let offered = own.and_then(|nth| who.service.versions.get(nth));
                for need in offered.into_iter().flat_map(|offered| &offered.needs) {
                    let at = known.binary_search_by_key(&need.on, |other| other.number);
                    let Some(of) = at.ok().and_then(|at| known.get(at)) else { continue };
                    let with_old = of.meets(need, false);
                    let (later, sooner) = match is_new {
                        true if !with_old => (who.nth, of.nth),
                        // What is not met now need not be met meanwhile.
                        false if with_old && !of.meets(need, true) => (of.nth, who.nth),
                        _ => continue,
                    };
                    if let Some(before) = before.get_mut(later) {
                        before.push((sooner, Asked { by: who.step, is_new, need, of: of.step }));
                    }
                }
            }
        }
        for before in &mut before {
            before.sort_by_key(|(sooner, _)| *sooner);
            before.dedup_by_key(|(sooner, _)| *sooner);
        }
        before
    }
}
