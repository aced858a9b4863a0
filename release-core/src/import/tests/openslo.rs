//! SLOs of OpenSLO, alone and with what they refer to.

use super::*;
use crate::model::{BurnWindows, Direction, Selector};

const RATIO: &str = r#"
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

#[test]
fn objectives_of_openslo_become_analyses_and_promises() {
    let ratio = RATIO;
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
        ("Occurrences", "RatioTimeslices", "`budgetingMethod` is `RatioTimeslices`"),
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
    told(&imported.notes, &[("spec.indicator.spec.thresholdMetric", "Datadog")]);
    for (from, to, why) in [
        ("target: 0.99", "target: 99", "no share above 0 and below 1"),
        ("good:", "raw:", "`total` with one of"),
        ("query: \"sum(ok)\"", "promql: x", "has no `query`"),
        ("indicator:\n", "indicatorRef: elsewhere\n  unread:\n", "stands elsewhere"),
        ("indicator:\n", "unread:\n", "say what is measured"),
        ("target: 0.99", "target: 0.99, targetPercent: 99", "write one of them"),
        ("good:", "raw:", "or `raw` alone"),
        ("objectives: [", "objectives: []\n  unread: [", "there is none"),
    ] {
        let text = ratio.replace(from, to);
        assert_ne!(text, ratio, "{from}");
        let error = slo(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

fn burns(text: &str) -> (Vec<BurnWindows>, Vec<String>) {
    let (imported, _) = slo(text).unwrap();
    let [one] = &imported.analyses[..] else { panic!("{imported:?}") };
    let Judge::BurnRate(rule) = &one.judge else { panic!("{one:?}") };
    (rule.windows.clone(), imported.notes)
}

#[test]
fn a_time_slice_is_held_against_what_makes_it_good() {
    let sliced = RATIO
        .replace("Occurrences", "Timeslices")
        .replace("target: 0.99", "target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 1m");
    let (imported, promised) = slo(&sliced).unwrap();
    let Bound::AtMost(left) = limits(&imported.analyses[0]).success else { panic!() };
    assert!((left.get() - 0.1).abs() < 1e-12, "{left}");
    assert_eq!(promised[0].target, number(0.99));
    let places = [
        ("spec.objectives[0]", "has to keep what a good time slice does"),
        ("spec.objectives[0].timeSliceWindow", "let the query look back so long"),
    ];
    told(&imported.notes, &places);
    for bad in ["other: 1", "timeSliceTarget: 0", "timeSliceTarget: 1.5"] {
        let error = slo(&sliced.replace("timeSliceTarget: 0.9", bad)).unwrap_err().to_string();
        assert!(error.contains("spec.objectives[0].timeSliceTarget"), "{bad}: {error}");
    }
    let all = sliced.replace("timeSliceTarget: 0.9", "timeSliceTarget: 1");
    let (imported, _) = slo(&all).unwrap();
    assert_eq!(limits(&imported.analyses[0]).success, Bound::AtMost(Finite::ZERO));
    // Of another method it is not read, and that is told.
    let (_, notes) = burns(&sliced.replace("Timeslices", "Occurrences"));
    told(&notes, &[("spec.objectives[0].timeSliceTarget", "not read of another")]);
}

const THRESHOLD: &str = "
kind: SLO
metadata: { name: latency }
spec:
  indicator: { spec: { thresholdMetric: { metricSource: { type: Prometheus, spec: { query: p99 } } } } }
  timeWindow: [{ duration: 1d, isRolling: true }]
  budgetingMethod: Timeslices
  objectives: [{ op: lte, value: 0.5, target: 0.95, timeSliceTarget: 0.9, timeSliceWindow: 1m }]
";

#[test]
fn of_a_threshold_metric_no_share_over_time_is_watched_and_that_is_told() {
    let (imported, _) = slo(THRESHOLD).unwrap();
    assert_eq!(limits(&imported.analyses[0]).success, Bound::AtMost(number(0.5)));
    let places = [
        ("spec.objectives[0].target", "that 0.95 of them have to over 1day by `Timeslices`"),
        ("spec.objectives[0].timeSliceTarget", "judged on its own"),
        ("spec.objectives[0].timeSliceWindow", "judged on its own"),
    ];
    told(&imported.notes, &places);
    assert_eq!(imported.notes.len(), 3, "{:#?}", imported.notes);
}

#[test]
fn what_is_named_may_stand_beside_in_the_same_stream() {
    let (slo_alone, indicator) = RATIO.split_once("  indicator:\n").unwrap();
    let (indicator, rest) = indicator.split_once("  timeWindow").unwrap();
    let indicator = indicator.replace("\n    ", "\n");
    let indicator = indicator.trim_start().strip_prefix("metadata").unwrap();
    let stream = format!(
        "{slo_alone}  indicatorRef: availability\n  timeWindow{rest}---\nkind: SLI\nmetadata{indicator}---\nkind: Service\nmetadata: {{ name: checkout }}\n---\n"
    );
    let (imported, promised) = slo(&stream).unwrap();
    let (alone, promised_alone) = slo(RATIO).unwrap();
    assert_eq!((&imported.analyses, promised), (&alone.analyses, promised_alone));
    assert_eq!(imported.notes, ["`Service/checkout`: is not read here"]);
    for (text, why) in [
        (format!("{RATIO}---\n{RATIO}"), "several of `SLO`"),
        (format!("{RATIO}---\nkind: SLI\n"), "has no name"),
        (format!("{stream}kind: Service\nmetadata: {{ name: checkout }}\n"), "keep one"),
        ("kind: SLI\nmetadata: { name: x }".to_owned(), "it is `SLI`; give one of kind `SLO`"),
        (String::new(), "it is `nothing`"),
        (stream.replace("kind: SLI", "kind: SLO2"), "stands elsewhere"),
        (stream.replace("ratioMetric:\n", "ratioMetric: 3\n  x:\n"), "definition of `SLI`"),
    ] {
        let error = slo(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

const POLICY: &str = "
  alertPolicies:
  - kind: AlertPolicy
    metadata: { name: fast }
    spec:
      alertWhenBreaching: true
      conditions:
      - kind: AlertCondition
        metadata: { name: fast }
        spec:
          severity: page
          condition: { kind: burnrate, op: gt, threshold: 10, lookbackWindow: 2h, alertAfter: 10m }
";

#[test]
fn alert_policies_say_in_which_windows_a_budget_is_watched() {
    let with = |policy: &str| format!("{}{policy}", RATIO.trim_end());
    let pair = |long, short, factor| BurnWindows {
        long: Span::secs(long),
        short: Span::secs(short),
        factor: number(factor),
    };
    let (windows, notes) = burns(&with(POLICY));
    assert_eq!(windows, [pair(7_200, 600, 10.0)]);
    let at = "spec.alertPolicies[0].spec.conditions[0].spec.condition";
    told(&notes, &[(&format!("{at}.alertAfter"), "in the last 10m as well")]);
    assert_eq!(notes.len(), 1, "{notes:#?}");
    // Named, in documents beside it.
    let named = format!(
        "{}\n  alertPolicies: [{{ alertPolicyRef: fast }}]\n---\nkind: AlertPolicy\nmetadata: {{ name: fast }}\nspec:\n  conditions: [{{ conditionRef: burns }}]\n---\nkind: AlertCondition\nmetadata: {{ name: burns }}\nspec:\n  severity: page\n  condition: {{ op: gte, threshold: 10, lookbackWindow: 2h, alertAfter: 0m }}\n",
        RATIO.trim_end()
    );
    let (windows, notes) = burns(&named);
    assert_eq!(windows, [pair(7_200, 600, 10.0_f64.next_down())]);
    assert!(notes.is_empty(), "{notes:#?}");
    // As the examples of OpenSLO have it, and in a twelfth of the window where nothing is said.
    let (windows, notes) =
        burns(&with(POLICY).replace("op: gt,", "op: lt,").replace(", alertAfter: 10m", ""));
    assert_eq!(windows, [pair(7_200, 600, 10.0)]);
    told(&notes, &[(&format!("{at}.op"), "threshold being below the burn rate")]);
    let (windows, notes) = burns(&with(POLICY).replace("alertAfter: 10m", "alertAfter: 3h"));
    assert_eq!(windows, [pair(7_200, 600, 10.0)]);
    told(&notes, &[(&format!("{at}.alertAfter"), "no short window; 10m is used")]);
}

#[test]
fn alert_policies_that_cannot_be_watched_leave_the_usual_windows_and_a_word() {
    let with = |policy: &str| format!("{}{policy}", RATIO.trim_end());
    let (usual, none) = burns(RATIO);
    assert!(none.is_empty());
    let spec = "spec.alertPolicies[0].spec";
    let condition = format!("{spec}.conditions[0].spec");
    for (from, to, at, why) in [
        ("kind: burnrate", "kind: other", "condition.kind", "is no burn rate"),
        ("op: gt", "op: eq", "condition.op", "is none of"),
        ("threshold: 10", "threshold: 100", "condition.threshold", "100.000000 times"),
        ("threshold: 10", "threshold: 0", "condition.threshold", "times as fast"),
        ("lookbackWindow: 2h", "lookbackWindow: 1M", "condition.lookbackWindow", "no length"),
        ("lookbackWindow: 2h", "lookbackWindow: 4d", "condition.lookbackWindow", "at most 3days"),
        ("lookbackWindow: 2h", "lookbackWindow: 1m", "condition.lookbackWindow", "not above 1m"),
        ("severity: page", "severity: Ticket", "severity", "takes no version back"),
    ] {
        let text = with(POLICY).replace(from, to);
        let (windows, notes) = burns(&text);
        assert_eq!(windows, usual, "{to}");
        let at = format!("{condition}.{at}");
        told(&notes, &[(&at, why), ("spec.alertPolicies", "the usual windows")]);
    }
    for (policy, at, why) in [
        ("\n  alertPolicies: [far]\n", "spec.alertPolicies[0]", "`far` stands elsewhere"),
        (
            "\n  alertPolicies: [{ spec: { conditions: [{ conditionRef: far }] } }]\n",
            &*format!("{spec}.conditions[0]"),
            "`far` stands elsewhere",
        ),
        (
            "\n  alertPolicies: [{ spec: { alertWhenBreaching: false } }]\n",
            &*format!("{spec}.alertWhenBreaching"),
            "none of its conditions",
        ),
        ("\n  alertPolicies: [{ spec: { conditions: 1 } }]\n", spec, "definition of `AlertPolicy`"),
    ] {
        let (windows, notes) = burns(&with(policy));
        assert_eq!(windows, usual, "{policy}");
        told(&notes, &[(at, why), ("spec.alertPolicies", "the usual windows")]);
    }
    // Who is told is no matter of windows, and without a budget there are none.
    let told_of = with(POLICY).replace(
        "alertWhenBreaching: true",
        "alertWhenBreaching: true\n      alertWhenNoData: true\n      notificationTargets: [{ targetRef: x }]\n      odd: 1",
    );
    let (_, notes) = burns(&told_of);
    let places = ["alertWhenNoData", "notificationTargets", "odd"].map(|f| format!("{spec}.{f}"));
    told(&notes, &places.each_ref().map(|at| (at.as_str(), "")));
    let (imported, _) = slo(&format!("{}{POLICY}", THRESHOLD.trim_end())).unwrap();
    told(&imported.notes, &[("spec.alertPolicies", "no burn of the error budget is watched")]);
}

#[test]
fn ratios_that_are_stored_say_of_what_they_are_the_share() {
    let raw = |kind: &str| {
        format!(
            "kind: SLO\nmetadata: {{ name: x }}\nspec:\n  indicator: {{ spec: {{ ratioMetric: {{ rawType: {kind}, raw: {{ metricSource: {{ type: Prometheus, spec: {{ query: share }} }} }} }} }} }}\n  objectives: [{{ target: 0.9 }}]\n"
        )
    };
    for (kind, query) in [("success", "1 - (share)"), ("failure", "share")] {
        let (imported, _) = slo(&raw(kind)).unwrap();
        assert_eq!(imported.analyses[0].metric, Metric::Query { query: query.into() });
    }
    assert!(slo(&raw("odd")).unwrap_err().to_string().contains("write `success` or `failure`"));
}

#[test]
fn what_nobody_reads_of_an_slo_is_told() {
    let text = RATIO
        .replace("spec:\n  service", "extra: 1\nspec:\n  odd: 1\n  indicatorRef: x\n  service")
        .replace(
            "ratioMetric:\n",
            "strange: 1\n      ratioMetric:\n        rawType: success\n        new: 1\n",
        )
        .replace("good: {", "good: { beside: 1,")
        .replace(
            "spec: { query: \"sum(ok)\"",
            "metricSourceRef: main, further: 1, spec: { region: x, query: \"sum(ok)\"",
        )
        .replace("isRolling: true }", "isRolling: true, zone: x }, { duration: 1d }")
        .replace("target: 0.99", "target: 0.99, op: lt, value: 3, timeSliceWindow: 5, whatever: 1");
    let (_, notes) = burns(&text);
    let ratio = "spec.indicator.spec.ratioMetric";
    let of = |field: &str| format!("{ratio}.{field}");
    let fields = [
        ("extra".to_owned(), "is not read"),
        ("spec.odd".to_owned(), "is not read"),
        ("spec.indicatorRef".to_owned(), "says more"),
        ("spec.indicator.spec.strange".to_owned(), "is not read"),
        (of("rawType"), "there is none"),
        (of("new"), "is not read"),
        (of("good.beside"), "is not read"),
        (of("good.metricSource.further"), "is not read"),
        (of("good.metricSource.metricSourceRef"), "register a source of metrics for `main`"),
        (of("good.metricSource.spec.region"), "set it at the source"),
        ("spec.timeWindow[0].zone".to_owned(), "is not read"),
        ("spec.timeWindow".to_owned(), "the longest is watched"),
        ("spec.objectives[0].op".to_owned(), "is of a `thresholdMetric`"),
        ("spec.objectives[0].value".to_owned(), "is of a `thresholdMetric`"),
        ("spec.objectives[0].timeSliceWindow".to_owned(), "look back so long"),
        ("spec.objectives[0].whatever".to_owned(), "is not read"),
    ];
    let fields: Vec<_> = fields.iter().map(|(at, part)| (at.as_str(), *part)).collect();
    told(&notes, &fields);
    assert_eq!(notes.len(), fields.len(), "{notes:#?}");
}
