//! A `mockall` mock of every provider trait: for asserting that a call is, or is never, made.
//!
//! For anything that has state, a [fake](crate::fakes) is the better tool.
//!
//! ```
//! use release_providers::spi::Deployer;
//! use release_testkit::mocks::MockDeployer;
//! use release_testkit::{VirtualClock, fixtures};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut deployer = MockDeployer::new();
//! deployer.expect_apply().never(); // the mock panics if it is asked to
//! deployer.expect_describe().returning(|| {
//!     use release_providers::{Description, EffectClass};
//!     Description::new("mock", fixtures::version("1.0.0"), EffectClass::Opaque)
//! });
//! // Hand it to what must not deploy, for example behind a gate that says no.
//! let held: Box<dyn Deployer> = Box::new(deployer);
//! assert_eq!(held.describe().name, "mock");
//! # Ok(())
//! # }
//! ```

use async_trait::async_trait;
use mockall::mock;
use release_core::model::{ArtifactRef, IdentitySnapshot, Target};
use release_core::port::Measurement;
use release_providers::spi::{
    ApplyRequest, ArtifactContent, ArtifactStatus, ArtifactStore, CheckHealth, Deployer,
    DeploymentStatus, HealthProbe, HealthReport, IdentitySource, MeasureRequest, MetricsSource,
    Notification, Notifier, ObserveDeployment, PutArtifact, SetWeights, TrafficRouter,
    TrafficStatus,
};
use release_providers::{Context, Description, ProviderError};

mock! {
    /// Mocks [`Deployer`].
    #[derive(Debug)]
    pub Deployer {}

    #[async_trait]
    impl Deployer for Deployer {
        fn describe(&self) -> Description;
        async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError>;
        async fn observe(&self, cx: &Context, request: ObserveDeployment) -> Result<DeploymentStatus, ProviderError>;
    }
}

mock! {
    /// Mocks [`TrafficRouter`].
    #[derive(Debug)]
    pub TrafficRouter {}

    #[async_trait]
    impl TrafficRouter for TrafficRouter {
        fn describe(&self) -> Description;
        async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError>;
        async fn observe(&self, cx: &Context, target: Target) -> Result<TrafficStatus, ProviderError>;
    }
}

mock! {
    /// Mocks [`HealthProbe`].
    #[derive(Debug)]
    pub HealthProbe {}

    #[async_trait]
    impl HealthProbe for HealthProbe {
        fn describe(&self) -> Description;
        async fn check(&self, cx: &Context, request: CheckHealth) -> Result<HealthReport, ProviderError>;
    }
}

mock! {
    /// Mocks [`MetricsSource`].
    #[derive(Debug)]
    pub MetricsSource {}

    #[async_trait]
    impl MetricsSource for MetricsSource {
        fn describe(&self) -> Description;
        async fn measure(&self, cx: &Context, request: MeasureRequest) -> Result<Measurement, ProviderError>;
    }
}

mock! {
    /// Mocks [`ArtifactStore`].
    #[derive(Debug)]
    pub ArtifactStore {}

    #[async_trait]
    impl ArtifactStore for ArtifactStore {
        fn describe(&self) -> Description;
        async fn put(&self, cx: &Context, request: PutArtifact) -> Result<ArtifactRef, ProviderError>;
        async fn get(&self, cx: &Context, artifact: ArtifactRef) -> Result<ArtifactContent, ProviderError>;
        async fn verify(&self, cx: &Context, artifact: ArtifactRef) -> Result<ArtifactStatus, ProviderError>;
    }
}

mock! {
    /// Mocks [`Notifier`].
    #[derive(Debug)]
    pub Notifier {}

    #[async_trait]
    impl Notifier for Notifier {
        fn describe(&self) -> Description;
        async fn notify(&self, cx: &Context, notification: Notification) -> Result<(), ProviderError>;
    }
}

mock! {
    /// Mocks [`IdentitySource`].
    #[derive(Debug)]
    pub IdentitySource {}

    #[async_trait]
    impl IdentitySource for IdentitySource {
        fn describe(&self) -> Description;
        async fn read(&self, cx: &Context) -> Result<IdentitySnapshot, ProviderError>;
    }
}
