//! `AnalysisDefinition` of Keptn (metrics.keptn.sh/v1), with its `AnalysisValueTemplate`s.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::condition::opposite;
use super::{Findings, ImportErrors, Imported, measured, one_error, read};
use crate::model::{Analysis, Bound, Finite, Threshold};

#[derive(Deserialize)]
struct Definition {
    spec: Spec,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
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

/// Imports the objectives of an `AnalysisDefinition`, from YAML or JSON. `queries` are the queries of its `AnalysisValueTemplate`s by
/// their names; they may have words such as `{{version}}`, which sources replace.
///
/// Each objective becomes an analysis: what meets `failure` is bad, what meets `warning` and not `failure` is inconclusive, and the
/// rest is good. Here every analysis has to pass. Keptn lets an objective that is none of the `keyObjective`s fail where the
/// others reach `passPercentage` without it: that is refused, unless
/// [all are to pass](analysis_definition_strictly).
///
/// # Errors
/// [`ImportErrors`] with all that cannot be said here in the same sense.
pub fn analysis_definition(
    text: &str,
    queries: &BTreeMap<String, String>,
) -> Result<Imported, ImportErrors> {
    objectives(text, queries, false)
}

/// As [`analysis_definition`]; objectives that Keptn would let fail have to pass as well, which a note tells.
///
/// # Errors
/// As [`analysis_definition`].
pub fn analysis_definition_strictly(
    text: &str,
    queries: &BTreeMap<String, String>,
) -> Result<Imported, ImportErrors> {
    objectives(text, queries, true)
}

fn objectives(
    text: &str,
    queries: &BTreeMap<String, String>,
    strictly: bool,
) -> Result<Imported, ImportErrors> {
    let Definition { spec, rest } = read(text, &["AnalysisDefinition"])?;
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
            "from {percentage} % of the score on Keptn passes with a warning; here what does not pass has failed"
        );
        found.note("spec.totalScore.warningPercentage", text);
    }
    let most: f64 = spec.objectives.iter().map(|objective| objective.weight).sum();
    let needed = pass_percentage / 100.0 * most;
    let mut analyses = Vec::new();
    for (objective, at) in spec.objectives.iter().zip(0..) {
        let at = format!("spec.objectives[{at}]");
        unread(objective, &at, &mut found);
        // What the others come to when this one fails.
        if !objective.has_to_pass && most - objective.weight >= needed {
            let name = &objective.analysis_value_template_ref.name;
            if strictly {
                found.note(&at, format!("`{name}` has to pass here, and could fail in Keptn"));
            } else {
                let text = format!(
                    "`{name}` may fail in Keptn, and here all have to pass; make it a `keyObjective`, raise `passPercentage`, or import strictly"
                );
                found.error(&at, text);
            }
        }
        analyses.extend(analysis(objective, &at, queries, &mut found));
    }
    found.end(analyses)
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

fn analysis(
    objective: &Objective,
    at: &str,
    queries: &BTreeMap<String, String>,
    found: &mut Findings,
) -> Option<Analysis> {
    let name = &objective.analysis_value_template_ref.name;
    let id = found.id(&format!("{at}.analysisValueTemplateRef.name"), name);
    let query = queries.get(name).cloned();
    if query.is_none() {
        let text = format!("the query of `{name}` is missing; give it to the import");
        found.error(at, text);
    }
    let mut kept = |field: &str, operator: &Option<BTreeMap<String, Value>>| {
        let operator = operator.as_ref()?;
        met(operator)
            .map(opposite)
            .map_err(|problem| found.error(format!("{at}.target.{field}"), problem))
            .ok()
    };
    let failure = kept("failure", &objective.target.failure);
    let warning = kept("warning", &objective.target.warning);
    let (judges, warns) = (objective.target.failure.is_some(), objective.target.warning.is_some());
    if !judges {
        let text =
            "nothing fails it, and it would pass whatever it measures; write `target.failure`";
        found.error(at, text);
        return None;
    }
    if warns {
        let text = "what only meets `warning` scores half in Keptn; here it is inconclusive, and more than `inconclusive_limit` of these, which is 0, fail";
        found.note(&format!("{at}.target.warning"), text);
    }
    let failure = failure?;
    let limits =
        if warns { Threshold::between(warning?, failure) } else { Threshold::new(failure) };
    Some(Analysis { inconclusive_limit: 0, ..measured(id?, query?, limits) })
}

/// The bound of the values that an operator is met by.
fn met(operator: &BTreeMap<String, Value>) -> Result<Bound, String> {
    let mut operators = operator.iter();
    let (Some((name, value)), None) = (operators.next(), operators.next()) else {
        return Err("has not exactly one operator; write one".into());
    };
    let limit = value.get("fixedValue").and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    });
    let limit = limit.and_then(|limit| Finite::new(limit).ok());
    let limit =
        limit.ok_or_else(|| format!("`{name}` has no `fixedValue` that is a number; write one"))?;
    match name.as_str() {
        "lessThanOrEqual" => Ok(Bound::AtMost(limit)),
        "greaterThanOrEqual" => Ok(Bound::AtLeast(limit)),
        "lessThan" => Ok(opposite(Bound::AtLeast(limit))),
        "greaterThan" => Ok(opposite(Bound::AtMost(limit))),
        _ => Err(format!(
            "`{name}` is no bound to one side; write `lessThan`, `lessThanOrEqual`, `greaterThan` or `greaterThanOrEqual`"
        )),
    }
}
