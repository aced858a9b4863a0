//! The platform: fakes of the testkit behind the registry, the engine, and what is deployed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::engine::{Engine, EngineError, RunHandle, SendError};
use release_core::journal::MemoryJournal;
use release_core::model::{
    Analysis, Canary, CanaryStep, Definition, Environment, Principal, Priority, RegionId, Release,
    RollbackCriteria, RollbackScope, RollbackTrigger, RunId, Service, ServiceId, Span, Stage,
    Strategy, Target, Tier, Timestamp, Unmeasured, VersionSet,
};
use release_core::plan::Planner;
use release_core::port::Clock;
use release_core::report::RunReport;
use release_core::run::{Event, Outcome};
use release_policy::AllOf;
use release_policy::compat::{
    Catalogue, CoVerified, Compatible, Fleet, Inventory, NotRecorded, NotVerified, Offer,
    Published, VerifiedRecord, VerifiedSet, VerifiedSets, Versions,
};
use release_policy::train::departure::UnderWay;
use release_providers::{ProviderSelector, Registry};
use release_testkit::fakes::{FakeMetrics, FakePlatform, World};
use release_testkit::{VirtualClock, fixtures};
use semver::Version;
use tokio::runtime::{Builder, Runtime};

use crate::play::Failure;
use crate::season::{Dice, HOUR, PRODUCTION, Season};
use crate::services::{Services, regions};

const STAGING: &str = "staging";
/// Requests at each look, and how many of them fail.
const REQUESTS: f64 = 1_000.0;
const FEW: f64 = 2.0;
const MANY: f64 = 300.0;

/// A run of the engine that is over.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) run: RunId,
    pub(crate) steps: usize,
    pub(crate) ended: Timestamp,
    pub(crate) outcome: Outcome,
    /// In place of which runs it was started, as its own first record says.
    pub(crate) instead_of: Vec<RunId>,
    /// What it verified, by its own records.
    pub(crate) verified: Result<VerifiedSet, NotVerified>,
}

/// A run of the engine that was started.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    handle: RunHandle,
    release: Release,
    steps: usize,
    /// The regions of production; none: staging.
    regions: Option<BTreeSet<RegionId>>,
    to: Versions,
    /// What becomes new in it.
    pub(crate) changes: Versions,
}

impl Running {
    /// The rollout of a service in it, if it has one.
    pub(crate) fn of(&self, service: &ServiceId) -> Option<UnderWay> {
        let (run, version) = (self.handle.run().clone(), self.changes.get(service)?.clone());
        Some(UnderWay { run, service: service.clone(), version })
    }

    pub(crate) const fn run(&self) -> &RunId {
        self.handle.run()
    }
}

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) name: String,
    /// The regions of production; none: staging.
    pub(crate) regions: Option<&'a BTreeSet<RegionId>>,
    pub(crate) to: &'a Versions,
    pub(crate) priority: Priority,
    /// Whether nothing else is brought, nor returned to, than what was verified together. Not where that is just being verified, or gone
    /// back to.
    pub(crate) verified: bool,
    /// What it takes the place of, and why.
    pub(crate) instead_of: (&'a [Running], &'a str),
}

impl<'a> Wish<'a> {
    /// These versions, in staging.
    pub(crate) const fn new(name: String, to: &'a Versions) -> Self {
        let priority = Priority::Normal;
        Self { name, regions: None, to, priority, verified: false, instead_of: (&[], "") }
    }
}

/// The platform, with the engine that acts on it.
#[derive(Debug)]
pub(crate) struct Platform {
    /// Its time stands still: runs go on while somebody waits for something, and at no other time.
    runtime: Runtime,
    clock: Arc<VirtualClock>,
    fakes: FakePlatform,
    /// Of each region.
    metrics: BTreeMap<RegionId, Arc<FakeMetrics>>,
    engine: Engine,
    dice: Dice,
    /// What is known of versions: the engine lets none go where it does not get along with what is there.
    pub(crate) published: Published,
    /// What was verified together in staging, and what of it was gone back from: the engine brings nothing to users that could not go back
    /// to such a set.
    pub(crate) record: VerifiedRecord,
    /// What is deployed in each region.
    pub(crate) fleet: Fleet,
    staging: Versions,
    /// How many runs there were, and steps in them.
    pub(crate) count: (usize, usize),
}

impl Platform {
    /// An empty one, whose engine knows the season's freezes, and what versions need once they are built.
    pub(crate) fn new(season: &Season, begins: Timestamp) -> Result<Self, Failure> {
        let clock = Arc::new(VirtualClock::at(begins));
        let time: Arc<dyn Clock> = clock.clone();
        let fakes = FakePlatform::on(&time);
        let everywhere = ProviderSelector::everywhere;
        let mut registry = Registry::builder(Arc::clone(&time))
            .artifacts(fakes.artifacts.clone())
            .deployer(everywhere(), fakes.deployer.clone())
            .router(everywhere(), fakes.router.clone())
            .health(everywhere(), fakes.health.clone());
        let (mut metrics, mut fleet) = (BTreeMap::new(), Fleet::new());
        for region in regions()? {
            let of_region = Arc::new(FakeMetrics::new().with_clock(Arc::clone(&time)));
            let here = ProviderSelector::environment(PRODUCTION.parse()?).region(region.clone());
            registry = registry.metrics(here, of_region.clone());
            metrics.insert(region.clone(), of_region);
            fleet.insert(region, Versions::new());
        }
        let registry = registry.build().map_err(|errors| format!("{errors:?}"))?;
        let services = Services::new()?.team.into_keys().collect();
        let (published, seen) =
            (Published::new(Catalogue::new([])?), Seen { world: fakes.world.clone(), services });
        let (compatible, record) =
            (Compatible::new(published.clone(), seen), VerifiedRecord::default());
        let verified = CoVerified::new(record.clone()).first_deployments(true);
        let verified = verified.only_in(PRODUCTION.parse()?);
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
            .clock(Arc::clone(&time))
            .policy(AllOf::new().and(season.windows().clone()).and(compatible).and(verified))
            .build();
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build()?;
        let (dice, staging, count) = (season.dice, Versions::new(), (0, 0));
        Ok(Self {
            runtime,
            clock,
            fakes,
            metrics,
            engine,
            dice,
            published,
            record,
            fleet,
            staging,
            count,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Lets time pass until this is done.
    pub(crate) fn drive<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        Ok(self.runtime.block_on(self.clock.drive(work))?)
    }

    /// Lets time pass until then.
    pub(crate) fn wait(&self, until: Timestamp) -> Result<(), Failure> {
        self.drive(self.clock.sleep_until(until))
    }

    /// Versions were built, and with that it is known what they need; they work everywhere.
    pub(crate) fn store(&self, built: &[&Offer]) -> Result<(), Failure> {
        self.published.add(built.iter().copied().cloned())?;
        for offer in built {
            let content = fixtures::content(offer.service.as_str(), &offer.version.to_string());
            let digest = self.fakes.world.store(&content);
            for metrics in self.metrics.values() {
                metrics.set_errors(digest, FEW, REQUESTS);
            }
        }
        Ok(())
    }

    /// A version fails in one region.
    pub(crate) fn fails(&self, region: &RegionId, service: &ServiceId, version: &Version) {
        let digest = fixtures::digest(service.as_str(), &version.to_string());
        if let Some(metrics) = self.metrics.get(region) {
            metrics.set_errors(digest, MANY, REQUESTS);
        }
    }

    /// Whether an instance of a version runs in a region.
    pub(crate) fn runs(&self, region: &RegionId, service: &ServiceId, version: &Version) -> bool {
        let (place, service) = (PRODUCTION, service.as_str());
        let target = fixtures::target_in(place, region.as_str(), service);
        let digest = fixtures::digest(service, &version.to_string());
        !self.fakes.world.instances(&target, digest).is_empty()
    }

    /// Begins to bring versions to where they are wished for, by a run of the engine. What other runs changed whose place it takes is put
    /// back before.
    ///
    /// All regions of one run have the same versions before it.
    pub(crate) fn start(&self, services: &Services, wish: &Wish<'_>) -> Result<Running, Failure> {
        let mut before = match wish.regions {
            None => vec![&self.staging],
            Some(regions) => regions.iter().filter_map(|id| self.fleet.get(id)).collect(),
        };
        before.dedup();
        let [before] = before.as_slice() else {
            return Err(format!("the regions of `{}` have several sets", wish.name).into());
        };
        let definition = self.definition(services, wish, before)?;
        let release = definition.release.clone();
        if wish.verified {
            is_verified(&self.record.sets(), wish, &release)?;
        }
        self.record.announce(&definition);
        let plan = Planner::new().plan(&definition)?;
        let (run, steps): (RunId, _) = (wish.name.parse()?, plan.steps().len());
        let by = Principal::service("trains".parse()?);
        let (older, reason) = wish.instead_of;
        let older: Vec<&RunHandle> = older.iter().map(|one| &one.handle).collect();
        let handle = self.drive(self.engine.supersede_all(&older, run, plan, by, reason))??;
        let changes = wish.to.iter().filter(|(id, version)| before.get(*id) != Some(*version));
        let changes = changes.map(|(id, version)| (id.clone(), version.clone())).collect();
        let (regions, to) = (wish.regions.cloned(), wish.to.clone());
        Ok(Running { handle, release, steps, regions, to, changes })
    }

    /// Whether a run is under way.
    pub(crate) fn is_under_way(&self, run: &Running) -> Result<bool, Failure> {
        match self.drive(run.handle.state())? {
            Ok(state) => Ok(state.outcome().is_none()),
            Err(SendError::Finished(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets time pass until a run is over, or until that instant if it comes sooner. Whether the run is over.
    pub(crate) fn is_over_by(
        &self,
        run: &Running,
        until: Option<Timestamp>,
    ) -> Result<bool, Failure> {
        let over = async {
            let Some(until) = until else { return run.handle.wait().await.map(|_| true) };
            tokio::select! {
                biased;
                outcome = run.handle.wait() => outcome.map(|_| true),
                () = self.clock.sleep_until(until) => Ok(false),
            }
        };
        Ok(self.drive(over)??)
    }

    /// Waits until a run is over, and looks in its records what came of it.
    pub(crate) fn end(&mut self, running: &Running) -> Result<Ran, Failure> {
        let run = running.run().clone();
        let over = async {
            let outcome = running.handle.wait().await?;
            let (history, plan) = self.engine.load(&run).await?;
            Ok::<_, EngineError>((outcome, history, plan))
        };
        let (outcome, history, plan) = self.drive(over)??;
        let instead_of = match history.facts().first().map(|fact| &fact.event) {
            Some(Event::RunCreated { supersedes: Some(replaced), .. }) => replaced.runs().to_vec(),
            _ => Vec::new(),
        };
        let report = RunReport::new(&history, plan.clone())?;
        let verified = VerifiedSet::of_run(&running.release, &plan, &report);
        // What passes in staging is recorded. Users get nothing else, so that their runs have nothing to add.
        if running.regions.is_none() {
            drop(self.record.ended(&plan, &report));
        }
        if outcome == Outcome::Succeeded {
            match &running.regions {
                None => self.staging.clone_from(&running.to),
                Some(regions) => {
                    for region in regions {
                        self.fleet.insert(region.clone(), running.to.clone());
                    }
                }
            }
        }
        let steps = running.steps;
        self.count = (self.count.0 + 1, self.count.1 + steps);
        Ok(Ran { run, steps, ended: report.last, outcome, instead_of, verified })
    }

    fn definition(
        &self,
        services: &Services,
        wish: &Wish<'_>,
        before: &Versions,
    ) -> Result<Definition, Failure> {
        let mut release = Release::new(wish.name.parse()?, set(wish.to));
        (release.previous, release.priority) = (set(before), wish.priority);
        let analysis = Analysis { count: 3, interval: Span::secs(60), ..fixtures::error_rate() };
        let triggers =
            vec![RollbackTrigger::StepFailed, RollbackTrigger::Analysis(analysis.id.clone())];
        release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
        let mut definition = Definition::builder("weekly".parse()?, release).analysis(analysis);
        for (id, team) in &services.team {
            let service = Service::new(id.clone(), team.parse()?).replicas(2);
            definition = definition.service(service);
        }
        let bake = self.dice.draw(&format!("bake/{}", wish.name), 5, 10);
        let canary = Canary::new(vec![CanaryStep::new(20, Span::secs(60 * bake))]);
        let (name, tier, strategy, regions) = match wish.regions {
            None => (STAGING, Tier::Staging, Strategy::Recreate, vec!["lab".parse()?]),
            Some(regions) => {
                let regions = regions.iter().cloned().collect();
                (PRODUCTION, Tier::Production, Strategy::Canary(canary), regions)
            }
        };
        let environment = Environment {
            id: name.parse()?,
            tier,
            owner: "sre".parse()?,
            regions: regions.clone(),
        };
        let mut stage = Stage::new(name.parse()?, strategy);
        stage.waves = vec![regions];
        if tier == Tier::Production {
            let why = "of a version without a share, the season's world has no requests";
            stage.unmeasured = Some(Unmeasured::because(why));
        }
        stage.step_timeout = Span::secs(HOUR);
        let definition = definition.environment(environment).stage(stage).build();
        // What goes first follows from what versions need.
        self.published.catalogue().describe(definition).map_err(|unknown| {
            let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
            unknown.join("; ").into()
        })
    }
}

/// What users get of each service, as the router shows it.
struct Seen {
    world: World,
    services: Vec<ServiceId>,
}

impl Seen {
    /// The versions of each service to which users are sent where a target is, that of the most of them first.
    fn served(&self, target: &Target) -> impl Iterator<Item = (&ServiceId, Vec<Version>)> {
        let mut at = Target { track: None, ..target.clone() };
        self.services.iter().map(move |id| {
            at.service.clone_from(id);
            let mut weights = self.world.weights(&at);
            weights.retain(|weight| weight.percent > 0);
            weights.sort_by_key(|weight| Reverse(weight.percent));
            (id, weights.into_iter().map(|weight| weight.version).collect())
        })
    }
}

impl Inventory for Seen {
    fn deployed(&self, target: &Target) -> Option<Versions> {
        let each = self.served(target);
        let most = |(id, versions): (&ServiceId, Vec<Version>)| {
            Some((id.clone(), versions.into_iter().next()?))
        };
        Some(each.filter_map(most).collect())
    }

    fn beside(&self, target: &Target) -> Vec<(ServiceId, Version)> {
        let each = self.served(target).flat_map(|(id, versions)| {
            versions.into_iter().skip(1).map(move |version| (id.clone(), version))
        });
        each.collect()
    }
}

/// Users get what was verified together, and if that fails, again what was. Where there was nothing before, nothing is returned to.
fn is_verified(verified: &VerifiedSets, wish: &Wish<'_>, release: &Release) -> Result<(), Failure> {
    if !verified.holds(wish.to) {
        return Err(format!("what `{}` brings was not verified together", wish.name).into());
    }
    match verified.returns(release) {
        Ok(_) | Err(NotRecorded::Nothing) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

fn set(versions: &Versions) -> VersionSet {
    let mut set = VersionSet::new();
    for (service, version) in versions {
        let artifact = fixtures::artifact(service.as_str(), &version.to_string());
        set = set.with(service.clone(), version.clone(), artifact);
    }
    set
}
