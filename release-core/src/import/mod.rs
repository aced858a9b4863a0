//! Analyses of others, read into ours: Argo Rollouts' `AnalysisTemplate`, Keptn's `AnalysisDefinition`, and OpenSLO.
//!
//! What can be said here in the same sense is imported, to the last bound. What cannot is an [`ImportError`] that names the place
//! and what would do instead, all of them at once. What is said elsewhere here, or judged more strictly, is told as a note. No
//! field vanishes without a word, but for those that only describe (`apiVersion`, `kind`, `metadata`, `description`,
//! `displayName`, `service`, `status`); one that no table here has is noted as not read.
//!
//! Measurements of queries get [`fresh_for`](Analysis::fresh_for) five minutes, for as long as Prometheus looks back for a sample:
//! the formats take what the server answers, however old. Where nothing else is said they are taken again after ten seconds.
//! None of the formats says what numbers are numbers of: their [`Unit`] is `number`.
//!
//! # `AnalysisTemplate` and `ClusterAnalysisTemplate` of Argo Rollouts
//!
//! | field | here |
//! |---|---|
//! | `spec.args` | put into texts; without a value: refused; `valueFrom`: refused where the import is given none |
//! | `spec.dryRun` | `dry_run`; patterns beyond parts of names: refused |
//! | `metrics[].name` | `id`, in small letters, with `-` for what an id cannot have |
//! | `interval` | `interval`; unset: ten seconds, at which Argo repeats after an error. Noted where there are several looks: each sample counts once |
//! | `count` | `count` of good ones, noted where bad ones are tolerated; unset with an `interval`: goes on, with a note |
//! | `initialDelay` | `begin_after` |
//! | `successCondition`, `failureCondition` | [`Threshold`], or of two bounds [`Objectives`](crate::model::Objectives) with one; other forms, none of the two: refused |
//! | `failureLimit` | `failure_limit` |
//! | `inconclusiveLimit` | `inconclusive_limit`; with both conditions noted: Argo pauses, here it fails, unless [`TemplateOptions::undecided`] is `Hold` |
//! | `consecutiveErrorLimit` (unset: 4) | `consecutive_no_data`: errors and empty answers are measurements without data here |
//! | `consecutiveSuccessLimit` | `consecutive_good`, unless 0; without a `count`: noted |
//! | `provider.*.query` | [`Query`](Metric::Query); providers without one, but for `web`: refused |
//! | `provider.web`: `url`, `method`, `headers`, `jsonBody`, `jsonPath`, `timeoutSeconds` | [`Query`](Metric::Query) by the metric's name; noted: what to say of that metric to `WebSource` of `release-providers`, with a JSON pointer for the path |
//! | `provider.*.address` | noted: which source to register |
//! | all else of a provider: `timeout`, `headers`, `authentication`, `insecure`, `apiVersion`, `secretRef` | noted: set it at the source |
//! | `rangeQuery` | refused: a condition compares one number. Let the query look back itself, or rank points of a [`Range`](Metric::Range) |
//! | Datadog's `interval`, `aggregator`, `queries`, `formula` | noted: say it in the query |
//! | `spec.measurementRetention` | noted: every measurement stays in the journal |
//! | all else | noted as not read |
//!
//! # `AnalysisDefinition` of Keptn
//!
//! | field | here |
//! |---|---|
//! | `metadata.name` | `id` of one analysis by [`Objectives`](crate::model::Objectives) |
//! | `objectives[].analysisValueTemplateRef.name` | the objective's name, and the query that the import is given by it; without one: refused |
//! | `analysisValueTemplateRef.namespace` | noted |
//! | `target.failure`, `target.warning` with `lessThan`, `lessThanOrEqual`, `greaterThan`, `greaterThanOrEqual`, `equalTo`, `inRange`, `notInRange` | `failure`, `warning` of the objective; no `failure`: noted |
//! | `weight`, `keyObjective`, `totalScore.passPercentage` | `weight`, `key`, `pass` |
//! | `totalScore.warningPercentage` | `warning`; noted, where it is below `passPercentage`: Keptn warns, here it is inconclusive |
//! | all else | noted as not read |
//!
//! One look is judged, with an `inconclusive_limit` of 0: Keptn measures once, and what has no value has failed.
//!
//! # `SLO` of OpenSLO, with the `SLI`, `AlertPolicy` and `AlertCondition` beside it in the same stream
//!
//! | field | here |
//! |---|---|
//! | `metadata.name` | `id`, with a number where there are several objectives |
//! | `indicator`, `indicatorRef` | what is measured; an `indicatorRef` to what is not in the stream: refused |
//! | `ratioMetric` with `good` or `bad`, and `total` | counters: [`BurnRate`](crate::model::BurnRate), with [`Objective::window`]; else the share of what is bad, with a note why |
//! | `ratioMetric.raw`, `rawType` | the share of what is bad |
//! | `thresholdMetric` with `op`, `value` | a bound; noted: that `target` of them keep it is not watched |
//! | `metricSource.type` | noted where it is not Prometheus and has to read `PromQL` |
//! | `metricSource.metricSourceRef`, `spec` besides `query` | noted: set it at the source |
//! | `objectives[].target`, `targetPercent` | [`Objective::target`], `objective` of a burn rate, or `1 - target` as the bound of one look; both: refused |
//! | `timeSliceTarget` | with `Timeslices`: `1 - timeSliceTarget` is the bound of one look, noted: no share of slices is watched; unset: refused. Else noted |
//! | `timeSliceWindow` | noted: let the query look back so long |
//! | `budgetingMethod` | `Occurrences`: a budget is watched; others: noted |
//! | `timeWindow` | the window of the budget; calendars, months and years, several: noted |
//! | `alertPolicies` | where a budget is watched, windows by each condition of kind `burnrate`: `lookbackWindow` the long one, `alertAfter` the short one (noted), `threshold` the factor; what cannot be (more than three days, no burn so fast, elsewhere) is noted, and where nothing is left the windows of the Site Reliability Workbook are used |
//! | `severity` | a `ticket` is left out, with a note |
//! | `alertWhenBreaching` | `false`: its conditions are left out, with a note |
//! | `alertWhenNoData`, `alertWhenResolved`, `notificationTargets` | noted: notifications of the release say it |
//! | other documents of the stream, all else | noted as not read |
//!
//! # Example
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

mod alerting;
mod argo;
mod burning;
mod condition;
mod indicator;
mod keptn;
mod openslo;
mod stream;
#[cfg(test)]
mod tests;
mod web;

use std::collections::BTreeMap;
use std::fmt;

pub use argo::{TemplateOptions, analysis_template, analysis_template_with};
pub use keptn::analysis_definition;
pub use openslo::{Objective, slo};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ids::AnalysisId;
use crate::model::{Analysis, Judge, Metric, Threshold, Unit};
use crate::time::Span;

/// For how long a sample is fresh in what is imported: as long as Prometheus itself looks back for one where a query asks for
/// the moment, five minutes by default (`--query.lookback-delta`). None of the formats judges how old a sample is, and all take what
/// the server answers; a source here that judges more strictly, such as by `staleness_ms`, still does. A look that finds no
/// newer sample does not count, so that a long time makes nothing pass, and only how long it is waited for follows from it.
const FRESH_FOR: Span = Span::secs(300);

/// After how long it is asked again where a single measurement says nothing: what Argo waits after an error where no interval
/// is said. None of them comes sooner with scrapes 15 seconds apart, and ten of them are longer than a minute between two.
const ASKED_AGAIN: Span = Span::secs(10);

/// A single measurement of a query, held against limits. None of the formats says what its numbers are numbers of.
fn measured(id: AnalysisId, query: String, limits: Threshold) -> Analysis {
    judged(id, Metric::Query { query }, Judge::Threshold(limits.of(Unit::Number)))
}

/// A single measurement, by a judge.
fn judged(id: AnalysisId, metric: Metric, judge: Judge) -> Analysis {
    Analysis {
        interval: ASKED_AGAIN,
        fresh_for: Some(FRESH_FOR),
        ..Analysis::judged(id, metric, judge)
    }
}

/// What only describes, or says which format it is: read by nobody, and not worth a note. Which `service` is judged is said by the
/// stage that names an analysis.
const DESCRIBES: [&str; 7] =
    ["apiVersion", "kind", "metadata", "description", "displayName", "service", "status"];

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
        let note = format!("`{at}`: {text}");
        // What each of several objectives says is told once.
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn error(&mut self, at: impl Into<String>, problem: impl Into<String>) {
        self.errors.push(ImportError { at: at.into(), problem: problem.into() });
    }

    /// Tells of fields that nobody reads, but for those that only describe.
    fn unread(&mut self, at: &str, rest: &BTreeMap<String, Value>) {
        for field in rest.keys().filter(|field| !DESCRIBES.contains(&field.as_str())) {
            let at = if at.is_empty() { field.clone() } else { format!("{at}.{field}") };
            self.note(&at, "is not read here");
        }
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
    of_kind(value, &kind)
}

fn of_kind<T: DeserializeOwned>(value: Value, kind: &str) -> Result<T, ImportErrors> {
    serde_json::from_value(value)
        .map_err(|error| one_error("", format!("{error}; compare with the definition of `{kind}`")))
}
