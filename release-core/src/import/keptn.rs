//! `AnalysisDefinition` of Keptn (metrics.keptn.sh/v1), with its `AnalysisValueTemplate`s.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Findings, ImportErrors, Imported, judged, one_error, read};
use crate::model::{Analysis, Criterion, Finite, Judge, Metric, Objectives, Unit};

#[derive(Deserialize)]
struct Definition {
    metadata: Named,
    spec: Spec,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    objectives: Vec<Objective>,
    total_score: TotalScore,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TotalScore {
    pass_percentage: f64,
    warning_percentage: Option<f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Objective {
    analysis_value_template_ref: Reference,
    #[serde(default)]
    target: Target,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default, rename = "keyObjective")]
    has_to_pass: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

const fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    namespace: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Default, Deserialize)]
struct Target {
    failure: Option<BTreeMap<String, Value>>,
    warning: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Imports an `AnalysisDefinition`, from YAML or JSON, as one analysis by [`Objectives`]. `queries` are the queries of its
/// `AnalysisValueTemplate`s by their names; they may have words such as `{{version}}`, which sources replace.
///
/// One look is judged, as in Keptn: weights, key objectives and both percentages mean what they mean there. What passes with a warning
/// there is inconclusive here, and what has no value fails there and is inconclusive here: with an `inconclusive_limit` of 0, neither
/// passes.
///
/// # Errors
/// [`ImportErrors`] with all that cannot be said here in the same sense.
pub fn analysis_definition(
    text: &str,
    queries: &BTreeMap<String, String>,
) -> Result<Imported, ImportErrors> {
    let Definition { metadata, spec, rest } = read(text, &["AnalysisDefinition"])?;
    if spec.objectives.is_empty() {
        return Err(one_error("spec.objectives", "there is none; name an objective"));
    }
    let mut found = Findings::default();
    found.unread("", &rest);
    found.unread("spec", &spec.rest);
    let TotalScore { pass_percentage, warning_percentage, rest } = &spec.total_score;
    found.unread("spec.totalScore", rest);
    if let Some(percentage) = warning_percentage.filter(|percentage| percentage < pass_percentage) {
        let text = format!(
            "from {percentage} % of the score on Keptn warns; here that is inconclusive, and more than `inconclusive_limit` of these, which is 0, fail"
        );
        found.note("spec.totalScore.warningPercentage", text);
    }
    let id = found.id("metadata.name", &metadata.name);
    let pass = percent(&mut found, "passPercentage", *pass_percentage);
    let warning =
        warning_percentage.map(|warning| percent(&mut found, "warningPercentage", warning));
    let mut of = Vec::new();
    for (one, at) in spec.objectives.iter().zip(0..) {
        let at = format!("spec.objectives[{at}]");
        unread(one, &at, &mut found);
        of.extend(objective(one, &at, queries, &mut found));
    }
    let rule = Objectives { of, pass, warning };
    let analysis = id.zip(rule.of.first().map(|first| first.metric.clone()));
    let analysis = analysis.map(|(id, metric)| Analysis {
        inconclusive_limit: 0,
        ..judged(id, metric, Judge::Objectives(rule))
    });
    found.end(analysis.into_iter().collect())
}

fn percent(found: &mut Findings, field: &str, percent: f64) -> Finite {
    let fits = (0.0..=100.0).contains(&percent);
    if !fits {
        let text = format!("{percent} is no percentage; write a number from 0 to 100");
        found.error(format!("spec.totalScore.{field}"), text);
    }
    Finite::new(percent).unwrap_or(Finite::ZERO)
}

/// Tells of what nobody reads of an objective.
fn unread(objective: &Objective, at: &str, found: &mut Findings) {
    let Objective { analysis_value_template_ref: reference, target, rest, .. } = objective;
    found.unread(at, rest);
    found.unread(&format!("{at}.target"), &target.rest);
    let at = format!("{at}.analysisValueTemplateRef");
    found.unread(&at, &reference.rest);
    if reference.namespace.is_some() {
        let text =
            "is not read here: queries are given to the import by the names of their templates";
        found.note(&format!("{at}.namespace"), text);
    }
}

fn objective(
    one: &Objective,
    at: &str,
    queries: &BTreeMap<String, String>,
    found: &mut Findings,
) -> Option<crate::model::Objective> {
    let name = &one.analysis_value_template_ref.name;
    let query = queries.get(name).cloned();
    if query.is_none() {
        let text = format!("the query of `{name}` is missing; give it to the import");
        found.error(at, text);
    }
    if one.target.failure.is_none() {
        let text = "nothing fails it, and it scores by what it measures alone";
        found.note(&format!("{at}.target.failure"), text);
    }
    let mut read = |field: &str, operator: &Option<BTreeMap<String, Value>>| {
        let met = operator.as_ref().map(met).transpose();
        met.map_err(|problem| found.error(format!("{at}.target.{field}"), problem)).ok().flatten()
    };
    let failure = read("failure", &one.target.failure);
    let warning = read("warning", &one.target.warning);
    let weight = Finite::new(one.weight).ok().filter(|weight| *weight >= Finite::ZERO);
    if weight.is_none() {
        found.error(format!("{at}.weight"), "is below 0, or no number; write 0 or more");
    }
    let metric = Metric::Query { query: query? };
    let (name, key) = (name.clone(), one.has_to_pass);
    let (unit, weight) = (Some(Unit::Number), weight?);
    Some(crate::model::Objective { name, metric, unit, failure, warning, weight, key })
}

/// The values that an operator is met by.
fn met(operator: &BTreeMap<String, Value>) -> Result<Criterion, String> {
    let mut operators = operator.iter();
    let (Some((name, value)), None) = (operators.next(), operators.next()) else {
        return Err("has not exactly one operator; write one".into());
    };
    let number = |field: &str| {
        let limit = value.get(field).and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_f64(),
        });
        let limit = limit.and_then(|limit| Finite::new(limit).ok());
        limit.ok_or_else(|| format!("`{name}` has no `{field}` that is a number; write one"))
    };
    let range = || {
        let (from, to) = (number("lowBound")?, number("highBound")?);
        if from <= to {
            Ok((from, to))
        } else {
            Err(format!("`{name}` ends before it begins; swap its bounds"))
        }
    };
    Ok(match name.as_str() {
        "lessThanOrEqual" => Criterion::AtMost(number("fixedValue")?),
        "greaterThanOrEqual" => Criterion::AtLeast(number("fixedValue")?),
        "lessThan" => Criterion::Below(number("fixedValue")?),
        "greaterThan" => Criterion::Above(number("fixedValue")?),
        "equalTo" => {
            let value = number("fixedValue")?;
            Criterion::Within { from: value, to: value }
        }
        "inRange" => range().map(|(from, to)| Criterion::Within { from, to })?,
        "notInRange" => range().map(|(from, to)| Criterion::Outside { from, to })?,
        _ => {
            return Err(format!(
                "`{name}` is no operator of Keptn; write `lessThan`, `lessThanOrEqual`, `greaterThan`, `greaterThanOrEqual`, `equalTo`, `inRange` or `notInRange`"
            ));
        }
    })
}
