//! `AnalysisTemplate` and `ClusterAnalysisTemplate` of Argo Rollouts (argoproj.io/v1alpha1).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::condition::{bound, met, opposite, others};
use super::{Findings, ImportErrors, Imported, judged, one_error, read, web};
use crate::model::{
    Analysis, Criterion, Finite, Judge, Metric, Objective, Objectives, Threshold, Undecided, Unit,
};
use crate::time::Span;

/// How many errors in a row Argo tolerates where nobody says it.
const ERRORS: u32 = 4;

#[derive(Deserialize)]
struct Template {
    spec: Spec,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    args: Vec<Arg>,
    #[serde(default)]
    metrics: Vec<MetricSpec>,
    #[serde(default)]
    dry_run: Vec<DryRun>,
    measurement_retention: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Arg {
    name: String,
    value: Option<String>,
    value_from: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DryRun {
    metric_name: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricSpec {
    name: String,
    interval: Option<String>,
    initial_delay: Option<String>,
    count: Option<Value>,
    success_condition: Option<String>,
    failure_condition: Option<String>,
    failure_limit: Option<Value>,
    inconclusive_limit: Option<Value>,
    consecutive_error_limit: Option<Value>,
    consecutive_success_limit: Option<Value>,
    provider: BTreeMap<String, Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What an import of an `AnalysisTemplate` is told beside the template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateOptions {
    /// Values for its arguments, before those that it has itself; a value may be a word such as `{{version}}`, which sources replace.
    pub args: BTreeMap<String, String>,
    /// What follows where an analysis ends and nobody knows whether the version is good. Argo pauses after more inconclusive
    /// measurements than it tolerates, as [`Undecided::Hold`] does; without it they fail, which the notes say.
    pub undecided: Undecided,
}

impl TemplateOptions {
    /// With these arguments.
    pub fn new(args: BTreeMap<String, String>) -> Self {
        Self { args, ..Self::default() }
    }

    /// With this in every analysis.
    #[must_use]
    pub fn undecided(self, undecided: Undecided) -> Self {
        Self { undecided, ..self }
    }
}

/// Imports the metrics of an `AnalysisTemplate` or `ClusterAnalysisTemplate`, from YAML or JSON, with values for its arguments: as
/// [`analysis_template_with`] does with no other options.
///
/// # Errors
/// [`ImportErrors`] with all that cannot be said here in the same sense.
pub fn analysis_template(
    text: &str,
    args: &BTreeMap<String, String>,
) -> Result<Imported, ImportErrors> {
    analysis_template_with(text, &TemplateOptions::new(args.clone()))
}

/// Imports the metrics of an `AnalysisTemplate` or `ClusterAnalysisTemplate`, from YAML or JSON.
///
/// A sample is fresh for five minutes, as long as Prometheus looks back for one, and counts once: Argo would count the same again.
/// An empty answer or a source that cannot be asked, which is an error in Argo, is a measurement without data here. Without `interval`
/// it is asked again after ten seconds, as in Argo.
///
/// Each metric becomes an analysis of a [`Query`](crate::model::Metric::Query) with a threshold: conditions may compare `result` or `result[0]` with
/// a number or two, and ask whether it is one. A metric without `count` goes on until the rollout is through
/// ([`Canary::background`](crate::model::Canary::background)).
///
/// # Errors
/// [`ImportErrors`] with all that cannot be said here in the same sense: conditions of other forms, providers without a query,
/// queries of a range, arguments without a value.
pub fn analysis_template_with(
    text: &str,
    options: &TemplateOptions,
) -> Result<Imported, ImportErrors> {
    let TemplateOptions { args, undecided } = options;
    let Template { spec, rest } = read(text, &["AnalysisTemplate", "ClusterAnalysisTemplate"])?;
    if spec.metrics.is_empty() {
        return Err(one_error("spec.metrics", "there is none; name a metric"));
    }
    let mut found = Findings::default();
    let values = values(&spec.args, args, &mut found);
    found.unread("", &rest);
    if let Some(at) = spec.measurement_retention.as_ref().map(|_| "spec.measurementRetention") {
        found.note(at, "every measurement stays in the journal of the run; leave it out");
    }
    found.unread("spec", &spec.rest);
    let dry = dry(&spec, &mut found);
    let mut analyses = Vec::new();
    for (metric, at) in spec.metrics.iter().zip(0..) {
        let at = format!("spec.metrics[{at}]");
        let dry_run = dry.iter().any(|dry| dry.names(&metric.name));
        let (values, undecided) = (&values, *undecided);
        let read = Reading { at, values, undecided, found: &mut found }.metric(metric);
        analyses.extend(read.map(|analysis| Analysis { dry_run, undecided, ..analysis }));
    }
    found.end(analyses)
}

/// Which metrics are measured in dry run: Argo reads a name there as a regular expression that may lie anywhere in it.
enum Dry<'a> {
    All,
    Contain { part: &'a str, begins: bool, ends: bool },
}

impl Dry<'_> {
    fn names(&self, metric: &str) -> bool {
        match *self {
            Self::All => true,
            Self::Contain { part, begins: true, ends: true } => metric == part,
            Self::Contain { part, begins: true, ends: false } => metric.starts_with(part),
            Self::Contain { part, begins: false, ends: true } => metric.ends_with(part),
            Self::Contain { part, begins: false, ends: false } => metric.contains(part),
        }
    }
}

/// The names of what is measured in dry run; expressions of other forms, and such that no metric meets, are refused as Argo
/// refuses the latter.
fn dry<'a>(spec: &'a Spec, found: &mut Findings) -> Vec<Dry<'a>> {
    let mut all = Vec::new();
    for (DryRun { metric_name, rest }, at) in spec.dry_run.iter().zip(0..) {
        found.unread(&format!("spec.dryRun[{at}]"), rest);
        let at = format!("spec.dryRun[{at}].metricName");
        let (begins, part) =
            metric_name.strip_prefix('^').map_or((false, &**metric_name), |part| (true, part));
        let (ends, part) = part.strip_suffix('$').map_or((false, part), |part| (true, part));
        let plain = |c: char| c.is_alphanumeric() || " _-/:".contains(c);
        let dry = match part {
            ".*" | ".+" => Dry::All,
            _ if part.chars().all(plain) => Dry::Contain { part, begins, ends },
            _ => {
                let text = format!(
                    "`{metric_name}` is a regular expression; write `.*`, or a part of a name, which may have `^` before it and `$` behind it"
                );
                found.error(at, text);
                continue;
            }
        };
        if spec.metrics.iter().any(|metric| dry.names(&metric.name)) {
            all.push(dry);
        } else {
            found.error(at, format!("`{metric_name}` is in no metric's name; mend it"));
        }
    }
    all
}

fn values(
    args: &[Arg],
    given: &BTreeMap<String, String>,
    found: &mut Findings,
) -> BTreeMap<String, String> {
    let mut values = given.clone();
    for (arg, at) in args.iter().zip(0..) {
        let at = format!("spec.args[{at}]");
        found.unread(&at, &arg.rest);
        if given.contains_key(&arg.name) {
            continue;
        }
        match (&arg.value, &arg.value_from) {
            (Some(value), _) => drop(values.insert(arg.name.clone(), value.clone())),
            (None, Some(_)) => found.error(at, format!("`{}` comes from elsewhere; give its value to the import, and secrets to the source of metrics", arg.name)),
            (None, None) => found.error(at, format!("`{}` has no value; give one to the import", arg.name)),
        }
    }
    values
}

/// What becomes of conditions.
enum Rule {
    /// Each has one bound.
    Limits(Threshold),
    /// One of them has two.
    Stretches { failure: Criterion, warning: Option<Criterion> },
}

impl Rule {
    fn judge(self, name: &str, metric: &Metric) -> Judge {
        match self {
            Self::Limits(limits) => Judge::Threshold(limits.of(Unit::Number)),
            Self::Stretches { failure, warning } => {
                let percent = |percent| Finite::new(percent).unwrap_or(Finite::ZERO);
                let objective = Objective::new(name, metric.clone(), failure).of(Unit::Number);
                // What is neither scores half.
                let of = vec![Objective { warning, ..objective }];
                Judge::Objectives(Objectives {
                    of,
                    pass: percent(100.0),
                    warning: Some(percent(50.0)),
                })
            }
        }
    }
}

/// One metric on its way.
struct Reading<'a> {
    at: String,
    values: &'a BTreeMap<String, String>,
    undecided: Undecided,
    found: &'a mut Findings,
}

impl Reading<'_> {
    fn metric(mut self, spec: &MetricSpec) -> Option<Analysis> {
        let id = self.found.id(&format!("{}.name", self.at), &spec.name);
        let rule = self.rule(spec);
        let query = self.query(&spec.name, &spec.provider);
        let interval = spec.interval.as_ref().and_then(|text| self.span("interval", text));
        let delay = spec.initial_delay.as_ref();
        let begin_after = delay.and_then(|text| self.span("initialDelay", text));
        let number = |reading: &mut Self, field, value: &Option<Value>, otherwise| {
            value.as_ref().map_or(Some(otherwise), |value| reading.number(field, value))
        };
        let once = if spec.interval.is_some() { u32::MAX } else { 1 };
        let count = number(&mut self, "count", &spec.count, once);
        let failure_limit = number(&mut self, "failureLimit", &spec.failure_limit, 0);
        let inconclusive = number(&mut self, "inconclusiveLimit", &spec.inconclusive_limit, 0);
        let errors =
            number(&mut self, "consecutiveErrorLimit", &spec.consecutive_error_limit, ERRORS);
        let row = number(&mut self, "consecutiveSuccessLimit", &spec.consecutive_success_limit, 0);
        self.found.unread(&self.at, &spec.rest);
        if row == Some(0) {
            self.counted(count, failure_limit, inconclusive);
        }
        self.unclear(spec, count);
        if count == Some(u32::MAX) {
            let text = "has no `count` and goes on; name it in `background` of the canary";
            self.found.note(&self.at, text);
        }
        let metric = Metric::Query { query: query? };
        let judge = rule?.judge(&spec.name, &metric);
        let analysis = judged(id?, metric, judge);
        Some(Analysis {
            count: count?,
            failure_limit: failure_limit?,
            inconclusive_limit: inconclusive?,
            consecutive_no_data: Some(errors?),
            consecutive_good: Some(row?).filter(|row| *row > 0),
            interval: interval.unwrap_or(analysis.interval),
            begin_after,
            ..analysis
        })
    }

    /// What is between two conditions, and samples that are there already.
    fn unclear(&mut self, spec: &MetricSpec, count: Option<u32>) {
        let at = |field: &str| format!("{}.{field}", self.at);
        let both = spec.success_condition.is_some() && spec.failure_condition.is_some();
        if both && self.undecided != Undecided::Hold {
            let text = "what meets neither condition pauses in Argo; here more of these than `inconclusive_limit` fail, and take the version back where the criteria of rollback name this analysis; import it with `undecided: hold` to pause, too";
            self.found.note(&at("inconclusiveLimit"), text);
        } else if !both && spec.inconclusive_limit.is_some() {
            let text =
                "with one condition every number meets it or does not, and nothing is inconclusive";
            self.found.note(&at("inconclusiveLimit"), text);
        }
        if count != Some(1) {
            let text = "each sample counts once: a look before the next one waits for it, where Argo takes the same again";
            self.found.note(&at("interval"), text);
        }
    }

    /// Argo ends after so many measurements, of which some may be bad; here so many have to be good.
    fn counted(&mut self, count: Option<u32>, bad: Option<u32>, inconclusive: Option<u32>) {
        let (Some(count), Some(bad), Some(inconclusive)) = (count, bad, inconclusive) else {
            return;
        };
        let more = bad.saturating_add(inconclusive);
        if count != u32::MAX && more > 0 {
            let text = format!(
                "so many measurements have to be good here, in Argo so many are taken: with up to {more} that are not, it takes up to {} looks",
                count.saturating_add(more)
            );
            self.found.note(&format!("{}.count", self.at), text);
        }
    }

    fn rule(&mut self, spec: &MetricSpec) -> Option<Rule> {
        let mut read = |field: &str, text: &Option<String>| {
            let text = text.as_ref()?;
            met(text)
                .map_err(|problem| self.found.error(format!("{}.{field}", self.at), problem))
                .ok()
        };
        let success = read("successCondition", &spec.success_condition);
        let failure = read("failureCondition", &spec.failure_condition);
        match (&spec.success_condition, &spec.failure_condition) {
            (None, None) => {
                let text = "has no condition, and would pass whatever it measures; write `successCondition`";
                self.found.error(self.at.clone(), text);
                return None;
            }
            (Some(_), _) if success.is_none() => return None,
            (_, Some(_)) if failure.is_none() => return None,
            _ => {}
        }
        // Outside: whether there is a condition; inside: whether one bound says it.
        Some(match (success.map(bound), failure.map(bound)) {
            (Some(Some(success)), None) => Rule::Limits(Threshold::new(success)),
            // What is no failure is a success.
            (None, Some(Some(failure))) => Rule::Limits(Threshold::new(opposite(failure))),
            (Some(Some(success)), Some(Some(failure))) => {
                let failure = Some(opposite(failure)).filter(|kept| *kept != success);
                Rule::Limits(Threshold { failure, ..Threshold::new(success) })
            }
            _ => match (success.map(others), failure) {
                (not_good, Some(failure)) => Rule::Stretches { failure, warning: not_good },
                (not_good, None) => Rule::Stretches { failure: not_good?, warning: None },
            },
        })
    }

    fn query(&mut self, name: &str, provider: &BTreeMap<String, Value>) -> Option<String> {
        let at = format!("{}.provider", self.at);
        let mut providers = provider.iter();
        let (Some((kind, settings)), None) = (providers.next(), providers.next()) else {
            self.found.error(at, "has not exactly one provider; name one");
            return None;
        };
        let Some(query) = settings.get("query").and_then(Value::as_str) else {
            if kind == "web" && settings.get("url").is_some() {
                web::told(self.found, &format!("{at}.{kind}"), name, settings);
                return Some(name.to_owned());
            }
            let text = format!(
                "`{kind}` has no `query`; measure by one, or call a hook where it is a job"
            );
            self.found.error(format!("{at}.{kind}"), text);
            return None;
        };
        let address = settings.get("address").and_then(Value::as_str);
        let address = address.map_or_else(String::new, |address| format!(" at {address}"));
        let text = format!("register a source of metrics for {kind}{address}");
        self.found.note(&format!("{at}.{kind}"), text);
        self.settings(kind, settings);
        self.filled(&format!("{at}.{kind}.query"), query)
    }

    /// What else a provider is told: how to ask belongs to the source of metrics, and what is asked to the query.
    fn settings(&mut self, kind: &str, settings: &Value) {
        let fields = settings.as_object().into_iter().flatten().map(|(field, _)| field.as_str());
        for field in fields.filter(|field| !["query", "address"].contains(field)) {
            let text = match field {
                "rangeQuery" => {
                    let at = format!("{}.provider.{kind}.{field}", self.at);
                    let text = "gives many points, and a condition here compares one number; let the query look back itself, such as `max_over_time((…)[5m:1m])`, or rank the points of both versions by a `scorecard` over a `range`";
                    self.found.error(at, text);
                    continue;
                }
                "interval" | "aggregator" | "queries" | "formula" => {
                    "is not read here: say it in the query, or set it at the source of metrics"
                }
                _ => "is not read here: set it at the source of metrics",
            };
            self.found.note(&format!("{}.provider.{kind}.{field}", self.at), text);
        }
    }

    /// A text with its arguments put in.
    fn filled(&mut self, at: &str, text: &str) -> Option<String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            let (word, after) = after.split_once("}}").unwrap_or((after, ""));
            let name = word.trim().strip_prefix("args.").unwrap_or_default();
            let Some(value) = self.values.get(name) else {
                let text =
                    format!("`{{{{{}}}}}` has no value; give one to the import", word.trim());
                self.found.error(at, text);
                return None;
            };
            filled.push_str(value);
            rest = after;
        }
        Some(filled + rest)
    }

    fn span(&mut self, field: &str, text: &str) -> Option<Span> {
        let at = format!("{}.{field}", self.at);
        let text = self.filled(&at, text)?;
        text.parse().map_err(|error| self.found.error(at, format!("{error}"))).ok()
    }

    fn number(&mut self, field: &str, value: &Value) -> Option<u32> {
        let at = format!("{}.{field}", self.at);
        let text = match value {
            Value::String(text) => self.filled(&at, text)?,
            other => other.to_string(),
        };
        let problem = || format!("`{text}` is no whole number from 0 to {}; write one", u32::MAX);
        text.trim().parse().map_err(|_| self.found.error(at, problem())).ok()
    }
}
