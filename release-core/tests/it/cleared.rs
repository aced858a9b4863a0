//! The old version is removed once nothing but the shares decides who gets which requests.

use release_core::model::{
    Canary, CanaryStep, Copies, HeaderRule, Other, SessionAffinity, Span, Strategy,
};
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::plan::{Action, PlanErrors, Planner, plan};
use serde_json::Value;

use super::strategies::step;
use super::support::samples::one_service;

/// Gives the new version all of the traffic, or most of it, and leaves rules behind where it is to.
#[derive(Debug)]
struct Untidy {
    share: u8,
    rules: bool,
}

impl RolloutStrategy for Untidy {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?];
        let headers = [HeaderRule::exact("x-canary", "yes")];
        let rules = site.rules(if self.rules { &headers } else { &[] }, None);
        steps.push(site.route_by("all", self.share, rules)?);
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

/// What a step asks of the router, or looks for there.
fn traffic(action: &Action) -> Option<(u8, bool)> {
    let (Action::Route { weights, rules, .. } | Action::Confirm { weights, rules, .. }) = action
    else {
        return None;
    };
    let new = weights.iter().find(|weight| weight.version.major == 2);
    Some((new.map_or(0, |weight| weight.percent), rules.is_some()))
}

#[test]
fn rules_of_a_step_are_gone_before_the_old_version_is_removed() {
    let ruled = CanaryStep {
        headers: vec![HeaderRule::exact("x-canary", "yes")],
        mirror: Some(Copies::of(10)),
        ..step(50)
    };
    let affinity = Some(SessionAffinity::new("stay"));
    let canary = Canary { affinity, ..Canary::new(vec![ruled]) };
    let plan = plan(&one_service(Strategy::Canary(canary))).unwrap();
    let all: Vec<_> = plan.steps().iter().filter_map(|step| traffic(&step.action)).collect();
    assert_eq!(all, [(50, true), (50, true), (100, false), (100, false)]);
    let last = plan.steps().iter().rfind(|step| traffic(&step.action).is_some()).unwrap();
    assert_eq!((last.id.as_str(), last.finale), ("prod/eu/api/remove-old/still-routed", true));

    // What a host's own strategy leaves behind would be found only when it is time to tidy up.
    let untidy = |share, rules| {
        let planner = Planner::new().measured_before_traffic(false);
        let planner = planner.strategy("untidy", move |_| Ok(Box::new(Untidy { share, rules })));
        let other = Other { name: "untidy".into(), with: Value::Null };
        planner.plan(&one_service(Strategy::Other(other)))
    };
    assert!(untidy(100, false).is_ok());
    for (share, rules, told) in [
        (100, true, "while the traffic is 100% 2.0.0 ("),
        (75, false, "while the traffic is 25% 1.0.0 ("),
    ] {
        let PlanErrors(errors) = untidy(share, rules).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let text = errors[0].to_string();
        assert!(text.contains(told) && text.ends_with("without rules"), "{text}");
    }
}
