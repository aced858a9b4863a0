//! Unit, direction and sample size: what says nothing of them is not read, or not planned.

use release_core::model::{
    Analysis, Bound, Canary, CanaryStep, Definition, Judge, Metric, Objective, Objectives,
    RollbackTrigger, Selector, Span, Strategy, Threshold, Unit,
};
use release_core::plan::{PlanError, PlanErrors, plan};

use super::comparing::comparing;
use super::support::looks::finite;
use super::support::samples::{error_rate, id, one_service};

fn definition(analysis: Analysis) -> Definition {
    let canary = Canary::new(vec![CanaryStep::new(50, Span::ZERO)]);
    let mut definition = one_service(Strategy::Canary(canary));
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::Analysis(analysis.id.clone())];
    definition.analyses = vec![analysis];
    definition
}

fn problems(analysis: Analysis) -> Vec<PlanError> {
    plan(&definition(analysis)).err().map_or_else(Vec::new, |PlanErrors(errors)| errors)
}

fn mean() -> Metric {
    Metric::Mean { sum: Selector::series("took_sum"), count: Selector::series("took_count") }
}

#[test]
fn limits_on_numbers_of_nothing_are_not_planned() {
    let limit = Bound::AtMost(finite(0.5));
    let of = |metric: Metric, limits: Threshold| Analysis {
        min_samples: 20,
        ..Analysis::judged(id("it"), metric, Judge::Threshold(limits))
    };
    let histogram = Selector::series("took");
    let query = || Metric::Query { query: "load".into() };
    for metric in [mean(), Metric::Quantile { histogram, quantile: finite(0.9) }, query()] {
        let unsaid = problems(of(metric.clone(), Threshold::new(limit)));
        assert!(matches!(unsaid[..], [PlanError::NoUnit { .. }]), "{metric:?}: {unsaid:?}");
        let said = problems(of(metric, Threshold::new(limit).of(Unit::Seconds)));
        assert_eq!(said, []);
    }
    // A ratio's numbers are shares.
    assert_eq!(problems(of(error_rate().metric, Threshold::new(limit))), []);
    let objective =
        Objective::new("load", query(), release_core::model::Criterion::Above(finite(1.0)));
    let several = |objective: Objective| {
        let rule = Objectives { of: vec![objective], pass: finite(100.0), warning: None };
        Analysis::judged(id("it"), query(), Judge::Objectives(rule))
    };
    let unsaid = problems(several(objective.clone()));
    assert!(matches!(unsaid[..], [PlanError::NoUnit { .. }]), "{unsaid:?}");
    assert_eq!(problems(several(objective.of(Unit::Number))), []);
}

#[test]
fn comparisons_and_sums_without_a_unit_or_a_direction_are_not_read() {
    let whole = serde_json::to_value(comparing(|_| {})).unwrap();
    let cusum = serde_json::json!({
        "id": "drift",
        "metric": { "query": { "query": "load" } },
        "judge": { "cusum": { "direction": "lower_is_better", "unit": "number", "usual": 1.0, "spread": 0.1 } },
    });
    for (whole, kind) in [(whole, "sequential"), (cusum, "cusum")] {
        serde_json::from_value::<Analysis>(whole.clone()).unwrap();
        for field in ["unit", "direction"] {
            let mut lacking = whole.clone();
            lacking["judge"][kind].as_object_mut().unwrap().remove(field).unwrap();
            let error = serde_json::from_value::<Analysis>(lacking).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{field}`")), "{kind}: {error}");
        }
    }
}

#[test]
fn what_is_counted_needs_samples() {
    let refused = |analysis: Analysis| {
        let problems = problems(analysis);
        let [PlanError::BadRule { problem, .. }] = &problems[..] else { panic!("{problems:?}") };
        assert!(problem.contains("`min_samples` is 0"), "{problem}");
    };
    refused(Analysis { min_samples: 0, ..error_rate() });
    refused(Analysis { min_samples: 0, ..comparing(|_| {}) });
    // Each answer to a query is a sample.
    let limits = Threshold::new(Bound::AtMost(finite(1.0))).of(Unit::Number);
    let query = Metric::Query { query: "load".into() };
    let asked = Analysis::judged(id("it"), query, Judge::Threshold(limits));
    assert_eq!(problems(Analysis { min_samples: 0, ..asked }), []);
}
