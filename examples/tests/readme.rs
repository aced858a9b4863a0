//! The README's definition is what it says: it can be read and planned, and its program approves it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeSet;

use release_core::model::{Definition, Gate, RoleId};
use release_core::plan::{Action, Plan, Step, plan};

/// The README's first block of a language.
fn block(language: &str) -> &'static str {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The README's comparison, in the place of the limit that its definition has.
#[test]
fn the_readmes_comparison_can_be_planned() {
    let readme = include_str!("../../README.md");
    let comparison = readme.split("```yaml\n").nth(2).unwrap().split_once("```").unwrap().0;
    let definition = block("yaml");
    let (before, rest) = definition.split_once("analyses:\n").unwrap();
    let (_, after) = rest.split_once("release:\n").unwrap();
    let whole = format!("{before}{comparison}release:\n{after}");
    let plan = plan(&Definition::parse("README.yaml", &whole).unwrap()).unwrap();
    let compares = |step: &&Step| matches!(step.action, Action::Analyze { beside: Some(_), .. });
    assert!(plan.steps().iter().filter(compares).count() >= 4);
}

fn the_plan() -> Plan {
    plan(&Definition::parse("README.yaml", block("yaml")).unwrap()).unwrap()
}

/// Were there another gate, or more approvals wanted, whoever tries the README would be stuck.
#[test]
fn the_readmes_program_opens_the_only_gate_of_its_definition() {
    let (plan, program) = (the_plan(), block("rust,no_run"));
    let gates: Vec<_> = plan.steps().iter().flat_map(|step| &step.gates).collect();
    let approvals = gates.iter().filter_map(|gate| match gate {
        Gate::Approval(approval) => Some(approval),
        _ => None,
    });
    let ids: BTreeSet<_> = approvals.clone().map(|approval| approval.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["production/go-live"]), "{gates:?}");
    for approval in approvals {
        assert!(program.contains("let gate: GateId = \"production/go-live\""));
        assert_eq!((approval.quorum, approval.requester_may_approve), (2, false));
        assert!(program.contains(r#"for name in ["grace", "linus"]"#)); // two, neither is ada
        let roles: Vec<_> = approval.roles.iter().map(RoleId::as_str).collect();
        assert_eq!(roles, ["release-manager"]);
        assert!(program.contains("with_role(\"release-manager\""));
    }
}

#[test]
fn the_readmes_definition_can_be_planned() {
    let plan = the_plan();
    let steps: Vec<_> = plan.steps().iter().map(|step| step.id.as_str()).collect();
    assert!(steps.contains(&"production/us/payments/weight-50/error-rate"), "{steps:?}");
}
