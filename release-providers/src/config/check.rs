//! Everything about a file that can be checked without touching anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::literal::{literals, references};
use super::{Catalog, ConfigError, ConfigProblem, ProviderEntry, ProvidersFile};
use crate::OPERATIONS;
use crate::kind::{Manifest, ProviderKind, Secrets, settings_of};
use crate::registry::{ProviderSelector, Table};

/// So many problems of one provider's settings are told.
const MOST_PROBLEMS: usize = 20;

/// What one entry binds: a capability and for what.
pub(super) type Bindings = Vec<(&'static str, ProviderSelector)>;

impl ProvidersFile {
    /// Checks the file against the kinds that there are: names, settings and their schemas, secrets by reference, and
    /// that for everything just one provider is the narrowest. Nothing is opened, and no secret asked for.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn check(&self, catalog: &Catalog, secrets: &Secrets) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        let mut tables: BTreeMap<&'static str, Table<usize>> = BTreeMap::new();
        for (index, entry) in self.providers.iter().enumerate() {
            let path = format!("providers[{index}]");
            let mut wrong = |below: &str, problem: String| {
                problems.push(ConfigProblem::new(format!("{path}{below}"), problem));
            };
            if let Err(problem) = sound(&entry.name) {
                wrong(".name", problem);
            } else if !names.insert(&entry.name) {
                wrong(".name", format!("`{}` is there twice; rename one of the two", entry.name));
            }
            let Some(kind) = catalog.get(&entry.kind) else {
                wrong(".kind", unknown_kind(&entry.kind, catalog));
                continue;
            };
            entry.check_settings(&**kind, secrets, &mut wrong);
            for (capability, selector) in entry.bindings(&kind.manifest(), &mut wrong) {
                let added = tables.entry(capability).or_default().add(
                    capability,
                    selector,
                    Arc::new(index),
                );
                if let Err(error) = added {
                    wrong(".serves", error.to_string());
                }
            }
        }
        let unclear = tables.iter().flat_map(|(capability, table)| table.unclear(capability));
        problems.extend(ConfigError::from(unclear.collect::<Vec<_>>()).problems);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

impl ProviderEntry {
    fn check_settings(
        &self,
        kind: &dyn ProviderKind,
        secrets: &Secrets,
        wrong: &mut impl FnMut(&str, String),
    ) {
        let below = |path: &str| {
            format!(
                ".config{}{path}",
                if path.starts_with('[') || path.is_empty() { "" } else { "." }
            )
        };
        let literals = literals(&self.config);
        for path in &literals {
            let problem = "a secret stands in the file; put it into your store of secrets, and name it: \
                           `{ secret: <where it is> }`";
            wrong(&below(path), problem.into());
        }
        if !secrets.are_known() {
            for (path, _) in references(&self.config) {
                let problem =
                    "the host has no store of secrets to ask; give it one when it opens this file";
                wrong(&below(&path), problem.into());
            }
        }
        let schema = kind.manifest().config_schema();
        if let Err(problem) = super::schema::bounded(&schema) {
            let problem = format!(
                "the schema of the settings of `{}` {problem}; tell who made it",
                self.kind
            );
            return wrong(".kind", problem);
        }
        // Patterns of plugins take no time that grows beyond the text.
        let patterns = jsonschema::PatternOptions::regex();
        let built = jsonschema::options().with_pattern_options(patterns).build(&schema);
        let validator = match built {
            Ok(validator) => validator,
            Err(error) => {
                let problem = format!(
                    "the kind `{}` has no valid schema of its settings: {error}; tell who made it",
                    self.kind
                );
                return wrong(".kind", problem);
            }
        };
        for error in validator.iter_errors(&settings_of(&self.config)).take(MOST_PROBLEMS) {
            let path = dotted(error.instance_path().as_str());
            // What was told already needs no second word.
            if !literals.contains(&path) {
                let mended = mended(error.kind(), error.instance_path().as_str(), &schema);
                wrong(&below(&path), format!("{}{mended}", error.masked_with("this")));
            }
        }
    }

    /// What it is bound to, of what it can do.
    pub(super) fn bindings(
        &self,
        manifest: &Manifest,
        wrong: &mut impl FnMut(&str, String),
    ) -> Bindings {
        let known: Vec<&'static str> = {
            let all: BTreeSet<_> =
                OPERATIONS.iter().map(|operation| operation.capability).collect();
            all.into_iter().filter(|name| manifest.capabilities.contains_key(*name)).collect()
        };
        if self.serves.is_empty() {
            return known
                .into_iter()
                .map(|capability| (capability, ProviderSelector::everywhere()))
                .collect();
        }
        let mut bindings = Vec::new();
        for (index, served) in self.serves.iter().enumerate() {
            let selector = served.selector();
            match &served.capability {
                Some(name) => match known.iter().find(|capability| **capability == name) {
                    Some(capability) => bindings.push((*capability, selector)),
                    None => wrong(
                        &format!(".serves[{index}].capability"),
                        format!(
                            "the kind `{}` has no `{name}`; it has {}",
                            self.kind,
                            listed(known.iter().copied())
                        ),
                    ),
                },
                None => {
                    bindings.extend(known.iter().map(|capability| (*capability, selector.clone())));
                }
            }
        }
        bindings
    }
}

/// What can be done about a setting that does not fit, if it does not stand in what is wrong.
fn mended(kind: &ValidationErrorKind, at: &str, schema: &Value) -> String {
    match kind {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            format!("; add `{name}: …` to `config`{}", if at.is_empty() { "" } else { ", there" })
        }
        // Deeper, the schema may be anywhere.
        ValidationErrorKind::AdditionalProperties { .. } if at.is_empty() => {
            let known = schema.get("properties").and_then(Value::as_object);
            let names = known.into_iter().flat_map(|all| all.keys().map(String::as_str));
            // Whether an object keeps its order depends on what else is built.
            let names: BTreeSet<&str> = names.collect();
            format!("; the settings that there are: {}", listed(names.into_iter()))
        }
        ValidationErrorKind::Type { .. } => "; write one".into(),
        _ => String::new(),
    }
}

fn sound(name: &str) -> Result<(), String> {
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err("a name is 1 to 64 lower-case letters, digits, `.`, `_` or `-`".into())
}

fn unknown_kind(kind: &str, catalog: &Catalog) -> String {
    format!("there is no kind `{kind}`; the host knows {}", listed(catalog.names()))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

/// A JSON pointer as a path of fields.
fn dotted(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    parts.fold(String::new(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) if path.is_empty() => part,
        Err(_) => format!("{path}.{part}"),
    })
}
