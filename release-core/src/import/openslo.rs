//! `SLO`, `SLI`, `AlertPolicy` and `AlertCondition` of OpenSLO (openslo/v1).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::burning::{burning, counted};
use super::condition::opposite;
use super::indicator::{Indicator, IndicatorSpec};
use super::stream::{Others, split};
use super::{Findings, ImportErrors, Imported, alerting, measured, of_kind, one_error};
use crate::ids::AnalysisId;
use crate::model::{Analysis, Bound, Finite, Threshold};
use crate::time::Span;

#[derive(Deserialize)]
struct Document {
    metadata: Metadata,
    spec: Spec,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
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
    #[serde(default)]
    alert_policies: Vec<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeWindow {
    duration: String,
    is_rolling: Option<bool>,
    calendar: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl TimeWindow {
    /// How long it is, if it goes with the time.
    fn rolling(&self) -> Option<Span> {
        let rolling = self.calendar.is_none() && self.is_rolling != Some(false);
        span(&self.duration).filter(|_| rolling)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectiveSpec {
    target: Option<f64>,
    target_percent: Option<f64>,
    op: Option<String>,
    value: Option<f64>,
    time_slice_target: Option<f64>,
    time_slice_window: Option<Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
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

/// Imports an OpenSLO `SLO` from YAML or JSON: an analysis for each objective, and what is promised. Its indicator and its alert
/// policies stand in it, or beside it in the same stream of documents, as `SLI`, `AlertPolicy` and `AlertCondition`.
///
/// A ratio of counters with a rolling window becomes a [`BurnRate`](crate::model::BurnRate), where its queries are plain selectors
/// (`name{label="value"}`, also in `sum`) of Prometheus: labels of the version and the target, such as `version="{{version}}"`, are
/// left to the source. Its windows are those of the alert policies, or else those of the Site Reliability Workbook for that
/// window. Of another ratio, the analysis measures the share of what is bad, and demands at most what the target leaves,
/// `1 - target`, or of time slices what is demanded of one, `1 - timeSliceTarget`; and a note says why no budget is
/// watched. Of a threshold metric it demands what `op` and `value` say. Queries may have words such as `{{version}}`, which sources
/// replace; one without judges all versions together, and sources that know versions refuse it.
///
/// # Errors
/// [`ImportErrors`] with all that cannot be said here in the same sense: indicators elsewhere, ratios without a total, targets that are
/// none.
pub fn slo(text: &str) -> Result<(Imported, Vec<Objective>), ImportErrors> {
    let (document, mut others) = split(text, "SLO")?;
    let Document { metadata, mut spec, rest } = of_kind(document, "SLO")?;
    let mut found = Findings::default();
    let (indicator, at) = indicator(&mut spec, &mut others, &mut found)?;
    if spec.objectives.is_empty() {
        return Err(one_error("spec.objectives", "there is none; write a `target`"));
    }
    found.unread("", &rest);
    found.unread("spec", &spec.rest);
    indicator.elsewhere(&at, &mut found);
    let window = window(&spec.time_window, &mut found);
    let mut slo =
        Slo { spec: &spec, indicator: (&indicator.spec, &at), window, others, found, burns: false };
    let (mut analyses, mut objectives) = (Vec::new(), Vec::new());
    for (objective, number) in spec.objectives.iter().zip(1..) {
        let at = format!("spec.objectives[{}]", number - 1);
        let name = if spec.objectives.len() == 1 {
            metadata.name.clone()
        } else {
            format!("{}-{number}", metadata.name)
        };
        if let Some((analysis, target)) = slo.analysis(objective, &name, &at) {
            analyses.push(analysis);
            objectives.push(Objective { target, window });
        }
    }
    let Slo { mut found, others, burns, .. } = slo;
    if !burns && !spec.alert_policies.is_empty() {
        let text = "is not read here, where no burn of the error budget is watched";
        found.note("spec.alertPolicies", text);
    }
    others.unread(&mut found);
    found.end(analyses).map(|imported| (imported, objectives))
}

/// The indicator of an SLO, and where it stands.
fn indicator(
    spec: &mut Spec,
    others: &mut Others,
    found: &mut Findings,
) -> Result<(Indicator, String), ImportErrors> {
    match (spec.indicator.take(), &spec.indicator_ref) {
        (Some(indicator), named) => {
            if named.is_some() {
                found.note("spec.indicatorRef", "is not read here, where `indicator` says more");
            }
            Ok((indicator, "spec.indicator".to_owned()))
        }
        (None, Some(named)) => {
            let Some(document) = others.named("SLI", named) else {
                let text = format!(
                    "the indicator `{named}` stands elsewhere; put it into `indicator`, or beside it as a document of kind `SLI`"
                );
                return Err(one_error("spec.indicatorRef", text));
            };
            Ok((of_kind(document.clone(), "SLI")?, format!("SLI/{named}")))
        }
        (None, None) => Err(one_error("spec.indicator", "there is none; say what is measured")),
    }
}

/// The longest rolling window; what is no such thing is told.
fn window(windows: &[TimeWindow], found: &mut Findings) -> Option<Span> {
    for (window, at) in windows.iter().zip(0..) {
        let at = format!("spec.timeWindow[{at}]");
        found.unread(&at, &window.rest);
        if window.rolling().is_none() {
            let text = format!(
                "of {} by the calendar, or of no fixed length, is not watched here; write a rolling one",
                window.duration
            );
            found.note(&at, text);
        }
    }
    let rolling = windows.iter().filter_map(TimeWindow::rolling);
    if rolling.clone().count() > 1 {
        found.note("spec.timeWindow", "has several, of which the longest is watched");
    }
    rolling.max()
}

/// A length as OpenSLO writes it: a number and one of `m`, `h`, `d`, `w`. Months and years are none.
pub(super) fn span(text: &str) -> Option<Span> {
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

/// An SLO on its way.
struct Slo<'a> {
    spec: &'a Spec,
    /// What is measured, and where that is said.
    indicator: (&'a IndicatorSpec, &'a str),
    window: Option<Span>,
    others: Others,
    found: Findings,
    /// Whether a budget is watched by any analysis.
    burns: bool,
}

impl Slo<'_> {
    fn analysis(
        &mut self,
        objective: &ObjectiveSpec,
        name: &str,
        at: &str,
    ) -> Option<(Analysis, Finite)> {
        self.found.unread(at, &objective.rest);
        let id = self.found.id("metadata.name", name);
        let target = target(objective, at, &mut self.found);
        if let Some((id, target)) = id.as_ref().zip(target)
            && let Some(watched) = self.burning(id, target, objective, at)
        {
            return Some((watched, target));
        }
        let judged = self.judged(objective, target, at);
        let (id, target, (query, bound)) = (id?, target?, judged?);
        Some((measured(id, query, Threshold::new(bound)), target))
    }

    fn is_sliced(&self) -> bool {
        self.spec.budgeting_method.as_deref() == Some("Timeslices")
    }

    /// The burn of the error budget, where it can be watched; a note says why not.
    fn burning(
        &mut self,
        id: &AnalysisId,
        target: Finite,
        objective: &ObjectiveSpec,
        at: &str,
    ) -> Option<Analysis> {
        let ratio = self.indicator.0.ratio_metric.as_ref()?;
        self.needless(objective, at);
        let Self { spec, window, others, found, .. } = self;
        let method = spec.budgeting_method.as_deref();
        let watched = counted(ratio, (*window, method), found).and_then(|counted| {
            let own = alerting::windows(&spec.alert_policies, others, target, found);
            burning(counted, id, target, own)
        });
        match watched {
            Ok(watched) => {
                self.burns = true;
                Some(watched)
            }
            Err(why) => {
                let instead = if self.is_sliced() {
                    "each measurement has to keep what a good time slice does instead"
                } else {
                    "each measurement has to keep the target instead"
                };
                let text = format!("its error budget is not watched: {why}; {instead}");
                self.found.note(at, text);
                None
            }
        }
    }

    /// Tells of what goes with other indicators and methods than the ratio at hand.
    fn needless(&mut self, objective: &ObjectiveSpec, at: &str) {
        let ObjectiveSpec { op, value, time_slice_target, time_slice_window, .. } = objective;
        for (field, there) in [("op", op.is_some()), ("value", value.is_some())] {
            if there {
                let text = "is of a `thresholdMetric`, and not read of a ratio";
                self.found.note(&format!("{at}.{field}"), text);
            }
        }
        if time_slice_target.is_some() && !self.is_sliced() {
            let text = "is of `Timeslices`, and not read of another `budgetingMethod`";
            self.found.note(&format!("{at}.timeSliceTarget"), text);
        }
        if time_slice_window.is_some() {
            let text = "is not read here: let the query look back so long";
            self.found.note(&format!("{at}.timeSliceWindow"), text);
        }
    }

    /// The query that is measured, and what it has to keep.
    fn judged(
        &mut self,
        objective: &ObjectiveSpec,
        target: Option<Finite>,
        at: &str,
    ) -> Option<(String, Bound)> {
        let (indicator, place) = self.indicator;
        match (&indicator.ratio_metric, &indicator.threshold_metric) {
            (Some(ratio), None) => {
                let query = ratio.bad_share(place, &mut self.found);
                let share = if self.is_sliced() { self.of_a_slice(objective, at) } else { target };
                let left = Finite::new(1.0 - share?.get()).ok()?;
                Some((query?, Bound::AtMost(left)))
            }
            (None, Some(source)) => {
                let query = Indicator::threshold(source, place, &mut self.found);
                let bound = limit(objective);
                if bound.is_none() {
                    let text = "its indicator needs `op` (`lte`, `gte`, `lt`, `gt`) and a `value`; write both";
                    self.found.error(at, text);
                }
                self.promised(objective, target, at);
                Some((query?, bound?))
            }
            _ => {
                let text = "has not exactly one of `ratioMetric` and `thresholdMetric`; write one";
                self.found.error(format!("{place}.spec"), text);
                None
            }
        }
    }

    /// What one time slice has to keep to be good.
    fn of_a_slice(&mut self, objective: &ObjectiveSpec, at: &str) -> Option<Finite> {
        let share = objective.time_slice_target.filter(|share| *share > 0.0 && *share <= 1.0);
        if share.is_none() {
            let text = "`Timeslices` need a share above 0 and at most 1, from which on a slice is good; write one such as 0.95";
            self.found.error(format!("{at}.timeSliceTarget"), text);
        }
        share.and_then(|share| Finite::new(share).ok())
    }

    /// Tells that of a threshold metric no share over time is watched.
    fn promised(&mut self, objective: &ObjectiveSpec, target: Option<Finite>, at: &str) {
        let Some(target) = target else { return };
        let over = self.window.map_or_else(String::new, |window| format!(" over {window}"));
        let method = self.spec.budgeting_method.as_deref();
        let by = method.map_or_else(String::new, |method| format!(" by `{method}`"));
        let text = format!(
            "each measurement has to keep `value`; that {target} of them have to{over}{by}, which leaves an error budget, is not watched"
        );
        self.found.note(&format!("{at}.target"), text);
        let ObjectiveSpec { time_slice_target, time_slice_window, .. } = objective;
        let slices = [
            ("timeSliceTarget", time_slice_target.is_some()),
            ("timeSliceWindow", time_slice_window.is_some()),
        ];
        for (field, _) in slices.into_iter().filter(|(_, there)| *there) {
            let text = "is not read here: each measurement is judged on its own";
            self.found.note(&format!("{at}.{field}"), text);
        }
    }
}

fn target(objective: &ObjectiveSpec, at: &str, found: &mut Findings) -> Option<Finite> {
    if objective.target.is_some() && objective.target_percent.is_some() {
        found.error(at, "has both `target` and `targetPercent`; write one of them");
    }
    let share = objective.target.or_else(|| Some(objective.target_percent? / 100.0));
    let share = share.filter(|share| *share > 0.0 && *share < 1.0);
    if share.is_none() {
        let text = "its `target` is no share above 0 and below 1; write one such as 0.999";
        found.error(format!("{at}.target"), text);
    }
    share.and_then(|share| Finite::new(share).ok())
}

/// What `op` and `value` say.
fn limit(objective: &ObjectiveSpec) -> Option<Bound> {
    let limit = Finite::new(objective.value?).ok()?;
    match objective.op.as_deref()? {
        "lte" => Some(Bound::AtMost(limit)),
        "gte" => Some(Bound::AtLeast(limit)),
        "lt" => Some(opposite(Bound::AtLeast(limit))),
        "gt" => Some(opposite(Bound::AtMost(limit))),
        _ => None,
    }
}
