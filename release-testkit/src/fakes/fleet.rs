//! A fake of every trait, in one world.

use std::sync::Arc;

use release_core::port::Clock;
use release_core::time::Span;
use release_providers::spi::{Classification, SecretRef, TestOutcome};
use release_providers::{
    AnyProvider, ProviderSelector, RegistryBuilder, Secret, for_each_capability, spi,
};
use serde_json::json;

use super::fake::Rewind;
use super::verify::Transparency;
use super::{
    Access, FakeApprovalChannel, FakeArtifactSigner, FakeArtifactVerifier, FakeArtifacts,
    FakeBuildRunner, FakeChangeDesk, FakeClockSource, FakeConfigSource, FakeCustomAction,
    FakeDataSetStore, FakeDeployer, FakeEventSink, FakeFlagStore, FakeHealth, FakeIdentities,
    FakeIncidentSource, FakeMetrics, FakeMigrator, FakeNotifier, FakePager, FakePlatform,
    FakeProvisioner, FakeRouter, FakeScanner, FakeSecretStore, FakeTestRunner, Visit, Weather,
    World,
};
use crate::conformance::Suited;
use crate::{VirtualClock, fixtures};

/// A fake of every trait. They share one clock, one world, one weather, one credential and one way to be reached.
///
/// It knows a small organisation, which tests add to: the environments `staging` and `production`, the team `team-a`, the
/// accounts of [`fixtures::accounts`], and one thing of each kind, as the constants of this type name them.
///
/// ```
/// use release_providers::spi::*;
/// use release_testkit::fakes::FakeFleet;
/// use release_testkit::fixtures;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let fleet = FakeFleet::new();
/// let flags = fleet.provider::<dyn FlagStore>();
/// let flag = FlagRef::new(FakeFleet::FLAG.into(), fixtures::literal("staging"));
/// assert!(flags.observe(&fixtures::context("a"), flag.clone()).await.is_ok());
/// fleet.cut_off(true);
/// assert!(flags.observe(&fixtures::context("b"), flag).await.is_err());
/// let asked: Vec<_> = fleet.calls().into_iter().map(|call| call.operation).collect();
/// assert_eq!(asked, ["flag_store.observe", "flag_store.observe"]);
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct FakeFleet {
    /// Deployer, router, health probe, metrics, artifacts and notifier, and their world.
    pub platform: FakePlatform,
    /// The accounts of [`fixtures::accounts`].
    pub identities: Arc<FakeIdentities>,
    /// What the verifier reads and the signer writes.
    pub transparency: Transparency,
    /// Trusts [`FakeFleet::SIGNING_KEY`].
    pub verifier: FakeArtifactVerifier,
    /// Has [`FakeFleet::SIGNING_KEY`].
    pub signer: FakeArtifactSigner,
    /// Knows [`FakeFleet::REPOSITORY`].
    pub builds: FakeBuildRunner,
    /// Knows the suites `passes`, `fails` and `skips`.
    pub tests: FakeTestRunner,
    /// Knows no artifact.
    pub scanner: FakeScanner,
    /// Has the workspace [`FakeFleet::WORKSPACE`].
    pub provisioner: FakeProvisioner,
    /// Has settings of `staging`.
    pub config: FakeConfigSource,
    /// Has [`FakeFleet::SECRET`].
    pub secrets: FakeSecretStore,
    /// Has the data sets `orders`, which is synthetic, and `customers`, of real people.
    pub data_sets: FakeDataSetStore,
    /// Has [`FakeFleet::MIGRATION`] of the service `db`.
    pub migrator: FakeMigrator,
    /// Has [`FakeFleet::FLAG`] in `staging`.
    pub flags: FakeFlagStore,
    /// Has no changes.
    pub changes: FakeChangeDesk,
    /// Has no questions. The role `release-manager` can be asked for.
    pub approvals: FakeApprovalChannel,
    /// Knows `team-a`.
    pub pager: FakePager,
    /// Has no incidents.
    pub incidents: FakeIncidentSource,
    /// Is empty.
    pub events: FakeEventSink,
    /// Is right.
    pub other_clock: FakeClockSource,
    /// Performs [`FakeFleet::CUSTOM`].
    pub custom: FakeCustomAction,
    clock: Arc<VirtualClock>,
    access: Access,
}

/// What ties a trait to the fleet: its fake, and a sandbox for any provider of the trait that works with the fleet.
pub trait InFleet: Suited {
    /// The fake.
    fn fake(fleet: &FakeFleet) -> Arc<Self>;

    /// A sandbox for a provider that reaches the world of this fleet, and for another instance that there is after a
    /// restart, with all that the suite can make use of. The fleet is the suite's from then on.
    fn sandbox(fleet: &FakeFleet, provider: Arc<Self>, again: Arc<Self>) -> Self::Sandbox;

    /// What takes back what the fake did; a trait that only looks has nothing to take back.
    #[doc(hidden)]
    fn rewind(fleet: &FakeFleet) -> Option<Rewind>;
}

macro_rules! all_are_in_it {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// A trait without a fake in the fleet does not compile.
        const _: () = {
            const fn is_in_it<T: ?Sized + InFleet>() {}
            $( is_in_it::<dyn spi::$trait>(); )*
        };
    };
}
for_each_capability!(all_are_in_it);

impl Default for FakeFleet {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeFleet {
    /// A custom step's capability that is performed.
    pub const CUSTOM: &'static str = "anything";
    /// A flag of `staging`, which is off.
    pub const FLAG: &'static str = "dark-mode";
    /// A migration of the service `db`, which nobody has begun.
    pub const MIGRATION: &'static str = "add-column";
    /// A predicate type that tests attest.
    pub const PREDICATE: &'static str = "https://slsa.dev/provenance/v1";
    /// A repository that makes artifacts of the name `api`.
    pub const REPOSITORY: &'static str = "ssh://host/api";
    /// A secret.
    pub const SECRET: &'static str = "kv/api#password";
    /// A key that signs, and that is trusted.
    pub const SIGNING_KEY: &'static str = "release-key";
    /// An empty workspace.
    pub const WORKSPACE: &'static str = "network";

    /// A fleet on a clock of its own, in fair weather.
    pub fn new() -> Self {
        Self::on(Arc::new(VirtualClock::new()), Weather::new(0))
    }

    /// A fleet on `clock`, whose calls take time and fail by chance, all in one weather.
    pub fn on(clock: Arc<VirtualClock>, weather: Weather) -> Self {
        let (access, weather) = (Access::new(credential()), Arc::new(weather));
        let time: Arc<dyn Clock> = Arc::<VirtualClock>::clone(&clock);
        let transparency = Transparency::new();
        macro_rules! set {
            ($fake:expr) => {
                $fake
                    .with_clock(Arc::clone(&time))
                    .in_weather(Arc::clone(&weather))
                    .with_access(access.clone())
            };
        }
        let world = World::reached_by(access.clone());
        let platform = FakePlatform {
            artifacts: Arc::new(set!(FakeArtifacts::of(&world))),
            deployer: Arc::new(set!(FakeDeployer::of(&world))),
            router: Arc::new(set!(FakeRouter::of(&world))),
            health: Arc::new(set!(FakeHealth::of(&world))),
            metrics: Arc::new(set!(FakeMetrics::new())),
            notifier: Arc::new(set!(
                FakeNotifier::new().only_channels([fixtures::literal("releases")])
            )),
            world,
        };
        let staging = fixtures::literal("staging");
        let tests = [("one", TestOutcome::Passed), ("two", TestOutcome::Passed)];
        let failing = [("one", TestOutcome::Passed), ("three", TestOutcome::Failed)];
        let skipping = [("one", TestOutcome::Skipped), ("two", TestOutcome::Skipped)];
        let fleet = Self {
            platform,
            identities: Arc::new(set!(FakeIdentities::of(fixtures::accounts()))),
            verifier: set!(FakeArtifactVerifier::new(&transparency, &[Self::SIGNING_KEY])),
            signer: set!(FakeArtifactSigner::new(&transparency, &[Self::SIGNING_KEY])),
            transparency,
            builds: set!(FakeBuildRunner::new().repository(Self::REPOSITORY, "api")),
            tests: set!(
                FakeTestRunner::new()
                    .suite("passes", &tests)
                    .suite("fails", &failing)
                    .suite("skips", &skipping)
            ),
            scanner: set!(FakeScanner::new()),
            provisioner: set!(FakeProvisioner::new(&[Self::WORKSPACE])),
            config: set!(FakeConfigSource::new()),
            secrets: set!(FakeSecretStore::new()),
            data_sets: set!(
                FakeDataSetStore::new(fixtures::literal("production"))
                    .data_set("orders", Classification::Synthetic, None)
                    .data_set("customers", Classification::Production, None)
            ),
            migrator: set!(FakeMigrator::new().migration(&fixtures::target("db"), Self::MIGRATION)),
            flags: set!(FakeFlagStore::new().flag(Self::FLAG, &staging)),
            changes: set!(FakeChangeDesk::new()),
            approvals: set!(
                FakeApprovalChannel::new().only_roles([fixtures::literal("release-manager")])
            ),
            pager: set!(FakePager::new([fixtures::literal("team-a")])),
            incidents: set!(FakeIncidentSource::new()),
            events: set!(FakeEventSink::new()),
            other_clock: set!(FakeClockSource::new()),
            custom: set!(FakeCustomAction::new().performing(&[Self::CUSTOM])),
            clock,
            access,
        };
        fleet.config.with(|settings| {
            settings.set(&staging, "replicas", json!(2));
            settings.refer(&staging, "password", SecretRef::new(Self::SECRET));
        });
        let secret = SecretRef::new(Self::SECRET);
        fleet.secrets.with(|vault| vault.put(&secret, Secret::new("a password of a test")));
        fleet
    }

    /// The fake of a trait.
    pub fn provider<T: ?Sized + InFleet>(&self) -> Arc<T> {
        T::fake(self)
    }

    /// Registers a fake of every trait, everywhere.
    pub fn register(&self, builder: RegistryBuilder) -> RegistryBuilder {
        let everywhere = ProviderSelector::everywhere;
        macro_rules! all {
            ($( $trait:ident $op:ident $call:ident $capability:literal {
                $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
            } )*) => {
                builder$( .provider(everywhere(), AnyProvider::$trait(self.provider::<dyn spi::$trait>())) )*
            };
        }
        for_each_capability!(all)
    }

    /// The world of the platform.
    pub const fn world(&self) -> &World {
        &self.platform.world
    }

    /// The clock of all of them.
    pub const fn clock(&self) -> &Arc<VirtualClock> {
        &self.clock
    }

    /// The way to all of them.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Puts all of them out of reach (`true`), or back.
    pub fn cut_off(&self, cut_off: bool) {
        self.access.cut_off(cut_off);
    }

    /// The calls that they got so far, in order.
    pub fn calls(&self) -> Vec<Visit> {
        self.access.visits()
    }

    /// Lets time pass.
    pub fn wait(&self, span: Span) {
        self.clock.advance(span);
    }
}

/// What the fakes authenticate themselves with: whoever finds it in a text has found a leak.
pub(crate) fn credential() -> Secret {
    Secret::new("canary-7f3a-the-credential-of-the-fleet")
}
