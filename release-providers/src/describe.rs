//! What a provider says of itself.

use std::collections::BTreeSet;

use semver::Version;
use serde::{Deserialize, Serialize};

/// What a provider says of itself. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// Its name, for example `local`.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// What the engine may do when it does not know whether a call took effect.
    pub effects: EffectClass,
    /// Optional abilities. What is declared must work, what is not must answer `Unsupported`.
    pub capabilities: BTreeSet<Capability>,
    /// The JSON Schema of its configuration; `true` when there is none to configure.
    pub config_schema: serde_json::Value,
}

impl Description {
    /// A description without optional abilities and without configuration.
    pub fn new(name: impl Into<String>, version: Version, effects: EffectClass) -> Self {
        let (capabilities, config_schema) = (BTreeSet::new(), serde_json::Value::Bool(true));
        Self { name: name.into(), version, effects, capabilities, config_schema }
    }

    /// Declares an ability.
    #[must_use]
    pub fn with(mut self, capability: Capability) -> Self {
        self.capabilities.insert(capability);
        self
    }

    /// Gives the configuration's JSON Schema.
    #[must_use]
    pub fn with_config_schema(mut self, schema: serde_json::Value) -> Self {
        self.config_schema = schema;
        self
    }
}

/// What the engine may do when it does not know whether a call took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Ask again with the same key.
    Idempotent,
    /// Look first, then ask again if it did not happen.
    Queryable,
    /// Neither: a person must look.
    Opaque,
}

/// Optional abilities of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// A traffic router that splits traffic by weight, not just all or nothing.
    WeightedRouting,
    /// A traffic router that counts what each version really served.
    ServedCounts,
    /// A deployer or traffic router that refuses the calls of a run's earlier writers: it remembers
    /// the highest [`epoch`](crate::Context::epoch) of every run for good, and answers
    /// [`ErrorKind::Fenced`](crate::ErrorKind::Fenced) to an older one.
    EpochFencing,
    /// A secret store that puts new values in the place of old ones by itself.
    SecretRotation,
}
