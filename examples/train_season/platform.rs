//! The platform: fakes of the testkit behind the registry, the engine, and what is deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::engine::Engine;
use release_core::journal::MemoryJournal;
use release_core::model::{
    Analysis, Canary, CanaryStep, Definition, Environment, Principal, Priority, RegionId, Release,
    RollbackCriteria, RollbackScope, RollbackTrigger, RunId, Service, ServiceId, Span, Stage,
    Strategy, Tier, Timestamp, VersionSet,
};
use release_core::plan::plan;
use release_core::port::Clock;
use release_core::run::Outcome;
use release_policy::compat::{Fleet, Versions};
use release_providers::{ProviderSelector, Registry};
use release_testkit::fakes::{FakeMetrics, FakePlatform};
use release_testkit::{VirtualClock, fixtures};
use semver::Version;

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
}

/// What a run is to do.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) name: String,
    /// The regions of production; none: staging.
    pub(crate) regions: Option<&'a BTreeSet<RegionId>>,
    pub(crate) to: &'a Versions,
    pub(crate) priority: Priority,
}

/// The platform, with the engine that acts on it.
#[derive(Debug)]
pub(crate) struct Platform {
    clock: Arc<VirtualClock>,
    fakes: FakePlatform,
    /// Of each region.
    metrics: BTreeMap<RegionId, Arc<FakeMetrics>>,
    engine: Engine,
    dice: Dice,
    /// What is deployed in each region.
    pub(crate) fleet: Fleet,
    staging: Versions,
    /// How many runs there were, and steps in them.
    pub(crate) count: (usize, usize),
}

impl Platform {
    /// An empty one, whose engine knows the season's freezes.
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
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry))
            .clock(Arc::clone(&time))
            .policy(season.windows().clone())
            .build();
        let (staging, count) = (Versions::new(), (0, 0));
        Ok(Self { clock, fakes, metrics, engine, dice: season.dice, fleet, staging, count })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass until then.
    pub(crate) fn wait(&self, until: Timestamp) {
        self.clock.set(until.max(self.clock.now()));
    }

    /// A version was built; it works everywhere.
    pub(crate) fn store(&self, service: &ServiceId, version: &Version) {
        let content = fixtures::content(service.as_str(), &version.to_string());
        let digest = self.fakes.world.store(&content);
        for metrics in self.metrics.values() {
            metrics.set_errors(digest, FEW, REQUESTS);
        }
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

    /// Brings versions to where they are wished for, by a run of the engine from now on, and waits until it is over.
    ///
    /// All regions of one run have the same versions before it.
    pub(crate) fn run(&mut self, services: &Services, wish: &Wish<'_>) -> Result<Ran, Failure> {
        let mut before = match wish.regions {
            None => vec![&self.staging],
            Some(regions) => regions.iter().filter_map(|id| self.fleet.get(id)).collect(),
        };
        before.dedup();
        let [before] = before.as_slice() else {
            return Err(format!("the regions of `{}` have several sets", wish.name).into());
        };
        let plan = plan(&self.definition(services, wish, before)?)?;
        let (run, steps): (RunId, _) = (wish.name.parse()?, plan.steps().len());
        let by = Principal::service("trains".parse()?);
        let work = async { self.engine.start(run.clone(), plan, by).await?.wait().await };
        let outcome = self.clock.run(work)??;
        if outcome == Outcome::Succeeded {
            match wish.regions {
                None => self.staging.clone_from(wish.to),
                Some(regions) => {
                    for region in regions {
                        self.fleet.insert(region.clone(), wish.to.clone());
                    }
                }
            }
        }
        self.count = (self.count.0 + 1, self.count.1 + steps);
        Ok(Ran { run, steps, ended: self.clock.now(), outcome })
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
            let mut service = Service::new(id.clone(), team.parse()?).replicas(2);
            for on in services.needs.get(id).into_iter().flatten() {
                service = service.needs(on.clone(), ">=1.0.0, <2.0.0".parse()?);
            }
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
        stage.step_timeout = Span::secs(HOUR);
        Ok(definition.environment(environment).stage(stage).build())
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
