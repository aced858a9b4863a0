//! One admission of a step, in a large run: under the policy of a train, of compatible sets, and of verified ones.
//!
//! Services go from their second version to their third in twenty regions, the first region before all others. The run stands where each
//! service has begun in the first region. A policy is asked about one step again and again, as a run does with what is blocked:
//!
//! - «conductor»: a train with a stop for each region; a step of the second stop, which waits for the first;
//! - «compatible»: a catalogue in which each version needs up to three services, and what is deployed in all regions; «permitted» is a step
//!   of a service that none needs, «denied» one of a service that seven need in its old version;
//! - «co-verified»: a record of 100 sets, of which each differs in one service from what the release returns to; «half done» is a step of
//!   the first region, which goes on, «denied» one of the second.
//!
//! What a policy finds once for a plan, a record or a catalogue, it has found before.

use std::collections::VecDeque;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use release_core::model::{
    ArtifactRef, Definition, DefinitionBuilder, Digest, Environment, EnvironmentId, Principal,
    PrincipalId, RegionId, Release, RollbackCriteria, RollbackScope, RollbackTrigger, Rolling,
    Service, ServiceId, Span, Stage, Strategy, Tier, Timestamp, VersionSet,
};
use release_core::plan::{Action, FrozenPlan, plan};
use release_core::port::{Admission, Decision, Evidence, PermitAll, Policy};
use release_core::run::{EffectOutcome, Event, Fact, Input, Mode, RunState, Turn, turn};
use release_policy::compat::{
    Catalogue, CoVerified, Compatible, Deployed, Fleet, Offer, VerifiedRecord, VerifiedSet,
    VerifiedSets, Versions,
};
use release_policy::train::departure::{
    BoardingRule, Car, Conductor, Stop, StraddleRule, Train, TrainSpec,
};
use semver::{Version, VersionReq};

const REGIONS: usize = 20;
const SETS: usize = 100;
const ENVIRONMENT: &str = "production";
const TRAIN: &str = "train";

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn service(nth: usize) -> ServiceId {
    sure(format!("s-{nth:05}").parse())
}

fn region(nth: usize) -> RegionId {
    sure(format!("region-{nth:02}").parse())
}

const fn version(major: u64) -> Version {
    Version::new(major, 0, 0)
}

fn versions(count: usize, major: u64) -> Versions {
    (0..count).map(|nth| (service(nth), version(major))).collect()
}

fn now() -> Timestamp {
    sure("2026-12-08T09:00:00Z".parse())
}

/// The services that one needs.
fn needs(nth: usize) -> impl Iterator<Item = usize> {
    let some = [nth / 2, nth.saturating_sub(7), nth / 3 + 1];
    let mut some: Vec<_> = some.into_iter().filter(|other| *other < nth).collect();
    some.sort_unstable();
    some.dedup();
    some.into_iter()
}

/// Each version gets along with what it needs in its own version or the one before.
fn catalogue(count: usize) -> Catalogue {
    let offers = (0..count).flat_map(|nth| {
        [(1_u64, 1_u64), (1, 2), (2, 3)].into_iter().map(move |(least, own)| {
            let requirement: VersionReq = sure(format!(">={least}, <={own}").parse());
            let offer = Offer::new(service(nth), version(own));
            needs(nth).fold(offer, |offer, on| offer.needing(service(on), requirement.clone()))
        })
    });
    sure(Catalogue::new(offers))
}

/// All services from their second version to their third, to one region first.
fn definition(count: usize) -> Definition {
    let mut release = Release::new(sure(TRAIN.parse()), VersionSet::new());
    for nth in 0..count {
        let id = service(nth);
        for (set, major) in [(&mut release.versions, 3), (&mut release.previous, 2)] {
            let digest = Digest::of(format!("{id} in {major}").as_bytes());
            let artifact = ArtifactRef::new(sure(id.as_str().parse()), digest);
            *set = std::mem::take(set).with(id.clone(), version(major), artifact);
        }
    }
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::default(), triggers });
    let environment = Environment {
        id: sure(ENVIRONMENT.parse()),
        tier: Tier::Production,
        owner: sure("platform".parse()),
        regions: (0..REGIONS).map(region).collect(),
    };
    let mut stage = Stage::new(environment.id.clone(), Strategy::Rolling(Rolling::new(1)));
    stage.waves = vec![vec![region(0)], (1..REGIONS).map(region).collect()];
    let builder = Definition::builder(sure(TRAIN.parse()), release).environment(environment);
    let services = (0..count).map(|nth| Service::new(service(nth), sure("team".parse())));
    services.fold(builder.stage(stage), DefinitionBuilder::service).build()
}

/// What an effect observes that did what it was asked.
fn faithful(action: &Action, at: Timestamp) -> Evidence {
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
            observed_at: Some(at),
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

/// A run that goes on until each service has begun somewhere, which is in the first region.
fn begun(plan: &FrozenPlan, count: usize) -> RunState {
    let event = Event::RunCreated {
        plan: plan.digest(),
        definition: plan.plan().definition(),
        supersedes: None,
        policy: None,
        requester: ann(),
    };
    let environment: EnvironmentId = sure(ENVIRONMENT.parse());
    let mut at = now();
    let first = Fact { at, event };
    let mut state = sure(RunState::create(sure("run-1".parse()), plan.clone(), &first));
    let (mut under_way, mut input) = (VecDeque::new(), None);
    while state.entered_mark(&environment, count).is_none() {
        let events = sure(turn(&mut state, input.as_ref(), &Turn::new(at, 0, &PermitAll), 10_000));
        under_way.extend(events.iter().filter_map(|event| match event {
            Event::StepStarted { step, attempt, mode: Mode::Perform, .. } => {
                Some((step.index, *attempt))
            }
            _ => None,
        }));
        input = under_way.pop_front().map(|(step, attempt)| {
            let known = sure(plan.get(step).ok_or("a step of the plan"));
            let outcome = EffectOutcome::Performed(Ok(faithful(&known.action, at)));
            Input::Outcome { step, attempt, outcome }
        });
        if input.is_none() && events.is_empty() {
            at = at.max(sure(state.next_wakeup().ok_or("it waits for nothing")));
        }
    }
    let elsewhere = state.entered(&environment).any(|(id, ..)| *id != region(0));
    assert!(!elsewhere, "no other region has begun");
    state
}

fn ann() -> Principal {
    Principal::human(sure("ann".parse::<PrincipalId>()))
}

/// The step that starts the new version of a service in a region.
fn start(plan: &FrozenPlan, nth: usize, at: usize) -> u32 {
    let (service, region) = (service(nth), region(at));
    let steps = (0_u32..).zip(plan.plan().steps());
    let found = steps.into_iter().find(|(_, step)| {
        matches!(&step.action, Action::Scale { deployment, replicas, .. }
            if *replicas > 0
                && deployment.version == version(3)
                && deployment.target.service == service
                && deployment.target.region == region)
    });
    sure(found.map(|(index, _)| index).ok_or("it starts somewhere"))
}

fn conductor(count: usize) -> Conductor {
    let (departs, hour) = (now(), Span::secs(3_600));
    let cars = (0..count)
        .map(|nth| Car::new(service(nth), version(3), sure("team".parse())).ready(departs));
    let stops = (0..REGIONS).map(|nth| Stop {
        id: sure(format!("stop-{nth:02}").parse()),
        regions: [region(nth)].into(),
        takes: hour,
    });
    let train = sure(Train::new(TrainSpec {
        id: sure("weekly-20261208".parse()),
        environment: sure(ENVIRONMENT.parse()),
        cut: departs,
        boarding_rule: BoardingRule::Ready,
        cars: cars.collect(),
        shared: Vec::new(),
        departs,
        stops: stops.collect(),
        sync_points: Vec::new(),
        blockers: Vec::new(),
        straddle_rule: StraddleRule { closed: Vec::new(), back: hour },
        tick: Span::secs(60),
    }));
    let tested = VerifiedSet::of(versions(count, 3), Digest::of(b"report"));
    let boarded = sure(train.board(&versions(count, 2), &[tested]));
    sure(Conductor::new(train, &boarded, [sure(TRAIN.parse())]))
}

fn compatible(count: usize) -> Compatible {
    let live = versions(count, 2);
    let fleet: Fleet = (0..REGIONS).map(|nth| (region(nth), live.clone())).collect();
    Compatible::new(catalogue(count), Deployed::new([(sure(ENVIRONMENT.parse()), fleet)]))
}

fn co_verified(count: usize, definition: &Definition) -> CoVerified {
    let mut sets = VerifiedSets::default();
    for nth in 0..SETS {
        let mut other = versions(count, 2);
        other.insert(service(nth % count), version(1));
        sure(sets.record(VerifiedSet::of(other, Digest::of(&nth.to_le_bytes()))));
    }
    let record = VerifiedRecord::new(sets);
    record.announce(definition);
    CoVerified::new(record)
}

fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admission");
    for count in [50, 500, 5_000] {
        let definition = definition(count);
        let plan = sure(plan(&definition)).freeze();
        let (state, ann) = (begun(&plan, count), ann());
        let mut measure =
            |name: &str, policy: &dyn Policy, (nth, at): (usize, usize), goes: bool| {
                let index = start(&plan, nth, at);
                let step = sure(plan.get(index).ok_or("a step of the plan"));
                let mut asked = Admission::new(state.run(), &ann, step, state.now());
                asked.at = Some((&state, index));
                let decision: Decision = policy.admit(&asked);
                assert_eq!(decision.is_permit(), goes, "{name}: {:?}", decision.reasons().len());
                group.bench_function(BenchmarkId::new(name, count), |bencher| {
                    bencher.iter(|| policy.admit(&asked));
                });
            };
        let (last, first) = (count - 1, 0);
        measure("conductor", &conductor(count), (last, 1), false);
        let compatible = compatible(count);
        measure("compatible, permitted", &compatible, (last, 1), true);
        measure("compatible, denied", &compatible, (first, 1), false);
        let co_verified = co_verified(count, &definition);
        measure("co-verified, half done", &co_verified, (last, 0), true);
        measure("co-verified, denied", &co_verified, (last, 1), false);
    }
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
