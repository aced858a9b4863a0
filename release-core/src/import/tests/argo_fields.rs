//! Every field that a metric of Argo's `AnalysisTemplate` may have, and what becomes of it.

use super::*;
use crate::model::Undecided;

/// A template of one metric that has a condition, a query, and what stands there.
fn template(fields: &str, beside: &str) -> String {
    let condition = if fields.contains("Condition") { "" } else { "successCondition: result > 1," };
    let provider = "provider: { prometheus: { query: x } }";
    let provider = if fields.contains("provider") { "" } else { provider };
    format!(
        "kind: AnalysisTemplate\nspec:\n  metrics:\n  - {{ name: one, {condition} {fields} {provider} }}\n{beside}"
    )
}

fn imported(fields: &str, beside: &str) -> Result<Imported, ImportErrors> {
    analysis_template(&template(fields, beside), &BTreeMap::new())
}

type Change = fn(&Analysis) -> Analysis;

/// Each field is read: to another analysis than without it, or to an error that says what would do.
#[test]
fn every_field_of_a_metric_is_mapped() {
    let plain = imported("", "").unwrap();
    let [plain] = &plain.analyses[..] else { panic!("{plain:?}") };
    let mapped: [(&str, &str, Change); 12] = [
        ("interval: 30s, count: 1,", "", |a| Analysis { interval: Span::secs(30), ..a.clone() }),
        ("initialDelay: 2m,", "", |a| Analysis { begin_after: Some(Span::secs(120)), ..a.clone() }),
        ("count: 7,", "", |a| Analysis { count: 7, ..a.clone() }),
        ("successCondition: result >= 2,", "", |a| {
            let limits = Threshold::new(Bound::AtLeast(number(2.0))).of(Unit::Number);
            Analysis { judge: Judge::Threshold(limits), ..a.clone() }
        }),
        ("failureCondition: result > 3,", "", |a| {
            let limits = Threshold::new(Bound::AtMost(number(3.0))).of(Unit::Number);
            Analysis { judge: Judge::Threshold(limits), ..a.clone() }
        }),
        ("failureLimit: 3,", "", |a| Analysis { failure_limit: 3, ..a.clone() }),
        ("inconclusiveLimit: 4,", "", |a| Analysis { inconclusive_limit: 4, ..a.clone() }),
        ("consecutiveErrorLimit: 5,", "", |a| Analysis {
            consecutive_no_data: Some(5),
            ..a.clone()
        }),
        ("consecutiveSuccessLimit: 2, count: 6,", "", |a| Analysis {
            consecutive_good: Some(2),
            count: 6,
            ..a.clone()
        }),
        ("provider: { prometheus: { query: z } }", "", |a| Analysis {
            metric: Metric::Query { query: "z".into() },
            ..a.clone()
        }),
        ("", "  dryRun: [{ metricName: one }]", |a| Analysis { dry_run: true, ..a.clone() }),
        // As many stay as there are.
        ("", "  measurementRetention: [{ metricName: one, limit: 9 }]", Analysis::clone),
    ];
    for (fields, beside, change) in mapped {
        let imported = imported(fields, beside).unwrap();
        let want = [change(plain)];
        assert_eq!(imported.analyses[..], want, "{fields} {beside}");
        assert!(
            imported.notes.iter().all(|note| !note.contains("is not read")),
            "{fields} {beside}: {imported:?}"
        );
    }
    let kept = imported("", "  measurementRetention: [{ metricName: one, limit: 9 }]").unwrap();
    told(&kept.notes, &[("spec.measurementRetention", "stays in the journal")]);
}

#[test]
fn what_no_field_can_say_here_is_refused_with_what_would_do() {
    for (fields, beside, at, why) in [
        ("interval: soon,", "", "spec.metrics[0].interval", "soon"),
        ("initialDelay: later,", "", "spec.metrics[0].initialDelay", "later"),
        ("count: lots,", "", "spec.metrics[0].count", "write one"),
        (
            "successCondition: \"all(result, {# > 1})\",",
            "",
            "spec.metrics[0].successCondition",
            "write `result[0] <= 0.05`",
        ),
        (
            "failureCondition: result == 1,",
            "",
            "spec.metrics[0].failureCondition",
            "write `result[0] <= 0.05`",
        ),
        ("failureLimit: -1,", "", "spec.metrics[0].failureLimit", "write one"),
        ("inconclusiveLimit: some,", "", "spec.metrics[0].inconclusiveLimit", "write one"),
        ("consecutiveErrorLimit: some,", "", "spec.metrics[0].consecutiveErrorLimit", "write one"),
        (
            "consecutiveSuccessLimit: some,",
            "",
            "spec.metrics[0].consecutiveSuccessLimit",
            "write one",
        ),
        ("provider: { job: { spec: {} } }", "", "spec.metrics[0].provider.job", "measure by one"),
        (
            "provider: { prometheus: { query: x, rangeQuery: { step: 1m } } }",
            "",
            "spec.metrics[0].provider.prometheus.rangeQuery",
            "or rank the points of both versions",
        ),
        ("", "  dryRun: [{ metricName: \"a|b\" }]", "spec.dryRun[0].metricName", "write `.*`"),
    ] {
        let problems = problems(imported(fields, beside));
        let found =
            problems.iter().any(|p| p.starts_with(&format!("at `{at}`:")) && p.contains(why));
        assert!(found && problems.len() == 1, "{fields} {beside}: {problems:#?}");
    }
}

#[test]
fn what_is_inconclusive_holds_where_the_import_is_told_so() {
    let both = "successCondition: result > 2, failureCondition: result < 1, inconclusiveLimit: 3,";
    let text = template(both, "");
    let [failing, holding] = [Undecided::Unsaid, Undecided::Hold].map(|undecided| {
        let options = TemplateOptions::new(BTreeMap::new()).undecided(undecided);
        analysis_template_with(&text, &options).unwrap()
    });
    told(
        &failing.notes,
        &[("spec.metrics[0].inconclusiveLimit", "import it with `undecided: hold`")],
    );
    assert_eq!(failing.analyses[0].undecided, Undecided::Unsaid);
    assert_eq!(holding.analyses[0].undecided, Undecided::Hold);
    // It pauses, as in Argo, and nothing is to be told.
    let about = |note: &&String| note.contains("inconclusiveLimit");
    assert_eq!(holding.notes.iter().find(about), None);
}
