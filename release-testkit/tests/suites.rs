//! Every fake keeps what its trait promises: the suites of the traits, as a vendor would write them.

use release_providers::spi::*;
use release_testkit::conformance;
use release_testkit::fakes::{FakeFleet, InFleet};

/// The fake of a trait, with all that its suite can make use of.
async fn of<T: ?Sized + InFleet>() -> T::Sandbox {
    let fleet = FakeFleet::new();
    T::sandbox(&fleet, fleet.provider(), fleet.provider())
}

conformance!(Deployer, of::<dyn Deployer>);
conformance!(TrafficRouter, of::<dyn TrafficRouter>);
conformance!(HealthProbe, of::<dyn HealthProbe>);
conformance!(MetricsSource at V2, of::<dyn MetricsSource>);
conformance!(ArtifactStore, of::<dyn ArtifactStore>);
conformance!(ArtifactVerifier, of::<dyn ArtifactVerifier>);
conformance!(ArtifactSigner, of::<dyn ArtifactSigner>);
conformance!(BuildRunner, of::<dyn BuildRunner>);
conformance!(TestRunner, of::<dyn TestRunner>);
conformance!(Scanner, of::<dyn Scanner>);
conformance!(Provisioner, of::<dyn Provisioner>);
conformance!(ConfigSource, of::<dyn ConfigSource>);
conformance!(SecretStore, of::<dyn SecretStore>);
conformance!(DataSetStore, of::<dyn DataSetStore>);
conformance!(Migrator, of::<dyn Migrator>);
conformance!(FlagStore, of::<dyn FlagStore>);
conformance!(ChangeDesk, of::<dyn ChangeDesk>);
conformance!(IdentitySource, of::<dyn IdentitySource>);
conformance!(ApprovalChannel, of::<dyn ApprovalChannel>);
conformance!(Notifier, of::<dyn Notifier>);
conformance!(Pager, of::<dyn Pager>);
conformance!(IncidentSource, of::<dyn IncidentSource>);
conformance!(EventSink, of::<dyn EventSink>);
conformance!(ClockSource, of::<dyn ClockSource>);
conformance!(CustomAction, of::<dyn CustomAction>);
