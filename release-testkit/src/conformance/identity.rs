//! The suite of [`IdentitySource`](release_providers::spi::IdentitySource).

mod cases;
mod sandbox;

pub use sandbox::IdentitySandbox;

use super::{Case, ConformanceReport, Level, Verdict, run_all, run_one};

/// The cases of a level of [`IdentitySource`](release_providers::spi::IdentitySource)'s suite, in order.
pub const fn cases(level: Level) -> &'static [Case<IdentitySandbox>] {
    match level {
        Level::V1 | Level::V2 => cases::V1,
    }
}

/// Runs all cases of a level, each with a fresh sandbox of `factory`.
///
/// ```
/// use std::sync::Arc;
/// use release_testkit::conformance::{Level, identity};
/// use release_testkit::fakes::FakeIdentities;
/// use release_testkit::{VirtualClock, fixtures};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let factory = async || {
///     let source = FakeIdentities::of(fixtures::accounts()).with_clock(Arc::new(VirtualClock::new()));
///     let another = Arc::new(source.another());
///     source.sandbox(another)
/// };
/// let report = identity::run(Level::V1, &factory).await;
/// assert!(report.is_conformant(), "{report}");
/// let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
/// assert_eq!(skipped, ["stalled_calls_end_in_time"]); // a `FakeFleet` can be stalled
/// # }
/// ```
pub async fn run(level: Level, factory: &impl AsyncFn() -> IdentitySandbox) -> ConformanceReport {
    run_all("identity", level, cases(level), factory).await
}

/// Runs one case; `None` when the level has none of that name.
pub async fn run_case(
    level: Level,
    case: &str,
    factory: &impl AsyncFn() -> IdentitySandbox,
) -> Option<Verdict> {
    let case = cases(level).iter().find(|known| known.name == case)?;
    Some(run_one(case, factory).await.0)
}

super::suited!(IdentitySource, IdentitySandbox);
