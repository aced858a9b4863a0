//! Whether the requests of a version end before it is stopped, where no router counts them.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Gate, Span, Target, TrackId, TrafficRules};
use release_core::plan::{Action, OnFailure, Plan, Step, Weight};
use release_core::port::BindingError;

use super::Registry;

impl Registry {
    /// Whether plans are refused in which a version may be stopped while it has requests under way: those that stop it behind a router
    /// that does not declare [`counts_in_flight`](crate::RouterAbilities::counts_in_flight), with no time between its last change
    /// of shares there and that. They are, unless `false` is said here: for hosts whose instances finish what they have begun when they
    /// are told to end, as with `preStop` and `terminationGracePeriodSeconds` of Kubernetes.
    ///
    /// Where a router counts, the registry waits by itself until nothing is under way, and no plan is refused. Where none does, as with
    /// `HTTPRoute`s, nothing is waited for: a strategy keeps the old version for a fixed time (`keep_old`), which
    /// [`check_new`](release_core::port::Performer::check_new) demands before a run begins. Runs that are under way are never refused, but
    /// for a migration, which is asked about all of its plan. Any time
    /// counts that a plan lets pass there: bakes, soaks, looks of analyses. That is seen on the way forward alone, and of instances that are the
    /// last of their version. Of `recreate`, whose old version serves until it is stopped, nothing is demanded.
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
    pub(crate) fn undrained(&self, plan: &Plan) -> Vec<BindingError> {
        let mut places: BTreeMap<Target, Traffic<'_>> = BTreeMap::new();
        let mut errors = Vec::new();
        if !self.drained {
            return errors;
        }
        // There is an order for every plan that was checked.
        for index in plan.order().unwrap_or_default() {
            let Some(step) = plan.steps().get(index as usize) else { continue };
            if takes_time(step)
                && let Some(traffic) = place(step).and_then(|target| places.get_mut(&target))
            {
                traffic.rests();
            }
            match &step.action {
                Action::Route { target, weights, rules } => {
                    let traffic = places.entry(target.clone()).or_default();
                    traffic.goes_to(pools(weights, rules.as_deref()));
                }
                Action::Scale { deployment, replicas: 0, .. } => {
                    let track = deployment.target.track.as_ref();
                    let whole = Target { track: None, ..deployment.target.clone() };
                    let pool = (deployment.artifact.digest(), track);
                    if places.get(&whole).is_some_and(|traffic| traffic.may_still_reach(pool)) {
                        errors.extend(self.uncounted(step, (&whole, track)));
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
            None => "let time pass before it is stopped, as `keep_old` does for the old version and a bake with no share for the new one, or use another router".to_owned(),
        };
        let problem = format!(
            "the traffic router `{}` does not declare that it can count requests under way (`counts_in_flight`), so that those of \
             the version would be cut off; {advice}; or say `Registry::drained(false)` where instances end what they have begun",
            router.name
        );
        Some(BindingError { step: step.id.clone(), problem })
    }
}

/// Instances of one version: those of a track, or the others.
type Pool<'p> = (Digest, Option<&'p TrackId>);

/// What a plan has done with the traffic of a target so far.
#[derive(Default)]
struct Traffic<'p> {
    /// Whom it goes to; none before the first step that says so.
    now: Option<BTreeSet<Pool<'p>>>,
    /// Who had some, and has had none since the last change, with no time between.
    lost: BTreeSet<Pool<'p>>,
    /// Whether no time has passed since a change that began from what nobody here knows.
    unknown: bool,
    /// Whether no time has passed since any change.
    changing: bool,
}

impl<'p> Traffic<'p> {
    fn goes_to(&mut self, to: BTreeSet<Pool<'p>>) {
        match self.now.take() {
            Some(before) => self.lost.extend(before),
            None => self.unknown = true,
        }
        self.lost.retain(|pool| !to.contains(pool));
        self.now = Some(to);
        self.changing = true;
    }

    fn rests(&mut self) {
        self.lost.clear();
        (self.unknown, self.changing) = (false, false);
    }

    /// Whether these instances may have requests under way. A track is a plan's own, of which more is known than of what was there before.
    fn may_still_reach(&self, pool: Pool<'p>) -> bool {
        let has_some = self.now.as_ref().is_some_and(|now| now.contains(&pool));
        let lost = self.lost.contains(&pool) || (self.unknown && pool.1.is_none());
        self.changing && (has_some || lost)
    }
}

/// Whom requests go to, or copies of them.
fn pools<'p>(weights: &'p [Weight], rules: Option<&TrafficRules>) -> BTreeSet<Pool<'p>> {
    let shares = weights.iter().filter(|weight| weight.percent > 0);
    let shares = shares.map(|weight| (weight.digest, weight.track.as_ref()));
    shares.chain(rules.into_iter().flat_map(TrafficRules::targets).map(|to| (to, None))).collect()
}

/// Whether some time has passed for sure once a step is done, at its beginning or through all of it. An analysis may be over at its first
/// look where that is a bad one and nobody minds, or where one good finding is enough.
fn takes_time(step: &Step) -> bool {
    let soaks =
        step.gates.iter().any(|gate| matches!(gate, Gate::Soak(span) if *span > Span::ZERO));
    soaks
        || match &step.action {
            Action::Bake { duration } => *duration > Span::ZERO,
            Action::Analyze { analysis, until: None, .. } => {
                let is_minded = !analysis.dry_run && step.on_failure != OnFailure::Continue;
                let looks = analysis.consecutive_good.unwrap_or(analysis.count);
                let more = looks > 1 && analysis.interval > Span::ZERO;
                more && is_minded && !analysis.judge.sums_up()
            }
            _ => false,
        }
}

/// Whether it is a step of `rolling`, which replaces instances batch by batch.
fn of_a_batch(step: &Step) -> bool {
    let batch = |part: &str| {
        part.strip_prefix("batch-").is_some_and(|number| number.parse::<u32>().is_ok())
    };
    step.id.as_str().split('/').any(batch)
}

/// The target that a step is about, or stands in.
fn place(step: &Step) -> Option<Target> {
    if let Action::Scale { deployment, .. } | Action::Analyze { deployment, .. } = &step.action {
        return Some(Target { track: None, ..deployment.target.clone() });
    }
    if let Action::Route { target, .. } = &step.action {
        return Some(target.clone());
    }
    let place = step.scope.place()?;
    let (region, service) = (place.region.clone()?, place.service.clone()?);
    Some(Target::new(place.environment.clone(), region, service))
}
