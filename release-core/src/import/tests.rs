//! Documents as they are found in the wild, and what is wrong with others.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Bound, Direction, Finite, Judge, Metric, Selector, Threshold};
use crate::time::Span;

const TEMPLATE: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: checkout
spec:
  args:
  - name: service
  - name: runs
    value: "5"
  metrics:
  - name: Success rate
    initialDelay: 2m
    interval: 30s
    count: "{{args.runs}}"
    successCondition: "!isNaN(result[0]) && result[0] >= 0.95"
    failureLimit: 2
    provider:
      prometheus:
        address: http://prometheus:9090
        query: sum(rate(ok{job="{{ args.service }}"}[1m]))
  - name: latency
    interval: 1m
    successCondition: result[0] < 0.5
    failureCondition: result[0] >= 1
    inconclusiveLimit: 3
    consecutiveErrorLimit: 4
    provider:
      prometheus: { query: "p99{job=\"x\"}" }
  - name: errors
    failureCondition: 10 < result
    provider:
      datadog: { query: "sum:errors", apiVersion: v2 }
  - name: tried
    successCondition: result > 1
    provider: { prometheus: { query: x } }
  dryRun:
  - metricName: tried
"#;

fn args(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn number(number: f64) -> Finite {
    Finite::new(number).unwrap()
}

fn limits(analysis: &Analysis) -> Threshold {
    match analysis.judge {
        Judge::Threshold(limits) => limits,
        ref other => panic!("{other:?}"),
    }
}

fn problems(result: Result<Imported, ImportErrors>) -> Vec<String> {
    result.unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_template_of_argo_is_imported_to_the_last_bound() {
    let imported = analysis_template(TEMPLATE, &args(&[("service", "{{service}}")])).unwrap();
    let [rate, latency, errors] = &imported.analyses[..] else { panic!("{imported:?}") };
    assert_eq!((rate.id.as_str(), rate.count, rate.failure_limit), ("success-rate", 5, 2));
    assert_eq!((rate.interval, rate.inconclusive_limit), (Span::secs(30), 0));
    let Metric::Query { query } = &rate.metric else { panic!("{rate:?}") };
    assert_eq!(query, "sum(rate(ok{job=\"{{service}}\"}[1m]))");
    assert_eq!(limits(rate), Threshold::new(Bound::AtLeast(number(0.95))));
    // Less than a half is at most the number before it; from 1 on it is bad, and in between nobody knows.
    let (below_half, below_one) = (0.5_f64.next_down(), 1.0_f64.next_down());
    let Threshold { success, failure } = limits(latency);
    assert_eq!(success, Bound::AtMost(number(below_half)));
    assert_eq!(failure, Some(Bound::AtMost(number(below_one))));
    assert_eq!((latency.count, latency.inconclusive_limit), (u32::MAX, 3));
    // What is no failure is a success.
    assert_eq!(limits(errors), Threshold::new(Bound::AtMost(number(10.0))));
    assert_eq!(errors.count, 1);
    let notes = imported.notes.join("\n");
    for told in [
        "with up to 2 that are not, it takes up to 7 looks",
        "bake for 2m",
        "prometheus at http://prometheus:9090",
        "`background`",
        "datadog",
        "dry run",
    ] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
}

#[test]
fn what_a_template_of_argo_cannot_say_here_is_told_all_at_once() {
    let bad = r#"
kind: AnalysisTemplate
spec:
  args: [{ name: a }, { name: key, valueFrom: { secretKeyRef: { name: s, key: k } } }]
  metrics:
  - { name: two, successCondition: "result[0] > 1 && result[0] < 2", provider: { prometheus: { query: x } } }
  - { name: odd, successCondition: "any(result, {# > 1})", provider: { prometheus: { query: x } } }
  - { name: none, provider: { prometheus: { query: x } } }
  - { name: job, successCondition: result > 1, provider: { job: { spec: {} } } }
  - { name: row, successCondition: result > 1, consecutiveSuccessLimit: 3, provider: { prometheus: { query: "{{args.b}}" } } }
  - { name: many, successCondition: result > 1, count: lots, interval: soon, provider: { prometheus: { query: x } } }
"#;
    let problems = problems(analysis_template(bad, &BTreeMap::new()));
    for (at, why) in [
        ("spec.args[0]", "`a` has no value"),
        ("spec.args[1]", "`key` comes from elsewhere"),
        ("spec.metrics[0].successCondition", "has two bounds"),
        ("spec.metrics[1].successCondition", "no comparison"),
        ("spec.metrics[2]", "would pass whatever it measures"),
        ("spec.metrics[3].provider.job", "has no `query`"),
        ("spec.metrics[4].provider.prometheus.query", "`{{args.b}}` has no value"),
        ("spec.metrics[4].consecutiveSuccessLimit", "in a row"),
        ("spec.metrics[5].count", "`lots` is no whole number"),
        ("spec.metrics[5].interval", "soon"),
    ] {
        let found =
            problems.iter().any(|p| p.starts_with(&format!("at `{at}`:")) && p.contains(why));
        assert!(found, "{at} {why}: {problems:#?}");
    }
    assert_eq!(problems.len(), 10, "{problems:#?}");
    for (name, why) in [
        ("a.b|c", "regular expression"),
        ("*", "regular expression"),
        ("zzz", "in no metric's name"),
    ] {
        let text = TEMPLATE.replace("metricName: tried", &format!("metricName: \"{name}\""));
        let found = self::problems(analysis_template(&text, &args(&[("service", "x")])));
        assert!(found.len() == 1 && found[0].contains(why), "{name}: {found:?}");
    }
    // A part of a name is enough, as in Argo.
    for (name, left) in [("tri", 3), ("^rie", 0), ("^tried$", 3), ("t", 1), (".*", 0)] {
        let text = TEMPLATE.replace("metricName: tried", &format!("metricName: \"{name}\""));
        let found = analysis_template(&text, &args(&[("service", "x")]));
        assert_eq!(found.map_or(0, |imported| imported.analyses.len()), left, "{name}");
    }
    for (text, why) in [
        ("kind: Rollout", "give one of kind"),
        ("kind: AnalysisTemplate\nspec: { metrics: 1 }", "compare with the definition"),
        ("kind: AnalysisTemplate\nspec: {}", "name a metric"),
        (": :", ""),
    ] {
        let error = analysis_template(text, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn conditions_mean_here_what_they_mean_there() {
    for (condition, good, bad) in [
        ("result[0] <= 5", 5.0, 5.1),
        ("result < 5", 4.999_999, 5.0),
        ("5 >= result[0]", 5.0, 5.1),
        ("0.5 < result", 0.500_001, 0.5),
        ("(result[0] >= -1e3)", -1000.0, -1000.1),
        ("!isInf(result[0]) && len(result) > 0 && result[0] > 0", f64::MIN_POSITIVE, 0.0),
    ] {
        let bound = condition::bound(condition).unwrap();
        let keeps = |value: f64| match bound {
            Bound::AtMost(limit) => number(value) <= limit,
            Bound::AtLeast(limit) => number(value) >= limit,
        };
        assert!(keeps(good) && !keeps(bad), "{condition}: {bound:?}");
        let opposite = condition::opposite(bound);
        assert_eq!(condition::opposite(opposite), bound, "{condition}");
    }
    for none in
        ["", "true", "result[1] > 2", "result == 3", "result > NaN", "result > 1 || result < 0"]
    {
        assert!(condition::bound(none).is_err(), "{none}");
    }
}

fn keptn(score: u32, key: bool) -> String {
    format!(
        r#"
apiVersion: metrics.keptn.sh/v1
kind: AnalysisDefinition
metadata: {{ name: my-project-ad }}
spec:
  objectives:
  - analysisValueTemplateRef: {{ name: response-time-p95 }}
    target:
      failure: {{ greaterThan: {{ fixedValue: 600 }} }}
      warning: {{ greaterThan: {{ fixedValue: "300" }} }}
    weight: 1
    keyObjective: {key}
  - analysisValueTemplateRef: {{ name: error-rate }}
    target: {{ failure: {{ greaterThanOrEqual: {{ fixedValue: 0 }} }} }}
    weight: 3
  totalScore: {{ passPercentage: {score}, warningPercentage: 50 }}
"#
    )
}

#[test]
fn objectives_of_keptn_become_analyses_that_all_have_to_pass() {
    let queries = args(&[("response-time-p95", "p95{{version}}"), ("error-rate", "errors")]);
    let imported = analysis_definition(&keptn(90, false), &queries).unwrap();
    let [time, errors] = &imported.analyses[..] else { panic!("{imported:?}") };
    let Threshold { success, failure } = limits(time);
    assert_eq!(success, Bound::AtMost(number(300.0)));
    assert_eq!(failure, Some(Bound::AtMost(number(600.0))));
    let Bound::AtMost(limit) = limits(errors).success else { panic!("{errors:?}") };
    assert!(limit < Finite::ZERO && limit.get() > -1e-300);
    assert!(imported.notes[0].contains("scores half in Keptn"), "{:?}", imported.notes);
    // With 75 % the first may fail; as a key objective it may not.
    let refused = problems(analysis_definition(&keptn(75, false), &queries));
    assert!(refused.len() == 1 && refused[0].contains("may fail in Keptn"), "{refused:?}");
    assert!(analysis_definition(&keptn(75, true), &queries).is_ok());
    let strict = analysis_definition_strictly(&keptn(75, false), &queries).unwrap();
    assert!(strict.notes[0].contains("has to pass here"), "{:?}", strict.notes);
    let missing = problems(analysis_definition(&keptn(90, false), &BTreeMap::new()));
    assert!(missing.iter().all(|problem| problem.contains("is missing")), "{missing:?}");
    let range = keptn(90, false)
        .replace("greaterThanOrEqual: { fixedValue: 0 }", "inRange: { lowBound: 1, highBound: 2 }");
    assert!(problems(analysis_definition(&range, &queries))[0].contains("`inRange` has no"));
}

#[test]
fn objectives_of_openslo_become_analyses_and_promises() {
    let ratio = r#"
apiVersion: openslo/v1
kind: SLO
metadata: { name: checkout-availability }
spec:
  service: checkout
  indicator:
    metadata: { name: availability }
    spec:
      ratioMetric:
        counter: true
        good: { metricSource: { type: Prometheus, spec: { query: "sum(ok)" } } }
        total: { metricSource: { type: Prometheus, spec: { query: "sum(all)" } } }
  timeWindow: [{ duration: 4w, isRolling: true }]
  budgetingMethod: Occurrences
  objectives: [{ displayName: Good, target: 0.99 }]
"#;
    let (imported, promised) = slo(ratio).unwrap();
    let [one] = &imported.analyses[..] else { panic!("{imported:?}") };
    assert_eq!(one.id.as_str(), "checkout-availability");
    // Counters over a rolling window: a budget that is watched, as the workbook does, of four weeks.
    let (numerator, denominator) = (Selector::series("ok"), Selector::series("all"));
    assert_eq!(one.metric, Metric::Ratio { numerator, denominator });
    let Judge::BurnRate(rule) = &one.judge else { panic!("{one:?}") };
    assert_eq!((rule.objective, rule.direction), (number(0.99), Direction::HigherIsBetter));
    let factors: Vec<f64> = rule.windows.iter().map(|pair| pair.factor.get()).collect();
    assert!((factors[0] - 13.44).abs() < 1e-9 && (factors[1] - 5.6).abs() < 1e-9, "{factors:?}");
    assert_eq!((one.interval, one.min_samples), (Span::secs(60), 18));
    assert!(imported.notes.is_empty(), "{:?}", imported.notes);
    assert_eq!(promised, [Objective { target: number(0.99), window: Some(Span::secs(2_419_200)) }]);
    let labelled = ratio
        .replace("sum(all)", r#"all{job=\"x\", version=\"{{version}}\"}"#)
        .replace("target: 0.99", "target: 0.999");
    let (imported, _) = slo(&labelled).unwrap();
    let Metric::Ratio { denominator, .. } = &imported.analyses[0].metric else { panic!() };
    assert_eq!(*denominator, Selector::series("all").label("job", "x"));
    assert!(imported.notes[0].contains("`version` is left to the source"), "{:?}", imported.notes);
    // What cannot be watched so says why, and is held against the target at each measurement.
    for (from, to, why) in [
        ("counter: true", "counter: false", "`counter` is not true"),
        ("Occurrences", "Timeslices", "`budgetingMethod` is `Timeslices`"),
        ("sum(ok)", "sum(rate(ok[5m]))", "no plain selector"),
        ("isRolling: true", "isRolling: false", "by the calendar"),
        ("duration: 4w", "duration: 1M", "no rolling window"),
        ("target: 0.99", "target: 0.5", "no burn is fast enough"),
    ] {
        let text = ratio.replace(from, to);
        assert_ne!(text, ratio, "{from}");
        let (imported, promised) = slo(&text).unwrap();
        let notes = imported.notes.join("\n");
        assert!(notes.contains(why) && notes.contains("is not watched"), "{why}: {notes}");
        let Bound::AtMost(left) = limits(&imported.analyses[0]).success else { panic!() };
        assert!((left.get() - (1.0 - promised[0].target.get())).abs() < 1e-12);
    }
    let threshold = ratio
        .replace("ratioMetric:", "thresholdMetric: { metricSource: { type: Datadog, spec: { query: p99 } } }\n      unread:")
        .replace("target: 0.99", "targetPercent: 95, op: lt, value: 0.5");
    let (imported, _) = slo(&threshold).unwrap();
    assert_eq!(limits(&imported.analyses[0]).success, Bound::AtMost(number(0.5_f64.next_down())));
    assert!(imported.notes[0].contains("Datadog"), "{:?}", imported.notes);
    for (from, to, why) in [
        ("target: 0.99", "target: 99", "no share above 0 and below 1"),
        ("good:", "raw:", "`total` with one of"),
        ("query: \"sum(ok)\"", "promql: x", "has no `query`"),
        ("indicator:\n", "indicatorRef: elsewhere\n  unread:\n", "stands elsewhere"),
        ("objectives: [", "objectives: []\n  unread: [", "there is none"),
    ] {
        let text = ratio.replace(from, to);
        assert_ne!(text, ratio, "{from}");
        let error = slo(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}
