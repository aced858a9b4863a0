//! A file of providers in which web services stand beside a Prometheus: an analysis says by whom it is measured.

use std::sync::Arc;

use release_core::model::{
    Analysis, Bound, Canary, CanaryStep, Definition, Finite, Judge, Metric, RollbackTrigger,
    Strategy, Threshold, Tier, Unit,
};
use release_core::plan::{Action, Plan, plan};
use release_core::port::Performer as _;
use release_core::time::Span;
use release_providers::Registry;
use release_providers::config::{Catalog, ConfigError, ProvidersFile};
use release_providers::kind::Secrets;
use release_providers::prometheus::PrometheusKind;
use release_providers::web::WebKind;
use release_testkit::VirtualClock;
use release_testkit::fixtures::{error_rate, literal, one_service};

const FILE: &str = "
format: providers/v1
providers:
  - name: numbers
    kind: prometheus
    config:
      url: http://127.0.0.1:9090
      labels: { environment: env, region: region, service: service }
  - name: office
    kind: web
    config:
      metrics:
        orders: { url: 'http://127.0.0.1:8080/{{service}}?version={{version}}', read: { pointer: /orders } }
    serves: [{ capability: metrics_source, source: office }]
";

async fn opened(file: &str) -> Result<Registry, ConfigError> {
    let catalog = Catalog::new().kind("prometheus", PrometheusKind).kind("web", WebKind);
    let file = ProvidersFile::parse(file)?;
    file.open(&catalog, Arc::new(VirtualClock::new()), Secrets::none()).await
}

/// A canary that both judge.
fn definition() -> Definition {
    let metric = Metric::Query { query: "orders".into() };
    let limit = Threshold::new(Bound::AtLeast(Finite::new(10.0).unwrap())).of(Unit::Number);
    let mut orders = Analysis::judged(literal("orders"), metric, Judge::Threshold(limit));
    orders.source = Some(literal("office"));
    let mut step = CanaryStep::new(50, Span::secs(60));
    step.analyses = vec![literal("orders"), literal("error-rate")];
    let mut definition = one_service(Strategy::Canary(Canary::new(vec![step])), 2);
    definition.environments.first_mut().unwrap().tier = Tier::Staging;
    definition.release.rollback.as_mut().unwrap().triggers = vec![RollbackTrigger::StepFailed];
    definition.analyses = vec![orders, error_rate()];
    definition
}

/// By whom each analysis is measured, in the order of the plan.
fn measured(registry: &Registry, plan: &Plan) -> Vec<(String, Option<String>)> {
    let steps = plan.steps().iter().filter_map(|step| match &step.action {
        Action::Analyze { analysis, .. } => {
            Some((analysis.id.to_string(), registry.provider(step)))
        }
        _ => None,
    });
    steps.collect()
}

/// What a registry says of the analyses of a plan, which has nobody for all else.
fn missed(registry: &Registry, plan: &Plan) -> Vec<String> {
    let problems = registry.check(plan).err().unwrap_or_default();
    let sources = problems.iter().map(|error| error.problem.clone());
    sources.filter(|problem| problem.contains("metrics source")).collect()
}

#[tokio::test]
async fn analyses_are_measured_by_the_sources_that_they_name() {
    let plan = plan(&definition()).unwrap();
    let registry = opened(FILE).await.unwrap();
    let by = |name: &str| Some(name.to_owned());
    assert_eq!(
        measured(&registry, &plan),
        [("orders".to_owned(), by("office")), ("error-rate".to_owned(), by("numbers"))]
    );
    assert!(missed(&registry, &plan).is_empty());

    // Who is for a name serves nothing else, and nobody else serves it.
    let unnamed =
        FILE.replace("{ capability: metrics_source, source: office }", "{ service: web }");
    let registry = opened(&unnamed).await.unwrap();
    let problems = missed(&registry, &plan);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("source office; register one that serves it"), "{problems:?}");
    let alone =
        FILE.replace("kind: prometheus", "kind: prometheus\n    serves: [{ source: numbers }]");
    let problems = missed(&opened(&alone).await.unwrap(), &plan);
    assert_eq!(problems.len(), 1, "{problems:?}");

    // Two for the same are still refused, and a name says nothing of other capabilities.
    let twice = FILE.replace("serves: [{ capability: metrics_source, source: office }]", "");
    let error = opened(&twice).await.unwrap_err().to_string();
    assert!(error.contains("two providers are registered as metrics_source"), "{error}");
}

#[test]
fn a_definition_names_a_source_beside_the_metric() {
    let text = serde_json::to_string(&definition().analyses[0]).unwrap();
    assert!(text.contains(r#""source":"office""#), "{text}");
    let read: Analysis = serde_json::from_str(&text).unwrap();
    assert_eq!(read, definition().analyses[0]);
    assert!(!serde_json::to_string(&error_rate()).unwrap().contains("source"));
}
