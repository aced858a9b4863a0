//! What stands in the file.

use release_core::model::{ChannelId, EnvironmentId, RegionId, ServiceId, SourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConfigError, ConfigProblem};
use crate::ProviderSelector;

/// What the files of this version say that they are.
pub const FORMAT: &str = "providers/v1";

/// Largest file accepted, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A file of providers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProvidersFile {
    /// `providers/v1`.
    pub format: String,
    /// The providers.
    #[serde(default)]
    pub providers: Vec<ProviderEntry>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderEntry {
    /// What errors call it: lower-case letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Which of the host's kinds it is of.
    pub kind: String,
    /// Its settings, as the kind takes them. Secrets by reference only: `{ secret: kv/shop/acme#token }`.
    #[serde(default)]
    pub config: Value,
    /// What it serves; nothing said: all that it can do, everywhere.
    #[serde(default)]
    pub serves: Vec<ServedBy>,
}

/// What a provider serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ServedBy {
    /// Which of its capabilities, for example `deployer`; nothing said: all of them.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub capability: Option<String>,
    /// Only in this environment.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub environment: Option<EnvironmentId>,
    /// Only in this region.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub region: Option<RegionId>,
    /// Only for this service.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub service: Option<ServiceId>,
    /// Of a notifier: only this channel.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub channel: Option<ChannelId>,
    /// Of a custom action: only steps that name this.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub action: Option<String>,
    /// Of a metrics source: only analyses that name this, and no others.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub source: Option<SourceId>,
}

/// What is named has a value: an empty field, as of a template whose variable is empty, would serve more than was meant.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    field: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

impl ServedBy {
    pub(super) fn selector(&self) -> ProviderSelector {
        let Self { capability: _, environment, region, service, channel, action, source } =
            self.clone();
        ProviderSelector { environment, region, service, channel, action, source }
    }
}

impl ProvidersFile {
    /// Reads a file in YAML 1.2 (of which JSON is a part).
    ///
    /// # Errors
    /// [`ConfigError`] with one problem, which names the line, the column and the field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let one = |problem| ConfigError { problems: vec![problem] };
        if text.len() > MAX_BYTES {
            let problem = format!("the file has more than {MAX_BYTES} bytes; split it");
            return Err(one(ConfigProblem::new("", problem)));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: 64, max_nodes: MAX_BYTES / 2, max_events: MAX_BYTES },
        };
        let mut path = None;
        let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |de| {
            serde_path_to_error::deserialize::<_, Self>(de).map_err(|error| {
                let at = error.path().to_string();
                // Where the reader does not know which field it is.
                let known = at.split(".?").next().unwrap_or_default().to_owned();
                path = Some(known).filter(|path| path != ".");
                error.into_inner()
            })
        });
        let file =
            read.map_err(|error| one(ConfigProblem::new(path.unwrap_or_default(), told(&error))))?;
        if file.format != FORMAT {
            let problem = format!(
                "this version reads `{FORMAT}`; say that, or use the version that reads yours"
            );
            return Err(one(ConfigProblem::new("format", problem)));
        }
        Ok(file)
    }
}

/// What the reader says, without what stands in the file.
fn told(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;

    let place = error.location().map(|at| format!("line {}, column {}: ", at.line(), at.column()));
    let what = match error.without_snippet() {
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("expected {expected}")
        }
        Error::InvalidScalar { ty, .. } => format!("expected {ty}"),
        Error::Unexpected { expected, .. } => format!("expected {expected}"),
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown field `{field}`, expected one of {}", expected.join(", "))
        }
        Error::DuplicateMappingKey { .. } => "it stands there twice; leave one of them".to_owned(),
        Error::SerdeMissingField { field, .. } => format!("missing field `{field}`"),
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or_default();
            // The place stands before it.
            line.split(" at line ").next().unwrap_or_default().to_owned()
        }
    };
    format!("{}{what}", place.unwrap_or_default())
}
