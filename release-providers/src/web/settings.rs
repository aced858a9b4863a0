//! What may be asked for, of whom, and how answers are read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use release_core::model::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::OPEN;
use crate::kind::SecretSetting;
use crate::{ErrorKind, ProviderError, Secret};

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebSettings {
    /// The metrics, by the names that queries of analyses say: `metric: { query: { query: <name> } }`. Names have no `{{`.
    pub metrics: BTreeMap<String, WebMetric>,
    /// The targets that are asked after, on whichever track; all, where none are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// A file with certificates (PEM) of authorities that are trusted besides those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
    /// The longest answer that is read, in bytes (default 65 536); at most a mebibyte. Of a longer one there is no data.
    #[serde(default = "longest")]
    pub longest_answer: u32,
}

const fn longest() -> u32 {
    64 * 1024
}

/// A number, and who is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WebMetric {
    /// Where it is asked for, `http` or `https`. In its path and its query, words stand for what is measured, escaped:
    /// `{{version}}`, `{{digest}}`, `{{environment}}`, `{{region}}`, `{{service}}`, `{{track}}` and `{{window}}`. In the name
    /// of the host none may stand, so that no plan sends a secret elsewhere.
    pub url: String,
    /// By which method.
    #[serde(default)]
    pub method: WebMethod,
    /// Headers, in whose values the same words may stand.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_headers: BTreeMap<String, SecretSetting>,
    /// A bearer token, for the header `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSetting>,
    /// What is posted, as JSON; in its texts the same words may stand. Only with the method `post`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// How long an answer may take, in milliseconds (default 10 000).
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// How the number is read.
    pub read: WebReading,
    /// Of what the answer is.
    #[serde(default)]
    pub about: WebSubject,
}

const fn timeout_ms() -> u32 {
    10_000
}

/// By which method a service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebMethod {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
}

/// How a number is read from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum WebReading {
    /// What stands at this place of a JSON answer, by a pointer of RFC 6901 such as `/data/0/value`: a number, a truth (1 or
    /// 0), or a text that is a number.
    Pointer(String),
    /// 1 where the answer is 2xx, and else 0.
    Status {
        /// The statuses that mean 0, where not all do: of others there is no data then, such as of a gate that has failed itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        no: Vec<u16>,
    },
}

/// Of what an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebSubject {
    /// Of the version that is asked after, which the request has to name, by `{{version}}` or `{{digest}}`.
    #[default]
    Version,
    /// Of the rollout as a whole, as a gate is: the same whichever version and track are asked after. Nothing can be compared
    /// by it.
    Rollout,
}

/// The secrets of a metric, in place of the references in its settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WebSecrets {
    /// The bearer token.
    pub token: Option<Secret>,
    /// The values of headers, by their names as in the settings.
    pub headers: BTreeMap<String, Secret>,
}

impl WebSecrets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bearer token.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Adds the value of a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.headers.insert(name.into(), value);
        self
    }
}

impl WebMetric {
    /// A number of the version at `url`, by GET.
    pub fn new(url: impl Into<String>, read: WebReading) -> Self {
        Self {
            url: url.into(),
            method: WebMethod::default(),
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
            token: None,
            body: None,
            timeout_ms: timeout_ms(),
            read,
            about: WebSubject::default(),
        }
    }

    /// A gate: 1 where the answer is 2xx, else 0; of the rollout as a whole.
    ///
    /// What it answers is dated as a number of the version that is asked after, and is none: nothing was measured of that. A plan whose
    /// stage names nothing but a gate in [`before_traffic`](release_core::model::Stage::before_traffic) is taken for measured all the same, by
    /// planner and registry alike, since neither knows what a source asks for. Name an analysis of samples of the version beside it.
    pub fn gate(url: impl Into<String>) -> Self {
        let read = WebReading::Status { no: Vec::new() };
        Self { about: WebSubject::Rollout, ..Self::new(url, read) }
    }

    /// The same, asked by POST with a body.
    #[must_use]
    pub fn post(self, body: Value) -> Self {
        Self { method: WebMethod::Post, body: Some(body), ..self }
    }
}

impl Default for WebSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl WebSettings {
    /// No metric yet, and all targets.
    pub const fn new() -> Self {
        Self {
            metrics: BTreeMap::new(),
            targets: Vec::new(),
            authorities: None,
            longest_answer: longest(),
        }
    }

    /// Adds a metric.
    #[must_use]
    pub fn metric(mut self, name: impl Into<String>, metric: WebMetric) -> Self {
        self.metrics.insert(name.into(), metric);
        self
    }

    /// Refuses what no schema can see to be wrong, but for what is wrong with a single metric.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        if self.metrics.is_empty() {
            return Err(invalid("there is nothing to ask for; add a metric to `metrics`"));
        }
        if !(1..=1024 * 1024).contains(&self.longest_answer) {
            return Err(invalid("`longest_answer` is not from 1 to 1048576 bytes; mend it"));
        }
        if self.targets.iter().any(|target| target.track.is_some()) {
            return Err(invalid("a target in `targets` has a track; name the whole of it"));
        }
        Ok(())
    }

    /// Whether a target is asked after.
    pub(super) fn knows(&self, target: &Target) -> bool {
        let of = |listed: &Target| {
            let Target { environment, region, service, .. } = listed;
            (environment, region, service) == (&target.environment, &target.region, &target.service)
        };
        self.targets.is_empty() || self.targets.iter().any(of)
    }
}

pub(super) fn invalid(text: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, OPEN, text)
}
