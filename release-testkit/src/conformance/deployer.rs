//! The suite of [`Deployer`](release_providers::spi::Deployer).

mod cases;
mod sandbox;
mod wishes;

pub use sandbox::DeployerSandbox;

use std::sync::LazyLock;

use super::{Case, ConformanceReport, Level, Verdict, run_all, run_one};

/// The cases of a level of [`Deployer`](release_providers::spi::Deployer)'s suite, in order.
pub fn cases(level: Level) -> &'static [Case<DeployerSandbox>] {
    static V2: LazyLock<Vec<Case<DeployerSandbox>>> =
        LazyLock::new(|| [cases::V1, wishes::NEW_IN_V2].concat());
    match level {
        Level::V1 => cases::V1,
        Level::V2 => &V2,
    }
}

/// Runs all cases of a level, each with a fresh sandbox of `factory`.
///
/// ```
/// use std::sync::Arc;
/// use release_testkit::conformance::deployer::{self, DeployerSandbox};
/// use release_testkit::conformance::{Level, Subject};
/// use release_testkit::{fakes::FakePlatform, fixtures};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let factory = async || {
///     let platform = FakePlatform::new();
///     let subjects = ["1.0.0", "1.1.0"].map(|version| {
///         platform.world.store(&fixtures::content("api", version));
///         Subject::new(fixtures::artifact("api", version), fixtures::version(version))
///     });
///     DeployerSandbox::new(platform.deployer, fixtures::target("api"), subjects)
/// };
/// let report = deployer::run(Level::V1, &factory).await;
/// assert!(report.is_conformant(), "{report}");
/// # }
/// ```
pub async fn run(level: Level, factory: &impl AsyncFn() -> DeployerSandbox) -> ConformanceReport {
    run_all("deployer", level, cases(level), factory).await
}

/// Runs one case; `None` when the level has none of that name.
pub async fn run_case(
    level: Level,
    case: &str,
    factory: &impl AsyncFn() -> DeployerSandbox,
) -> Option<Verdict> {
    let case = cases(level).iter().find(|known| known.name == case)?;
    Some(run_one(case, factory).await.0)
}

super::suited!(Deployer, DeployerSandbox);
