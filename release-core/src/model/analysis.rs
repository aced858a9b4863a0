//! What is measured while a version is watched, how often, and by which rule it is judged.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::{Judge, Threshold};
use super::metric::{Bound, Metric, Unit};
use super::objectives::Objectives;
use super::scorecard::Scorecard;
use crate::ids::{AnalysisId, SourceId};
use crate::time::Span;

/// A judgement over a metric, measured again and again, `interval` apart.
///
/// No data, too little data, data of another version and numbers that are not finite are
/// inconclusive, never a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Analysis {
    /// What stages and criteria call it by.
    pub id: AnalysisId,
    /// What is measured. A [scorecard](Judge::Scorecard) and [objectives](Judge::Objectives) name their own, of which this is the
    /// first.
    pub metric: Metric,
    /// Who measures it, where there are several sources: one that is registered by this name. Without it, one that is registered by
    /// none.
    pub source: Option<SourceId>,
    /// The rule.
    pub judge: Judge,
    /// Sample size (of a ratio its denominator) below which a measurement is inconclusive; of both versions, where two
    /// are compared, and then nothing is concluded yet. Where the answers to a `query` are, each look is one sample;
    /// of ranges alone, each point of all looks together, and nothing is concluded while either version has fewer numbers.
    pub min_samples: u64,
    /// Time between measurements; at least a millisecond.
    pub interval: Span,
    /// How old a number of the moment may be to count as one, where that is more than twice the `interval`: the time between
    /// two scrapes of the source, and some more. A look that finds nothing newer than the one before then waits for the next
    /// sample, and counts neither for the version nor against it. See [`Analysis::freshness`].
    ///
    /// Without it, a [limit](Judge::Threshold) on a `query` counts one sample at every look that finds it fresh: set it where looks come
    /// more often than scrapes, so that each sample counts once.
    pub fresh_for: Option<Span>,
    /// How long after its step is reached it is first looked at, such as until caches are warm. What was counted since its window began
    /// counts all the same; [`warm_up`](super::Sequential::warm_up) throws looks away.
    #[doc(alias = "initialDelay")]
    pub begin_after: Option<Span>,
    /// How many good measurements make it pass; where versions are compared, how often it is looked at the most: what is
    /// undetermined then has not passed, and [`undecided`](Self::undecided) says what follows.
    pub count: u32,
    /// How many bad measurements are tolerated before it fails.
    pub failure_limit: u32,
    /// How many inconclusive measurements are tolerated before it fails.
    pub inconclusive_limit: u32,
    /// With so many good measurements in a row it passes, however many others came before; `count` is then how often it is looked at
    /// the most, and what has not passed by then is undecided.
    pub consecutive_good: Option<u32>,
    /// How many measurements without data in a row are tolerated before it fails. They are then not counted by
    /// `inconclusive_limit`.
    pub consecutive_no_data: Option<u32>,
    /// Whether it is only measured and told: whatever it finds, the run goes on as if it had passed.
    pub dry_run: bool,
    /// What follows when it ends, and nobody knows whether the version is good.
    pub undecided: Undecided,
}

/// What follows when an analysis ends without having found that the version is good or that it is bad: after its last look,
/// or after more looks without data than are tolerated.
///
/// Whatever stands here, what is undecided never passes. And whatever stands here, nothing is taken back, and people decide, where the
/// old version is ill itself or versions did not get their shares of the traffic: to go back would help nobody, or is founded on
/// nothing.
///
/// # What to choose
/// Of two versions that do not differ, a [sequential](Judge::Sequential) test finds the new one to be worse with a chance of at most
/// `alpha`, over all looks and metrics of a run, as long as nobody lets it begin anew. But it also ends without a finding: in three to seventeen of a hundred runs where a plan has as few
/// looks as the planner accepts, in far fewer where it has more ([`Power::passes`](crate::analysis::Power::passes) says how many;
/// the program of A/A runs that [`analysis`](crate::analysis) names counts them), and in more where waves or less traffic than expected leave less to go by. If
/// that went back, a run would be taken back falsely that much more often than `alpha` says. So the planner writes
/// [`HoldUndetermined`](Self::HoldUndetermined) into what compares by a sequential test and says nothing: what was measured showed no
/// harm, the traffic stays as it is, and people decide. Where nobody is there to be asked, say [`Fail`](Self::Fail), and plan with
/// more looks.
///
/// A limit is another thing: each look tells alone, and what is undecided there was not measured. It fails unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Undecided {
    /// Nothing is said. The planner writes [`HoldUndetermined`](Self::HoldUndetermined) for it where versions are compared by a
    /// sequential test; everywhere else, and in plans from before it did so, it is [`Fail`](Self::Fail).
    #[default]
    Unsaid,
    /// The same as when it is found to be bad: what is not known to be good does not stay.
    Fail,
    /// The run holds, with the traffic as it is, until people look again, cancel the run or give it up.
    Hold,
    /// The same where the looks had data and showed neither harm nor health until the last one. No data is as good as bad: whoever
    /// cannot see goes back.
    HoldUndetermined,
}

impl Undecided {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    const fn is_unsaid(&self) -> bool {
        matches!(self, Self::Unsaid)
    }
}

impl Analysis {
    /// One good measurement of `metric` within `success`, one second apart; refine with the fields.
    pub const fn new(id: AnalysisId, metric: Metric, success: Bound) -> Self {
        Self::judged(id, metric, Judge::Threshold(Threshold::new(success)))
    }

    /// One measurement of `metric` by `judge`, one second apart; refine with the fields.
    pub const fn judged(id: AnalysisId, metric: Metric, judge: Judge) -> Self {
        Self {
            id,
            metric,
            source: None,
            judge,
            min_samples: one(),
            interval: second(),
            fresh_for: None,
            begin_after: None,
            count: one_u32(),
            failure_limit: 0,
            inconclusive_limit: ten(),
            consecutive_good: None,
            consecutive_no_data: None,
            dry_run: false,
            undecided: Undecided::Unsaid,
        }
    }

    /// How old the newest sample may be: `fresh_for`, but never less than twice the time between two looks, one of which may be
    /// missed on the way.
    ///
    /// What is looked at more often than its source is scraped needs `fresh_for`: with scrapes 15 seconds apart, samples are
    /// up to 15 seconds old, and with an `interval` of a second most looks would find none that is fresh.
    ///
    /// ```
    /// use release_core::model::{Analysis, Bound, Finite, Metric, Span};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let metric = Metric::Query { query: "latency".into() };
    /// let mut latency = Analysis::new("latency".parse()?, metric, Bound::AtMost(Finite::new(0.5)?));
    /// assert_eq!(latency.freshness(), Span::secs(2));
    /// latency.fresh_for = Some(Span::secs(60));
    /// assert_eq!(latency.freshness(), Span::secs(60));
    /// # Ok(())
    /// # }
    /// ```
    pub fn freshness(&self) -> Span {
        let twice = Span::from(self.interval.as_duration().saturating_mul(2));
        self.fresh_for.map_or(twice, |span| span.max(twice))
    }

    /// The limit that good measurements keep, if it goes by one.
    pub const fn success(&self) -> Option<Bound> {
        match &self.judge {
            Judge::Threshold(limits) => Some(limits.success),
            Judge::Sequential(_)
            | Judge::BurnRate(_)
            | Judge::Cusum(_)
            | Judge::Scorecard(_)
            | Judge::Objectives(_) => None,
        }
    }

    /// Whether the version that was there before is measured beside the new one.
    pub const fn compares(&self) -> bool {
        self.judge.compares()
    }

    /// What is measured at each look, in this order: the metric, or those of a scorecard or of objectives.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        let (one, card, rule) = match &self.judge {
            Judge::Scorecard(card) => (None, card.metrics.as_slice(), &[][..]),
            Judge::Objectives(rule) => (None, &[][..], rule.of.as_slice()),
            _ => (Some(&self.metric), &[][..], &[][..]),
        };
        let scored = card.iter().map(|scored| &scored.metric);
        one.into_iter().chain(scored).chain(rule.iter().map(|objective| &objective.metric))
    }
}

/// An analysis as it stands in files, plans and journals: limits stand beside the rest.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Analysis")]
#[serde(deny_unknown_fields)]
struct Written {
    /// What stages and criteria call it by.
    id: AnalysisId,
    /// What is measured; left out beside a scorecard or objectives, which name their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metric: Option<Metric>,
    /// Who measures it, where there are several sources: by the name that one is registered by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<SourceId>,
    /// The limit, where each measurement is held against one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    success: Option<Bound>,
    /// What a measurement has to keep not to be a bad one. What keeps this and not `success` is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Bound>,
    /// What the numbers of a limit are numbers of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
    /// The rule, where it is more than a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judge: Option<Judge>,
    /// Sample size (the ratio's denominator) below which a measurement is inconclusive. It has to be said where anything but
    /// queries is measured, each answer to which is one sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_samples: Option<u64>,
    /// Time between measurements; at least a millisecond.
    #[serde(default = "second")]
    interval: Span,
    /// How old the newest sample may be, where that is more than twice the `interval`: the time between two scrapes of the
    /// source, and some more. A look that finds nothing newer then waits for the next sample, and does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fresh_for: Option<Span>,
    /// How long after its step is reached it is first looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begin_after: Option<Span>,
    /// How many good measurements make it pass; where versions are compared, how often it is looked at the most.
    #[serde(default = "one_u32")]
    count: u32,
    /// How many bad measurements are tolerated before it fails.
    #[serde(default)]
    failure_limit: u32,
    /// How many inconclusive measurements are tolerated before it fails.
    #[serde(default = "ten")]
    inconclusive_limit: u32,
    /// With so many good measurements in a row it passes; `count` is then how often it is looked at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consecutive_good: Option<u32>,
    /// How many measurements without data in a row are tolerated before it fails; they then do not count as inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consecutive_no_data: Option<u32>,
    /// Whether it is only measured and told, and the run goes on whatever it finds.
    #[serde(default, skip_serializing_if = "is_false")]
    dry_run: bool,
    /// What follows when it ends, and nobody knows whether the version is good.
    #[serde(default, skip_serializing_if = "Undecided::is_unsaid")]
    undecided: Undecided,
}

/// An analysis of which it does not follow how it is judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum RuleError {
    #[error("analysis `{0}` has no rule; give it `success` with a limit, or `judge`")]
    None(AnalysisId),
    #[error("analysis `{0}` has two rules; `success`, `failure` and `unit` do not go with `judge`")]
    Two(AnalysisId),
    #[error("analysis `{0}` has `failure` without `success`; say also what is good")]
    Half(AnalysisId),
    #[error("analysis `{0}` has no `metric`; say what is measured")]
    NoMetric(AnalysisId),
    #[error(
        "analysis `{0}` has a `metric` beside a judge of several; put it into the judge's metrics"
    )]
    BesideSeveral(AnalysisId),
    #[error("analysis `{0}` has a scorecard or objectives without metrics; name at least one")]
    Empty(AnalysisId),
    #[error(
        "analysis `{0}` does not say how many samples it needs; set `min_samples`, such as 100 requests: fewer tell nothing of a share or a latency"
    )]
    NoMinimum(AnalysisId),
}

impl TryFrom<Written> for Analysis {
    type Error = RuleError;

    fn try_from(written: Written) -> Result<Self, RuleError> {
        let Written { id, metric, success, failure, unit, judge, min_samples, .. } = written;
        let judge = match (judge, success, failure) {
            (Some(judge), None, None) if unit.is_none() => judge,
            (None, Some(success), failure) => {
                Judge::Threshold(Threshold { success, failure, unit })
            }
            (None, None, None) => return Err(RuleError::None(id)),
            (None, None, Some(_)) => return Err(RuleError::Half(id)),
            (Some(_), ..) => return Err(RuleError::Two(id)),
        };
        let metric = match (metric, &judge) {
            (Some(_), Judge::Scorecard(_) | Judge::Objectives(_)) => {
                return Err(RuleError::BesideSeveral(id));
            }
            (None, Judge::Scorecard(Scorecard { metrics, .. })) => {
                let first = metrics.first().map(|first| first.metric.clone());
                first.ok_or_else(|| RuleError::Empty(id.clone()))?
            }
            (None, Judge::Objectives(Objectives { of, .. })) => {
                let first = of.first().map(|first| first.metric.clone());
                first.ok_or_else(|| RuleError::Empty(id.clone()))?
            }
            (Some(metric), _) => metric,
            (None, _) => return Err(RuleError::NoMetric(id)),
        };
        let Written { interval, fresh_for, count, failure_limit, .. } = written;
        let Written { inconclusive_limit, undecided, consecutive_good, .. } = written;
        let Written { consecutive_no_data, dry_run, begin_after, source, .. } = written;
        let analysis = Self::judged(id, metric, judge);
        let asks = analysis.metrics().all(Metric::asks);
        let Some(min_samples) = min_samples.or(asks.then_some(1)) else {
            return Err(RuleError::NoMinimum(analysis.id));
        };
        Ok(Self {
            source,
            min_samples,
            interval,
            fresh_for,
            begin_after,
            count,
            failure_limit,
            inconclusive_limit,
            consecutive_good,
            consecutive_no_data,
            dry_run,
            undecided,
            ..analysis
        })
    }
}

impl From<Analysis> for Written {
    fn from(analysis: Analysis) -> Self {
        let Analysis { id, metric, judge, min_samples, interval, .. } = analysis;
        let several = matches!(judge, Judge::Scorecard(_) | Judge::Objectives(_));
        let metric = (!several).then_some(metric);
        let (limits, judge) = match judge {
            Judge::Threshold(limits) => (Some(limits), None),
            other => (None, Some(other)),
        };
        let Analysis { fresh_for, count, failure_limit, .. } = analysis;
        let Analysis { inconclusive_limit, undecided, consecutive_good, .. } = analysis;
        let Analysis { consecutive_no_data, dry_run, begin_after, source, .. } = analysis;
        Self {
            id,
            metric,
            source,
            success: limits.map(|limits| limits.success),
            failure: limits.and_then(|limits| limits.failure),
            unit: limits.and_then(|limits| limits.unit),
            judge,
            min_samples: Some(min_samples),
            interval,
            fresh_for,
            begin_after,
            count,
            failure_limit,
            inconclusive_limit,
            consecutive_good,
            consecutive_no_data,
            dry_run,
            undecided,
        }
    }
}

impl JsonSchema for Analysis {
    fn schema_name() -> Cow<'static, str> {
        Written::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}
const fn one() -> u64 {
    1
}
const fn one_u32() -> u32 {
    1
}
const fn ten() -> u32 {
    10
}
const fn second() -> Span {
    Span::secs(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rule: &str) -> Result<Analysis, String> {
        let text = format!(
            r#"{{"id":"errors","metric":{{"ratio":{{"numerator":{{"series":"bad"}},"denominator":{{"series":"all"}}}}}},"min_samples":1{rule}}}"#
        );
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_limit_stands_beside_the_rest_as_it_always_did() {
        let analysis = read(r#","success":{"at_most":0.05}"#).unwrap();
        let json = serde_json::to_string(&analysis).unwrap();
        let want = r#""success":{"at_most":0.05},"min_samples":1,"interval":"1s","count":1,"failure_limit":0,"inconclusive_limit":10}"#;
        assert!(json.ends_with(want), "{json}");
        assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
    }

    #[test]
    fn how_many_samples_are_needed_has_to_be_said_of_what_has_samples() {
        let of = |metric: &str, rest: &str| {
            let text = format!(
                r#"{{"id":"errors","metric":{metric},"success":{{"at_most":0.05}}{rest}}}"#
            );
            serde_json::from_str::<Analysis>(&text).map_err(|error| error.to_string())
        };
        let ratio = r#"{"ratio":{"numerator":{"series":"bad"},"denominator":{"series":"all"}}}"#;
        let mean = r#"{"mean":{"sum":{"series":"took_sum"},"count":{"series":"took_count"}}}"#;
        for metric in [ratio, mean] {
            let error = of(metric, "").unwrap_err();
            assert!(error.contains("`errors`") && error.contains("set `min_samples`"), "{error}");
            assert_eq!(of(metric, r#","min_samples":500"#).unwrap().min_samples, 500);
        }
        // Each answer to a query is one sample.
        assert_eq!(of(r#"{"query":{"query":"up"}}"#, "").unwrap().min_samples, 1);
    }

    #[test]
    fn how_long_samples_are_fresh_is_written_only_where_it_is_said() {
        let said =
            read(r#","success":{"at_most":0.05},"interval":"10s","fresh_for":"1m""#).unwrap();
        assert_eq!((said.fresh_for, said.freshness()), (Some(Span::secs(60)), Span::secs(60)));
        let json = serde_json::to_string(&said).unwrap();
        assert!(json.contains(r#""interval":"10s","fresh_for":"1m""#), "{json}");
        assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), said);
        // A look may be missed on the way, whatever is said.
        let short = Analysis { fresh_for: Some(Span::secs(1)), ..said };
        assert_eq!(short.freshness(), Span::secs(20));
        let never = read(r#","success":{"at_most":0.05}"#).unwrap();
        assert_eq!((never.fresh_for, never.freshness()), (None, Span::secs(2)));
    }

    #[test]
    fn what_follows_when_nobody_knows_is_written_only_where_it_is_said() {
        for (said, want) in [
            ("", Undecided::Unsaid),
            (r#","undecided":"fail""#, Undecided::Fail),
            (r#","undecided":"hold""#, Undecided::Hold),
            (r#","undecided":"hold_undetermined""#, Undecided::HoldUndetermined),
        ] {
            let analysis = read(&format!(r#","success":{{"at_most":0.05}}{said}"#)).unwrap();
            assert_eq!(analysis.undecided, want);
            let json = serde_json::to_string(&analysis).unwrap();
            assert!(json.contains(said) && json.contains("undecided") != said.is_empty(), "{json}");
        }
    }

    #[test]
    fn an_analysis_has_one_rule() {
        let judge = r#","judge":{"sequential":{"direction":"lower_is_better","unit":"share","margin":{"relative":0.5},"expected":{"per_second":10.0,"value":0.01,"detect":3.0}}}"#;
        let analysis = read(judge).unwrap();
        assert!(analysis.compares() && analysis.success().is_none());
        let json = serde_json::to_string(&analysis).unwrap();
        assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
        let problem = |rule: &str| read(rule).unwrap_err();
        assert!(problem("").contains("`errors` has no rule"));
        let both = format!(r#"{judge},"success":{{"at_most":1.0}}"#);
        assert!(problem(&both).contains("two rules"));
        assert!(problem(r#","failure":{"at_most":1.0}"#).contains("without `success`"));
    }
}
