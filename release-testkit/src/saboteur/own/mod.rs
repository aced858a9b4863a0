//! What only providers of one trait can do wrong, trait by trait.

mod artifacts;
mod data;
mod jobs;
mod leases;
mod people;
mod world;

use release_core::model::Digest;
use release_core::time::Span;
use release_providers::spi;

use super::{AnyFault, OwnFault, Sabotage};

/// How far off a wrong date is.
const HOUR: Span = Span::secs(3_600);

/// Why keys make no difference to some.
const BY_STATE: (AnyFault, &str) =
    (AnyFault::ForgetsKeys, "what is wished is a state, which is the same whatever the key");

/// Another digest.
fn other(digest: Digest) -> Digest {
    Digest::of(digest.as_bytes())
}

/// A trait whose suite shares cases with others: the faults of its own, and those of any trait that make no difference.
macro_rules! sabotage {
    ($trait:ident, [$($harmless:expr),*], [$($own:expr),* $(,)?]) => {
        impl $crate::saboteur::Sabotage for dyn release_providers::spi::$trait {
            fn own() -> Vec<$crate::saboteur::OwnFault> {
                vec![$($own),*]
            }

            fn harmless() -> Option<&'static [($crate::saboteur::AnyFault, &'static str)]> {
                Some(&[$($harmless),*])
            }
        }
    };
}
use sabotage;

/// A trait whose suite has saboteurs of its own kind: `DeployerFault`, `RouterFault`, `IdentityFault`.
macro_rules! sabotaged_otherwise {
    ($trait:ident) => {
        impl Sabotage for dyn spi::$trait {
            fn own() -> Vec<OwnFault> {
                Vec::new()
            }

            fn harmless() -> Option<&'static [(AnyFault, &'static str)]> {
                None
            }
        }
    };
}
sabotaged_otherwise!(Deployer);
sabotaged_otherwise!(TrafficRouter);
sabotaged_otherwise!(IdentitySource);
