//! `SLO` and `SLI` of OpenSLO (openslo/v1).

use serde::Deserialize;
use serde_json::Value;

use super::burning::burning;
use super::condition::opposite;
use super::{Findings, ImportErrors, Imported, one_error, read};
use crate::model::{Analysis, Bound, Finite, Judge, Metric, Threshold};
use crate::time::Span;

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    indicator: Option<Indicator>,
    indicator_ref: Option<String>,
    #[serde(default)]
    time_window: Vec<TimeWindow>,
    budgeting_method: Option<String>,
    #[serde(default)]
    objectives: Vec<ObjectiveSpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeWindow {
    duration: String,
    is_rolling: Option<bool>,
    calendar: Option<Value>,
}

impl TimeWindow {
    /// How long it is, if it goes with the time.
    fn rolling(&self) -> Option<Span> {
        let rolling = self.calendar.is_none() && self.is_rolling != Some(false);
        span(&self.duration).filter(|_| rolling)
    }
}

#[derive(Deserialize)]
struct Indicator {
    spec: IndicatorSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndicatorSpec {
    ratio_metric: Option<RatioMetric>,
    threshold_metric: Option<Source>,
}

#[derive(Deserialize)]
pub(super) struct RatioMetric {
    #[serde(default)]
    pub(super) counter: bool,
    pub(super) good: Option<Source>,
    pub(super) bad: Option<Source>,
    pub(super) total: Option<Source>,
    pub(super) raw: Option<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    metric_source: MetricSource,
}

impl Source {
    pub(super) fn query(&self) -> Option<&str> {
        self.metric_source.spec.get("query").and_then(Value::as_str)
    }

    /// Which source it is one of.
    pub(super) fn kind(&self) -> &str {
        self.metric_source.kind.as_deref().unwrap_or("the source")
    }
}

#[derive(Deserialize)]
struct MetricSource {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    spec: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectiveSpec {
    target: Option<f64>,
    target_percent: Option<f64>,
    op: Option<String>,
    value: Option<f64>,
}

/// What an SLO promises over its window, for judges of the error budget and for
/// recommendations of strategies.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Objective {
    /// The share of what has to be good, above 0 and below 1.
    pub target: Finite,
    /// Over how long; none, where the document has calendars or nothing.
    pub window: Option<Span>,
}

/// Imports an OpenSLO `SLO` with its indicator inside, from YAML or JSON: an analysis for each objective, and what is promised.
///
/// A ratio of counters with a rolling window becomes a [`BurnRate`](crate::model::BurnRate), with the windows of the Site Reliability Workbook for that
/// window, where its queries are plain selectors (`name{label="value"}`, also in `sum`) of Prometheus: labels of the version
/// and the target, such as `version="{{version}}"`, are left to the source. Of another ratio, the analysis measures the share of
/// what is bad, and demands at most what the target leaves, `1 - target`, and a note says why no budget is watched. Of a
/// threshold metric it demands what `op` and `value` say. Queries may have words such as `{{version}}`, which sources
/// replace; one without judges all versions together, and sources that know versions refuse it.
///
/// # Errors
/// [`ImportErrors`] with all that cannot be said here in the same sense: indicators elsewhere, ratios without a total, targets that are
/// none.
pub fn slo(text: &str) -> Result<(Imported, Vec<Objective>), ImportErrors> {
    let Document { metadata, spec } = read(text, &["SLO"])?;
    let mut found = Findings::default();
    let Some(indicator) = spec.indicator else {
        let named = spec.indicator_ref.unwrap_or_default();
        let text = format!("the indicator `{named}` stands elsewhere; put it into `indicator`");
        return Err(one_error("spec.indicator", text));
    };
    if spec.objectives.is_empty() {
        return Err(one_error("spec.objectives", "there is none; write a `target`"));
    }
    let window = spec.time_window.iter().filter_map(TimeWindow::rolling).max();
    for (TimeWindow { duration, .. }, at) in
        spec.time_window.iter().zip(0..).filter(|(window, _)| window.rolling().is_none())
    {
        let text = format!(
            "of {duration} by the calendar, or of no fixed length, is not watched here; write a rolling one"
        );
        found.note(&format!("spec.timeWindow[{at}]"), text);
    }
    let (mut analyses, mut objectives) = (Vec::new(), Vec::new());
    for (objective, number) in spec.objectives.iter().zip(1..) {
        let at = format!("spec.objectives[{}]", number - 1);
        let name = if spec.objectives.len() == 1 {
            metadata.name.clone()
        } else {
            format!("{}-{number}", metadata.name)
        };
        let id = found.id("metadata.name", &name);
        let target = target(objective, &at, &mut found);
        if let (Some(ratio), Some(id), Some(target)) = (&indicator.spec.ratio_metric, &id, target) {
            let of =
                burning(ratio, id, target, (window, spec.budgeting_method.as_deref()), &mut found);
            match of {
                Ok(watched) => {
                    analyses.push(watched);
                    objectives.push(Objective { target, window });
                    continue;
                }
                Err(why) => {
                    let text = format!(
                        "its error budget is not watched: {why}; each measurement has to keep the target instead"
                    );
                    found.note(&at, text);
                }
            }
        }
        let judged = judged(&indicator.spec, objective, target, &at, &mut found);
        let (Some(id), Some(target), Some((query, bound))) = (id, target, judged) else { continue };
        let judge = Judge::Threshold(Threshold::new(bound));
        analyses.push(Analysis::judged(id, Metric::Query { query }, judge));
        objectives.push(Objective { target, window });
    }
    found.end(analyses).map(|imported| (imported, objectives))
}

/// A length as OpenSLO writes it: a number and one of `m`, `h`, `d`, `w`. Months and years are none.
fn span(text: &str) -> Option<Span> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(Span::secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

fn target(objective: &ObjectiveSpec, at: &str, found: &mut Findings) -> Option<Finite> {
    let share = objective.target.or_else(|| Some(objective.target_percent? / 100.0));
    let share = share.filter(|share| *share > 0.0 && *share < 1.0);
    if share.is_none() {
        let text = "its `target` is no share above 0 and below 1; write one such as 0.999";
        found.error(format!("{at}.target"), text);
    }
    share.and_then(|share| Finite::new(share).ok())
}

/// The query that is measured, and what it has to keep.
fn judged(
    indicator: &IndicatorSpec,
    objective: &ObjectiveSpec,
    target: Option<Finite>,
    at: &str,
    found: &mut Findings,
) -> Option<(String, Bound)> {
    match (&indicator.ratio_metric, &indicator.threshold_metric) {
        (Some(ratio), None) => {
            let query = bad_share(ratio, found)?;
            let left = Finite::new(1.0 - target?.get()).ok()?;
            Some((query, Bound::AtMost(left)))
        }
        (None, Some(source)) => {
            let query = query(source, "spec.indicator.spec.thresholdMetric", found)?;
            let limit = objective.value.and_then(|value| Finite::new(value).ok());
            let bound = match (objective.op.as_deref(), limit) {
                (Some("lte"), Some(limit)) => Some(Bound::AtMost(limit)),
                (Some("gte"), Some(limit)) => Some(Bound::AtLeast(limit)),
                (Some("lt"), Some(limit)) => Some(opposite(Bound::AtLeast(limit))),
                (Some("gt"), Some(limit)) => Some(opposite(Bound::AtMost(limit))),
                _ => None,
            };
            if bound.is_none() {
                let text =
                    "its indicator needs `op` (`lte`, `gte`, `lt`, `gt`) and a `value`; write both";
                found.error(at, text);
            }
            Some((query, bound?))
        }
        _ => {
            let text = "has not exactly one of `ratioMetric` and `thresholdMetric`; write one";
            found.error("spec.indicator.spec", text);
            None
        }
    }
}

/// The share of what is bad, as Prometheus is asked for it.
fn bad_share(ratio: &RatioMetric, found: &mut Findings) -> Option<String> {
    let at = "spec.indicator.spec.ratioMetric";
    let RatioMetric { good, bad, total, raw, counter: _ } = ratio;
    match (good, bad, total, raw) {
        (None, Some(bad), Some(total), None) => {
            let bad = query(bad, &format!("{at}.bad"), found);
            let total = query(total, &format!("{at}.total"), found);
            Some(format!("({}) / ({})", bad?, total?))
        }
        (Some(good), None, Some(total), None) => {
            let good = query(good, &format!("{at}.good"), found);
            let total = query(total, &format!("{at}.total"), found);
            Some(format!("1 - ({}) / ({})", good?, total?))
        }
        _ => {
            let text = "has not `total` with one of `good` and `bad`; write those";
            found.error(at, text);
            None
        }
    }
}

fn query(source: &Source, at: &str, found: &mut Findings) -> Option<String> {
    let Some(query) = source.query() else {
        found.error(format!("{at}.metricSource.spec"), "has no `query`; write one");
        return None;
    };
    let kind = source.kind();
    if !kind.eq_ignore_ascii_case("prometheus") {
        let text = format!("the query is put together as in PromQL; see that {kind} reads it so");
        found.note(at, text);
    }
    Some(query.to_owned())
}
