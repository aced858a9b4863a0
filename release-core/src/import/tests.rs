//! Documents as they are found in the wild, and what is wrong with others.

mod argo_fields;
mod keptn_fields;
mod openslo;
mod scraped;

use super::*;
use crate::model::{Bound, Criterion, Finite};

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
    let [rate, latency, errors, tried] = &imported.analyses[..] else { panic!("{imported:?}") };
    assert!(tried.dry_run && !rate.dry_run && !latency.dry_run && !errors.dry_run);
    assert_eq!((rate.id.as_str(), rate.count, rate.failure_limit), ("success-rate", 5, 2));
    // Argo bears four errors in a row, where nobody says how many.
    assert_eq!((rate.interval, rate.inconclusive_limit), (Span::secs(30), 0));
    assert_eq!((rate.begin_after, latency.begin_after), (Some(Span::secs(120)), None));
    assert_eq!((rate.consecutive_no_data, rate.consecutive_good), (Some(4), None));
    let Metric::Query { query } = &rate.metric else { panic!("{rate:?}") };
    assert_eq!(query, "sum(rate(ok{job=\"{{service}}\"}[1m]))");
    assert_eq!(limits(rate), Threshold::new(Bound::AtLeast(number(0.95))).of(Unit::Number));
    // Less than a half is at most the number before it; from 1 on it is bad, and in between nobody knows.
    let (below_half, below_one) = (0.5_f64.next_down(), 1.0_f64.next_down());
    let Threshold { success, failure, .. } = limits(latency);
    assert_eq!(success, Bound::AtMost(number(below_half)));
    assert_eq!(failure, Some(Bound::AtMost(number(below_one))));
    assert_eq!((latency.count, latency.inconclusive_limit), (u32::MAX, 3));
    assert_eq!(latency.consecutive_no_data, Some(6));
    // What is no failure is a success.
    assert_eq!(limits(errors), Threshold::new(Bound::AtMost(number(10.0))).of(Unit::Number));
    assert_eq!((errors.count, errors.interval), (1, Span::secs(10)));
    let notes = imported.notes.join("\n");
    for told in [
        "with up to 2 that are not, it takes up to 7 looks",
        "prometheus at http://prometheus:9090",
        "`background`",
        "datadog",
        "what meets neither condition pauses in Argo",
        "each sample counts once",
    ] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    // Where a single measurement is judged by one condition, none of that matters.
    let single = |note: &&String| note.contains("spec.metrics[2]");
    let about: Vec<_> = imported.notes.iter().filter(single).collect();
    assert_eq!(about.len(), 2, "{about:?}");
}

#[test]
fn rows_and_stretches_of_argo_are_imported() {
    let template = r#"
kind: AnalysisTemplate
spec:
  metrics:
  - { name: row, successCondition: result > 1, count: 9, consecutiveSuccessLimit: 3, failureLimit: 8, consecutiveErrorLimit: 0, provider: { web: { query: x } } }
  - { name: good, successCondition: "result[0] > 1 && result[0] < 2", provider: { web: { query: x } } }
  - { name: bad, failureCondition: "result < 1 || result >= 2", provider: { web: { query: x } } }
  - { name: both, successCondition: "result >= 1 && result <= 2", failureCondition: "result < 0", provider: { web: { query: x } } }
"#;
    let Imported { analyses, .. } = analysis_template(template, &BTreeMap::new()).unwrap();
    let [row, stretches @ ..] = &analyses[..] else { panic!("{analyses:?}") };
    assert_eq!((row.consecutive_good, row.consecutive_no_data), (Some(3), Some(0)));
    assert_eq!((row.count, row.failure_limit), (9, 8));
    let outcome = |analysis: &Analysis, value: f64| {
        let Judge::Objectives(rule) = &analysis.judge else { panic!("{analysis:?}") };
        let [one] = &rule.of[..] else { panic!("{rule:?}") };
        let meets = |criterion: Option<Criterion>| criterion.is_some_and(|c| c.is_met(value));
        if meets(one.failure) {
            "bad"
        } else if meets(one.warning) {
            "neither"
        } else {
            "good"
        }
    };
    for (value, want) in [
        (0.5, ["bad", "bad", "neither"]),
        (1.0, ["bad", "good", "good"]),
        (1.0_f64.next_up(), ["good", "good", "good"]),
        (2.0_f64.next_down(), ["good", "good", "good"]),
        (2.0, ["bad", "bad", "good"]),
        (2.5, ["bad", "bad", "neither"]),
        (-1.0, ["bad", "bad", "bad"]),
    ] {
        let got: Vec<_> = stretches.iter().map(|analysis| outcome(analysis, value)).collect();
        assert_eq!(got, want, "{value}");
    }
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
    let template = r"
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
  - name: two
    successCondition: result > 1
    provider: { datadog: { query: x, interval: 5m, aggregator: last, apiVersion: v2 } }
  - { name: tried, successCondition: result > 1, provider: { web: { query: x } } }
";
    let notes = analysis_template(template, &BTreeMap::new()).unwrap().notes;
    let (prometheus, datadog) =
        ("spec.metrics[0].provider.prometheus", "spec.metrics[1].provider.datadog");
    let of = |provider: &str, field| format!("{provider}.{field}");
    let fields = [
        ("extra".to_owned(), "is not read"),
        ("spec.measurementRetention".to_owned(), "stays in the journal"),
        ("spec.args[0].note".to_owned(), "is not read"),
        ("spec.dryRun[0].why".to_owned(), "is not read"),
        ("spec.metrics[0].odd".to_owned(), "is not read"),
        ("spec.metrics[0].inconclusiveLimit".to_owned(), "nothing is inconclusive"),
        (of(prometheus, "timeout"), "set it at the source"),
        (of(prometheus, "insecure"), "set it at the source"),
        (of(prometheus, "headers"), "set it at the source"),
        (of(prometheus, "authentication"), "set it at the source"),
        (of(datadog, "interval"), "say it in the query"),
        (of(datadog, "aggregator"), "say it in the query"),
        (of(datadog, "apiVersion"), "set it at the source"),
    ];
    let fields: Vec<_> = fields.iter().map(|(at, part)| (at.as_str(), *part)).collect();
    told(&notes, &fields);
    // These, where to register the three sources, and what a count with a limit means.
    assert_eq!(notes.len(), fields.len() + 4, "{notes:#?}");
}

#[test]
fn what_a_template_of_argo_cannot_say_here_is_told_all_at_once() {
    let bad = r#"
kind: AnalysisTemplate
spec:
  args: [{ name: a }, { name: key, valueFrom: { secretKeyRef: { name: s, key: k } } }]
  metrics:
  - { name: two, successCondition: "result[0] > 2 && result[0] < 1", provider: { prometheus: { query: x } } }
  - { name: odd, successCondition: "any(result, {# > 1})", provider: { prometheus: { query: x } } }
  - { name: none, provider: { prometheus: { query: x } } }
  - { name: job, successCondition: result > 1, provider: { job: { spec: {} } } }
  - { name: row, successCondition: result > 1, consecutiveSuccessLimit: some, provider: { prometheus: { query: "{{args.b}}" } } }
  - { name: many, successCondition: result > 1, count: lots, interval: soon, provider: { prometheus: { query: x } } }
"#;
    let problems = problems(analysis_template(bad, &BTreeMap::new()));
    for (at, why) in [
        ("spec.args[0]", "`a` has no value"),
        ("spec.args[1]", "`key` comes from elsewhere"),
        ("spec.metrics[0].successCondition", "is not one stretch"),
        ("spec.metrics[1].successCondition", "no comparison"),
        ("spec.metrics[2]", "would pass whatever it measures"),
        ("spec.metrics[3].provider.job", "has no `query`"),
        ("spec.metrics[4].provider.prometheus.query", "`{{args.b}}` has no value"),
        ("spec.metrics[4].consecutiveSuccessLimit", "`some` is no whole number"),
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
    for (name, dry) in [("tri", 1), ("^rie", 0), ("^tried$", 1), ("t", 3), (".*", 4)] {
        let text = TEMPLATE.replace("metricName: tried", &format!("metricName: \"{name}\""));
        let found = analysis_template(&text, &args(&[("service", "x")]));
        let count = |imported: Imported| imported.analyses.iter().filter(|a| a.dry_run).count();
        assert_eq!(found.map_or(0, count), dry, "{name}");
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
        let bound = condition::bound(condition::met(condition).unwrap()).unwrap();
        let keeps = |value: f64| match bound {
            Bound::AtMost(limit) => number(value) <= limit,
            Bound::AtLeast(limit) => number(value) >= limit,
        };
        assert!(keeps(good) && !keeps(bad), "{condition}: {bound:?}");
        let opposite = condition::opposite(bound);
        assert_eq!(condition::opposite(opposite), bound, "{condition}");
    }
    for none in [
        "",
        "true",
        "result[1] > 2",
        "result == 3",
        "result > NaN",
        "result > 1 && result > 2",
        "result > 1 || result < 2",
        "!isNaN(result) || result > 1",
        "result > 1 || result < 0 && result > 4",
    ] {
        assert!(condition::met(none).is_err(), "{none}");
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
fn objectives_of_keptn_become_one_analysis_that_means_the_same() {
    let queries = args(&[("response-time-p95", "p95{{version}}"), ("error-rate", "errors")]);
    let imported = analysis_definition(&keptn(75, true), &queries).unwrap();
    let [analysis] = &imported.analyses[..] else { panic!("{imported:?}") };
    assert_eq!((analysis.id.as_str(), analysis.inconclusive_limit), ("my-project-ad", 0));
    let Judge::Objectives(rule) = &analysis.judge else { panic!("{analysis:?}") };
    assert_eq!((rule.pass, rule.warning), (number(75.0), Some(number(50.0))));
    let [time, errors] = &rule.of[..] else { panic!("{rule:?}") };
    assert_eq!(
        (time.name.as_str(), time.key, time.weight),
        ("response-time-p95", true, number(1.0))
    );
    assert_eq!(time.failure, Some(Criterion::Above(number(600.0))));
    assert_eq!(time.warning, Some(Criterion::Above(number(300.0))));
    assert_eq!((errors.key, errors.weight), (false, number(3.0)));
    assert_eq!(errors.failure, Some(Criterion::AtLeast(Finite::ZERO)));
    told(&imported.notes, &[("spec.totalScore.warningPercentage", "Keptn warns")]);
    assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
    let missing = problems(analysis_definition(&keptn(90, false), &BTreeMap::new()));
    assert!(missing.iter().all(|problem| problem.contains("is missing")), "{missing:?}");
    for (operator, want) in [
        (
            "inRange: { lowBound: 1, highBound: \"2\" }",
            Ok(Criterion::Within { from: number(1.0), to: number(2.0) }),
        ),
        (
            "notInRange: { lowBound: 1, highBound: 2 }",
            Ok(Criterion::Outside { from: number(1.0), to: number(2.0) }),
        ),
        (
            "equalTo: { fixedValue: 3 }",
            Ok(Criterion::Within { from: number(3.0), to: number(3.0) }),
        ),
        ("lessThan: { fixedValue: 3 }", Ok(Criterion::Below(number(3.0)))),
        ("lessThanOrEqual: { fixedValue: 3 }", Ok(Criterion::AtMost(number(3.0)))),
        ("inRange: { lowBound: 2, highBound: 1 }", Err("ends before it begins")),
        ("inRange: { lowBound: 2 }", Err("has no `highBound`")),
        ("near: { fixedValue: 2 }", Err("is no operator of Keptn")),
    ] {
        let text = keptn(90, false).replace("greaterThanOrEqual: { fixedValue: 0 }", operator);
        let got = analysis_definition(&text, &queries);
        match want {
            Err(why) => {
                let problems = problems(got);
                assert!(problems.len() == 1 && problems[0].contains(why), "{problems:?}");
            }
            Ok(want) => {
                let Judge::Objectives(rule) = &got.unwrap().analyses[0].judge else { panic!() };
                assert_eq!(rule.of[1].failure, Some(want), "{operator}");
            }
        }
    }
    for (from, to, why) in [
        ("passPercentage: 90", "passPercentage: 900", "is no percentage"),
        ("weight: 3", "weight: -3", "is below 0"),
        ("objectives:", "objectives: []\n  old:", "name an objective"),
    ] {
        let problems = problems(analysis_definition(&keptn(90, false).replace(from, to), &queries));
        assert!(problems.len() == 1 && problems[0].contains(why), "{problems:?}");
    }
    let informative =
        keptn(90, false).replace("failure: { greaterThanOrEqual: { fixedValue: 0 } }", "");
    let notes = analysis_definition(&informative, &queries).unwrap().notes;
    told(&notes, &[("spec.objectives[1].target.failure", "nothing fails it")]);
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
    assert_eq!(notes.len(), fields.len() + 1, "{notes:#?}");
}
