//! Fakes behind layers, on a clock that stands still.

pub(crate) use std::sync::{Arc, Mutex, PoisonError};
pub(crate) use std::time::Duration;

pub(crate) use release_core::model::Span;
pub(crate) use release_core::port::{Clock, EffectCertainty};
pub(crate) use release_core::time::Timestamp;
pub(crate) use release_providers::kind::{SecretSetting, Secrets};
pub(crate) use release_providers::layer::{
    CallObserver, CallRecord, Layers, Redactor, Retrying, Tape,
};
pub(crate) use release_providers::spi::{
    BuildRunner, CustomAction, CustomRequest, FlagStore, JobRef, LeaseSecret, SecretRef,
    SecretStore, StartBuild,
};
pub(crate) use release_providers::{
    Context, ErrorKind, ProviderError, RetryAdvice, Secret, Shielding,
};
pub(crate) use release_testkit::conformance::{
    ConformanceReport, Level, deployer, identity, router,
};
pub(crate) use release_testkit::fakes::{
    Behaviour, BuildRunnerOp, CustomActionOp, FakeBuildRunner, FakeCustomAction, FakeFlagStore,
    FakeIdentities, FakePlatform, FakeSecretStore, FlagStoreOp, SecretStoreOp,
};
pub(crate) use release_testkit::{VirtualClock, fixtures};

pub(crate) fn unavailable(effect: EffectCertainty) -> Behaviour {
    let error = ProviderError::new(ErrorKind::Unavailable, "x", "later");
    Behaviour::Fail(error.with_effect(effect))
}

/// What `work` comes to on the clock.
pub(crate) fn go<T>(clock: &Arc<VirtualClock>, work: impl Future<Output = T>) -> T {
    clock.run(work).unwrap()
}

pub(crate) fn request(input: &str) -> CustomRequest {
    CustomRequest::new("c".into(), input.into())
}

/// A clock, a fake on it, and the fake behind layers.
pub(crate) fn custom(
    with: impl FnOnce(Layers) -> Layers,
) -> (Arc<VirtualClock>, FakeCustomAction, Arc<dyn CustomAction>) {
    let clock = Arc::new(VirtualClock::new());
    let fake = FakeCustomAction::new().with_clock(clock.clone());
    let layers = with(Layers::new(clock.clone()));
    let inner: Arc<dyn CustomAction> = Arc::new(fake.clone());
    (clock, fake, Arc::new(layers.wrap(inner)))
}

pub(crate) fn everything(clock: Arc<dyn Clock>) -> Layers {
    Layers::new(clock)
        .shielding(Shielding::default())
        .retrying(Retrying::attempts(3))
        .attempt_timeout(Duration::from_secs(20))
        .redacting(Redactor::new([Secret::new("correct horse")]))
        .tape(Tape::recording())
}

/// A layered provider keeps every promise that the provider keeps.
#[tokio::test(start_paused = true)]
async fn providers_behind_all_layers_conform() {
    // The suite's time stands still, and that of the layers does not: their pauses are short.
    let brief = Retrying::attempts(3).pauses(Duration::from_millis(1), Duration::from_millis(2));
    let real = || everything(Arc::new(release_core::engine::SystemClock::new())).retrying(brief);
    let layered = async || {
        let platform = FakePlatform::new();
        let inner: Arc<dyn release_providers::spi::Deployer> = platform.deployer.clone();
        platform.deployer_sandbox(Arc::new(real().wrap(inner)))
    };
    conforms(&deployer::run(Level::V1, &layered).await);
    let layered = async || {
        let platform = FakePlatform::new();
        let inner: Arc<dyn release_providers::spi::TrafficRouter> = platform.router.clone();
        platform.router_sandbox(Arc::new(real().wrap(inner)))
    };
    conforms(&router::run(Level::V1, &layered).await);
    let layered = async || {
        let clock = Arc::new(VirtualClock::new());
        let source = FakeIdentities::of(fixtures::accounts()).with_clock(clock.clone());
        let inner: Arc<dyn release_providers::spi::IdentitySource> = Arc::new(source.another());
        // Nobody moves this clock on: no pause on it would end.
        let layers = everything(clock).retrying(Retrying::never());
        source.sandbox(Arc::new(layers.wrap(inner)))
    };
    conforms(&identity::run(Level::V1, &layered).await);
}

#[track_caller]
fn conforms(report: &ConformanceReport) {
    assert!(report.is_conformant() && report.skipped().count() == 0, "{report}");
}
