//! Every field of Keptn's objectives and total score, and what becomes of it.

use super::*;
use crate::model::{Objective, Objectives};

fn rule(objective: &str, score: &str) -> Objectives {
    let text = format!(
        "kind: AnalysisDefinition\nmetadata: {{ name: it }}\nspec:\n  objectives:\n  - {{ analysisValueTemplateRef: {{ name: one }}, {objective} }}\n  totalScore: {{ {score} }}\n"
    );
    let imported = analysis_definition(&text, &args(&[("one", "x")])).unwrap();
    match &imported.analyses[0].judge {
        Judge::Objectives(rule) => rule.clone(),
        other => panic!("{other:?}"),
    }
}

const FAILURE: &str = "target: { failure: { greaterThan: { fixedValue: 3 } } }";

type Change = fn(&Objective) -> Objective;

#[test]
fn every_field_of_an_objective_is_mapped() {
    let plain = rule(FAILURE, "passPercentage: 90");
    let [one] = &plain.of[..] else { panic!("{plain:?}") };
    assert_eq!((one.weight, one.key, one.warning), (number(1.0), false, None));
    let mapped: [(&str, Change); 5] = [
        ("target: { failure: { lessThan: { fixedValue: 5 } } }", |o| Objective {
            failure: Some(Criterion::Below(number(5.0))),
            ..o.clone()
        }),
        (
            "target: { failure: { greaterThan: { fixedValue: 3 } }, warning: { greaterThan: { fixedValue: 2 } } }",
            |o| Objective { warning: Some(Criterion::Above(number(2.0))), ..o.clone() },
        ),
        ("weight: 4, target: { failure: { greaterThan: { fixedValue: 3 } } }", |o| Objective {
            weight: number(4.0),
            ..o.clone()
        }),
        ("keyObjective: true, target: { failure: { greaterThan: { fixedValue: 3 } } }", |o| {
            Objective { key: true, ..o.clone() }
        }),
        // It only informs, and a warning alone scores half.
        ("target: { warning: { greaterThan: { fixedValue: 2 } } }", |o| Objective {
            failure: None,
            warning: Some(Criterion::Above(number(2.0))),
            ..o.clone()
        }),
    ];
    for (fields, change) in mapped {
        assert_eq!(rule(fields, "passPercentage: 90").of, [change(one)], "{fields}");
    }
}

#[test]
fn every_field_of_the_total_score_is_mapped() {
    let plain = rule(FAILURE, "passPercentage: 90");
    assert_eq!((plain.pass, plain.warning), (number(90.0), None));
    let both = rule(FAILURE, "passPercentage: 80, warningPercentage: 60");
    assert_eq!((both.pass, both.warning), (number(80.0), Some(number(60.0))));
    for (score, why) in [
        ("passPercentage: 101", "totalScore.passPercentage"),
        ("passPercentage: 90, warningPercentage: -1", "totalScore.warningPercentage"),
        ("warningPercentage: 60", "passPercentage"),
    ] {
        let text = format!(
            "kind: AnalysisDefinition\nmetadata: {{ name: it }}\nspec:\n  objectives:\n  - {{ analysisValueTemplateRef: {{ name: one }}, {FAILURE} }}\n  totalScore: {{ {score} }}\n"
        );
        let problems = problems(analysis_definition(&text, &args(&[("one", "x")])));
        assert!(problems.len() == 1 && problems[0].contains(why), "{score}: {problems:?}");
    }
}
