//! What is deployed, as runs change it and hosts see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use release_core::model::{EnvironmentId, RegionId, RunId, ServiceId, Target, Timestamp};
use release_core::plan::{Action, FrozenPlan};
use release_core::port::Evidence;
use release_core::run::{Event, Fact, IllegalTransition, Mode, RunState};
use semver::Version;

use super::stand::Stand;
use super::{Fleet, Inventory, Stock, Versions};

/// A region of an environment.
type Place = (EnvironmentId, RegionId);

/// What is deployed in each region of each environment: an [`Inventory`] that follows runs by itself. Cheap to clone; all clones are one.
///
/// A host says once what is there, and hands in the events of each run as they become durable ([`Deployed::follow`]), or a run that is over as
/// a whole ([`Deployed::apply`]). What it sees besides, it says with [`Deployed::saw`].
///
/// While a service gets another version, the old one counts as long as users are sent to it; where nobody tells of users, as long as
/// instances of it run. Then the new one does. What serves beside the one that counts, changes of other services have to get along with as
/// well ([`Inventory::beside`]). Instances to which nobody is sent do not count, where it is known to whom users are sent.
///
/// Events are handed in once they are durable: what an engine decides together with them, it decides by what was there before. A step that
/// is denied for that is asked for again within 30 s, or at once if the host calls `RunHandle::reconsider` whenever [`Following::note`] says
/// that something has changed.
///
/// What actions of a host's own deploy, only the host can say.
///
/// ```no_run
/// # use release_core::model::RunId;
/// # use release_core::plan::FrozenPlan;
/// # use release_core::run::Fact;
/// use release_policy::compat::{Catalogue, Compatible, Deployed, Fleet};
///
/// # fn host(catalogue: Catalogue, seen: Fleet, run: RunId, plan: FrozenPlan, events: Vec<Fact>) -> Result<(), Box<dyn std::error::Error>> {
/// let deployed = Deployed::new([("production".parse()?, seen)]);
/// let policy = Compatible::new(catalogue, deployed.clone()); // for the engine
///
/// let mut following = deployed.follow(run, plan);
/// for Fact { at, event } in events { // as `RunHandle::events` has them
///     if following.note(at, &event)? {
///         // have the runs reconsidered that are held
///     }
/// }
/// # drop(policy);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Deployed(Arc<RwLock<BTreeMap<Place, Known>>>);

/// What is known of a region.
#[derive(Debug, Default)]
struct Known {
    /// Whether a host has told of all of it; what runs change there says nothing of the rest.
    all: bool,
    services: BTreeMap<ServiceId, Stand>,
    /// What follows from these; none after one of them changed.
    stock: OnceLock<Arc<Stock>>,
}

impl Deployed {
    /// What is deployed in the beginning, by environment. Of regions that are not in it, nobody knows what is there.
    pub fn new(initial: impl IntoIterator<Item = (EnvironmentId, Fleet)>) -> Self {
        let deployed = Self::default();
        for (environment, fleet) in initial {
            for (region, versions) in fleet {
                deployed.saw(environment.clone(), region, versions);
            }
        }
        deployed
    }

    /// A host saw that just these versions serve in a region, and nothing else does. Of a service that a run has in hand, what is known of
    /// the run goes on counting beside that, unless the version that was seen is not of it.
    pub fn saw(&self, environment: EnvironmentId, region: RegionId, versions: Versions) {
        let mut places = self.write();
        let known = places.entry((environment, region)).or_default();
        known.all = true;
        known.stock = OnceLock::new();
        known.services.retain(|service, stand| versions.contains_key(service) || stand.is_open());
        for (service, version) in versions {
            known.services.entry(service).or_default().saw(version);
        }
    }

    /// Nobody knows any more what is deployed in a region, since a host cannot see it: from then on nothing is let in there, until it is
    /// [seen](Self::saw) again.
    pub fn lost(&self, environment: &EnvironmentId, region: &RegionId) {
        if let Some(known) = self.write().get_mut(&(environment.clone(), region.clone())) {
            known.all = false;
        }
    }

    /// What counts as deployed in each region of an environment of which it is known.
    pub fn fleet(&self, environment: &EnvironmentId) -> Fleet {
        let places = self.read();
        let here = places.iter().filter(|((one, _), known)| one == environment && known.all);
        here.map(|((_, region), known)| (region.clone(), known.versions())).collect()
    }

    /// Follows a run of `plan` from its first event on. One that was [migrated](release_core::run::migrate) needs its later plans too, as
    /// `Engine::load` gives them with the first.
    pub fn follow(&self, run: RunId, plan: FrozenPlan) -> Following {
        let (state, touched) = (None, BTreeSet::new());
        Following { deployed: self.clone(), run, plan, state, touched }
    }

    /// Follows all of a run at once: the facts of its verified history, from the first on. Each run once, in the order in which they were.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the facts are not of a run of `plan`; what came before the first that does not fit has been followed.
    pub fn apply<'a>(
        &self,
        run: RunId,
        plan: FrozenPlan,
        facts: impl IntoIterator<Item = &'a Fact>,
    ) -> Result<(), IllegalTransition> {
        let mut following = self.follow(run, plan);
        facts.into_iter().try_for_each(|fact| following.note(fact.at, &fact.event).map(drop))
    }

    /// Changes how a service stands; whether it counts otherwise than before.
    fn change(&self, target: &Target, change: impl FnOnce(&mut Stand)) -> bool {
        let mut places = self.write();
        let place = (target.environment.clone(), target.region.clone());
        let Known { services, stock, .. } = places.entry(place).or_default();
        let stand = services.entry(target.service.clone()).or_default();
        let before = stand.clone();
        change(stand);
        let changed = (before.now(), before.beside()) != (stand.now(), stand.beside());
        if changed {
            *stock = OnceLock::new();
        }
        changed
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Place, Known>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Place, Known>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of where a target is, if all of it is.
    fn here<T>(&self, target: &Target, look: impl FnOnce(&Known) -> T) -> Option<T> {
        let place = (target.environment.clone(), target.region.clone());
        self.read().get(&place).filter(|known| known.all).map(look)
    }
}

impl Known {
    /// All of it, as long as nothing changes the same one.
    fn stock(&self) -> Arc<Stock> {
        let all = || Arc::new(Stock { versions: self.versions(), beside: self.beside() });
        Arc::clone(self.stock.get_or_init(all))
    }

    fn versions(&self) -> Versions {
        let services = self.services.iter();
        services.filter_map(|(id, stand)| Some((id.clone(), stand.now()?.clone()))).collect()
    }

    fn beside(&self) -> Vec<(ServiceId, Version)> {
        let each = self.services.iter().flat_map(|(id, stand)| {
            stand.beside().into_iter().map(|version| (id.clone(), version.clone()))
        });
        each.collect()
    }
}

impl Inventory for Deployed {
    fn deployed(&self, target: &Target) -> Option<Versions> {
        self.here(target, Known::versions)
    }

    fn beside(&self, target: &Target) -> Vec<(ServiceId, Version)> {
        self.here(target, Known::beside).unwrap_or_default()
    }

    fn stock(&self, target: &Target) -> Option<Arc<Stock>> {
        self.here(target, Known::stock)
    }
}

/// A run that is followed, for [`Deployed`].
#[derive(Debug)]
pub struct Following {
    deployed: Deployed,
    run: RunId,
    plan: FrozenPlan,
    /// None before the first event.
    state: Option<RunState>,
    touched: BTreeSet<Target>,
}

impl Following {
    /// Takes the run's next event, which happened at `at`; all from the first on, each once. Whether what is deployed changed with it, so
    /// that steps that were denied for it may be admitted now.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot follow; then nothing has changed.
    pub fn note(&mut self, at: Timestamp, event: &Event) -> Result<bool, IllegalTransition> {
        let Some(state) = &mut self.state else {
            let first = Fact { at, event: event.clone() };
            self.state = Some(RunState::create(self.run.clone(), self.plan.clone(), &first)?);
            return Ok(false);
        };
        state.evolve(at, event)?;
        if let Event::RunFinished { .. } = event {
            return Ok(self.finish());
        }
        let Some(step) = event.step().and_then(|step| state.plan().get(step.index)) else {
            return Ok(false);
        };
        let by_rules = by_rules(state.plan(), &step.action);
        let (deployed, action) = (&self.deployed, (&step.action, &by_rules));
        let changed = match event {
            Event::StepStarted { mode: Mode::Perform, .. } => begun(deployed, action),
            Event::StepSucceeded { evidence, .. }
            | Event::StepFailed { evidence: Some(evidence), .. } => {
                done(deployed, action, evidence)
            }
            Event::Reconciled { applied: true, .. } => done(deployed, action, &Evidence::Done),
            _ => return Ok(false),
        };
        if let Some((target, _)) = changed {
            self.touched.insert(Target { track: None, ..target.clone() });
        }
        Ok(changed.is_some_and(|(_, changed)| changed))
    }

    /// The run can go on with `plan` from now on, if an event says so.
    pub fn offer(&mut self, plan: FrozenPlan) {
        match &mut self.state {
            Some(state) => state.offer(plan),
            None => self.plan = self.plan.with_later(vec![plan]),
        }
    }

    /// What it touched is in no run's hand any more, and what is not there at all is gone.
    fn finish(&mut self) -> bool {
        let mut places = self.deployed.write();
        let mut changed = false;
        for target in std::mem::take(&mut self.touched) {
            let Some(known) = places.get_mut(&(target.environment, target.region)) else {
                continue;
            };
            let Some(stand) = known.services.get_mut(&target.service) else { continue };
            known.stock = OnceLock::new();
            if !stand.rest() {
                changed |= stand.now().is_some();
                known.services.remove(&target.service);
            }
        }
        changed
    }
}

/// The versions to which requests are sent by what they say, whatever the shares; such as the plan deploys there.
fn by_rules(plan: &FrozenPlan, action: &Action) -> BTreeSet<Version> {
    let Action::Route { target, rules: Some(rules), .. } = action else { return BTreeSet::new() };
    let steps = plan.plan().steps().iter().filter_map(|step| match &step.action {
        Action::Scale { deployment, .. } => Some(deployment),
        _ => None,
    });
    let here = steps.filter(|deployment| {
        let at = &deployment.target;
        let same = (&at.environment, &at.region, &at.service)
            == (&target.environment, &target.region, &target.service);
        same && rules.headers.iter().any(|route| route.to == deployment.artifact.digest())
    });
    here.map(|deployment| deployment.version.clone()).collect()
}

/// An action begins, and sends requests to these by what they say: where, and whether that makes a difference.
fn begun<'a>(
    deployed: &Deployed,
    (action, by_rules): (&'a Action, &BTreeSet<Version>),
) -> Option<(&'a Target, bool)> {
    match action {
        Action::Scale { deployment, replicas, .. } if *replicas > 0 => {
            let target = &deployment.target;
            Some((target, deployed.change(target, |stand| stand.starting(&deployment.version))))
        }
        Action::Route { target, weights, .. } => {
            Some((target, deployed.change(target, |stand| stand.sending(weights, by_rules))))
        }
        _ => None,
    }
}

/// An action is done, or this was observed as it failed.
fn done<'a>(
    deployed: &Deployed,
    (action, by_rules): (&'a Action, &BTreeSet<Version>),
    evidence: &Evidence,
) -> Option<(&'a Target, bool)> {
    match action {
        Action::Scale { deployment, replicas, .. } => {
            let (target, version) = (&deployment.target, &deployment.version);
            let count = match evidence {
                Evidence::Instances { digest, running, .. }
                    if *digest == deployment.artifact.digest() =>
                {
                    *running
                }
                _ => *replicas,
            };
            let track = target.track.as_ref();
            Some((target, deployed.change(target, |stand| stand.runs(version, track, count))))
        }
        Action::Route { target, weights, .. } => {
            let weights = match evidence {
                Evidence::Weights { weights, .. } => weights,
                _ => weights,
            };
            Some((target, deployed.change(target, |stand| stand.sends(weights, by_rules))))
        }
        _ => None,
    }
}
