//! All suites, as data: one of every trait, made from the list of capabilities.

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use release_providers::layer::Provider;
use release_providers::{for_each_capability, spi};

use super::{ConformanceReport, Level};

/// A trait of providers that has a suite.
pub trait Suited: Provider {
    /// What its suite is given: a provider, and what of it the suite may use.
    type Sandbox;

    /// The cases of a level by their names, and what each promises.
    fn promises(level: Level) -> Vec<(&'static str, &'static str)>;

    /// Runs all cases of a level, each in a sandbox of its own from `factory`.
    fn run<'a>(
        level: Level,
        factory: &'a dyn Fn() -> LocalBoxFuture<'a, Self::Sandbox>,
    ) -> LocalBoxFuture<'a, ConformanceReport>;
}

/// Ties a trait to the suite of the module that it is in.
macro_rules! suited {
    ($trait:ident, $sandbox:ty) => {
        impl $crate::conformance::Suited for dyn release_providers::spi::$trait {
            type Sandbox = $sandbox;

            fn promises(level: $crate::conformance::Level) -> Vec<(&'static str, &'static str)> {
                cases(level).iter().map(|case| (case.name(), case.contract())).collect()
            }

            fn run<'a>(
                level: $crate::conformance::Level,
                factory: &'a dyn Fn() -> futures_util::future::LocalBoxFuture<'a, $sandbox>,
            ) -> futures_util::future::LocalBoxFuture<'a, $crate::conformance::ConformanceReport>
            {
                Box::pin(async move { run(level, &async || factory().await).await })
            }
        }
    };
}
pub(crate) use suited;

/// Whoever has sandboxes for the suite of one trait.
pub trait SandboxOf<T: ?Sized + Suited> {
    /// A fresh one.
    fn sandbox(&self) -> LocalBoxFuture<'_, T::Sandbox>;
}

macro_rules! suites {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// The suite of a trait. There is one of every trait: a new trait without one does not compile.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Suite {
            $(
                #[doc = concat!("That of [`", stringify!($trait), "`](spi::", stringify!($trait), ").")]
                $trait,
            )*
        }

        /// Whoever has sandboxes for the suite of every trait.
        pub trait Sandboxes: $( SandboxOf<dyn spi::$trait> + )* {}

        impl<S: ?Sized $( + SandboxOf<dyn spi::$trait> )*> Sandboxes for S {}

        impl Suite {
            /// All of them.
            pub const ALL: &[Self] = &[$( Self::$trait, )*];

            /// The name of its capability, for example `flag_store`.
            pub const fn capability(self) -> &'static str {
                match self {
                    $( Self::$trait => $capability, )*
                }
            }

            /// The cases of a level by their names, and what each promises.
            pub fn promises(self, level: Level) -> Vec<(&'static str, &'static str)> {
                match self {
                    $( Self::$trait => <dyn spi::$trait as Suited>::promises(level), )*
                }
            }

            /// Runs all cases of a level, each in a fresh sandbox.
            pub async fn run(self, level: Level, sandboxes: &impl Sandboxes) -> ConformanceReport {
                match self {
                    $( Self::$trait => of::<dyn spi::$trait>(level, sandboxes).await, )*
                }
            }
        }
    };
}
for_each_capability!(suites);

impl Suite {
    /// The suite of a capability, by its name.
    ///
    /// ```
    /// use release_testkit::conformance::Suite;
    /// assert_eq!(Suite::of("flag_store"), Some(Suite::FlagStore));
    /// assert_eq!(Suite::of("time_machine"), None);
    /// ```
    pub fn of(capability: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.capability() == capability)
    }
}

async fn of<T: ?Sized + Suited>(level: Level, sandboxes: &impl SandboxOf<T>) -> ConformanceReport {
    T::run(level, &|| sandboxes.sandbox().boxed_local()).await
}
