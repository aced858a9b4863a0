//! Which controls a change needs before it can be made.

use std::collections::BTreeMap;

use release_core::model::{ChangeScope, Principal, Tier};
use release_policy::approval::{ApprovalPolicy, Quorum};
use release_policy::cab::Board;
use release_policy::change::{Band, ChangeType, Factor, RiskInputs, RiskModel, Route, Standing};
use release_policy::promotion::{
    Change, Condition, Control, ControlPolicy, ControlPolicyError, Controls, Criterion, Pipeline,
    ReviewRule, Sources, StageSpec, required_controls,
};
use release_policy::window::{ActionClass, When, WindowSpec, Windows};

use crate::support::{at, env, gate, pipeline, secs};

fn approvals(n: u32) -> ApprovalPolicy {
    ApprovalPolicy::new(Quorum::of_role(n, "sre".parse().unwrap()).unwrap())
}

fn risk() -> RiskModel {
    let bands = vec![Band { from: 0, points: 0 }, Band { from: 1, points: 10 }];
    let factors = Factor::ALL.into_iter().map(|factor| (factor, bands.clone())).collect();
    RiskModel::new(1, factors, 10, 50).unwrap()
}

fn policy() -> ControlPolicy {
    let routes = [(Route::Normal, 1), (Route::Cab, 2), (Route::Emergency, 1)];
    let routes = routes.map(|(route, n)| (route, approvals(n)));
    let board = Board::new("chair".parse().unwrap(), ["qa".parse().unwrap()], 1).unwrap();
    let review = ReviewRule { reviewer: "auditor".parse().unwrap(), within: secs(86_400) };
    ControlPolicy::new(risk(), BTreeMap::from(routes), board, review).unwrap()
}

fn stages() -> Pipeline {
    let scan = Criterion::new(gate("scan"), Condition::Fresh(secs(60)));
    let owner = Criterion::new(gate("owner"), Condition::Approval(Box::new(approvals(1))));
    let prod = StageSpec::new(env("prod"), Tier::Production, Sources::direct());
    pipeline([prod.enter(scan).enter(owner)])
}

fn windows() -> Windows {
    let freeze = |name: &str, service: &str, from, until| {
        let when = When::Between { from: at(from), until: at(until) };
        WindowSpec::freeze(name.parse().unwrap(), when, "sre".parse().unwrap(), "peak")
            .in_environment(env("prod"))
            .of_service(service.parse().unwrap())
            .build()
            .unwrap()
    };
    Windows::new([freeze("first", "api", 0, 100), freeze("then", "web", 50, 200)]).unwrap()
}

fn ask(kind: ChangeType, known: &RiskInputs, services: &[&str]) -> Controls {
    let scope = services
        .iter()
        .fold(ChangeScope::new(env("prod")), |all, name| all.of_service(name.parse().unwrap()));
    let by = Principal::human("ann".parse().unwrap());
    let template = Standing::Earned { in_a_row: 9, failed: 0 };
    let action = ActionClass::Deploy;
    let change = Change { kind, scope: &scope, action, by: &by, risk: known, template: &template };
    required_controls(&policy(), &stages(), &windows(), &change, at(0))
}

fn harmless() -> RiskInputs {
    Factor::ALL.into_iter().map(|factor| (factor, 0)).collect()
}

fn told(controls: &Controls) -> Vec<String> {
    controls.needed.iter().map(ToString::to_string).collect()
}

#[test]
fn the_route_decides_who_must_agree_and_what_is_owed() {
    let stage = ["the evidence of `scan`", "the approvals of `owner`"];
    let freeze = "no freeze `first`";
    let check = |kind, known: &RiskInputs, before: &[&str], after: &[&str]| {
        let want = [before, &stage, &[freeze], after].concat();
        assert_eq!(told(&ask(kind, known, &["api"])), want, "{kind}");
    };
    let route = "the approvals of its route";
    check(ChangeType::Standard, &harmless(), &[], &[]);
    check(ChangeType::Normal, &harmless(), &[route], &[]);
    check(ChangeType::Normal, &RiskInputs::new(), &[route, "the decision of the board"], &[]);
    check(ChangeType::Standard, &RiskInputs::new(), &[route, "the decision of the board"], &[]);
    let review = "a review by `auditor` within 1day";
    check(ChangeType::Emergency, &harmless(), &[route], &[review]);
}

#[test]
fn windows_of_all_services_are_told_and_the_instant_at_which_all_are_open() {
    let api = ask(ChangeType::Normal, &harmless(), &["api"]);
    assert_eq!(api.opens, Ok(at(100)));
    let both = ask(ChangeType::Normal, &harmless(), &["api", "web"]);
    assert_eq!(both.opens, Ok(at(200)), "as api opens, web is frozen");
    let all = ask(ChangeType::Normal, &harmless(), &[]);
    for controls in [both, all] {
        let frozen = controls.needed.iter().filter(|one| matches!(one, Control::Window { .. }));
        assert_eq!(frozen.count(), 2);
    }
    let other = ask(ChangeType::Normal, &harmless(), &["db"]);
    assert_eq!(other.opens, Ok(at(0)));
}

/// Knowing less of a change never takes a control away.
#[test]
fn what_is_not_known_never_takes_a_control_away() {
    for kind in [ChangeType::Standard, ChangeType::Normal, ChangeType::Emergency] {
        for known in 0..1_u32 << Factor::ALL.len() {
            let some: RiskInputs = (0..)
                .zip(Factor::ALL)
                .filter(|(bit, _)| known & (1 << bit) != 0)
                .map(|(_, factor)| (factor, 0))
                .collect();
            let (all, less) = (ask(kind, &harmless(), &["api"]), ask(kind, &some, &["api"]));
            assert!(less.routing.route >= all.routing.route);
            assert!(less.needed.len() >= all.needed.len());
        }
    }
}

#[test]
fn a_policy_that_leaves_a_route_open_is_refused() {
    let text = serde_json::to_value(policy()).unwrap();
    for route in [Route::Normal, Route::Cab, Route::Emergency] {
        let name = serde_json::to_value(route).unwrap();
        let mut open = text.clone();
        open["approvals"].as_object_mut().unwrap().remove(name.as_str().unwrap());
        let error = serde_json::from_value::<ControlPolicy>(open).unwrap_err().to_string();
        assert_eq!(error, ControlPolicyError::NoApprovals(route).to_string());
    }
    let mut at_once = text.clone();
    at_once["review"]["within"] = "0s".into();
    assert!(serde_json::from_value::<ControlPolicy>(at_once).is_err());
    assert_eq!(serde_json::from_value::<ControlPolicy>(text).unwrap(), policy());
}
