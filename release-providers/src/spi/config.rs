//! Reads configuration.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use release_core::model::{Digest, EnvironmentId, RegionId, ServiceId};
use serde_json::Value;

use super::SecretRef;
use super::message::message;
use crate::{Context, Description, ProviderError};

/// Reads the configuration of a place from its authority.
///
/// # Conformance
/// `conformance!(ConfigSource, sandbox)` of `release-testkit`: all settings are told; a change is seen with another
/// digest and revision; equal settings have equal digests; no secret is among the values.
#[async_trait]
pub trait ConfigSource: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Reads all settings of a place as they are now.
    ///
    /// # Contract
    /// It only looks. All or nothing: an authority that cannot be reached is an error, never an empty answer. What
    /// holds secrets is told as a reference. Equal settings have equal digests, and a
    /// change of them has another digest and another revision.
    ///
    /// # Errors
    /// `NotFound` for a place that it does not know; `Corrupt` for settings that cannot be read; `Unavailable`.
    async fn read(
        &self,
        cx: &Context,
        request: ReadConfig,
    ) -> Result<ConfigSnapshot, ProviderError>;
}

message! {
    /// Which settings.
    #[derive(Eq)]
    pub struct ReadConfig {
        /// Where.
        pub environment: EnvironmentId,
        optional {
            /// In which region; `None`: what holds for all of them.
            pub region: Option<RegionId>,
            /// Of which service; `None`: what holds for all of them.
            pub service: Option<ServiceId>,
        }
    }
}

message! {
    /// All settings of a place.
    #[derive(Eq)]
    pub struct ConfigSnapshot {
        /// The revision that the authority gives them.
        pub revision: String,
        /// The digest of `values` and `secrets`.
        pub digest: Digest,
        /// The settings, by name.
        pub values: BTreeMap<String, Value>,
        optional {
            /// Where the secret settings are, by name.
            pub secrets: BTreeMap<String, SecretRef>,
        }
    }
}
