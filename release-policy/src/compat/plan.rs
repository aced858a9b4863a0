//! Versions for a wish, together with an order that leads to them.

use std::collections::BTreeMap;

use release_core::model::ServiceId;
use semver::VersionReq;
use serde::{Deserialize, Serialize};

use pubgrub::VersionSet as _;

use super::fits::Set;
use super::resolve::{Circle, Question};
use super::{Broken, Catalogue, Knot, NoOrder, Order, ResolveError, Step, Versions};

/// How many sets of versions are tried at the most, until there is one to which an order leads.
pub const MOST_TARGETS: usize = 100;

/// Versions, and the way to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The versions.
    pub target: Versions,
    /// The changes.
    pub order: Order,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPlan {
    /// There are no versions.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Something stands against every change.
    #[error(transparent)]
    Order(Box<NoOrder>),
    /// There are versions, and no order leads to any.
    #[error(
        "to none of the versions that would do, one service can be changed after another; of the best of them, {first}"
    )]
    Knots {
        /// What stands against the best versions.
        first: Knot,
    },
    /// It was given up.
    #[error(
        "to none of {tried} sets of versions that would do, one service can be changed after another, and there may be more sets; wish for fewer services at once; of the best of them, {first}"
    )]
    TooMany {
        /// How many were tried.
        tried: usize,
        /// What stands against the best versions.
        first: Knot,
    },
}

impl Catalogue {
    /// The versions for a wish as [`resolve`](Self::resolve) has them, with an order that leads to them: the best of those to which any order
    /// leads that changes each service once.
    ///
    /// # Errors
    /// [`NoPlan`] says why there are no versions, that no order leads to any, or that none was found among the first [`MOST_TARGETS`].
    pub fn plan(
        &self,
        live: &Versions,
        wish: &BTreeMap<ServiceId, VersionReq>,
    ) -> Result<Plan, NoPlan> {
        let mut circles: Vec<Circle> = Vec::new();
        let mut first: Option<Knot> = None;
        loop {
            let target = match (Question::new(self, live, wish)?.answer(&circles), first.take()) {
                (Ok(_), Some(first)) if circles.len() >= MOST_TARGETS => {
                    return Err(NoPlan::TooMany { tried: circles.len(), first });
                }
                (Ok(target), before) => {
                    first = before;
                    target
                }
                (Err(ResolveError::Unsatisfiable(_)), Some(first)) => {
                    return Err(NoPlan::Knots { first });
                }
                (Err(why), _) => return Err(why.into()),
            };
            match self.order(live, &target).map_err(|why| *why) {
                Ok(order) => return Ok(Plan { target, order }),
                Err(NoOrder::Knot(knot)) => {
                    circles.push(self.circle(&knot));
                    first = first.or(Some(knot));
                }
                Err(other) => return Err(NoPlan::Order(Box::new(other))),
            }
        }
    }

    /// The versions with which the same changes wait for each other: of each step, those that have to come after the next one as well.
    fn circle(&self, knot: &Knot) -> Circle {
        let next = knot.steps.iter().skip(1).chain(knot.steps.first());
        let each = knot.steps.iter().zip(next).filter_map(|((step, need), (next, _))| {
            let (number, service) = self.find(&step.service)?;
            let from = step.from.as_ref().and_then(|from| service.number(from));
            let waits = service.versions.iter().enumerate().map(|(version, offered)| {
                from != Some(version) && self.waits((number, version), step, need, next)
                    || Some(&offered.version) == step.to.as_ref()
            });
            Some((number, Set::of_those(waits)))
        });
        each.collect()
    }

    /// Whether this version as well has to come after `next`.
    fn waits(
        &self,
        (service, version): (usize, usize),
        step: &Step,
        need: &Broken,
        next: &Step,
    ) -> bool {
        if need.service == step.service {
            // It needs more than what is there.
            let Some((on, other)) = self.find(&next.service) else { return false };
            let from = next.from.as_ref().and_then(|from| other.number(from));
            let needs = self.needs_of(service, version);
            return needs
                .iter()
                .filter(|one| one.on == on)
                .any(|one| !from.is_some_and(|from| one.fits.contains(&from)));
        }
        // What is there needs more than it.
        let offered = self.service(service).and_then(|one| one.versions.get(version));
        offered.is_some_and(|offered| !need.requirement.matches(&offered.version))
    }
}
