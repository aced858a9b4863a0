//! Fakes behind layers, on a clock that stands still.

pub(crate) use std::sync::{Arc, Mutex, PoisonError};
pub(crate) use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
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
pub(crate) use release_testkit::conformance::{ConformanceReport, Level, Suite, deployer, router};
pub(crate) use release_testkit::fakes::{
    Around, Behaviour, BuildRunnerOp, CustomActionOp, FakeBuildRunner, FakeCustomAction,
    FakeFlagStore, FakeFleet, FakePlatform, FakeSecretStore, FlagStoreOp, FleetSandboxes,
    SecretStoreOp,
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
}

/// Puts all layers around the provider of every sandbox.
struct Layering;

macro_rules! layering {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => { $(
        impl Around<dyn release_providers::spi::$trait> for Layering {
            fn around(
                &self,
                provider: Arc<dyn release_providers::spi::$trait>,
                fleet: &FakeFleet,
            ) -> LocalBoxFuture<'_, Arc<dyn release_providers::spi::$trait>> {
                // Nobody moves this clock on: no pause on it would end.
                let layers = everything(fleet.clock().clone()).retrying(Retrying::never());
                let layered: Arc<dyn release_providers::spi::$trait> = Arc::new(layers.wrap(provider));
                std::future::ready(layered).boxed_local()
            }
        }
    )* };
}
release_providers::for_each_capability!(layering);

/// Whatever the trait, and also where its service stalls.
#[tokio::test(start_paused = true)]
async fn providers_of_every_trait_conform_behind_all_layers() {
    for suite in Suite::ALL {
        let report = suite.run(Level::V1, &FleetSandboxes(Layering)).await;
        assert!(report.is_conformant() && report.skipped().count() == 0, "{report}");
    }
}

#[track_caller]
fn conforms(report: &ConformanceReport) {
    let skipped: Vec<_> = report.skipped().map(|case| &*case.case).collect();
    assert!(report.is_conformant(), "{report}");
    assert_eq!(skipped, ["stalled_calls_end_in_time"], "that takes a fleet, which has a clock");
}
