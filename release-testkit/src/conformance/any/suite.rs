//! The suite of one trait, from its cases.

/// The suite of one trait: `cases`, `run` and `run_case`. `$kind` says which cases that all suites have are in it.
macro_rules! suite {
    ($trait:ident, $suite:literal, $sandbox:ty, $kind:ident, [$($own:expr),* $(,)?]) => {
        $crate::conformance::any::suite!($trait, $suite, $sandbox, $kind, [$($own),*], new in V2: []);
    };
    // One that has more to promise at the second level.
    (
        $trait:ident, $suite:literal, $sandbox:ty, $kind:ident, [$($own:expr),* $(,)?],
        new in V2: [$($more:expr),* $(,)?]
    ) => {
        /// The cases of a level, in order.
        pub fn cases(level: $crate::conformance::Level) -> Vec<$crate::conformance::Case<$sandbox>> {
            let mut all = $crate::conformance::any::$kind();
            all.extend([$($own),*]);
            match level {
                $crate::conformance::Level::V1 => {}
                $crate::conformance::Level::V2 => all.extend([$($more),*]),
            }
            all
        }

        /// Runs all cases of a level, each in a sandbox of its own from `factory`.
        pub async fn run(
            level: $crate::conformance::Level,
            factory: &impl AsyncFn() -> $sandbox,
        ) -> $crate::conformance::ConformanceReport {
            $crate::conformance::run_all($suite, level, &cases(level), factory).await
        }

        /// Runs one case; `None` when the level has none of that name.
        pub async fn run_case(
            level: $crate::conformance::Level,
            case: &str,
            factory: &impl AsyncFn() -> $sandbox,
        ) -> Option<$crate::conformance::Verdict> {
            let case = cases(level).into_iter().find(|known| known.name() == case)?;
            Some($crate::conformance::run_one(&case, factory).await.0)
        }

        $crate::conformance::suited!($trait, $sandbox);
    };
}
pub(crate) use suite;
