//! Indicators of OpenSLO: what is measured, and by which query.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Findings;

/// An indicator, in the SLO or in a document of its own.
#[derive(Deserialize)]
pub(super) struct Indicator {
    pub(super) spec: IndicatorSpec,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IndicatorSpec {
    pub(super) ratio_metric: Option<RatioMetric>,
    pub(super) threshold_metric: Option<Source>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RatioMetric {
    #[serde(default)]
    pub(super) counter: bool,
    pub(super) good: Option<Source>,
    pub(super) bad: Option<Source>,
    pub(super) total: Option<Source>,
    pub(super) raw: Option<Source>,
    pub(super) raw_type: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    metric_source: MetricSource,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct MetricSource {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "metricSourceRef")]
    named: Option<String>,
    #[serde(default)]
    spec: BTreeMap<String, Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Source {
    pub(super) fn query(&self) -> Option<&str> {
        self.metric_source.spec.get("query").and_then(Value::as_str)
    }

    /// Which source it is one of.
    pub(super) fn kind(&self) -> &str {
        self.metric_source.kind.as_deref().unwrap_or("the source")
    }

    /// The query, wherever it is one of a source that is not known to read it as it is put together.
    fn asked(&self, at: &str, found: &mut Findings) -> Option<String> {
        let Some(query) = self.query() else {
            found.error(format!("{at}.metricSource.spec"), "has no `query`; write one");
            return None;
        };
        let kind = self.kind();
        if !kind.eq_ignore_ascii_case("prometheus") {
            let text =
                format!("the query is put together as in PromQL; see that {kind} reads it so");
            found.note(at, text);
        }
        Some(query.to_owned())
    }

    /// Tells what of it is said elsewhere here.
    fn elsewhere(&self, at: &str, found: &mut Findings) {
        let Self { metric_source: MetricSource { kind: _, named, spec, rest }, rest: beside } =
            self;
        found.unread(at, beside);
        let at = format!("{at}.metricSource");
        found.unread(&at, rest);
        if let Some(named) = named {
            let text = format!("register a source of metrics for `{named}`");
            found.note(&format!("{at}.metricSourceRef"), text);
        }
        for field in spec.keys().filter(|field| *field != "query") {
            let text = "is not read here; set it at the source of metrics";
            found.note(&format!("{at}.spec.{field}"), text);
        }
    }
}

impl Indicator {
    /// Tells what of it is said elsewhere here, or nowhere.
    pub(super) fn elsewhere(&self, at: &str, found: &mut Findings) {
        let Self { spec: IndicatorSpec { ratio_metric, threshold_metric, rest }, rest: beside } =
            self;
        found.unread(at, beside);
        let at = format!("{at}.spec");
        found.unread(&at, rest);
        if let Some(source) = threshold_metric {
            source.elsewhere(&format!("{at}.thresholdMetric"), found);
        }
        let Some(ratio) = ratio_metric else { return };
        let RatioMetric { counter: _, good, bad, total, raw, raw_type, rest } = ratio;
        let at = format!("{at}.ratioMetric");
        found.unread(&at, rest);
        if raw_type.is_some() && raw.is_none() {
            found.note(&format!("{at}.rawType"), "is of a `raw` ratio, and there is none");
        }
        for (source, name) in [(good, "good"), (bad, "bad"), (total, "total"), (raw, "raw")] {
            if let Some(source) = source {
                source.elsewhere(&format!("{at}.{name}"), found);
            }
        }
    }

    /// The query of a threshold metric; `at` is where the indicator stands.
    pub(super) fn threshold(source: &Source, at: &str, found: &mut Findings) -> Option<String> {
        source.asked(&format!("{at}.spec.thresholdMetric"), found)
    }
}

impl RatioMetric {
    /// The share of what is bad, as Prometheus is asked for it; `at` is where the indicator stands.
    pub(super) fn bad_share(&self, at: &str, found: &mut Findings) -> Option<String> {
        let at = format!("{at}.spec.ratioMetric");
        let Self { good, bad, total, raw, raw_type, .. } = self;
        match (good, bad, total, raw) {
            (None, Some(bad), Some(total), None) => {
                let bad = bad.asked(&format!("{at}.bad"), found);
                let total = total.asked(&format!("{at}.total"), found);
                Some(format!("({}) / ({})", bad?, total?))
            }
            (Some(good), None, Some(total), None) => {
                let good = good.asked(&format!("{at}.good"), found);
                let total = total.asked(&format!("{at}.total"), found);
                Some(format!("1 - ({}) / ({})", good?, total?))
            }
            (None, None, None, Some(raw)) => {
                let query = raw.asked(&format!("{at}.raw"), found);
                match raw_type.as_deref() {
                    Some("success") => Some(format!("1 - ({})", query?)),
                    Some("failure") => query,
                    _ => {
                        let text =
                            "does not say of what it is the share; write `success` or `failure`";
                        found.error(format!("{at}.rawType"), text);
                        None
                    }
                }
            }
            _ => {
                let text =
                    "has not `total` with one of `good` and `bad`, or `raw` alone; write those";
                found.error(at, text);
                None
            }
        }
    }
}
