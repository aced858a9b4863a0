//! A fake of every provider trait: in memory, correct unless scripted otherwise, recording.
//!
//! Fakes of one [`World`] see each other's effects, as the parts of one platform do: the router
//! has a backend for what the deployer runs, the probe asks those instances, the deployer starts
//! what the artifact store has. [`FakePlatform`] is a set of six. [`FakeIdentities`] is by itself.
//!
//! ```
//! use release_core::plan::Weight;
//! use release_providers::spi::*;
//! use release_testkit::fakes::{Behaviour, DeployerOp, FakePlatform};
//! use release_testkit::{VirtualClock, fixtures};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (platform, target) = (FakePlatform::new(), fixtures::target("api"));
//! let artifact = platform.world.store(&fixtures::content("api", "1.1.0"));
//! let artifact = fixtures::reference("api", artifact);
//! let wish = ApplyRequest::new(target, artifact, fixtures::version("1.1.0"), 2);
//!
//! platform.deployer.script(DeployerOp::Apply, [Behaviour::ApplyThenLose]);
//! # VirtualClock::new().run(async {
//! let lost = platform.deployer.apply(&fixtures::context("k"), wish.clone()).await;
//! let again = platform.deployer.apply(&fixtures::context("k"), wish.clone()).await;
//! assert!(lost.is_err() && again.is_ok());
//! # })?;
//! assert_eq!(platform.world.instances(&wish.target, wish.artifact.digest()).len(), 2);
//! assert_eq!(platform.deployer.calls()[1].key, "k");
//! # Ok(())
//! # }
//! ```

mod access;
mod approval;
mod artifacts;
mod build;
mod change_desk;
mod clock_source;
mod config;
mod custom;
mod data_set;
mod deployer;
mod event;
mod fake;
mod flag;
mod fleet;
mod health;
mod identities;
mod incident;
mod jobs;
mod metrics;
mod migrate;
mod notifier;
mod page;
mod provision;
mod router;
mod sandbox;
mod sandboxes;
mod scan;
mod script;
mod secrets;
mod test;
mod traffic;
mod verify;
mod weather;
mod world;

pub use access::{Access, Visit};
pub use approval::{FakeApprovalChannel, Questions};
pub use artifacts::FakeArtifacts;
pub use build::{Builds, FakeBuildRunner};
pub use change_desk::{Changes, FakeChangeDesk};
pub use clock_source::{FakeClockSource, OtherClock};
pub use config::{FakeConfigSource, Settings};
pub use custom::{Deeds, FakeCustomAction};
pub use data_set::{DataSets, FakeDataSetStore};
pub use deployer::FakeDeployer;
pub use event::{FakeEventSink, Stored};
pub use fake::ops::*;
pub use fake::{Asked, Fake, model};
pub use flag::{FakeFlagStore, Flags};
pub(crate) use fleet::credential;
pub use fleet::{FakeFleet, InFleet};
pub use health::FakeHealth;
pub use identities::FakeIdentities;
pub use incident::{FakeIncidentSource, IncidentLog};
pub use jobs::Jobs;
pub use metrics::FakeMetrics;
pub use migrate::{FakeMigrator, Migrations};
pub use notifier::FakeNotifier;
pub use page::{FakePager, OnCall};
pub use provision::{FakeProvisioner, Workspaces};
pub use router::FakeRouter;
pub use sandboxes::{Around, Bare, FleetSandboxes};
pub use scan::{FakeScanner, Scans};
pub use script::{Behaviour, Call, Request};
pub use secrets::{FakeSecretStore, Vault};
pub use test::{FakeTestRunner, Suites};
pub(crate) use traffic::Bent;
pub use verify::{FakeArtifactSigner, FakeArtifactVerifier, Keys, Transparency, Trusted};
pub use weather::Weather;
pub use world::World;

pub(crate) use fake::{Rewind, rewinds};
pub(crate) use script::{lock, staged};

use std::sync::Arc;

use release_core::port::Clock;
use release_providers::{Description, EffectClass};

/// One fake of every trait, all in one world.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FakePlatform {
    /// What they share.
    pub world: World,
    /// Keeps content.
    pub artifacts: Arc<FakeArtifacts>,
    /// Runs instances.
    pub deployer: Arc<FakeDeployer>,
    /// Distributes traffic.
    pub router: Arc<FakeRouter>,
    /// Asks instances.
    pub health: Arc<FakeHealth>,
    /// Measures versions.
    pub metrics: Arc<FakeMetrics>,
    /// Sends messages nowhere.
    pub notifier: Arc<FakeNotifier>,
}

impl Default for FakePlatform {
    fn default() -> Self {
        Self::new()
    }
}

impl FakePlatform {
    /// Six fakes in an empty world, without a clock.
    pub fn new() -> Self {
        let world = World::new();
        Self {
            artifacts: Arc::new(FakeArtifacts::of(&world)),
            deployer: Arc::new(FakeDeployer::of(&world)),
            router: Arc::new(FakeRouter::of(&world)),
            health: Arc::new(FakeHealth::of(&world)),
            metrics: Arc::new(FakeMetrics::new()),
            notifier: Arc::new(FakeNotifier::new()),
            world,
        }
    }

    /// The same on `clock`.
    pub fn on(clock: &Arc<dyn Clock>) -> Self {
        let world = World::new();
        let clock = || Arc::clone(clock);
        Self {
            artifacts: Arc::new(FakeArtifacts::of(&world).with_clock(clock())),
            deployer: Arc::new(FakeDeployer::of(&world).with_clock(clock())),
            router: Arc::new(FakeRouter::of(&world).with_clock(clock())),
            health: Arc::new(FakeHealth::of(&world).with_clock(clock())),
            metrics: Arc::new(FakeMetrics::new().with_clock(clock())),
            notifier: Arc::new(FakeNotifier::new().with_clock(clock())),
            world,
        }
    }
}

fn describe(name: &str) -> Description {
    Description::new(name, semver::Version::new(1, 0, 0), EffectClass::Idempotent)
}
