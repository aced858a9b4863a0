//! A performer over the fakes that lets steps fail, takes its time, and writes down what really changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use release_core::model::{Digest, Finite, RegionId, ServiceId, StepId, Target, Timestamp};
use release_core::plan::{Action, Plan, Step};
use release_core::port::{
    AuthorizedCommand, BindingError, Clock, EffectCertainty, EffectError, Evidence, Measurement,
    Observed, Performer,
};
use release_core::time::Span;
use release_policy::compat::Versions;
use release_testkit::VirtualClock;
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{digest, literal, version};
use semver::Version;

use crate::shapes::{ENVIRONMENT, Fate, Fault, NEW, OLD, OLDER, Shape};
use crate::support::OverFakes;

/// One call for a service in a region.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) step: StepId,
    pub(crate) region: RegionId,
    pub(crate) service: ServiceId,
    /// Whether it is part of a way back.
    pub(crate) back: bool,
    pub(crate) routes: bool,
    pub(crate) begun: Timestamp,
    /// When it changed something, and as the how manieth.
    pub(crate) landed: Option<(usize, Timestamp)>,
    /// Whether it did what it was to do, and had good news.
    pub(crate) good: bool,
}

#[derive(Debug, Default)]
struct Log {
    effects: Vec<Effect>,
    landed: usize,
    /// What served in each region as the first step back began there.
    before: BTreeMap<RegionId, Versions>,
    wrong: Vec<String>,
    stubborn: bool,
    /// Whose instances were made unready.
    unwell: BTreeSet<(Target, Digest)>,
}

/// Acts through the fakes, and watches them.
#[derive(Debug)]
pub(crate) struct Witness {
    platform: FakePlatform,
    fakes: OverFakes,
    clock: Arc<VirtualClock>,
    seed: u64,
    /// Who needs whom, of those that change.
    needs: Vec<(ServiceId, ServiceId)>,
    services: BTreeMap<ServiceId, u32>,
    faults: Mutex<BTreeMap<StepId, Fault>>,
    log: Mutex<Log>,
}

pub(crate) fn target_of(region: &RegionId, service: &ServiceId) -> Target {
    Target::new(literal(ENVIRONMENT), region.clone(), service.clone())
}

/// Which content stands for a version that people call so.
fn content(service: &ServiceId, number: &str) -> Digest {
    digest(service.as_str(), number)
}

fn place(step: &Step) -> Option<(RegionId, ServiceId)> {
    let place = step.scope.place()?;
    Some((place.region.clone()?, place.service.clone()?))
}

/// The steps that can fail for reasons of the new version, of the platform or of users.
pub(crate) fn fallible(plan: &Plan) -> impl Iterator<Item = &StepId> {
    let fails = |step: &&Step| match &step.action {
        Action::Scale { .. } | Action::Route { .. } | Action::Analyze { .. } => true,
        Action::Probe { deployment, .. } => deployment.version == version(NEW),
        _ => false,
    };
    plan.steps().iter().filter(|step| place(step).is_some()).filter(fails).map(|step| &step.id)
}

impl Witness {
    pub(crate) fn new(
        platform: FakePlatform,
        clock: Arc<VirtualClock>,
        shape: &Shape,
        (seed, stubborn): (u64, bool),
    ) -> Self {
        let stays = shape.of_fate(Fate::Stays);
        let changes = |service: &ServiceId| !stays.contains(service);
        let needs = shape.needs().into_iter().filter(|(who, _)| changes(who));
        let pairs = needs.flat_map(|(who, needs)| needs.into_iter().map(move |n| (who.clone(), n)));
        let needs = pairs.filter(|(_, needed)| changes(needed)).collect();
        let replicas = shape.services.iter().map(|service| service.replicas);
        let services = shape.needs().into_keys().zip(replicas).collect();
        let log = Mutex::new(Log { stubborn, ..Log::default() });
        let fakes = OverFakes(platform.clone());
        let faults = Mutex::default();
        Self { platform, fakes, clock, seed, needs, services, faults, log }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub(crate) fn break_at(&self, step: StepId, fault: Fault) {
        self.faults.lock().unwrap().insert(step, fault);
    }

    /// A person looks after a step that failed; whether there was something to mend.
    pub(crate) fn mend(&self, step: &StepId, plan: &Plan) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let Some(fault) = faults.get(step) else { return true };
        if fault.lasts {
            return false;
        }
        faults.remove(step);
        let found = plan.steps().iter().find(|known| known.id == *step);
        if let Some(Action::Probe { deployment, .. }) = found.map(|step| &step.action) {
            let digest = deployment.artifact.digest();
            self.platform.world.set_unready(&deployment.target, digest, 0);
        }
        true
    }

    /// People see to whatever a way back waits for: all instances are ready again.
    pub(crate) fn heal(&self) {
        for (target, digest) in std::mem::take(&mut self.log().unwell) {
            self.platform.world.set_unready(&target, digest, 0);
        }
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.log().effects.clone()
    }

    /// What served in each region as its way back began.
    pub(crate) fn before(&self) -> BTreeMap<RegionId, Versions> {
        self.log().before.clone()
    }

    /// What never should have been, at any moment.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.log().wrong.clone()
    }

    /// The versions that get traffic.
    fn served(&self, region: &RegionId, service: &ServiceId) -> BTreeSet<Version> {
        let weights = self.platform.world.weights(&target_of(region, service)).into_iter();
        weights.filter(|weight| weight.percent > 0).map(|weight| weight.version).collect()
    }

    /// The versions of which there are instances, with their number.
    fn running(&self, region: &RegionId, service: &ServiceId) -> BTreeMap<Version, usize> {
        let target = target_of(region, service);
        let count = |number: &str| {
            let found = self.platform.world.instances(&target, content(service, number)).len();
            (found > 0).then(|| (version(number), found))
        };
        [OLDER, OLD, NEW].into_iter().filter_map(count).collect()
    }

    /// What is deployed in a region once nothing is under way there: one version of each service, with all of its instances
    /// and all of the traffic.
    pub(crate) fn live(&self, region: &RegionId) -> Result<Versions, String> {
        let mut live = Versions::new();
        for (service, replicas) in &self.services {
            let (running, served) = (self.running(region, service), self.served(region, service));
            let wrong = || format!("{region}: {service} runs {running:?} and serves {served:?}");
            match (running.first_key_value(), running.len()) {
                (None, _) if served.is_empty() => {}
                (Some((version, count)), 1)
                    if *count == *replicas as usize && served.iter().eq([version]) =>
                {
                    live.insert(service.clone(), version.clone());
                }
                _ => return Err(wrong()),
            }
        }
        Ok(live)
    }

    /// What is deployed in a region amid a release: of each service the newest that is served.
    fn amid(&self, region: &RegionId) -> Versions {
        let each = self.services.keys().filter_map(|service| {
            let newest = self.served(region, service).pop_last()?;
            Some((service.clone(), newest))
        });
        each.collect()
    }

    fn begin(&self, command: &AuthorizedCommand, region: &RegionId, service: &ServiceId) -> usize {
        let (step, back) = (command.step(), command.is_rollback());
        let amid = self.amid(region);
        let mut log = self.log();
        if back {
            log.before.entry(region.clone()).or_insert(amid);
        }
        log.effects.push(Effect {
            step: step.id.clone(),
            region: region.clone(),
            service: service.clone(),
            back,
            routes: matches!(step.action, Action::Route { .. }),
            begun: self.clock.now(),
            landed: None,
            good: false,
        });
        log.effects.len() - 1
    }

    /// Whether what is on its way back is refused this once.
    fn refuses(&self, command: &AuthorizedCommand) -> bool {
        let change = matches!(command.step().action, Action::Scale { .. } | Action::Route { .. });
        command.is_rollback() && change && std::mem::take(&mut self.log().stubborn)
    }

    /// Some seconds, or none, the same for the same call.
    async fn dawdle(&self, command: &AuthorizedCommand, when: &str) {
        let text = format!("{} {} {} {when}", self.seed, command.key(), command.attempt());
        let draw = u64::from(Digest::of(text.as_bytes()).as_bytes()[0] % 4);
        if draw > 0 {
            self.clock.sleep_until(self.clock.now().plus(Span::secs(draw))).await;
        }
    }

    /// Does it, or lets it fail; what comes of it, and whether something changed.
    async fn act(
        &self,
        command: &AuthorizedCommand,
        fault: Option<&Fault>,
    ) -> (Result<Evidence, EffectError>, bool) {
        let action = &command.step().action;
        match (fault, action) {
            (Some(_), Action::Analyze { deployment, .. }) => {
                let number = |value: f64| Finite::new(value).unwrap();
                let (numerator, denominator) = (number(900.0), number(1_000.0));
                let digest = deployment.artifact.digest();
                let red = Measurement::Ratio { digest, numerator, denominator };
                return (Ok(Evidence::Measurement(red)), false);
            }
            (Some(_), Action::Probe { deployment, .. }) => {
                let (target, digest) = (&deployment.target, deployment.artifact.digest());
                self.platform.world.set_unready(target, digest, u32::MAX);
                self.log().unwell.insert((target.clone(), digest));
            }
            (Some(fault), _) => {
                let applied = fault.applies && self.fakes.perform(command).await.is_ok();
                let effect =
                    if applied { EffectCertainty::Applied } else { EffectCertainty::NotApplied };
                let refused = EffectError::permanent("refused", "the platform refuses it");
                return (Err(EffectError { effect, ..refused }), applied);
            }
            (None, _) => {}
        }
        let result = self.fakes.perform(command).await;
        let changed = result.is_ok() && action.mutates();
        (result, changed)
    }

    /// Nobody is served by a new version whose needs are not all there in theirs.
    fn land(&self, at: usize, command: &AuthorizedCommand, (changed, good): (bool, bool)) {
        let mut log = self.log();
        let now = self.clock.now();
        let Some(region) = log.effects.get(at).map(|effect| effect.region.clone()) else { return };
        log.effects[at].good = good;
        if !changed {
            return;
        }
        log.landed += 1;
        log.effects[at].landed = Some((log.landed, now));
        for (who, needed) in &self.needs {
            let (served, base) = (self.served(&region, who), self.served(&region, needed));
            if served.contains(&version(NEW)) && !base.iter().eq([&version(NEW)]) {
                let step = &command.step().id;
                let text = format!(
                    "after {step}, {region}/{who} {NEW} is served beside {needed} {base:?}"
                );
                log.wrong.push(text);
            }
        }
    }
}

#[async_trait]
impl Performer for Witness {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }

    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        let Some((region, service)) = place(command.step()) else {
            return self.fakes.perform(command).await;
        };
        let at = self.begin(command, &region, &service);
        self.dawdle(command, "before").await;
        if self.refuses(command) {
            return Err(EffectError::permanent("refused", "the platform is not in the mood"));
        }
        let fault = self.faults.lock().unwrap().get(&command.step().id).cloned();
        let (result, changed) = self.act(command, fault.as_ref()).await;
        self.land(at, command, (changed, result.is_ok() && fault.is_none()));
        self.dawdle(command, "after").await;
        result
    }

    async fn observe(&self, command: &AuthorizedCommand) -> Result<Observed, EffectError> {
        self.fakes.observe(command).await
    }
}
