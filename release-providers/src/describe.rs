//! What a provider says of itself.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::Abilities;

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
    /// Optional abilities and limits. What is declared must work, what is not must answer `Unsupported`.
    pub abilities: Abilities,
    /// The JSON Schema of its configuration; `true` when there is none to configure.
    pub config_schema: serde_json::Value,
}

impl Description {
    /// A description without optional abilities and without configuration.
    pub fn new(name: impl Into<String>, version: Version, effects: EffectClass) -> Self {
        let (abilities, config_schema) = (Abilities::default(), serde_json::Value::Bool(true));
        Self { name: name.into(), version, effects, abilities, config_schema }
    }

    /// Declares abilities.
    #[must_use]
    pub fn able(mut self, declare: impl FnOnce(&mut Abilities)) -> Self {
        declare(&mut self.abilities);
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
