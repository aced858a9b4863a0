//! Whether the requests of a version end before it is stopped, where no router counts them.

use std::collections::BTreeMap;

use release_core::model::{Target, TrackId};
use release_core::plan::{Action, Plan, Step};
use release_core::port::BindingError;

use super::Registry;

impl Registry {
    /// Whether plans are refused in which a version may be stopped while it has requests under way: those that stop it behind a router
    /// that does not declare [`counts_in_flight`](crate::RouterAbilities::counts_in_flight), with no time between its last change
    /// of shares there and that. They are, unless `false` is said here: for hosts whose instances finish what they have begun when they
    /// are told to end, as with `preStop` and `terminationGracePeriodSeconds` of Kubernetes.
    ///
    /// Where a router counts, the registry waits by itself until nothing is under way, and no plan is refused. Where none does, as with
    /// `HTTPRoute`s, nothing is waited for: a strategy keeps the old version for a fixed time (`keep_old`), which `check` of the
    /// [`Performer`](release_core::port::Performer) demands before a run begins. That is seen on the way forward alone. Of `recreate`, whose old
    /// version serves until it is stopped, nothing is demanded.
    ///
    /// # What has no `keep_old`
    /// Experiments with a share of the traffic, and `rolling`, stop instances right after their share is gone, with no time between: they
    /// need a router that counts. An experiment without a share is not refused.
    ///
    /// # What people can undo
    /// Behind a router that does not count, that fixed time is the only drain there is, and it is a bake.
    /// [`Command::EndBake`](release_core::run::Command::EndBake) on it (the step is called `keep-old`) stops the old version at once, with
    /// whatever it has under way. Plans are checked before a run begins and know nothing of that, so let rules allow `end_bake` there to
    /// those alone who may cut requests off.
    ///
    /// ```
    /// # use release_providers::Registry;
    /// # fn f(registry: Registry) -> Registry {
    /// // The instances here end what they have begun: nobody has to wait for that.
    /// registry.drained(false)
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
                        errors.extend(
                            self.uncounted(step, (&whole, deployment.target.track.as_ref())),
                        );
                    }
                }
                _ => {}
            }
        }
        errors
    }

    fn uncounted(
        &self,
        step: &Step,
        (target, track): (&Target, Option<&TrackId>),
    ) -> Option<BindingError> {
        let router = self.router_of(target)?.describe();
        if router.abilities.traffic_router.counts_in_flight {
            return None;
        }
        let advice = match track {
            Some(track) => format!(
                "an experiment keeps its instances no longer than their share: give the set on track `{track}` no share of the traffic, or use another router"
            ),
            None if of_a_batch(step) => "`rolling` stops instances right after each batch, with no time between: use another router, or another strategy".to_owned(),
            None => "keep the version for a while before it is stopped, as `keep_old` does, or use another router".to_owned(),
        };
        let problem = format!(
            "the traffic router `{}` does not declare that it can count requests under way (`counts_in_flight`), so that those of \
             the version would be cut off; {advice}; or say `Registry::drained(false)` where instances end what they have begun",
            router.name
        );
        Some(BindingError { step: step.id.clone(), problem })
    }
}

/// Whether it is a step of `rolling`, which replaces instances batch by batch.
fn of_a_batch(step: &Step) -> bool {
    let batch = |part: &str| {
        part.strip_prefix("batch-").is_some_and(|number| number.parse::<u32>().is_ok())
    };
    step.id.as_str().split('/').any(batch)
}

/// The target that a step without one stands in.
fn place(step: &Step) -> Option<Target> {
    let place = step.scope.place()?;
    let (region, service) = (place.region.clone()?, place.service.clone()?);
    Some(Target::new(place.environment.clone(), region, service))
}
