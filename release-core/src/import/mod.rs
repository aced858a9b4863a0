//! Analyses of others, read into ours: Argo Rollouts' `AnalysisTemplate`, Keptn's `AnalysisDefinition`, and OpenSLO.
//!
//! What can be said here in the same sense is imported, to the last bound. What cannot is an [`ImportError`] that names the place
//! and what would do instead, all of them at once. What is said elsewhere here, or judged more strictly, is told as a note.
//!
//! ```
//! use std::collections::BTreeMap;
//! use release_core::import::analysis_template;
//!
//! # fn main() -> Result<(), release_core::import::ImportErrors> {
//! let yaml = r#"
//! apiVersion: argoproj.io/v1alpha1
//! kind: AnalysisTemplate
//! metadata: { name: success-rate }
//! spec:
//!   args: [{ name: version }]
//!   metrics:
//!   - name: success-rate
//!     interval: 1m
//!     count: 5
//!     successCondition: result[0] >= 0.95
//!     failureLimit: 3
//!     provider:
//!       prometheus:
//!         address: http://prometheus:9090
//!         query: sum(rate(ok{version="{{args.version}}"}[1m])) / sum(rate(all{version="{{args.version}}"}[1m]))
//! "#;
//! // The word that sources of metrics replace by the version they are asked after.
//! let args = BTreeMap::from([("version".to_owned(), "{{version}}".to_owned())]);
//! let imported = analysis_template(yaml, &args)?;
//! assert_eq!(imported.analyses[0].count, 5);
//! assert!(imported.notes[0].contains("http://prometheus:9090"));
//! # Ok(())
//! # }
//! ```

mod argo;
mod burning;
mod condition;
mod keptn;
mod openslo;
#[cfg(test)]
mod tests;

use std::fmt;

pub use argo::analysis_template;
pub use keptn::{analysis_definition, analysis_definition_strictly};
pub use openslo::{Objective, slo};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ids::AnalysisId;
use crate::model::Analysis;

/// What came of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The analyses, in the order of the document.
    pub analyses: Vec<Analysis>,
    /// What is to be said or set elsewhere, or is judged otherwise, each with its place.
    pub notes: Vec<String>,
}

/// Something that cannot be imported in the same sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at `{at}`: {problem}")]
pub struct ImportError {
    /// Where in the document, such as `spec.metrics[0].provider`.
    pub at: String,
    /// What is wrong, and what would do.
    pub problem: String,
}

/// All that cannot be imported of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportErrors(pub Vec<ImportError>);

impl fmt::Display for ImportErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {many}:", self.0.len())?;
        self.0.iter().enumerate().try_for_each(|(n, error)| write!(f, "\n  {}. {error}", n + 1))
    }
}

impl std::error::Error for ImportErrors {}

/// What is found on the way through a document.
#[derive(Debug, Default)]
struct Findings {
    notes: Vec<String>,
    errors: Vec<ImportError>,
}

impl Findings {
    fn note(&mut self, at: &str, text: impl fmt::Display) {
        self.notes.push(format!("`{at}`: {text}"));
    }

    fn error(&mut self, at: impl Into<String>, problem: impl Into<String>) {
        self.errors.push(ImportError { at: at.into(), problem: problem.into() });
    }

    fn end(self, analyses: Vec<Analysis>) -> Result<Imported, ImportErrors> {
        if self.errors.is_empty() {
            Ok(Imported { analyses, notes: self.notes })
        } else {
            Err(ImportErrors(self.errors))
        }
    }

    /// An id of a name, which may have capitals and spaces.
    fn id(&mut self, at: &str, name: &str) -> Option<AnalysisId> {
        let plain = |c: char| {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }
        };
        let id: String = name.chars().map(plain).collect();
        match AnalysisId::new(id) {
            Ok(id) => Some(id),
            Err(error) => {
                self.error(at, error.to_string());
                None
            }
        }
    }
}

fn one_error(at: &str, problem: impl Into<String>) -> ImportErrors {
    ImportErrors(vec![ImportError { at: at.into(), problem: problem.into() }])
}

/// Reads a document of one of `kinds` from YAML or JSON.
fn read<T: DeserializeOwned>(text: &str, kinds: &[&str]) -> Result<T, ImportErrors> {
    let value = crate::model::any_yaml(text).map_err(|problem| one_error("", problem))?;
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or("nothing").to_owned();
    if !kinds.contains(&kind.as_str()) {
        let known = kinds.join("` or `");
        return Err(one_error("kind", format!("it is `{kind}`; give one of kind `{known}`")));
    }
    serde_json::from_value(value)
        .map_err(|error| one_error("", format!("{error}; compare with the definition of `{kind}`")))
}
