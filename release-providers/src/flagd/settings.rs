//! What a store is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use release_core::flags::Variant;
use release_core::model::EnvironmentId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, ProviderError};

/// Where the flags are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FlagdSettings {
    /// The file of each environment, by an absolute path.
    pub files: BTreeMap<EnvironmentId, PathBuf>,
    /// The variant that means on (default `on`). It may be of any value.
    #[serde(default = "on")]
    pub on: String,
    /// The variant that means off (default `off`).
    #[serde(default = "off")]
    pub off: String,
}

fn on() -> String {
    "on".into()
}

fn off() -> String {
    "off".into()
}

impl Default for FlagdSettings {
    fn default() -> Self {
        Self { files: BTreeMap::new(), on: on(), off: off() }
    }
}

impl FlagdSettings {
    /// No file yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the file of an environment.
    #[must_use]
    pub fn file(mut self, environment: EnvironmentId, path: impl Into<PathBuf>) -> Self {
        self.files.insert(environment, path.into());
        self
    }

    /// Sets which variants mean on and off.
    #[must_use]
    pub fn variants(mut self, on: impl Into<String>, off: impl Into<String>) -> Self {
        (self.on, self.off) = (on.into(), off.into());
        self
    }

    /// The variants for on and off.
    pub(super) fn check(&self) -> Result<(Variant, Variant), ProviderError> {
        let bad = |text: String| ProviderError::new(ErrorKind::Invalid, "flagd.open", text);
        let name = |name: &str| Variant::new(name).map_err(|error| bad(error.to_string()));
        let (on, off) = (name(&self.on)?, name(&self.off)?);
        if on == off {
            return Err(bad(format!("`on` and `off` are both `{on}`; name two variants")));
        }
        if let Some(path) = self.files.values().find(|path| !path.is_absolute()) {
            let text = format!("`{}` is relative; give the whole path", path.display());
            return Err(bad(text));
        }
        Ok((on, off))
    }
}
