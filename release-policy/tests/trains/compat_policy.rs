//! Compatible sets as a policy: a run beside what others run in its region.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use release_core::model::{
    ArtifactRef, Canary, CanaryStep, Definition, Digest, Environment, Principal, Release,
    RollbackCriteria, RollbackScope, RollbackTrigger, Service, Span, Stage, Strategy as Rollout,
    Target, Tier, Timestamp, VersionSet,
};
use release_core::plan::{Action, Deployment, FrozenPlan, Step, plan};
use release_core::port::{Admission, Decision, Evidence, Policy as _};
use release_core::run::{
    Command, Directive, EffectOutcome, Event, Fact, Input, Outcome, Phase, RunState, Status, Turn,
    turn,
};
use release_policy::compat::{Catalogue, Change, Compatible, Fleet, Offer, Versions};
use semver::Version;

use super::super::support::id;
use super::{UNKNOWN, VERSIONS, all_sets, catalogue, requirement, service, version};

/// `api` goes from 2 to 3; `shop` 2 needs the old one, and `shop` 3 gets along with both.
fn shops() -> Catalogue {
    let offer = |name: &str, text: &str| Offer::new(id(name), version(text));
    Catalogue::new([
        offer("api", "2.0.0"),
        offer("api", "3.0.0"),
        offer("shop", "2.0.0").needing(id("api"), requirement("^2")),
        offer("shop", "3.0.0").needing(id("api"), requirement(">=2, <4")),
    ])
    .unwrap()
}

/// A canary of `api` 3 in two regions.
fn definition() -> Definition {
    let set = |text: &str| {
        let artifact = ArtifactRef::new(id("api"), Digest::of(text.as_bytes()));
        VersionSet::new().with(id("api"), version(text), artifact)
    };
    let mut release = Release::new(id("r-1"), set("3.0.0"));
    release.previous = set("2.0.0");
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
    let steps = [10, 50].map(|weight| CanaryStep::new(weight, Span::secs(60))).to_vec();
    let regions = vec![id("eu-west"), id("us-east")];
    let (environment, owner) = (id("production"), id("sre"));
    Definition::builder(id("shop"), release)
        .service(Service::new(id("api"), id("team")))
        .environment(Environment { id: environment, tier: Tier::Production, owner, regions })
        .stage(Stage::new(id("production"), Rollout::Canary(Canary::new(steps))))
        .build()
}

struct Run {
    state: RunState,
    now: Timestamp,
    events: Vec<Event>,
    policy: Compatible,
    /// Which `shop` runs where.
    shops: Arc<Mutex<Fleet>>,
}

impl Run {
    fn start() -> Self {
        let live = |shop: u64| -> Versions {
            [(id("api"), version("2.0.0")), (id("shop"), Version::new(shop, 0, 0))].into()
        };
        let fleet: Fleet = [(id("eu-west"), live(2)), (id("us-east"), live(3))].into();
        let shops = Arc::new(Mutex::new(fleet));
        let seen = Arc::clone(&shops);
        let inventory = move |target: &Target| seen.lock().unwrap().get(&target.region).cloned();
        let policy = Compatible::new(self::shops(), inventory);
        let plan: FrozenPlan = plan(&definition()).unwrap().freeze();
        let requester = Principal::human(id("ann"));
        let (definition, supersedes) = (None, None);
        let plan_digest = plan.digest();
        let event = Event::RunCreated {
            plan: plan_digest,
            definition,
            supersedes,
            policy: None,
            requester,
        };
        let now = Timestamp::default();
        let state = RunState::create(id("run-1"), plan, &Fact { at: now, event }).unwrap();
        Self { state, now, events: Vec::new(), policy, shops }
    }

    fn shop(&self, region: &str, major: u64) {
        let mut fleet = self.shops.lock().unwrap();
        let live = fleet.get_mut(&id(region)).unwrap();
        live.insert(id("shop"), Version::new(major, 0, 0));
    }

    fn input(&mut self, input: Option<&Input>) {
        let asked = Turn::new(self.now, 0, &self.policy);
        self.events.extend(turn(&mut self.state, input, &asked, 1_000).unwrap());
    }

    fn status(&self, name: &str) -> Option<Status> {
        self.state.status(self.state.plan().find(&id(name)).unwrap())
    }

    /// Effects end well and time passes until `name` has succeeded, or nothing goes on.
    fn go(&mut self, name: &str) -> Option<Status> {
        self.input(Some(&Input::Reconsider));
        for _ in 0..1_000 {
            if self.status(name) == Some(Status::Succeeded) {
                break;
            }
            let running = self.state.all_active().into_iter().find_map(|(step, active)| {
                let running = self.state.status(step) == Some(Status::Running);
                running.then_some((step, active.attempt))
            });
            match (running, self.state.next_wakeup()) {
                (Some((step, attempt)), _) => {
                    let evidence = faithful(&self.state.plan().get(step).unwrap().action, self.now);
                    let outcome = EffectOutcome::Performed(Ok(evidence));
                    self.input(Some(&Input::Outcome { step, attempt, outcome }));
                }
                (None, Some(at)) => {
                    self.now = self.now.max(at);
                    self.input(None);
                }
                (None, None) => break,
            }
        }
        self.status(name)
    }

    /// What the last step that was blocked was told.
    fn reasons(&self) -> String {
        let blocked = self.events.iter().rev().find_map(|event| match event {
            Event::StepBlocked { reasons, .. } => Some(reasons),
            _ => None,
        });
        blocked.into_iter().flatten().map(ToString::to_string).collect()
    }
}

/// What an effect observes that did what it was asked.
pub(crate) fn faithful(action: &Action, now: Timestamp) -> Evidence {
    match action {
        Action::VerifyArtifact { artifact } => {
            Evidence::Artifact { digest: artifact.digest(), bytes: 1 }
        }
        Action::Scale { deployment, replicas, .. } => Evidence::Instances {
            target: deployment.target.clone(),
            digest: deployment.artifact.digest(),
            running: *replicas,
        },
        Action::Probe { deployment, min_ready } => Evidence::Health {
            target: deployment.target.clone(),
            digest: deployment.artifact.digest(),
            ready: *min_ready,
            unready: Vec::new(),
            observed_at: Some(now),
        },
        Action::Route { target, weights, rules } | Action::Confirm { target, weights, rules } => {
            Evidence::Weights {
                target: target.clone(),
                weights: weights.clone(),
                rules: rules.clone(),
                served: Vec::new(),
            }
        }
        _ => Evidence::Done,
    }
}

const DENIED: &str = "compat: `api` 3.0.0 cannot be deployed to `eu-west`: `shop` 2.0.0, which runs there, needs `api` ^2";

#[test]
fn a_run_is_denied_what_others_in_the_region_need_otherwise_until_they_have_moved() {
    let mut run = Run::start();
    assert_eq!(run.go("production/eu-west/api/start"), Some(Status::Waiting));
    assert!(run.reasons().contains(DENIED), "{}", run.reasons());
    run.shop("eu-west", 3);
    assert_eq!(run.go("production/eu-west/api/weight-10"), Some(Status::Succeeded));
    let all: Vec<String> =
        run.state.plan().plan().steps().iter().map(|step| step.id.to_string()).collect();
    for name in all {
        assert_eq!(run.go(&name), Some(Status::Succeeded), "{name}");
    }
}

#[test]
fn a_rollout_under_way_is_held_and_its_rollback_is_not() {
    let mut run = Run::start();
    run.shop("eu-west", 3);
    assert_eq!(run.go("production/eu-west/api/weight-10"), Some(Status::Succeeded));
    run.shop("eu-west", 2);
    assert_eq!(run.go("production/eu-west/api/weight-50"), Some(Status::Waiting));
    assert!(run.reasons().contains(DENIED), "{}", run.reasons());
    // Nobody knows any more what is deployed: going back is not asked for leave.
    run.shops.lock().unwrap().clear();
    let ann = Principal::human(id("ann"));
    run.input(Some(&Input::Directive(Directive::new(Command::Cancel, ann, "it does not fit"))));
    run.go("production/us-east/api/weight-50");
    let Phase::Finished(outcome) = run.state.phase() else { panic!("{:?}", run.state.phase()) };
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_step_is_admitted_where_its_version_gets_along_with_its_own_region(
        catalogue in catalogue(),
        (here, there) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        (nth, to, replicas) in (0..4_usize, 0..=VERSIONS.len(), 0..3_u32),
        known in proptest::bool::weighted(0.9),
    ) {
        let sets = all_sets(&catalogue);
        let (here, there) = (here.get(&sets).clone(), there.get(&sets).clone());
        let fleet: Fleet = if known {
            [(id("eu-west"), here.clone()), (id("us-east"), there)].into()
        } else {
            [(id("us-east"), there)].into()
        };
        let text = VERSIONS.iter().chain([&UNKNOWN]).nth(to).unwrap();
        let change = Change::to(service(nth), version(text));
        let own: Fleet = [(id("eu-west"), here)].into();
        let denied = catalogue.admit(&own, &change).err();
        let policy = Compatible::new(catalogue, move |target: &Target| fleet.get(&target.region).cloned());
        let target = Target::new(id("production"), id("eu-west"), service(nth));
        let artifact = ArtifactRef::new(id(service(nth).as_str()), Digest::of(text.as_bytes()));
        let deployment = Deployment { target, artifact, version: version(text) };
        let step = Step::new(id("production/eu-west/x/start"), Action::Scale { deployment: deployment.into(), replicas, apart: None, metadata: None });
        let (run, ann) = (id("run-1"), Principal::human(id("ann")));
        let asked = Admission::new(&run, &ann, &step, Timestamp::default());
        let decision = policy.admit(&asked);
        let expected = match denied {
            _ if replicas == 0 => None,
            _ if !known => Some("nobody knows what is deployed in `eu-west` of `production`".to_owned()),
            denied => denied.map(|denied| denied.to_string()),
        };
        let told = decision.reasons().first().map(|reason| reason.text.clone());
        prop_assert_eq!(&told, &expected);
        prop_assert_eq!(matches!(decision, Decision::Deny { .. }), expected.is_some());
        prop_assert_eq!(decision.is_permit(), expected.is_none());
        prop_assert!(policy.admit(&asked.in_rollback(true)).is_permit());
    }
}
