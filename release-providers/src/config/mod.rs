//! Providers from a file: which kinds, with which settings, for what.
//!
//! ```yaml
//! format: providers/v1
//! providers:
//!   - name: shop-eu
//!     kind: acme
//!     config:
//!       url: https://acme.example
//!       token: { secret: kv/shop/acme#token }
//!     serves:
//!       - { capability: deployer, environment: production, region: eu }
//!       - { capability: traffic_router, environment: production, region: eu }
//!   - name: chat
//!     kind: chat
//!     config: { url: https://chat.example }
//!     serves: [{ channel: releases }]
//! ```
//!
//! A host says which kinds there are ([`Catalog`]), reads the file, [checks](ProvidersFile::check) it without touching
//! anything, and [opens](ProvidersFile::open) it as a [`Registry`](crate::Registry). The file holds no secret: a setting
//! that is one names where it is, and a literal in its place is refused. Which settings a kind takes comes from its
//! [`Description::config_schema`](crate::Description::config_schema); [`Catalog::file_schema`] gives the schema of the
//! whole file, for editors.
//!
//! # Several sources of metrics
//!
//! One provider serves a place, but for sources of metrics, which may have names: an analysis is measured by the one that it names
//! (`source`), or by one without a name. So numbers of web services stand beside those of a Prometheus:
//!
//! ```yaml
//! format: providers/v1
//! providers:
//!   - name: numbers
//!     kind: prometheus
//!     config:
//!       url: http://prometheus:9090
//!       labels: { environment: env, region: region, service: service }
//!   - name: office
//!     kind: web
//!     config:
//!       metrics:
//!         orders: { url: "https://office.example/{{service}}?version={{version}}", read: { pointer: /orders } }
//!     serves: [{ capability: metrics_source, source: office }]
//! ```
//!
//! The definition then has `analyses: [{ id: orders, metric: { query: { query: orders } }, source: office, … }]`.
//!
//! # Before anything is opened
//!
//! A plan can be checked against the file alone, before any provider is reached: [`ProvidersFile::preview`].

mod check;
mod file;
mod literal;
mod open;
mod preview;
mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

pub use self::file::{FORMAT, ProviderEntry, ProvidersFile, ServedBy};
use crate::RegistryError;
use crate::kind::ProviderKind;

/// Everything that is wrong with a file of providers, or with what it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ConfigError {
    /// What is wrong, in the order of the file; never empty.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// What a registry refuses that was made of a file; [`ProvidersFile::check`] finds the same before.
impl From<Vec<RegistryError>> for ConfigError {
    fn from(errors: Vec<RegistryError>) -> Self {
        let problem = |error: RegistryError| ConfigProblem::new("providers", error.to_string());
        Self { problems: errors.into_iter().map(problem).collect() }
    }
}

/// One thing that is wrong: where, what, and how to mend it. Never a setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// Where, for example `providers[1].config.url`.
    pub path: String,
    /// What is wrong, and how to mend it.
    pub problem: String,
}

impl ConfigProblem {
    fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, problem } = self;
        if path.is_empty() { f.write_str(problem) } else { write!(f, "at `{path}`: {problem}") }
    }
}

/// The kinds of providers that a host knows, by the names that files use.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Catalog(BTreeMap<String, Arc<dyn ProviderKind>>);

impl Catalog {
    /// One that knows none.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a kind, instead of one that had that name.
    pub fn kind(mut self, name: impl Into<String>, kind: impl ProviderKind) -> Self {
        self.0.insert(name.into(), Arc::new(kind));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<&Arc<dyn ProviderKind>> {
        self.0.get(name)
    }

    /// The JSON Schema (draft 2020-12) of files that name these kinds, their settings included.
    pub fn file_schema(&self) -> Value {
        let mut schema = schemars::schema_for!(ProvidersFile).to_value();
        let of_kinds: Vec<Value> = self
            .0
            .iter()
            .map(|(name, kind)| {
                let mut config = kind.manifest().config_schema();
                if let Some(config) = config.as_object_mut() {
                    // A schema that refers to its own definitions is a document of its own.
                    config.insert(
                        "$id".into(),
                        format!("https://release.invalid/kinds/{name}").into(),
                    );
                }
                json!({
                    "if": { "properties": { "kind": { "const": name } } },
                    "then": { "properties": { "config": config } },
                })
            })
            .collect();
        let entry = schema.pointer_mut("/$defs/ProviderEntry").and_then(Value::as_object_mut);
        if let Some(entry) = entry {
            let kinds: Vec<&str> = self.names().collect();
            if let Some(kind) = entry.get_mut("properties").and_then(|all| all.get_mut("kind")) {
                *kind = json!({ "enum": kinds });
            }
            entry.insert("allOf".into(), Value::Array(of_kinds));
        }
        schema
    }
}
