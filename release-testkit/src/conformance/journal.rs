//! The suite of [`Journal`](release_core::journal::Journal).

mod cases;
mod sandbox;
mod writer;

pub use sandbox::JournalSandbox;

use super::{Case, ConformanceReport, Level, Verdict, run_all, run_one};

/// The cases of a level of [`Journal`](release_core::journal::Journal)'s suite, in order.
pub const fn cases(level: Level) -> &'static [Case<JournalSandbox>] {
    match level {
        Level::V1 | Level::V2 => cases::V1,
    }
}

/// Runs all cases of a level, each with a fresh sandbox of `factory`.
///
/// ```
/// use std::sync::Arc;
/// use release_core::journal::MemoryJournal;
/// use release_testkit::conformance::Level;
/// use release_testkit::conformance::journal::{self, JournalSandbox};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let factory = async || JournalSandbox::new("memory", Arc::new(MemoryJournal::new()));
/// let report = journal::run(Level::V1, &factory).await;
/// assert!(report.is_conformant(), "{report}");
/// assert!(report.skipped().any(|case| case.case == "reopening_loses_nothing"));
/// # }
/// ```
pub async fn run(level: Level, factory: &impl AsyncFn() -> JournalSandbox) -> ConformanceReport {
    run_all("journal", level, cases(level), factory).await
}

/// Runs one case; `None` when the level has none of that name.
pub async fn run_case(
    level: Level,
    case: &str,
    factory: &impl AsyncFn() -> JournalSandbox,
) -> Option<Verdict> {
    let case = cases(level).iter().find(|known| known.name == case)?;
    Some(run_one(case, factory).await.0)
}
