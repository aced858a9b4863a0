//! Whether the requests of a version end before it is stopped, where no router counts them.

use std::collections::BTreeMap;

use release_core::model::Target;
use release_core::plan::{Action, Plan, Step};
use release_core::port::BindingError;

use super::Registry;

impl Registry {
    /// Whether plans are refused in which a version may be stopped while it has requests under way: those that stop it behind a router
    /// that does not declare [`counts_in_flight`](crate::RouterAbilities::counts_in_flight), with no time between its last change
    /// of shares there and that. Off unless it is set.
    ///
    /// Where a router counts, the registry waits by itself until nothing is under way. Where none does, as with `HTTPRoute`s, nothing
    /// is waited for: instances have to finish what they have begun when they are told to end, or a strategy keeps the old version for a
    /// fixed time (`keep_old`). That is seen on the way forward alone. Of `recreate`, whose old version serves until it is
    /// stopped, nothing is demanded.
    ///
    /// ```
    /// # use release_providers::Registry;
    /// # fn f(registry: Registry) -> Registry {
    /// registry.drained(true)
    /// # }
    /// ```
    #[must_use]
    pub const fn drained(mut self, wanted: bool) -> Self {
        self.drained = wanted;
        self
    }

    /// The steps that stop a version as soon as it has lost its share, where nobody counts its requests.
    pub(super) fn undrained(&self, plan: &Plan) -> Vec<BindingError> {
        // Whether time has passed since the last change of shares. There is an order for every plan that was checked.
        let mut rested: BTreeMap<Target, bool> = BTreeMap::new();
        let mut errors = Vec::new();
        for index in plan.order().unwrap_or_default() {
            let Some(step) = plan.steps().get(index as usize) else { continue };
            match &step.action {
                Action::Route { target, .. } => {
                    rested.insert(target.clone(), false);
                }
                Action::Bake { .. } => {
                    let there = place(step).and_then(|target| rested.get_mut(&target));
                    if let Some(rested) = there {
                        *rested = true;
                    }
                }
                Action::Scale { deployment, replicas: 0, .. } => {
                    let whole = Target { track: None, ..deployment.target.clone() };
                    if rested.get(&whole) == Some(&false) {
                        errors.extend(self.uncounted(step, &whole));
                    }
                }
                _ => {}
            }
        }
        errors
    }

    fn uncounted(&self, step: &Step, target: &Target) -> Option<BindingError> {
        let router = self.router_of(target)?.describe();
        if router.abilities.traffic_router.counts_in_flight {
            return None;
        }
        let problem = format!(
            "the traffic router `{}` does not declare that it can count requests under way (`counts_in_flight`), so that those of \
             the version would be cut off; keep the version for a while before it is stopped, as `keep_old` does, or use another router",
            router.name
        );
        Some(BindingError { step: step.id.clone(), problem })
    }
}

/// The target that a step without one stands in.
fn place(step: &Step) -> Option<Target> {
    let place = step.scope.place()?;
    let (region, service) = (place.region.clone()?, place.service.clone()?);
    Some(Target::new(place.environment.clone(), region, service))
}
