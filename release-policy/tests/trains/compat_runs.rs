//! Runs of the pure engine on a platform that only counts: what compatible sets are followed through.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::journal::{History, Sealer};
use release_core::model::{
    ArtifactRef, BlueGreen, Canary, CanaryStep, Definition, Digest, Environment, Principal,
    RegionId, Release, RollbackCriteria, RollbackScope, RollbackTrigger, Rolling, RunId, Service,
    ServiceId, Span, Stage, Strategy as Rollout, Target, Tier, Timestamp, VersionSet,
};
use release_core::plan::{Action, FrozenPlan, plan};
use release_core::port::{EffectError, Evidence, Policy};
use release_core::report::RunReport;
use release_core::run::{
    Command, Directive, EffectOutcome, Event, Fact, Input, Outcome, Rejected, RunState, Status,
    Turn, turn,
};
use release_policy::compat::{Fleet, Versions};
use semver::Version;

use super::super::support::id;
use super::policy::faithful;
use super::version;

pub(super) const REGIONS: [&str; 2] = ["eu-west", "us-east"];
pub(super) const OLD: &str = "2.0.0";
pub(super) const NEW: &str = "3.0.0";

/// A set of versions; the content is the service's and version's own.
pub(super) fn set(versions: &[(&str, &str)]) -> VersionSet {
    versions.iter().fold(VersionSet::new(), |set, (name, text)| {
        let digest = Digest::of(format!("{name} {text}").as_bytes());
        set.with(id(name), version(text), ArtifactRef::new(id(name), digest))
    })
}

/// How a release is made: how versions are replaced, how much goes back, and how many regions may fail.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) rollout: Rollout,
    pub(super) scope: RollbackScope,
    pub(super) stop_after: Option<u32>,
    /// Whether `web` is deployed for the first time.
    pub(super) first: bool,
}

impl Shape {
    pub(super) fn canary() -> Self {
        let steps = [10, 50].map(|weight| CanaryStep::new(weight, Span::secs(60))).to_vec();
        let rollout = Rollout::Canary(Canary::new(steps));
        Self { rollout, scope: RollbackScope::Environment, stop_after: None, first: false }
    }

    /// `api` and `web`, which needs it, become new in two regions.
    pub(super) fn definition(&self) -> Definition {
        let mut release = Release::new(id("r-1"), set(&[("api", NEW), ("web", NEW)]));
        release.previous =
            if self.first { set(&[("api", OLD)]) } else { set(&[("api", OLD), ("web", OLD)]) };
        let triggers = vec![RollbackTrigger::StepFailed];
        release.rollback = Some(RollbackCriteria { scope: self.scope, triggers });
        let (environment, owner) = (id("production"), id("sre"));
        let regions = REGIONS.map(id).to_vec();
        let stage = Stage::new(id("production"), self.rollout.clone());
        let web = Service::new(id("web"), id("team")).needs(id("api"), ">=2".parse().unwrap());
        Definition::builder(id("shop"), release)
            .service(Service::new(id("api"), id("team")).replicas(3))
            .service(web.replicas(2))
            .environment(Environment { id: environment, tier: Tier::Production, owner, regions })
            .stage(Stage { stop_after_failed_regions: self.stop_after, ..stage })
            .build()
    }

    /// What serves before, everywhere.
    pub(super) fn before(&self) -> Fleet {
        let all = if self.first { &[("api", OLD)][..] } else { &[("api", OLD), ("web", OLD)] };
        let versions: Versions = all.iter().map(|(name, text)| (id(name), version(text))).collect();
        REGIONS.map(|region| (id(region), versions.clone())).into()
    }
}

pub(super) fn shape() -> impl Strategy<Value = Shape> {
    let canary = (1_u8..60, 60_u8..100).prop_map(|(first, then)| {
        let steps = [first, then].map(|weight| CanaryStep::new(weight, Span::secs(60)));
        Rollout::Canary(Canary::new(steps.to_vec()))
    });
    let rolling = (1_u32..4, 0_u32..3).prop_map(|(batches, missing)| {
        let max_unavailable = missing.into();
        Rollout::Rolling(Rolling { max_unavailable, ..Rolling::new(batches) })
    });
    let blue = Just(Rollout::BlueGreen(BlueGreen::default()));
    let rollout = prop_oneof![Just(Rollout::Recreate), canary, rolling, blue];
    let scope = prop_oneof![Just(RollbackScope::Region), Just(RollbackScope::Environment)];
    (rollout, scope, proptest::option::of(1_u32..3), any::<bool>())
        .prop_map(|(rollout, scope, stop_after, first)| Shape { rollout, scope, stop_after, first })
}

/// One service in one region of the platform.
#[derive(Debug, Clone, Default)]
pub(super) struct Stands {
    pub(super) instances: BTreeMap<Version, u32>,
    pub(super) users: BTreeMap<Version, u8>,
}

impl Stands {
    /// The versions that serve: users are sent to them, or to none, and instances of them run.
    pub(super) fn serving(&self) -> BTreeSet<Version> {
        let served =
            |version: &&Version| self.users.is_empty() || self.users.contains_key(*version);
        self.instances.keys().filter(served).cloned().collect()
    }
}

pub(super) type Platform = BTreeMap<(RegionId, ServiceId), Stands>;

/// What fails: a step, and whether it takes effect all the same.
pub(super) type Fault = (release_core::model::StepId, bool);

pub(super) struct Run {
    pub(super) state: RunState,
    pub(super) plan: FrozenPlan,
    pub(super) facts: Vec<Fact>,
    pub(super) platform: Platform,
    now: Timestamp,
    policy: Box<dyn Policy>,
    fault: Option<Fault>,
}

pub(super) fn run_id() -> RunId {
    id("run-1")
}

impl Run {
    pub(super) fn start(
        definition: &Definition,
        before: &Fleet,
        policy: impl Policy + 'static,
    ) -> Self {
        let plan: FrozenPlan = plan(definition).unwrap().freeze();
        let event = Event::RunCreated {
            plan: plan.digest(),
            definition: plan.plan().definition(),
            supersedes: None,
            policy: None,
            requester: Principal::human(id("ann")),
        };
        let now = Timestamp::default();
        let first = Fact { at: now, event };
        let state = RunState::create(run_id(), plan.clone(), &first).unwrap();
        let platform = before.iter().flat_map(|(region, versions)| {
            versions.iter().map(|(service, version)| {
                let instances = [(version.clone(), 9)].into();
                let users = [(version.clone(), 100)].into();
                ((region.clone(), service.clone()), Stands { instances, users })
            })
        });
        let platform = platform.collect();
        let (facts, policy) = (vec![first], Box::new(policy));
        Self { state, plan, facts, platform, now, policy, fault: None }
    }

    pub(super) fn failing(mut self, fault: Option<Fault>) -> Self {
        self.fault = fault;
        self
    }

    /// One effect ends, or time passes until something is due. Whether that led to anything.
    pub(super) fn go(&mut self) -> bool {
        if self.state.outcome().is_some() {
            return false;
        }
        let running = self.state.all_active().into_iter().find_map(|(step, active)| {
            let running = self.state.status(step) == Some(Status::Running);
            running.then_some((step, active.attempt))
        });
        let input = match (running, self.state.next_wakeup()) {
            (Some((step, attempt)), _) => {
                let outcome = EffectOutcome::Performed(self.perform(step));
                Some(Input::Outcome { step, attempt, outcome })
            }
            (None, Some(at)) => {
                self.now = self.now.max(at);
                None
            }
            (None, None) => Some(Input::Reconsider),
        };
        let asked = Turn::new(self.now, 0, &*self.policy);
        let events = turn(&mut self.state, input.as_ref(), &asked, 1_000).unwrap();
        let led_on = !events.is_empty() || !matches!(input, Some(Input::Reconsider));
        self.facts.extend(events.into_iter().map(|event| Fact { at: self.now, event }));
        led_on
    }

    /// Somebody gives a command; what follows at once.
    pub(super) fn tell(&mut self, command: Command) -> Result<Vec<Event>, Rejected> {
        let ann = Principal::human(id("ann"));
        let input = Input::Directive(Directive::new(command, ann, "asked for"));
        let asked = Turn::new(self.now, 0, &*self.policy);
        let events = turn(&mut self.state, Some(&input), &asked, 1_000)?;
        let facts = events.iter().map(|event| Fact { at: self.now, event: event.clone() });
        self.facts.extend(facts);
        Ok(events)
    }

    /// Goes on until nothing does any more, or `stop` says so.
    pub(super) fn until(&mut self, stop: impl Fn(&Self) -> bool) {
        for _ in 0..5_000 {
            if stop(self) || !self.go() {
                return;
            }
        }
        panic!("it goes on for ever: {:?}", self.facts.last());
    }

    pub(super) fn status(&self, name: &str) -> Option<Status> {
        self.state.status(self.state.plan().find(&id(name)).unwrap())
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.state.outcome()
    }

    /// The report, from records as a journal has them.
    pub(super) fn report(&self) -> RunReport {
        let mut sealer = Sealer::new(&run_id());
        let records: Vec<_> =
            self.facts.iter().map(|fact| sealer.seal(fact.at, &fact.event)).collect();
        let history = History::verify(&run_id(), &records).unwrap();
        RunReport::new(&history, self.plan.clone()).unwrap()
    }

    fn perform(&mut self, step: u32) -> Result<Evidence, EffectError> {
        let step = self.state.plan().get(step).unwrap().clone();
        let fault = self.fault.as_ref().filter(|(name, _)| *name == step.id);
        let applies = fault.map(|(_, applies)| *applies);
        if applies.unwrap_or(true) {
            self.bring_about(&step.action);
        }
        match applies {
            Some(_) => Err(EffectError::permanent("broken", "it does not work")),
            None => Ok(faithful(&step.action, self.now)),
        }
    }

    fn at(&mut self, target: &Target) -> &mut Stands {
        let place = (target.region.clone(), target.service.clone());
        self.platform.entry(place).or_default()
    }

    fn bring_about(&mut self, action: &Action) {
        match action {
            Action::Scale { deployment, replicas, .. } => {
                let instances = &mut self.at(&deployment.target).instances;
                instances.insert(deployment.version.clone(), *replicas);
                instances.retain(|_, count| *count > 0);
            }
            Action::Route { target, weights, .. } => {
                let served = weights.iter().filter(|weight| weight.percent > 0);
                self.at(target).users =
                    served.map(|weight| (weight.version.clone(), weight.percent)).collect();
            }
            _ => {}
        }
    }
}
