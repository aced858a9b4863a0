//! A sandbox of the fleet for the suite of every trait.

use std::future::{Ready, ready};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use release_core::model::{ArtifactRef, Digest};
use release_core::port::Clock;
use release_core::time::Span;
use release_providers::layer::Provider;
use release_providers::spi::{
    self, ApprovalVote, CustomRequest, MigrationRef, ReadConfig, ScanKind, SecretRef, StartBuild,
    StartScan, StartTests,
};
use serde_json::json;

use super::fake::{Rewind, rewinds};
use super::{FakeFleet, InFleet, lock};
use crate::conformance::any::ProviderSandbox;
use crate::conformance::approval_channel::People;
use crate::conformance::artifact_store::Shelf;
use crate::conformance::artifact_verifier::Attestations;
use crate::conformance::change_desk::Desk;
use crate::conformance::clock_source::Passing;
use crate::conformance::config_source::Place;
use crate::conformance::data_set_store::DataSetPlace;
use crate::conformance::health_probe::Instances;
use crate::conformance::metrics_source::{BOUNDS, Counters};
use crate::conformance::notifier::Inbox;
use crate::conformance::provisioner::Workspace;
use crate::conformance::test_runner::Course;
use crate::conformance::{HookError, SandboxOf, Suited, Trouble, incident_source};
use crate::{conformance, fixtures};

/// Something that stands around a provider of any trait: it gets the fake, and gives what the suite tests.
pub trait Around<T: ?Sized> {
    /// Puts it around the provider of a fleet.
    fn around(&self, provider: Arc<T>, fleet: &FakeFleet) -> LocalBoxFuture<'_, Arc<T>>;

    /// Puts another one around it, as after a restart; by default one as the first.
    fn again(&self, provider: Arc<T>, fleet: &FakeFleet) -> LocalBoxFuture<'_, Arc<T>> {
        self.around(provider, fleet)
    }
}

/// Nothing stands around it.
#[derive(Debug, Clone, Copy)]
pub struct Bare;

impl<T: ?Sized + Provider> Around<T> for Bare {
    fn around(&self, provider: Arc<T>, _: &FakeFleet) -> LocalBoxFuture<'_, Arc<T>> {
        ready(provider).boxed_local()
    }
}

/// Sandboxes of fresh fleets for every suite, with something around the provider.
///
/// ```
/// use release_testkit::conformance::{Level, Suite};
/// use release_testkit::fakes::{Bare, FleetSandboxes};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let report = Suite::ClockSource.run(Level::V1, &FleetSandboxes(Bare)).await;
/// assert!(report.is_conformant(), "{report}");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FleetSandboxes<A>(pub A);

impl<T: ?Sized + InFleet, A: Around<T>> SandboxOf<T> for FleetSandboxes<A> {
    fn sandbox(&self) -> LocalBoxFuture<'_, T::Sandbox> {
        async move {
            let fleet = FakeFleet::new();
            let provider = self.0.around(T::fake(&fleet), &fleet).await;
            let again = self.0.again(T::fake(&fleet), &fleet).await;
            T::sandbox(&fleet, provider, again)
        }
        .boxed_local()
    }
}

/// What all sandboxes of the fleet offer.
fn offered<T: ?Sized + Provider, D: Send + Sync + 'static>(
    sandbox: ProviderSandbox<T, D>,
    fleet: &FakeFleet,
    again: Arc<T>,
) -> ProviderSandbox<T, D> {
    let access = fleet.access();
    sandbox
        .canary(access.credential().clone())
        .virtual_clock(Arc::clone(fleet.clock()))
        .reopen(move || ready(Ok(Arc::clone(&again))))
        .behind(access, &[Trouble::OutOfReach, Trouble::Denied, Trouble::Throttled])
        .trouble(Trouble::Stalled, stalls(fleet))
}

/// Lets the fleet take calls and not answer them, or answer again.
fn stalls(fleet: &FakeFleet) -> impl Fn(bool) -> Ready<Result<(), HookError>> + use<> {
    let (access, clock) = (fleet.access().clone(), Arc::clone(fleet.clock()));
    move |stalled| {
        access.stall_on(&clock, stalled);
        ready(Ok(()))
    }
}

macro_rules! in_fleet {
    ($trait:ident, $fleet:ident, $fake:expr, $rewind:expr, |$provider:ident, $again:ident| $sandbox:expr) => {
        impl InFleet for dyn spi::$trait {
            fn fake($fleet: &FakeFleet) -> Arc<Self> {
                $fake
            }

            fn sandbox(
                $fleet: &FakeFleet,
                $provider: Arc<Self>,
                $again: Arc<Self>,
            ) -> <Self as Suited>::Sandbox {
                $sandbox
            }

            fn rewind(fleet: &FakeFleet) -> Option<Rewind> {
                let rewind: fn(&FakeFleet) -> Option<Rewind> = $rewind;
                rewind(fleet)
            }
        }
    };
    // A trait whose fake is a model, and whose suite is one of many.
    ($trait:ident, $fleet:ident.$field:ident, |$provider:ident, $again:ident| $sandbox:expr) => {
        in_fleet! {
            $trait,
            $fleet,
            Arc::new($fleet.$field.clone()),
            |fleet| Some(fleet.$field.rewind()),
            |$provider, $again| {
                let fake = $fleet.$field.clone();
                offered($sandbox, $fleet, $again)
                    .seen_from_outside(move || ready(Ok(fake.with(|model| format!("{model:?}")))))
            }
        }
    };
}

in_fleet! { Deployer, fleet, fleet.platform.deployer.clone(), |fleet| Some(fleet.world().rewind()), |provider, again| {
    let sandbox = fleet.platform.deployer_sandbox(provider);
    let sandbox = sandbox.reopen(move || ready(Ok(Arc::clone(&again))));
    sandbox.virtual_clock(fleet.clock().clone()).trouble(Trouble::Stalled, stalls(fleet))
} }
in_fleet! { TrafficRouter, fleet, fleet.platform.router.clone(), |fleet| Some(fleet.world().rewind()), |provider, again| {
    let sandbox = fleet.platform.router_sandbox(provider);
    let sandbox = sandbox.reopen(move || ready(Ok(Arc::clone(&again))));
    sandbox.virtual_clock(fleet.clock().clone()).trouble(Trouble::Stalled, stalls(fleet))
} }
in_fleet! { IdentitySource, fleet, fleet.identities.clone(), |_| None, |provider, again| {
    let sandbox = fleet.identities.sandbox(provider).trouble(Trouble::Stalled, stalls(fleet));
    sandbox.reopen(move || ready(Ok(Arc::clone(&again))))
} }
in_fleet! { HealthProbe, fleet, fleet.platform.health.clone(), |_| None, |provider, again| {
    let (world, target) = (fleet.world().clone(), fixtures::target("api"));
    let digest = fixtures::digest("api", "1.0.0");
    world.only_targets([target.clone()]);
    world.force(&target, digest, 3);
    let instances = Instances::new(target.clone(), digest, 3).ready(move |ready| {
        world.set_unready(&target, digest, u32::from(!ready));
        async { Ok(()) }
    });
    offered(conformance::health_probe::sandbox(provider, instances), fleet, again)
} }
in_fleet! { MetricsSource, fleet, fleet.platform.metrics.clone(), |_| None, |provider, again| {
    let (metrics, clock) = (fleet.platform.metrics.clone(), fleet.clock().clone());
    let (target, digest) = (fixtures::target("api"), fixtures::digest("api", "1.0.0"));
    metrics.only_targets([target.clone()]);
    let metric = fixtures::error_rate().metric;
    let counted = std::sync::Mutex::new((0, 0));
    let [observing, asking] = [(); 2].map(|()| (metrics.clone(), clock.clone()));
    let observed = std::sync::Mutex::new(Vec::new());
    let counters = Counters::new(target, digest, fixtures::version("1.0.0"), metric)
        .count(move |part, whole| {
            // A sample that is later than the window's begin counts, and the next window begins after it.
            clock.advance(Span::secs(1));
            let mut counted = lock(&counted);
            *counted = (counted.0 + part, counted.1 + whole);
            metrics.count_up(digest, fixtures::FAILED_REQUESTS, f64::from(counted.0));
            metrics.count_up(digest, fixtures::ALL_REQUESTS, f64::from(counted.1));
            async { Ok(()) }
        })
        .observing("duration", move |values| {
            let (metrics, clock) = &observing;
            clock.advance(Span::secs(1));
            let mut observed = lock(&observed);
            observed.extend(values);
            let count = |values: &[f64], bound: f64| -> f64 {
                values.iter().filter(|value| **value <= bound).map(|_| 1.0).sum()
            };
            let buckets = BOUNDS.map(|bound| (bound, count(&observed, bound)));
            let whole = (count(&observed, f64::INFINITY), observed.iter().sum());
            metrics.observe_up(digest, "duration", &buckets, whole);
            async { Ok(()) }
        })
        .asking("load", move |value| {
            let (metrics, clock) = &asking;
            clock.advance(Span::secs(1));
            metrics.set(digest, "load", value);
            async { Ok(()) }
        });
    offered(conformance::metrics_source::sandbox(provider, counters), fleet, again)
} }
in_fleet! { ArtifactStore, fleet, fleet.platform.artifacts.clone(), |fleet| Some(fleet.world().rewind()), |provider, again| {
    let world = fleet.world();
    let stored = fixtures::reference("api", world.store(&fixtures::content("api", "1.0.0")));
    let corrupt = fixtures::artifact("api", "0.9.0");
    world.corrupt(corrupt.digest());
    let shelf = Shelf::new(stored).corrupt(corrupt);
    let content = world.clone();
    offered(conformance::artifact_store::sandbox(provider, shelf), fleet, again)
        .seen_from_outside(move || ready(Ok(format!("{:?}", content.state().content))))
} }
in_fleet! { Notifier, fleet, fleet.platform.notifier.clone(), |fleet| Some(fleet.platform.notifier.rewind()), |provider, again| {
    let [notifier, sent] = [(); 2].map(|()| fleet.platform.notifier.clone());
    let inbox = Inbox::new(fixtures::literal("releases")).read(move || {
        let sent = notifier.sent();
        async move { Ok(sent) }
    });
    offered(conformance::notifier::sandbox(provider, inbox), fleet, again)
        .seen_from_outside(move || ready(Ok(format!("{:?}", sent.sent()))))
} }
in_fleet! { ArtifactVerifier, fleet.verifier, |provider, again| {
    let (signed, stranger) = (artifact("1.0.0"), artifact("1.1.0"));
    for predicate in ["", FakeFleet::PREDICATE] {
        fleet.transparency.attest(signed.digest(), predicate, FakeFleet::SIGNING_KEY);
    }
    fleet.transparency.attest(stranger.digest(), "", "a stranger");
    let (unsigned, half) = (artifact("1.2.0"), artifact("1.3.0"));
    fleet.transparency.attest(unsigned.digest(), FakeFleet::PREDICATE, FakeFleet::SIGNING_KEY);
    fleet.transparency.attest(half.digest(), "", FakeFleet::SIGNING_KEY);
    fleet.transparency.attest(half.digest(), FakeFleet::PREDICATE, "a stranger");
    let attestations = Attestations::new(signed, FakeFleet::PREDICATE)
        .distrusted(stranger)
        .unsigned(unsigned)
        .half_trusted(half);
    conformance::artifact_verifier::sandbox(provider, attestations)
} }
in_fleet! { ArtifactSigner, fleet, Arc::new(fleet.signer.clone()), |fleet| Some(signed(fleet)), |provider, again| {
    let key = FakeFleet::SIGNING_KEY;
    let log = Arc::clone(fleet.transparency.entries());
    offered(conformance::artifact_signer::sandbox(provider, artifact("1.0.0"), key), fleet, again)
        .seen_from_outside(move || ready(Ok(format!("{:?}", lock(&log)))))
} }
in_fleet! { BuildRunner, fleet.builds, |provider, again| {
    let revision = Digest::of(b"a commit").to_string();
    fleet.builds.with(|builds| builds.only(&revision, "release"));
    let build = StartBuild::new(FakeFleet::REPOSITORY.into(), revision, "release".into());
    conformance::build_runner::sandbox(provider, build)
} }
in_fleet! { TestRunner, fleet.tests, |provider, again| {
    let start = |suite: &str| StartTests::new(suite.into(), artifact("1.0.0"));
    fleet.tests.with(|suites| suites.only_artifacts([artifact("1.0.0").digest()]));
    let course = Course::new(start("passes"))
        .failing(start("fails"))
        .skipping(start("skips"))
        .unknown_artifact(artifact("9.9.9"));
    conformance::test_runner::sandbox(provider, course)
} }
in_fleet! { Scanner, fleet.scanner, |provider, again| {
    let scanned = artifact("1.0.0");
    let findings = [("rule-a", "error"), ("rule-b", "warning"), ("rule-b", "warning"), ("rule-c", "note")];
    let _same = fleet.scanner.clone().content(scanned.digest(), &findings);
    conformance::scanner::sandbox(provider, StartScan::new(scanned, ScanKind::Code))
} }
in_fleet! { Provisioner, fleet.provisioner, |provider, again| {
    let (small, large) = (json!({ "db": { "size": 1, "a/b": 2 } }), json!({ "db": { "size": 2 } }));
    let (other_hands, name) = (fleet.provisioner.clone(), FakeFleet::WORKSPACE);
    let place = Workspace::new(name, [small, large]).meddle(move || {
        // Every call changes another field.
        let field = other_hands.with(|all| {
            let first = all.meddle_field(name, "db", "/a~1b", json!(9));
            first.or_else(|| all.meddle_field(name, "db", "/size", json!(9)))
        });
        let field = field.map(|path| ("db".to_owned(), path));
        async move { field.ok_or_else(|| "no field is left".into()) }
    });
    conformance::provisioner::sandbox(provider, place.sees_other_hands())
} }
in_fleet! { ConfigSource, fleet.config, |provider, again| {
    let (config, staging) = (fleet.config.clone(), fixtures::literal("staging"));
    let place = Place::new(ReadConfig::new(fixtures::literal("staging"))).change(move |to| {
        config.with(|settings| settings.set(&staging, "replicas", json!(to)));
        async { Ok(()) }
    });
    conformance::config_source::sandbox(provider, place)
} }
in_fleet! { SecretStore, fleet.secrets, |provider, again| {
    conformance::secret_store::sandbox(provider, SecretRef::new(FakeFleet::SECRET))
} }
in_fleet! { DataSetStore, fleet.data_sets, |provider, again| {
    let place = DataSetPlace::new("orders", fixtures::literal("staging")).raw("customers");
    conformance::data_set_store::sandbox(provider, place)
} }
in_fleet! { Migrator, fleet.migrator, |provider, again| {
    let migration = MigrationRef::new(fixtures::target("db"), FakeFleet::MIGRATION.into());
    conformance::migrator::sandbox(provider, migration)
} }
in_fleet! { FlagStore, fleet.flags, |provider, again| {
    conformance::flag_store::sandbox(provider, FakeFleet::FLAG, fixtures::literal("staging"))
} }
in_fleet! { ChangeDesk, fleet.changes, |provider, again| {
    let changes = fleet.changes.clone();
    let desk = Desk::decided_by(move |key, state| {
        let decided = changes.with(|all| all.decide(&key, state));
        async move { decided.then_some(()).ok_or_else(|| "there is no such change".into()) }
    });
    conformance::change_desk::sandbox(provider, desk)
} }
in_fleet! { ApprovalChannel, fleet.approvals, |provider, again| {
    let (people, clock) = (fleet.approvals.clone(), fleet.clock().clone());
    let people = People::who(move |key, by, vote: ApprovalVote| {
        let at = clock.now();
        let taken = people.with(|questions| questions.answer(&key, by, vote, at));
        async move { Ok(taken) }
    });
    conformance::approval_channel::sandbox(provider, people)
} }
in_fleet! { Pager, fleet.pager, |provider, again| {
    conformance::pager::sandbox(provider, fixtures::literal("team-a"))
} }
in_fleet! { IncidentSource, fleet.incidents, |provider, again| {
    let incidents = fleet.incidents.clone();
    let told = incident_source::Reports::told(move |incident| {
        incidents.with(|log| log.open(incident));
        async { Ok(()) }
    });
    incident_source::sandbox(provider, told.many(101))
} }
in_fleet! { EventSink, fleet.events, |provider, again| conformance::event_sink::sandbox(provider) }
in_fleet! { ClockSource, fleet.other_clock, |provider, again| {
    let clock = fleet.clock().clone();
    let passing = Passing::by_hand(move || {
        clock.advance(Span::secs(1));
        async { Ok(()) }
    });
    conformance::clock_source::sandbox(provider, passing)
} }
in_fleet! { CustomAction, fleet.custom, |provider, again| {
    let request = CustomRequest::new(FakeFleet::CUSTOM.into(), json!({ "for": "a test" }));
    conformance::custom_action::sandbox(provider, request)
} }

/// An artifact of the service `api`.
fn artifact(version: &str) -> ArtifactRef {
    fixtures::artifact("api", version)
}

/// The signer writes to a log besides.
fn signed(fleet: &FakeFleet) -> Rewind {
    let (keys, log) = (fleet.signer.rewind(), rewinds(fleet.transparency.entries()));
    Arc::new(move || {
        let (keys, log) = (keys(), log());
        Box::new(move || {
            keys();
            log();
        })
    })
}
