//! The README's definition is what it says: it can be read and planned.

use release_core::model::Definition;
use release_core::plan::plan;

#[test]
fn the_readmes_definition_can_be_planned() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let definition = Definition::parse("README.yaml", yaml).unwrap();
    let plan = plan(&definition).unwrap();
    let steps: Vec<_> = plan.steps().iter().map(|step| step.id.as_str()).collect();
    assert!(steps.contains(&"production/us/payments/weight-50/error-rate"), "{steps:?}");
}
