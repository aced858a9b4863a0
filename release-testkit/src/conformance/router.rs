//! The suite of [`TrafficRouter`](release_providers::spi::TrafficRouter).

mod cases;
mod client;
mod copies;
mod flights;
mod rules;
mod sandbox;

pub use client::{Ask, Heard, Hurt};
pub use sandbox::RouterSandbox;

use std::sync::LazyLock;

use super::{Case, ConformanceReport, Level, Verdict, run_all, run_one};

/// The cases of a level of [`TrafficRouter`](release_providers::spi::TrafficRouter)'s suite, in order.
pub fn cases(level: Level) -> &'static [Case<RouterSandbox>] {
    static V2: LazyLock<Vec<Case<RouterSandbox>>> = LazyLock::new(|| {
        [cases::V1, rules::NEW_IN_V2, flights::NEW_IN_V2, copies::NEW_IN_V2].concat()
    });
    match level {
        Level::V1 => cases::V1,
        Level::V2 => &V2,
    }
}

/// Runs all cases of a level, each with a fresh sandbox of `factory`.
///
/// ```
/// use release_testkit::conformance::router::{self, RouterSandbox};
/// use release_testkit::conformance::{Level, Subject};
/// use release_testkit::{fakes::FakePlatform, fixtures};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let factory = async || {
///     let (platform, target) = (FakePlatform::new(), fixtures::target("api"));
///     let subjects = ["1.0.0", "1.1.0"].map(|version| {
///         platform.world.store(&fixtures::content("api", version));
///         Subject::new(fixtures::artifact("api", version), fixtures::version(version))
///     });
///     let (world, to) = (platform.world, target.clone());
///     RouterSandbox::new(platform.router, target, subjects)
///         .deployed_by(platform.deployer)
///         .traffic(move |requests| {
///             let served = world.send(&to, requests);
///             async move { if served == requests { Ok(()) } else { Err("not served".into()) } }
///         })
/// };
/// let report = router::run(Level::V1, &factory).await;
/// assert!(report.is_conformant(), "{report}");
/// # }
/// ```
pub async fn run(level: Level, factory: &impl AsyncFn() -> RouterSandbox) -> ConformanceReport {
    run_all("router", level, cases(level), factory).await
}

/// Runs one case; `None` when the level has none of that name.
pub async fn run_case(
    level: Level,
    case: &str,
    factory: &impl AsyncFn() -> RouterSandbox,
) -> Option<Verdict> {
    let case = cases(level).iter().find(|known| known.name == case)?;
    Some(run_one(case, factory).await.0)
}

super::suited!(TrafficRouter, RouterSandbox);
