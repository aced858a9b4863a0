//! A train as a policy of the engine: what its journey does not let begin or go on is not admitted.

mod fit;
mod follow;
mod reasons;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use release_core::model::{
    Digest, EnvironmentId, RegionId, ReleaseId, ServiceId, StopId, Target, Timestamp, TrainId,
};
use release_core::plan::{Action, Plan, Step};
use release_core::port::{Admission, CommandRequest, Decision, Inputs, Policy, Reason, ReasonKind};
use release_core::run::RunState;
use semver::Version;

pub use fit::{PlanFault, PlanMismatch};
pub use told::{MAX_TOLD, TellError};

use self::fit::PlanStops;
use self::follow::Plans;
use self::reasons::{RULE, held};
use self::told::Told;
use super::holds::has_begun;
use super::{Behind, Boarded, Event, Missed, Next, NotProven, Train, Why};
use crate::compat::{Versions, brings};

/// Why nobody conducts a train.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConductorError {
    /// What is aboard may not depart.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// Who boarded is no car of this train, or not in that version.
    #[error(
        "`{service}` {version} boarded, and is no car of `{train}`; take what boarded this one"
    )]
    NoCar {
        /// The train.
        train: TrainId,
        /// The service that boarded.
        service: ServiceId,
        /// Its version.
        version: Version,
    },
    /// No run would obey it.
    #[error("no runs are named that bring `{0}`; name the trains of their definitions")]
    NoRuns(TrainId),
}

/// A policy by which the engine obeys a [`Train`]. Meant for [`AllOf`](crate::AllOf). Cheap to clone; all clones are one.
///
/// Before each effect of a run that goes forward in a region of the train's environment, it looks at which of the train's stops that
/// is, and whether the journey lets that begin or go on just then ([`Train::holds`]). So no stop begins before those before it are done,
/// before the departure, before all are there who are awaited, while something blocks the train, or when it could be half done in a
/// time in which nothing may be. A stop that began goes on, unless the train has to go back. It concerns the services that
/// are aboard, and what belongs to no service, in runs of the definitions that are named ([`Admission::train`]); what others change,
/// and what hotfixes and other departures do, it lets pass. A car that stayed behind is let in nowhere in the version
/// that stayed behind, and what is aboard is let in at no region that is no stop. A rollback is never held.
///
/// # What a host does
/// It [tells](Self::tell) of blockers, of what mended them, and of teams that came. That stops began and are done, the conductor sees by
/// itself in the run that asks: a stop began when something was first changed in a region of it, and it is done when all steps of its
/// regions are, but for those that tidy up behind. It sees so only where one run brings all that is aboard to all regions of the stop;
/// where several do, the host tells of [`Event::Done`] ([`Event::LeftBehind`] if nothing was changed there), and of [`Event::Began`] for
/// runs that have only other stops. Until it does, steps of later stops are denied with what their run lacks ([`PlanFault::Lacks`]).
///
/// A region or a service that the run leaves behind is over as well, once it was put back, and so is what is given up when no further
/// region begins: the train goes on with the rest, even if a stop failed wholly, since the criteria of the plan
/// (`stop_after_failed_regions`) let it. Who wants it to stop then tells of a blocker, or sets those criteria to one.
///
/// Before it starts a run, it asks whether its plan [fits](Self::fits). One that goes to stops in another order than the train is denied
/// at the first step of a stop that has not begun, since it could never come to an end.
///
/// What is denied or waits for others is asked for again within 30 s, or at once if the host calls `RunHandle::reconsider` whenever
/// [`tell`](Self::tell) says that something is new. What only waits for its time is asked for again just then.
///
/// Once a tick, a host looks what the train does ([`next`](Self::next)), and whom to call ([`missed`](Self::missed)). Where it has to go
/// back ([`Next::GoesBack`]), the host cancels its runs: effects that wait are denied then, and where a failure of theirs takes all of
/// the environment back, that denial does ([`ReasonKind::Revert`]); but a run in which everybody only bakes asks for nothing.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use release_core::model::{Digest, Span, Timestamp};
/// use release_policy::AllOf;
/// use release_policy::compat::VerifiedSet;
/// use release_policy::train::departure::{Car, Conductor, Event, Next, Stop, StraddleRule, Train, TrainSpec};
/// use semver::Version;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let departs: Timestamp = "2026-12-08T09:00:00Z".parse()?;
/// let (one, two, hour) = (Version::new(1, 0, 0), Version::new(2, 0, 0), Span::secs(3_600));
/// let stop = |id: &str, region: &str| {
///     let regions = [region.parse()?].into();
///     Ok::<_, Box<dyn std::error::Error>>(Stop { id: id.parse()?, regions, takes: hour })
/// };
/// let train = Train::new(TrainSpec {
///     id: "weekly-20261208".parse()?,
///     environment: "production".parse()?,
///     cut: departs,
///     boarding_rule: Default::default(),
///     cars: vec![Car::new("api".parse()?, two.clone(), "web".parse()?).ready(departs)],
///     shared: vec![],
///     departs,
///     stops: vec![stop("few", "eu-west")?, stop("all", "us-east")?],
///     sync_points: vec![],
///     blockers: vec![],
///     straddle_rule: StraddleRule { closed: vec![], back: hour },
///     tick: Span::secs(60),
/// })?;
/// let tested = VerifiedSet::of(BTreeMap::from([("api".parse()?, two)]), Digest::of(b"report 7"));
/// let boarded = train.board(&BTreeMap::from([("api".parse()?, one)]), &[tested])?;
///
/// // Runs of definitions of the train `shop` bring it.
/// let conductor = Conductor::new(train, &boarded, ["shop".parse()?])?;
/// let policy = AllOf::new().and(conductor.clone()); // for the engine
/// let (blocker, by) = ("bug-7".parse()?, "ann".parse()?);
/// conductor.tell(Event::Blocked { blocker, by, reason: "500s in checkout".into(), at: departs })?;
/// assert!(matches!(conductor.next(None, departs), Next::Halts { .. }));
/// # drop(policy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Conductor {
    fixed: Arc<Fixed>,
    told: Told,
    plans: Plans,
    /// Plans of which trains it concerns.
    of: BTreeSet<TrainId>,
    /// And of which releases; none: of all.
    releases: BTreeSet<ReleaseId>,
}

/// What does not change on the way.
struct Fixed {
    train: Train,
    aboard: Versions,
    /// Cars that stayed behind, in which version, and why.
    behind: BTreeMap<ServiceId, (Version, Behind)>,
    /// The place of each region's stop.
    stops: BTreeMap<RegionId, usize>,
    digest: Digest,
}

impl fmt::Debug for Conductor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let train = self.fixed.train.id();
        f.debug_struct("Conductor")
            .field("train", train)
            .field("of", &self.of)
            .field("releases", &self.releases)
            .finish_non_exhaustive()
    }
}

impl Conductor {
    /// Conducts a train with what boarded it, in the runs whose plans are `of` these trains, as their definitions call them
    /// ([`Plan::train`]). All others pass, as those of a hotfix or of another team do. Where departures of one definition overlap, name
    /// the [release](Self::release) of each as well, or they hold each other.
    ///
    /// # Errors
    /// [`ConductorError`] where what is aboard may not depart, or is not of this train, or where no runs are named.
    pub fn new(
        train: Train,
        boarded: &Boarded,
        of: impl IntoIterator<Item = TrainId>,
    ) -> Result<Self, ConductorError> {
        let of: BTreeSet<_> = of.into_iter().collect();
        if of.is_empty() {
            return Err(ConductorError::NoRuns(train.id().clone()));
        }
        let (aboard, _) = boarded.departing()?;
        let cars: BTreeMap<_, _> =
            train.spec().cars.iter().map(|car| (&car.service, &car.version)).collect();
        if let Some((service, version)) =
            aboard.iter().find(|(service, version)| cars.get(service) != Some(version))
        {
            let (train, service) = (train.id().clone(), service.clone());
            return Err(ConductorError::NoCar { train, service, version: version.clone() });
        }
        let behind = boarded.behind.iter().filter_map(|(service, why)| {
            let version = (*cars.get(service)?).clone();
            Some((service.clone(), (version, why.clone())))
        });
        let (behind, aboard) = (behind.collect(), aboard.clone());
        let stops = train.spec().stops.iter().enumerate();
        let stops =
            stops.flat_map(|(nth, stop)| stop.regions.iter().map(move |id| (id.clone(), nth)));
        let (stops, digest) = (stops.collect(), told::rules(&train, &aboard));
        let told = Told::of(&train);
        let fixed = Arc::new(Fixed { train, aboard, behind, stops, digest });
        Ok(Self { fixed, told, plans: Plans::default(), of, releases: BTreeSet::new() })
    }

    /// Of those runs it concerns only the ones that bring this release ([`Plan::release`]), and others that are named so. Say it before the
    /// conductor is cloned: each clone knows what was said of it.
    #[must_use]
    pub fn release(mut self, release: ReleaseId) -> Self {
        self.releases.insert(release);
        self
    }

    /// Whether a run of `plan` can go where the train goes. A host asks before it starts one.
    ///
    /// Costs time in proportion to the plan, and to what is aboard in all regions of the stops.
    ///
    /// # Errors
    /// [`PlanMismatch`]: all in which it does not fit, at once. Where that is a [contradiction](PlanMismatch::contradicts), no run of it can
    /// come to an end. Where it only lacks something, several runs bring a stop, and the host tells when that is done; or nobody does.
    pub fn fits(&self, plan: &Plan) -> Result<(), PlanMismatch> {
        PlanStops::new(&self.fixed, plan).fits()
    }

    /// The train.
    pub fn train(&self) -> &Train {
        &self.fixed.train
    }

    /// What is aboard.
    pub fn aboard(&self) -> &Versions {
        &self.fixed.aboard
    }

    /// Something happened; whether that is new. Then runs that are held are to be reconsidered. In which order it is told does not
    /// matter: it counts from when it happened. Only what happened in one instant counts in the order in which it was told, so that of a
    /// blocker and what mends it in the same instant, the last word holds.
    ///
    /// # Errors
    /// [`TellError`] for what cannot have happened to this train, and beyond [`MAX_TOLD`] events; then nothing has changed.
    pub fn tell(&self, event: Event) -> Result<bool, TellError> {
        self.told.tell(&self.fixed.train, event)
    }

    /// All that was told, in the order in which it happened: what a host keeps, and tells again after a restart, in this order. Then nothing
    /// of it is refused, and the conductor decides as before.
    pub fn told(&self) -> Vec<Event> {
        self.told.read().all.to_vec()
    }

    /// What the train does at `now`, by what was told and what is seen in `run`, the one that is under way, if there is one.
    pub fn next(&self, run: Option<&RunState>, now: Timestamp) -> Next {
        let (seen, log) = (self.seen(run), self.told.read());
        self.fixed.train.next_of(seen.iter().chain(log.at(now)), now)
    }

    /// The sync points at which somebody is missing at `now` although the deadline has passed: whom to call, by [`Missed::key`] once.
    pub fn missed(&self, run: Option<&RunState>, now: Timestamp) -> Vec<Missed> {
        let (seen, log) = (self.seen(run), self.told.read());
        self.fixed.train.journey().missed_of(seen.iter().chain(log.at(now)), now)
    }

    fn seen(&self, run: Option<&RunState>) -> Vec<Event> {
        run.map_or_else(Vec::new, |run| self.plans.seen(&self.fixed, run))
    }

    /// Whether a request is one of the train's own runs. So is one that does not say of which run it is.
    fn is_own(&self, request: &Admission<'_>) -> bool {
        let Some((state, _)) = request.at else { return true };
        let plan = state.plan().plan();
        let is_named = self.releases.is_empty() || self.releases.contains(plan.release());
        is_named && self.of.contains(plan.train())
    }

    fn decide(&self, request: &Admission<'_>, stop: &StopId) -> Decision {
        let (run, now) = (request.at.map(|(state, _)| state), request.now);
        let (seen, log) = (self.seen(run), self.told.read());
        let inputs = Inputs { facts: Some(told::facts(&seen, log.digest)), ..self.inputs() };
        let train = &self.fixed.train;
        // What a host says of when a stop began counts.
        let events = seen.iter().chain(log.at(now));
        let next = train.holds_of(stop, events.clone(), now);
        let decision = match (self.unfit(run, stop, next.as_ref(), events.clone(), now), next) {
            (Some(denied), _) => denied,
            (None, None) => Decision::permit(),
            (None, Some(next)) => held(train, &events, (request, stop), next),
        };
        decision.from_inputs(inputs)
    }

    /// A denial, where the run's plan lets it never come to where it is to go.
    fn unfit<'a>(
        &self,
        run: Option<&RunState>,
        stop: &StopId,
        next: Option<&Next>,
        events: impl Iterator<Item = &'a Event>,
        now: Timestamp,
    ) -> Option<Decision> {
        let (run, fixed) = (run?, &*self.fixed);
        // Who has to go back is told that.
        if let Some(
            Next::GoesBack { .. } | Next::WentBack | Next::Waits { why: Why::GoingBack, .. },
        ) = next
        {
            return None;
        }
        let plan = self.plans.of(fixed, run.plan());
        let mut contradictions = plan.contradictions().peekable();
        if contradictions.peek().is_some() && !has_begun(stop, events, now) {
            return Some(reasons::contradicts(&fixed.train, contradictions));
        }
        let (Next::Begins { stop: first } | Next::Waits { why: Why::Stop { stop: first }, .. }) =
            next?
        else {
            return None;
        };
        let fault = plan.lacks(fixed, run, first)?;
        Some(reasons::lacks(&fixed.train, (stop, first), fault))
    }

    fn inputs(&self) -> Inputs {
        Inputs { policy: Some(self.fixed.digest), ..Inputs::default() }
    }

    /// A denial, where a step would let a car in that stayed behind.
    fn left_behind(&self, step: &Step) -> Option<Decision> {
        let (target, versions) = brings(&step.action)?;
        let (version, why) = self.fixed.behind.get(&target.service)?;
        if !versions.iter().any(|(_, brought)| *brought == version) {
            return None;
        }
        let (service, train) = (&target.service, self.fixed.train.id());
        let text = format!("`{service}` {version} is not aboard `{train}`: it {why}");
        let reason = Reason::new(RULE, text, "the next train");
        Some(Decision::deny(vec![reason]).from_inputs(self.inputs()))
    }

    fn nowhere(&self, region: &RegionId) -> Decision {
        let text = format!("`{}` does not stop in `{region}`", self.fixed.train.id());
        let lifted_by =
            "whoever plans the train, with a stop there; or the run, without that region";
        let reason = Reason::new(RULE, text, lifted_by).kind(ReasonKind::Missing);
        Decision::deny(vec![reason]).from_inputs(self.inputs())
    }
}

/// Where a step belongs, and to which service: by its place, or by what its action says.
fn place(step: &Step) -> Option<(&EnvironmentId, &RegionId, Option<&ServiceId>)> {
    let named = step.scope.place().and_then(|place| {
        Some((&place.environment, place.region.as_ref()?, place.service.as_ref()))
    });
    named.or_else(|| match &step.action {
        Action::Scale { deployment, .. }
        | Action::Probe { deployment, .. }
        | Action::Analyze { deployment, .. } => Some(whole(&deployment.target)),
        Action::Route { target, .. } | Action::Confirm { target, .. } => Some(whole(target)),
        _ => None,
    })
}

const fn whole(target: &Target) -> (&EnvironmentId, &RegionId, Option<&ServiceId>) {
    (&target.environment, &target.region, Some(&target.service))
}

impl Policy for Conductor {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let Some((environment, region, service)) = place(request.step) else {
            return Decision::permit();
        };
        let Fixed { train, aboard, stops, .. } = &*self.fixed;
        if request.rollback || !self.is_own(request) || *environment != train.spec().environment {
            return Decision::permit();
        }
        if let Some(denied) = self.left_behind(request.step) {
            return denied;
        }
        if service.is_some_and(|service| !aboard.contains_key(service)) {
            return Decision::permit();
        }
        match stops.get(region).and_then(|nth| train.spec().stops.get(*nth)) {
            Some(stop) => self.decide(request, &stop.id),
            None => self.nowhere(region),
        }
    }

    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}
