//! Documents as they are found in the wild, and what is wrong with others.

mod openslo;
mod scraped;

use super::*;
use crate::model::{Bound, Finite};

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
    consecutiveErrorLimit: 6
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
    // Argo bears four errors in a row, where nobody says how many; here the same empty answers are inconclusive.
    assert_eq!((rate.interval, rate.inconclusive_limit), (Span::secs(30), 4));
    let Metric::Query { query } = &rate.metric else { panic!("{rate:?}") };
    assert_eq!(query, "sum(rate(ok{job=\"{{service}}\"}[1m]))");
    assert_eq!(limits(rate), Threshold::new(Bound::AtLeast(number(0.95))));
    // Less than a half is at most the number before it; from 1 on it is bad, and in between nobody knows.
    let (below_half, below_one) = (0.5_f64.next_down(), 1.0_f64.next_down());
    let Threshold { success, failure, .. } = limits(latency);
    assert_eq!(success, Bound::AtMost(number(below_half)));
    assert_eq!(failure, Some(Bound::AtMost(number(below_one))));
    assert_eq!((latency.count, latency.inconclusive_limit), (u32::MAX, 6));
    // What is no failure is a success.
    assert_eq!(limits(errors), Threshold::new(Bound::AtMost(number(10.0))));
    assert_eq!((errors.count, errors.interval), (1, Span::secs(10)));
    let notes = imported.notes.join("\n");
    for told in [
        "with up to 2 that are not, it takes up to 7 looks",
        "bake for 2m",
        "prometheus at http://prometheus:9090",
        "`background`",
        "datadog",
        "dry run",
        "what meets neither condition pauses in Argo",
        "`inconclusive_limit` is 6, of all looks together",
        "each sample counts once",
    ] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    // Where a single measurement is judged by one condition, none of that matters.
    let single = |note: &&String| note.contains("spec.metrics[2]");
    let about: Vec<_> = imported.notes.iter().filter(single).collect();
    assert_eq!(about.len(), 2, "{about:?}");
}

/// Every field that is not read is told, with its place.
#[track_caller]
fn told(notes: &[String], places: &[(&str, &str)]) {
    for (at, part) in places {
        let here = |note: &&String| note.starts_with(&format!("`{at}`: ")) && note.contains(part);
        assert!(notes.iter().any(|note| here(&note)), "{at} {part}: {notes:#?}");
    }
}

#[test]
fn what_nobody_reads_of_a_template_is_told() {
    let template = r#"
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: { name: x, labels: { a: b } }
extra: 1
spec:
  measurementRetention: [{ metricName: x, limit: 2 }]
  args: [{ name: service, value: x, note: y }]
  dryRun: [{ metricName: tried, why: x }]
  metrics:
  - name: one
    successCondition: result > 1
    inconclusiveLimit: 2
    odd: 1
    provider:
      prometheus:
        query: x
        address: http://prometheus
        timeout: 40
        insecure: true
        headers: [{ key: X-Scope-OrgID, value: a }]
        authentication: { sigv4: { region: x } }
        rangeQuery: { start: "now() - duration(\"5m\")", end: "now()", step: 1m }
  - name: two
    successCondition: result > 1
    provider: { datadog: { query: x, interval: 5m, aggregator: last, apiVersion: v2 } }
  - { name: tried, successCondition: result > 1, provider: { web: { query: x } } }
"#;
    let notes = analysis_template(template, &BTreeMap::new()).unwrap().notes;
    let (prometheus, datadog) =
        ("spec.metrics[0].provider.prometheus", "spec.metrics[1].provider.datadog");
    let of = |provider: &str, field| format!("{provider}.{field}");
    let fields = [
        ("extra".to_owned(), "is not read"),
        ("spec.measurementRetention".to_owned(), "is not read"),
        ("spec.args[0].note".to_owned(), "is not read"),
        ("spec.dryRun[0].why".to_owned(), "is not read"),
        ("spec.metrics[0].odd".to_owned(), "is not read"),
        ("spec.metrics[0].inconclusiveLimit".to_owned(), "only errors are inconclusive"),
        (of(prometheus, "timeout"), "set it at the source"),
        (of(prometheus, "insecure"), "set it at the source"),
        (of(prometheus, "headers"), "set it at the source"),
        (of(prometheus, "authentication"), "set it at the source"),
        (of(prometheus, "rangeQuery"), "let the query look back itself"),
        (of(datadog, "interval"), "say it in the query"),
        (of(datadog, "aggregator"), "say it in the query"),
        (of(datadog, "apiVersion"), "set it at the source"),
    ];
    let fields: Vec<_> = fields.iter().map(|(at, part)| (at.as_str(), *part)).collect();
    told(&notes, &fields);
    // These, where to register the two sources, the dry run, and what a count with a limit means.
    assert_eq!(notes.len(), fields.len() + 4, "{notes:#?}");
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
    let Threshold { success, failure, .. } = limits(time);
    assert_eq!(success, Bound::AtMost(number(300.0)));
    assert_eq!(failure, Some(Bound::AtMost(number(600.0))));
    let Bound::AtMost(limit) = limits(errors).success else { panic!("{errors:?}") };
    assert!(limit < Finite::ZERO && limit.get() > -1e-300);
    let scores = [
        (
            "spec.totalScore.warningPercentage",
            "from 50 % of the score on Keptn passes with a warning",
        ),
        ("spec.objectives[0].target.warning", "scores half in Keptn"),
    ];
    told(&imported.notes, &scores);
    assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
    // With 75 % the first may fail; as a key objective it may not.
    let refused = problems(analysis_definition(&keptn(75, false), &queries));
    assert!(refused.len() == 1 && refused[0].contains("may fail in Keptn"), "{refused:?}");
    assert!(analysis_definition(&keptn(75, true), &queries).is_ok());
    let strict = analysis_definition_strictly(&keptn(75, false), &queries).unwrap();
    told(&strict.notes, &[("spec.objectives[0]", "has to pass here")]);
    let missing = problems(analysis_definition(&keptn(90, false), &BTreeMap::new()));
    assert!(missing.iter().all(|problem| problem.contains("is missing")), "{missing:?}");
    let range = keptn(90, false)
        .replace("greaterThanOrEqual: { fixedValue: 0 }", "inRange: { lowBound: 1, highBound: 2 }");
    assert!(problems(analysis_definition(&range, &queries))[0].contains("`inRange` has no"));
}

#[test]
fn what_nobody_reads_of_a_definition_is_told() {
    let text = keptn(90, false)
        .replace("spec:", "extra: 1\nspec:\n  odd: 1")
        .replace("name: error-rate }", "name: error-rate, namespace: x, kind: y }")
        .replace("weight: 3", "weight: 3\n    strange: 1")
        .replace("target: { failure", "target: { other: 1, failure")
        .replace("warningPercentage: 50", "warningPercentage: 50, more: 1");
    let queries = args(&[("response-time-p95", "p95{{version}}"), ("error-rate", "errors")]);
    let notes = analysis_definition(&text, &queries).unwrap().notes;
    let reference = "spec.objectives[1].analysisValueTemplateRef";
    let namespace = format!("{reference}.namespace");
    let fields = [
        ("extra", "is not read"),
        ("spec.odd", "is not read"),
        ("spec.totalScore.more", "is not read"),
        ("spec.objectives[1].strange", "is not read"),
        ("spec.objectives[1].target.other", "is not read"),
        (&namespace, "given to the import"),
    ];
    told(&notes, &fields);
    // What kind a reference is of only describes.
    assert_eq!(notes.len(), fields.len() + 2, "{notes:#?}");
}
