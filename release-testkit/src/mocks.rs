//! A `mockall` mock of every provider trait: for asserting that a call is, or is never, made.
//!
//! For anything that has state, a [fake](crate::fakes) is the better tool.
//!
//! ```
//! use release_providers::spi::{Deployer, ObserveTraffic, ReadIdentities};
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

#![expect(
    missing_debug_implementations,
    clippy::missing_errors_doc,
    reason = "the traits of all capabilities, and what mockall makes beside each mock"
)]

use async_trait::async_trait;
use mockall::mock;
use release_providers::{Context, Description, ProviderError, for_each_capability};

macro_rules! mocks {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($($request:tt)+) -> ($($answer:tt)+); )*
    } )*) => {
        use release_providers::spi::{$( $trait, )*};

        $(
        mock! {
            #[doc = concat!("Mocks [`", stringify!($trait), "`].")]
            #[derive(Debug)]
            pub $trait {}

            #[async_trait]
            impl $trait for $trait {
                fn describe(&self) -> Description;
                $( async fn $operation(&self, cx: &Context, request: $($request)+) -> Result<$($answer)+, ProviderError>; )*
            }
        }
    )*
    };
}
for_each_capability!(mocks);
