//! What is imported, judged by samples that are as old as those of a scraped source are.

use super::*;
use crate::analysis;
use crate::model::Digest;
use crate::port::Measurement;
use crate::run::Verdict;
use crate::time::Timestamp;

/// What a single look says of a value that is so many seconds old.
fn look(analysis: &Analysis, value: f64, age: u64) -> (Verdict, String) {
    let second = |n| Timestamp::default().plus(Span::secs(n));
    let (now, at) = (second(10_000), second(10_000 - age));
    let digest = Digest::of(b"new");
    let measurement = Measurement::Value { digest, value: number(value), at };
    let looked = analysis::measure(analysis, &limits(analysis), digest, (&measurement, None), now);
    (looked.verdict, looked.because)
}

#[test]
fn samples_that_are_one_scrape_old_are_fresh_for_whatever_is_imported() {
    let queries = args(&[("response-time-p95", "p95"), ("error-rate", "errors")]);
    let slo = |document: &str| slo(document).unwrap().0.analyses.remove(0);
    let ratio = "kind: SLO\nmetadata: { name: x }\nspec:\n  indicator: { spec: { ratioMetric: { good: { metricSource: { type: Prometheus, spec: { query: a } } }, total: { metricSource: { type: Prometheus, spec: { query: b } } } } } }\n  objectives: [{ target: 0.9 }]\n";
    let threshold = "kind: SLO\nmetadata: { name: x }\nspec:\n  indicator: { spec: { thresholdMetric: { metricSource: { type: Prometheus, spec: { query: a } } } } }\n  objectives: [{ target: 0.9, op: lt, value: 1 }]\n";
    let argo = analysis_template(TEMPLATE, &args(&[("service", "x")])).unwrap().analyses;
    let [_, _, once, _] = &argo[..] else { panic!("{argo:?}") };
    let keptn = analysis_definition(&keptn(90, false), &queries).unwrap().analyses;
    let all = [(once, 5.0), (&slo(ratio), 0.05), (&slo(threshold), 0.5)];
    for (analysis, good) in all {
        assert_eq!(analysis.count, 1, "{analysis:?}");
        // As old as with scrapes every 15 seconds, and every minute.
        for age in [0, 14, 15, 60] {
            let (verdict, because) = look(analysis, good, age);
            assert_eq!(verdict, Verdict::Pass, "{} at {age} s: {because}", analysis.id);
        }
        // What Prometheus would not find any more is none.
        let (verdict, because) = look(analysis, good, 301);
        assert_eq!(verdict, Verdict::Inconclusive, "{}: {because}", analysis.id);
    }
    for analysis in argo.iter().chain(&keptn) {
        assert_eq!(analysis.freshness(), Span::secs(300), "{}", analysis.id);
    }
}
