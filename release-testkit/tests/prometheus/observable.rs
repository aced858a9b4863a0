//! Whether what is to judge a release was measured: asked of a real Prometheus before its run begins.

use std::sync::Arc;

use release_core::model::{
    Analysis, Bound, Canary, CanaryStep, Definition, Finite, Judge, Metric, Selector, Strategy,
    Threshold, Unit,
};
use release_core::plan::plan;
use release_core::time::Span;
use release_providers::{ErrorKind, NotObservable, ProviderSelector, Registry};
use release_testkit::{VirtualClock, fixtures};

use crate::filled::{at, failures, filled, source};

/// A canary that replaces a version of which `more` is to be measured as well as its failures.
fn replacing(version: &str, more: &[(&str, Metric)]) -> Definition {
    let named = |(id, _): &(&str, Metric)| fixtures::literal(id);
    let analyses = more.iter().map(named).collect();
    let step = CanaryStep { analyses, ..CanaryStep::new(50, Span::secs(60)) };
    let mut definition = fixtures::one_service(Strategy::Canary(Canary::new(vec![step])), 2);
    for member in definition.release.previous.members.values_mut() {
        member.version = fixtures::version(version);
    }
    for analysis in &mut definition.analyses {
        analysis.metric = failures();
    }
    for (id, metric) in more {
        let limit = Bound::AtMost(Finite::new(0.5).unwrap());
        let unit = metric.unit().unwrap_or(Unit::Number);
        let judge = Judge::Threshold(Threshold::new(limit).of(unit));
        let one = Analysis::judged(fixtures::literal(id), metric.clone(), judge);
        // The clock stands still.
        definition.analyses.push(Analysis { fresh_for: Some(Span::secs(60)), ..one });
    }
    definition
}

async fn ask(registry: &Registry, definition: &Definition) -> Vec<NotObservable> {
    let mut cx = fixtures::context("observable");
    cx.deadline = at(65).plus(Span::secs(60));
    let found = registry.observable(&cx, &plan(definition).unwrap()).await;
    found.map_or_else(
        |problems| problems,
        |unserved| {
            assert!(unserved.is_empty(), "{unserved:?}");
            Vec::new()
        },
    )
}

fn query(text: &str) -> Metric {
    Metric::Query { query: text.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_metric_that_prometheus_has_nothing_for_is_told_and_so_is_that_it_is_down() {
    let Some(mut server) = filled().await else { return };
    let registry = Registry::builder(Arc::new(VirtualClock::at(at(65))))
        .metrics(ProviderSelector::everywhere(), Arc::new(source(&server)))
        .build()
        .unwrap();
    let counted = query("count(r{version=\"{{version}}\"})");
    let known = replacing("1.0.0", &[("load", counted.clone())]);
    let problems = ask(&registry, &known).await;
    assert!(problems.is_empty(), "{problems:?}");

    let [numerator, denominator] = ["lost", "sent"].map(Selector::series);
    let unknown = ("unknown", Metric::Ratio { numerator, denominator });
    let broken = ("broken", query("sum("));
    // Of 1.9.0 there is no sample; of 1.0.0 there are some of one metric.
    for (version, more, wanted) in [
        (
            "1.0.0",
            vec![unknown, broken, ("load", counted.clone())],
            vec![
                ("unknown", "no sample", "the ratio of `lost` to `sent` of version 1.0.0"),
                ("broken", "mend the query", "the query `sum(` of version 1.0.0 of this moment"),
            ],
        ),
        (
            "1.9.0",
            vec![("load", counted)],
            vec![
                ("load", "the query found nothing", "of version 1.9.0 of this moment"),
                ("error-rate", "1.9.0", "the ratio of `r{code=\"500\"}` to `r` of version 1.9.0"),
            ],
        ),
    ] {
        let found = ask(&registry, &replacing(version, &more)).await;
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for (problem, (analysis, why, asked)) in found.iter().zip(wanted) {
            let NotObservable::Unobservable { criterion, .. } = problem else {
                panic!("{problem}");
            };
            assert_eq!(criterion.analysis.as_str(), analysis);
            let text = problem.to_string();
            assert!(criterion.why.contains(why), "{text}");
            assert!(text.contains(asked) && text.contains("`prometheus`"), "{text}");
        }
    }

    server.kill();
    let problems = ask(&registry, &known).await;
    assert_eq!(problems.len(), 2, "{problems:?}");
    for problem in problems {
        let NotObservable::NotAsked { error, .. } = &problem else { panic!("{problem}") };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{problem}");
    }
}
