//! What a kind or a plugin says that it is and can do.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Description;

/// What a kind or a plugin says that it is and can do: its capability manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// What it can do, by the name of the trait, for example `deployer`; with what each provider says of
    /// itself.
    pub capabilities: BTreeMap<String, Description>,
}

impl Manifest {
    /// One that can do nothing yet.
    pub fn new(name: impl Into<String>, version: Version) -> Self {
        Self { name: name.into(), version, capabilities: BTreeMap::new() }
    }

    /// The same with a capability.
    #[must_use]
    pub fn with(mut self, capability: impl Into<String>, description: Description) -> Self {
        self.capabilities.insert(capability.into(), description);
        self
    }

    /// The JSON Schema of its settings: all that its capabilities ask for; `true` when they ask for nothing.
    pub fn config_schema(&self) -> Value {
        let mut schemas: Vec<&Value> = Vec::new();
        for schema in self.capabilities.values().map(|one| &one.config_schema) {
            if *schema != Value::Bool(true) && !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        match *schemas {
            [] => Value::Bool(true),
            [one] => one.clone(),
            _ => json!({ "allOf": schemas }),
        }
    }
}
