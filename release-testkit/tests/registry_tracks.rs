//! What a registry asks of the source that an experiment is measured by, before the experiment begins.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::Arc;

use release_core::model::{Analysis, Span};
use release_core::plan::{Action, Beside, Deployment, Plan, Step, Undo};
use release_core::port::{BindingError, Performer as _};
use release_providers::samples::{TapeSettings, feed};
use release_providers::spi::MetricsSource;
use release_providers::{ProviderSelector, Registry};
use release_testkit::fakes::FakeMetrics;
use release_testkit::{VirtualClock, fixtures};

fn deployment(version: &str) -> Deployment {
    Deployment {
        target: fixtures::target("api"),
        artifact: fixtures::artifact("api", version),
        version: fixtures::version(version),
    }
}

/// As many fresh instances of the old version, which run apart.
fn baseline() -> Deployment {
    let old = deployment("1.0.0");
    Deployment { target: old.target.clone().on(fixtures::literal("baseline")), ..old }
}

/// What is wrong with a step that measures the new version, and another one beside it.
fn wrong(source: Arc<dyn MetricsSource>, beside: Option<Deployment>) -> Vec<String> {
    let registry = Registry::builder(Arc::new(VirtualClock::new()))
        .metrics(ProviderSelector::everywhere(), source)
        .build()
        .unwrap();
    let compared: Analysis = match beside {
        Some(_) => fixtures::compared_error_rate(),
        None => fixtures::error_rate(),
    };
    let action = Action::Analyze {
        deployment: deployment("1.1.0").into(),
        analysis: Arc::new(compared),
        from: None,
        beside: beside.map(|baseline| Box::new(Beside::new(baseline, 50))),
        until: None,
    };
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    plan.step(Step::new("compare".parse().unwrap(), action).undo(undo));
    let errors = registry.check(&plan.build().unwrap()).err().unwrap_or_default();
    errors.iter().map(BindingError::to_string).collect()
}

#[test]
fn an_experiment_is_not_begun_by_a_source_that_cannot_tell_its_baseline_apart() {
    let modest = || Arc::new(FakeMetrics::new());
    assert_eq!(
        wrong(modest(), Some(baseline())),
        [
            "step `compare` cannot be performed: the metrics source `fake-metrics` does not declare that it can keep \
             instances of a version apart from its others; use another provider, or another step"
        ]
    );
    // What needs no track needs no such source.
    assert_eq!(wrong(modest(), Some(deployment("1.0.0"))), [""; 0]);
    assert_eq!(wrong(modest(), None), [""; 0]);
}

#[test]
fn an_experiment_is_begun_by_a_source_that_tells_its_baseline_apart() {
    let clock = Arc::new(VirtualClock::new());
    let (_, source) = feed(TapeSettings::every(Span::secs(10)), clock).unwrap();
    assert_eq!(wrong(Arc::new(source), Some(baseline())), [""; 0]);
}
