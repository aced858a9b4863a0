//! A source of configuration that is kept in memory.

use std::collections::BTreeMap;

use release_core::model::{Digest, EnvironmentId};
use release_providers::spi::{ConfigSnapshot, ReadConfig, SecretRef};
use release_providers::{ErrorKind, ProviderError};
use serde_json::Value;

use super::script::other;
use super::{Asked, ConfigSourceCall, Fake, model};

/// A [`ConfigSource`](release_providers::spi::ConfigSource) whose settings are kept in memory.
pub type FakeConfigSource = Fake<ConfigSourceCall, Settings>;

/// What a [`FakeConfigSource`] knows.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    places: BTreeMap<EnvironmentId, BTreeMap<String, Value>>,
    secrets: BTreeMap<EnvironmentId, BTreeMap<String, SecretRef>>,
    revision: u64,
    /// Whether the authority cannot be reached.
    pub down: bool,
}

impl Fake<ConfigSourceCall, Settings> {
    /// A source that knows no place.
    pub fn new() -> Self {
        Self::of("fake-config-source", Settings::default())
    }
}

impl Default for Fake<ConfigSourceCall, Settings> {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// Sets a setting of an environment.
    pub fn set(&mut self, environment: &EnvironmentId, name: &str, value: Value) {
        self.revision += 1;
        let place = self.places.entry(environment.clone()).or_default();
        place.insert(name.to_owned(), value);
    }

    /// Says where a secret setting of an environment is.
    pub fn refer(&mut self, environment: &EnvironmentId, name: &str, secret: SecretRef) {
        self.revision += 1;
        self.places.entry(environment.clone()).or_default();
        let place = self.secrets.entry(environment.clone()).or_default();
        place.insert(name.to_owned(), secret);
    }
}

impl model::ConfigSource for Settings {
    fn read(
        &mut self,
        asked: &Asked<'_>,
        request: ReadConfig,
    ) -> Result<ConfigSnapshot, ProviderError> {
        if self.down {
            return Err(asked.error(ErrorKind::Unavailable, "the authority is out of reach"));
        }
        let environment = &request.environment;
        let values = self.places.get(environment);
        let values = asked.found("environment", environment.as_str(), values)?.clone();
        let secrets = self.secrets.get(environment).cloned().unwrap_or_default();
        // INVARIANT: the keys of both maps are text.
        let digest = Digest::of(serde_json::json!([values, secrets]).to_string().as_bytes());
        let digest = if asked.lie { other(digest) } else { digest };
        let mut snapshot = ConfigSnapshot::new(self.revision.to_string(), digest, values);
        snapshot.secrets = secrets;
        Ok(snapshot)
    }
}
